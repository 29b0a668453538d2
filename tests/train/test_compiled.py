"""Compiled losses against the same as written."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

import lamina
from lamina.core.errors import TrainingError
from lamina.core.protocols import Phase, Recipe
from lamina.train import compiled

EXACT = {"plan.threads": 1, "plan.precision": "float32", "plan.evaluations": 1}


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on a CPU: install g++")
@pytest.mark.timeout(300)
def test_a_compiled_run_is_the_eager_one_within_the_bound_that_it_prints(tmp_path):
    """With dropout, whose draws are the same in both."""
    lines, runs = {}, {}
    for name in ("eager", "compiled"):
        runs[name] = lamina.fit(
            "digits", model="mlp", budget="12steps", seed=0, out=tmp_path / name,
            set={**EXACT, "plan.compile": name == "compiled", "model.drop": 0.1, "model.hidden": [16]},
        )  # fmt: skip
        told = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        lines[name] = [line["loss"] for line in told if "loss" in line]
    events = [json.loads(line) for line in (tmp_path / "compiled" / "events.jsonl").read_text().splitlines()]
    (bound,) = [e["apart"]["loss"] for e in events if e["event"] == "compiled"]
    assert bound < 1e-5
    assert lines["compiled"] == pytest.approx(lines["eager"], rel=1e-4)
    a, b = (torch.cat([p.flatten() for p in runs[n].model().parameters()]) for n in runs)
    assert float((a - b).detach().abs().max()) < 1e-3 * float(a.detach().abs().max())


def test_a_compiler_that_gives_another_loss_is_not_trusted():
    weight = torch.nn.Parameter(torch.tensor(2.0))
    phase = Phase("loss", lambda batch: {"a": weight * batch["x"]}, [weight], Recipe())
    guard = SimpleNamespace(remember=lambda: None, restore=lambda: None)

    def running(factor):
        def loss(index, part, batch):
            return {}, factor * weight * batch["x"]

        plan = SimpleNamespace(autocast=lambda: torch.autocast("cpu", enabled=False))
        return SimpleNamespace(guard=guard, loss=loss, seed=lambda index, part: None, plan=plan)

    batch = {"x": torch.tensor(3.0)}
    assert compiled.apart(running(1.001), 0, phase, batch) == pytest.approx(1e-3, rel=1e-3)
    for factor in (1.5, float("nan")):
        with pytest.raises(TrainingError, match=r"where it gives 6 as written.*plan\.compile=false"):
            compiled.apart(running(factor), 0, phase, batch)
    assert compiled.told({"loss": 2.4e-7}) == "compiled losses are those as written within 2e-07 (loss)"
