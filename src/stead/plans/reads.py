"""Which columns values and conditions read, and how many operations they are: for prices."""

from __future__ import annotations

from stead.plans.values import (
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
    Not,
    Or,
    Predicate,
    Relabel,
    Truth,
    Unary,
    Value,
    Within,
)


def columns_named(predicate: Predicate) -> set[str]:
    """The columns that a condition reads."""
    if isinstance(predicate, Compare | IsIn | IsNull):
        return {predicate.column}
    conditions, values = _parts(predicate)
    return set().union(*map(columns_named, conditions), *map(values_named, values))


def values_named(value: Value) -> set[str]:
    """The columns that a value is made of."""
    if isinstance(value, Field | DatePart | Relabel):
        return {value.column}
    conditions, values = _pieces(value)
    return set().union(*map(columns_named, conditions), *map(values_named, values))


def work_of(predicate: Predicate) -> int:
    """How many comparisons and constants a condition has."""
    if isinstance(predicate, IsIn):
        return 1 + len(predicate.values)
    conditions, values = _parts(predicate)
    return 1 + sum(map(work_of, conditions)) + sum(map(work_of_value, values))


def work_of_value(value: Value) -> int:
    """How many operations a value takes."""
    own = len(value.table) if isinstance(value, Relabel) else len(value.edges) if isinstance(value, Cut) else 1
    conditions, values = _pieces(value)
    return own + sum(map(work_of, conditions)) + sum(map(work_of_value, values))


def _parts(predicate: Predicate) -> tuple[tuple[Predicate, ...], tuple[Value, ...]]:
    """The conditions and values that a condition is made of."""
    match predicate:
        case And() | Or():
            return predicate.parts, ()
        case Not():
            return (predicate.part,), ()
        case CompareValues():
            return (), (predicate.left, predicate.right)
        case _:
            return (), ()


def _pieces(value: Value) -> tuple[tuple[Predicate, ...], tuple[Value, ...]]:
    """The conditions and values that a value is made of."""
    match value:
        case Arithmetic():
            return (), (value.left, value.right)
        case Unary() | Within() | Cut():
            return (), (value.value,)
        case Truth():
            return (value.where,), ()
        case Case():
            rest = () if value.otherwise is None else (value.otherwise,)
            return tuple(where for where, _ in value.branches), (*(result for _, result in value.branches), *rest)
        case _:
            return (), ()
