"""Data that torch already holds: tensors, a `torch.utils.data.Dataset`, a `DataLoader`.

Tensors and data sets are read once and become a table like any other. A `DataLoader` stays what it is: it cuts the
batches, and its transforms draw anew each epoch. Its generator is seeded for each epoch, and those that transforms draw
from for each item, from (seed, epoch, item), in whichever worker that is; a resumed run takes as many batches as had
been taken and drops them. So it ends equal bit for bit, with any number of workers, where the loader is made in the
same way again. An iterable data set knows no items: its workers draw as torch seeds them. See `lamina.data.workers`.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.errors import DataError, SettingError
from lamina.core.protocols import Batch, Column, Feed
from lamina.core.seeds import mix
from lamina.data import workers
from lamina.data.sources import frame
from lamina.fields.array import Array
from lamina.fields.category import Category
from lamina.fields.number import Number

__all__ = ["LoaderData", "dataset", "is_dataset", "is_loader", "read", "reopen", "tensors"]

KEPT = 20_000_000  # numbers up to which the inputs are kept for the simple baselines
CLASSES = 1000  # whole-numbered targets of at most so many values are classes


def is_loader(source: Any) -> bool:
    """A DataLoader?"""
    return isinstance(source, torch.utils.data.DataLoader)


def is_dataset(source: Any) -> bool:
    """A map-style or iterable data set of torch?"""
    return isinstance(source, torch.utils.data.Dataset)


# --------------------------------------------------------------------------------------------- read once, as a table


def tensors(source: tuple[Any, Any]) -> frame.Table:
    """(X, y), arrays or tensors of any shape, as a table."""
    x = source[0]
    shape = tuple(getattr(x, "shape", ()))
    if torch.is_tensor(x) and x.dtype == torch.uint8 and len(shape) == 4 and shape[1] in (1, 3) and shape[3] > 4:
        return frame.read((x.permute(0, 2, 3, 1), source[1]))  # torch's pixels have their channels first
    if len(shape) < 3 or str(x.dtype).endswith("uint8"):
        return frame.read(source)
    values = x.detach().cpu().numpy() if torch.is_tensor(x) else np.asarray(x)
    return frame.read({"x": list(values), "y": source[1]})


def read(source: Any) -> frame.Table:
    """Every item of a data set once: (x, y) pairs, mappings, or single tensors."""
    items = [source[i] for i in range(len(source))] if hasattr(source, "__len__") else list(source)
    if not items:
        raise DataError(f"{type(source).__name__} has no items.")
    if isinstance(items[0], Mapping):
        return frame.read([{k: _plain(v) for k, v in item.items()} for item in items])
    pairs = [item if isinstance(item, tuple | list) else (item,) for item in items]
    widths = {len(pair) for pair in pairs}
    if widths - {1, 2} or len(widths) > 1:
        raise DataError(
            f"An item of {type(source).__name__} is (x, y), a mapping or one value; item 0 has {len(pairs[0])} parts."
        )
    columns = dict(zip("xy", zip(*pairs, strict=True), strict=False))
    made = {name: [_plain(v) for v in values] for name, values in columns.items()}
    first = made["x"][0]
    if isinstance(first, np.ndarray) and first.ndim == 1:
        made |= {f"x{i}": [v[i] for v in made["x"]] for i in range(len(first))}
        del made["x"]
    table = frame.read({name: np.asarray(v) if np.isscalar(v[0]) else v for name, v in made.items()})
    table.notes.append(f"{len(items):,} items of {type(source).__name__} read once; a DataLoader draws them anew")
    return table


def _plain(value: Any) -> Any:
    if torch.is_tensor(value):
        value = value.detach().cpu()
        return value.item() if value.ndim == 0 else value.numpy()
    return np.asarray(value) if hasattr(value, "convert") else value  # a picture of Pillow


# ------------------------------------------------------------------------------------------- a loader stays a loader


def dataset(source: Any, *, valid: Any, test: Any, options: Mapping[str, Any]) -> tuple["LoaderData", list[str]]:
    """A DataLoader as a data set; its splits are the loaders given."""
    if options:
        raise SettingError(
            f"A DataLoader has cut its own batches and columns, so data.{next(iter(options))} has nothing to act on. "
            "Give the data itself, or set it in the loader."
        )
    loaders = {"train": source, "valid": valid, "test": test}
    for split, one in loaders.items():
        if one is not None and not is_loader(one):
            raise SettingError(
                f"Beside a DataLoader, {split} data come as a DataLoader too; {type(one).__name__} came."
            )
    made = LoaderData({split: one for split, one in loaders.items() if one is not None})
    notes = [f"inputs {made.kind} {tuple(made.shape)}; batches as the DataLoader cuts them"]
    if valid is None and test is None:
        notes.append("no data to choose and judge by: figures are of the training data (valid=, test=)")
    return made, notes


def reopen(source: Any, fields: Mapping[str, Any]) -> "LoaderData":
    """A loader to evaluate or predict on, with a run's fields."""
    return LoaderData({"all": source}, fields)


