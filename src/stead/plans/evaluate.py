"""Values and conditions of rows in NumPy: the meaning that every engine is tested against.

A column is a float64 array with NaN where it is missing (a boolean is 0 or 1, a category the index of its value, a
date its day), or for text an object array with ``None``. Nothing here raises because of what a row holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from stead.core.schema import Bounds, Column, Schema
from stead.errors import UnknownColumn, UsageError
from stead.plans.predicates import MAX_TEXT, constant
from stead.plans.values import (
    LEAST_DIVISOR,
    And,
    Arithmetic,
    Case,
    Compare,
    CompareValues,
    Cut,
    DatePart,
    Field,
    IsIn,
    IsNull,
    Label,
    Number,
    Or,
    Predicate,
    Relabel,
    Truth,
    Unary,
    Value,
    Within,
)

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Held = npt.NDArray[Any]


class Rows:
    """A table's columns as engines see them, and the schema that names their kinds; derived columns are added.

    An engine may hold a text column as float64 places in a list of its texts, ``texts[name]``.
    """

    def __init__(
        self, schema: Schema, values: dict[str, Held], count: int, texts: Mapping[str, list[str]] | None = None
    ) -> None:
        self.schema = schema
        self.values = values
        self.count = count
        self.texts = texts or {}

    def take(self, name: str) -> Held:
        """The column of that name."""
        if name not in self.values:
            raise UnknownColumn(f"the table has no column {name!r}.")
        return self.values[name]

    def missing(self, name: str) -> Flags:
        """Where the column holds nothing."""
        held = self.take(name)
        if held.dtype == object:
            return np.array([value is None for value in held.tolist()], dtype=np.bool_)
        return np.isnan(held)

    def where(self, keep: Flags) -> Rows:
        """The rows for which ``keep`` is true."""
        kept = {name: held[keep] for name, held in self.values.items()}
        return Rows(self.schema, kept, int(keep.sum()), self.texts)

    def add(self, column: Column, value: Value) -> None:
        """A derived column; its values are moved into the range that its analysis gave."""
        held = evaluate(value, self, column)
        self.values[column.name] = held if column.bounds is None else clip(held, column.bounds)


def evaluate(  # noqa: PLR0911 - one case for each kind
    value: Value, rows: Rows, column: Column | None = None
) -> Floats:
    """The value of each row, NaN where it is missing.

    Args:
        value: checked by ``stead.plans.scope``.
        rows: the table.
        column: the category column that is being made, whose labels number its values.
    """
    match value:
        case Field():
            return cast("Floats", rows.take(value.column))
        case Number():
            return np.full(rows.count, value.value)
        case Label():
            return np.full(rows.count, float(_labels(column).index(value.value)))
        case Arithmetic():
            return _arithmetic(value, evaluate(value.left, rows), evaluate(value.right, rows))
        case Unary():
            return _unary(value, evaluate(value.value, rows))
        case Within():
            return clip(evaluate(value.value, rows), value.bounds)
        case Truth():
            return truth(value.where, rows).astype(np.float64)
        case Case():
            return _case(value, rows, column)
        case DatePart():
            return _date_part(value, cast("Floats", rows.take(value.column)))
        case Cut():
            cell = cell_of(evaluate(value.value, rows), value.edges).astype(np.float64)
            return np.where(cell < 0, math.nan, cell)
        case Relabel():
            return _relabel(value, rows, _labels(column))


def truth(predicate: Predicate, rows: Rows) -> Flags:
    """For which rows a condition holds; a comparison with a missing value does not."""
    if isinstance(predicate, And | Or):
        truths = [truth(part, rows) for part in predicate.parts]
        both = isinstance(predicate, And)
        fold = np.logical_and if both else np.logical_or
        return cast("Flags", fold.reduce(truths, axis=0)) if truths else np.full(rows.count, both)
    if isinstance(predicate, CompareValues):
        left, right = evaluate(predicate.left, rows), evaluate(predicate.right, rows)
        return _compare(left, predicate.op, right) & ~np.isnan(left) & ~np.isnan(right)
    if isinstance(predicate, IsNull):
        return rows.missing(predicate.column)
    if isinstance(predicate, Compare | IsIn):
        return _constants(predicate, rows)
    return ~truth(predicate.part, rows)


def cell_of(held: Floats, edges: tuple[float, ...]) -> npt.NDArray[np.int64]:
    """The cell of each value, -1 outside the edges and where it is missing."""
    cell = np.searchsorted(np.array(edges), held, side="right").astype(np.int64) - 1
    cell[held == edges[-1]] = len(edges) - 2
    cell[~((held >= edges[0]) & (held <= edges[-1]))] = -1
    return cell


def clip(values: Floats, bounds: Bounds) -> Floats:
    """The numbers moved into the bounds; missing stays missing."""
    return np.clip(values, bounds.low, bounds.high)


def read_column(column: Column, values: npt.ArrayLike) -> Held:
    """A column as engines see it.

    A number is moved into the declared bounds, a boolean is 0 or 1, a category the index of its value (missing when
    it is not declared), a text is trimmed, cut at 256 characters, and missing when nothing is left.

    Raises:
        UsageError: the array cannot be a column of this kind; the text holds no value of it.
    """
    array = np.asarray(values)
    if column.kind == "category":
        codes = {value: float(index) for index, value in enumerate(column.categories)}
        return np.array(
            [codes.get(value, math.nan) if isinstance(value, str) else math.nan for value in array.tolist()],
            dtype=np.float64,
        )
    if column.kind == "text":
        texts = [value.strip(" ")[:MAX_TEXT] if isinstance(value, str) else None for value in array.tolist()]
        return np.array([text or None for text in texts], dtype=object)
    try:
        numbers = array.astype(np.float64) if array.dtype.kind in "biuf" else _numbers(array)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"column {column.name!r} holds values that are not of kind {column.kind}.") from None
    if column.kind == "boolean":
        return np.where((numbers == 0.0) | (numbers == 1.0), numbers, math.nan)
    return clip(numbers, cast("Bounds", column.bounds))


def _labels(column: Column | None) -> tuple[str, ...]:
    if column is None:
        raise UsageError("a label stands where a number is needed.")
    return column.categories


def _arithmetic(value: Arithmetic, left: Floats, right: Floats) -> Floats:
    if value.op == "+":
        return left + right
    if value.op == "-":
        return left - right
    if value.op == "*":
        return left * right
    if value.op == "/":
        small = ~(np.abs(right) > LEAST_DIVISOR)
        return np.where(small, math.nan, left / np.where(small, 1.0, right))
    return np.minimum(left, right) if value.op == "min" else np.maximum(left, right)


def _unary(value: Unary, held: Floats) -> Floats:
    if value.op == "negate":
        return -held
    if value.op == "absolute":
        return np.abs(held)
    if value.op == "floor":
        return np.floor(held)
    return np.where(held < 0.0, math.nan, np.sqrt(np.maximum(held, 0.0)))


def _case(value: Case, rows: Rows, column: Column | None) -> Floats:
    otherwise = value.otherwise
    found = np.full(rows.count, math.nan) if otherwise is None else evaluate(otherwise, rows, column)
    for condition, result in reversed(value.branches):
        found = np.where(truth(condition, rows), evaluate(result, rows, column), found)
    return found


def _date_part(value: DatePart, held: Floats) -> Floats:
    missing = np.isnan(held)
    days = np.where(missing, 0.0, np.floor(held)).astype("datetime64[D]")
    month_start, year_start = days.astype("datetime64[M]"), days.astype("datetime64[Y]")
    month = month_start.astype(np.int64) % 12 + 1
    numbers: dict[str, npt.NDArray[np.int64]] = {
        "year": year_start.astype(np.int64) + 1970,
        "quarter": (month + 2) // 3,
        "month": month,
        "day": (days - month_start).astype(np.int64) + 1,
        "weekday": (days.astype(np.int64) + 3) % 7 + 1,
        "day_of_year": (days - year_start).astype(np.int64) + 1,
    }
    return np.where(missing, math.nan, numbers[value.part].astype(np.float64))


def _relabel(value: Relabel, rows: Rows, labels: tuple[str, ...]) -> Floats:
    source = rows.schema.column(value.column)
    held = rows.take(value.column).tolist()
    texts = held if source.kind == "text" else [None if h != h else source.categories[int(h)] for h in held]  # noqa: PLR0124
    places = {label: float(index) for index, label in enumerate(labels)}
    rest = math.nan if value.otherwise is None else places[value.otherwise]

    def label(text: str | None) -> float:
        if text is None:
            return math.nan
        matches = text.startswith if value.how == "prefix" else text.__eq__
        return next((places[name] for key, name in value.table if matches(key)), rest)

    return np.array([label(text) for text in texts], dtype=np.float64)


def _constants(predicate: Compare | IsIn, rows: Rows) -> Flags:
    held, column = rows.take(predicate.column), rows.schema.column(predicate.column)
    if isinstance(predicate, IsIn):
        listed = [constant(column, value, "filter") for value in predicate.values]
        if column.kind == "text":
            return np.array([value in listed for value in held.tolist()], dtype=np.bool_)
        return np.isin(held, listed)
    value = constant(column, predicate.value, "filter")
    if column.kind == "text":
        equal = np.array([text == value for text in held.tolist()], dtype=np.bool_)
        return equal if predicate.op == "==" else ~equal & ~rows.missing(predicate.column)
    return _compare(held, predicate.op, value) & ~np.isnan(held)


def _compare(held: Any, op: str, value: Any) -> Flags:
    truth: Flags
    if op == "==":
        truth = held == value
    elif op == "!=":
        truth = held != value
    elif op in ("<", "<="):
        truth = held < value if op == "<" else held <= value
    else:
        truth = held > value if op == ">" else held >= value
    return truth


def _numbers(array: Held) -> Floats:
    if any(isinstance(value, str | bytes) for value in array.tolist()):
        raise TypeError
    return np.array([math.nan if value is None else _number(value) for value in array.tolist()], dtype=np.float64)


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond the largest float
        return math.copysign(math.inf, value)
