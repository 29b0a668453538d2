"""A data set: fields and samples from one source, split, encoded once and handed out as batches of tensors.

Inputs stand in a batch under the kind that the network reads (all number columns as one `numbers`), targets as
`target.FIELD`, weights of samples as `sample_weight`.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.core.errors import DataError, SettingError
from lamina.core.protocols import Batch, Feed
from lamina.data import feeds
from lamina.data.sources.table import Table, TableColumn

__all__ = ["TableData"]

_RAGGED = ("text", "words")
_ONE_HOT = 64  # categories of a column that a linear baseline tells apart


class TableData:
    """Samples that are rows of a table, of a folder of pictures, of a corpus.

    Args:
        table: the columns as read.
        fields: by column, inputs and targets, fitted or not (`fit`).
        splits: 'train', 'valid', 'test' (or 'all') -> row numbers.
        weight: the column of sample weights.
    """

    sampler: Mapping[str, Any] = {"kind": "rows"}

    def __init__(
        self,
        table: Table,
        fields: dict[str, Any],
        *,
        inputs: Sequence[str],
        targets: Sequence[str],
        splits: Mapping[str, np.ndarray],
        weight: str | None = None,
    ):
        self.table, self.fields = table, fields
        self.name, self.inputs, self.targets, self.weight = table.source, list(inputs), list(targets), weight
        self.splits = {name: torch.as_tensor(rows, dtype=torch.long) for name, rows in splits.items()}
        self.findings: list[Any] = []  # what a careful reader would remark on; see `lamina.data.checks`
        self.skipped: list[tuple[str, str]] = [(f"row {row}", reason) for row, reason in table.skipped]
        self.unread: list[tuple[str, str]] = []  # rows whose picture cannot be read, and why
        self._kinds: dict[str, list[str]] = {}  # kind -> the inputs that stand in it
        self._arrays: dict[str, Tensor] = {}

    # ------------------------------------------------------------------------------------------------ what it knows

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names and raw values of the columns that are used; a folder's own place is left out of paths."""
        sha, home = hashlib.sha256(), f"{self.table.source}{os.sep}" if self.table.source else ""
        for name in sorted([*self.inputs, *self.targets]):
            values = self.table[name].values
            sha.update(f"\x1d{name}\x1d{len(values)}".encode())
            if isinstance(values, np.ndarray) and values.dtype != object:
                sha.update(np.ascontiguousarray(values).tobytes())
            else:
                sha.update("\x1f".join(_printed(v, home) for v in values).encode("utf-8", "surrogatepass"))
        return sha.hexdigest()

    def sizes(self) -> dict[str, Any]:
        """What a network's signature may ask for of its inputs: columns, cardinalities, channels, size, vocab, …"""
        sizes: dict[str, Any] = {"columns": 0, "cardinalities": []}
        for name in self.inputs:
            for key, value in self.fields[name].sizes().items():
                sizes[key] = sizes[key] + value if key in ("columns", "cardinalities") else value
        return sizes

    def count(self, split: str) -> int:
        """Rows of a split."""
        return len(self.splits.get(split, ()))

    def kinds(self) -> list[str]:
        """The kinds that the inputs stand in, each once: the usual ones until `prepare` is told what is read."""
        return list(self._kinds) or list(dict.fromkeys(self.fields[name].kinds[0] for name in self.inputs))

    # ------------------------------------------------------------------------------------------------------- encoding

    def fit(self) -> None:
        """Let the fields learn vocabularies, scales and sizes from the training rows."""
        rows = self.splits["train"].numpy()
        for name in [*self.inputs, *self.targets]:
            self.fields[name].fit(self.table[name].take(rows))

    def prepare(self, kinds: Sequence[str], reader: str = "The network") -> None:
        """Encode the inputs as the kinds that a network reads; those it cannot read are named."""
        chosen: dict[str, list[str]] = {}
        for name in self.inputs:
            able = self.fields[name].kinds
            kind = next((k for k in able if k in kinds), able[0] if not kinds else None)
            if kind is None:
                raise SettingError(
                    f"{reader} reads {', '.join(kinds)}; column {name!r} is "
                    f"{type(self.fields[name]).__name__.lower()} and can be read as {', '.join(able)}. Take another "
                    f"--model, or leave the column out: --set data.drop={name}"
                )
            chosen.setdefault(kind, []).append(name)
        if chosen != self._kinds:
            self._kinds = chosen
            self._arrays = {k: v for kind, names in chosen.items() for k, v in self._encode(kind, names).items()}

    def _encode(self, kind: str, names: list[str]) -> dict[str, Tensor]:
        if kind in (*_RAGGED, "image") and len(names) > 1:
            raise SettingError(
                f"The columns {', '.join(names)} are all read as {kind!r}, of which a network reads one. "
                f"Leave the others out: --set data.drop={','.join(names[1:])}"
            )
        parts = [self._encoded(name, kind) for name in names]
        if kind in _RAGGED or kind == "image":
            found = {k: v for k, v in parts[0].items() if k == kind or k.startswith(f"{kind}_")}
        else:
            found = {kind: np.concatenate([part[kind] for part in parts], axis=1)}
        return {k: torch.as_tensor(v) for k, v in found.items()}

    def _encoded(self, name: str, kind: str) -> dict[str, Any]:
        field, column = self.fields[name], self.table[name]
        if kind in _RAGGED:
            return field.encode(column, kinds=(kind,))
        if kind != "image":
            return field.encode(column)
        unread: list[tuple[int, str]] = []
        found = field.encode(column, skip=unread)
        self._leave_out(column, unread)
        return found

    def _leave_out(self, column: TableColumn, unread: list[tuple[int, str]]) -> None:
        """List rows whose picture cannot be read and take them from the splits; too many of them is an error."""
        if len(unread) > max(1, 0.1 * len(column.values)):
            shown = "; ".join(f"{column.where(i)}: {why}" for i, why in unread[:3])
            raise DataError(
                f"{len(unread)} of {len(column.values)} pictures of {self.name} cannot be read ({shown}). "
                "Mend or remove them; up to a tenth would have been left out."
            )
        self.unread = [(column.where(i), why) for i, why in unread]
        self.skipped += self.unread
        bad = torch.tensor([i for i, _ in unread], dtype=torch.long)
        self.splits = {name: rows[~torch.isin(rows, bad)] for name, rows in self.splits.items()}

    def features(self, split: str) -> np.ndarray:
        """The inputs of a split as a matrix of numbers, for simple baselines: categories as 0 and 1, pictures flat."""
        rows = self.splits[split]
        parts: list[np.ndarray] = []
        for kind, value in self._arrays.items():
            if kind == "numbers":
                parts.append(value[rows].numpy())
            elif kind == "image":
                parts.append(value[rows].flatten(1).numpy().astype(np.float32) / 255)
            elif kind == "categories":
                for column in value.T:
                    known = min(int(column.max()) + 1, _ONE_HOT)
                    parts.append(np.eye(known, dtype=np.float32)[column[rows].clamp(max=known - 1).numpy()])
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(rows), 0), dtype=np.float32)

    def target(self, name: str) -> Tensor:
        """A target, encoded, for all rows."""
        key = f"target.{name}"
        if key not in self._arrays:
            self._arrays[key] = torch.as_tensor(self.fields[name].encode_target(self.table[name]))
        return self._arrays[key]

    def has_targets(self) -> bool:
        """Whether the table holds the answers too (a table to predict from need not)."""
        return all(name in self.table.columns for name in self.targets)

    # -------------------------------------------------------------------------------------------------------- batches

    def take(self, rows: Tensor) -> Batch:
        """The batch of some rows."""
        batch: Batch = {}
        for kind, names in self._kinds.items():
            if kind in _RAGGED:
                batch |= _ragged(kind, self._arrays, rows)
            else:
                value = self._arrays[kind].index_select(0, rows)
                batch[kind] = self.fields[names[0]].standardise(value) if kind == "image" else value
        if self.has_targets():
            for name in self.targets:
                batch[f"target.{name}"] = self.target(name).index_select(0, rows)
        if self.weight is not None and self.weight in self.table.columns:
            batch["sample_weight"] = self.weights().index_select(0, rows)
        return batch

    def weights(self) -> Tensor:
        """Weights of samples, mean 1 over the training rows."""
        assert self.weight is not None
        if "sample_weight" not in self._arrays:
            column = self.table[self.weight]
            values = np.array([_weight(column, i) for i in range(len(column.values))], dtype=np.float32)
            for side, rows in self.splits.items():
                if len(rows) and not values[rows.numpy()].any():
                    raise DataError(
                        f"Column {self.weight!r} of {self.name} gives all {len(rows):,} rows of {side!r} the weight "
                        "zero, which leaves nothing there. Give some a weight above zero, or leave the weights out."
                    )
            base = values[self.splits["train"].numpy()].mean() if "train" in self.splits else values.mean()
            self._arrays["sample_weight"] = torch.as_tensor(values / (base or 1.0))
        return self._arrays["sample_weight"]

    def documents(self, split: str) -> tuple[list[Tensor], list[str]]:
        """The texts of a split: tokens, and as they were written."""
        (name,) = self.inputs
        flat, offsets = self._arrays["text"], self._arrays["text_offsets"].tolist()
        rows, values = self.splits[split].tolist(), self.table[name].values
        return [flat[offsets[i] : offsets[i + 1]] for i in rows], [str(values[i] or "") for i in rows]

    def stream(self, split: str) -> Tensor:
        """The tokens of a split's documents, end to end, each after the sign that ends the one before."""
        (name,) = self.inputs
        documents, _ = self.documents(split)
        end = torch.tensor([self.fields[name].end], dtype=self._arrays["text"].dtype)
        return torch.cat([end, *(piece for document in documents for piece in (document, end))])

    def feed(
        self,
        sampler: Mapping[str, Any],
        *,
        split: str,
        batch: int,
        seed: int,
        augment: Callable[..., Batch] | None = None,
    ) -> Feed:
        """A feed over one split. sampler: {'kind': 'rows'} or {'kind': 'windows', 'length': tokens}."""
        kind = {**self.sampler, **sampler}["kind"]
        if kind == "rows":
            return feeds.Rows(self, self.splits[split], batch=batch, seed=seed, augment=augment)
        if kind == "windows":
            return feeds.Windows(self.stream(split), length=sampler["length"], batch=batch, seed=seed)
        raise SettingError(f"{self.name} has rows; a task or method asked for {kind!r}.")

    def batches(self, sampler: Mapping[str, Any], *, split: str, batch: int) -> Iterator[Batch]:
        """Every row of a split once, in order."""
        rows = self.splits.get(split, torch.empty(0, dtype=torch.long))
        for start in range(0, len(rows), batch):
            yield self.take(rows[start : start + batch])


