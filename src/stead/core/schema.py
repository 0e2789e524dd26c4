"""The public description of a population's table: written by the owner, never inferred from rows.

Everything here is public. Whatever a plan's price, bound or shape depends on is read from here, so none of them
can depend on a row.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from stead.core.dates import FIRST_DAY, LAST_DAY
from stead.errors import UnknownColumn, UsageError

Kind = Literal["integer", "real", "date", "boolean", "category", "text"]
"""What a column holds. A date is a whole number of days since 1970-01-01."""

MAX_TEXT = 256
"""The most characters of a text that are stored."""


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The declared range of a column, both ends included, in the column's unit."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UsageError(f"bounds need two finite numbers, low < high; got {self.low} and {self.high}.")

    @property
    def width(self) -> float:
        """``high - low``."""
        return self.high - self.low

    @property
    def middle(self) -> float:
        """The centre of the range; where totality puts a missing value."""
        return self.low + self.width / 2


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One column: its kind and what values the owner says it can hold.

    ``bounds`` belong to integer, real and date columns (there in days, see ``stead.core.dates``), ``categories`` to
    category columns (their order is public and is the order of groups and of one-hot codes). ``missing_rate`` is the
    share of NULLs the owner expects (0 to 1), used by the mock twin only. A ``text`` column's values are not public:
    they are stored without the spaces around them, cut after 256 characters, an empty one as missing, and no training
    reads them.
    """

    name: str
    kind: Kind
    bounds: Bounds | None = None
    categories: tuple[str, ...] = ()
    missing_rate: float = 0.0
    unit: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 128 or any(ord(c) < 32 or c == "\x7f" for c in self.name):
            raise UsageError(f"a column name is 1 to 128 printable characters; got {self.name[:40]!r}.")
        self._check_bounds()
        if (self.kind == "category") != bool(self.categories):
            raise UsageError(f"column {self.name!r}: categories belong to category columns, which need them.")
        if len(set(self.categories)) != len(self.categories):
            raise UsageError(f"column {self.name!r} lists a category twice.")
        if not 0.0 <= self.missing_rate <= 1.0:
            raise UsageError(f"column {self.name!r}: missing_rate is a share between 0 and 1.")

    def _check_bounds(self) -> None:
        numeric = self.kind in ("integer", "real", "date")
        if numeric and self.bounds is None:
            raise UsageError(f"column {self.name!r} is {self.kind} and needs bounds.", hint="bounds = {low=…, high=…}")
        if not numeric and self.bounds is not None:
            raise UsageError(f"column {self.name!r} is {self.kind}: bounds belong to integer, real and date columns.")
        if self.kind == "date" and self.bounds is not None:
            ends = (self.bounds.low, self.bounds.high)
            if not all(float(end).is_integer() and FIRST_DAY <= end <= LAST_DAY for end in ends):
                raise UsageError(
                    f"column {self.name!r} is date: its bounds are whole days since 1970-01-01, got {ends[0]:g} and "
                    f"{ends[1]:g}.",
                    hint="days from 0001-01-01 to 9999-12-31",
                )


class Schema(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A population's table as the public may know it.

    Attributes:
        population: the people's name; budgets belong to it. Two datasets of one population share its account.
        unit: what one protected unit is called ("patient").
        columns: the columns, in order.
        people: the least and most people the owner says the table may hold; every public size comes from here.
        person: the column that tells people apart; ``None``: each row is a person of its own.
        rows_per_person: at most so many rows of one person are ever used (the first ones, by a stored rank).
    """

    population: str
    unit: str
    columns: tuple[Column, ...]
    people: tuple[int, int]
    person: str | None = None
    rows_per_person: int = 1

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names) or not names:
            raise UsageError("a schema needs at least one column, and each column's name once.")
        if self.person is not None and self.person not in names:
            raise UsageError(f"the person column {self.person!r} is not among the columns.")
        if self.person is None and self.rows_per_person != 1:
            raise UsageError("rows_per_person above 1 needs a person column.")
        if not 1 <= self.rows_per_person <= 1 << 20:
            raise UsageError(f"rows_per_person must be 1 to {1 << 20}; got {self.rows_per_person}.")
        if not 1 <= self.people[0] <= self.people[1] <= 1 << 40:
            raise UsageError(f"people is (least, most) with 1 <= least <= most; got {self.people}.")
        if not self.population or not self.unit:
            raise UsageError("a schema names its population and its unit of privacy.")

    def column(self, name: str) -> Column:
        """The column of that name, or ``UnknownColumn`` with the nearest public name as a hint."""
        for column in self.columns:
            if column.name == name:
                return column
        import difflib

        near = difflib.get_close_matches(str(name), [c.name for c in self.columns], n=1)
        hint = f'did you mean "{near[0]}"?' if near else "columns: " + ", ".join(c.name for c in self.columns)
        raise UnknownColumn(f"there is no column {str(name)[:80]!r} in population {self.population!r}.", hint=hint)


class DatasetCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a node shows of a dataset: the card that travels with the data, and its schema. All of it is public."""

    name: str
    schema: Schema
    purpose: str = ""
    contact: str = ""
    licence: str = ""
    description: str = ""
