"""report.html: one page that needs no network, with the same parts in the same order whatever was learnt and how.

Words of the user's (names, values, texts) are escaped twice over: control and direction signs are shown as their
codes, and the template escapes HTML; a content security policy lets no script run but the page's own two, and no
request leave. Templates come from this folder alone.
"""

import base64
import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lamina.core.display import shown
from lamina.metrics import names as metric_names
from lamina.report import card, classes, curves, datacard, judged, making, numbers, slices, tags
from lamina.report.blocks import Cell, Figure, Lines, Section, Table, arranged
from lamina.report.samples import Drawer

__all__ = ["Facts", "page", "plots", "sections"]

HERE = Path(__file__).parent
LONGEST = 600  # characters of a name or value that are shown


@dataclass
class Facts:
    """What a report is made of.

    about, history, timing, events: run.json and the diaries. skipped: of skipped.csv. fields: by column.
    task, model, data: where they could be brought back; `gone` says why what is missing is missing, a sentence each.
    told: of the network, by what it is (about, paper). layers: of it, as `show` has them. weights: bytes on disk.
    """

    folder: Path
    about: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]] = ()
    timing: Sequence[Mapping[str, Any]] = ()
    events: Sequence[Mapping[str, Any]] = ()
    skipped: Sequence[tuple[str, str]] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    task: Any = None
    model: Any = None
    data: Any = None
    autocast: Callable[[], Any] | None = None
    gone: list[str] = field(default_factory=list)
    told: Mapping[str, str] = field(default_factory=dict)
    layers: Sequence[Mapping[str, Any]] = ()
    weights: int | None = None


def sections(facts: Facts) -> list[Section]:
    """The parts of the page. Where one has nothing to show it says why."""
    about = facts.about
    data: list[Any] = list(map(_sentence, facts.gone))
    if facts.data is not None:
        data += datacard.card(about, facts.data)
    else:
        data += datacard.remembered(about, facts.fields)
    drawn = curves.curves(about, facts.history, facts.timing)
    speed = [f for f in drawn if f.key == "speed"]
    training = [f for f in drawn if f.key != "speed"]
    results, examples = _results(facts)
    command = card.command(about)
    repeat: list[Any] = [Lines([command], code=True)]
    if "<" in {about["source"][:1], *(str(v)[:1] for v in about["asked"].values())}:
        repeat.append(
            Lines(["What stands in <…> was an object in memory: give it again from Python, lamina.fit(object, …)."])
        )
    if about["status"] != "done":
        repeat.append(Lines([f"lamina fit --resume {facts.folder}"], "To go on with this one", code=True))
    return [
        Section("asked", "What was asked", card.asked(about)),
        Section("data", "Data", data),
        Section("training", "Training", training or [Lines(["Nothing was logged yet."])]),
        Section("results", "Results", results),
        Section("examples", "Examples", examples),
        Section("findings", "Findings", card.findings(about, facts.events, facts.skipped)),
        Section("speed", "Speed and memory", [*speed, *card.machine(about, card.pace(facts.timing), facts.weights)]),
        Section("model", "Model card", card.model(about, facts.told, facts.layers)),
        Section("repeat", "To repeat it", repeat),
    ]


def plots(facts: Facts) -> dict[str, Figure | Table]:
    """All that can be plotted, by kind: the figures of the report, and its confusion matrices."""
    found: dict[str, Figure | Table] = {}
    for block in (b for s in sections(facts) for b in s.blocks):
        if isinstance(block, Figure):
            found[block.key] = block
        elif isinstance(block, Table) and block.matrix:
            target = block.title.rpartition(": ")[0]
            found["confusion" + (f"-{target}" if target else "")] = block
    return found


def _sentence(words: str) -> Lines:
    return Lines([words])


# ------------------------------------------------------------------------------------------------------------- results


def _results(facts: Facts) -> tuple[list[Any], list[Any]]:
    """What stands in Results and in Examples."""
    about = facts.about
    results: list[Any] = card.metrics(about)
    examples: list[Any] = making.kept(facts.folder)
    if about["status"] != "done":
        results.append(Lines([card.headline(about)["verdict"]]))
        examples = examples or [Lines(["Examples of what it answers are shown when it is done."])]
        return results, examples
    if facts.model is None or facts.data is None:
        why = "What needs the data and the network is left out: see Data."
        results.append(Lines([why]))
        return results, examples or [Lines([why])]
    split = about.get("split", "test")
    with torch.no_grad(), facts.autocast() if facts.autocast else contextlib.nullcontext():
        torch.manual_seed(about["seed"])
        more, drawn = _looked_at(facts, split)
    examples += drawn
    return results + more, examples or [Lines(["There is nothing to show: no answer is wrong, or none can be drawn."])]


