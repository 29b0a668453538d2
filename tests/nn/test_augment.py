"""Augmentations: exact where they can be, drawn sample by sample, and one geometry for picture, mask and boxes."""

import math

import pytest
import torch

from lamina.core.errors import SettingError, ShapeError, UnknownName
from lamina.nn import augment
from lamina.nn.geometry import Geometry, draw_flip, draw_rotation, draw_scale, draw_shift, rotation, warp


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(batch=6, height=8, width=8, dtype=torch.float32):
    return (torch.rand(batch, 3, height, width, generator=seeded(9)) * 255).to(dtype)


@pytest.mark.covers("regular/data-augmentation-flip")
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_a_flip_mirrors_and_twice_is_nothing(dtype):
    x = pictures(width=7, dtype=dtype)
    assert torch.equal(augment.flip(x, generator=seeded(), p=1), x.flip(-1))
    assert torch.equal(augment.flip(x, generator=seeded(), p=1, axis="vertical"), x.flip(-2))
    assert torch.equal(augment.flip(augment.flip(x, generator=seeded(5)), generator=seeded(5)), x)


def test_a_flip_comes_as_often_as_its_probability_says():
    x = pictures(2000, 1, 4)
    flipped = (augment.flip(x, generator=seeded(), p=0.3) != x).flatten(1).any(1)
    assert flipped.float().mean().item() == pytest.approx(0.3, abs=0.03)  # three standard deviations


@pytest.mark.covers("regular/data-augmentation-crop")
@pytest.mark.parametrize(("fill", "torchs"), [("zeros", "constant"), ("border", "replicate")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_a_crop_is_a_window_of_the_padded_picture(fill, torchs, dtype):
    x = pictures(40, dtype=dtype)
    padded = torch.nn.functional.pad(x.float(), (2, 2, 2, 2), mode=torchs).to(dtype)
    seen = set()
    for out, whole in zip(augment.crop(x, generator=seeded(), padding=2, fill=fill), padded, strict=True):
        (found,) = [(i, j) for i in range(5) for j in range(5) if torch.equal(whole[:, i : i + 8, j : j + 8], out)]
        seen.add(found)
    assert len(seen) > 12  # of 25 windows, each sample its own


@pytest.mark.covers("regular/data-augmentation-rotation")
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_exact(turns):
    """Counter-clockwise, as torch.rot90; 1e-4 of 255 is the rounding of the grid in float32."""
    x = pictures()
    turned = warp(x, rotation(torch.full((6,), turns * math.pi / 2, dtype=torch.float64), (8, 8)))
    torch.testing.assert_close(turned, torch.rot90(x, turns, (-2, -1)), rtol=0, atol=1e-2)
    labels = torch.randint(0, 9, (6, 8, 8), generator=seeded())
    mask = warp(labels, rotation(torch.full((6,), turns * math.pi / 2, dtype=torch.float64), (8, 8)))
    assert torch.equal(mask, torch.rot90(labels, turns, (-2, -1)))


@pytest.mark.covers("regular/data-augmentation-rotation")
def test_a_rotation_agrees_with_the_sampled_function():
    """Turning a smooth picture is evaluating it at turned places, on oblong pictures too."""
    y, x = torch.meshgrid(torch.arange(30.0) - 14.5, torch.arange(40.0) - 19.5, indexing="ij")

    def smooth(x, y):
        return torch.sin(x / 9) + torch.cos(y / 7) * x / 20

    angle = 0.4
    turned = warp(smooth(x, y)[None, None], rotation(torch.tensor([angle]), (30, 40)))[0, 0]
    expected = smooth(math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y)
    inner = (x**2 + y**2) < 12**2
    assert (turned - expected)[inner].abs().max() < 0.01  # bilinear: a quarter of the second derivative


def test_each_sample_turns_by_its_own_angle():
    matrix = draw_rotation(500, (8, 8), seeded(), degrees=30).matrix
    angles = torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]) * 180 / math.pi
    assert angles.abs().max() <= 30 and angles.std().item() == pytest.approx(60 / math.sqrt(12), rel=0.1)


