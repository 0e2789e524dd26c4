"""``Query``: questions to one table, as data. A closed algebra of row steps, then one aggregation.

The order of a query is fixed: row steps in the order they were written, then ``group_by`` over public keys, then
aggregates. There is no join, no user function and no text that a database would parse.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from stead.core.schema import Bounds

Comparison = Literal["==", "!=", "<", "<=", ">", ">="]
Constant = float | int | str | bool


class Compare(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="compare"):
    """``column <op> value``; NULL and NaN make it false for every operator."""

    column: str
    op: Comparison
    value: Constant


class IsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="is_in"):
    """``column`` holds one of ``values``; NULL makes it false."""

    column: str
    values: tuple[Constant, ...]


class IsNull(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="is_null"):
    """``column`` is NULL or NaN."""

    column: str


class And(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="and"):
    """All of ``parts``."""

    parts: tuple[Predicate, ...]


class Or(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="or"):
    """Any of ``parts``."""

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
    """Move the values of a numeric column into ``bounds``; NULL and NaN stay NULL."""

    column: str
    bounds: Bounds


RowStep = Filter | Select | Clip


class Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="count"):
    """How many rows are left, or with ``column`` how many of them hold a value there."""

    name: str
    column: str | None = None


class Sum(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sum"):
    """The sum of a numeric or boolean column; NULL counts as nothing."""

    name: str
    column: str


class Mean(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="mean"):
    """The mean of a numeric or boolean column, released as (sum, count) and divided by the client."""

    name: str
    column: str


class Histogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="histogram"):
    """Counts by cell: ``edges`` (ascending, left-closed, the last cell closed) or a category column's categories."""

    name: str
    column: str
    edges: tuple[float, ...] = ()


Aggregate = Count | Sum | Mean | Histogram


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="query"):
    """One question to one dataset.

    ``group_by`` names category or boolean columns; the groups are the product of their declared values, public and
    complete, whether a row falls into them or not. ``aggregates`` must have distinct names.
    ``sigmas`` are the standard deviations of the noise, one for each released part in the order of
    ``parts(query, schema)``, in steps of that part's lattice: what is done, never what it costs. The gate computes
    the event and the charge from the plan.
    """

    dataset: str
    steps: tuple[RowStep, ...]
    group_by: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]
    sigmas: tuple[float, ...]
