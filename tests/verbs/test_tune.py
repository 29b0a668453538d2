"""tune: ranges, the search, and a study that is gone on with."""

import json
import sys

import pytest

import lamina
from lamina.core.errors import MissingExtra, RunError, SettingError
from lamina.verbs.tune import ranges

ASKED = dict(target="y", model="mlp_tiny", budget="30steps")
SEARCHED = ["lr=1e-6..1e-1", "hidden=[4]|[16]", "data.drop=z", "plan.evaluations=3"]


def test_what_a_range_may_say():
    assert ranges(["lr=1e-4..1e-1", "depth=1..4", "width=64|128", "drop=0.1"]) == {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True, "whole": False},
        "depth": {"low": 1.0, "high": 4.0, "log": False, "whole": True},
        "width": {"choices": ["64", "128"]},
        "drop": {"fixed": "0.1"},
    }
    assert not ranges(["lr=1e-3..9e-2"])["lr"]["log"], "90 times apart"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["lr=1..1"], "the lower end comes first"),
        (["lr=a..b"], "a range is LOW..HIGH, two numbers"),
        (["lr=1|1"], "choices are different values parted by |"),
        (["lr"], "--set takes KEY=RANGE"),
        (["lr=0.1"], "nothing to search"),
        ([], "nothing to search"),
        (["lr=1|2", "lr=3|4"], "gives lr twice"),
    ],
)
def test_what_a_range_may_not_say(given, said):
    with pytest.raises(SettingError) as refusal:
        ranges(given)
    assert said in str(refusal.value)


@pytest.mark.covers("control/hyperparameter-tuning", "practice/experiment")
def test_a_search_finds_what_learns_and_a_study_gone_on_with_is_the_same_as_one_in_a_piece(columns):
    whole = lamina.tune(columns, set=SEARCHED, trials=4, out="whole", **ASKED)
    values = [row["value"] for row in whole["trials"]]
    assert values == sorted(values, reverse=True) and whole["metric"] == "accuracy"
    best, worst = whole["trials"][0], whole["trials"][-1]
    assert best["value"] > 0.8 > worst["value"], "rates from 1e-6 on do not all learn in 30 steps"
    assert f"--set lr={best['set']['lr']}" in whole["command"]
    run = lamina.open(best["run"])
    assert run.about["best"]["value"] == best["value"], "judged by the validation split"
    lamina.tune(columns, set=SEARCHED, trials=2, out="parts", **ASKED)
    parts = lamina.tune(columns, set=SEARCHED, trials=4, out="parts", **ASKED)
    strip = [[{k: v for k, v in row.items() if k != "run"} for row in found["trials"]] for found in (whole, parts)]
    assert strip[0] == strip[1]
    with pytest.raises(RunError, match="holds a study that was asked otherwise: set was"):
        lamina.tune(columns, set=["lr=1e-3..1e-1", "data.drop=z"], trials=4, out="parts", **ASKED)


def test_a_trial_cut_off_is_gone_on_with(columns, monkeypatch):
    from lamina.train.trainer import Trainer

    run = Trainer.run
    made = []

    def cut(self, *words):
        made.append(self)
        for tick in run(self, *words):
            if len(made) == 2 and tick.step >= 3:
                raise KeyboardInterrupt
            yield tick

    monkeypatch.setattr(Trainer, "run", cut)
    with pytest.raises(KeyboardInterrupt):
        lamina.tune(columns, set=SEARCHED, trials=2, out="cut", **ASKED)
    monkeypatch.setattr(Trainer, "run", run)
    cut_off = lamina.tune(columns, set=SEARCHED, trials=2, out="cut", **ASKED)
    whole = lamina.tune(columns, set=SEARCHED, trials=2, out="whole", **ASKED)
    assert [(r["trial"], r["value"], r["set"]) for r in cut_off["trials"]] == [
        (r["trial"], r["value"], r["set"]) for r in whole["trials"]
    ]


def test_a_failed_trial_is_listed_and_ends_nothing(columns):
    found = lamina.tune(columns, set=["norm=batch|unheard", "data.drop=z", "plan.evaluations=2"], trials=4, **ASKED)
    failed = [row for row in found["trials"] if "error" in row]
    assert failed and all("normalises by one of" in row["error"] and row["value"] is None for row in failed)
    assert found["trials"][0]["set"]["norm"] == "batch" and found["trials"][-1] in failed


def test_what_every_trial_would_stumble_over_ends_at_once(columns):
    with pytest.raises(SettingError, match="nothing here has a setting 'wdith'"):
        lamina.tune(columns, set=["wdith=1|2"], trials=3, **ASKED)


def test_without_optuna_the_command_that_installs_it_is_named(columns, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"pip install 'lamina\[tune\]'"):
        lamina.tune(columns, set=SEARCHED, **ASKED)


def test_a_folder_that_is_no_study_is_left_alone(columns, workplace):
    (workplace / "mine").mkdir()
    (workplace / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(RunError, match="mine exists and holds no study"):
        lamina.tune(columns, set=SEARCHED, out="mine", **ASKED)
    assert json.loads(json.dumps((workplace / "mine" / "letter.txt").read_text())) == "keep me"
