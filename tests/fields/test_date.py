"""Dates: formats, rounds, there and back."""

import json
import re
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.errors import DataError
from lamina.core.protocols import Column, Field
from lamina.fields.date import Date


def fitted(values, **settings):
    column, field = Column("day", values, "log.csv"), Date("day", **settings)
    field.fit(column)
    return field, column


@given(st.lists(st.dates(date(1900, 1, 1), date(2100, 1, 1)), min_size=1, max_size=20))
def test_days_come_back_and_a_restored_field_is_the_same(days):
    """float32 keeps a day within two hundred years."""
    values = [day.isoformat() for day in days]
    field, column = fitted(values)
    assert field.decode(field.encode_target(column)) == values
    again = Date.restore("day", json.loads(json.dumps(field.state())))
    assert again.state() == field.state()
    np.testing.assert_array_equal(again.encode(column)["numbers"], field.encode(column)["numbers"])
    assert field.encode(column)["numbers"].shape == (len(days), field.sizes()["columns"])


@pytest.mark.parametrize(
    "pattern",
    ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d %b %Y", "%B %d, %Y", "%Y/%m/%d %H:%M",
     "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M %p"],
)  # fmt: skip
def test_reads_the_common_formats(pattern):
    moments = [datetime(2023, 1, 30, 8, 15) + timedelta(days=17 * i, hours=5 * i) for i in range(12)]
    column = Column("day", [moment.strftime(pattern) for moment in moments])
    expected = [datetime.strptime(value, pattern) for value in column.values]
    assert Date.guess(column) > 0.9
    field = Date("day")
    field.fit(column)
    np.testing.assert_array_equal(
        field._seconds(column), [(m - datetime(1970, 1, 1)).total_seconds() for m in expected]
    )


def test_rounds_are_sine_and_cosine_of_month_weekday_and_hour():
    # 2024-01-01 and 2024-07-01 were Mondays, 2024-07-04 a Thursday.
    field, column = fitted(["2024-01-01T00:00", "2024-07-01T06:00", "2024-07-04T12:00"])
    numbers = field.encode(column)["numbers"]
    assert field.rounds == ["month", "weekday", "hour"]
    np.testing.assert_allclose(numbers[:2, 1:3], [[0, 1], [0, -1]], atol=1e-6)  # January, July: opposite
    week = 2 * np.pi * np.array([0, 0, 3]) / 7
    np.testing.assert_allclose(numbers[:, 3:5], np.stack([np.sin(week), np.cos(week)], 1), atol=1e-6)
    np.testing.assert_allclose(numbers[:, 5:7], [[0, 1], [1, 0], [0, -1]], atol=1e-6)


def test_plain_days_have_no_hour():
    assert fitted(["2024-01-01", "2024-05-05"])[0].rounds == ["month", "weekday"]


def test_gaps_are_nought_and_marked():
    field, column = fitted(["2024-01-01", "", "2024-05-05"])
    numbers = field.encode(column)["numbers"]
    assert numbers[:, -1].tolist() == [0, 1, 0] and (numbers[1, :-1] == 0).all()
    with pytest.raises(DataError, match=re.escape('Column "day" of log.csv has no value in 1 of 3 rows (row 3)')):
        field.encode_target(column)


def test_python_numpy_and_text_are_the_same_moment():
    moment = datetime(2024, 3, 1, 10)
    field, _ = fitted(["2024-03-01T10:00:00", "2024-03-02T10:00:00"])
    values = [moment, np.datetime64(moment), "2024-03-01 10:00", "2024-03-01T12:00:00+02:00"]
    assert len(np.unique(field.encode(Column("day", values))["numbers"], axis=0)) == 1


def test_an_ambiguous_order_is_said():
    field, column = fitted(["01/02/2024", "03/04/2024"])
    assert field.check(column) == [
        'Column "day" of log.csv is read as month/day/year; if "01/02/2024" has the day first, set format to %d/%m/%Y.'
    ]
    assert fitted(["01/02/2024", "03/04/2024"], format="%d/%m/%Y")[0].check(column) == []


def test_what_is_no_date_is_refused_by_row():
    field, _ = fitted(["2024-01-01", "2024-05-05"])
    words = (
        'Column "day" of new.csv should hold dates like 2024-01-31 13:45:00, but 1 of 2 values are none: '
        '"soon" (row 3).'
    )
    with pytest.raises(DataError, match=re.escape(words)):
        field.encode(Column("day", ["2024-01-01", "soon"], "new.csv"))
    with pytest.raises(DataError, match='should hold dates, but no format fits "soon", "later"'):
        fitted(["soon", "later"])


@pytest.mark.parametrize(
    "values", [["1", "2"], ["2024", "2023"], [2024, 2023], ["red", "blue"], ["1.5.2", "10.3.1"], [""]]
)
def test_numbers_words_and_versions_are_no_dates(values):
    assert Date.guess(Column("x", values)) < 0.7


def test_is_a_field():
    assert isinstance(Date("x"), Field)
