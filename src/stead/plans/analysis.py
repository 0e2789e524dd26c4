"""What one person can add to a query's integers, from the plan and the public schema alone.

Every released number is an integer on a declared lattice: a count in steps of one, a sum in steps of a power of two
chosen by the public rule of ``lattice``. ``parts`` lays out the released vector and refuses what cannot be bounded,
naming the step; ``analyse`` adds the bound for one person and checks the noise. Nothing here has seen a row.

References: docs/theory/contribution-bounds.md.
"""

from __future__ import annotations

import itertools
import math
from typing import Literal

import msgspec

from stead.core.schema import Bounds, Column, Schema
from stead.errors import UnboundedContribution, UsageError
from stead.plans.predicates import MAX_NODES, check_predicate
from stead.plans.query import Aggregate, Clip, Count, Filter, Histogram, Mean, Query, Select, Sum

LATTICE_BITS = 20
"""The larger half of a range is 2^19 to 2^20 lattice steps."""
MAX_CELLS = 1 << 20
MAX_EDGES = 1 << 10
MAX_STEPS = 64
MAX_TOTAL = 1 << 56
"""The largest integer one site may reach: 64 sites and their noise still fit a signed 64-bit integer."""
MIN_SIGMA = 0.3
MAX_SIGMA = 2.0**40
MAX_MAGNITUDE = 2.0**900


class Part(msgspec.Struct, frozen=True):
    """One released block of integers: ``groups`` x ``cells``, row-major.

    Attributes:
        aggregate: the name of the aggregate that it belongs to.
        kind: ``count`` of rows, ``sum`` of a column, or ``cells`` of a histogram.
        cells: integers for each group.
        step: one lattice step, in the column's unit.
        offset: what was taken from each value before quantising, in the column's unit.
        per_row: the largest absolute integer that one row adds to one of the integers.
        groups: the number of groups; 1 without ``group_by``.
        column: the column that is counted, summed or binned; ``None`` counts rows.
        low: the lower end of the range after clipping.
        high: the upper end of the range after clipping.
        exact: quantising changes no value that the column can hold.
    """

    aggregate: str
    kind: Literal["count", "sum", "cells"]
    cells: int
    step: float
    offset: float
    per_row: int
    groups: int = 1
    column: str | None = None
    low: float = 0.0
    high: float = 0.0
    exact: bool = True

    @property
    def size(self) -> int:
        """How many integers the part holds."""
        return self.groups * self.cells


class Contribution(msgspec.Struct, frozen=True):
    """How far one person can move each part, in lattice steps: Euclidean (``l2``) and in one integer (``linf``)."""

    parts: tuple[Part, ...]
    l2: tuple[int, ...]
    linf: tuple[int, ...]

    @property
    def size(self) -> int:
        """The length of the released vector."""
        return sum(part.size for part in self.parts)


