"""``Query``: questions to one table, as data. A closed algebra of row steps, then one aggregation.

The order of a query is fixed: row steps in the order they were written, then ``group_by`` over public keys, then
aggregates. There is no join, no user function and no text that a database would parse.

Every step is total: a row that is read gives each column either a value inside what the owner declared or *missing*.
A number outside the declared bounds, infinities included, is moved to the nearer bound; NULL, NaN and a category that
is not declared are missing. Nothing that a row can hold makes a step fail.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from stead.core.schema import Bounds

Comparison = Literal["==", "!=", "<", "<=", ">", ">="]
Constant = float | int | str | bool


class Compare(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="compare"):
    """``column <op> value``; NULL and NaN make it false for every operator, ``!=`` too.

    The constant has the column's kind: a finite number, a boolean, or one of the declared categories. Booleans and
    categories have no order: they take ``==`` and ``!=`` only.
    """

    column: str
    op: Comparison
    value: Constant


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


Predicate = Compare | IsIn | IsNull | And | Or | Not


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="filter"):
    """Keep the rows for which ``where`` is true."""

    where: Predicate


class Select(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="select"):
    """Later steps may name these columns only."""

    columns: tuple[str, ...]


class Clip(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="clip"):
    """Move the values of a numeric column into ``bounds``, for the steps after this one; missing stays missing."""

    column: str
    bounds: Bounds


RowStep = Filter | Select | Clip


class Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="count"):
    """How many rows are left, or with ``column`` how many of them hold a value there."""

    name: str
    column: str | None = None


class Sum(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sum"):
    """The sum of a numeric or boolean column, each value rounded toward zero onto the lattice; missing adds nothing."""

    name: str
    column: str


class Mean(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="mean"):
    """The mean of a numeric or boolean column, released as (centred sum, count) and divided by the client.

    The sum is of distances to the middle of the range, which halves what one person can add; the client divides,
    adds the middle back and stays inside the range. A mean of nothing is the middle.
    """

    name: str
    column: str


class Histogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="histogram"):
    """Counts by cell of a numeric column (``edges``) or of a category or boolean column (its values, no ``edges``).

    ``edges`` ascend; a cell holds its left edge, the last cell both. A value outside the edges is in no cell.
    """

    name: str
    column: str
    edges: tuple[float, ...] = ()


Aggregate = Count | Sum | Mean | Histogram


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="query"):
    """One question to one dataset.

    ``group_by`` names category or boolean columns; the groups are the product of their declared values, public and
    complete, whether a row falls into them or not; a row with a missing key is in none. ``aggregates`` must have
    distinct names.
    ``sigmas`` are the standard deviations of the noise, one for each released part in the order of
    ``parts(query, schema)``, in steps of that part's lattice: what is done, never what it costs. The gate computes
    the event and the charge from the plan.
    """

    dataset: str
    steps: tuple[RowStep, ...]
    group_by: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]
    sigmas: tuple[float, ...]
