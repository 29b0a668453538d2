"""Adversarial learning: a generator learns to make what a discriminator, learning too, cannot tell from the data.

Paper: Goodfellow et al., "Generative Adversarial Nets" (2014), arXiv:1406.2661, algorithm 1: the discriminator's
update, then the generator's, on the same batch. The moving average of the generator is what is kept (Yazıcı et al.,
"The Unusual Effectiveness of Averaging in GAN Training", 2019, arXiv:1806.04498). The discriminator pays for being
steep at real pictures, R1 = penalty / 2 · |∇ score|² (Mescheder et al., "Which Training Methods for GANs do actually
Converge?", 2018, arXiv:1801.04406), taken on an eighth of them, which costs little and is the same on average.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lamina.core.protocols import Average, Batch, Phase, Problem, Recipe, Stage, Tick, Train

__all__ = ["Adversarial"]


class Adversarial:
    """Two updates a step.

    The network has `generator`, `discriminator`, `latent` and, from its paper, `discriminator_loss(real, made)` and
    `generator_loss(made)`; the task gives the pictures between -1 and 1 as `real(batch)`.

    Args:
        lr, discriminator_lr: rates of Adam for the generator and the discriminator. betas: of both, without momentum.
        schedule, shape: of both rates, and its keywords. batch: pictures in an update.
        penalty: of steepness at real pictures; 0 for none.
        average: decay of the generator's moving average.
        rest: the generator is updated in each `rest`-th step.
    """

    def __init__(
        self,
        *,
        lr: float = 2e-3,
        discriminator_lr: float = 2e-3,
        betas: tuple[float, float] = (0.0, 0.99),
        schedule: str = "wsd",
        shape: dict[str, Any] | None = None,
        penalty: float = 0.2,
        batch: int = 32,
        average: float = 0.999,
        rest: int = 1,
    ):
        self.lr, self.discriminator_lr, self.betas, self.schedule = lr, discriminator_lr, betas, schedule
        self.shape = shape or ({"decay": 0.5, "shape": "linear"} if schedule == "wsd" else {})
        self.penalty, self.batch, self.average, self.rest = penalty, batch, average, rest

    def learn(self, problem: Problem, train: Train) -> Iterator[Tick]:
        """One stage with two phases."""
        model: Any = problem.model
        task: Any = problem.task
        options = {"betas": tuple(self.betas)}

        def made(count: int, like: Tensor) -> Tensor:
            return model.generator(torch.randn(count, model.latent, device=like.device))

        def discriminator(batch: Batch) -> dict[str, Tensor]:
            real = task.real(batch)
            fake = made(len(real), real).detach()
            losses = model.discriminator_loss(model.discriminator(real), model.discriminator(fake))
            if self.penalty:
                losses["steep"] = self.penalty / 2 * steepness(model.discriminator, real[: max(1, len(real) // 8)])
            return losses

        def generator(batch: Batch) -> dict[str, Tensor]:
            real = task.real(batch)
            return model.generator_loss(model.discriminator(made(len(real), real)))

        def recipe(lr: float) -> Recipe:
            return Recipe(optimizer="adam", lr=lr, schedule=self.schedule, shape=self.shape, options=options)

        yield from train(
            Stage(
                "adversarial",
                {"model": model, "average": copy.deepcopy(model)},
                problem.feed(self.batch),
                [
                    Phase("discriminator", discriminator, model.discriminator, recipe(self.discriminator_lr)),
                    Phase("generator", generator, model.generator, recipe(self.lr), every=self.rest),
                ],
                [Average("model", "average", self.average)],
                judged="average",
            )
        )


def steepness(score: Any, pictures: Tensor) -> Tensor:
    """The mean over the pictures of |∇ score|², the gradient by the pixels."""
    pictures = pictures.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(score(pictures).sum(), pictures, create_graph=True)
    return slope.square().flatten(1).sum(1).mean()
