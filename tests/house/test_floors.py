"""The floors of the house: an import goes to a lower floor or stays in its room. Who strays is named."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lamina"
FLOORS = {
    "cli": 6,
    "verbs": 5,
    **dict.fromkeys(
        ("report", "doctor", "board", "teach", "tune", "explain", "compress", "export", "serve", "monitor"), 4
    ),
    **dict.fromkeys(("train", "methods", "tasks", "models", "data"), 3),
    **dict.fromkeys(("nn", "metrics", "fields"), 2),
    "core": 1,
}
# Where these may not stand at the top of a file: what the shell must answer fast.
LATE_IN = {
    "torch": ("cli/", "core/names.py", "core/settings.py", "core/errors.py"),
    "rich": ("cli/main.py", "core/", "verbs/"),
    "matplotlib": ("",),
}


def imports(source: str) -> Iterator[tuple[int, str, bool]]:
    """(line, dotted module, whether it runs when the file is imported) of every import."""
    tree = ast.parse(source)
    late = set()
    for node in ast.walk(tree):
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        if typing_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            late |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, id(node) not in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}", id(node) not in late


def strays(room: str, source: str, file: str) -> list[str]:
    """The imports of a file in a room that go sideways or up, in words."""
    wrong = []
    for line, module, _ in imports(source):
        parts = module.split(".")
        if module.startswith("."):
            wrong.append(f"{file}:{line} imports {module}: write it from the top, as lamina.{room}…")
        elif parts[0] == "lamina":
            other = parts[1] if len(parts) > 1 else ""
            if other == room or (other not in FLOORS and room in ("verbs", "cli")):
                continue
            if other not in FLOORS:
                wrong.append(f"{file}:{line} imports {module}: the top of the package stands above every room")
            elif FLOORS[other] >= FLOORS[room]:
                way = "sideways" if FLOORS[other] == FLOORS[room] else "up"
                wrong.append(
                    f"{file}:{line} ({room}, floor {FLOORS[room]}) imports {module} (floor {FLOORS[other]}): "
                    f"that goes {way}; let a verb hand it over"
                )
    return wrong


def files() -> list[Path]:
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent != PACKAGE]


def test_every_room_has_a_floor():
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and any(p.rglob("*.py"))}
    assert rooms <= set(FLOORS), f"no floor is known for {sorted(rooms - set(FLOORS))}"
    assert len(files()) > 20


def test_imports_go_down():
    wrong = []
    for path in files():
        inside = path.relative_to(PACKAGE)
        wrong += strays(inside.parts[0], path.read_text(encoding="utf-8"), f"lamina/{inside.as_posix()}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("room", "line", "words"),
    [
        ("models", "from lamina.data.dataset import Dataset", "that goes sideways"),
        ("nn", "import lamina.train.plan", "that goes up"),
        ("methods", "def f():\n    from lamina.models.vit import ViT", "x.py:2 (methods, floor 3)"),
        ("core", "from lamina import verbs", "that goes up"),
        ("nn", "from .dense import Dense", "write it from the top"),
        ("tasks", "import lamina", "the top of the package stands above every room"),
    ],
)
def test_a_stray_is_named(room, line, words):
    (found,) = strays(room, line, "x.py")
    assert words in found


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("models", "from lamina.nn.attention import SelfAttention"),
        ("models", "from lamina.models._weights import read"),
        ("verbs", "import lamina"),
        ("cli", "from lamina.verbs.fit import fit"),
        ("core", "import torch"),
    ],
)
def test_a_step_down_is_no_stray(room, line):
    assert not strays(room, line, "x.py")


def test_no_model_imports_another():
    wrong = []
    for path in files():
        inside = path.relative_to(PACKAGE)
        if inside.parts[0] == "models":
            for line, module, _ in imports(path.read_text(encoding="utf-8")):
                parts = module.split(".")
                if parts[:2] == ["lamina", "models"] and not any(p.startswith("_") for p in parts[2:]):
                    wrong.append(f"lamina/{inside.as_posix()}:{line} imports {module}: a backbone is handed in")
    assert not wrong, "\n".join(wrong)


def test_what_is_slow_to_import_is_imported_late():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE).as_posix()
        for line, module, at_once in imports(path.read_text(encoding="utf-8")):
            where = LATE_IN.get(module.split(".")[0], ())
            if at_once and ((inside == "__init__.py" and where) or any(inside.startswith(w) for w in where)):
                wrong.append(f"lamina/{inside}:{line} imports {module} at the top; import it inside the function")
    assert not wrong, "\n".join(wrong)


def test_optional_packages_are_imported_late():
    """Only the core's own dependencies may stand at the top of a file; others are asked for when used."""
    import sys
    import tomllib

    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = {d.split(">")[0].lower() for d in project["dependencies"]} - {"pillow"} | {
        "PIL",
        "typing_extensions",
        "click",
    }
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for line, module, at_once in imports(path.read_text(encoding="utf-8")):
            top = module.split(".")[0]
            if at_once and top and top not in core | {"lamina", "__future__"} | sys.stdlib_module_names:
                wrong.append(f"{path.relative_to(PACKAGE.parent).as_posix()}:{line} imports {top} at the top")
    assert not wrong, "\n".join(wrong)


def test_there_is_no_room_for_leftovers():
    names = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
    assert not [p for p in PACKAGE.rglob("*") if p.stem.strip("_") in names]


def test_package_files_are_empty():
    """Save the top one, which lends out the verbs, and that of models: `lamina.models.create` has to live there."""
    lending = {PACKAGE, PACKAGE / "models"}
    kept = [
        p for p in PACKAGE.rglob("__init__.py") if p.parent not in lending and p.read_text(encoding="utf-8").strip()
    ]
    assert not kept, f"{kept}: write it into a file with a name"
