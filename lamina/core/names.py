"""The finder: a name is an address, and nothing is registered.

A *shelf* is a folder of the package, a file on it is an *entry*: `resnet50` is variant `50` of `resnet.py`,
`vit_b16` is `b16` of `vit.py`. Listing reads docstring, `__all__`, `VARIANTS` and `EXEMPT` as literals; it imports
nothing. Users add their own: `module:Class`, `path/to/file.py:Class`, a file in `./lamina_ext/<shelf>/`, or an entry
point of the group `lamina.<shelf>`.
"""

import ast
import configparser
import functools
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from lamina.core.errors import RunError, SettingError, UnknownName, did_you_mean

__all__ = ["Entry", "Found", "find", "load", "names", "shelf"]

PACKAGE = Path(__file__).parents[1]
EXTENSIONS = "lamina_ext"
_SINGULAR = {"data/sources": "source", "data/builtin": "data set"}
_DOCSTRING = re.compile(
    r"\A(?:[ \t]*(?:#.*)?\n)*([rR]?(\"\"\"|''').*?(?<!\\)\2|[rR]?\"[^\"\n]*\"|[rR]?'[^'\n]*')", re.DOTALL
)
_STATEMENT = re.compile(r"^(VARIANTS|EXEMPT|FACTS|__all__)\b.*\n(?:(?:[ \t\])}#].*)?\n)*", re.MULTILINE)
_PUBLIC = re.compile(r"^(?:class|def)[ \t]+([A-Za-z]\w*)", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """A file on a shelf, as far as it can be known without running it.

    variants: key -> settings; exports: `__all__`, the file's own class or function first;
    facts: of a data set: task, size, and what it needs to be here; origin: 'lamina', 'lamina_ext' or 'entry point'.
    """

    name: str
    path: Path
    module: str
    doc: str = ""
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    exports: tuple[str, ...] = ()
    exempt: dict[str, str] = field(default_factory=dict)
    origin: str = "lamina"
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.strip().partition("\n")[0]

    @property
    def keys(self) -> tuple[str | None, ...]:
        """None for the bare stem, then the variants; the key '' means the bare stem too."""
        return (None, *(key for key in self.variants if key))

    def spell(self, variant: str | None) -> str:
        """The usual name of a variant: 'resnet50', 'vit_b16'; the stem alone for none."""
        if not variant:
            return self.name
        joined = variant[0].isdigit() and not self.name[-1].isdigit()
        return self.name + ("" if joined else "_") + variant


@dataclass(frozen=True)
class Found:
    """What a name stands for: an entry, and one of its variants or None."""

    entry: Entry
    variant: str | None = None

    @property
    def name(self) -> str:
        return self.entry.spell(self.variant)

    @property
    def settings(self) -> dict[str, Any]:
        """The variant's arguments; those of '' for the bare stem, usually none: the paper's network."""
        return dict(self.entry.variants.get(self.variant or "", {}))


def shelf(room: str, *, own: bool = True) -> dict[str, Entry]:
    """The entries of 'models', 'tasks', 'methods', 'fields', 'data/sources', 'data/builtin' … by stem, sorted.

    own: `./lamina_ext/<room>/` too; what installed packages add is always there.
    Raises: SettingError where two files have the same stem.
    """
    entries: dict[str, Entry] = {}
    for entry in _entries(room, own):
        other = entries.setdefault(entry.name, entry)
        if other is not entry:
            raise SettingError(
                f"Two {_plural(room)} are called {entry.name!r}: {other.path} and {entry.path}. "
                f"A stem stands once on a shelf, whatever the folder: rename one of the files."
            )
    return dict(sorted(entries.items()))


def names(room: str) -> list[str]:
    """Every name `find` takes on a shelf, in its usual spelling: stems and their variants."""
    return [entry.spell(key) for entry in shelf(room).values() for key in entry.keys]


def find(room: str, name: str, *, own: bool = True) -> Found:
    """The entry and the variant that a name stands for; '-' reads as '_', and case does not count.

    Raises: UnknownName with the nearest name; SettingError if the name splits in two ways.
    """
    entries = shelf(room, own=own)
    asked = _plain(name)
    hits = [Found(entry, key) for entry in entries.values() for key in entry.keys if _meets(asked, entry, key)]
    if len(hits) == 1:
        return hits[0]
    if hits:
        ways = " or ".join(
            f"variant {h.variant!r} of {h.entry.path.name}" if h.variant else h.entry.path.name for h in hits
        )
        raise SettingError(f"{name!r} can be read in {len(hits)} ways: {ways}. Rename a variant or a file.")
    known = [entry.spell(key) for entry in entries.values() for key in entry.keys]
    near = did_you_mean(name, known)
    listing = f" `lamina {room.rpartition('/')[2].replace('builtin', 'datasets')}` lists them all." if not near else ""
    raise UnknownName(f"No {_singular(room)} is called {name!r}.{near}{listing}")


def load(room: str, name: str, *, trusted: bool = True) -> tuple[Any, dict[str, Any]]:
    """Import what a name or an address stands for: the class or function, and its variant's settings.

    trusted: False where the name was read from a run folder, which must not choose code to run: addresses and
    `lamina_ext` are then refused, and have to be given again by the user; so what is not here at all.
    Raises: UnknownName, SettingError, RunError.
    """
    if ":" in name:
        if not trusted:
            raise _given_again(room, name)
        where, _, attribute = name.rpartition(":")
        return _attribute(_import(where), attribute, where), {}
    if not trusted and _plain(name) in {_plain(n) for n in _own_names(room)}:
        raise _given_again(room, name)
    try:
        found = find(room, name, own=trusted)
    except UnknownName as unknown:
        if trusted:
            raise
        raise RunError(
            f"This run was made with {_singular(room)} {name!r}, which is not here: it is a newer lamina's, of a "
            "package that is not installed, or somebody's own. Install it; or, where you have that code and trust it, "
            f"give it: --{_singular(room)} path/to/file.py:Class"
        ) from unknown
    entry = found.entry
    module = (
        _import_file(entry.path, entry.module) if entry.origin == EXTENSIONS else importlib.import_module(entry.module)
    )
    if not entry.exports:
        raise SettingError(f"{entry.path} defines no class or function to take as {_singular(room)} {entry.name!r}.")
    return _attribute(module, entry.exports[0], str(entry.path)), found.settings


# ------------------------------------------------------------------------------------------- reading, not importing


def _entries(room: str, own: bool) -> Iterator[Entry]:
    yield from _folder(PACKAGE / room, f"lamina.{room.replace('/', '.')}", "lamina")
    yield from _entry_points(room)
    if own:
        yield from _folder(Path.cwd() / EXTENSIONS / room, f"{EXTENSIONS}.{room.replace('/', '.')}", EXTENSIONS)


def _folder(root: Path, module: str, origin: str) -> Iterator[Entry]:
    for folder, below, files in os.walk(root):
        below[:] = sorted(d for d in below if not d.startswith(("_", ".")))
        inside = Path(folder).relative_to(root).parts
        for file in sorted(files):
            stem, suffix = os.path.splitext(file)
            if suffix == ".py" and not stem.startswith("_"):
                yield _entry(Path(folder, file), stem, ".".join((module, *inside, stem)), origin)


def _entry(path: Path, name: str, module: str, origin: str) -> Entry:
    stat = path.stat()
    doc, facts, public = _read(str(path), stat.st_mtime_ns, stat.st_size)
    exports = tuple(sorted(facts.get("__all__") or public[:1], key=lambda name: name not in public))  # constants last
    variants = {str(key): dict(row) for key, row in facts.get("VARIANTS", {}).items()}
    return Entry(name, path, module, doc, variants, exports, facts.get("EXEMPT", {}), origin, facts.get("FACTS", {}))


@functools.cache
def _read(path: str, changed: int, size: int) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Docstring, literal facts and public definitions of a file. Whole files through `ast` cost 2 ms each: too slow."""
    source = Path(path).read_text(encoding="utf-8").replace("\r\n", "\n")
    head = _DOCSTRING.match(source)
    doc = ast.literal_eval(head[1]) if head else ""
    body = source[head.end() :] if head else source
    before = source.count("\n", 0, len(source) - len(body))
    facts = {}
    for statement in _STATEMENT.finditer(body):
        node = ast.parse(statement[0]).body[0]
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            first = before + body.count("\n", 0, statement.start()) + 1
            facts[statement[1]] = _literal(node.value, path, first, statement[1])
    return doc, facts, tuple(_PUBLIC.findall(body))


def _literal(node: ast.expr, path: str, first: int, name: str) -> Any:
    """A literal, or `dict(a=1)` of literals, wherever it stands."""
    match node:
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(k.arg for k in keywords):
            return {k.arg: _literal(k.value, path, first, name) for k in keywords}
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {ast.literal_eval(k): _literal(v, path, first, name) for k, v in zip(keys, values, strict=True) if k}
        case ast.List(elts=elements):
            return [_literal(e, path, first, name) for e in elements]
        case ast.Tuple(elts=elements):
            return tuple(_literal(e, path, first, name) for e in elements)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise SettingError(
            f"{name} of {path} (line {first + node.lineno - 1}) is read without running the file, so it holds numbers, "
            f"strings, lists and dict(a=1) only; there stands: {ast.unparse(node)}"
        ) from None


def _entry_points(room: str) -> Iterator[Entry]:
    """Entry points of the group lamina.<room>. `importlib.metadata` parses every package there is: 30 times slower."""
    group = f"lamina.{room.replace('/', '.')}"
    for folder in dict.fromkeys(sys.path):
        try:
            inside = [f.path for f in os.scandir(folder or ".") if f.name.endswith((".dist-info", ".egg-info"))]
        except OSError:
            continue
        for metadata in inside:
            try:
                text = Path(metadata, "entry_points.txt").read_text(encoding="utf-8")
            except (OSError, ValueError):
                continue
            if f"[{group}]" in text:
                parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
                parser.optionxform = str  # type: ignore[assignment,method-assign]
                parser.read_string(text)
                for name, address in parser[group].items():
                    module, _, attribute = address.partition("[")[0].strip().partition(":")
                    yield _installed(name, module.strip(), attribute.strip(), Path(metadata))


def _installed(name: str, module: str, attribute: str, metadata: Path) -> Entry:
    for folder in sys.path:
        base = Path(folder, *module.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                entry = _entry(path, name, module, "entry point")
                return Entry(
                    name,
                    path,
                    module,
                    entry.doc,
                    entry.variants,
                    (attribute or entry.exports[0],),
                    entry.exempt,
                    "entry point",
                )
    return Entry(name, metadata, module, "", {}, (attribute,) if attribute else (), {}, "entry point")


# ---------------------------------------------------------------------------------------------------------- names


def _plain(name: str) -> str:
    return name.replace("-", "_").lower()


def _meets(asked: str, entry: Entry, variant: str | None) -> bool:
    stem = _plain(entry.name)
    return asked == stem if variant is None else asked in (stem + _plain(variant), f"{stem}_{_plain(variant)}")


def _own_names(room: str) -> list[str]:
    """The names that `./lamina_ext/` adds to a shelf and the package does not have."""
    mine = _folder(Path.cwd() / EXTENSIONS / room, EXTENSIONS, EXTENSIONS)
    house = shelf(room, own=False)
    spelled = {entry.spell(k) for entry in house.values() for k in entry.keys}
    return [n for entry in mine for k in entry.keys if (n := entry.spell(k)) not in spelled]


def _singular(room: str) -> str:
    return _SINGULAR.get(room, room.rpartition("/")[2].removesuffix("s"))


def _plural(room: str) -> str:
    return _singular(room) + "s"


def _given_again(room: str, name: str) -> RunError:
    return RunError(
        f"This run was made with {_singular(room)} {name!r}, which is not part of lamina, and opening a run never runs "
        f"code that the run names. If you trust that code, give it again: --{_singular(room)} {name}"
    )


# ------------------------------------------------------------------------------------------------------- importing


def _import(where: str) -> ModuleType:
    """A module by its dotted name (the working directory counts, last), or a file by its path."""
    if where.endswith(".py") or "/" in where or os.sep in where:
        path = Path(where).expanduser()
        if not path.is_file():
            raise UnknownName(
                f"There is no file {where} (looked in {Path.cwd()}). An address is path/to/file.py:Class."
            )
        return _import_file(path, re.sub(r"\W", "_", str(path.resolve().with_suffix(""))).strip("_"))
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as missing:
        if missing.name and (where == missing.name or where.startswith(missing.name + ".")):
            raise UnknownName(
                f"There is no module {where!r}, neither installed nor in {os.getcwd()}. "
                f"An address is module:Class or path/to/file.py:Class."
            ) from None
        raise _broken(where, missing) from missing
    except Exception as error:
        raise _broken(where, error) from error


def _import_file(path: Path, module: str) -> ModuleType:
    path = path.resolve()
    if (known := sys.modules.get(module)) is not None and getattr(known, "__file__", None) == str(path):
        return known
    spec = importlib.util.spec_from_file_location(module, path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[module] = made  # dataclasses and pickling look the module up while it is being made
    try:
        spec.loader.exec_module(made)
    except Exception as error:
        del sys.modules[module]
        raise _broken(str(path), error) from error
    return made


def _broken(where: str, error: Exception) -> SettingError:
    line = ""
    trace = error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith("<"):
            line = f" (line {trace.tb_lineno} of {Path(trace.tb_frame.f_code.co_filename).name})"
        trace = trace.tb_next
    return SettingError(
        f"{where} could not be imported: {type(error).__name__}: {error}{line}. Mend it, then try again."
    )


def _attribute(module: ModuleType, name: str, where: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        known = [n for n in vars(module) if not n.startswith("_")]
        raise UnknownName(f"{where} has no {name!r}.{did_you_mean(name, known)}") from None
