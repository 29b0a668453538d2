"""Evaluations on the way: what a network is worth so far, and which weights were the best."""

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.protocols import Judge, Stage
from lamina.core.seeds import mix
from lamina.train.plan import Plan
from lamina.train.running import Running

__all__ = ["Judging", "judging"]


class Judging:
    """Holds what was best: metric, value, step, stage, sha256; with `apart`, its weights too.

    apart: whether no folder keeps the best weights.
    """

    def __init__(self, judge: Judge | None, seed: int, plan: Plan, *, apart: bool):
        self.judge, self._seed, self._plan, self._apart = judge, seed, plan, apart
        self.best: dict[str, Any] | None = None
        self.fresh: dict[str, Tensor] = {}  # the weights just found best
        self.seconds = 0.0  # of an evaluation

    def judges(self, stage: Stage) -> bool:
        """Whether a stage is evaluated at all."""
        return self.judge is not None and stage.judged is not None

    def metrics(self, running: Running) -> dict[str, float]:
        """The judge's figures for the weights as they are (within `running.averaged()`)."""
        assert running.stage.judged is not None and self.judge is not None
        torch.manual_seed(mix(self._seed, *running.path, "judge"))
        with torch.no_grad(), self._plan.autocast(), judging(running.stage.modules[running.stage.judged]) as module:
            return self.judge(module)

    def evaluate(self, running: Running, updates: int) -> tuple[dict[str, float], bool]:
        """The figures, and whether they are the best so far; what is not finite never is."""
        assert running.stage.judged is not None and self.judge is not None
        start = time.monotonic()
        metrics = self.metrics(running)
        value = metrics[self.judge.metric]
        better = math.isfinite(value) and (self.best is None or self.judge.better(value, self.best["value"]))
        if better and running.spoilt():
            better = False
        if better:
            where = {"step": updates, "stage": "/".join(running.path)}
            self.best = {"metric": self.judge.metric, "value": value, **where}
            weights = running.stage.modules[running.stage.judged].state_dict()
            self.fresh = {k: v.detach().to("cpu", copy=True) for k, v in weights.items()}
            if self._apart:
                self.best["weights"] = self.fresh
        running.observe(better, value if self.judge.better(0.0, 1.0) else -value)
        self.seconds = time.monotonic() - start
        return metrics, better


@contextlib.contextmanager
def judging(module: nn.Module) -> Iterator[nn.Module]:
    """Within it the module is in evaluation mode; after it each part is as it was, a frozen norm too."""
    modes = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        yield module
    finally:
        for one, training in modes:
            one.training = training
