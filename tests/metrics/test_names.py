import math

import numpy as np
import pytest

from lamina.core.errors import UnknownName
from lamina.metrics.classification import classification
from lamina.metrics.control import control
from lamina.metrics.language import language
from lamina.metrics.names import better, improves, table
from lamina.metrics.regression import regression


def test_every_figure_that_is_measured_says_which_way_is_better():
    measured = {
        *classification(np.full((8, 8), 1 / 8), range(8)),
        *regression([1.0, 2.0], [2.0, 3.0]),
        *language([1.0, 2.0], [1, 1], [1, 1]),
        *control([1.0, 2.0]),
    }
    assert measured <= set(table())
    assert set(table().values()) == {"max", "min"}


def test_a_prefix_does_not_matter():
    assert better("accuracy") == "max"
    assert better("price/rmse") == "min"


def test_nan_is_never_an_improvement_and_anything_is_one_on_it():
    assert improves("f1", 0.9, 0.8)
    assert improves("log_loss", 0.8, 0.9)
    assert not improves("log_loss", 0.9, 0.9)
    assert improves("f1", 0.1, math.nan)
    assert not improves("f1", math.nan, 0.1)


def test_an_unknown_metric_is_named_with_its_nearest():
    with pytest.raises(UnknownName, match=r"No metric is called 'acuracy'. Did you mean 'accuracy'\?"):
        better("acuracy")
