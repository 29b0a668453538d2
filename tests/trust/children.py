"""Trainings in processes of their own, to be killed: `lamina fit digits` in a small size, and what it leaves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = ["plan.threads=1", "plan.precision=float32", "plan.evaluations=6", "method.batch=32", "model.drop=0.1",
            "method.augment=crop,cutout"]  # fmt: skip
STEPS = 60


def fit(
    folder: Path, *, resume: bool = False, steps: int = STEPS, augment: bool = True, **environment: str
) -> subprocess.Popen:
    """Start a training, or go on with it, as a user would."""
    asked = ["--resume", str(folder)]
    if not resume:
        pairs = [word for pair in SETTINGS for word in ("--set", pair)]
        asked = ["digits", "--model", "mlp", "--steps", str(steps), "--out", str(folder), *pairs]
    return subprocess.Popen(
        [sys.executable, "-m", "lamina.cli.main", "fit", *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={
            **{k: v for k, v in os.environ.items() if k not in ("DIE_AT", "DAWDLE")},
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "trust" / "child"), str(ROOT)]),
            "OMP_NUM_THREADS": "1",
            **environment,
        },
    )


def goes_on(folder: Path, **environment: str) -> subprocess.Popen:
    """Resume where there is a run, start where a kill came before there was one."""
    return fit(folder, resume=(folder / "run.json").is_file(), **environment)


@contextmanager
def ended(child: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """Whatever happens, no child outlives its test."""
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


def finish(child: subprocess.Popen) -> str:
    """Its standard error, once it ended well."""
    with ended(child):
        _, err = child.communicate(timeout=300)
        assert child.returncode == 0, err
    return err


def wait_for(folder: Path, lines: int, child: subprocess.Popen, name: str = "metrics.jsonl") -> bool:
    """Until a diary has so many lines; False where the child ended before."""
    path = folder / name
    while child.poll() is None:
        if path.is_file() and path.read_bytes().count(b"\n") >= lines:
            return True
        time.sleep(0.002)
    return False


def kill(child: subprocess.Popen) -> None:
    """kill -9."""
    child.send_signal(signal.SIGKILL)
    child.wait()


def leftovers(folder: Path) -> list[str]:
    """Temporary files of a killed process."""
    return [str(p.relative_to(folder)) for p in folder.rglob("*.tmp")]
