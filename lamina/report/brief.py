"""A run in a notebook: a few lines of HTML without scripts or styles of their own."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from lamina.core.display import shown
from lamina.report import card
from lamina.report.blocks import Cell

__all__ = ["brief"]


def brief(folder: Path, about: Mapping[str, Any]) -> str:
    """What it is, its figures beside the baseline, and where its report is."""
    lead = card.headline(about)
    words = " · ".join([about["task"]["name"], about["model"]["name"], about["method"]["name"], about["status"]])
    found = [f"<p><strong>{_safe(folder)}</strong><br>{_safe(words)}</p>", f"<p>{_safe(lead['verdict'])}</p>"]
    for block in card.metrics(about):
        head = "".join(f'<th scope="col">{_safe(name)}</th>' for name in block.head)
        rows = "".join(
            "<tr>" + "".join(f"<td>{_safe(c.text if isinstance(c, Cell) else c)}</td>" for c in row) + "</tr>"
            for row in block.rows
        )
        found.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
    page = folder / "report.html"
    if page.is_file():
        found.append(f"<p>Report: <code>{_safe(page)}</code></p>")
    return "<div>" + "".join(found) + "</div>"


def _safe(value: Any) -> str:
    return escape(shown(value, 300))