def test_enlarging_is_looking_at_closer_places():
    x = torch.arange(16.0).repeat(4, 1, 16, 1)
    out, factor = augment.scale(x, generator=seeded(), factor=1.5, fill="border"), 0
    s = 1 / draw_scale(4, (16, 16), seeded(), factor=1.5).matrix[:, 0, 0]
    for k in range(4):
        expected = ((torch.arange(16.0) - 7.5) / s[k] + 7.5).clamp(0, 15)
        torch.testing.assert_close(out[k, 0, 3], expected, rtol=0, atol=1e-4)
        factor = max(factor, abs(math.log(s[k])))
    assert 0 < factor <= math.log(1.5)


@pytest.mark.parametrize("height", [8, 9])
def test_copied_and_interpolated_geometries_agree(height):
    x = pictures(12, height, 7)
    g = draw_flip(12, (height, 7), seeded(1)).then(draw_shift(12, (height, 7), seeded(2), padding=3))
    assert g.exact
    for fill in ("zeros", "border", "reflection"):
        other = warp(x, Geometry(g.matrix, g.size, exact=False), fill=fill)
        torch.testing.assert_close(warp(x, g, fill=fill), other, rtol=0, atol=1e-2)


def test_composed_geometries_are_one_after_the_other():
    x = pictures(12)
    a, b = draw_flip(12, (8, 8), seeded(1)), draw_shift(12, (8, 8), seeded(2), padding=2)
    assert torch.equal(warp(x, a.then(b), fill="border"), warp(warp(x, a, fill="border"), b, fill="border"))


