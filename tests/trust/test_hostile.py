"""Hostile files given as data to every verb that takes some: one clear line, at once, and nothing else happens."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lamina as package
from tests.cli.conftest import lamina, refused  # noqa: F401 (fixtures)
from tests.trust import hostile

SECONDS = 0.5  # of the processor; the bar of 0.1 is that of a machine to itself
MEGABYTES = 50
QUICK = ("--model", "mlp_tiny", "--steps", "2", "--set", "plan.threads=1", "--set", "plan.precision=float32")

sys.addaudithook(hostile.watch)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run over a table and one over pictures, made once."""
    folder = tmp_path_factory.mktemp("sound")
    plan = {"plan.threads": 1, "plan.precision": "float32"}
    hostile.table(folder, "good.csv")
    hostile.pictures(folder, each=8)
    made = {}
    for name, source, more in (("table", "good.csv", {"target": "y"}), ("pictures", "pets", {})):
        run = package.fit(folder / source, model="mlp_tiny", budget="2steps", out=folder / name, set=plan, **more)
        made[name] = run.folder
    return made


@pytest.fixture
def outside(tmp_path):
    """A folder with secrets in it, beside the working one."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.csv").write_text(hostile.GOOD)
    (folder / "secret.txt").write_text("secret words, again and again. " * 30)
    hostile.pictures(folder, name="p")
    shutil.copy(folder / "p" / "cats" / "0.png", folder / "secret.png")
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch, outside):
    folder = tmp_path / "place"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", folder], cwd="/", check=True)  # folders too deep for Python's own


class Watch:
    """What a call cost: seconds of the processor, and megabytes beyond what there was."""

    def __enter__(self):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        self.before, self.began = _memory("VmRSS"), time.process_time()
        return self

    def __exit__(self, *error):
        self.seconds = time.process_time() - self.began
        self.megabytes = (_memory("VmHWM") - self.before) / 1024


def _memory(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{what}:")).split()[1])


COSTS: list[tuple[float, float, str]] = []


@pytest.fixture
def ends(refused, outside, place, monkeypatch):  # noqa: F811
    """The command ends at once with status 2 and one line that names the file, and reads and writes nothing outside."""

    def call(case, *words):
        monkeypatch.chdir(place)
        with hostile.sealed_off(outside), Watch() as cost:
            said = refused(*words)
        assert not (outside / "canary").exists(), "code of the file was run"
        assert not list(place.glob("runs")) and "\n" not in said and "\x1b" not in said
        assert (case.names or case.name) in said and case.says in said, said
        COSTS.append((cost.seconds, cost.megabytes, " ".join(map(str, words))))
        return cost

    return call


TABLES = hostile.ARCHIVES | hostile.TABLES


@pytest.mark.parametrize("name", TABLES)
def test_a_hostile_table_is_refused_by_every_verb_that_reads_one(name, ends, runs, place, outside):
    case = TABLES[name]
    case.build(place, outside)
    hostile.table(place, "good.csv")
    run = runs["table"]
    costs = [ends(case, "fit", case.name, "--target", "y", *QUICK, *case.words)]
    costs.append(ends(case, "fit", "good.csv", "--target", "y", "--valid", case.name, *QUICK, *case.words))
    if not case.words:
        costs.append(ends(case, "predict", run, case.name))
        costs.append(ends(case, "evaluate", run, case.name))
    again = costs[1:] or costs  # the first call imports what it needs
    assert min(cost.seconds for cost in again) < SECONDS
    assert min(cost.megabytes for cost in again) < MEGABYTES


@pytest.mark.parametrize("name", hostile.PICTURES)
def test_a_hostile_picture_is_refused_from_its_header(name, ends, runs, place, outside):
    case = hostile.PICTURES[name]
    case.build(place, outside)
    costs = [ends(case, "fit", case.name, *QUICK), ends(case, "predict", runs["pictures"], case.name)]
    assert min(cost.seconds for cost in costs) < SECONDS
    assert min(cost.megabytes for cost in costs) < MEGABYTES


@pytest.mark.parametrize("name", hostile.FOLDERS)
def test_nothing_outside_of_a_folder_is_read(name, ends, place, outside):
    case = hostile.FOLDERS[name]
    case.build(place, outside)
    ends(case, "fit", case.name, "--target", "label" if case.name == "pets" else "y", *QUICK)


@pytest.mark.parametrize("name", hostile.CORPORA)
def test_a_hostile_text_is_refused(name, ends, place, outside):
    case = hostile.CORPORA[name]
    case.build(place, outside)
    cost = ends(case, "fit", case.name, "--model", "gpt_tiny", "--steps", "2")
    assert cost.megabytes < MEGABYTES


def test_standard_input_without_an_end_is_refused(refused, runs, monkeypatch):  # noqa: F811
    with open("/dev/zero") as endless:
        monkeypatch.setattr(sys, "stdin", endless)
        with Watch() as cost:
            said = refused("predict", runs["table"], "-")
    assert "standard-input.csv is no text: it has a NUL byte at byte 0" in said
    assert cost.megabytes < MEGABYTES


def test_a_raised_bound_reads_what_the_usual_one_refuses(lamina, place, monkeypatch):  # noqa: F811
    monkeypatch.chdir(place)
    hostile.pictures(place, each=8)
    too_few = ("--set", "data.pixels=50")
    ended = lamina("fit", "pets", *QUICK, *too_few)
    assert ended.status == 2 and "8x8 pixels, and at most 50 are read (--set data.pixels=64)" in ended.err
    assert lamina("fit", "pets", *QUICK, "--set", "data.pixels=64", "--out", "run").status == 0
    held = json.loads((place / "run" / "fields" / "fields.json").read_text())
    assert "pixels" not in held["image"]["state"]  # what is opened elsewhere is not the run's to say
    assert lamina("predict", "run", "pets").status == 0
    ended = lamina("predict", "run", "pets", *too_few)
    assert ended.status == 2 and "at most 50 are read" in ended.err
    (place / "x.csv").write_text("a,y\n" + "".join(f"{'w ' * (50 + i)}{i},{'uv'[i % 2]}\n" for i in range(20)))
    ended = lamina("fit", "x.csv", "--target", "y", *QUICK, "--set", "data.max_cell=90")
    assert ended.status == 2 and "a cell holds at most 90 characters; data.max_cell" in ended.err


# ---------------------------------------------------------------------------------------- bait for our own parsers


@pytest.mark.parametrize(
    ("column", "values"),
    {
        "white space in dates": lambda i: f"{i % 9 + 1}" + " " * 200_000 + "Jan 2024",
        "dates beyond the years there are": lambda i: (
            "0001-01-01T00:00:00+14:00" if i % 2 else "9999-12-31T23:59-14:00"
        ),
        "dates that start well": lambda i: f"2024-01-{i % 28 + 1:02d} " + "0" * 100_000,
        "numbers of 200,000 digits": lambda i: "9" * 200_000 + str(i),
        "labels of 5,000 digits": lambda i: "c" + "7" * 5_000 + str(i % 3),
        "words without an end": lambda i: "a'" * 100_000 + str(i),
        "brackets without an end": lambda i: "[" * 5_000 + str(i),
        "format strings": lambda i: "{0.__class__}%s%n${jndi:x}{{7*7}}" + str(i % 3),
        "bars": lambda i: "|" * 50_000 + str(i % 2),
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bait_is_read_in_time_that_grows_with_its_length_alone(column, values, lamina, place, monkeypatch):  # noqa: F811
    """Whatever it is taken for, trained on or refused: no traceback, and seconds for megabytes."""
    monkeypatch.chdir(place)
    lines = [f'"{values(i)}",{i},{"uv"[i % 2]}' for i in range(24)]
    (place / "x.csv").write_text("bait,a,y\n" + "\n".join(lines) + "\n")
    began = time.process_time()
    ended = lamina("fit", "x.csv", "--target", "y", *QUICK)
    assert ended.status in (0, 2) and "Traceback" not in ended.err, ended.err[-2000:]
    assert max(map(len, ended.err.splitlines()), default=0) < 10_000
    assert time.process_time() - began < 6


def test_lone_halves_of_character_pairs_are_read_as_unknown_characters(lamina, place, monkeypatch):  # noqa: F811
    monkeypatch.chdir(place)
    rows = [{"a": i % 5, "t": f"w\ud800{i % 3}", "y": ("u\udfff", "v")[i % 2]} for i in range(40)]
    (place / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ended = lamina("fit", "x.jsonl", "--target", "y", *QUICK, "--out", "run")
    assert ended.status == 0, ended.err
    assert lamina("predict", "run", "x.jsonl", "--out", "p.csv").status == 0
    assert "u\ufffd" in (place / "p.csv").read_text("utf-8")


# --------------------------------------------------------------------------------------------- in a limited process


@pytest.mark.parametrize("name", ["a PNG of 65,500²", "a WebP of 16,383²", "a PNG of a gigabyte"])
def test_a_bomb_fits_into_a_process_of_little_memory(name, place, outside, runs):
    """Not even address space is asked for."""
    hostile.PICTURES[name].build(place, outside)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (pages + (300 << 20), -1))
            resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
            from lamina.core.errors import DataError

            try:
                package.predict(runs["pictures"], place / "pets")
            except DataError:
                status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_hostile_sources_are_at_least_sixty():
    groups = (hostile.ARCHIVES, hostile.TABLES, hostile.PICTURES, hostile.FOLDERS, hostile.CORPORA)
    assert sum(map(len, groups)) >= 60
    assert np.all([case.says for group in groups for case in group.values()])


# ----------------------------------------------------------------------------------------------------------- weights


def _header(text: bytes, claimed: int | None = None, size: int = 0) -> bytes:
    return (len(text) if claimed is None else claimed).to_bytes(8, "little") + text + bytes(size)


_TENSOR = b'"%s":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
WEIGHTS = {
    "a header of exabytes.safetensors": _header(b"{}", 1 << 60),
    "a header of 64 MB.safetensors": _header(b"{}", 64 << 20, 65 << 20),
    "brackets 10,000 deep.safetensors": _header(b"[" * 10_000 + b"]" * 10_000),
    "overlapping.safetensors": _header(b"{" + _TENSOR % b"a" + b"," + _TENSOR % b"b" + b"}", None, 8),
    "a name twice.safetensors": _header(b"{" + _TENSOR % b"a" + b"," + _TENSOR % b"a" + b"}", None, 8),
    "petabytes.safetensors": _header(b'{"a":{"dtype":"F32","shape":[1125899906842624],"data_offsets":[0,8]}}', None, 8),
    "negative.safetensors": _header(b'{"a":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}}', None, 8),
    "an unknown kind.safetensors": _header(b'{"a":{"dtype":"EVIL","shape":[2],"data_offsets":[0,8]}}', None, 8),
    "a pickle.safetensors": hostile.ARCHIVES["a pickle"],
    "sparse.safetensors": 5 << 30,
    "sparse.npz": 5 << 30,
    "an index that climbs.safetensors.index.json": b'{"weight_map": {"a": "../outside/secret.safetensors"}}',
    "a deep index.safetensors.index.json": b"[" * 10_000,
    "torch.pt": hostile.ARCHIVES["torch.save"],
    "objects.npz": hostile.ARCHIVES["object arrays in .npz"],
    "jobs.joblib": hostile.ARCHIVES["joblib"],
    "climbing.zip": hostile.ARCHIVES["a zip that climbs"],
    "pipe.safetensors": None,
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_hostile_weights_are_refused_before_they_are_in_memory(name, refused, place, outside, monkeypatch):  # noqa: F811
    held = WEIGHTS[name]
    if held is None:
        os.mkfifo(place / name)
    elif isinstance(held, int):
        with open(place / name, "wb") as file:
            file.truncate(held)
    elif isinstance(held, bytes):
        (place / name).write_bytes(held)
    else:
        held.build(place, outside)
        (place / held.name).rename(place / name)
    hostile.table(place, "good.csv")
    monkeypatch.chdir(place)
    with hostile.sealed_off(outside), Watch() as cost:
        said = refused("fit", "good.csv", "--target", "y", *QUICK, "--weights", name)
    assert name in said and not (outside / "canary").exists()
    assert cost.megabytes < MEGABYTES and cost.seconds < 2