class LoaderData:
    """The batches of DataLoaders: input column `x`, target column `y`. fields: a run's, where it is opened again."""

    weight: str | None = None

    def __init__(self, loaders: Mapping[str, Any], fields: Mapping[str, Any] | None = None):
        self.loaders, self.name = dict(loaders), "DataLoader"
        self.inputs, self.targets = ["x"], ["y"]
        self.skipped: list[tuple[str, str]] = []
        self.findings: list[Any] = []
        inputs, targets = [], []
        self.splits: dict[str, Tensor] = {}
        start, kept = 0, 0
        for split, one in self.loaders.items():
            count = 0
            for item in workers.steady(one, mix("loader", split)):
                x, y = _parts(item, fields is not None)
                self.shape = list(x.shape[1:])
                kept += x.numel()
                if kept <= KEPT:
                    inputs.append(x)
                if y is not None:
                    targets.append(y)
                count += len(x)
            if not count:
                raise DataError(f"The {split} DataLoader gives no batch. Is its data set empty, or drop_last set?")
            self.splits[split] = torch.arange(start, start + count)
            start += count
        self._inputs = torch.cat(inputs) if kept <= KEPT else None
        self._targets = torch.cat(targets) if targets else None
        self.kind = "image" if len(self.shape) == 3 else "numbers"
        if fields is None:
            self.fields: dict[str, Any] = {"x": _array(self.shape), "y": _target(self._targets)}
        else:
            self.fields = dict(fields)
            if self.shape != self.fields["x"].shape:
                raise DataError(
                    f"The DataLoader gives x of shape {tuple(self.shape)}, and the run learnt from "
                    f"{tuple(self.fields['x'].shape)}."
                )

    @property
    def fingerprint(self) -> str:
        """Of counts, shapes and targets, whatever the order they come in."""
        counts = {split: len(rows) for split, rows in self.splits.items()}
        sha = hashlib.sha256(f"{counts} {self.shape}".encode())
        if self._targets is not None:
            sha.update(np.sort(self._targets.numpy()).tobytes())
        return sha.hexdigest()

    def kinds(self) -> list[str]:
        """image for three axes, else numbers."""
        return [self.kind]

    def sizes(self) -> dict[str, Any]:
        """Of one input."""
        return {"columns": 0, "cardinalities": [], **self.fields["x"].sizes()}

    def count(self, split: str) -> int:
        """Samples that the loader gave in a pass."""
        return len(self.splits.get(split, ()))

    def prepare(self, kinds: Sequence[str], reader: str = "The network") -> None:
        """Refuse a network of ours that cannot read the inputs."""
        if kinds and self.kind not in kinds:
            raise SettingError(f"{reader} reads {', '.join(kinds)}; the DataLoader gives {self.kind} {self.shape}.")

    def has_targets(self) -> bool:
        """Whether the batches hold answers."""
        return self._targets is not None

    def features(self, split: str) -> np.ndarray:
        """The inputs of a pass, flat, for simple baselines; none where they are too many to keep."""
        rows = self.splits[split]
        if self._inputs is None:
            return np.zeros((len(rows), 0), np.float32)
        return self._inputs[rows].flatten(1).float().numpy()

    def target(self, name: str) -> Tensor:
        """The targets of the same pass, encoded."""
        assert self._targets is not None
        return self._encoded(self._targets)

    def _encoded(self, y: Tensor) -> Tensor:
        return torch.as_tensor(self.fields["y"].encode_target(Column("y", y.tolist(), "the DataLoader", 0)))

    def batch(self, item: Any) -> Batch:
        """What a loader gave, as a batch."""
        x, y = _parts(item, not self.targets)
        batch: Batch = {self.kind: x}
        return batch if y is None else {**batch, "target.y": self._encoded(y)}

    def feed(self, sampler: Mapping[str, Any], *, split: str, batch: int, seed: int, augment: Any = None) -> Feed:
        """The loader's own batches; `batch` has no say."""
        if sampler.get("kind", "rows") != "rows":
            raise SettingError(f"A DataLoader gives batches of rows; a task or method asked for {sampler['kind']!r}.")
        return LoaderFeed(self, self.loaders[split], seed)

    def batches(self, sampler: Mapping[str, Any], *, split: str, batch: int) -> Iterator[Batch]:
        """One pass."""
        if split in self.loaders:
            for item in workers.steady(self.loaders[split], mix("loader", split)):
                yield self.batch(item)


