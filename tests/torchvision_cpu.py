"""Lets torchvision 0.28, and so timm, be imported beside a CPU build of torch 2.13, which its compiled part misfits.

For tests and benchmarks only: import this before torchvision. The missing operators are declared; nms and roi_align get
plain implementations, enough to run the detectors as a reference. `make peers` installs torchvision and timm for it.
"""

import importlib.util
import re
import sys
from pathlib import Path

import torch


def declare_operators() -> torch.library.Library:
    """Declare what torchvision's registrations expect, so that importing it succeeds."""
    sizes = "float spatial_scale, SymInt pooled_height, SymInt pooled_width"
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define(f"roi_align(Tensor input, Tensor rois, {sizes}, int sampling_ratio, bool aligned) -> Tensor")
    library.define("_cuda_version() -> int")
    text = (Path(importlib.util.find_spec("torchvision").origin).parent / "_meta_registrations.py").read_text()
    names = set(re.findall(r"torchvision::(\w+)", text)) | set(re.findall(r'register_meta\("(\w+)"\)', text))
    for name in sorted(names - {"nms", "roi_align", "_cuda_version"}):
        library.define(f"{name}(Tensor[] x) -> Tensor[]")
    return library


def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Greedy non-maximum suppression: boxes (n, 4) as x1 y1 x2 y2, scores (n,) -> indices kept, best first."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    order, keep = scores.argsort(descending=True), []
    while len(order):
        best, order = order[0], order[1:]
        keep.append(best)
        low, high = torch.maximum(boxes[best, :2], boxes[order, :2]), torch.minimum(boxes[best, 2:], boxes[order, 2:])
        both = (high - low).clamp(min=0).prod(1)
        order = order[both / (area[best] + area[order] - both) <= threshold]
    return torch.stack(keep) if keep else torch.empty(0, dtype=torch.long)


_library = declare_operators()
import torchvision  # noqa: E402

torch.library.impl("torchvision::nms", "CPU")(nms)
torch.library.impl("torchvision::roi_align", "CPU")(sys.modules["torchvision.ops.roi_align"]._roi_align)
torchvision.extension._HAS_OPS = True
for _module in [m for n, m in sys.modules.items() if n.startswith("torchvision")]:
    if hasattr(_module, "_assert_has_ops"):
        _module._assert_has_ops = lambda: None
    if hasattr(_module, "_has_ops"):
        _module._has_ops = lambda: True
