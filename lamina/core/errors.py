"""One voice for everything that can go wrong.

    LaminaError                 anything this package raises on purpose
    ├── UserError               the input was wrong: exit status 2, one message, no traceback
    │   ├── DataError           a file, row, column or value
    │   ├── SettingError        an option, a key of --set, or its value
    │   ├── ShapeError          sizes of a network that do not fit each other or the data
    │   ├── UnknownName         no model, task, method, field or data set is called so
    │   ├── MissingExtra        an optional package is not installed
    │   └── RunError            a run folder that is missing, damaged, in use or not of this kind
    └── TrainingError           training cannot go on (exit status 1): the loss is not finite, for instance
        └── Interrupted         something that it needs went away: the run can be gone on with as it is
    DataWarning                 a warning: data are used, though not all of them as they stand
A message says what came, where, what was expected and what to do, with the user's own names and numbers.
"""

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "DataError",
    "DataWarning",
    "Interrupted",
    "LaminaError",
    "MissingExtra",
    "RunError",
    "SettingError",
    "ShapeError",
    "TrainingError",
    "UnknownName",
    "UserError",
    "did_you_mean",
]


class LaminaError(Exception):
    """Anything this package raises on purpose."""

    status = 1


class UserError(LaminaError):
    """The input was wrong; the message says what to do."""

    status = 2


class DataError(UserError):
    """A file, row, column or value is not what it should be."""


class SettingError(UserError):
    """An option, a key of --set, or its value cannot be taken."""


class ShapeError(UserError):
    """Sizes of a network that do not fit each other or the data."""


class UnknownName(UserError):
    """Nothing is called so; the nearest name is offered."""


class RunError(UserError):
    """A run folder that is missing, damaged, in use or of another kind."""


class TrainingError(LaminaError):
    """Training cannot go on."""


class Interrupted(TrainingError):
    """Something that training needs went away; once it is back, the run can be gone on with. folder: the run's."""

    folder: Any = None


class DataWarning(UserWarning):
    """Data are used, though not all of them as they stand: read as missing or unknown, or left out."""


class MissingExtra(UserError):
    """An optional package is not installed; the message holds the command that installs it."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(f"{purpose} needs {package}, which is not installed. Run: pip install 'lamina[{extra}]'")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean 'x'?' for the nearest of the known names, or nothing."""
    near = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
