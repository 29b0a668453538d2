"""fashion-mnist: 70,000 photos of clothing, 28×28 grey, 10 classes, 10,000 of them the test split.

Source: Xiao, Rasul & Vollgraf, "Fashion-MNIST" (2017), arXiv:1708.07747; licence MIT. Debian packages it as
`dataset-fashion-mnist`; elsewhere, the four -ubyte.gz files in the folder that LAMINA_DATA names, under fashion-mnist/.
"""

import gzip
import os
from pathlib import Path

import numpy as np

from lamina.core.errors import DataError
from lamina.data.sources.table import Table, TableColumn

__all__ = ["read"]

TARGET = "label"
FACTS = {
    "task": "classification",
    "size": "70,000 pictures",
    "files": [
        "$LAMINA_DATA/fashion-mnist/train-images-idx3-ubyte.gz",
        "fashion-mnist/train-images-idx3-ubyte.gz",
        "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz",
    ],
    "install": "apt-get install dataset-fashion-mnist",
}
CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_PLACES = (Path(os.environ.get("LAMINA_DATA", ".")) / "fashion-mnist", Path("/usr/share/datasets/fashion-mnist"))


def read() -> Table:
    """Columns `image`, `label` and `split` (train or test, as published)."""
    folder = next((place for place in _PLACES if (place / "train-images-idx3-ubyte.gz").is_file()), None)
    if folder is None:
        raise DataError(
            "fashion-mnist is not on this machine. On Debian or Ubuntu: apt-get install dataset-fashion-mnist. "
            "Elsewhere: put its four -ubyte.gz files into a folder fashion-mnist, and set LAMINA_DATA to the folder "
            "above it."
        )
    pictures, labels, split = [], [], []
    for part, name in (("train", "train"), ("t10k", "test")):
        pictures.append(_idx(folder / f"{part}-images-idx3-ubyte.gz", offset=16).reshape(-1, 28, 28))
        labels.append(_idx(folder / f"{part}-labels-idx1-ubyte.gz", offset=8))
        split += [name] * len(labels[-1])
    columns = {
        "image": TableColumn("image", list(np.concatenate(pictures)), "fashion-mnist", first_row=0),
        "label": TableColumn("label", [CLASSES[i] for i in np.concatenate(labels)], "fashion-mnist", first_row=0),
        "split": TableColumn("split", split, "fashion-mnist", first_row=0),
    }
    return Table(columns, len(split), "fashion-mnist", first_row=0)


def _idx(path: Path, offset: int) -> np.ndarray:
    """The bytes of an IDX file past its header."""
    try:
        return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=offset)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} is no whole gzip file ({error}). Install the package again.") from error
