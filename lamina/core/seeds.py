"""All randomness comes from (seed, purpose, step): one integer in, one independent 63-bit seed out.

A number drawn so is the same whoever asks and whenever, which is what lets a stopped run go on bit for bit.
"""

import hashlib

import torch

__all__ = ["generator", "mix"]


def mix(*parts: int | str) -> int:
    """A 63-bit seed from any mix of integers and words; another part anywhere gives an unrelated seed."""
    text = "\x1f".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by `mix(*parts)`."""
    return torch.Generator().manual_seed(mix(*parts))
