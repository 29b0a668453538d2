"""A disk that is full, or a quota that is used up, at any write: one line, nothing broken, and on it goes with space.

`full` refuses everything that writes from some call on; `quota` lets the files of the folder hold so many bytes, and
cuts the write that exceeds them short, as the system's own call does.
"""

import os
import shutil
import subprocess
import sys

import pytest

from lamina.train import checkpoint
from tests.trust import tiny
from tests.trust.nursery import ALONE, ROOT
from tests.trust.scale import FULL
from tests.trust.wholes import check

pytestmark = pytest.mark.timeout(1800)

# What is written, in the order in which a run writes it: run.json, fields.json, skipped.csv, a checkpoint's four files,
# its pointer, the best weights, the diaries. `last` counts from the end.
POINTS = {
    "run.json, at first": ("open", 2),  # the lock comes before it
    "the fields": ("half", 2),
    "skipped.csv": ("half", 3),
    "the diaries' opening": ("open", 5),
    "the folder of a checkpoint": ("mkdir", 4),
    "the weights of the first checkpoint": ("half", 4),
    "its manifest": ("half", 7),
    "its name": ("rename", 4),
    "its pointer": ("rename", 5),
    "the best weights": ("half", 9),
    "the flush of what is written": ("fsync", 20),
    "a line of the diary": ("line", 9),
    "the last line": ("line", "last"),
    "run.json, at last": ("half", "last"),
    "its rename": ("rename", "last"),
}
QUOTAS = (100, 3_000, 8_000, 20_000)


def refused(nursery, name, place, faults):
    """Fit until the disk refuses: status 1 and one line of what and how to go on; nothing broken bears a final name."""
    child = tiny.goes_on(nursery, name, place, faults=faults)
    status = child.wait()
    words = [line for line in child.err.splitlines() if line.startswith("lamina:")]
    assert status == 1 and len(words) == 1 and "Traceback" not in child.err, child.err
    reason = "the disk is full"
    assert reason in words[0] and "lamina fit --resume run" in words[0], words
    store = place / "run" / "checkpoints"
    for folder in store.iterdir() if store.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            checkpoint.load(folder)
    if (place / "run" / "run.json").is_file():
        tiny.about(place / "run")


@pytest.mark.parametrize("name", ["classification", *(["acting", "gan"] if FULL else [])])
def test_on_a_full_disk_it_says_so_and_goes_on_when_there_is_space(name, nursery, wholes, tmp_path, tally):
    whole, points = wholes(name), 0
    for number, (words, (kind, count)) in enumerate(POINTS.items()):
        if name != "classification" and words == "skipped.csv":
            continue
        place = tmp_path / str(number)
        tiny.prepare(name, place)
        refused(nursery, name, place, {"full": [kind, whole.events[kind] if count == "last" else count]})
        child = tiny.goes_on(nursery, name, place)
        assert child.wait() == 0, (words, child.err)
        check(whole, place / "run")
        points += 1
    tally(full_disks=points)


@pytest.mark.parametrize("name", ["classification", *(["acting", "gan"] if FULL else [])])
def test_a_write_cut_short_by_a_quota_is_told_and_made_good(name, nursery, wholes, tmp_path, tally):
    """Raised a little each time, on the same folder."""
    whole = wholes(name)
    held = sum(file.stat().st_size for file in whole.run.rglob("*") if file.is_file())
    tiny.prepare(name, tmp_path)
    for quota in (*QUOTAS, held // 2, held - 1_000):
        refused(nursery, name, tmp_path, {"quota": quota})
    child = tiny.goes_on(nursery, name, tmp_path)
    assert child.wait() == 0, child.err
    check(whole, tmp_path / "run")
    tally(full_disks=len(QUOTAS) + 2)


@pytest.mark.parametrize(("verb", "out"), [("predict", "p.csv"), ("predict", "p.jsonl")])
def test_answers_that_do_not_fit_on_the_disk_leave_no_file_and_one_line(nursery, wholes, place, verb, out, tally):
    run = wholes("classification").run
    data = str(run.parent / "table.csv")
    for faults in ({"quota": 50}, {"full": ["rename", 1]}, {"full": ["fsync", 1]}):
        child = nursery.start(verb, str(run), data, "--out", out, cwd=place, faults={"watch": str(place), **faults})
        status = child.wait()
        assert status == 1 and "Traceback" not in child.err, child.err
        assert "lamina: " in child.err and out in child.err and "the disk is full" in child.err
        assert not list(place.iterdir())
    (place / out).write_text("of before")
    child = nursery.start(verb, str(run), data, "--out", out, cwd=place, faults={"watch": str(place), "quota": 99})
    assert child.wait() == 1 and (place / out).read_text() == "of before"
    assert nursery.start(verb, str(run), data, "--out", out, cwd=place).wait() == 0
    assert (place / out).stat().st_size > 1000
    tally(full_disks=4)


# ------------------------------------------------------------------------------------------------ a real small disk

SMALL = """
set -u
mkdir disk && mount -t tmpfs -o size={size} tmpfs disk || exit 77
"$@" > full.out 2> full.err
echo $? > full.status
mount -o remount,size=50m disk
"$@" > again.out 2> again.err || exit $?
cp -r disk/run run
"""


@pytest.mark.skipif(not FULL, reason="two more starts of Python: make trust")
@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare here: no file system of one's own")
@pytest.mark.parametrize("size", ["12k", "32k", "64k"])
def test_on_a_small_file_system_it_is_the_same(wholes, place, size, tally):
    """tmpfs in a name space of our own: the system's own ENOSPC."""
    name = "classification"
    tiny.prepare(name, place)
    _, words, pairs = tiny.PROBLEMS[name]
    sets = " ".join(f"--set {pair}" for pair in [*tiny.PLAN, *pairs])
    (place / "go").write_text(
        f"if [ -f disk/run/run.json ]; then lamina='--resume disk/run'; else lamina='{' '.join(words)} --out disk/run "
        f"{sets}'; fi\nexec {sys.executable} -m lamina.cli.main fit $lamina\n"
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", SMALL.format(size=size), "sh", "sh", "go"],
        cwd=place,
        env={**os.environ, **ALONE, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if "Operation not permitted" in done.stderr or done.returncode == 77:
        pytest.skip("a name space of one's own is not allowed here")
    assert done.returncode == 0, done.stderr + (place / "again.err").read_text()
    told = (place / "full.err").read_text()
    assert (place / "full.status").read_text() == "1\n", told
    assert told.count("lamina: ") == 1 and "the disk is full" in told and "Traceback" not in told, told
    check(wholes(name), place / "run")
    tally(full_disks=1)
