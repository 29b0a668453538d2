"""Writing beside the training: one job at a time in a thread of its own."""

import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Writer"]


class Writer:
    """Runs a job while training goes on; the next job waits for it, and hears of what went wrong in it."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, job: Callable[[], Any]) -> None:
        """Begin a job, once the one before is done. Raises: what that one raised."""
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(job,), name="checkpoint")
        self._thread.start()

    def _run(self, job: Callable[[], Any]) -> None:
        try:
            job()
        except BaseException as error:
            self._error = error

    def wait(self) -> None:
        """Until nothing is being written. Raises: what the last job raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
