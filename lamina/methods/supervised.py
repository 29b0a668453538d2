"""Supervised learning: outputs towards targets, one loss, one optimizer.

Next-token prediction is the same, with the text as its own target.
The recipes are what was measured to do well, by what the network reads; every one of their values is a setting.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lamina.core.calls import call
from lamina.core.errors import SettingError
from lamina.core.protocols import Average, Batch, Phase, Problem, Recipe, Stage, Tick, Train
from lamina.nn import augment as augmentation

__all__ = ["RECIPES", "Supervised"]

_MUON = dict(optimizer="muon", options={"betas": (0.9, 0.95)})
RECIPES: dict[str, dict[str, Any]] = {
    "table": dict(**_MUON, lr=5e-3, batch=512, weight_decay=0.1, schedule="cosine"),
    "image": dict(
        **_MUON, lr=4e-3, batch=256, weight_decay=0.2, schedule="cosine", warmup=0.1, augment="auto",
        average=0.998,
    ),
    "text": dict(
        optimizer="muon", options={"betas": (0.8, 0.95), "eps": 1e-10}, lr=6.25e-3, batch=16, schedule="linear",
        shape={"floor": 0.05}, warmup=0.02,
    ),
    "graph": dict(optimizer="adam", lr=2e-2, batch=0, l2=1e-4, schedule="one_cycle", shape={"rise": 0.1}),
}  # fmt: skip


class Supervised:
    """One loss, one group of parameters.

    Args, each None for the recipe's own:
        lr: also find, for a range test before the first step.
        optimizer, lr, schedule, warmup, weight_decay, clip, l1, l2: see `Recipe`.
        options, shape: keywords of the optimizer, such as {"betas": [0.9, 0.99]}, and of the schedule.
        batch: rows in an update; 0 is all of them (gradient descent proper).
        augment: names of picture augmentations, such as flip,crop=2,cutout; none for none. auto shifts and cuts out: it
            never flips, as a mirrored digit is another one.
        average: decay of a moving average of the weights, which is then what is judged and kept; 0 for none.
    """

    def __init__(
        self,
        *,
        optimizer: str | None = None,
        lr: float | str | None = None,
        schedule: str | None = None,
        warmup: float | None = None,
        weight_decay: float | None = None,
        clip: float | None = None,
        l1: float | None = None,
        l2: float | None = None,
        options: dict[str, Any] | None = None,
        shape: dict[str, Any] | None = None,
        batch: int | None = None,
        augment: str | None = None,
        average: float | None = None,
    ):
        given = dict(locals())
        given.pop("self")
        if isinstance(lr, str):
            if lr != "find":
                raise SettingError(f"method.lr takes a number, or find for a range test; {lr!r} came.")
            given["lr"] = 0.0
        self.given = {k: v for k, v in given.items() if v is not None}

    def settings(self, kinds: list[str]) -> dict[str, Any]:
        """The recipe for networks that read these kinds, with what was given put over it."""
        kind = "graph" if "edges" in kinds else "image" if "image" in kinds else "text" if "text" in kinds else "table"
        own = {**RECIPES[kind], **self.given}
        if self.given.get("optimizer", own["optimizer"]) != RECIPES[kind]["optimizer"] and "options" not in self.given:
            own.pop("options", None)  # the recipe's options were for its own optimizer
        if own["schedule"] != RECIPES[kind]["schedule"] and "shape" not in self.given:
            own.pop("shape", None)
        return own

    def learn(self, problem: Problem, train: Train) -> Iterator[Tick]:
        """One stage with one phase."""
        settings = self.settings(problem.data.kinds())
        batch = settings.pop("batch")
        decay = settings.pop("average", 0.0)
        policy = settings.pop("augment", "none")
        if policy == "auto":
            policy = f"crop={max(1, round(problem.data.sizes()['size'] / 14))},cutout=0.25"
        augment = None if policy in ("none", "") else augmenting(policy, problem.task.sizes().get("classes", 1))
        model, task = problem.model, problem.task
        own = getattr(model, "loss", None)
        judged_by: Callable[..., dict[str, Tensor]] = own or task.loss
        count = None if own else getattr(task, "count", None)

        def loss(batch: Batch) -> dict[str, Tensor]:
            return judged_by(call(model, batch), batch)

        modules, averages = {"model": model}, []
        if decay:
            modules["average"] = copy.deepcopy(model)
            averages = [Average("model", "average", decay)]
        yield from train(
            Stage(
                "supervised",
                modules,
                problem.feed(batch, augment=augment),
                [Phase("loss", loss, model, Recipe(**settings), count=count)],
                averages,
                judged="average" if decay else "model",
            )
        )


def augmenting(policy: str, classes: int) -> Callable[[Batch, torch.Generator], Batch]:
    """Picture augmentations by name as a change of whole batches; mixing samples mixes their targets too."""
    chosen = augmentation.policy(policy, fill="border")  # zero would be grey: pictures come standardised

    def change(batch: Batch, rng: torch.Generator) -> Batch:
        image = chosen(batch["image"], generator=rng)
        mixing = chosen.mix(len(image), (image.shape[-2], image.shape[-1]), rng, image.device)
        if mixing is None:
            return {**batch, "image": image}
        targets = {k: v for k, v in batch.items() if k.startswith("target.")}
        spread = {k: one_hot(v, classes).float() if not v.is_floating_point() else v for k, v in targets.items()}
        return {**batch, "image": mixing.images(image), **{k: mixing.targets(v) for k, v in spread.items()}}

    return change
