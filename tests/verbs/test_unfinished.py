"""Runs that were stopped: what they answer with meanwhile, what going on with them takes, and what it says."""

import json
import sys
import warnings

import pytest
import safetensors.torch
import torch

import lamina
from lamina.core.errors import DataWarning, RunError, SettingError, TrainingError
from lamina.core.files import read_sealed, write_sealed
from lamina.train import checkpoint
from lamina.train.running import Running
from lamina.verbs import run as runs
from lamina.verbs.fit import Fitting
from lamina.verbs.resuming import different

EXACT = {"plan.threads": 1, "plan.precision": "float32"}


def stopped(columns, folder, at, *, budget="40steps", **more):
    """A run whose loop was left after a step."""
    fitting = Fitting(
        columns, target="z", model="mlp_tiny", budget=budget, out=folder, set={**EXACT, **more.pop("set", {})}, **more
    )
    ticks = fitting.ticks()
    for tick in ticks:
        if tick.step == at:
            ticks.close()
    return folder


def test_before_the_first_evaluation_it_answers_with_the_last_checkpoint_and_says_so(columns, workplace):
    more = {"data.drop": "y", "plan.save_every": 5, "plan.evaluations": 1, "plan.nonfinite": "back"}
    folder = stopped(columns, workplace / "run", 12, set=more)
    assert not (folder / "model.safetensors").exists()
    run = runs.open(folder)
    words = (
        r"run holds no best weights yet \(its training is stopped\): these are of its last checkpoint, "
        r"00000010-[0-9a-f]{8}, after 10 updates\. Go on with: lamina fit --resume .*run"
    )
    with pytest.warns(DataWarning, match=words):
        answers = run.predict({k: columns[k][:4] for k in "ab"})["z"]
    with pytest.warns(DataWarning, match=words):
        assert run.evaluate(columns)["r2"]["count"] == 300
    with pytest.warns(DataWarning):
        model = run.model()
    weights, _ = checkpoint.load(checkpoint.latest(folder / "checkpoints"))
    assert all(torch.equal(v, weights[f"model.{k}"]) for k, v in model.state_dict().items())
    done = lamina.fit(columns, resume=folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert done.predict({k: columns[k][:4] for k in "ab"})["z"] != answers


def test_without_any_weights_it_says_how_to_go_on(columns, workplace):
    folder = stopped(columns, workplace / "run", 2, set={"data.drop": "y"})
    assert not list((folder / "checkpoints").iterdir())
    with pytest.raises(RunError, match=r"holds no weights yet: its training is stopped\. Go on with: lamina fit"):
        lamina.predict(folder, {k: columns[k][:4] for k in "ab"})


def test_the_best_weights_of_a_stopped_run_are_checked_too(columns, workplace):
    folder = stopped(columns, workplace / "run", 20, set={"data.drop": "y", "plan.evaluations": 8})
    rows = {k: columns[k][:4] for k in "ab"}
    assert len(lamina.predict(folder, rows)["z"]) == 4
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"model\.safetensors is not what the run saved: its SHA-256 differs\. Go on"):
        lamina.predict(folder, rows)
    assert lamina.fit(columns, resume=folder).status == "done"  # the checkpoint is of the best step: it is made good
    assert len(lamina.predict(folder, rows)["z"]) == 4


def test_where_nothing_is_judged_the_average_is_kept_if_there_is_one(columns, workplace, monkeypatch):
    seen = {}
    finish = Running.finish

    def watched(self):
        finish(self)
        seen.update({k: v.clone() for k, v in self.stage.modules["average"].state_dict().items()})

    monkeypatch.setattr(Running, "finish", watched)
    run = lamina.fit(
        columns, target="z", model="mlp_tiny", budget="20steps", out=workplace / "run",
        set={**EXACT, "data.drop": "y", "data.fractions": [1, 0, 0], "average": 0.9},
    )  # fmt: skip
    held = safetensors.torch.load((run.folder / "model.safetensors").read_bytes())
    assert all(torch.equal(held[k], v) for k, v in seen.items())


def test_a_run_gone_on_with_keeps_its_settings_but_for_the_one_about_what_is_not_finite(columns, workplace):
    folder = stopped(columns, workplace / "run", 20, set={"data.drop": "y"})
    with pytest.raises(SettingError, match=r"--set lr=1: a run that is gone on with keeps its settings"):
        lamina.fit(columns, resume=folder, set={"lr": 1})
    with pytest.raises(SettingError, match=r"plan\.nonfinite is one of back, skip, stop, not 'ignore'"):
        lamina.fit(columns, resume=folder, set={"plan.nonfinite": "ignore"})
    run = lamina.fit(columns, resume=folder, set={"plan.nonfinite": "skip", "data.drop": "y"})
    assert run.status == "done" and run.about["plan"]["nonfinite"] == "skip"


