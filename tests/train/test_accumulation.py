"""Micro-batches add up to the large batch: in rows, by sample weights, by class weights, and in padded tokens."""

import pytest
import torch

from lamina.core.protocols import Phase, Problem, Recipe
from lamina.methods.supervised import Supervised
from lamina.nn import losses
from lamina.tasks.classification import Classification
from lamina.train.accumulation import counted, inexact, shares_of
from tests.train import problems
from tests.train.problems import Rows, net, run

PARTS = [1, 4]


class Labels:
    """What a classification asks of its field."""

    labels = ("a", "b", "c")
    counts = (5.0, 1.0, 2.0)


def rows(parts):
    """Two batches of 12 rows with classes and weights, some of them 0; cut into micro-batches as asked."""

    class Feed(Rows):
        def next(self, step, asked=1):
            draw = torch.Generator().manual_seed(step)
            x = torch.randn(12, 6, generator=draw, dtype=torch.float64)
            y = torch.randint(3, (12,), generator=draw)
            weight = torch.rand(12, generator=draw, dtype=torch.float64) * (torch.arange(12) % 5 > 0)
            weight[:3] = 0  # a micro-batch that counts for nothing
            pieces = zip(x.chunk(parts), y.chunk(parts), weight.chunk(parts), strict=True)
            return [{"numbers": a, "target.c": b, "sample_weight": w} for a, b, w in pieces]

    return Feed(batch=12)


class Data:
    """A data set that is only a feed."""

    def __init__(self, feed):
        self.made = feed

    def kinds(self):
        return ["numbers"]

    def feed(self, sampler, **how):
        return self.made


@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_weighted_samples_and_classes_add_up_to_the_large_batch(balance, loss):
    """Through the method and the task themselves, in double precision."""
    ends = []
    for parts in PARTS:
        model = net(dropout=0.0, norm=False, out=3).double()
        task = Classification("c", Labels(), balance=balance, loss=loss)
        task.loss = lambda outputs, batch, task=task: {
            "loss": task._loss(outputs, batch["target.c"], weight=batch["sample_weight"])
        }
        method = Supervised(optimizer="momentum", lr=0.1, schedule="constant", weight_decay=0.0)
        one = problems.trainer(None, plan={"accumulate": parts}, judge=None, budget="6steps")
        asked = Problem(model, task, Data(rows(parts)), 3, torch.device("cpu"))  # type: ignore[arg-type]
        assert len(list(one.run(method, asked))) == 6
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-6)
    assert (ends[0] - torch.cat([p.detach().flatten() for p in net(norm=False, out=3).parameters()])).abs().max() > 0.01


@pytest.mark.parametrize("weighted", [False, True])
def test_padded_texts_count_by_their_tokens(weighted):
    loss = losses.create("cross_entropy", axis=-1)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(8, 5, 6, generator=draw, dtype=torch.float64)
    y = torch.randint(3, (8, 5), generator=draw)
    y[torch.arange(5) >= torch.tensor([5, 1, 2, 5, 3, 1, 4, 1])[:, None]] = -100
    weight = torch.rand(8, generator=draw, dtype=torch.float64)
    gradients = []
    for parts in PARTS:
        model = net(dropout=0.0, norm=False, out=3).double()

        def judged(batch, model=model):
            spread = batch["sample_weight"][:, None].expand(batch["target.t"].shape) if weighted else None
            return {"loss": loss(model(batch["text"]), batch["target.t"], weight=spread)}

        phase = Phase("loss", judged, model, Recipe())
        pieces = zip(x.chunk(parts), y.chunk(parts), weight.chunk(parts), strict=True)
        batches = [{"text": a, "target.t": b, **({"sample_weight": w} if weighted else {})} for a, b, w in pieces]
        for batch, share in zip(batches, shares_of(phase, batches), strict=True):
            value = judged(batch)["loss"]
            (value if share is None else value * share).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_what_a_batch_counts_for():
    assert counted({"numbers": torch.zeros(5, 2), "target.y": torch.zeros(3)}) == 3
    assert float(counted({"target.y": torch.zeros(3), "sample_weight": torch.tensor([0.5, 0.0, 2.0])})) == 2.5
    assert int(counted({"target.text": torch.tensor([[1, 2, -100], [4, -100, -100]])})) == 3
    nothing = [{"target.y": torch.zeros(2), "sample_weight": torch.zeros(2)}] * 2
    phase = Phase("p", lambda batch: {}, net(), Recipe())
    assert [float(share) for share in shares_of(phase, nothing)] == [0.0, 0.0]


def test_a_network_whose_samples_depend_on_each_other_is_said_to_be_an_exception():
    one, _ = run(None, problems.supervised(), plan={"accumulate": 2})
    words = "2 micro-batches are not quite the large batch: model.1 normalises over each alone"
    assert list(one.warnings) == [words]
    for how in ({"plan": {"accumulate": 1}}, {"plan": {"accumulate": 2}, "model": lambda: net(norm=False)}):
        other, _ = run(None, problems.supervised(), **how)
        assert not other.warnings
    frozen = net().eval()
    assert inexact({"model": frozen}, 2) is None
