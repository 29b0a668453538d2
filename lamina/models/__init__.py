"""The networks, a file a family; each is plain PyTorch and usable alone. `create` finds one by name."""

from typing import Any

__all__ = ["create"]


def create(name: str, *, weights: str | None = None, trusted: bool = True, **settings: Any) -> Any:
    """A network by its name, e.g. create("resnet50", classes=10): plain torch from here on.

    weights: a file in the family's own layout, or hf:OWNER/NAME[@REVISION][/FILE]; see `lamina.models._stored`.
    settings: arguments of its signature.
    Raises: UnknownName, SettingError (an argument it does not have), ShapeError, RunError (weights that do not fit).
    """
    from lamina.core import names
    from lamina.core.settings import check

    made, variant = names.load("models", name, trusted=trusted)
    model = made(**{**variant, **check(made, settings)})
    if weights is not None:
        from lamina.models._weights import load

        load(model, weights, name)
    return model
