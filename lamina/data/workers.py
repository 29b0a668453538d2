"""A DataLoader's workers: each item draws its own random numbers, whoever reads it, and a death is noticed at once."""

import contextlib
import itertools
import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lamina.core.errors import DataError
from lamina.core.seeds import mix

__all__ = ["Died", "steady", "stream"]

_theirs: list[Any] = []  # torch's handler of a child's death
DEATHS = 3  # of workers in a pass that are made good


class Died(RuntimeError):
    """A worker process is gone."""


class _Seeded(torch.utils.data.Dataset):
    """A map-style data set whose items each draw from generators seeded for them: torch's, numpy's and Python's."""

    def __init__(self, data: Any, seed: int):
        self._data, self._seed = data, seed
        if hasattr(data, "__getitems__"):
            self.__getitems__ = self._several

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_data" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._data, name)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, item: Any) -> Any:
        self._draw(item)
        return self._data[item]

    def _several(self, items: Any) -> Any:
        self._draw(*items)
        return self._data.__getitems__(items)

    def _draw(self, *items: Any) -> None:
        seed = mix(self._seed, *(i if isinstance(i, int | str) else repr(i) for i in items))
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)


def steady(loader: Any, seed: int, begin: int = 0) -> Iterator[Any]:
    """One pass over a DataLoader from a batch on, the same whichever worker reads what, and however many of them die.

    Raises: DataError where they die again and again.
    """
    deaths = 0
    while True:
        torch.manual_seed(seed)
        for generator in (getattr(one, "generator", None) for one in (loader, getattr(loader, "sampler", None))):
            if isinstance(generator, torch.Generator):
                generator.manual_seed(seed)
        try:
            batches = stream(loader, seed)
            for index in itertools.count():
                if index:  # a sampler draws its order as the pass begins: before the first batch, or with it
                    torch.manual_seed(mix(seed, index))
                item = next(batches, None)
                if item is None:
                    return
                if index == begin:
                    begin += 1
                    yield item
        except Died as died:
            deaths += 1
            if deaths > DEATHS:
                raise DataError(
                    f"Workers of the DataLoader died {deaths} times in a pass ({died}). Is memory short? num_workers=0 "
                    "shows what they do; then go on with what was learnt: lamina.fit(loader, resume=RUN)"
                ) from died


def stream(loader: Any, seed: int) -> Iterator[Any]:
    """One pass over a DataLoader. Raises: Died, within a second of a worker's death, as the next batch is asked for."""
    known = vars(loader)
    data, before = loader.dataset, _handler()
    if not isinstance(data, torch.utils.data.IterableDataset):
        known["dataset"] = _Seeded(data, seed)  # the loader refuses the assignment: it would not reach its workers
        if getattr(loader, "persistent_workers", False):
            loader._iterator = None  # those of the last pass hold its seed
    try:
        made = iter(loader)
    finally:
        known["dataset"] = data
    if _handler() != before:  # torch sets its own once in a process
        _theirs.append(_handler())
    _handle(before)
    return _watched(made, _theirs[-1] if _theirs else None)


def _watched(made: Any, theirs: Any) -> Iterator[Any]:
    """The same batches. torch tells of a death by a signal, in the midst of whatever is done; here only between them.

    theirs: torch's own handler of that signal.
    """
    while True:
        _alive(made)
        before = _handler()
        _handle(theirs)
        try:
            item = next(made)
        except StopIteration:
            return
        except RuntimeError as error:
            if str(error).startswith("DataLoader worker"):  # "Caught … in DataLoader worker" is an item's own error
                raise Died(str(error).partition(".")[0]) from error
            raise
        except (OSError, EOFError) as error:  # the dead one was handing over a batch
            if not str(error).startswith("Caught"):
                _handle(before)
                _alive(made, 0.2)
            raise
        finally:
            _handle(before)
        yield item


def _alive(made: Any, patience_s: float = 0.0) -> None:
    """Raises: Died, where one of the workers has. patience_s: for each to do so."""
    for one in getattr(made, "_workers", ()):
        one.join(patience_s)
        if one.exitcode:
            raise Died(f"exit status {one.exitcode}")


def _handler() -> Any:
    return signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None


def _handle(handler: Any) -> None:
    if handler is not None and threading.current_thread() is threading.main_thread():
        with contextlib.suppress(ValueError, TypeError):
            signal.signal(signal.SIGCHLD, handler)
