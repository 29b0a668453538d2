import pytest
import torch
from torch.nn import functional as F

from lamina.core.errors import SettingError, ShapeError
from lamina.models import create
from lamina.models.resnet import VARIANTS, ResNet
from tests import peers


def norm(state, name, x):
    return F.batch_norm(
        x, *(state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")), training=False
    )


def randomised(**settings) -> ResNet:
    """Weights and batch statistics drawn at random: a fresh norm hides a norm that is left out."""
    torch.manual_seed(0)
    model = ResNet(**settings).double().eval()
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif value.is_floating_point() and value.ndim == 1:
            value.normal_(0.3, 0.3)
    return model


@pytest.mark.parametrize(
    ("variant", "published"),
    [
        ("18", 11_689_512),
        ("34", 21_797_672),
        ("50", 25_557_032),
        ("101", 44_549_160),
        ("152", 60_192_808),
        ("20", 269_722),  # the paper's table 6: 0.27M, 0.46M, 0.66M, 0.85M, 1.7M
        ("32", 464_154),
        ("44", 658_586),
        ("56", 853_018),
        ("110", 1_727_962),
    ],
)
def test_has_as_many_parameters_as_published(variant, published):
    with torch.device("meta"):
        model = ResNet(**VARIANTS[variant])
    assert sum(p.numel() for p in model.parameters()) == published


@pytest.mark.covers("layer/residual-connection")
def test_basic_blocks_agree_with_the_paper_written_out():
    """From the published names alone: 7x7 and pooling, two convolutions a block, shortcuts by 1x1, mean, scores."""
    model, x = randomised(block="basic", layers=[1, 2], width=4, classes=3), torch.randn(2, 3, 32, 32).double()
    w = model.state_dict()
    y = F.relu(norm(w, "bn1", F.conv2d(x, w["conv1.weight"], stride=2, padding=3)))
    y = F.max_pool2d(y, 3, 2, 1)
    for block, stride in (("layer1.0", 1), ("layer2.0", 2), ("layer2.1", 1)):
        z = F.relu(norm(w, f"{block}.bn1", F.conv2d(y, w[f"{block}.conv1.weight"], stride=stride, padding=1)))
        z = norm(w, f"{block}.bn2", F.conv2d(z, w[f"{block}.conv2.weight"], padding=1))
        if stride == 2:
            y = norm(w, f"{block}.downsample.1", F.conv2d(y, w[f"{block}.downsample.0.weight"], stride=2))
        y = F.relu(y + z)
    torch.testing.assert_close(model(x), F.linear(y.mean((2, 3)), w["fc.weight"], w["fc.bias"]))


def test_bottlenecks_stride_in_their_3x3_convolution():
    model, x = randomised(block="bottleneck", layers=[1, 1], width=4, stem="small"), torch.randn(2, 3, 8, 8).double()
    w = model.state_dict()
    y = F.relu(norm(w, "bn1", F.conv2d(x, w["conv1.weight"], padding=1)))
    for block, stride in (("layer1.0", 1), ("layer2.0", 2)):
        z = F.relu(norm(w, f"{block}.bn1", F.conv2d(y, w[f"{block}.conv1.weight"])))
        z = F.relu(norm(w, f"{block}.bn2", F.conv2d(z, w[f"{block}.conv2.weight"], stride=stride, padding=1)))
        z = norm(w, f"{block}.bn3", F.conv2d(z, w[f"{block}.conv3.weight"]))
        y = norm(w, f"{block}.downsample.1", F.conv2d(y, w[f"{block}.downsample.0.weight"], stride=stride))
        y = F.relu(y + z)
    torch.testing.assert_close(model(x), F.linear(y.mean((2, 3)), w["fc.weight"], w["fc.bias"]))


def test_the_nine_layers_pool_by_maxima_and_add_without_an_activation():
    model, x = randomised(**VARIANTS["9"] | dict(width=4, channels=1)), torch.randn(2, 1, 28, 28).double()
    w = model.state_dict()

    def layer(name, y):
        return F.relu(norm(w, f"{name}.1", F.conv2d(y, w[f"{name}.0.weight"], padding=1)))

    y = F.relu(norm(w, "bn1", F.conv2d(x, w["conv1.weight"], stride=2, padding=1)))
    y = layer("layer1.0", y)
    for stage in ("layer2", "layer3"):
        y = F.max_pool2d(layer(f"{stage}.0", y), 2)
        y = y + layer(f"{stage}.2.branch.1", layer(f"{stage}.2.branch.0", y))
    torch.testing.assert_close(model(x), F.linear(y.amax((2, 3)), w["fc.weight"], w["fc.bias"]))
    assert sum(k.endswith("weight") and v.ndim in (2, 4) for k, v in w.items()) == 9


def test_a_shortcut_without_weights_skips_pixels_and_pads_channels():
    model = ResNet(**VARIANTS["20"])
    x = torch.randn(1, 16, 8, 8)
    short = model.layer2[0].downsample(x)
    torch.testing.assert_close(short[:, 8:24], x[:, :, ::2, ::2])
    assert not short[:, :8].any() and not short[:, 24:].any()
    assert not list(model.layer2[0].downsample.parameters())


def test_its_names_are_those_of_published_checkpoints():
    """torchvision's ResNet-50: a norm's five entries beside each convolution, `downsample` in the first blocks."""
    with torch.device("meta"):
        names = set(ResNet(**VARIANTS["50"]).state_dict())
    entries = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    expected = {"conv1.weight", "fc.weight", "fc.bias", *(f"bn1.{e}" for e in entries)}
    for stage, depth in enumerate([3, 4, 6, 3], start=1):
        for block in range(depth):
            at = f"layer{stage}.{block}"
            for i in (1, 2, 3):
                expected |= {f"{at}.conv{i}.weight", *(f"{at}.bn{i}.{e}" for e in entries)}
        at = f"layer{stage}.0.downsample"
        expected |= {f"{at}.0.weight", *(f"{at}.1.{e}" for e in entries)}
    assert names == expected


@pytest.mark.peer
@peers.DTYPES
@pytest.mark.parametrize("variant", ["18", "50", "152"])
def test_a_published_checkpoint_gives_the_peers_outputs(variant, dtype, tmp_path):
    """Torchvision's names are ours: its file is read as it is, and ours by its network."""
    resnet = peers.peer("torchvision.models.resnet")
    theirs = peers.shaken(getattr(resnet, f"resnet{variant}")(num_classes=7), dtype)
    ours = create(f"resnet{variant}", classes=7, weights=peers.stored(theirs, tmp_path)).to(dtype).eval()
    x = torch.randn(2, 3, 64, 64, dtype=dtype)
    if dtype == torch.float64:  # what `create` loads is float32
        ours.load_state_dict(theirs.state_dict())
    peers.agree(ours(x), theirs(x))
    peers.shaken(theirs, dtype, seed=1).load_state_dict(ours.state_dict(), strict=True)
    peers.agree(ours(x), theirs(x))


def test_stages_are_handed_out_as_a_backbone():
    model = ResNet(block="basic", layers=[1, 1, 1], width=4, stem="small")
    assert [tuple(f.shape[1:]) for f in model.features(torch.randn(1, 3, 16, 16))] == [
        (4, 16, 16),
        (8, 8, 8),
        (16, 4, 4),
    ]


def test_wrong_settings_are_refused_in_words():
    with pytest.raises(
        SettingError, match=r"knows the blocks \['basic', 'bottleneck', 'pooled'\], but block is 'wide'"
    ):
        ResNet(block="wide")
    with pytest.raises(SettingError, match=r"stems \['large', 'small', 'half'\], but stem is 'big'"):
        ResNet(stem="big")
    with pytest.raises(ShapeError, match=r"at least one block, but layers is \[2, 0\]"):
        ResNet(layers=[2, 0])
    with pytest.raises(ShapeError, match=r"until 8 pixels are one, but its side is 6. Resize to at least 8"):
        ResNet(**VARIANTS["9"], size=6)