class Scope:
    """What the steps so far have left: the columns that may be named and the range of each number."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.visible = {column.name for column in schema.columns}
        self.ranges = {c.name: c.bounds for c in schema.columns if c.bounds is not None}

    def column(self, name: str, where: str) -> Column:
        """The declared column of that name, if a step may name it.

        Raises:
            UnknownColumn: the owner has not declared it.
            UsageError: it is text, tells people apart, or was left out by ``select``.
        """
        column = self.schema.column(name)
        if name == self.schema.person:
            raise UsageError(f"{where}: column {name!r} tells people apart; no step can name it.")
        if column.kind == "text":
            raise UsageError(
                f"{where}: column {name!r} is text, which cannot be asked about.",
                hint="the owner can declare it as a category column with its values",
            )
        if name not in self.visible:
            raise UsageError(
                f"{where}: column {name!r} was left out by an earlier select.", hint="name it in the select"
            )
        return column

    def range_of(self, column: Column, where: str) -> Bounds:
        """The range of a number as it stands after the clips so far; a boolean is 0 or 1."""
        if column.kind == "boolean":
            return Bounds(0.0, 1.0)
        if column.kind == "category":
            raise UsageError(f"{where}: column {column.name!r} is a category; sums and means need numbers.")
        bounds = self.ranges.get(column.name)
        if bounds is None:
            raise UnboundedContribution(
                f"{where}: column {column.name!r} has no bounds, so one person could move the result without limit.",
                hint="the owner declares bounds in the schema",
            )
        return bounds


def parts(query: Query, schema: Schema) -> tuple[Part, ...]:
    """The layout of the released vector: parts concatenated, each row-major (groups, cells).

    A mean gives two parts, its centred sum and its count; every other aggregate gives one. Checks everything but the
    noise, so it can be asked before the noise is chosen.

    Raises:
        UnknownColumn: a column that is not declared.
        UnboundedContribution: a step whose effect by one person has no bound.
        UsageError: any other thing that cannot be, naming the step.
    """
    scope = Scope(schema)
    _check_person(schema)
    if len(query.steps) > MAX_STEPS or len(query.aggregates) > MAX_STEPS:
        raise UsageError(f"a query has at most {MAX_STEPS} steps and {MAX_STEPS} aggregates.")
    nodes = 0
    for number, step in enumerate(query.steps, start=1):
        where = f"step {number} ({step.__struct_config__.tag})"
        if isinstance(step, Filter):
            nodes += check_predicate(step.where, scope, where)
            if nodes > MAX_NODES:
                raise UsageError(f"{where}: the filters have {nodes} comparisons together; the limit is {MAX_NODES}.")
        elif isinstance(step, Select):
            _select(step, scope, where)
        else:
            _clip(step, scope, where)
    groups = _groups(query, scope)
    _check_names(query)
    layout = tuple(part for aggregate in query.aggregates for part in _layout(aggregate, scope, groups))
    cells = sum(part.size for part in layout)
    if cells > MAX_CELLS:
        raise UsageError(
            f"the question asks for {cells} numbers; the limit is {MAX_CELLS}.",
            hint="group by fewer columns, or bin more coarsely",
        )
    return layout


def analyse(query: Query, schema: Schema) -> Contribution:
    """How far one person can move the query's integers, proven from the schema; checks the noise as well.

    One person has at most ``rows_per_person`` rows in use, and all of them may fall into one cell, so a part moves by
    at most ``rows_per_person * per_row`` in one integer and in Euclidean norm.

    Raises:
        UnknownColumn: a column that is not declared.
        UnboundedContribution: no bound exists, or a sum could leave 64-bit integers.
        UsageError: any other thing that cannot be, naming the step.
    """
    layout = parts(query, schema)
    rows_most = schema.people[1] * schema.rows_per_person
    for part in layout:
        if rows_most * part.per_row > MAX_TOTAL:
            raise UnboundedContribution(
                f"aggregate {part.aggregate!r} could reach {rows_most * part.per_row} steps with {rows_most} rows; "
                f"the limit is {MAX_TOTAL}.",
                hint="the owner's people range is too wide for exact sums",
            )
    _check_sigmas(query.sigmas, layout)
    moves = tuple(schema.rows_per_person * part.per_row for part in layout)
    return Contribution(parts=layout, l2=moves, linf=moves)


def group_keys(query: Query, schema: Schema) -> tuple[tuple[str | bool, ...], ...]:
    """The public values of each ``group_by`` column, in the order of the result's axes."""
    return tuple(key_values(schema.column(name)) for name in query.group_by)


def key_values(column: Column) -> tuple[str | bool, ...]:
    """The public values of a category or boolean column, in the order of groups and cells."""
    return (False, True) if column.kind == "boolean" else column.categories


def lattice(column: Column, bounds: Bounds, *, centred: bool) -> tuple[float, float, int]:
    """Step, offset and largest absolute integer of a sum over ``column`` clipped to ``bounds``.

    The offset is the middle of the range for a mean (``centred``) and 0 for a sum. The step is the power of two that
    gives the larger half of the range, seen from the offset, 2^19 to 2^20 steps; integers and booleans never need a
    step below 1 (1/2 when centred), which is exact. A value x becomes ``trunc((x - offset) / step)``: subtraction
    rounds monotonically and the division is exact, so the largest integer stands at an end of the range.

    Returns:
        (step, offset, per_row).
    """
    middle = bounds.low + bounds.width / 2 if centred else 0.0
    half = max(abs(bounds.low - middle), abs(bounds.high - middle))
    step = 2.0 ** (math.frexp(half)[1] - LATTICE_BITS)
    if column.kind != "real":
        step = max(step, 0.5 if centred else 1.0)
    offset = round(middle / step) * step
    ends = (abs(int((end - offset) / step)) for end in (bounds.low, bounds.high))
    return step, offset, max(1, *ends)


def _check_person(schema: Schema) -> None:
    if schema.person is not None and schema.column(schema.person).kind not in ("integer", "category", "text"):
        raise UsageError(f"the person column {schema.person!r} must be an integer, category or text column.")


def _select(step: Select, scope: Scope, where: str) -> None:
    for name in step.columns:
        scope.column(name, where)
    scope.visible &= set(step.columns)


