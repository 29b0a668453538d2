"""chitchat: 7,168 conversations of people in English, 12.5 million characters, a text each.

Source: the package chitchat-dataset (MIT licence).
"""

import importlib.util
import json
from pathlib import Path

from lamina.core.errors import DataError
from lamina.data.sources.corpus import Documents
from lamina.data.sources.frame import Table

__all__ = ["read"]

FACTS = {
    "task": "language",
    "size": "7,168 texts",
    "module": "chitchat_dataset",
    "install": "pip install chitchat-dataset",
}


def read() -> Table:
    """One column, `text`: a conversation a row, a message a line."""
    found = importlib.util.find_spec("chitchat_dataset")
    if found is None or found.origin is None:
        raise DataError(
            "chitchat comes with the package chitchat-dataset (8 MB), which is not installed. "
            "Run: pip install chitchat-dataset"
        )
    path = Path(found.origin).with_name("dataset.json")
    try:
        held = json.loads(path.read_bytes())
        texts = ["\n".join(" ".join(t["text"] for t in m) for m in c["messages"]) for c in held.values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not what chitchat-dataset 0.9 holds ({type(error).__name__}: {error}). "
            "Install it again: pip install --force-reinstall chitchat-dataset"
        ) from error
    return Table({"text": Documents("text", texts, "chitchat", 0)}, len(texts), "chitchat", 0)
