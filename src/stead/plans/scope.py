"""What the steps of a query have left at each point: the columns that may be named, and the range of each number.

The range of a derived number is worked out from the ranges of its operands. Rounding is monotone, so a range computed
at the ends with the engine's own operations holds for everything between them.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Callable
from typing import Literal

import msgspec

from stead.core.schema import Bounds, Column, Schema
from stead.errors import UnboundedContribution, UsageError
from stead.plans.predicates import MAX_DEPTH, MAX_NODES, check_predicate
from stead.plans.query import Clip, Derive, Filter, Query, Select
from stead.plans.values import (
    LEAST_DIVISOR,
    Arithmetic,
    Case,
    Cut,
    DatePart,
    Field,
    Label,
    Number,
    Relabel,
    Truth,
    Unary,
    Value,
    Within,
)

MAX_STEPS = 64
MAX_CHAIN = 128
"""The most operations that wait for each other, over all steps: an engine's memory and time grow with their square."""
MAX_EDGES = 1 << 10
MAX_MAGNITUDE = 2.0**900
NUMBERS = ("integer", "real", "date")
_EPOCH = dt.date(1970, 1, 1).toordinal()
_PARTS = {"quarter": (1, 4), "month": (1, 12), "day": (1, 31), "weekday": (1, 7), "day_of_year": (1, 366)}


class Range(msgspec.Struct, frozen=True):
    """What a value can be: a number from ``low`` to ``high`` (a boolean is 0 or 1), or one of ``categories``."""

    kind: Literal["integer", "real", "boolean", "category"]
    low: float = 0.0
    high: float = 1.0
    categories: tuple[str, ...] = ()


