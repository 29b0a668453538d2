"""Can the tests fail? Ten small faults in ten random places of lamina/, each in a copy, each against the tests nearby.

    make mutate                                  ten places, drawn by the seed 0
    python tools/mutate.py --seed 3 --count 20 --only nn/losses.py

Faults: a sign or an operation turned, a comparison turned, a layer's line skipped, a seed ignored. A fault is *killed*
when a test fails; what *survives* is printed with its line, and is a place where a test is missing (or the change means
nothing there: read it). Ends with status 1 where fewer than `--least` were killed.

Tests run nearest first and stop at the first that fails, which is then run once more without the fault: what fails
anyway kills nothing.
"""

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SEEDED = {"generator", "mix", "manual_seed", "Random", "default_rng"}
TURNED: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}


class Fault(NamedTuple):
    """A replacement of one stretch of one file."""

    kind: str
    file: str
    line: int
    before: str
    after: str
    start: int  # bytes from the beginning of the file
    end: int


def faults(file: str, source: str) -> Iterator[Fault]:
    """Every fault that a file could be given. Messages, type hints, main blocks and text are left alone."""
    tree = ast.parse(source)
    raw = source.encode()
    starts = [0]
    for line in raw.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    skipped = set()
    for node in ast.walk(tree):
        hints = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert):
            hints.append(node)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith(("TYPE_CHECKING", "'__main__'")):
            hints.append(node)
        skipped |= {id(inner) for hint in hints if hint is not None for inner in ast.walk(hint)}

    def fault(kind: str, node: ast.expr | ast.stmt, after: str) -> Fault:
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        return Fault(kind, file, node.lineno, raw[start:end].decode(), after, start, end)

    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.BinOp) and type(node.op) in TURNED and not _is_text(node):
            turned = ast.BinOp(node.left, TURNED[type(node.op)](), node.right)
            yield fault("sign", node, f"({ast.unparse(turned)})")
        elif (
            isinstance(node, ast.UnaryOp)
            and isinstance(node.op, ast.USub)
            and not isinstance(node.operand, ast.Constant)
        ):
            yield fault("sign", node, f"({ast.unparse(node.operand)})")
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in TURNED:
            compared = ast.Compare(node.left, [TURNED[type(node.ops[0])](), *node.ops[1:]], node.comparators)
            yield fault("comparison", node, f"({ast.unparse(compared)})")
        elif isinstance(node, ast.Assign) and _is_layer(node):
            yield fault("layer", node, "pass")
        elif isinstance(node, ast.Call) and node.args and _called(node) in SEEDED:
            yield fault("seed", node, f"{ast.unparse(node.func)}(0)")


def _is_text(node: ast.BinOp) -> bool:
    """Text and lists are joined by +, and have no -."""
    joined = ast.JoinedStr | ast.List | ast.Tuple | ast.ListComp
    for side in (node.left, node.right):
        if isinstance(side, joined) or (isinstance(side, ast.Constant) and isinstance(side.value, str)):
            return True
        if isinstance(side, ast.BinOp) and _is_text(side):
            return True
    return False


