"""Other libraries as references: imported beside a CPU build of torch, their networks at random weights.

`make peers` installs them in an environment of their own; where one is absent its tests are skipped and say so.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from lamina.models._layouts import Layout

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def peer(name: str) -> Any:
    """A module of another library. Skips the test where the library is not installed."""
    package = name.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: make peers")
    if importlib.util.find_spec("torchvision") is not None:
        import tests.torchvision_cpu  # noqa: F401  (others import torchvision where it is there)
    return importlib.import_module(name)


def shaken(model: nn.Module, dtype: torch.dtype, seed: int = 0) -> nn.Module:
    """Every weight and batch statistic drawn at random: what is nowhere zero or one cannot hide."""
    rng = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=rng) + 0.5)
        elif value.is_floating_point():
            wide = value.ndim > 1
            scale = (2 / value[0].numel()) ** 0.5 if wide else 0.3
            value.copy_(scale * torch.randn(value.shape, generator=rng) + (0 if wide else 0.3))
    return model.to(dtype).eval()


def agree(ours: Tensor, theirs: Tensor) -> None:
    """To 1e-8 relative in float64, to 1e-5 of the largest output in float32."""
    assert ours.dtype == theirs.dtype and theirs.abs().max() > 1e-3
    if ours.dtype == torch.float64:
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8 * float(theirs.abs().max()))
    else:
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))


def exchange(theirs: nn.Module, ours: nn.Module, layout: Layout) -> None:
    """Their weights into ours, through the layout; and back into theirs, which have forgotten them, strictly."""
    before = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    assert layout.meets(before) and not layout.meets(ours.state_dict())
    ours.load_state_dict(layout.read(ours, before))
    shaken(theirs, next(iter(before.values())).dtype, seed=1)
    theirs.load_state_dict(layout.write(ours.state_dict()), strict=True)
    after = theirs.state_dict()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=1e-6 if tensor.dtype == torch.float32 else 1e-12, atol=0)


def stored(theirs: nn.Module, folder: Path) -> Path:
    """Their checkpoint, as it is published: safetensors under their names, a shared tensor once."""
    held: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in theirs.state_dict().items():
        if tensor.data_ptr() not in seen or not tensor.numel():
            held[name] = tensor.contiguous()
        seen.add(tensor.data_ptr())
    safetensors.torch.save_file(held, folder / "theirs.safetensors")
    return folder / "theirs.safetensors"
