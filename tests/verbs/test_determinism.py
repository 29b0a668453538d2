"""The same seed gives the same bits: of every problem, by one loader worker or several, whatever the clock says."""

import datetime
import os
import signal
import time

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import lamina
from lamina.core.errors import DataError
from lamina.train.trainer import Stopped
from lamina.verbs import listing
from tests.verbs.test_seven import EXACT, PROBLEMS, fitted


def bits(run):
    return [(run.folder / name).read_bytes() for name in ("model.safetensors", "metrics.jsonl")]


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_same_seed_twice_gives_the_same_bits_and_another_seed_others(name, tmp_path):
    if name == "cartpole":
        pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'lamina[rl]'")
    short = {"budget": "120steps" if name == "cartpole" else "8steps"}
    first, again = (fitted(name, tmp_path / one, **short) for one in ("first", "again"))
    assert bits(first) == bits(again)
    assert first.about["metrics"] == again.about["metrics"]
    other = fitted(name, tmp_path / "other", seed=1, **short)
    assert bits(first)[0] != bits(other)[0]


class Points(Dataset):
    """Points with noise drawn anew each time."""

    def __init__(self, count=96, dies=None):
        self.x = torch.randn(count, 2, generator=torch.Generator().manual_seed(1))
        self.dies = dies

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        if self.dies is not None and i == 40 and torch.utils.data.get_worker_info() and self.dies.exists():
            self.dies.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.x[i] + 0.1 * torch.randn(2), int(self.x[i].sum() > 0)


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        return self.layer(x)


def learn(folder, workers, dies=None, **more):
    valid = DataLoader(Points(32), batch_size=32)
    train = DataLoader(Points(dies=dies), batch_size=16, shuffle=True, num_workers=workers)
    return lamina.fit(
        train, valid=valid, model=Line(), budget="14steps", out=folder, set={**EXACT, "plan.evaluations": 4}, **more
    )


def test_one_loader_worker_or_several_give_the_same_bits(tmp_path):
    runs = [learn(tmp_path / str(workers), workers) for workers in (0, 1, 3)]
    assert bits(runs[0]) == bits(runs[1]) == bits(runs[2])


def test_a_loader_worker_that_is_killed_is_replaced_within_a_second_and_changes_no_bit(tmp_path):
    """Once while the data are looked at, and once in the training."""
    whole = learn(tmp_path / "whole", 0)
    mark = tmp_path / "mark"
    mark.touch()

    def again(fitting, tick):
        if tick.step == 3:
            assert not mark.exists()
            mark.touch()

    began = time.monotonic()
    hurt = learn(tmp_path / "hurt", 2, dies=mark, watch=again)
    assert not mark.exists() and bits(whole) == bits(hurt)
    assert time.monotonic() - began < 30


def test_workers_that_always_die_are_told_of_in_one_clear_line(tmp_path):
    class Deadly(Points):
        def __getitem__(self, i):
            if torch.utils.data.get_worker_info() and os.environ.get("DEADLY"):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__getitem__(i)

    valid = DataLoader(Points(32), batch_size=32)
    train = DataLoader(Deadly(), batch_size=16, num_workers=1)
    ticks = lamina.train(train, valid=valid, model=Line(), budget="30steps", out=tmp_path / "run", set=EXACT)
    next(ticks)
    os.environ["DEADLY"] = "1"
    began = time.monotonic()
    try:
        with pytest.raises(
            DataError, match=r"Workers of the DataLoader died 4 times in a pass \(.*\)\. Is memory short\?"
        ):
            list(ticks)
    finally:
        del os.environ["DEADLY"]
    assert time.monotonic() - began < 20


def test_a_clock_that_is_set_back_breaks_neither_budget_nor_names_nor_numbers(columns, workplace, monkeypatch):
    """Only the monotonic clock measures; the other one is written down, and nothing follows from it."""
    more = dict(target="z", model="mlp_tiny", set={**EXACT, "data.drop": "y", "plan.evaluations": 4})
    plain = lamina.fit(columns, budget="20steps", out=workplace / "plain", **more)
    moved = [0.0]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - moved[0])

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, zone=None):
            return super().now(zone) - datetime.timedelta(seconds=moved[0])

    monkeypatch.setattr(datetime, "datetime", Clock)

    def back(fitting, tick):
        moved[0] += 1e6

    run = lamina.fit(columns, budget="20steps", out=workplace / "moved", watch=back, **more)
    assert bits(run) == bits(plain)
    assert 0 <= run.about["seconds"] < 100
    began = time.monotonic()
    timed = lamina.fit(columns, budget="3s", watch=back, **more)
    assert time.monotonic() - began < 90 and timed.about["steps"] > 10
    again = lamina.fit(columns, budget="2steps", watch=back, **more)
    assert [r.folder.name for r in (timed, again)] == ["dict-1", "dict-2"]
    assert {row["status"] for row in listing.runs()} == {"done"}


def test_the_size_of_an_evaluation_s_batches_changes_no_metric(columns, workplace):
    """Evaluated in batches of any size, a split has the same figures."""
    more = dict(target="z", model="mlp_tiny", budget="20steps", set={**EXACT, "data.drop": "y"})
    run = lamina.fit(columns, out=workplace / "run", **more)
    from lamina.data import opening
    from lamina.verbs.revive import revive

    parts = revive(run)
    data = opening.reopen(columns, run.about["data"], run.fields())
    data.prepare(["numbers"])
    batches = data.batches
    figures = []
    for size in (1, 7, 300):
        data.batches = lambda sampler, *, split, batch, size=size: batches(sampler, split=split, batch=size)
        with torch.no_grad():
            figures.append({k: v.value for k, v in parts.task.evaluate(parts.model, data, "all").items()})
    for other in figures[1:]:
        assert other == pytest.approx(figures[0], rel=1e-6)


def test_a_signal_before_the_first_step_leaves_no_half_written_run(columns, workplace, monkeypatch):
    from lamina.cli import terminal
    from lamina.verbs import record

    def interrupted(*given, **more):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        raise AssertionError("the signal came to nobody")

    monkeypatch.setattr(record, "about", interrupted)
    with pytest.raises(SystemExit) as left:
        terminal.fitted("digits", dict(model="mlp_tiny", budget="2steps", out=str(workplace / "run")))
    assert left.value.code == 143
    assert not (workplace / "run").exists()


def test_a_signal_between_the_folder_and_the_first_step_leaves_a_run_that_goes_on(columns, workplace, monkeypatch):
    from lamina.cli import terminal
    from lamina.verbs import record

    write = record.write_fields

    def interrupted(*given):
        os.kill(os.getpid(), signal.SIGTERM)
        write(*given)

    monkeypatch.setattr(record, "write_fields", interrupted)
    asked = dict(model="mlp_tiny", budget="4steps", out=str(workplace / "run"), set=["plan.threads=1"])
    with pytest.raises(Stopped):
        terminal.fitted("digits", asked)
    monkeypatch.undo()
    os.chdir(workplace)
    assert lamina.fit(resume=workplace / "run").status == "done"
