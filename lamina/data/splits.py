"""Which rows train, which choose, which judge: by class, by group, by time, or as the user says.

A split is fixed by the seed and the data alone. No group is ever cut in two; a class of three or more rows is in the
test set, of five or more in the validation set too.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lamina.core.errors import DataError, SettingError
from lamina.core.seeds import mix

__all__ = ["SPLITS", "split"]

SPLITS = ("train", "valid", "test")
SPELLINGS = {
    "train": "train", "training": "train", "fit": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
    "test": "test", "testing": "test", "eval": "test", "holdout": "test",
}  # fmt: skip
BANDS = 10
GREEDY = 4096


def split(
    count: int,
    *,
    target: Sequence[Any] | np.ndarray | None = None,
    groups: Sequence[Any] | np.ndarray | None = None,
    time: Sequence[Any] | np.ndarray | None = None,
    given: Sequence[Any] | np.ndarray | None = None,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    where: Callable[[int], str] = "row {}, counted from 0".format,
) -> dict[str, np.ndarray]:
    """Row numbers (int64, ascending) of 'train', 'valid' and 'test'.

    Args:
        target: shares of each class, or of each tenth of a number's range, are kept alike on all sides.
        groups: rows with equal labels stay on one side. time: the earliest train, the latest test, rows of one moment
            on one side. given: the user's own column of 'train', 'valid', 'test'; rows without a word are left out.
        fractions: of train, valid and test. Where `given` names no valid rows, they are cut from its train rows.
        where: what messages call a row.

    Raises: SettingError for fractions that are none, or group and time at once; DataError for columns that do not fit.
    """
    fractions = _checked(fractions)
    for name, values in (("target", target), ("group", groups), ("time", time), ("split", given)):
        if values is not None and len(values) != count:
            raise DataError(f"The {name} column has {len(values)} values for {count} rows. Give one for each row.")
    if groups is not None and time is not None:
        raise SettingError("Rows are split by group or by time, not both. Leave out data.group or data.time.")
    if given is not None:
        return _as_given(given, target, groups, time, fractions, seed, where)
    wanted = sum(f > 0 for f in fractions)
    if count < wanted:
        raise DataError(f"{count} rows cannot be split into {wanted} parts. Give more rows, or set fractions to 0.")
    if time is not None:
        sides = _by_time(time, fractions, where)
    else:
        sides = _at_random(count, target, groups, fractions, seed)
    return {name: np.flatnonzero(sides == i) for i, name in enumerate(SPLITS)}


def _checked(fractions: Sequence[float]) -> tuple[float, float, float]:
    sound = len(fractions) == 3 and all(0 <= f <= 1 for f in fractions) and abs(sum(fractions) - 1) < 1e-6
    if not sound or fractions[0] == 0:
        raise SettingError(
            f"Split fractions are three shares of train, valid and test that sum to 1, train above 0; "
            f"{tuple(fractions)} came. Try (0.8, 0.1, 0.1)."
        )
    return float(fractions[0]), float(fractions[1]), float(fractions[2])


def _as_given(given, target, groups, time, fractions, seed, where) -> dict[str, np.ndarray]:
    words = [None if v is None or v != v else str(v).strip().lower() for v in given]  # v != v: nan
    unknown = {w: i for i, w in reversed(list(enumerate(words))) if w and w not in SPELLINGS}
    if unknown:
        named = ", ".join(f"{w!r} ({where(i)})" for w, i in sorted(unknown.items(), key=lambda pair: pair[1])[:3])
        raise DataError(
            f"The split column holds {named}. Its words are 'train', 'valid' and 'test'; "
            f"leave a cell empty to leave its row out."
        )
    sides = np.array([SPLITS.index(SPELLINGS[w]) if w else -1 for w in words], dtype=np.int64)
    rows = {name: np.flatnonzero(sides == i) for i, name in enumerate(SPLITS)}
    if not len(rows["train"]) or not len(rows["valid"]) + len(rows["test"]):
        found = ", ".join(f"{len(r)} {name}" for name, r in rows.items())
        raise DataError(
            f"The split column gives {found} rows. Mark some rows 'train' and some 'test' (or 'valid'), "
            f"or leave the column out to have the rows split for you."
        )
    if not len(rows["valid"]) and fractions[1] > 0:
        of = rows["train"]
        share = fractions[1] / (fractions[0] + fractions[1])
        part = {
            k: None if v is None else _values(v)[of] for k, v in dict(target=target, groups=groups, time=time).items()
        }
        cut = split(len(of), **part, fractions=(1 - share, share, 0.0), seed=seed, where=lambda i: where(int(of[i])))
        rows["train"], rows["valid"] = of[cut["train"]], of[cut["valid"]]
    return rows


def _by_time(time: Any, fractions: tuple[float, float, float], where: Callable[[int], str]) -> np.ndarray:
    values = _values(time)
    empty = np.array([v is None or v != v for v in values.tolist()])
    if empty.any():
        raise DataError(
            f"{empty.sum()} of {len(empty)} rows have no time (first: {where(int(empty.argmax()))}), so they have no "
            "place before or after the others. Fill the column in, or leave these rows out."
        )
    if values.dtype.kind in "OU":
        with contextlib.suppress(TypeError, ValueError):  # a CSV's numbers are words, and "10" stands before "9"
            values = np.array([float(v) for v in values.tolist()])
    try:
        moments, place = np.unique(values, return_inverse=True)
    except TypeError:
        kinds = ", ".join(sorted({type(v).__name__ for v in values.tolist()}))
        raise DataError(f"The time column mixes {kinds}, which have no order. Give numbers or dates alone.") from None
    wanted = [i for i in range(3) if fractions[i] > 0]
    if len(moments) < len(wanted):
        raise DataError(
            f"The time column has {len(moments)} distinct moments, too few for {len(wanted)} parts. "
            f"Split by another column, or set fractions to 0."
        )
    upto = np.cumsum(np.bincount(place.reshape(-1))) / len(values)
    sides = np.full(len(moments), wanted[-1])
    first = 0
    for i, side in enumerate(wanted[:-1]):
        edge = sum(fractions[: side + 1])
        last = int(np.argmin(np.abs(upto - edge))) + 1  # the moment whose end lies nearest to the wished edge
        last = min(max(last, first + 1), len(moments) - (len(wanted) - 1 - i))
        sides[first:last] = side
        first = last
    return sides[place.reshape(-1)]


def _at_random(count: int, target: Any, groups: Any, fractions: tuple[float, float, float], seed: int) -> np.ndarray:
    rng = np.random.default_rng(mix(seed, "split"))
    unit, units = (np.arange(count), count) if groups is None else _numbers(groups)
    wanted = [i for i in range(3) if fractions[i] > 0]
    if units < len(wanted):
        raise DataError(
            f"The group column has {units} distinct groups, too few for {len(wanted)} parts that share none. "
            f"Group by another column, or set fractions to 0."
        )
    bands, many = (np.zeros(count, np.int64), 1) if target is None else _bands(target)
    size = np.bincount(unit, minlength=units)
    sides = np.full(units, -1)

    # What each side still lacks of each band, in rows. Groups of several rows go first, the largest ahead, each to the
    # side that lacks most, as a share, of what it holds; single rows then fill what is left, band by band.
    lack = np.outer(fractions, np.bincount(bands, minlength=many).astype(float))
    big = np.flatnonzero(size > 1)
    big = big[rng.permutation(len(big))]
    big = big[np.argsort(-size[big], kind="stable")]
    order = np.argsort(unit, kind="stable")
    start = np.concatenate([[0], np.cumsum(size)])
    room = lack.sum(1)
    shares = np.where(np.array(fractions) > 0, fractions, np.inf)
    for g in big[:GREEDY]:
        held, amount = np.unique(bands[order[start[g] : start[g + 1]]], return_counts=True)
        need = (lack[:, held] @ amount) / shares + room / shares * 1e-6
        fits = (room >= 0.5 * size[g]) & (shares < np.inf)
        side = int(np.argmax(np.where(fits, need, -np.inf))) if fits.any() else int(np.argmax(room))
        sides[g] = side
        lack[side, held] -= amount
        room[side] -= size[g]
    _fill(sides, unit, bands, many, lack.clip(0), fractions, rng)

    if min(int((sides == i).sum()) for i in wanted) == 0:  # so few groups that the bands left a side empty
        shuffled = rng.permutation(units)
        counts = _shares(units, np.array(fractions), dict.fromkeys(wanted, 1))
        sides[shuffled] = np.repeat(np.arange(3), counts)
    return sides[unit]


def _fill(sides, unit, bands, many, lack, fractions, rng) -> None:
    """Units that have no side yet, band by band, in what each side lacks of the band."""
    first = np.full(len(sides), -1)
    first[unit[::-1]] = bands[::-1]  # a unit's band is that of its first row
    free = np.flatnonzero(sides < 0)
    free = free[rng.permutation(len(free))]
    free = free[np.argsort(first[free], kind="stable")]
    counts = np.bincount(first[free], minlength=many)
    at = 0
    for band in range(many):
        n = int(counts[band])
        if n == 0:
            continue
        least = {0: 1}
        if n >= 3 and fractions[2] > 0:
            least[2] = 1
        if (n >= 5 or (fractions[2] == 0 and n >= 3)) and fractions[1] > 0:
            least[1] = 1
        share = lack[:, band] if lack[:, band].sum() > 0 else np.array(fractions)
        sides[free[at : at + n]] = np.repeat(np.arange(3), _shares(n, share, least if len(free) == len(sides) else {}))
        at += n


def _shares(count: int, shares: np.ndarray, least: Mapping[int, int]) -> np.ndarray:
    """`count` things in three parts near to `shares`: largest remainders, then what each part has at least."""
    exact = count * shares / shares.sum()
    parts = np.floor(exact).astype(int)
    for i in np.argsort(-(exact - parts), kind="stable")[: count - parts.sum()]:
        parts[i] += 1
    for i, fewest in least.items():
        while parts[i] < fewest and parts.max() > 1:
            parts[int(np.argmax(parts))] -= 1
            parts[i] += 1
    return parts


def _values(values: Any) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    array = np.asarray(values)
    return array if array.dtype.kind in "iufbM" else np.array([*list(values), None], dtype=object)[:-1]


def _numbers(values: Any) -> tuple[np.ndarray, int]:
    """0..n-1 for any labels, and n."""
    array = _values(values)
    if array.dtype.kind in "iubMU":
        names, codes = np.unique(array, return_inverse=True)
        return codes.reshape(-1), len(names)
    known: dict[Any, int] = {}
    codes = np.array([known.setdefault(None if v != v else v, len(known)) for v in array.tolist()], dtype=np.int64)
    return codes, len(known)


def _bands(target: Any) -> tuple[np.ndarray, int]:
    """A band for each row: its class, or the tenth that its number falls in; rows without a target have their own."""
    array = _values(target)
    if array.dtype.kind in "iuf":
        known = np.isfinite(array) if array.dtype.kind == "f" else np.ones(len(array), bool)
        levels = np.unique(array[known])
        if len(levels) > max(20, 0.05 * known.sum()) or (array.dtype.kind == "f" and len(levels) > 20):
            bands = max(1, min(BANDS, int(known.sum()) // 20))
            edges = np.quantile(array[known], np.linspace(0, 1, bands + 1)[1:-1])
            return np.where(known, np.searchsorted(edges, array, side="right"), bands), bands + 1
    return _numbers(array)
