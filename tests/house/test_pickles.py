"""Nothing in the house unpickles or evaluates what it reads, save the limited child that converts foreign weights."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lamina"
CHILD = "models/_unpickle.py"
MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "copyreg"}
CALLS = {"eval", "exec", "compile", "__import__"}
READERS = {"read_pickle", "load_pickle", "unsafe_load", "full_load", "literal_loads"}


def objections(source: str) -> list[str]:
    """The lines of a file that would unpickle, or run text as code, in words."""
    wrong = []
    for node in ast.walk(ast.parse(source)):
        said = None
        if isinstance(node, ast.Import):
            said = next((a.name for a in node.names if a.name.split(".")[0] in MODULES), None)
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{a.name}" for a in node.names}
            said = node.module if (node.module or "").split(".")[0] in MODULES else None
            said = next(iter(whole & {"torch.load", "torch.jit", "torch.serialization", "numpy.load"}), said)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if called in {"torch.load", "torch.jit.load", "torch.serialization.load", "torch.hub.load"}:
                said = called
            elif called in {"np.load", "numpy.load"} and given.get("allow_pickle") != "False":
                said = f"{called} without allow_pickle=False"
            elif given.get("allow_pickle", "False") != "False" or given.get("weights_only", "True") != "True":
                said = f"{called} with pickles allowed"
            elif called in CALLS or called.rpartition(".")[2] in READERS or called == "yaml.load":
                said = called
        if said:
            wrong.append(f"line {node.lineno}: {said}")
    return wrong


def test_only_the_child_that_converts_weights_unpickles():
    files = sorted(PACKAGE.rglob("*.py"))
    found = {p.relative_to(PACKAGE).as_posix(): objections(p.read_text(encoding="utf-8")) for p in files}
    found = {name: wrong for name, wrong in found.items() if wrong}
    allowed = found.pop(CHILD, [])
    assert not found, f"read it from safetensors, .npz or JSON instead: {found}"
    assert sorted(line.partition(": ")[2] for line in allowed) == ["pickle", "torch.load"]


def test_the_child_loads_weights_only_and_nothing_else_imports_it():
    tree = ast.parse((PACKAGE / CHILD).read_text(encoding="utf-8"))
    (call,) = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "torch.load"]
    assert {k.arg: ast.unparse(k.value) for k in call.keywords}["weights_only"] == "True"
    users = [p.name for p in PACKAGE.rglob("*.py") if "import _unpickle" in p.read_text(encoding="utf-8")]
    assert not users, f"{users}: it is for a process of its own"


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from pickle import loads", "import torch\ntorch.load('x', weights_only=True)",
     "from torch import load", "np.load('x')", "np.load('x', allow_pickle=True)", "eval('1')", "yaml.load(text)",
     "pandas.read_pickle('x')", "from numpy import load", "np.lib.format.read_array(f, allow_pickle=True)",
     "safe(x, weights_only=False)"],
)  # fmt: skip
def test_what_would_unpickle_is_found(line):
    assert objections(line)


@pytest.mark.parametrize(
    "line",
    ["safetensors.torch.load(data)", "np.load('x', allow_pickle=False)", "json.load(file)", "model.eval()",
     "torch.compile(model)", "re.compile('x')", "names.load('models', name)"],
)  # fmt: skip
def test_what_does_not_is_let_be(line):
    assert not objections(line)