@pytest.mark.parametrize("text", ["flip,crop=3", "rotate=40,scale=1.3,vflip"])
def test_one_geometry_moves_picture_mask_boxes_and_points(text):
    """A bright square: where its picture is, there are its mask, its box and its middle."""
    x = torch.zeros(10, 1, 40, 50)
    x[:, :, 12:22, 18:32] = 1
    out, geometry = augment.policy(text).apply(x, generator=seeded(3))
    mask = warp((x[:, 0] > 0).long(), geometry)
    box = geometry.boxes(torch.tensor([[[18.0, 12, 32, 22]]]).repeat(10, 1, 1))[:, 0]
    middle = geometry.points(torch.tensor([[[25.0, 17.0]]]).repeat(10, 1, 1))[:, 0]
    for k in range(10):
        assert ((out[k, 0] > 0.5).long() - mask[k]).abs().float().mean() < 0.01
        ys, xs = mask[k].nonzero().unbind(1)
        near = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()
        torch.testing.assert_close(box[k], near, rtol=0, atol=1.0)
        centre = torch.tensor([xs.float().mean() + 0.5, ys.float().mean() + 0.5])
        torch.testing.assert_close(middle[k], centre, rtol=0, atol=0.3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_cutout_blots_one_square_and_touches_nothing_else(dtype):
    x = pictures(50, 12, 12, dtype).clamp_min(1)
    out = augment.cutout(x, generator=seeded(), size=0.5)
    gone = (out != x).all(1)
    assert torch.equal(out == 0, gone[:, None].expand_as(out))
    for g in gone:
        rows, columns = g.any(1), g.any(0)
        assert torch.equal(g, rows[:, None] & columns[None, :])  # a rectangle
        assert 3 <= rows.sum() <= 6 and 3 <= columns.sum() <= 6  # of side 6, its middle inside
    assert len({tuple(g.flatten().tolist()) for g in gone}) > 20


def test_erase_fills_rectangles_with_noise_as_often_as_said():
    x = torch.zeros(400, 1, 20, 20)
    hit = augment.erase(x, generator=seeded(), p=0.4) != 0
    share = hit.float().mean((1, 2, 3))
    assert (share > 0).float().mean().item() == pytest.approx(0.4, abs=0.08)
    assert share[share > 0].min() > 0.01 and share.max() < 0.4


def test_jitter_keeps_the_picture_up_to_brightness_and_contrast():
    x = pictures(30)
    out = augment.jitter(x, generator=seeded(), brightness=0.3, contrast=0.2)
    c = out.std((1, 2, 3)) / x.std((1, 2, 3))
    b = (out.mean((1, 2, 3)) - x.mean((1, 2, 3))) / x.std((1, 2, 3))
    assert 0.8 <= c.min() < 0.9 and 1.1 < c.max() <= 1.2
    assert -0.3 <= b.min() < -0.1 and 0.1 < b.max() <= 0.3
    again = (x - x.mean((1, 2, 3), True)) * c.reshape(-1, 1, 1, 1) + out.mean((1, 2, 3), True)
    torch.testing.assert_close(out, again, rtol=1e-4, atol=1e-2)


@pytest.mark.covers("regular/data-augmentation")
@pytest.mark.parametrize("mix", [augment.mixup, augment.cutmix])
def test_mixed_samples_have_mixed_targets_and_weights_that_sum_to_one(mix):
    """Pictures that hold their own number: the mean of the mixture is the mixture of the numbers."""
    one_hot = torch.eye(8)
    x = torch.arange(8.0)[:, None, None, None].expand(8, 1, 16, 16)
    for seed in range(20):
        images, targets = mix(x, one_hot, generator=seeded(seed), alpha=1.0)
        torch.testing.assert_close(targets.sum(1), torch.ones(8))
        assert (targets >= 0).all()
        torch.testing.assert_close(images.mean((1, 2, 3)), targets @ torch.arange(8.0), rtol=0, atol=1e-4)


def test_the_share_of_a_mixup_is_beta_distributed():
    """Folded at a half: E[max(s, 1 - s)] = 3/4 where alpha is 1; near 1 where alpha is small, and never nan."""
    share = augment.draw_mixup(20000, seeded(), None, 1.0).share
    assert share.mean().item() == pytest.approx(0.75, abs=0.005) and share.min() >= 0.5
    share = augment.draw_mixup(20000, seeded(), None, 1e-3).share
    assert share.isfinite().all() and (share > 0.999).float().mean() > 0.98


ALL = "flip,vflip,crop,rotate,scale,cutout,erase,jitter"


@pytest.mark.covers("regular/data-augmentation")
def test_the_generator_alone_decides():
    x = pictures(5)
    apply = augment.policy(ALL)
    before = torch.random.get_rng_state()
    one, two, three = (apply(x, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, three)
    assert torch.equal(torch.random.get_rng_state(), before)  # the global one is not touched
    assert all(not torch.equal(a, b) for a, b in zip(one, x, strict=True))


def test_a_policy_names_its_steps_and_their_numbers():
    assert augment.policy(" flip , crop=2 ").steps == (("flip", {}), ("crop", {"padding": 2}))
    x = pictures(4)
    assert torch.equal(augment.policy("none")(x, generator=seeded()), x)
    assert augment.policy("flip").mix(4, (8, 8), seeded()) is None
    assert augment.policy("flip,mixup=0.4").mix(4, (8, 8), seeded()).window is None
    assert augment.policy("cutmix").mix(4, (8, 8), seeded()).window.shape == (4, 8, 8)


def test_wrong_settings_are_refused():
    with pytest.raises(UnknownName, match=r"No augmentation is called 'flipp'. Did you mean 'flip'\?"):
        augment.policy("flipp")
    with pytest.raises(SettingError, match=r"'crop' takes a number for its padding, e.g. crop=4, but 'big' came"):
        augment.policy("crop=big")
    with pytest.raises(SettingError, match=r"'horizontal' or 'vertical', but axis came as 'diagonal'"):
        augment.flip(pictures(), generator=seeded(), axis="diagonal")
    with pytest.raises(SettingError, match=r"alpha of a mixture is above 0, but came as 0"):
        augment.mixup(pictures(), torch.eye(6), generator=seeded(), alpha=0)
    with pytest.raises(SettingError, match=r"at least 1, but came as 0.5"):
        augment.scale(pictures(), generator=seeded(), factor=0.5)
    with pytest.raises(ShapeError, match=r"6 pictures of \(8, 8\) was laid on 6 of \(9, 8\)"):
        warp(pictures(height=9), Geometry.identity(6, (8, 8)))
    with pytest.raises(ShapeError, match=r"torch.uint8 cannot be interpolated"):
        augment.rotate(pictures(dtype=torch.uint8), generator=seeded())
    with pytest.raises(ShapeError, match=r"of one size, not \(8, 8\), \(9, 8\)"):
        Geometry.identity(6, (8, 8)).then(Geometry.identity(6, (9, 8)))
