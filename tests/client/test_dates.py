"""Dates in a notebook: written and shown as dates, sent as numbers of days."""

import datetime as dt

import pytest

from stead.client.expressions import ColumnExpression, column_text
from stead.client.mock import mock_of
from stead.core.schema import Bounds, Column, Schema
from stead.errors import UsageError

SEEN = Column("seen", "date", Bounds(-7305, 20453))
EXPRESSION = ColumnExpression(None, SEEN)


def test_a_date_column_in_words():
    assert column_text(SEEN) == "date 1950-01-01 – 2025-12-31"


@pytest.mark.parametrize("day", ["2000-02-29", dt.date(2000, 2, 29)])
def test_a_day_is_compared_as_its_number(day):
    assert (day <= EXPRESSION).predicate.value == 11016


@pytest.mark.parametrize("day", [2000, True, dt.datetime(2000, 2, 29, tzinfo=dt.UTC), None])
def test_what_is_compared_to_a_date_is_a_day(day):
    with pytest.raises(UsageError, match="compare it to a day") as refused:
        EXPRESSION.__ge__(day)
    assert refused.value.hint == 'for example heart.seen >= "1950-01-01"'


def test_mock_rows_show_dates():
    schema = Schema("p", "row", (Column("seen", "date", Bounds(0, 1)), Column("x", "integer", Bounds(0, 1))), (1, 9))
    cells = mock_of("visits", schema, 20).head(10).cells()
    assert {seen for seen, _ in cells} == {"1970-01-01", "1970-01-02"}
    assert {x for _, x in cells} == {"0", "1"}
