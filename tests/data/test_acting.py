"""Episodes that are judged by: the same ones each time, and other ones for each split."""

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'lamina[rl]'")

from lamina.data import acting, environment


def starts(split):
    """What is seen first of 70 episodes, of which 64 are played side by side."""
    seen = []

    def act(observed):
        seen.append(observed.copy())
        return np.zeros(len(observed), dtype=np.int64)

    acting.ActingData(environment.open("gym:CartPole-v1")).play(act, 70, split)
    return seen[0]


def test_the_validation_and_the_test_split_begin_elsewhere_and_each_where_it_did_before():
    valid, test = starts("valid"), starts("test")
    np.testing.assert_array_equal(starts("test"), test)
    assert not np.isclose(valid, test).all(axis=1).any()
    assert len(np.unique(valid, axis=0)) == len(valid) == 64


def test_as_many_episodes_are_judged_as_were_asked_for():
    data = acting.ActingData(environment.open("gym:CartPole-v1"))
    returns, lengths = data.play(lambda seen: np.zeros(len(seen), dtype=np.int64), 70, "test")
    assert len(returns) == len(lengths) == 70
    np.testing.assert_array_equal(returns, lengths)  # the pole gives 1 a step
    assert 8 <= lengths.min() <= lengths.max() <= 11  # always to the left: it falls within these
