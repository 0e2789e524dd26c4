"""How each aggregate is released: blocks of integers on a declared lattice, and what one row can add to them.

=========  ==========================================================================  ===========================
kind       one integer is                                                              a row moves
=========  ==========================================================================  ===========================
count      rows, or rows that hold a value in all of ``columns``                       one, by 1
people     people among them                                                           one, by 1
distinct   different values                                                            one, by 1
sum        the sum of a column, each value truncated onto the lattice                  one, by ``per_row``
cells      rows in a cell of a histogram                                               one, by 1
tree       rows in a node of a tree of cells                                            one of each level, by 1
survival   events, then censorings, in a cell of time                                  one, by 1
moments    sums of p centred columns, then of their p (p + 1) / 2 products             all, by ``per_row``
score      a gradient's p sums, then the information's p (p + 1) / 2                   all, by ``per_row``
=========  ==========================================================================  ===========================

References: docs/theory/contribution-bounds.md.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from stead.core.schema import Bounds, Column
from stead.errors import UnboundedContribution, UsageError
from stead.plans.query import (
    Aggregate,
    Count,
    Distinct,
    Histogram,
    LogisticScore,
    Mean,
    Moments,
    People,
    Quantile,
    Sum,
    Survival,
    TopK,
)
from stead.plans.scope import MAX_MAGNITUDE, NUMBERS, Scope, check_edges
from stead.plans.statistics.quantiles import tree_levels

LATTICE_BITS = 20
"""The larger half of a range is 2^19 to 2^20 lattice steps."""
BRANCHING = 16
"""Children of a node in a tree of cells."""
MAX_DEPTH = 4
MAX_VARIABLES = 16
_ONE = 1 << LATTICE_BITS

PartKind = Literal["count", "people", "distinct", "sum", "cells", "tree", "survival", "moments", "score"]


class Variable(msgspec.Struct, frozen=True):
    """A column of a ``moments`` or ``score`` part: value x is the integer ``trunc((x - offset) / step)``."""

    column: str
    offset: float
    step: float


class Part(msgspec.Struct, frozen=True):
    """One released block of integers: ``groups`` x ``cells``, row-major.

    Attributes:
        aggregate: the name of the aggregate that it belongs to.
        kind: see the table above.
        cells: integers for each group.
        step: one lattice step, in the column's unit.
        offset: what was taken from each value before quantising, in the column's unit.
        per_row: the largest absolute integer that one row adds to one of the integers.
        groups: the number of groups; 1 without ``group_by``.
        column: the column that is counted, summed or binned; ``None`` counts rows.
        low: the lower end of the range after clipping.
        high: the upper end of the range after clipping.
        exact: quantising changes no value that the column can hold.
        row_l1: the most that one row adds to the integers of its group, in absolute values together.
        row_l2_squared: the same, in squares together.
        leaves: of a tree: its finest cells, each ``step`` wide, the first one from ``offset`` on.
        variables: of moments and scores.
        columns: for a count, all of these must hold a value.
    """

    aggregate: str
    kind: PartKind
    cells: int
    step: float
    offset: float
    per_row: int
    groups: int = 1
    column: str | None = None
    low: float = 0.0
    high: float = 0.0
    exact: bool = True
    row_l1: int = 0
    row_l2_squared: int = 0
    leaves: int = 0
    variables: tuple[Variable, ...] = ()
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.row_l1:  # one integer moves, by per_row
            msgspec.structs.force_setattr(self, "row_l1", self.per_row)
            msgspec.structs.force_setattr(self, "row_l2_squared", self.per_row**2)

    @property
    def size(self) -> int:
        """How many integers the part holds."""
        return self.groups * self.cells


def layout_of(aggregate: Aggregate, scope: Scope, groups: int) -> tuple[Part, ...]:
    """The parts of one aggregate.

    Raises:
        UnknownColumn: a column that is not declared.
        UnboundedContribution: a number without bounds, or beyond 2^900.
        UsageError: any other thing that cannot be, naming the aggregate.
    """
    where = f"aggregate {aggregate.name!r}"
    match aggregate:
        case Count() | People():
            if aggregate.column is not None:
                scope.column(aggregate.column, where, text=True)
            kind: PartKind = "count" if isinstance(aggregate, Count) else "people"
            return (Part(aggregate.name, kind, 1, 1.0, 0.0, 1, groups, aggregate.column),)
        case Distinct():
            scope.column(aggregate.column, where, text=True)
            return (Part(aggregate.name, "distinct", 1, 1.0, 0.0, 1, groups, aggregate.column),)
        case Histogram() | TopK():
            column = scope.column(aggregate.column, where)
            cells = _cells(aggregate, column, where)
            return (Part(aggregate.name, "cells", cells, 1.0, 0.0, 1, groups, aggregate.column),)
        case Sum() | Mean():
            return _sum(aggregate, scope, groups, where)
        case Moments():
            return _moments(aggregate, scope, groups, where)
        case Quantile():
            return _quantile(aggregate, scope, groups, where)
        case Survival():
            return _survival(aggregate, scope, groups, where)
        case LogisticScore():
            return _score(aggregate, scope, groups, where)


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


def _sum(aggregate: Sum | Mean, scope: Scope, groups: int, where: str) -> tuple[Part, ...]:
    column = scope.column(aggregate.column, where)
    bounds = _bounds(column, scope, where)
    step, offset, per_row = lattice(column, bounds, centred=isinstance(aggregate, Mean))
    exact = column.kind != "real" and all(
        float((end - offset) / step).is_integer() for end in (bounds.low, bounds.high)
    )
    exact = exact and step <= 1.0
    total = Part(aggregate.name, "sum", 1, step, offset, per_row, groups, column.name, bounds.low, bounds.high, exact)
    if isinstance(aggregate, Sum):
        return (total,)
    return (total, Part(aggregate.name, "count", 1, 1.0, 0.0, 1, groups, column.name))


def _bounds(column: Column, scope: Scope, where: str) -> Bounds:
    bounds = scope.range_of(column, where)
    if max(abs(bounds.low), abs(bounds.high)) > MAX_MAGNITUDE or bounds.width < 1 / MAX_MAGNITUDE:
        raise UnboundedContribution(
            f"{where}: the range of column {column.name!r} goes beyond 2^900 or is narrower than 2^-900.",
            hint="declare or clip it to a range of the size that its values have",
        )
    return bounds


def _cells(aggregate: Histogram | TopK, column: Column, where: str) -> int:
    if isinstance(aggregate, TopK):
        if column.kind not in ("category", "boolean"):
            raise UsageError(
                f"{where}: column {column.name!r} is {column.kind}; the most frequent are among public values.",
                hint="group by it instead: group_by_private(...) finds the frequent values of a text",
            )
        if not 1 <= aggregate.k <= len(key_values(column)):
            raise UsageError(f"{where}: k is 1 to {len(key_values(column))}, the number of values; got {aggregate.k}.")
        return len(key_values(column))
    if column.kind in ("category", "boolean"):
        if aggregate.edges:
            raise UsageError(f"{where}: column {column.name!r} is {column.kind}; its cells are its values, not edges.")
        return len(key_values(column))
    check_edges(aggregate.edges, where)
    return len(aggregate.edges) - 1


def _variable(name: str, scope: Scope, where: str, *, unit: bool = False) -> Variable:
    """A column centred on its range, half of which is 2^19 to 2^20 steps; all of 2^20 steps with ``unit``."""
    column = scope.column(name, where)
    bounds = _bounds(column, scope, where)
    middle = bounds.low + bounds.width / 2
    half = max(bounds.high - middle, middle - bounds.low)
    if unit:
        return Variable(name, middle, half / _ONE)
    step = 2.0 ** (math.frexp(half)[1] - LATTICE_BITS)
    return Variable(name, round(middle / step) * step, step)


def _largest(variable: Variable, scope: Scope, where: str) -> int:
    bounds = scope.range_of(scope.column(variable.column, where), where)
    ends = (abs(int((end - variable.offset) / variable.step)) for end in (bounds.low, bounds.high))
    return min(_ONE, max(1, *ends))


def _moments(aggregate: Moments, scope: Scope, groups: int, where: str) -> tuple[Part, ...]:
    wanted = {"variance": 1, "deviation": 1, "covariance": 2, "correlation": 2}.get(aggregate.show)
    if (wanted is not None and len(aggregate.columns) != wanted) or not aggregate.columns:
        raise UsageError(f"{where}: a {aggregate.show} is of {wanted} columns; got {len(aggregate.columns)}.")
    if wanted is None and not 2 <= len(aggregate.columns) <= MAX_VARIABLES:
        raise UsageError(f"{where}: a regression has 1 to {MAX_VARIABLES - 1} features; got {len(aggregate.columns)}.")
    if len(set(aggregate.columns)) != len(aggregate.columns):
        raise UsageError(f"{where}: a column is named twice.")
    variables = tuple(_variable(name, scope, where) for name in aggregate.columns)
    largest = [_largest(variable, scope, where) for variable in variables]
    products = [(a * b) >> LATTICE_BITS for i, a in enumerate(largest) for b in largest[i:]]
    each = [*largest, *products]
    part = Part(
        aggregate.name,
        "moments",
        len(each),
        1.0,
        0.0,
        max(each),
        groups,
        exact=False,
        row_l1=sum(each),
        row_l2_squared=sum(value * value for value in each),
        variables=variables,
    )
    return (part, Part(aggregate.name, "count", 1, 1.0, 0.0, 1, groups, columns=aggregate.columns))


def _quantile(aggregate: Quantile, scope: Scope, groups: int, where: str) -> tuple[Part, ...]:
    column = scope.column(aggregate.column, where)
    if column.kind not in NUMBERS:
        raise UsageError(f"{where}: column {column.name!r} is {column.kind}; quantiles are of numbers.")
    if not aggregate.at or len(aggregate.at) > 1000 or not all(0.0 <= q <= 1.0 for q in aggregate.at):
        raise UsageError(f"{where}: quantiles are asked for between 0 and 1, up to 1000 of them.")
    if not 1 <= aggregate.depth <= MAX_DEPTH:
        raise UsageError(f"{where}: depth is 1 to {MAX_DEPTH}; got {aggregate.depth}.")
    bounds = _bounds(column, scope, where)
    leaves = BRANCHING**aggregate.depth
    low, width = bounds.low, bounds.width / leaves
    if column.kind != "real":
        low = float(math.floor(bounds.low))
        numbers = math.floor(bounds.high) - math.floor(bounds.low) + 1
        width = float(-(-numbers // leaves))
        leaves = math.ceil(numbers / width)
    widths = tree_levels(leaves, BRANCHING)
    part = Part(
        aggregate.name,
        "tree",
        sum(widths),
        width,
        low,
        1,
        groups,
        column.name,
        bounds.low,
        bounds.high,
        exact=column.kind != "real" and width == 1.0,
        row_l1=len(widths),
        row_l2_squared=len(widths),
        leaves=leaves,
    )
    return (part,)


def _survival(aggregate: Survival, scope: Scope, groups: int, where: str) -> tuple[Part, ...]:
    time, event = scope.column(aggregate.time, where), scope.column(aggregate.event, where)
    if time.kind not in NUMBERS or event.kind != "boolean":
        raise UsageError(
            f"{where}: survival needs a number for the time and a boolean for the event; "
            f"got {time.kind} and {event.kind}."
        )
    check_edges(aggregate.edges, where)
    if aggregate.show == "log-rank" and groups < 2:
        raise UsageError(f"{where}: log-rank compares groups.", hint="group_by a category or boolean column")
    cells = 2 * (len(aggregate.edges) - 1)
    return (Part(aggregate.name, "survival", cells, 1.0, 0.0, 1, groups, columns=(time.name, event.name)),)


def _score(aggregate: LogisticScore, scope: Scope, groups: int, where: str) -> tuple[Part, ...]:
    names = aggregate.features
    if not 1 <= len(names) < MAX_VARIABLES or len(set(names)) != len(names) or aggregate.target in names:
        raise UsageError(f"{where}: a regression has 1 to {MAX_VARIABLES - 1} features, each once, and another target.")
    if scope.column(aggregate.target, where).kind != "boolean":
        raise UsageError(f"{where}: the target of a logistic regression is a boolean column.")
    if len(aggregate.theta) != len(names) + 1 or not all(math.isfinite(each) for each in aggregate.theta):
        raise UsageError(f"{where}: {len(names)} features take {len(names) + 1} finite coefficients.")
    variables = tuple(_variable(name, scope, where, unit=True) for name in names)
    size = len(aggregate.theta)
    cells = size + size * (size + 1) // 2
    part = Part(
        aggregate.name,
        "score",
        cells,
        1.0,
        0.0,
        _ONE,
        groups,
        exact=False,
        row_l1=cells * _ONE,
        row_l2_squared=cells * _ONE**2,
        variables=variables,
        columns=(*names, aggregate.target),
    )
    return (part,)
