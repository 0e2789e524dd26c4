"""``Value`` and ``Predicate``: what derived columns and filters are made of. A closed, total language of expressions.

A value is a number, a truth or a category of its row, or *missing*. An operation with a missing operand is missing.
Whatever a row holds, an operation has a result: division by a number nearer to zero than 2^-100 is missing, and so is
the root of a negative number. Numbers are IEEE doubles and each operation is rounded once, so that every engine
computes the same bits and a bound computed at the ends of the operands' ranges holds inside them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from stead.core.schema import Bounds

Comparison = Literal["==", "!=", "<", "<=", ">", ">="]
Constant = float | int | str | bool

LEAST_DIVISOR = 2.0**-100


class Compare(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="compare"):
    """``column <op> value``; NULL and NaN make it false for every operator, ``!=`` too.

    The constant has the column's kind: a finite number, a boolean, a text, or one of the declared categories.
    Booleans, categories and texts have no order: they take ``==`` and ``!=`` only.
    """

    column: str
    op: Comparison
    value: Constant


class CompareValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="compare_values"):
    """``left <op> right`` for two numbers of one row; false where one of them is missing."""

    left: Value
    op: Comparison
    right: Value


class IsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="is_in"):
    """``column`` holds one of ``values`` (constants as in ``Compare``); NULL makes it false, and so does no value."""

    column: str
    values: tuple[Constant, ...]


class IsNull(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="is_null"):
    """``column`` is NULL or NaN, or holds a category that is not declared."""

    column: str


class And(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="and"):
    """All of ``parts``; true when there are none."""

    parts: tuple[Predicate, ...]


class Or(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="or"):
    """Any of ``parts``; false when there are none."""

    parts: tuple[Predicate, ...]


class Not(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="not"):
    """The rows for which ``part`` is false (a NULL comparison is false, so its negation is true)."""

    part: Predicate


Predicate = Compare | CompareValues | IsIn | IsNull | And | Or | Not


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="field"):
    """The column's value: a number, a date in days since 1970-01-01, or a boolean as 0 or 1."""

    column: str


class Number(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="number"):
    """A constant: a finite number."""

    value: float


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="label"):
    """A constant category: what a branch of ``Case`` gives its rows."""

    value: str


class Arithmetic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="arithmetic"):
    """Two numbers to one. ``min`` and ``max`` are of the row's two values."""

    op: Literal["+", "-", "*", "/", "min", "max"]
    left: Value
    right: Value


class Unary(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="unary"):
    """One number to one; ``floor`` is the whole number at or below it."""

    op: Literal["negate", "absolute", "floor", "root"]
    value: Value


class Within(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="within"):
    """The number moved into ``bounds``: what gives a quotient a range."""

    value: Value
    bounds: Bounds


class Truth(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="truth"):
    """Whether a condition holds: a boolean that is never missing."""

    where: Predicate


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="case"):
    """The value of the first branch whose condition holds, else ``otherwise``; ``None`` is missing.

    All branches are numbers, or all are labels; the labels in their order of appearance are the new categories.
    """

    branches: tuple[tuple[Predicate, Value], ...]
    otherwise: Value | None = None


class DatePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="date_part"):
    """A part of a date column in the proleptic Gregorian calendar; ``weekday`` is 1 (Monday) to 7."""

    part: Literal["year", "quarter", "month", "day", "weekday", "day_of_year"]
    column: str


class Cut(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="cut"):
    """The number's cell as a category: ``labels[i]`` from ``edges[i]`` up to ``edges[i + 1]``.

    A cell holds its left edge, the last cell both; a number outside the edges is missing.
    """

    value: Value
    edges: tuple[float, ...]
    labels: tuple[str, ...]


class Relabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="relabel"):
    """A text or category column as a category: the label of the first entry of ``table`` that its value matches.

    ``how`` is ``equal`` or ``prefix``; letters count as they are. A value that matches nothing is ``otherwise``,
    or missing; a missing value stays missing.
    """

    column: str
    how: Literal["equal", "prefix"]
    table: tuple[tuple[str, str], ...]
    otherwise: str | None = None


Value = Field | Number | Label | Arithmetic | Unary | Within | Truth | Case | DatePart | Cut | Relabel
