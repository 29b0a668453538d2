"""The contract of a network, as checks of anything that builds one. tests/models/test_contract.py runs them.

The sizes of inputs and outputs are handed in, as the data hand them in; whatever of them a network takes, it gets.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from lamina.core import calls

__all__ = ["CHECKS", "SIZES", "Case", "leak", "outputs"]

SIZES = dict(columns=3, cardinalities=[4, 12], vocab=20, channels=1, size=8, classes=3, outputs=3)
COUNT = 5
TIME = 6
TOKENS = 4  # words of a text


@dataclass
class Case:
    """A way to build a network, and batches that fit it."""

    make: Callable[..., nn.Module]
    settings: dict[str, Any]

    def build(self, seed: int = 0, **more: Any) -> nn.Module:
        torch.manual_seed(seed)
        return self.make(**{**self.settings, **more})

    def shaken(self, seed: int = 0) -> nn.Module:
        """With weights that have moved: at the start a head may be zero, and all answers alike."""
        model = self.build(seed)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.1 * torch.randn_like(p))
        return model

    def batch(self, seed: int = 1) -> dict[str, Tensor]:
        """Random inputs of the kinds that the network reads; first tokens differ, and edges close a ring."""
        rng = torch.Generator().manual_seed(seed)

        def whole(high: int, *shape: int) -> Tensor:
            return torch.randint(high, shape, generator=rng)

        given = {**SIZES, **self.settings}
        text = whole(given["vocab"], COUNT, TIME)
        text[:, 0] = torch.randperm(given["vocab"], generator=rng)[:COUNT]
        nodes = torch.arange(COUNT)
        made = {
            "numbers": torch.randn(COUNT, given["columns"], generator=rng),
            "categories": torch.stack([whole(k, COUNT) for k in given["cardinalities"]], 1),
            "image": torch.randn(COUNT, given["channels"], given["size"], given["size"], generator=rng),
            "text": text,
            "words": whole(given["vocab"], TOKENS * COUNT),
            "words_offsets": TOKENS * nodes,
            "words_weights": 0.5 + torch.rand(TOKENS * COUNT, generator=rng),
            "edges": torch.stack([nodes, nodes.roll(1)]),
            "noise": torch.randn(COUNT, given.get("latent", 1), generator=rng),
        }
        takes = inspect.signature(self.build().forward).parameters
        strange = [name for name in takes if name not in made]
        assert not strange, f"forward reads {strange}, of which this suite makes none: teach `batch` to"
        return {name: value for name, value in made.items() if name in takes}


def outputs(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """What a network gives, called as tasks call it."""
    more = {"noise": batch["noise"]} if "noise" in batch else {}
    torch.manual_seed(2)  # of dropout
    return several(calls.call(model, batch, **more))


def several(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def gradients(model: nn.Module, made: tuple[Tensor, ...]) -> dict[str, Tensor | None]:
    """Of a fixed random weighing of the outputs, by parameter."""
    rng = torch.Generator().manual_seed(4)
    model.zero_grad()
    sum((o * torch.randn(o.shape, generator=rng)).sum() for o in made).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


def gradient(case: Case) -> None:
    """Every parameter moves. A few steps are made first, for a head that starts at zero lets nothing through."""
    model, batch = case.build(), case.batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        found = gradients(model, outputs(model, batch))
        optimizer.step()
    still = [name for name, grad in found.items() if grad is None or not grad.any()]
    assert not still, f"no gradient reaches {', '.join(still)}"


def leak(case: Case, training: bool = False, without: tuple[str, ...] = ()) -> None:
    """What another sample of the batch is changes nothing, to the last bit."""
    batch = {name: value for name, value in case.batch().items() if name not in without}
    other = {name: value.clone() for name, value in batch.items()}
    for name in ("numbers", "image", "noise", "categories", "text", "words"):
        if name in other:
            first = other[name][: TOKENS if name == "words" else 1]
            first.copy_(first + 1 if first.is_floating_point() else 1 - first.clamp(max=1))
    given = [outputs(case.shaken().train(training), inputs) for inputs in (batch, other)]
    for before, after in zip(*given, strict=True):
        assert not torch.equal(after[0], before[0]), "what it reads changes nothing at all"
        torch.testing.assert_close(after[1:], before[1:], rtol=0, atol=0)


def leak_in_training(case: Case) -> None:
    leak(case, training=True)


def save(case: Case) -> None:
    """Weights and statistics are all there is to a network."""
    model, other = case.shaken(), case.shaken(seed=9)
    outputs(model.train(), case.batch(seed=5))  # moves statistics, where there are some
    held = safetensors.torch.save({name: value.clone() for name, value in model.state_dict().items()})
    other.load_state_dict(safetensors.torch.load(held))
    given = [outputs(m.eval(), case.batch()) for m in (model, other)]
    for before, after in zip(*given, strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=0)


def export(case: Case) -> None:
    """As a graph, checked on another batch than it was made from."""
    model, batch = case.shaken().eval(), case.batch(seed=5)
    program = torch.export.export(model, (), case.batch(), strict=False).module()
    for before, after in zip(outputs(model, batch), several(program(**batch)), strict=True):
        torch.testing.assert_close(after, before)


def compiles(case: Case) -> None:
    """Traced whole, outputs and gradients, on two batches; what code is then made of it is torch's own affair."""
    model = case.shaken()
    torch.compiler.reset()
    # Graphs have as many places as there are different edges, which is known when they are read.
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(model.eval(), backend="aot_eager", fullgraph=True)
        for batch in (case.batch(), case.batch(seed=5)):
            plain, quick = outputs(model, batch), several(compiled(**batch))
            torch.testing.assert_close(quick, plain)
            wanted = {name: g if g is None else g.clone() for name, g in gradients(model, plain).items()}
            torch.testing.assert_close(gradients(model, quick), wanted)


def overfit(case: Case) -> None:
    """A handful of samples is learnt by heart: scores by cross-entropy, values by their squared error."""
    off = {name: 0.0 for name in inspect.signature(case.make).parameters if re.search(r"(^|_)drop$", name)}
    model, batch, rng = case.build(**off).train(), case.batch(), torch.Generator().manual_seed(3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    wanted: list[Tensor] = []
    history = []
    for _ in range(300):
        optimizer.zero_grad()
        made = outputs(model, batch)
        wanted = wanted or [_target(o, "text" in batch, rng) for o in made]
        loss = sum(_loss(o, t) for o, t in zip(made, wanted, strict=True))
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.05 * history[0], f"from {history[0]:.3g} to {history[-1]:.3g} only"


def _target(output: Tensor, text: bool, rng: torch.Generator) -> Tensor:
    if output.ndim < 2:
        return torch.randn(output.shape, generator=rng)
    places = output.shape[:2] if text else output.shape[:1]
    target = torch.randint(output.shape[-1], places, generator=rng)
    return target if target.ndim == output.ndim - 1 else target[:, None].expand(output.shape[:-1])  # of each member


def _loss(output: Tensor, target: Tensor) -> Tensor:
    if target.is_floating_point():
        return (output - target).square().mean()
    return nn.functional.cross_entropy(output.flatten(0, -2), target.flatten())


CHECKS: dict[str, Callable[[Case], None]] = {
    "gradient": gradient,
    "leak": leak,
    "leak in training": leak_in_training,
    "save": save,
    "export": export,
    "compile": compiles,
    "overfit": overfit,
}
