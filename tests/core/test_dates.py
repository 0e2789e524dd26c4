"""Days as numbers and as people write them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.core.dates import FIRST_DAY, LAST_DAY, day, iso
from stead.errors import UsageError


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1970-01-01", 0),
        ("1969-12-31", -1),
        ("1858-11-17", -40587),  # day 0 of the Modified Julian Date, whose day 40587 is 1970-01-01
        ("2000-01-01", 10957),
        ("2000-02-29", 11016),
    ],
)
def test_known_days(text, number):
    assert day(text) == number
    assert iso(number) == text
    assert isinstance(day(text), float)


@given(st.dates())
def test_days_agree_with_numpy_s_calendar(date):
    number = day(date.isoformat())
    assert number == int(np.datetime64(date.isoformat(), "D").astype(np.int64))
    assert iso(number) == date.isoformat()


def test_the_ends_and_parts_of_days():
    assert iso(FIRST_DAY) == "0001-01-01"
    assert iso(LAST_DAY) == "9999-12-31"
    assert iso(LAST_DAY + 0.75) == "9999-12-31"
    assert iso(-0.25) == "1969-12-31"


@pytest.mark.parametrize(
    "text",
    ["", "1999", "1999-1-1", "19990101", "1999-W01-1", "1999-02-29", "0000-01-01", "1999-01-01T00", " 1999-01-01"],
)
def test_what_is_no_day(text):
    with pytest.raises(UsageError):
        day(text)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, FIRST_DAY - 0.5, LAST_DAY + 1])
def test_numbers_that_have_no_date(number):
    with pytest.raises(UsageError, match="have no date"):
        iso(number)
