import pytest
import torch
from torch.nn import functional as F

from lamina.core.errors import ShapeError
from lamina.models.lenet import LeNet, ScaledTanh


def test_it_agrees_with_the_paper_written_out():
    """C1 to F6 by hand; squares are averaged, scaled and shifted by the map, then squashed."""
    torch.manual_seed(0)
    model, x = LeNet(), torch.randn(3, 1, 32, 32)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    p = list(model.parameters())

    def squash(v):
        return 1.7159 * torch.tanh(2 * v / 3)

    def subsample(v, gain, bias):
        mean = (v[..., ::2, ::2] + v[..., 1::2, ::2] + v[..., ::2, 1::2] + v[..., 1::2, 1::2]) / 4
        return squash(mean * gain + bias)

    y = subsample(F.conv2d(x, p[0], p[1]), p[2], p[3])
    y = subsample(F.conv2d(y, p[4], p[5]), p[6], p[7])
    assert y.shape == (3, 16, 5, 5)
    y = squash(F.conv2d(y, p[8], p[9]).flatten(1))
    expected = squash(y @ p[10].T + p[11]) @ p[12].T + p[13]
    torch.testing.assert_close(model(x), expected)


def test_its_layers_have_the_papers_sizes():
    """Weights and biases by layer; C3 is fully connected (2416, not the paper's 1516), the output linear (850)."""
    counts = [sum(p.numel() for p in m.parameters()) for m in LeNet().layers]
    assert [c for c in counts if c] == [156, 12, 2416, 32, 48_120, 10_164, 850]


def test_the_squashing_goes_through_one_and_minus_one():
    torch.testing.assert_close(ScaledTanh()(torch.tensor([-1.0, 0, 1])), torch.tensor([-1.0, 0, 1]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [8, 28, 31, 32, 64])
def test_pictures_of_other_sizes_are_padded_or_covered(size):
    assert LeNet(size=size, channels=3, classes=4)(torch.randn(2, 3, size, size)).shape == (2, 4)


def test_smaller_pictures_stand_in_the_middle_of_zeros():
    x = torch.randn(2, 1, 28, 28)
    padded = torch.zeros(2, 1, 32, 32)
    padded[:, :, 2:30, 2:30] = x
    torch.manual_seed(1)
    small = LeNet(size=28)
    torch.manual_seed(1)
    torch.testing.assert_close(small(x), LeNet(size=32)(padded))


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(ShapeError, match=r"size is 0\. Give 1 or more"):
        LeNet(size=0)
