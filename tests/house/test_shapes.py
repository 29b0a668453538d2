"""The shapes in signatures are really compared: a wrong one stops a test."""

import jaxtyping
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from tools.shapes import check, unchecked


@jaxtyping.jaxtyped(typechecker=check)
def add(x: Float[Tensor, "batch width"], y: Float[Tensor, " width"] | None = None, name: int = "not compared"):
    return x if y is None else x + y


@jaxtyping.jaxtyped(typechecker=check)
def flat(x: Float[Tensor, "batch width"]) -> Float[Tensor, " batch"]:
    return x.flatten()


def test_right_shapes_pass():
    assert add(torch.zeros(2, 3), torch.ones(3)).sum() == 6
    assert add(torch.zeros(2, 3)).sum() == 0
    assert add(torch.zeros(2, 3), None, "other").sum() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        (torch.zeros(3),),
        (torch.zeros(2, 3), torch.zeros(2)),
        (torch.zeros(2, 3, dtype=torch.long),),
    ],
)
def test_a_wrong_shape_or_kind_is_refused(wrong):
    with pytest.raises(jaxtyping.TypeCheckError):
        add(*wrong)


def test_what_is_returned_is_compared_too():
    assert flat(torch.zeros(2, 1)).shape == (2,)
    with pytest.raises(jaxtyping.TypeCheckError):
        flat(torch.zeros(2, 3))


def test_blocks_of_the_package_are_under_it():
    from lamina.nn.attention import SelfAttention

    block = SelfAttention(width=4, heads=2)
    assert block(torch.zeros(2, 5, 4)).shape == (2, 5, 4)
    with pytest.raises(jaxtyping.TypeCheckError):
        block(torch.zeros(5, 4))


def test_within_unchecked_a_package_is_imported_plainly_and_behind_it_all_is_compared_again():
    import lamina.nn.attention

    checked = lamina.nn.attention
    with pytest.raises(ValueError, match="from within"), unchecked("lamina.nn"):
        from lamina.nn.attention import SelfAttention

        assert SelfAttention is not checked.SelfAttention
        assert not hasattr(SelfAttention.forward, "__wrapped__")
        raise ValueError("from within")
    from lamina.nn.attention import SelfAttention

    assert SelfAttention is checked.SelfAttention is lamina.nn.attention.SelfAttention
    with pytest.raises(jaxtyping.TypeCheckError):
        SelfAttention(width=4, heads=2)(torch.zeros(5, 4))
    with unchecked("lamina.nn"):
        pass
    import lamina.nn.bag

    with pytest.raises(jaxtyping.TypeCheckError):
        lamina.nn.bag.Bag(5, 2)(torch.zeros(3), torch.zeros(1))
