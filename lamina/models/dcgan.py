"""DCGAN: pictures from noise, learnt in a contest of a generator and a discriminator, both convolutional.

Paper: Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks"
(2016), arXiv:1511.06434. As in the paper: strided convolutions instead of pooling, ReLU and batch norm in the
generator with tanh at its end, LeakyReLU(0.2) in the discriminator, weights drawn from N(0, 0.02).
`norm="spectral"` divides the discriminator's weights by their largest singular value instead of batch norm (Miyato et
al., "Spectral Normalization for Generative Adversarial Networks", 2018, arXiv:1802.05957): steadier, and the scores
of a picture then depend on no other; "none" leaves that to the method's penalty. `extra` adds convolutions at the
smallest side of both networks, where they cost least. Losses: Goodfellow et al. (2014), section 3, the generator's in
the form that does not saturate; hinge as in Miyato et al.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lamina.core.errors import SettingError, ShapeError, did_you_mean

__all__ = ["DCGAN", "Discriminator", "Generator"]

VARIANTS = {
    "paper": dict(),
    "small": dict(channels=1, size=28, latent=64, width=32, norm="none", extra=2),
    "tiny": dict(channels=1, size=8, latent=4, width=4, norm="spectral", loss="hinge"),
}
EXEMPT = {"leak in training": "batch norm in the generator takes mean and variance over what a batch makes"}

LOSSES = ("hinge", "nonsaturating")
NORMS = ("batch", "spectral", "none")


def _sides(size: int) -> list[int]:
    """Sides of the picture from the smallest up, each twice the one before: 28 -> [7, 14, 28]."""
    sides = [size]
    while sides[0] % 2 == 0 and sides[0] >= 8:
        sides.insert(0, sides[0] // 2)
    if len(sides) < 2 or sides[0] > 15:
        near = max(8, round(size / 8) * 8)
        raise ShapeError(
            f"DCGAN doubles a small picture until it has its size, but {size}x{size} does not halve down to 4 to 15 "
            f"pixels. Resize to {near}."
        )
    return sides


class Generator(nn.Module):
    """Noise to pictures: a linear map to the smallest side, then a transposed convolution for each doubling.

    Shapes: (batch, latent) -> (batch, channels, size, size) in [-1, 1].
    """

    def __init__(self, channels: int = 3, size: int = 64, latent: int = 100, width: int = 128, extra: int = 0):
        super().__init__()
        sides = _sides(size)
        widths = [width * 2**i for i in reversed(range(len(sides) - 1))]
        self.first = (widths[0], sides[0], sides[0])
        self.project = nn.Linear(latent, widths[0] * sides[0] ** 2, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for _ in range(extra):
            same = nn.Conv2d(widths[0], widths[0], 3, padding=1, bias=False)
            layers += [same, nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for wide, narrow in pairwise(widths):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh())

    def forward(self, noise: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels size size"]:
        return self.layers(self.project(noise).unflatten(1, self.first))


class Discriminator(nn.Module):
    """Pictures to a score, high for real ones: a strided convolution for each halving, then a linear map.

    Shapes: (batch, channels, size, size) -> (batch,).
    """

    def __init__(self, channels: int = 3, size: int = 64, width: int = 128, norm: str = "batch", extra: int = 0):
        super().__init__()
        sides = _sides(size)
        widths = [channels] + [width * 2**i for i in range(len(sides) - 1)]
        layers: list[nn.Module] = []
        for i, (narrow, wide) in enumerate([*pairwise(widths), *[(widths[-1],) * 2] * extra]):
            batch = norm == "batch" and i > 0  # not on the pixels: section 3 of the paper
            kernel, stride = (4, 2) if i < len(widths) - 1 else (3, 1)
            layers += [nn.Conv2d(narrow, wide, kernel, stride, 1, bias=not batch)]
            layers += [nn.BatchNorm2d(wide)] * batch + [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * sides[0] ** 2, 1))

    def forward(self, image: Float[Tensor, "batch channels size size"]) -> Float[Tensor, " batch"]:
        return self.layers(image).squeeze(1)


class DCGAN(nn.Module):
    """A generator and a discriminator.

    Args:
        channels, size: of the pictures; `size` is the side in pixels and halves down to 4 to 15 (28, 32, 64, 96 …).
        latent: numbers of noise that a picture is made from, drawn from N(0, 1).
        width: features nearest the pixels, doubled with each halving of the side.
        norm: "batch", "spectral" or "none", in the discriminator.
        extra: 3x3 convolutions at the smallest side, in either network.
        loss: "nonsaturating" or "hinge".

    Shapes: (batch, channels, size, size), (batch, latent) -> (batch,), (batch,): scores of the real and the made.
    Raises: ShapeError for a size that does not halve; SettingError for an unknown norm or loss.
    """

    def __init__(
        self,
        *,
        channels: int = 3,
        size: int = 64,
        latent: int = 100,
        width: int = 128,
        norm: str = "batch",
        extra: int = 0,
        loss: str = "nonsaturating",
    ):
        super().__init__()
        for word, value, known in (("norm", norm, NORMS), ("loss", loss, LOSSES)):
            if value not in known:
                raise SettingError(
                    f"DCGAN has no {word} called {value!r}; it has {', '.join(known)}.{did_you_mean(value, known)}"
                )
        self.latent, self.kind = latent, loss
        self.generator = Generator(channels, size, latent, width, extra)
        self.discriminator = Discriminator(channels, size, width, norm, extra)
        self.apply(_draw)
        if norm == "spectral":
            for layer in self.discriminator.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    spectral_norm(layer)

    def forward(
        self,
        image: Float[Tensor, "batch channels size size"],
        noise: Float[Tensor, "batch latent"] | None = None,
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        noise = image.new_empty(len(image), self.latent).normal_() if noise is None else noise
        return self.discriminator(image), self.discriminator(self.generator(noise))

    def discriminator_loss(self, real: Float[Tensor, " batch"], made: Float[Tensor, " batch"]) -> dict[str, Tensor]:
        """What the discriminator minimises, from its scores of real and of generated pictures."""
        if self.kind == "hinge":
            return {"real": F.relu(1 - real).mean(), "made": F.relu(1 + made).mean()}
        return {"real": F.softplus(-real).mean(), "made": F.softplus(made).mean()}

    def generator_loss(self, made: Float[Tensor, " batch"]) -> dict[str, Tensor]:
        """What the generator minimises, from the discriminator's scores of what it made."""
        return {"made": -made.mean() if self.kind == "hinge" else F.softplus(-made).mean()}

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator, batch: int = 256) -> Tensor:
        """`count` pictures in [-1, 1], with the batch statistics gathered in training; the same for the same seed."""
        weight, training = self.generator.project.weight, self.generator.training
        noise = torch.randn(count, self.latent, generator=generator, device=generator.device)
        self.generator.eval()
        try:
            return torch.cat([self.generator(z.to(weight)) for z in noise.split(batch)])
        finally:
            self.generator.train(training)


def _draw(layer: nn.Module) -> None:
    """Weights from N(0, 0.02), scales from N(1, 0.02), no biases (section 4 of the paper)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
    if isinstance(bias := getattr(layer, "bias", None), Tensor):
        nn.init.zeros_(bias)
