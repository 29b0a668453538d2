"""Run folders from strangers, given to every verb that opens one: one clear line, no code run, nothing touched."""

import os
import shutil
import sys
import time

import pytest

import lamina as package
from tests.cli.conftest import lamina  # noqa: F401 (a fixture)
from tests.trust import hostile, hostile_runs

SECONDS = 1.0  # of the processor
EVIL = "open({canary!r}, 'w').close()\n\nclass Net:\n    kinds = ()\n"

sys.addaudithook(hostile.watch)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A finished run over a table."""
    folder = tmp_path_factory.mktemp("sound")
    source = hostile.table(folder, "good.csv")
    plan = {"plan.threads": 1, "plan.precision": "float32"}
    return package.fit(source, target="y", model="mlp_tiny", budget="4steps", out=folder / "run", set=plan).folder


@pytest.fixture
def place(tmp_path, monkeypatch, sound):
    """A working directory with somebody's code in it, a run beside it, and a folder that nobody may touch."""
    place, outside = tmp_path / "place", tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text(hostile.GOOD)
    shutil.copytree(sound, place / "run")
    shutil.copy(sound.parent / "good.csv", place)
    evil = EVIL.format(canary=str(outside / "canary"))
    for name in ("evil.py", "lamina_ext/models/own.py", "lamina_ext/fields/own.py"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(evil)
    monkeypatch.chdir(place)
    return place


WORDS = {
    "evaluate": ("evaluate", "run", "good.csv"),
    "predict": ("predict", "run", "good.csv"),
    "show": ("show", "run"),
    "compare": ("compare", "run", "run"),
    "report": ("report", "run"),
    "resume": ("fit", "--resume", "run", "--steps", "6"),
    "weights": ("fit", "good.csv", "--target", "y", "--model", "mlp_tiny", "--steps", "2", "--weights", "run"),
}


@pytest.mark.parametrize("name", hostile_runs.CASES)
def test_a_hostile_run_is_refused_by_every_verb_that_opens_one(name, place, lamina):  # noqa: F811
    case, outside = hostile_runs.CASES[name], place.parent / "outside"
    os.chdir(place)
    case.change(place / "run", outside)
    with hostile.sealed_off(outside):
        for verb in case.verbs:
            os.chdir(place)
            began = time.process_time()
            words = WORDS[verb]
            if verb == "weights" and not (place / "run" / "run.json").is_file():
                continue  # it is then a folder like another
            ended = _called(lamina, place, *words)
            spent = time.process_time() - began
            lines = [line for line in ended.err.splitlines() if line.startswith("lamina: ")]
            assert ended.status == 2 and "Traceback" not in ended.err, (verb, ended.err[-3000:])
            assert len(lines) == 1 and len(lines[0]) < 5_000 and case.names in lines[0] and case.says in lines[0], lines
            assert not ended.out and spent < SECONDS, (verb, spent)
        listed = _called(lamina, place, "runs", ".")
        assert listed.status == 0 and "run" in listed.out and "\x1b" not in listed.out
    assert sorted(p.name for p in outside.iterdir()) == ["secret.csv"], "code of the run was run, or a file written"


def _called(lamina, place, *words):  # noqa: F811
    os.chdir(place)
    return lamina(*words)


def test_code_that_is_given_again_is_taken(place, lamina):  # noqa: F811
    """The user's own words are trusted, whatever the run says."""
    hostile_runs.CASES["a model by import path"].change(place / "run", place.parent / "outside")
    ended = _called(lamina, place, "predict", "run", "good.csv", "--model", "mlp_tiny")
    assert ended.status == 0, ended.err


def test_listing_what_a_folder_offers_runs_none_of_it(place, lamina):  # noqa: F811
    for verb in ("models", "tasks", "methods", "datasets"):
        assert _called(lamina, place, verb).status == 0
    assert "own" in _called(lamina, place, "models").out
    assert not (place.parent / "outside" / "canary").exists()


def test_a_new_run_does_not_follow_a_link_that_waits_in_its_folder(place, lamina):  # noqa: F811
    outside = place.parent / "outside"
    (place / "waiting").mkdir()
    (place / "waiting" / "lock").symlink_to(outside / "new-file")
    ended = _called(lamina, place, "fit", "good.csv", "--target", "y", "--steps", "1", "--out", "waiting")
    assert ended.status == 2 and "waiting exists already" in ended.err
    assert not (outside / "new-file").exists()


def test_a_sound_run_is_taken_by_all_of_these_verbs(place, lamina):  # noqa: F811
    for verb, words in WORDS.items():
        ended = _called(lamina, place, *words)
        assert ended.status == 0, (verb, ended.err)