def test_a_run_that_failed_on_a_bad_number_goes_on_by_leaving_it_out(columns, workplace, monkeypatch):
    advance = Running.advance

    def poisoned(self):
        if self.step == 17:
            phase = self.stage.phases[0]
            plain, phase.loss = phase.loss, lambda batch: {k: v * float("nan") for k, v in plain(batch).items()}
            self._losses[0] = phase.loss
            try:
                return advance(self)
            finally:
                phase.loss = self._losses[0] = plain
        return advance(self)

    monkeypatch.setattr(Running, "advance", poisoned)
    more = dict(target="z", model="mlp_tiny", budget="40steps", set={**EXACT, "data.drop": "y"})
    with pytest.raises(TrainingError, match=r"became nan at step 18 .* Both may be said with --resume"):
        lamina.fit(columns, out=workplace / "run", **more)
    run = lamina.fit(columns, resume=workplace / "run", set={"plan.nonfinite": "back"})
    assert run.status == "done"
    assert [line["withheld"] for line in run.history if "withheld" in line]


def test_what_the_bits_depend_on_is_said_where_it_is_not_as_it_was(columns, workplace):
    folder = stopped(columns, workplace / "run", 20, set={"data.drop": "y"})
    about = read_sealed(folder / "run.json")
    about["versions"]["torch"] = "2.0.0"
    about["hardware"]["machine"] = "m68k"
    write_sealed(folder / "run.json", about)
    notes = Fitting(columns, resume=folder).parts.notes
    said = [note for note in notes if note.endswith("its numbers may come out differently in their last digits")]
    assert said[0].startswith(f"torch is {torch.__version__} here and was 2.0.0: ")
    assert "and was m68k" in said[1] and len(said) == 2
    assert "the run used 4096 threads" in different(about, {"threads": 4096})[-1]


FIELD = '''
"""Degrees, written with their unit."""

from lamina.core.protocols import Column
from lamina.fields.number import Number

__all__ = ["Degrees"]


class Degrees(Number):
    """'21.5 °C' is 21.5."""

    def _plain(self, column):
        return Column(column.name, [float(str(v).removesuffix(" °C")) for v in column.values], column.source)

    def fit(self, column):
        super().fit(self._plain(column))

    def encode(self, column, **how):
        return super().encode(self._plain(column), **how)

    def missing(self, column):
        return super().missing(self._plain(column))

    def check(self, column):
        return super().check(self._plain(column))
'''


@pytest.mark.parametrize("way", ["module:Class", "lamina_ext"])
def test_a_field_of_one_s_own_is_named_by_the_run_and_given_again_elsewhere(way, columns, workplace, monkeypatch):
    name = "thermometer:Degrees" if way == "module:Class" else "degrees"
    place = (
        workplace / "thermometer.py" if way == "module:Class" else workplace / "lamina_ext" / "fields" / "degrees.py"
    )
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(FIELD, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "thermometer", raising=False)
    warm = {**columns, "a": [f"{v:.4f} °C" for v in columns["a"]]}
    run = lamina.fit(
        warm, target="z", model="mlp_tiny", budget="60steps", out=workplace / "run",
        set={**EXACT, "lr": 0.02, "data.drop": "y", "data.types": {"a": name}},
    )  # fmt: skip
    assert run.metrics["r2"] > 0.8
    held = json.loads((run.folder / "fields" / "fields.json").read_text("utf-8"))
    assert held["a"]["field"] == name
    rows = {k: warm[k][:4] for k in "ab"}
    answers = run.predict(rows)["z"]
    again = rf"reads 'a' by the field '{name}', which is not part of lamina.*give it again: types=\{{'a': '{name}'\}}"
    with pytest.raises(RunError, match=again):
        lamina.predict(run.folder, rows)
    with pytest.raises(RunError, match=again):
        lamina.evaluate(run.folder, warm)
    assert lamina.predict(run.folder, rows, set={"data.types": {"a": name}})["z"] == answers
    assert lamina.evaluate(run.folder, warm, types={"a": name})["r2"]["value"] > 0.8
