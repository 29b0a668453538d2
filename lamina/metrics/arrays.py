"""What came to be measured, as checked numpy arrays: one row a sample, one length, nothing that is not a number."""

from typing import Any

import numpy as np

from lamina.core.errors import DataError, ShapeError

__all__ = ["as_array", "check_rows", "check_weights", "dense"]


def as_array(values: Any) -> np.ndarray:
    """A numpy array of a tensor (any device, any precision), list or array; 16-bit floats become 32-bit ones."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()
        return values.numpy()
    array = np.asarray(values)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def check_rows(what: str, values: np.ndarray, count: int | None = None) -> None:
    """Refuses no rows at all, another number of rows than `count`, and numbers that are nan or infinite."""
    if len(values) == 0:
        raise DataError(f"There are no {what} to measure: 0 rows came. Give at least one row.")
    if count is not None and len(values) != count:
        raise ShapeError(f"{len(values)} {what} came for {count} rows. Give one for each row.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        finite = np.isfinite(values).reshape(len(values), -1).all(1)
        bad = np.flatnonzero(~finite)
        raise DataError(
            f"{len(bad)} of {len(values)} {what} are nan or infinite (first at row {bad[0]}, counted from 0). "
            f"Leave these rows out, or find where the network overflows."
        )


def check_weights(weights: Any, count: int) -> np.ndarray:
    """Sample weights in float64, ones where none came; refuses negative ones and those that sum to zero."""
    if weights is None:
        return np.ones(count)
    weights = as_array(weights).astype(np.float64).reshape(-1)
    check_rows("sample weights", weights, count)
    if weights.min() < 0:
        row = int(np.argmin(weights))
        raise DataError(f"The sample weight of row {row} is {weights[row]:g}. Weights are zero or more.")
    if weights.sum() == 0:
        raise DataError(f"All {count} sample weights are zero, which leaves nothing to measure. Give some above zero.")
    return weights


def dense(groups: Any, count: int) -> tuple[np.ndarray, int]:
    """Group numbers 0..n-1 for any labels, and n; every row its own group where none came."""
    if groups is None:
        return np.arange(count), count
    groups = as_array(groups).reshape(-1)
    check_rows("groups", groups, count)
    names, ids = np.unique(groups, return_inverse=True)
    return ids.reshape(-1), len(names)
