"""What may not be installed beside Lamina: packages that replace the user's torch, or weigh gigabytes.

`python tools/guard.py` looks at this interpreter's packages; with --cpu, CUDA's packages are refused too, and torch has
to be the version of constraints.txt.
"""

import importlib.metadata
import re
import sys
from pathlib import Path

REFUSED = ("torchvision", "torchaudio", "torchcodec", "jax", "jaxlib", "tensorflow", "tensorflow-cpu", "keras")
REFUSED_CUDA = re.compile(r"^(nvidia-|cuda-|cupy|triton$|pytorch-triton)")


def refused(names: list[str], *, cpu: bool = False) -> list[str]:
    """Those of the installed names that have no business there."""
    plain = sorted({re.sub(r"[-_.]+", "-", name).lower() for name in names})
    return [name for name in plain if name in REFUSED or (cpu and REFUSED_CUDA.match(name))]


def installed() -> list[str]:
    """Names of all distributions that this interpreter sees."""
    return [d.metadata["Name"] for d in importlib.metadata.distributions() if d.metadata["Name"]]


def pinned(package: str) -> str:
    """The version of a package in constraints.txt."""
    text = (Path(__file__).parents[1] / "constraints.txt").read_text(encoding="utf-8")
    return re.search(rf"^{re.escape(package)}==(\S+)$", text, re.MULTILINE)[1]


def main() -> int:
    cpu = "--cpu" in sys.argv[1:]
    wrong = [f"{name} is installed" for name in refused(installed(), cpu=cpu)]
    torch = importlib.metadata.version("torch")
    if cpu and torch.partition("+")[0] != pinned("torch"):
        wrong.append(f"torch is {torch}, constraints.txt has {pinned('torch')}")
    print("guard: " + ("; ".join(wrong) or f"torch {torch}, nothing beside it that should not be"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
