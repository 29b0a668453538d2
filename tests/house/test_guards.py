"""What may be installed beside Lamina, what the shell may import, and what the project file promises."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools import guard

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAIN = ROOT / "lamina" / "cli" / "main.py"


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter, the repository on its path."""
    full = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=full)


def test_nothing_that_moves_torch_is_installed():
    if "peers" in Path(sys.prefix).name:
        pytest.skip("the environment of the peers has torchvision, by itself")
    import torch

    assert guard.refused(guard.installed(), cpu=torch.version.cuda is None) == []


@pytest.mark.parametrize(
    ("name", "always"),
    [
        ("torchvision", True),
        ("TorchAudio", True),
        ("Torch_Audio", False),
        ("jax", True),
        ("tensorflow", True),
        ("nvidia-nccl-cu13", False),
        ("nvidia_cublas", False),
        ("triton", False),
    ],
)
def test_the_guard_knows_the_names_however_they_are_spelled(name, always):
    assert bool(guard.refused([name])) is always
    assert bool(guard.refused([name], cpu=True)) is (always or "orch" not in name)


def test_no_extra_asks_for_what_the_guard_refuses():
    asked = [d for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()) for d in group]
    assert guard.refused([re.split(r"[\[<>=~! ;]", d)[0] for d in asked], cpu=True) == []


def test_torch_has_no_upper_bound():
    (torch,) = [d for d in PROJECT["dependencies"] if d.startswith("torch>")]
    assert torch == "torch>=2.11"


def test_constraints_hold_exact_versions_and_no_hosts():
    lines = [x for x in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not x.startswith("#")]
    assert lines
    assert not [x for x in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", x)]
    assert guard.refused([x.partition("==")[0] for x in lines], cpu=True) == []


def test_every_core_and_test_dependency_is_constrained():
    held = {
        re.sub(r"[-_.]+", "-", x.partition("==")[0]).lower() for x in (ROOT / "constraints.txt").read_text().split()
    }
    extras = PROJECT["optional-dependencies"]
    asked = PROJECT["dependencies"] + extras["dev"] + extras["test"]
    named = {re.split(r"[\[<>=]", d)[0].lower() for d in asked} - {"lamina"}
    assert named <= held, f"not in constraints.txt: {sorted(named - held)}"


@pytest.mark.skipif(not MAIN.exists(), reason="the command line is not written yet")
@pytest.mark.parametrize("words", [["--help"], ["models"], ["tasks"], ["methods"], ["datasets"]])
def test_the_shell_answers_at_once(words, tmp_path):
    """CPU time of a whole process, the interpreter's start included: other things may run on this machine too."""
    code = (
        f"import sys, time; sys.argv = ['lamina', *{words!r}]\n"
        "from lamina.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "print(time.process_time(), *({'torch', 'numpy', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    ran = [python(code, COLUMNS="100", HOME=str(tmp_path)) for _ in range(3)]
    assert not any(r.returncode for r in ran), ran[0].stderr
    last = [r.stderr.splitlines()[-1].split() for r in ran]
    assert last[0][1:] == [], f"lamina {words[0]} imports {last[0][1:]}"
    assert min(float(seconds) for seconds, *_ in last) < 0.3


@pytest.mark.parametrize("module", ["lamina", "lamina.core.errors", "lamina.core.names", "lamina.core.settings"])
def test_importing_the_door_imports_no_torch(module):
    if module == "lamina" and not (ROOT / "lamina" / "__init__.py").exists():
        pytest.skip("the top of the package is not written yet")
    ran = python(f"import {module}, sys; print(*({{'torch', 'numpy', 'rich'}} & set(sys.modules)))")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == ""


def test_models_and_blocks_import_without_the_rest():
    """`models` and `nn` are usable alone: nothing of data, training or the verbs comes along."""
    code = """
import importlib, pkgutil, sys
from lamina import models, nn
for package in (nn, models):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
rooms = {"data", "train", "methods", "tasks", "fields", "verbs", "cli", "report"}
print(*sorted(m for m in sys.modules if m.startswith("lamina.") and m.split(".")[1] in rooms))
"""
    ran = python(code)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == ""
