"""A .pt file as safetensors, by way of a child process under limits: this process never unpickles anything."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lamina.core.errors import RunError

__all__ = ["SUFFIXES", "convert"]

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
_SPARE = 64 << 20  # bytes of tensors beyond twice the file's: views and tied weights are written out
_PATIENCE = 4.0  # seconds by the clock for a CPU second
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY\b")


def convert(path: Path) -> bytes:
    """The tensors of a file of torch's, as the bytes of a safetensors file.

    The child may use twice the file's size for tensors, and CPU seconds by its size: a minute, and one for each 2 GB.
    Where the system has no such limits (macOS: memory; Windows: all but the clock), the others hold.
    Raises: RunError for a file that asks for code, for more than it holds, or is damaged.
    """
    size = path.stat().st_size
    seconds = 60 + size // (32 << 20)
    with tempfile.TemporaryDirectory(prefix="lamina-") as folder:
        out = Path(folder) / "weights.safetensors"
        words = [str(path.resolve()), str(out), str(2 * size + _SPARE), str(seconds)]
        script = str(Path(__file__).with_name("_unpickle.py"))
        try:
            child = subprocess.run(
                [sys.executable, "-P", script, *words],
                cwd=folder, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True,
                timeout=_PATIENCE * seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise _refused(path, f"its reading took longer than {_PATIENCE * seconds:.0f} s") from None
        try:
            error = json.loads(child.stdout).get("error")
        except (ValueError, AttributeError):
            how = f"signal {-child.returncode}" if child.returncode < 0 else f"status {child.returncode}"
            error = f"it broke the process that read it, or ran out of its limits ({how})"
        if error or not out.is_file():
            raise _refused(path, str(error))
        return out.read_bytes()


def _environment() -> dict[str, str]:
    """This process's own, without what is secret in it; one thread, no GPU."""
    kept = {k: v for k, v in os.environ.items() if not _SECRET.search(k.upper())}
    return {**kept, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def _refused(path: Path, why: str) -> RunError:
    told = "".join(c if c.isprintable() else "?" for c in why)
    return RunError(
        f"{path} was not taken for weights: {told}. Expected tensors by name, as torch.save(model.state_dict(), …) "
        "writes them. Save it so where you trust it, or take a safetensors file."
    )