def _ragged(kind: str, arrays: Mapping[str, Tensor], rows: Tensor) -> Batch:
    """Texts of some rows: `text` padded with 0 to the longest, `words` laid end to end."""
    flat, offsets = arrays[kind], arrays[f"{kind}_offsets"]
    starts, lengths = offsets[rows], offsets[rows + 1] - offsets[rows]
    if kind == "text":
        span = torch.arange(max(1, int(lengths.max()) if len(rows) else 1))
        inside = span < lengths[:, None]
        at = (starts[:, None] + span).clamp(max=max(0, len(flat) - 1))
        text = torch.where(inside, flat[at].long(), 0) if len(flat) else torch.zeros(len(rows), 1, dtype=torch.long)
        return {"text": text, "text_lengths": lengths}
    ends = lengths.cumsum(0)
    begin = ends - lengths
    at = torch.arange(int(lengths.sum())) + torch.repeat_interleave(starts - begin, lengths)
    weights = arrays.get(f"{kind}_weights")
    found = {kind: flat[at].long(), f"{kind}_offsets": begin}
    return found | ({f"{kind}_weights": weights[at]} if weights is not None else {})


def _weight(column: TableColumn, index: int) -> float:
    try:
        value = float(column.values[index])
    except (TypeError, ValueError):
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise DataError(
            f"Column {column.name!r} holds the weights of the samples, numbers from 0 up, but {column.where(index)} "
            f"has {column.values[index]!r}. Mend it, or leave the weights out."
        )
    return value


def _printed(value: Any, home: str) -> str:
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return repr(value.removeprefix(home) if isinstance(value, str) else value)
