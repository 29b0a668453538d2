"""A report as a reader's program sees it: its elements, what is wrong with them, and what its parts say."""

import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

PARTS = ["asked", "data", "training", "results", "examples", "findings", "speed", "model", "repeat"]
VOID = {"meta", "img", "br", "line", "circle", "link", "hr", "input"}


class Page(HTMLParser):
    """A page read whole. objections: what no page may have; text: of each part; alts: of its pictures."""

    def __init__(self, path: Path):
        super().__init__(convert_charrefs=True)
        self.html = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.objections: list[str] = []
        self.text: dict[str, str] = {}
        self.part = "head"
        self.alts: list[str] = []
        self.ids: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.scripts: list[str] = []
        self.feed(self.html)
        self.close()
        self.objections += [f"<{tag}> is never closed" for tag in self.open]
        self.objections += [f"two elements are called {i!r}" for i in set(self.ids) if self.ids.count(i) > 1]
        levels = [level for level, _ in self.headings]
        self.objections += [f"h{b} after h{a}" for a, b in itertools.pairwise(levels) if b > a + 1]
        self.objections += [f"{level}: an empty heading" for level, words in self.headings if not words.strip()]

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        held = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in held:
            self.ids.append(held["id"])
        if tag == "section":
            self.part = held["id"]
        if tag == "img":
            self.alts.append(held.get("alt") or "")
            if not held.get("alt"):
                self.objections.append("a picture without words")
            if not held["src"].startswith(("data:image/png;base64,iVBOR", "data:image/jpeg;base64,/9j/")):
                self.objections.append(f"a picture from {held['src'][:60]}")
        if tag == "th" and "scope" not in held:
            self.objections.append("a heading cell without scope")
        if "href" in held and not held["href"].startswith("#"):
            self.objections.append(f"a link to {held['href']}")
        if held.get("role") == "img" and not held.get("aria-label"):
            self.objections.append("a drawing without words")
        self.objections += [f"<{tag} {name}>" for name in held if name.startswith("on")]
        if tag in ("h1", "h2", "h3"):
            self.headings.append((int(tag[1]), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.objections.append(f"</{tag}> where <{self.open[-1] if self.open else 'nothing'}> is open")
            return
        self.open.pop()
        if tag == "section":
            self.part = "foot"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            if self.open[-1] == "script":
                self.scripts.append(data)
            return
        self.text[self.part] = self.text.get(self.part, "") + data
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            level, words = self.headings[-1]
            self.headings[-1] = (level, words + data)

    @property
    def figures(self) -> dict[str, Any]:
        """What the page's script draws."""
        return json.loads(next(s for s in self.scripts if s.startswith("{")))


def check(path: Path) -> Page:
    """The page at a path, sound: every part is there in order with words in it, nothing comes from elsewhere."""
    page = Page(path)
    assert not page.objections, page.objections[:10]
    assert [i for i in page.ids if i in PARTS] == PARTS
    for part in PARTS:
        words = re.sub(r"\s+", " ", page.text[part]).strip()
        assert len(words) > 40, f"{part} has nothing to say: {words!r}"
    assert path.stat().st_size < 3_000_000
    for name, figure in page.figures.items():
        lengths = {len(column) for column in figure["data"]}
        assert len(lengths) == 1 and figure["x"] and figure["y"], name
        assert figure["data"][0] == sorted(figure["data"][0]), name
        assert len(figure["data"]) == 1 + len(figure["series"])
    return page
