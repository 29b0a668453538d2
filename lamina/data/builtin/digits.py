"""digits: 1,797 handwritten digits of 8×8 pixels, in 17 levels of grey, from 43 people.

Source: Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository (1998),
doi:10.24432/C50P49, the test part of it; licence CC BY 4.0. It travels with Lamina, so that a first run needs nothing
else.
"""

from pathlib import Path

import numpy as np

from lamina.data.sources.table import Table, TableColumn

__all__ = ["read"]

TARGET = "label"
FACTS = {"task": "classification", "size": "1,797 pictures"}


def read() -> Table:
    """Columns `image` (8×8, 0 to 255) and `label` ('0' to '9')."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        image, label = file["image"], file["label"]
    pictures = np.rint(image * (255 / 16)).astype(np.uint8)
    columns = {
        "image": TableColumn("image", pictures, "digits", first_row=0),
        "label": TableColumn("label", [str(v) for v in label.tolist()], "digits", first_row=0),
    }
    return Table(columns, len(label), "digits", first_row=0)
