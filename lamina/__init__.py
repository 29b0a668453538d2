"""Lamina: one deep-learning system; every kind of network, every way of learning, the same few verbs.

import lamina
run = lamina.fit("houses.csv", target="price")
run.evaluate("test.csv"); run.predict("new.csv")
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina import models as models
    from lamina.core.errors import LaminaError as LaminaError
    from lamina.core.errors import UserError as UserError
    from lamina.verbs.compare import compare as compare
    from lamina.verbs.evaluate import evaluate as evaluate
    from lamina.verbs.fit import fit as fit
    from lamina.verbs.fit import train as train
    from lamina.verbs.listing import datasets as datasets
    from lamina.verbs.listing import methods as methods
    from lamina.verbs.listing import runs as runs
    from lamina.verbs.listing import tasks as tasks
    from lamina.verbs.predict import predict as predict
    from lamina.verbs.report import report as report
    from lamina.verbs.run import Run as Run
    from lamina.verbs.run import open as open
    from lamina.verbs.show import show as show
    from lamina.verbs.tune import tune as tune

__version__ = "0.1.0"

_LENT = {
    "LaminaError": "core.errors",
    "Run": "verbs.run",
    "UserError": "core.errors",
    "compare": "verbs.compare",
    "datasets": "verbs.listing",
    "evaluate": "verbs.evaluate",
    "fit": "verbs.fit",
    "methods": "verbs.listing",
    "open": "verbs.run",
    "predict": "verbs.predict",
    "report": "verbs.report",
    "runs": "verbs.listing",
    "show": "verbs.show",
    "tasks": "verbs.listing",
    "train": "verbs.fit",
    "tune": "verbs.tune",
}
__all__ = [*_LENT, "models"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """The verbs, imported when they are first used: `import lamina` itself costs next to nothing."""
    if name in _LENT:
        value = getattr(importlib.import_module(f"lamina.{_LENT[name]}"), name)
    elif name == "models":
        value = importlib.import_module("lamina.models")
    else:
        raise AttributeError(f"module 'lamina' has no attribute {name!r}")
    globals()[name] = value
    return value


class _Package(ModuleType):
    """`lamina.train`, `tasks` and `methods` are verbs, also where the folders of those names have been imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _LENT and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
