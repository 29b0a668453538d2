"""How a run uses the machine: device, number format, layout, threads. Fixed before step 1 and kept by a resumed run."""

import contextlib
import ctypes
import platform
from dataclasses import asdict, dataclass
from typing import Any

import torch

from lamina.core.errors import SettingError

__all__ = ["Plan", "keep_freed_memory"]

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class Plan:
    """The plan of a run; 'auto' is settled by `settled()` or by the trainer's trial steps.

    device: auto, cpu, cuda, cuda:1, mps. precision: auto, float32, bfloat16. layout: auto, channels_last, contiguous.
    threads: 0 takes one where steps are so small that a second one slows them down, else torch's own number.
    accumulate: micro-batches an update is made of. compile: the losses, by torch.compile.
    evaluations: of the validation split over the run. patience: evaluations without a better one after which
    training stops, 0 for never. nonfinite: what a loss or gradient that is not finite does, after its update was
    withheld: stop the training; skip that update and say so; or go back to the last checkpoint, and on behind the
    updates since, five times at most. save_every: updates between checkpoints, beside those at evaluations; 0 takes
    about a minute's worth.
    """

    device: str = "auto"
    precision: str = "auto"
    layout: str = "auto"
    threads: int = 0
    accumulate: int = 1
    compile: bool = False
    evaluations: int = 20
    patience: int = 0
    nonfinite: str = "stop"
    save_every: int = 0

    def settled(self) -> "Plan":
        """The plan with the device found, refused where the machine lacks what it names."""
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        try:
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise SettingError(f"--device {device}: this machine or this torch has none. Take --device cpu.") from error
        for name, allowed in (
            ("precision", {"auto", *PRECISIONS}),
            ("layout", {"auto", "channels_last", "contiguous"}),
            ("nonfinite", {"stop", "skip", "back"}),
        ):
            if getattr(self, name) not in allowed:
                raise SettingError(f"plan.{name} is one of {', '.join(sorted(allowed))}, not {getattr(self, name)!r}.")
        if self.accumulate < 1:
            raise SettingError(f"plan.accumulate counts micro-batches, at least 1; {self.accumulate} came.")
        return Plan(**{**asdict(self), "device": device})

    def autocast(self) -> Any:
        """The context in which losses are computed."""
        kind = PRECISIONS[self.precision] if self.precision != "auto" else None
        return contextlib.nullcontext() if kind is None else torch.autocast(torch.device(self.device).type, kind)

    def wait(self) -> None:
        """Until the device has done what it was given."""
        device = torch.device(self.device)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()

    def generators(self) -> list[torch.Generator]:
        """The generators that dropout and the like draw from: the CPU's and the device's own."""
        device = torch.device(self.device)
        found = [torch.default_generator]
        if device.type == "cuda":
            torch.cuda.init()  # which makes the tuple of generators
            index = torch.cuda.current_device() if device.index is None else device.index
            found.append(torch.cuda.default_generators[index])
        elif device.type == "mps":
            found.append(torch.mps._get_default_mps_generator())
        return found

    def said(self) -> str:
        """One line for the terminal."""
        parts = [self.device, self.precision, f"{self.threads} thread{'s' if self.threads > 1 else ''}"]
        parts += [self.layout] if self.layout == "channels_last" else []
        parts += [f"{self.accumulate} micro-batches"] if self.accumulate > 1 else []
        parts += ["compiled"] if self.compile else []
        return ", ".join(parts)


def has_bfloat16(device: str) -> bool:
    """Whether products of bfloat16 are done by the hardware."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()


def keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks: pages handed back fault in again, which costs up to half of an LSTM's step."""
    if platform.system() != "Linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library: nothing to ask
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for option, value in (
            (-3, 1 << 30),
            (-1, (1 << 31) - 1),
            (-2, 64 << 20),
        ):  # mmap threshold, trim threshold, top pad
            mallopt(option, value)
