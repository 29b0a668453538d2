"""Trainings in processes of their own that cost no start: one process has torch and Lamina loaded, and forks.

A child is as one that the shell started: its own arguments, files, environment and signals. What shall befall it
(`tests.trust.faults`) is said beforehand, or sent as a signal.
"""

import contextlib
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LATE = (
    "torch._dynamo",
    "torch.utils.data",
    "safetensors.torch",
    "PIL.Image",
    "simplejpeg",
    "gymnasium",
    "gymnasium.envs.classic_control.cartpole",
    "scipy.stats",
    "tests.trust.faults",
)
ALONE = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "POLARS")} | {"POLARS_MAX_THREADS": "1"}


class Child:
    """A child of the nursery; `out` and `err` are what it said."""

    def __init__(self, nursery: "Nursery", pid: int, said: Path):
        self._nursery, self.pid, self._said = nursery, pid, said
        self.began = time.monotonic()

    @property
    def out(self) -> str:
        """Its standard output so far."""
        return self._said.with_suffix(".out").read_text("utf-8")

    @property
    def err(self) -> str:
        """Its standard error so far."""
        return self._said.with_suffix(".err").read_text("utf-8")

    def poll(self) -> int | None:
        """Its exit status, minus the signal's number where one killed it; None while it lives."""
        self._nursery.listen(0)
        return self._nursery.dead.get(self.pid)

    def wait(self, timeout: float = 120) -> int:
        """The same, once it ended. A child that does not end in time is killed."""
        until = time.monotonic() + timeout
        while self.pid not in self._nursery.dead:
            if time.monotonic() > until:
                self.send(signal.SIGKILL)
                raise TimeoutError(f"process {self.pid} did not end within {timeout} s. It said:\n{self.err}")
            self._nursery.listen(0.5)
        return self._nursery.dead[self.pid]

    def send(self, number: int) -> None:
        """A signal; nothing to one that ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Nursery:
    """The loaded process, as its parent sees it."""

    def __init__(self, folder: Path):
        self._folder, self._count = folder, 0
        self.dead: dict[int, int] = {}
        self._rest = b""
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **ALONE, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )

    def start(
        self,
        *argv: str | Path,
        cwd: Path,
        call: str = "",
        faults: dict[str, Any] | None = None,
        environment: dict[str, str | None] | None = None,
    ) -> Child:
        """`lamina ARGV` in a child; call: a function module:name of the tests, given argv, instead of the shell's."""
        self._count += 1
        said = self._folder / f"child{self._count}"
        order = dict(
            argv=[str(word) for word in argv], cwd=str(cwd), call=call, faults=faults or {}, said=str(said),
            environment=environment or {},
        )  # fmt: skip
        assert self._server.stdin
        self._server.stdin.write(json.dumps(order).encode() + b"\n")
        self._server.stdin.flush()
        self.born: int | None = None
        while self.born is None:
            self.listen(60)
        return Child(self, self.born, said)

    def listen(self, timeout: float) -> None:
        """Take up what the server says, waiting for it at most so long."""
        assert self._server.stdout
        if self._server.poll() is not None:
            raise RuntimeError("the nursery died")
        if not select.select([self._server.stdout], [], [], timeout)[0]:
            return
        *lines, self._rest = (self._rest + os.read(self._server.stdout.fileno(), 1 << 16)).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "born" in told:
                self.born = told["born"]
            else:
                self.dead[told["dead"]] = told["status"]

    def close(self) -> None:
        """End it, and with it every child that still lives."""
        assert self._server.stdin
        self._server.stdin.close()
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        assert self._server.stdout
        self._server.stdout.close()


# ------------------------------------------------------------------------------------------------------ on its side


def serve() -> None:
    """Fork a child an order; say which were born and how they ended."""
    tests = types.ModuleType("tests")  # a package of that name may be installed, and comes first
    tests.__path__ = [str(ROOT / "tests")]
    sys.modules["tests"] = tests
    import lamina

    for found in pkgutil.walk_packages(lamina.__path__, "lamina."):
        importlib.import_module(found.name)
    for name in LATE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    living: set[int] = set()
    rest, open_ = b"", True

    def tell(**what: int) -> None:
        os.write(answers, json.dumps(what).encode() + b"\n")

    while open_:
        ready = select.select([0, reader], [], [])[0]
        if reader in ready:
            os.read(reader, 4096)
        for pid in list(living):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                living.discard(pid)
                tell(dead=pid, status=os.waitstatus_to_exitcode(status))
        if 0 in ready:
            data = os.read(0, 1 << 16)
            open_ = bool(data)
            *orders, rest = (rest + data).split(b"\n")
            for order in orders:
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    for number in (answers, reader, writer):
                        os.close(number)
                    live(json.loads(order))
                living.add(pid)
                tell(born=pid)
    for pid in living:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


def live(order: dict[str, Any]) -> None:
    """A child's life; it does not return."""
    status = 70
    try:
        for number, default in ((signal.SIGCHLD, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_DFL)):
            signal.signal(number, default)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for number, suffix in ((1, ".out"), (2, ".err")):
            file = os.open(order["said"] + suffix, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(file, number)
            os.close(file)
        for name, value in order["environment"].items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        os.chdir(order["cwd"])
        sys.argv = ["lamina", *order["argv"]]
        from tests.trust import faults

        faults.install(order["faults"])
        where, _, name = (order["call"] or "lamina.cli.main:main").partition(":")
        function = getattr(importlib.import_module(where), name)
        function(*order["argv"]) if order["call"] else function()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 70
    finally:
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
        from tests.trust import faults

        faults.report()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