def _is_layer(node: ast.Assign) -> bool:
    """`x = self.norm(x)`: what it computes from has the name of what it gives, so that skipping it still runs."""
    target, value = node.targets[0], node.value
    if not isinstance(target, ast.Name) or not isinstance(value, ast.Call):
        return False
    first = value.args[0] if value.args else None
    return isinstance(first, ast.Name) and first.id == target.id


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def draw(seed: int, count: int, only: str) -> list[Fault]:
    """`count` faults, the kinds in turn, in different lines of as many files as there are."""
    found: dict[str, list[Fault]] = {}
    for path in sorted((ROOT / "lamina").rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        if only in file:
            for fault in faults(file, path.read_text(encoding="utf-8")):
                found.setdefault(fault.kind, []).append(fault)
    rng = random.Random(seed)
    for rows in found.values():
        rng.shuffle(rows)
    drawn: list[Fault] = []
    files: dict[str, int] = {}
    while len(drawn) < count and any(found.values()):
        for kind in sorted(found):
            if found[kind] and len(drawn) < count:
                rows = found[kind]
                rows.sort(key=lambda fault: files.get(fault.file, 0))  # stable: files not drawn yet come first
                drawn.append(rows.pop(0))
                files[drawn[-1].file] = files.get(drawn[-1].file, 0) + 1
    return drawn


def tests_near(file: str, copied: Path) -> list[str]:
    """The quick tests that may notice a fault in a module, those that are likeliest to first.

    The test that bears its name, those that speak of it by import or by name, then the rest of its room's and those of
    the verbs and the command line, which go through everything.
    """
    module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    parent, _, stem = module.rpartition(".")
    imports = re.compile(rf"\b{re.escape(module)}\b|from {re.escape(parent)} import [^\n]*\b{stem}\b")
    says = re.compile(rf"[\"']{stem}[\"'_0-9]")
    room = file.split("/")[1]

    def distance(path: Path) -> int | None:
        text = path.read_text(encoding="utf-8")
        if path.stem.removeprefix("test_").split("_")[0] == stem.strip("_") and path.parent.name == room:
            return 0
        if imports.search(text):
            return 1
        return 2 if says.search(text) else {room: 3, "verbs": 4, "cli": 5}.get(path.parent.name)

    found = [(distance(path), path) for path in sorted((copied / "tests").rglob("test_*.py"))]
    near = sorted((d, len(path.parts), path) for d, path in found if d is not None)
    return [path.relative_to(copied).as_posix() for _, _, path in near]


def run(copied: Path, tests: list[str], limit_s: float) -> tuple[str, list[str]]:
    """'passed', 'failed' or 'hung', and the tests that failed: the first one, for it stops there."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--timeout=60", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(copied), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ran = subprocess.run(words, cwd=copied, env=environment, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return "hung", []
    named = re.findall(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", ran.stdout, re.MULTILINE)
    return ("passed" if ran.returncode in (0, 5) else "failed"), named


def verdict(fault: Fault, copied: Path, limit_s: float) -> tuple[str, str]:
    """'killed', and by which test: one that passes without the fault. 'survived' where all tests pass with it."""
    target = copied / fault.file
    raw = target.read_bytes()
    faulty = raw[: fault.start] + fault.after.encode() + raw[fault.end :]
    near, broken = tests_near(fault.file, copied), []
    while True:
        try:
            target.write_bytes(faulty)
            apart = [f"--deselect={test}" for test in broken if "::" in test]
            ended, failed = run(copied, [*(test for test in near if test not in broken), *apart], limit_s)
        finally:
            target.write_bytes(raw)
        if ended == "passed":
            return "survived", f"{len(near)} files of tests" + (f", {len(broken)} fail anyway" if broken else "")
        if ended == "hung":  # one test that hangs fails after its minute; these are many that pass
            return "survived", f"no test of {len(near)} files failed within {limit_s:.0f} s"
        if not failed or run(copied, failed, limit_s)[0] == "passed":
            return "killed", (failed or ["pytest ended early"])[0]
        if set(failed) <= set(broken):
            return "tests fail without it", failed[0]
        broken += failed


def copy_of_the_tree(into: Path) -> Path:
    """What git tracks or would track, as it lies."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)
    return into


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--only", default="", help="part of a file's path")
    parser.add_argument("--least", type=int, default=None, help="killed faults below which this fails: eight of ten")
    parser.add_argument("--limit", type=float, default=900, help="seconds for the tests of one fault")
    asked = parser.parse_args()
    drawn = draw(asked.seed, asked.count, asked.only)
    verdicts: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        copied = copy_of_the_tree(Path(folder))
        for number, fault in enumerate(drawn, 1):
            start = time.monotonic()
            said, by = verdict(fault, copied, asked.limit)
            verdicts.append(said)
            spent = f"{time.monotonic() - start:.0f} s"
            print(f"{number:3} {said:9} {fault.kind:10} {fault.file}:{fault.line}  {_short(fault)}", flush=True)
            print(f"    {spent:9} {by}", flush=True)
    killed = verdicts.count("killed")
    least = asked.least if asked.least is not None else round(0.8 * len(drawn))
    print(f"{killed} of {len(drawn)} killed (seed {asked.seed}; at least {least} are asked)")
    return 0 if killed >= least else 1


def _short(fault: Fault) -> str:
    before, after = (" ".join(text.split()) for text in (fault.before, fault.after))
    return f"{before[:60]}  ->  {after[:60]}"


if __name__ == "__main__":
    sys.exit(main())
