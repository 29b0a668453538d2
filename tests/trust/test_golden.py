"""Runs of every version so far, one of every family: they open, answer, and go on in this one as they did in theirs."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

import lamina
from lamina.cli import main
from lamina.core import names
from lamina.core.files import read_sealed, write_sealed
from lamina.train import checkpoint
from lamina.verbs.run import SCHEMA, Run
from tools.golden import GOLDEN, RUNS, answers

PLACES = [(folder.parent.name, folder.name) for folder in sorted(GOLDEN.glob("*/*")) if (folder / "run").is_dir()]


def alike(new, old, place=""):
    """The same words, and numbers to 1e-5 of the largest beside them: other processors add up in another order."""
    if isinstance(old, dict):
        assert new.keys() >= old.keys(), place  # a newer version may measure more
        for key in old:
            alike(new[key], old[key], f"{place}/{key}")
    elif isinstance(old, list) and old and not isinstance(old[0], float):
        assert len(new) == len(old), place
        for i, (a, b) in enumerate(zip(new, old, strict=True)):
            alike(a, b, f"{place}/{i}")
    elif isinstance(old, float | list):
        a, b = (torch.as_tensor(x, dtype=torch.float64).nan_to_num(math.pi) for x in (new, old))
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * float(b.abs().max() if b.numel() else 0), msg=place)
    else:
        assert new == old, place


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A copy of a version's runs and data, as the working folder."""

    def go(version):
        shutil.copytree(GOLDEN / version, tmp_path / "golden")
        monkeypatch.chdir(tmp_path / "golden")

    return go


@pytest.mark.parametrize(("version", "name"), PLACES)
def test_a_golden_run_answers_as_it_did(version, name, place, tally):
    if name == "dqn":
        pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'lamina[rl]'")
    place(version)
    run = Run(Path(name) / "run")
    alike(answers(run, RUNS[name][2]), json.loads((Path(name) / "answers.json").read_text()), name)
    tally(runs=1)


@pytest.mark.parametrize(("version", "name"), PLACES)
def test_a_golden_run_goes_on(version, name, place):
    """Its checkpoint loads; asked for more steps it makes them from there."""
    if name == "dqn":
        pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'lamina[rl]'")
    place(version)
    run = Run(Path(name) / "run")
    _, state = checkpoint.load(checkpoint.latest(run.folder / "checkpoints"))
    assert state["trainer"]["step"] == run.about["steps"] == 8
    before = run.history
    longer = lamina.fit(resume=run.folder, budget="11steps")
    assert longer.status == "done" and longer.about["steps"] == 11
    assert longer.history[: len(before)] == before


def test_every_family_has_a_golden_run():
    families = set(names.shelf("models", own=False))
    held = {RUNS[name][1]["model"] for version, name in PLACES if version == str(SCHEMA)}
    assert families == {names.find("models", name).entry.name for name in held}
    assert {name for _, name in PLACES} == set(RUNS), "make it: python tools/golden.py"


def test_the_golden_runs_are_small_and_name_no_machine():
    files = [file for file in GOLDEN.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 600_000 * len({version for version, _ in PLACES})
    for file in files:
        assert not any(word in file.read_bytes() for word in (b"/home/", b"/root/", b"/tmp/", b"/work/")), file


def test_a_newer_run_says_so_and_does_not_answer(place, monkeypatch, capsys):
    place(str(SCHEMA))
    path = Path("mlp/run/run.json")
    write_sealed(path, {**read_sealed(path), "schema": SCHEMA + 1, "of": "a later version"})
    for words in (["predict", "mlp/run", "new.csv"], ["fit", "--resume", "mlp/run"], ["evaluate", "mlp/run"]):
        monkeypatch.setattr("sys.argv", ["lamina", *words])
        with pytest.raises(SystemExit) as ended:
            main.main()
        assert ended.value.code == 2
        said = " ".join(capsys.readouterr().err.split())
        assert f"has schema {SCHEMA + 1}; this version of lamina reads up to {SCHEMA}. Update." in said