class LoaderFeed:
    """Batch after batch; its place is (epoch, batches taken), and is found again by taking as many."""

    def __init__(self, data: LoaderData, loader: Any, seed: int):
        self._data, self._loader, self._seed = data, loader, seed
        try:
            self.length: int | None = len(loader)
        except TypeError:
            self.length = None
        self._epoch, self._index = 0, 0
        self._stream: Iterator[Any] | None = None

    def next(self, step: int, parts: int = 1) -> Sequence[Batch]:
        """The batch of a step."""
        item = self._take()
        if item is None:
            self._epoch, self._index, self._stream = self._epoch + 1, 0, None
            item = self._take()
        batch = self._data.batch(item)
        size = len(next(iter(batch.values())))
        if parts > size:
            raise SettingError(f"A batch of {size} rows cannot be cut into plan.accumulate={parts} micro-batches.")
        cut = {name: value.chunk(parts) for name, value in batch.items()}
        return [{name: pieces[i] for name, pieces in cut.items()} for i in range(len(next(iter(cut.values()))))]

    def _take(self) -> Any:
        if self._stream is None:
            self._stream = workers.steady(self._loader, mix(self._seed, "loader", self._epoch), begin=self._index)
        item = next(self._stream, None)
        self._index += 1
        return item

    def state_dict(self) -> dict[str, Any]:
        """The place."""
        return {"epoch": self._epoch, "index": self._index}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a place; the batches before it are taken and dropped when the next one is asked for."""
        self._epoch, self._index, self._stream = state["epoch"], state["index"], None


def _parts(item: Any, lone: bool) -> tuple[Tensor, Tensor | None]:
    """(x, y) of a batch. lone: whether x alone will do."""
    parts = list(item) if isinstance(item, tuple | list) else [item]
    if len(parts) == 1 and lone and torch.is_tensor(parts[0]):
        return parts[0], None
    if len(parts) != 2 or not all(torch.is_tensor(part) for part in parts):
        came = ", ".join(type(part).__name__ for part in parts)
        raise DataError(f"A batch of the DataLoader is (x, y), two tensors; ({came}) came. Change its collate_fn.")
    x, y = parts
    y = y.squeeze(1) if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1 or len(x) != len(y):
        raise DataError(
            f"y is one class or number a sample: shape ({len(x)},) was expected beside x {tuple(x.shape)}, but "
            f"{tuple(parts[1].shape)} came."
        )
    return x, y


def _array(shape: list[int]) -> Array:
    return Array.restore("x", {"shape": shape})


def _target(y: Tensor | None) -> Any:
    assert y is not None
    whole = not y.is_floating_point() and len(y.unique()) <= CLASSES
    field: Any = Category("y") if whole else Number("y")
    field.fit(Column("y", y.tolist(), "the DataLoader", 0))
    return field