def _clip(step: Clip, scope: Scope, where: str) -> None:
    column = scope.column(step.column, where)
    if column.kind not in ("integer", "real"):
        raise UsageError(f"{where}: column {step.column!r} is {column.kind}; only numbers can be clipped.")
    now = scope.range_of(column, where)
    low, high = max(now.low, step.bounds.low), min(now.high, step.bounds.high)
    if not low < high:
        raise UnboundedContribution(
            f"{where}: [{step.bounds.low:g}, {step.bounds.high:g}] leaves nothing of the range "
            f"[{now.low:g}, {now.high:g}] of column {step.column!r}.",
            hint="clip inside the declared bounds",
        )
    scope.ranges[step.column] = Bounds(low, high)


def _groups(query: Query, scope: Scope) -> int:
    if len(set(query.group_by)) != len(query.group_by):
        raise UsageError("group_by names a column twice.")
    groups = 1
    for name in query.group_by:
        column = scope.column(name, "group_by")
        if column.kind not in ("category", "boolean"):
            raise UsageError(
                f"group_by: column {name!r} is {column.kind}; groups are public, so only category and boolean "
                "columns can make them.",
                hint="a histogram bins a number by public edges",
            )
        groups *= len(key_values(column))
    return groups


def _check_names(query: Query) -> None:
    names = [aggregate.name for aggregate in query.aggregates]
    if not names:
        raise UsageError("a question needs at least one aggregate: count, sum, mean or histogram.")
    if len(set(names)) != len(names):
        raise UsageError("two aggregates have the same name.", hint="give each its own name")
    for name in names:
        if not 0 < len(name) <= 128 or not name.isprintable():
            raise UsageError("the name of an aggregate is 1 to 128 printable characters.")
        if name in query.group_by:
            raise UsageError(f"aggregate {name!r} has the name of a group_by column.", hint="give it its own name")


def _layout(aggregate: Aggregate, scope: Scope, groups: int) -> tuple[Part, ...]:
    where = f"aggregate {aggregate.name!r}"
    if isinstance(aggregate, Count):
        if aggregate.column is not None:
            scope.column(aggregate.column, where)
        return (Part(aggregate.name, "count", 1, 1.0, 0.0, 1, groups, aggregate.column),)
    column = scope.column(aggregate.column, where)
    if isinstance(aggregate, Histogram):
        cells = _cells(aggregate, column, where)
        return (Part(aggregate.name, "cells", cells, 1.0, 0.0, 1, groups, aggregate.column),)
    bounds = scope.range_of(column, where)
    if max(abs(bounds.low), abs(bounds.high)) > MAX_MAGNITUDE or bounds.width < 1 / MAX_MAGNITUDE:
        raise UnboundedContribution(
            f"{where}: the range of column {column.name!r} goes beyond 2^900 or is narrower than 2^-900.",
            hint="declare or clip it to a range of the size that its values have",
        )
    step, offset, per_row = lattice(column, bounds, centred=isinstance(aggregate, Mean))
    exact = column.kind != "real" and all(
        float((end - offset) / step).is_integer() for end in (bounds.low, bounds.high)
    )
    exact = exact and step <= 1.0
    total = Part(aggregate.name, "sum", 1, step, offset, per_row, groups, column.name, bounds.low, bounds.high, exact)
    if isinstance(aggregate, Sum):
        return (total,)
    return (total, Part(aggregate.name, "count", 1, 1.0, 0.0, 1, groups, column.name))


def _cells(aggregate: Histogram, column: Column, where: str) -> int:
    edges = aggregate.edges
    if column.kind in ("category", "boolean"):
        if edges:
            raise UsageError(f"{where}: column {column.name!r} is {column.kind}; its cells are its values, not edges.")
        return len(key_values(column))
    if not 2 <= len(edges) <= MAX_EDGES + 1:
        raise UsageError(f"{where}: a histogram of a number needs 2 to {MAX_EDGES + 1} edges; got {len(edges)}.")
    if not all(math.isfinite(edge) for edge in edges):
        raise UsageError(f"{where}: the edges must be finite numbers.")
    if any(not left < right for left, right in itertools.pairwise(edges)):
        raise UsageError(f"{where}: the edges must ascend, each once.")
    return len(edges) - 1


def _check_sigmas(sigmas: tuple[float, ...], layout: tuple[Part, ...]) -> None:
    if len(sigmas) != len(layout):
        raise UsageError(
            f"the question releases {len(layout)} parts and carries {len(sigmas)} sigmas.",
            hint="one sigma for each part; within= chooses them",
        )
    for part, sigma in zip(layout, sigmas, strict=True):
        if not MIN_SIGMA <= sigma <= MAX_SIGMA:
            raise UsageError(
                f"aggregate {part.aggregate!r}: sigma must lie between {MIN_SIGMA} and 2^40 lattice steps; "
                f"got {sigma:g}."
            )
