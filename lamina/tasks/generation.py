"""Generation: new pictures like those of the data, from nothing but noise."""

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamina.core.errors import SettingError
from lamina.core.protocols import Batch
from lamina.metrics.frechet import between, moments
from lamina.metrics.value import Value

__all__ = ["Generation"]


class Generation:
    """What could have been in this data?

    Judged by the Fréchet distance between made and held-out pictures in the features of a fixed random convolutional
    network (its weights follow from a constant seed, so that figures of two runs compare); frechet_real, the distance
    between real training and held-out pictures, is the best there is, and that of Gaussian pixels with the data's mean
    and covariance a baseline.

    Args:
        samples: pictures made for an evaluation.
    """

    ASKS = False
    metric = "frechet"

    def __init__(self, inputs: Mapping[str, Any], *, samples: int = 2000):
        pictures = [field for field in inputs.values() if field.kinds[0] == "image"]
        if len(inputs) != 1 or not pictures:
            raise SettingError(
                f"generation makes pictures and reads one column of them; {', '.join(inputs)} came. "
                "Keep the picture column alone: --set data.inputs=COLUMN"
            )
        self.field, self.samples = pictures[0], samples

    @classmethod
    def fits(cls, inputs: Mapping[str, Any], targets: Mapping[str, Any]) -> float:
        """1 for pictures without a target."""
        return 1.0 if not targets and [f.kinds[0] for f in inputs.values()] == ["image"] else 0.0

    def sizes(self) -> dict[str, Any]:
        """What comes out is what goes in."""
        return {}

    def model(self, kinds: list[str]) -> str:
        """The default network."""
        return "dcgan_small"

    def method(self) -> str:
        """How it is learnt unless said otherwise."""
        return "adversarial"

    def sampler(self, model: Any) -> dict[str, Any]:
        """Rows of pictures."""
        return {}

    def loss(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """None of its own: what is minimised belongs to the method."""
        raise SettingError("generation has no loss of its own; learn it with --method adversarial.")

    def real(self, batch: Batch) -> Tensor:
        """The batch's pictures between -1 and 1."""
        image = batch["image"]
        mean, deviation = (image.new_tensor(v).view(1, -1, 1, 1) for v in (self.field.mean, self.field.deviation))
        return (image * deviation + mean) * 2 - 1

    # ------------------------------------------------------------------------------------------------------ making

    def create(self, model: Any, rng: torch.Generator, count: int = 64) -> dict[str, Tensor]:
        """`count` new pictures (count, channels, size, size) between -1 and 1."""
        return {"image": model.sample(count, rng)}

    def predict(self, model: Any, batch: Batch, rng: Any, **options: Any) -> dict[str, Any]:
        """As many new pictures as the batch has rows."""
        return self.create(model, rng, count=len(batch["image"]))

    def decode(self, raw: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Arrays of bytes, (size, size) or (size, size, channels)."""
        return {"image": list(_bytes(raw["image"]))}

    def draw(self, raw: Mapping[str, Any]) -> bytes:
        """A sheet of the pictures, as PNG."""
        from PIL import Image

        pictures = _bytes(raw["image"])
        across = math.ceil(math.sqrt(len(pictures)))
        down, (height, width) = math.ceil(len(pictures) / across), pictures.shape[1:3]
        sheet = np.zeros((down * (height + 2), across * (width + 2), *pictures.shape[3:]), dtype=np.uint8)
        for i, picture in enumerate(pictures):
            y, x = i // across * (height + 2) + 1, i % across * (width + 2) + 1
            sheet[y : y + height, x : x + width] = picture
        image = Image.fromarray(sheet)
        scale = max(1, 512 // image.width)
        file = io.BytesIO()
        image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(file, "PNG")
        return file.getvalue()

    # ---------------------------------------------------------------------------------------------------- measuring

    def evaluate(self, model: Any, data: Any, split: str, *, intervals: bool = True) -> dict[str, Value]:
        """Fréchet distance of made pictures to the split's."""
        made = model.sample(self.samples, torch.Generator().manual_seed(0))
        there = moments(features(self._real(data, split)))
        found = {"frechet": _value(between(*moments(features(made)), *there), self.samples)}
        if intervals:
            train = self._real(data, "train" if data.count("train") else split)
            found["frechet_real"] = _value(between(*moments(features(train)), *there), len(train))
        return found

    def baseline(self, data: Any, split: str) -> dict[str, dict[str, Value]]:
        """Gaussian pixels."""
        held, train = self._real(data, split), self._real(data, "train")
        there = moments(features(held))
        flat = train.flatten(1)
        mean, cov = moments(flat)
        values, vectors = torch.linalg.eigh(cov)
        noise = torch.randn(self.samples, len(mean), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        gaussian = (noise * values.clamp(min=0).sqrt()) @ vectors.mT + mean
        rows = gaussian.float().view(-1, *train.shape[1:]).clamp(-1, 1)
        return {"gaussian": {"frechet": _value(between(*moments(features(rows)), *there), self.samples)}}

    def _real(self, data: Any, split: str) -> Tensor:
        limit, found, count = max(self.samples, 2), [], 0
        for batch in data.batches({}, split=split, batch=500):
            found.append(self.real(batch))
            count += len(found[-1])
            if count >= limit:
                break
        return torch.cat(found)[:limit]


def features(pictures: Tensor) -> Tensor:
    """(n, channels, h, w) -> (n, 192): a fixed random convolutional network's means and spreads of its maps."""
    rng = torch.Generator().manual_seed(20161026)
    x, out = pictures.float().cpu(), []
    with torch.autocast("cpu", enabled=False):
        for width in (32, 64):
            kernel = torch.randn(width, x.shape[1], 5, 5, generator=rng) / (25 * x.shape[1]) ** 0.5
            x = nn.functional.leaky_relu(nn.functional.conv2d(x, kernel, padding=2), 0.2) * 1.4
            out += [x.mean((2, 3)), x.std((2, 3))]
            x = nn.functional.avg_pool2d(x, 2)
    return torch.cat(out, 1)


def _bytes(image: Tensor) -> np.ndarray:
    array = ((image.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().permute(0, 2, 3, 1).numpy()
    return array[..., 0] if array.shape[-1] == 1 else array


def _value(distance: float, count: int) -> Value:
    return Value(distance, float("nan"), float("nan"), count)
