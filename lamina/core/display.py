"""Text from outside as it is shown: names and values can neither steer a terminal nor run in a spreadsheet.

A terminal gets escapes for control characters and for the signs that turn the direction of writing. A cell of a CSV
file that a spreadsheet would take for a formula gets an apostrophe in front, which the spreadsheet takes off again;
cells that already look so get one more, so that `original` gives back what every cell held.
"""

import json
import re
from typing import Any

__all__ = ["LONGEST", "as_json", "harmless", "original", "shown"]

LONGEST = 4_000  # characters of a message
# C0 and C1 controls, the marks, embeddings, overrides and isolates of writing direction, line separators, and halves
# of character pairs, which no stream can print
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_IN_CELL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the wide signs are read as the narrow ones


def shown(value: Any, most: int = LONGEST) -> str:
    """One line for a terminal: what could steer it is an escape (\\x1b, \\n), the middle of a long one is cut."""
    text = str(value)
    if len(text) > most:
        text = f"{text[: most * 2 // 3]} … ({len(text):,} characters) … {text[-most // 4 :]}"
    return _UNSAFE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def harmless(value: Any) -> Any:
    """A cell of a CSV file: text that a spreadsheet would run gets an apostrophe in front; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    value = _IN_CELL.sub(_escape, value)
    if not _FORMULA.match(value) or _is_number(value):
        return value
    return f"'{value}"


def original(cell: str) -> str:
    """What `harmless` was given, terminal codes aside."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _is_number(text: str) -> bool:
    if not text.isascii() or "_" in text or text.strip() != text:
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_json(value: Any, **how: Any) -> str:
    """JSON in which what could steer a terminal, or cannot be UTF-8, is escaped as JSON does it: nothing is lost."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, **how)
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
