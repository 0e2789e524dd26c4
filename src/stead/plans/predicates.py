"""What a filter may ask: each comparison has a declared column and a constant of its kind, and a bounded size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from stead.errors import UsageError
from stead.plans.values import (
    And,
    Compare,
    CompareValues,
    Constant,
    IsNull,
    Not,
    Or,
    Predicate,
    Value,
)

if TYPE_CHECKING:
    from stead.core.schema import Column

MAX_DEPTH = 32
MAX_NODES = 4096
MAX_TEXT = 256
"""What is kept of a text."""


class Names(Protocol):
    """Where a predicate's columns are looked up.

    Cost: none.
    Security: knows the public schema only.
    """

    def column(self, name: str, where: str, *, text: bool = False) -> Column:
        """The column of that name, if a step may name it; raises ``UsageError`` otherwise."""
        ...

    def require_number(self, value: Value, where: str, depth: int) -> None:
        """Raise ``UsageError`` unless ``value`` is a number of its row."""
        ...


def check_predicate(predicate: Predicate, names: Names, where: str, depth: int = MAX_DEPTH) -> int:
    """Check every column and constant of ``predicate``; the number of its nodes and constants.

    Args:
        predicate: the condition of a filter.
        names: where columns are looked up.
        where: the step, as errors name it.
        depth: how deep it may be nested, less where it is itself inside a value.

    Raises:
        UnknownColumn: a column that is not declared.
        UsageError: a constant of another kind than its column, an order over things without one, or too large.
    """
    nodes = _check(predicate, names, where, depth)
    if nodes > MAX_NODES:
        raise UsageError(f"{where}: the condition has {nodes} comparisons and constants; the limit is {MAX_NODES}.")
    return nodes


def _check(predicate: Predicate, names: Names, where: str, depth: int) -> int:
    if depth <= 0:
        raise UsageError(f"{where}: the condition is nested deeper than {MAX_DEPTH}.")
    if isinstance(predicate, And | Or):
        return 1 + sum(_check(part, names, where, depth - 1) for part in predicate.parts)
    if isinstance(predicate, Not):
        return 1 + _check(predicate.part, names, where, depth - 1)
    if isinstance(predicate, CompareValues):
        for side in (predicate.left, predicate.right):
            names.require_number(side, where, depth - 1)
        return 1
    column = names.column(predicate.column, where, text=True)
    if isinstance(predicate, IsNull):
        return 1
    if isinstance(predicate, Compare):
        if predicate.op not in ("==", "!=") and column.kind not in ("integer", "real", "date"):
            raise UsageError(
                f"{where}: column {column.name!r} is {column.kind} and has no order.", hint="compare with == or !="
            )
        constant(column, predicate.value, where)
        return 1
    for value in predicate.values:
        constant(column, value, where)
    return 1 + len(predicate.values)


def constant(column: Column, value: Constant, where: str) -> float | str:
    """A plan's constant as what engines compare with: the number, 0 or 1, the category's index, or the text.

    Raises:
        UsageError: the constant is not of the column's kind, not finite, or not a declared category.
    """
    if column.kind == "text":
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
            raise UsageError(f"{where}: column {column.name!r} is text; compare it with 1 to {MAX_TEXT} characters.")
        return value
    if column.kind == "category":
        if not isinstance(value, str):
            raise UsageError(f"{where}: column {column.name!r} is a category; compare it with text.")
        if value not in column.categories:
            raise UsageError(
                f"{where}: column {column.name!r} has no category {value[:80]!r}.",
                hint="categories: "
                + ", ".join(column.categories[:12])
                + (", …" if len(column.categories) > 12 else ""),
            )
        return float(column.categories.index(value))
    if column.kind == "boolean":
        if not isinstance(value, bool):
            raise UsageError(f"{where}: column {column.name!r} is boolean; compare it with true or false.")
        return float(value)
    if isinstance(value, bool | str):
        raise UsageError(f"{where}: column {column.name!r} is {column.kind}; compare it with a number.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UsageError(f"{where}: column {column.name!r} is compared with a number that is not finite.")
    return number


__all__ = ["MAX_DEPTH", "MAX_NODES", "MAX_TEXT", "Names", "check_predicate", "constant"]
