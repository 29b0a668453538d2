"""Muon: momentum, orthogonalised. Every direction of a hidden matrix moves by the same amount.

    m = beta m + (1 - beta) g;   u = (1 - beta) g + beta m  (Nesterov)
    W = W - lr (0.2 sqrt(max(rows, columns)) orthogonal(u) + decay W)
where orthogonal(U S V') is about U V', found by five quintic Newton-Schulz steps X = a X + (b A + c A A) X, A = X X'.

Papers: Jordan et al. 2024, kellerjordan.github.io/posts/muon; the factor 0.2 sqrt(max) gives the update the size that
AdamW's has, so that one lr serves both: Liu et al. 2025, arXiv:2502.16982, section 2.2.
Everything that is no hidden matrix (tables, heads, norms, biases) moves by AdamW, in the same optimizer.
A convolution's kernel counts as the matrix (out, in · places).
"""

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

__all__ = ["Muon", "orthogonalise"]

_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """U V' of each U S V', roughly: singular values end near 1 (0.7 to 1.2), which is enough and costs no SVD.

    Shapes: (batch, rows, columns), the same back. In bfloat16 where the hardware has it, as in the paper.
    """
    x = matrices.bfloat16() if matrices.is_cuda or _bfloat16_on_cpu() else matrices
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        poly = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        x = torch.baddbmm(x, poly, x, beta=_A)
    return (x.mT if tall else x).to(matrices.dtype)


@functools.cache
def _bfloat16_on_cpu() -> bool:
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


class Muon(torch.optim.Optimizer):
    """Groups with `muon=True` are moved by Muon, the others by AdamW.

    Args:
        params: groups; `stack=True` says that leading axes count matrices, else a tensor is flattened to (first, rest).
        momentum, nesterov, steps: of Muon. betas, eps: of AdamW. weight_decay: decoupled, of both.
        fused: torch's fused AdamW kernel.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 1e-3,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        steps: int = 5,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        fused: bool = False,
    ):
        if not 0 <= momentum < 1 or not all(0 <= b < 1 for b in betas):
            raise ValueError(f"momentum {momentum} and betas {betas} must lie in [0, 1)")
        defaults = dict(lr=lr, momentum=momentum, nesterov=nesterov, steps=steps, betas=betas, eps=eps)
        super().__init__(params, defaults | dict(weight_decay=weight_decay, fused=fused, muon=True, stack=False))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                (self._muon if group["muon"] else self._adamw)(group, params)
        return loss

    def _muon(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for p in params:
            if not self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        grads = [p.grad for p in params if p.grad is not None]
        buffers = [self.state[p]["momentum_buffer"] for p in params]
        torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
        updates = torch._foreach_lerp(grads, buffers, group["momentum"]) if group["nesterov"] else buffers
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        # One batched product for all matrices of a shape: many small ones cost what a single large one does.
        alike: dict[Any, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for p, u in zip(params, updates, strict=True):
            u = u.reshape(-1, *u.shape[-2:]) if group["stack"] else u.reshape(1, len(u), -1)
            alike[u.shape[1:], u.dtype, u.device].append((p, u))
        for pairs in alike.values():
            moved = orthogonalise(torch.cat([u for _, u in pairs]), group["steps"])
            scale = 0.2 * max(moved.shape[-2:]) ** 0.5
            parts = moved.split([len(u) for _, u in pairs])
            torch._foreach_add_(
                [p for p, _ in pairs],
                [part.reshape(p.shape) for (p, _), part in zip(pairs, parts, strict=True)],
                alpha=-group["lr"] * scale,
            )

    def _adamw(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for p in params:
            if not self.state[p]:
                step = torch.zeros((), dtype=torch.float32, device=p.device if group["fused"] else "cpu")
                self.state[p].update(step=step, exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
        adamw(
            params,
            [p.grad for p in params if p.grad is not None],
            [self.state[p]["exp_avg"] for p in params],
            [self.state[p]["exp_avg_sq"] for p in params],
            [],
            [self.state[p]["step"] for p in params],
            foreach=False if group["fused"] else None,
            fused=group["fused"],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
