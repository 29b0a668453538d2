"""Schedule-free AdamW: an average of the path takes the place of a schedule, so that no end need be known.

    y = (1 - b1) z + b1 x                          gradients are taken here
    z = z - lr (g(y) / (sqrt(v / (1 - b2^t)) + eps) + decay y)
    x = (1 - c) x + c z,   c = lr_t^2 / sum of lr^2 so far      evaluate here

Paper: Defazio et al. 2024, "The Road Less Scheduled", arXiv:2405.15682, section 3 and appendix.
The parameters hold y while training. **They must hold x when the network is judged or saved as the best**:
`optimizer.eval()` and back with `optimizer.train()`, or `with optimizer.eval_weights(): ...`. The way there and back
is exact, bit for bit. Give it a constant schedule, with a warm-up if wanted. Running statistics of batch norms are
those of y: feed a few training batches through the network in eval weights before trusting them.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lamina.core.errors import TrainingError

__all__ = ["ScheduleFree"]


class ScheduleFree(torch.optim.Optimizer):
    """Schedule-free AdamW. betas[0] is the share of the average in y; weight_decay is decoupled, taken at y."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        if not 0 < betas[0] < 1 or not 0 <= betas[1] < 1:
            raise ValueError(f"betas {betas} must lie in (0, 1) and [0, 1)")
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        super().__init__(params, defaults | dict(steps=0, lr_max=0.0, weight_sum=0.0, training=True))

    @torch.no_grad()
    def eval(self) -> None:
        """The parameters become x, the average. Nothing happens when they are already."""
        for group in self.param_groups:
            if group["training"]:
                for p in group["params"]:
                    if "z" in self.state.get(p, ()):
                        self.state[p]["y"] = p.clone()
                        p.lerp_(self.state[p]["z"], 1 - 1 / group["betas"][0])
                group["training"] = False

    @torch.no_grad()
    def train(self) -> None:
        """The parameters become y again, exactly as they were."""
        for group in self.param_groups:
            if not group["training"]:
                for p in group["params"]:
                    if "y" in self.state.get(p, ()):
                        p.copy_(self.state[p].pop("y"))
                group["training"] = True

    @contextmanager
    def eval_weights(self) -> Iterator[None]:
        """The parameters are x inside the block, and as before after it."""
        was = self.param_groups[0]["training"]
        self.eval()
        try:
            yield
        finally:
            if was:
                self.train()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if not group["training"]:
                raise TrainingError(
                    "A schedule-free optimizer was asked to step while its parameters hold the average. "
                    "Call optimizer.train() first, or evaluate within optimizer.eval_weights()."
                )
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._move(group, params)
        return loss

    def _move(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for p in params:
            if not self.state[p]:
                self.state[p].update(z=p.clone(), exp_avg_sq=torch.zeros_like(p))
        lr, (b1, b2) = group["lr"], group["betas"]
        group["steps"] += 1
        group["lr_max"] = max(lr, group["lr_max"])
        group["weight_sum"] += group["lr_max"] ** 2
        c = group["lr_max"] ** 2 / group["weight_sum"] if group["weight_sum"] else 0.0
        grads = [p.grad for p in params if p.grad is not None]
        z = [self.state[p]["z"] for p in params]
        v = [self.state[p]["exp_avg_sq"] for p in params]
        torch._foreach_mul_(v, b2)
        torch._foreach_addcmul_(v, grads, grads, 1 - b2)
        root = list(torch._foreach_div(v, 1 - b2 ** group["steps"]))
        torch._foreach_sqrt_(root)
        torch._foreach_add_(root, group["eps"])
        update = list(torch._foreach_div(grads, root))
        if group["weight_decay"]:
            torch._foreach_add_(update, params, alpha=group["weight_decay"])
        torch._foreach_lerp_(params, z, c)  # y from y, z and c alone: x need not be kept
        torch._foreach_add_(params, update, alpha=lr * (b1 * (1 - c) - 1))
        torch._foreach_add_(z, update, alpha=-lr)