class Scope:
    """The columns and ranges after the steps so far; ``schema`` holds the derived columns too."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.visible = {column.name for column in schema.columns}
        self.ranges = {c.name: c.bounds for c in schema.columns if c.bounds is not None}
        self.nodes = 0
        self.chains: dict[str, int] = {}

    def column(self, name: str, where: str, *, text: bool = False) -> Column:
        """The column of that name, if a step may name it; a text column where ``text`` is enough.

        Raises:
            UnknownColumn: neither the owner has declared it, nor an earlier step has derived it.
            UsageError: it is text, tells people apart, or was left out by ``select``.
        """
        column = self.schema.column(name)
        if name == self.schema.person:
            raise UsageError(f"{where}: column {name!r} tells people apart; no step can name it.")
        if column.kind == "text" and not text:
            raise UsageError(
                f"{where}: column {name!r} is text, which has neither an order nor a public list of values.",
                hint=f"map it to categories first: heart.{name}.relabel({{…}})",
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
        if column.kind in ("category", "text"):
            raise UsageError(f"{where}: column {column.name!r} is {column.kind}; this needs a number.")
        bounds = self.ranges.get(column.name)
        if bounds is None:
            raise UnboundedContribution(
                f"{where}: column {column.name!r} has no bounds, so one person could move the result without limit.",
                hint="the owner declares bounds in the schema",
            )
        return bounds

    def require_number(self, value: Value, where: str, depth: int) -> None:
        """Raise ``UsageError`` unless ``value`` is a number; a quotient needs no range to be compared."""
        if isinstance(value, Arithmetic) and value.op == "/" and depth > 0:
            self.spend(1, where)
            self.require_number(value.left, where, depth - 1)
            self.require_number(value.right, where, depth - 1)
        elif value_range(value, self, where, depth).kind == "category":
            raise UsageError(f"{where}: categories have no order; they are compared with constants, by == and is_in.")

    def add(self, column: Column) -> None:
        """A derived column, for the steps to come."""
        self.schema = msgspec.structs.replace(self.schema, columns=(*self.schema.columns, column))
        self.visible.add(column.name)
        if column.bounds is not None:
            self.ranges[column.name] = column.bounds

    def chain(self, part: object, where: str) -> int:
        """How many operations stand one after another in a value or condition, with those behind its columns.

        Raises:
            UsageError: too many.
        """
        length = self._chain(part)
        if length > MAX_CHAIN:
            raise UsageError(
                f"{where}: {length} operations wait for each other; the limit is {MAX_CHAIN}.",
                hint="derive it from fewer derived columns",
            )
        return length

    def _chain(self, part: object) -> int:
        if isinstance(part, msgspec.Struct):
            inner = (self._chain(getattr(part, name)) for name in part.__struct_fields__)
            return 1 + max(self.chains.get(getattr(part, "column", ""), 0), max(inner, default=0))
        return max((self._chain(each) for each in part), default=0) if isinstance(part, tuple) else 0

    def spend(self, nodes: int, where: str) -> None:
        """Count a step's comparisons, constants and operations.

        Raises:
            UsageError: the query has too many.
        """
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise UsageError(f"{where}: the steps have {self.nodes} comparisons together; the limit is {MAX_NODES}.")


def scope_of(query: Query, schema: Schema) -> Scope:
    """The scope after all row steps of ``query``, each of them checked.

    Args:
        query: the question.
        schema: the public description, of the joined rows where there are joins.

    Raises:
        UnknownColumn: a column that is not declared.
        UnboundedContribution: a derived number without a range.
        UsageError: any other step that cannot be, by its number.
    """
    if schema.person is not None and schema.column(schema.person).kind not in ("integer", "category", "text"):
        raise UsageError(f"the person column {schema.person!r} must be an integer, category or text column.")
    if len(query.steps) > MAX_STEPS or len(query.aggregates) > MAX_STEPS:
        raise UsageError(f"a query has at most {MAX_STEPS} steps and {MAX_STEPS} aggregates.")
    scope = Scope(schema)
    for number, step in enumerate(query.steps, start=1):
        where = f"step {number} ({step.__struct_config__.tag})"
        if isinstance(step, Filter):
            scope.spend(check_predicate(step.where, scope, where), where)
            scope.chain(step.where, where)
        elif isinstance(step, Select):
            _select(step, scope, where)
        elif isinstance(step, Clip):
            _clip(step, scope, where)
        else:
            _derive(step, scope, where)
    return scope


def value_range(value: Value, scope: Scope, where: str, depth: int = MAX_DEPTH) -> Range:
    """The kind and range of a value.

    Raises:
        UnboundedContribution: a quotient whose divisor may be zero, or a number beyond 2^900.
        UsageError: an operation on things that it is not for.
    """
    if depth <= 0:
        raise UsageError(f"{where}: the value is nested deeper than {MAX_DEPTH}.")
    scope.spend(1, where)
    found = _range(value, scope, where, depth - 1)
    if max(abs(found.low), abs(found.high)) > MAX_MAGNITUDE:
        raise UnboundedContribution(
            f"{where}: a number could go beyond 2^900.", hint="keep its operands small: .clip(low, high)"
        )
    return found


def _range(value: Value, scope: Scope, where: str, depth: int) -> Range:  # noqa: PLR0911 - one for each kind
    match value:
        case Field():
            return _field(scope.column(value.column, where), scope, where)
        case Number():
            if not math.isfinite(value.value):
                raise UsageError(f"{where}: a constant must be a finite number.")
            kind: Literal["integer", "real"] = "integer" if _whole(value.value) else "real"
            return Range(kind, value.value, value.value)
        case Label():
            return Range("category", categories=(value.value,))
        case Arithmetic():
            return _arithmetic(value, scope, where, depth)
        case Unary():
            return _unary(value, scope, where, depth)
        case Within():
            return _within(value, scope, where, depth)
        case Truth():
            scope.spend(check_predicate(value.where, scope, where, depth), where)
            return Range("boolean")
        case Case():
            return _case(value, scope, where, depth)
        case DatePart():
            return _date_part(value, scope, where)
        case Cut():
            return _cut(value, scope, where, depth)
        case Relabel():
            return _relabel(value, scope, where)


def _field(column: Column, scope: Scope, where: str) -> Range:
    if column.kind == "category":
        return Range("category", categories=column.categories)
    bounds = scope.range_of(column, where)
    if column.kind == "boolean":
        return Range("boolean")
    # Clipped to bounds that are not whole, an integer need not be whole.
    whole = column.kind != "real" and _whole(bounds.low, bounds.high)
    return Range("integer" if whole else "real", bounds.low, bounds.high)


def _whole(*numbers: float) -> bool:
    """Whether all are whole numbers; a caller may have written them as integers."""
    return all(float(number).is_integer() for number in numbers)


def _number(value: Value, scope: Scope, where: str, depth: int) -> Range:
    found = value_range(value, scope, where, depth)
    if found.kind == "category":
        raise UsageError(f"{where}: a category stands where a number is needed.", hint="compare it first: == or is_in")
    return found


def _arithmetic(value: Arithmetic, scope: Scope, where: str, depth: int) -> Range:
    if value.op == "/":
        return _quotient(value, scope, where, depth)
    left, right = (_number(side, scope, where, depth) for side in (value.left, value.right))
    operation = OPERATIONS[value.op]
    ends = [operation(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    whole = all(side.kind != "real" for side in (left, right))
    return Range("integer" if whole else "real", min(ends), max(ends))


def _quotient(value: Arithmetic, scope: Scope, where: str, depth: int) -> Range:
    left, right = (_number(side, scope, where, depth) for side in (value.left, value.right))
    if right.low <= LEAST_DIVISOR and right.high >= -LEAST_DIVISOR:
        raise UnboundedContribution(
            f"{where}: the divisor goes from {right.low:g} to {right.high:g}, so the quotient has no bounds.",
            hint="clip the divisor away from zero, or the quotient: (a / b).clip(low, high)",
        )
    ends = [a / b for a in (left.low, left.high) for b in (right.low, right.high)]
    return Range("real", min(ends), max(ends))


def _unary(value: Unary, scope: Scope, where: str, depth: int) -> Range:
    held = _number(value.value, scope, where, depth)
    low, high = held.low, held.high
    kind: Literal["integer", "real"] = "real" if held.kind == "real" else "integer"
    if value.op == "negate":
        return Range(kind, -high, -low)
    if value.op == "absolute":
        return Range(kind, 0.0 if low <= 0.0 <= high else min(abs(low), abs(high)), max(abs(low), abs(high)))
    if value.op == "floor":
        return Range("integer", float(math.floor(low)), float(math.floor(high)))
    if high < 0.0:
        raise UsageError(f"{where}: the root is of numbers from {low:g} to {high:g}, all negative.")
    return Range("real", math.sqrt(max(low, 0.0)), math.sqrt(high))


def _within(value: Within, scope: Scope, where: str, depth: int) -> Range:
    """The bounds of ``within``; a quotient inside it needs none of its own, since it is missing near zero."""
    inner = value.value
    if isinstance(inner, Arithmetic) and inner.op == "/":
        for side in (inner.left, inner.right):
            _number(side, scope, where, depth)
        return Range("real", value.bounds.low, value.bounds.high)
    held = _number(inner, scope, where, depth)
    low, high = max(held.low, value.bounds.low), min(held.high, value.bounds.high)
    if low > high:
        raise UnboundedContribution(
            f"{where}: [{value.bounds.low:g}, {value.bounds.high:g}] leaves nothing of [{held.low:g}, {held.high:g}].",
            hint="clip inside the range that the value has",
        )
    whole = held.kind != "real" and _whole(value.bounds.low, value.bounds.high)
    return Range("integer" if whole else "real", low, high)


def _case(value: Case, scope: Scope, where: str, depth: int) -> Range:
    if not value.branches:
        raise UsageError(f"{where}: a case needs at least one branch.")
    results = [result for _, result in value.branches]
    for condition, _ in value.branches:
        scope.spend(check_predicate(condition, scope, where, depth), where)
    results += [value.otherwise] if value.otherwise is not None else []
    found = [value_range(result, scope, where, depth) for result in results]
    if any(each.kind == "category" for each in found):
        if not all(isinstance(result, Label) for result in results):
            raise UsageError(f"{where}: the branches of a case are all numbers or all labels.")
        return Range("category", categories=tuple(dict.fromkeys(c for each in found for c in each.categories)))
    if all(each.kind == "boolean" for each in found):
        return Range("boolean")
    whole = all(each.kind != "real" for each in found)
    return Range("integer" if whole else "real", min(e.low for e in found), max(e.high for e in found))


def _date_part(value: DatePart, scope: Scope, where: str) -> Range:
    column = scope.column(value.column, where)
    if column.kind != "date":
        raise UsageError(f"{where}: column {column.name!r} is {column.kind}; only a date has a {value.part}.")
    bounds = scope.range_of(column, where)
    if value.part == "year":
        low, high = (calendar_day(day).year for day in (bounds.low, bounds.high))
        return Range("integer", float(low), float(high))
    low, high = _PARTS[value.part]
    return Range("integer", float(low), float(high))


def calendar_day(day: float) -> dt.date:
    """The day that is so many whole days after 1970-01-01; the nearest possible one beyond the years 1 to 9999."""
    ordinal = min(max(math.floor(day) + _EPOCH, 1), dt.date.max.toordinal())
    return dt.date.fromordinal(ordinal)


def _cut(value: Cut, scope: Scope, where: str, depth: int) -> Range:
    _number(value.value, scope, where, depth)
    check_edges(value.edges, where)
    if len(value.labels) != len(value.edges) - 1:
        raise UsageError(
            f"{where}: {len(value.edges)} edges make {len(value.edges) - 1} cells; got {len(value.labels)} labels."
        )
    _check_labels(value.labels, where)
    scope.spend(len(value.edges), where)
    return Range("category", categories=value.labels)


def check_edges(edges: tuple[float, ...], where: str) -> None:
    """Raise ``UsageError`` unless these are finite, ascending edges of at least one cell."""
    if not 2 <= len(edges) <= MAX_EDGES + 1:
        raise UsageError(f"{where}: cells of a number need 2 to {MAX_EDGES + 1} edges; got {len(edges)}.")
    if not all(math.isfinite(edge) for edge in edges):
        raise UsageError(f"{where}: the edges must be finite numbers.")
    if any(not left < right for left, right in itertools.pairwise(edges)):
        raise UsageError(f"{where}: the edges must ascend, each once.")


def _relabel(value: Relabel, scope: Scope, where: str) -> Range:
    column = scope.column(value.column, where, text=True)
    if column.kind not in ("text", "category"):
        raise UsageError(f"{where}: column {column.name!r} is {column.kind}; texts and categories are relabelled.")
    if not value.table:
        raise UsageError(f"{where}: the table of labels is empty.")
    labels = [label for _, label in value.table] + ([value.otherwise] if value.otherwise is not None else [])
    categories = tuple(dict.fromkeys(labels))
    _check_labels(categories, where)
    scope.spend(len(value.table), where)
    return Range("category", categories=categories)


def _check_labels(labels: tuple[str, ...], where: str) -> None:
    if len(set(labels)) != len(labels):
        raise UsageError(f"{where}: two cells have the same label.")
    if any(not 0 < len(label) <= 128 or not label.isprintable() for label in labels):
        raise UsageError(f"{where}: a label is 1 to 128 printable characters.")


def _derive(step: Derive, scope: Scope, where: str) -> None:
    if not 0 < len(step.name) <= 128 or not step.name.isprintable():
        raise UsageError(f"{where}: the name of a column is 1 to 128 printable characters.")
    if any(column.name == step.name for column in scope.schema.columns):
        raise UsageError(f"{where}: there is a column {step.name!r} already.", hint="give the new one its own name")
    found = value_range(step.value, scope, where)
    scope.chains[step.name] = scope.chain(step.value, where)
    if found.kind == "category":
        _check_labels(found.categories, where)
        scope.add(Column(step.name, "category", categories=found.categories))
    elif found.kind == "boolean":
        scope.add(Column(step.name, "boolean"))
    else:
        high = found.high if found.low < found.high else found.low + max(1.0, abs(found.low))
        scope.add(Column(step.name, found.kind, Bounds(found.low, high)))


def _select(step: Select, scope: Scope, where: str) -> None:
    for name in step.columns:
        scope.column(name, where, text=True)
    scope.visible &= set(step.columns)


def _clip(step: Clip, scope: Scope, where: str) -> None:
    column = scope.column(step.column, where)
    if column.kind not in NUMBERS:
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
    scope.chains[step.column] = scope.chain(step, where)


OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "min": min,
    "max": max,
}
