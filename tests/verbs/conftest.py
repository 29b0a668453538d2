"""Small tables with something to learn, in an empty working directory."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def workplace(monkeypatch, tmp_path):
    """Runs are written below an own empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def columns():
    """300 rows: y is the sign of a - b, z is 3 a - 2 b + 5."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=300), rng.normal(size=300)
    side = np.where(a > b, "more", "less")
    return {"a": a, "b": b, "y": side.tolist(), "z": 3 * a - 2 * b + 5}
