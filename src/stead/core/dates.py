"""Days as numbers: whole days since 1970-01-01, which people read and write as ``YYYY-MM-DD``.

The calendar is the Gregorian one for all years, as in ISO 8601.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Final

from stead.errors import UsageError

_EPOCH: Final = dt.date(1970, 1, 1).toordinal()
_WRITTEN: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

FIRST_DAY: Final = float(dt.date.min.toordinal() - _EPOCH)
"""0001-01-01, the first day that can be written."""

LAST_DAY: Final = float(dt.date.max.toordinal() - _EPOCH)
"""9999-12-31, the last day that can be written."""


def day(text: str) -> float:
    """The day that is written ``YYYY-MM-DD``, as whole days since 1970-01-01.

    Raises:
        UsageError: it is no such text, or there is no such day.
    """
    if _WRITTEN.fullmatch(text):
        try:
            return float(dt.date.fromisoformat(text).toordinal() - _EPOCH)
        except ValueError:
            raise UsageError(f"there is no day {text}.", hint="a day is written 1999-12-31") from None
    raise UsageError(f"{text[:40]!r} is no day.", hint="a day is written 1999-12-31")


def iso(day: float) -> str:
    """``YYYY-MM-DD`` for days since 1970-01-01; a part of a day is cut off.

    Raises:
        UsageError: before 0001-01-01, after 9999-12-31, or not a number.
    """
    if not FIRST_DAY <= day < LAST_DAY + 1:
        raise UsageError(f"{day:g} days from 1970-01-01 have no date.", hint="dates are 0001-01-01 to 9999-12-31")
    return dt.date.fromordinal(math.floor(day) + _EPOCH).isoformat()
