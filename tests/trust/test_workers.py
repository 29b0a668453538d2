"""The death of a loader's worker and the failure of an environment: made good, or said at once and gone on from."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.trust import tiny
from tests.trust.wholes import check

pytestmark = pytest.mark.timeout(1800)
HANDING = "tests.trust.test_workers:fit_with_a_worker_that_dies_handing_over"
CRASHING = "tests.trust.test_workers:act_in_a_crashing_environment"
NOTICED_S = 1.5  # a second, and the look of this test at its clock


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc to find a worker by")
def test_with_a_worker_killed_it_ends_the_same_or_says_so_at_once_and_goes_on(nursery, wholes, tmp_path, seeds, tally):
    whole, deaths = wholes("loader"), 0
    for number, draw in enumerate(seeds("workers", 3, 50)):
        place = tmp_path / str(number)
        place.mkdir()
        child = tiny.fit(nursery, "loader", place, faults={"pause": ["step", 0.01]})
        wanted = draw.randrange(1, 15)
        diary = place / "run" / "metrics.jsonl"
        while child.poll() is None and not (diary.is_file() and diary.read_bytes().count(b"\n") >= wanted):
            time.sleep(0.002)
        while child.poll() is None and not (workers := children(child.pid)):
            time.sleep(0.0005)
        if child.poll() is not None:  # between two epochs there is none, and then it was done
            continue
        os.kill(draw.choice(workers), draw.choice([signal.SIGKILL, signal.SIGSEGV]))
        began = time.monotonic()
        status, deaths = child.wait(), deaths + 1
        if status == 0:  # it had given its last batch, or another took its place
            check(whole, place / "run")
            continue
        assert time.monotonic() - began < NOTICED_S
        assert status == 1 and "Traceback" not in child.err, child.err
        assert "A process that loads data died" in child.err and "lamina fit --resume run" in child.err, child.err
        again = tiny.goes_on(nursery, "loader", place)
        assert again.wait() == 0, again.err
        check(whole, place / "run")
    assert deaths
    tally(deaths=deaths)


def fit_with_a_worker_that_dies_handing_over(*argv: str) -> None:
    """The loader's training, where the 7th batch that a worker hands over breaks off, and the worker is dead."""
    from multiprocessing import connection

    call, left = connection.answer_challenge, [7]

    def breaking(link, key):
        left[0] -= 1
        if not left[0]:
            import multiprocessing

            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
            raise ConnectionResetError(104, "Connection reset by peer")
        return call(link, key)

    connection.answer_challenge = breaking
    tiny.fit_a_loader(*argv)


def test_a_worker_that_dies_handing_over_a_batch_is_replaced(nursery, wholes, place, tally):
    """It broke off in the midst of a batch's file handle, which torch does not take for a death."""
    _, words, pairs = tiny.PROBLEMS["loader"]
    sets = [word for pair in [*tiny.PLAN, *pairs] for word in ("--set", pair)]
    child = nursery.start(*words, "--out", "run", *sets, cwd=place, call=HANDING)
    assert child.wait() == 0, child.err
    check(wholes("loader"), place / "run")
    tally(deaths=1)


def act_in_a_crashing_environment(*argv: str) -> None:
    """`lamina fit gym:CartPole-v1`, where the 230th step of an environment fails."""
    import sys

    from gymnasium.envs.classic_control import cartpole

    from lamina.cli import main

    step, left = cartpole.CartPoleEnv.step, [230]

    def failing(self, action):
        left[0] -= 1
        if not left[0]:
            raise ConnectionResetError("the simulator has gone away")
        return step(self, action)

    cartpole.CartPoleEnv.step = failing
    sys.argv = ["lamina", "fit", *argv]
    main.main()


def test_an_environment_that_fails_in_mid_episode_is_named_and_the_run_goes_on(nursery, wholes, place, tally):
    pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'lamina[rl]'")
    _, words, pairs = tiny.PROBLEMS["acting"]
    sets = [word for pair in [*tiny.PLAN, *pairs] for word in ("--set", pair)]
    child = nursery.start(*words, "--out", "run", *sets, cwd=place, call=CRASHING)
    assert child.wait() == 1 and "Traceback" not in child.err, child.err
    assert "CartPole-v1" in child.err and "ConnectionResetError: the simulator has gone away" in child.err
    assert "lamina fit --resume run" in child.err
    again = tiny.goes_on(nursery, "acting", place)
    assert again.wait() == 0, again.err
    check(wholes("acting"), place / "run")
    tally(deaths=1)