def _looked_at(facts: Facts, split: str) -> tuple[list[Any], list[Any]]:
    task, model, data = facts.task, facts.model, facts.data
    if hasattr(task, "documents") or hasattr(task, "nats"):
        found = making.texts(task, model, data, split)
        return [b for b in found if isinstance(b, Figure)], [
            *making.written(task, model, data, split), *(b for b in found if not isinstance(b, Figure)),
        ]  # fmt: skip
    if hasattr(task, "create") and hasattr(task, "real"):
        return [], making.pictures(task, model, data, split)
    if hasattr(data, "environment"):
        return [], making.episode(facts.about, model, data)
    answers = judged.answered(task, model, data, split)
    if answers is None:
        return [Lines(["This data set cannot be asked for single rows, so nothing more is shown."])], []
    results: list[Any] = []
    examples: list[Any] = []
    if not answers.whole:
        results.append(Lines([f"What follows is of {len(answers.rows):,} of {answers.of:,} rows, evenly spaced."]))
    drawer = Drawer(data)
    several = judged.parts(task)
    valid = judged.answered(task, model, data, "valid") if split == "test" and _binary(several) else None
    for name, part in several.items():
        raw = judged.part_of(answers.raw, name, len(several) > 1)
        blocks, wrong = _of_target(part, raw, answers, valid, name if len(several) > 1 else "", data, drawer)
        results += blocks
        examples += wrong
    return results, examples


def _binary(parts: Mapping[str, Any]) -> bool:
    return any(len(getattr(part, "names", ())) == 2 for part in parts.values())  # tags too, which costs little


def _of_target(
    part: Any, raw: Mapping[str, Any], answers: Any, valid: Any, name: str, data: Any, drawer: Drawer
) -> tuple[list[Any], list[Any]]:
    """The blocks of one target; `name` stands before their titles where there are several."""
    kind = "number" if "number" in raw else {1: "class", 2: "tags"}.get(answers.targets[part.key].ndim, "")
    looking = {"class": classes.classes, "number": numbers.numbers, "tags": tags.tags}
    mistaken = {"class": classes.mistakes, "number": numbers.worst, "tags": tags.worst}
    if kind not in looking or (kind != "number" and "probabilities" not in raw):
        return [], []
    blocks = looking[kind](part, raw, answers)
    labelled = kind == "class"
    if labelled and len(part.names) == 2:
        own = classes._arrays(part, raw, answers)
        chosen, split = own, answers.split
        if valid is not None:
            chosen, split = classes._arrays(part, judged.part_of(valid.raw, name, bool(name)), valid), valid.split
        blocks += classes.thresholds(part, chosen, own, split)
    wrong: list[Any] = []
    if drawer.able and kind != "tags":
        figure = (lambda *rows: classes.right(part, raw, answers, *rows)) if labelled else (
            lambda *rows: numbers.error_of(part, raw, answers, *rows)
        )  # fmt: skip
        words, metric = ("share that is right", "accuracy") if labelled else ("mean absolute error", "mae")
        blocks += slices.slices(data, answers.rows, words, figure, metric_names.better(metric))
    if drawer.able:
        wrong = mistaken[kind](part, raw, answers, drawer)
        if not wrong:
            wrong = [Lines([f"All {len(answers.rows):,} answers are right." if kind != "number" else "All are exact."])]
    for block in [*blocks, *wrong] if name else ():
        block.title = f"{name}: {block.title}"
        if isinstance(block, Figure):
            block.key = f"{block.key}-{name}"
    return blocks, wrong


# ------------------------------------------------------------------------------------------------------------- drawing


def page(facts: Facts) -> str:
    """The page as HTML."""
    parts = sections(facts)
    drawn: dict[str, Any] = {}
    for block in (b for s in parts for b in s.blocks if isinstance(b, Figure)):
        block.key = f"f{len(drawn)}"  # keys hold names of the user's
        drawn[block.key] = _harmless(block.drawn())
    scripts = [_read("uplot.min.js"), _read("page.js")]
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    for part in parts:
        part.blocks = arranged(part.blocks)
    about = facts.about
    of = ", ".join(about["data"]["targets"])
    name = Path(about["data"]["name"] or about["source"]).name or about["source"]
    html = _template().render(
        title=f"{name}: {of or about['task']['name']}", run=facts.folder.name or str(facts.folder), about=about,
        lead=card.headline(about), sections=parts, styles=_own(_read("uplot.min.css") + _read("page.css")),
        scripts=[_own(s) for s in scripts], policy=_own(hashes), licence=_own(_read("uplot.LICENSE")),
        figures=_own(_json(drawn)),
    )  # fmt: skip
    return html.strip() + "\n"


@functools.cache
def _template() -> Any:
    """Our one template, read once; whatever it prints passes through `_said`."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_said,
    )  # fmt: skip
    environment.filters |= {"lines": _lines, "png": _png, "cell": lambda v: v if isinstance(v, Cell) else Cell(v)}
    return environment.get_template("page.html")


def _own(text: str) -> Any:
    """Text of our own that is HTML as it stands."""
    from markupsafe import Markup

    return Markup(text)


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _said(value: Any) -> Any:
    """What the template prints: no control or direction sign as itself, no name without end."""
    if hasattr(value, "__html__") or not isinstance(value, str):
        return value
    return shown(value, LONGEST)


def _lines(text: str) -> Iterable[str]:
    return [shown(line, LONGEST) for line in str(text).splitlines()[:20]]


def _png(source: str) -> Any:
    """A picture that `blocks.picture` made, whole."""
    return _own(source) if re.fullmatch(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+", source) else ""


def _harmless(drawn: dict[str, Any]) -> dict[str, Any]:
    for one in drawn["series"]:
        one["name"] = shown(one["name"], 80)
    return {**drawn, "x": shown(drawn["x"], 80), "y": shown(drawn["y"], 80)}


def _json(value: Any) -> str:
    """JSON that no browser takes for HTML."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
