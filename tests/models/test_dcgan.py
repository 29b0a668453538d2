"""DCGAN: shapes, losses, samples, and that the contest teaches."""

import math

import pytest
import torch

from lamina.core.errors import SettingError, ShapeError
from lamina.metrics.frechet import frechet
from lamina.models.dcgan import DCGAN, VARIANTS


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (1, 8), (3, 96)])
def test_pictures_of_many_sizes_go_in_and_come_out(channels, size):
    net = DCGAN(channels=channels, size=size, latent=5, width=4, norm="spectral")
    made = net.generator(torch.randn(2, 5))
    assert made.shape == (2, channels, size, size) and made.abs().max() <= 1
    assert net.discriminator(made).shape == (2,)


def test_the_papers_generator_has_its_widths():
    """Figure 1 of the paper: 100 numbers to 1024 x 4 x 4, then 512, 256, 128 and 3 features up to 64 x 64."""
    with torch.device("meta"):
        generator = DCGAN().generator
    assert generator.project.weight.shape == (1024 * 16, 100)
    kernels = [m for m in generator.layers if isinstance(m, torch.nn.ConvTranspose2d)]
    assert [k.out_channels for k in kernels] == [512, 256, 128, 3]


@pytest.mark.covers("loss/adversarial-objective")
def test_the_losses_are_the_papers():
    """Goodfellow et al.: -log D and -log(1 - D) with D a sigmoid of the score; hinge: max(0, 1 ∓ score)."""
    real, made = torch.tensor([2.0, -0.5]), torch.tensor([0.25, -3.0])
    net = DCGAN(**(VARIANTS["tiny"] | {"loss": "nonsaturating"}))
    losses = net.discriminator_loss(real, made)
    torch.testing.assert_close(losses["real"], -real.sigmoid().log().mean())
    torch.testing.assert_close(losses["made"], -(1 - made.sigmoid()).log().mean())
    torch.testing.assert_close(net.generator_loss(made)["made"], -made.sigmoid().log().mean())
    net = DCGAN(**VARIANTS["tiny"])
    assert net.discriminator_loss(real, made)["real"].item() == pytest.approx((0 + 1.5) / 2)
    assert net.discriminator_loss(real, made)["made"].item() == pytest.approx((1.25 + 0) / 2)
    assert net.generator_loss(made)["made"].item() == pytest.approx((-0.25 + 3) / 2)


def test_the_loss_does_not_saturate_where_the_discriminator_is_sure():
    """At a score of -20 the saturating log(1 - D) has a gradient of 2e-9; this one pulls with nearly 1."""
    made = torch.tensor([-20.0], requires_grad=True)
    DCGAN(**(VARIANTS["tiny"] | {"loss": "nonsaturating"})).generator_loss(made)["made"].backward()
    assert made.grad.item() == pytest.approx(-1, abs=1e-6)


def test_spectral_norm_bounds_each_map_by_one():
    torch.manual_seed(0)
    net = DCGAN(**VARIANTS["tiny"])
    for _ in range(50):
        net.discriminator(torch.randn(2, 1, 8, 8))
    for layer in net.discriminator.eval().layers:
        if hasattr(layer, "weight"):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


def test_samples_follow_the_seed_not_the_batch_nor_the_mode():
    net = DCGAN(**VARIANTS["tiny"])
    net(torch.randn(4, 1, 8, 8))
    first = net.sample(5, torch.Generator().manual_seed(3))
    assert first.shape == (5, 1, 8, 8) and net.generator.training
    torch.testing.assert_close(net.sample(5, torch.Generator().manual_seed(3), batch=2), first)
    assert not torch.equal(net.sample(5, torch.Generator().manual_seed(4)), first)


def test_sizes_and_names_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"225x225 does not halve .* Resize to 224"):
        DCGAN(size=225)
    with pytest.raises(SettingError, match=r"no loss called 'hinges'.*Did you mean 'hinge'\?"):
        DCGAN(loss="hinges")
    with pytest.raises(SettingError, match="no norm called 'layer'; it has batch, spectral"):
        DCGAN(norm="layer")


@pytest.mark.covers("loss/adversarial-objective")
def test_the_contest_moves_the_generator_to_the_data():
    """Bars across or along, 8 x 8: from noise to a distance of pixels a quarter of the start's, both kinds made."""
    for seed in range(3):
        torch.manual_seed(seed)
        across = torch.ones(256, 1, 8, 1) * torch.tensor([1.0, 1, -1, -1]).repeat(2)
        real = torch.where(torch.rand(256, 1, 1, 1) < 0.5, across, across.mT)
        net = DCGAN(**(VARIANTS["tiny"] | {"width": 16}))
        moves = [torch.optim.Adam(p.parameters(), 2e-3, (0.0, 0.99)) for p in (net.discriminator, net.generator)]
        before = frechet(net.sample(256, torch.Generator().manual_seed(0)).flatten(1), real.flatten(1))
        for _ in range(150):
            with torch.no_grad():
                made = net.generator(torch.randn(64, 4))
            moves[0].zero_grad()
            scores = net.discriminator(real[torch.randint(256, (64,))]), net.discriminator(made)
            sum(net.discriminator_loss(*scores).values()).backward()
            moves[0].step()
            moves[1].zero_grad()
            net.generator_loss(net.discriminator(net.generator(torch.randn(64, 4))))["made"].backward()
            moves[1].step()
        made = net.sample(256, torch.Generator().manual_seed(0))
        assert frechet(made.flatten(1), real.flatten(1)) < before / 4
        kinds = ((made * across[:1]).mean((1, 2, 3)) > 0.5, (made * across[:1].mT).mean((1, 2, 3)) > 0.5)
        assert all(k.float().mean() > 0.1 for k in kinds) and math.isfinite(before)


def test_the_penalty_is_the_squared_gradient_at_the_pictures():
    from lamina.methods.adversarial import steepness

    scale = torch.nn.Parameter(torch.tensor(3.0))
    pictures = torch.randn(4, 1, 2, 2)
    found = steepness(lambda x: scale * x.square().flatten(1).sum(1), pictures)
    torch.testing.assert_close(found, 4 * 9 * pictures.square().flatten(1).sum(1).mean())
    found.backward()  # it can be learnt from
    torch.testing.assert_close(scale.grad, 24 * pictures.square().flatten(1).sum(1).mean())


@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_extra_convolutions_stand_at_the_smallest_side_of_both(norm):
    net = DCGAN(channels=1, size=28, latent=5, width=4, norm=norm, extra=2)
    sides = []
    for part in (net.generator, net.discriminator):
        for layer in part.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (3, 3):
                layer.register_forward_hook(lambda layer, given, output: sides.append(output.shape[1:]))
    assert net.discriminator(net.generator(torch.randn(2, 5))).shape == (2,)
    assert sides == [(8, 7, 7)] * 4
