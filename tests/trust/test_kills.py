"""kill -9 at any moment, inside a save too; SIGTERM and SIGINT: whatever comes, the run that goes on ends the same."""

import json
import random
import signal
import time

import pytest

from tests.train.problems import end, same
from tests.trust.children import STEPS, ended, finish, fit, goes_on, kill, leftovers, wait_for

pytestmark = pytest.mark.timeout(600)


def killed(folder, moments):
    """Fit, killed at each of the moments in turn, and gone on with to the end; how many kills there were."""
    kills = 0
    for kind, number in moments:
        if kind == "line":
            child = goes_on(folder, DAWDLE="step:0.005")
            with ended(child):
                if wait_for(folder, number, child):
                    time.sleep(0.01 * (number % 3))
                    kill(child)
        else:
            child = goes_on(folder, DIE_AT=f"{kind}:{number}")
            with ended(child):
                child.wait(timeout=300)
        kills += child.returncode == -signal.SIGKILL
    finish(goes_on(folder))
    return kills


def moments(seed, count):
    """Half of them anywhere in the training, half of them inside a save."""
    draw = random.Random(seed)
    for i in range(count):
        if i % 2:
            yield "line", draw.randrange(1, STEPS)
        else:
            yield draw.choice(["replace", "fsync", "half"]), draw.randrange(1, 14)


def check(whole, folder):
    same(end(whole), end(folder))
    assert not leftovers(folder)
    ours, theirs = (json.loads((f / "run.json").read_text()) for f in (whole, folder))
    for key in ("metrics", "best", "steps", "weights_sha256", "status"):
        assert ours[key] == theirs[key], key
    assert ours["status"] == "done"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(fit(folder))
    return folder


def test_killed_eight_times_it_ends_bit_identical(whole, tmp_path):
    """Three runs, killed four times each from their start on, so that a fast machine does not finish them before."""
    kills = 0
    for number, chain in enumerate(
        (
            [("half", 1), ("line", 2), ("replace", 3), ("line", 12)],
            [("line", 1), ("fsync", 5), ("half", 1), ("line", 20)],
            [("replace", 1), ("line", 6), ("fsync", 2), ("replace", 4)],
        )
    ):
        folder = tmp_path / f"run{number}"
        kills += killed(folder, chain)
        check(whole, folder)
    assert kills >= 8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_ten_times_it_ends_bit_identical(whole, tmp_path, seed):
    killed(tmp_path / "run", moments(f"slow {seed}", 10))
    check(whole, tmp_path / "run")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_says_how_to_go_on(whole, tmp_path, number, status):
    folder = tmp_path / "run"
    child = fit(folder, DAWDLE="step:0.05")
    with ended(child):
        assert wait_for(folder, 17, child)
        began = time.monotonic()
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
    assert child.returncode == status
    assert time.monotonic() - began < 10
    assert f"lamina fit --resume {folder}" in err and "Traceback" not in err
    assert json.loads((folder / "run.json").read_text())["status"] == "stopped"
    saved = json.loads((folder / "run.json").read_text())["steps"]
    assert (folder / "checkpoints" / "latest").read_text().startswith(f"{saved:08d}-")
    finish(fit(folder, resume=True))
    check(whole, folder)


def test_a_second_signal_leaves_at_once(whole, tmp_path):
    folder = tmp_path / "run"
    child = fit(folder, DAWDLE="fsync:3")  # saving takes half a minute
    with ended(child):
        assert wait_for(folder, 3, child)
        child.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert child.poll() is None  # it saves
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=60)
        assert time.monotonic() - began < 2
    assert child.returncode == -signal.SIGTERM
    finish(goes_on(folder))
    check(whole, folder)


def test_a_second_process_is_kept_out_while_the_first_lives(tmp_path):
    folder = tmp_path / "run"
    child = fit(folder, DAWDLE="step:0.1")
    with ended(child):
        assert wait_for(folder, 2, child)
        other = fit(folder, resume=True)
        with ended(other):
            _, err = other.communicate(timeout=300)
        assert other.returncode == 2
        assert "is in use: another lamina works in it" in err
        kill(child)
    finish(goes_on(folder))
