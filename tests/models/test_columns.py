import pytest
import torch

from lamina.core.calls import call, reads
from lamina.core.errors import ShapeError
from lamina.models.columns import Columns, Picture


def batch(rows: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "numbers": torch.randn(rows, 3),
        "categories": torch.randint(0, 4, (rows, 2)),
        "image": torch.randn(rows, 1, 16, 16),
        "words": torch.randint(0, 20, (3 * rows,)),
        "words_offsets": 3 * torch.arange(rows),
        "words_weights": torch.rand(3 * rows),
    }


def build() -> Columns:
    return Columns(columns=3, cardinalities=[4, 12], vocab=20, channels=1, width=8, hidden=[16], outputs=2).eval()


def test_every_kind_reaches_the_outputs():
    model, given = build(), batch(4)
    assert reads(model) == ("numbers", "categories", "image", "words")
    before = call(model, given)
    for kind in ("numbers", "image", "words_weights"):
        assert not torch.allclose(before, call(model, {**given, kind: given[kind] + 1})), kind
    for kind in ("categories", "words"):
        assert not torch.allclose(before, call(model, {**given, kind: (given[kind] + 1) % 4})), kind


def test_a_row_does_not_see_the_others():
    model, given = build(), batch(4)
    alone = {k: v[6:9] if k in ("words", "words_weights") else v[2:3] for k, v in given.items()}
    alone["words_offsets"] = torch.tensor([0])
    torch.testing.assert_close(call(model.train(False), given)[2:3], call(model, alone))


def test_only_what_is_there_has_an_encoder():
    model = Columns(columns=0, channels=3, outputs=5)
    assert model.numbers is None and model.categories is None and model.words is None
    assert call(model, {"image": torch.randn(2, 3, 9, 13)}).shape == (2, 5)


def test_a_picture_is_halved_three_times_and_averaged():
    picture, x = Picture(1, 8), torch.randn(2, 1, 32, 32)
    assert picture.layers(x).shape == (2, 32, 4, 4)
    torch.testing.assert_close(picture(x), picture.layers(x).mean((2, 3)))


def test_a_row_of_nothing_is_refused():
    with pytest.raises(ShapeError, match="Give at least one"):
        Columns(columns=0)
