"""Putting back what a field's `state` gave, read from a file that anybody may have written."""

from typing import Any

from lamina.core.untrusted import fits

__all__ = ["put_back", "require"]


def put_back(field: Any, state: dict[str, Any], **shapes: Any) -> None:
    """Set what a fresh field's own state has, and nothing else, each of the kind that it was.

    shapes: of entries whose first value does not tell, such as None or an empty list; see `untrusted.fits`.
    Raises: ValueError.
    """
    for key, usual in field.state().items():
        if key in state:
            wrong = fits(state[key], shapes.get(key, type(usual)), key)
            require(not wrong, str(wrong))
            setattr(field, key, state[key])


def require(right: bool, what: str) -> None:
    """Raises: ValueError, where a state contradicts itself."""
    if not right:
        raise ValueError(what)
