"""Which cells of a declared public partition a plan can read: by its filters' form, never by a row.

A schema may declare that each person has one value of a column for good, which is no secret (``Schema.partition``).
A query that reads rows of some values only costs people of the others nothing, so that each value has accounts of its
own. The rule is sound and simple: for each value, and for a missing one, whether a predicate *may be* true and may be
false of a row that holds it; predicates about other columns may be both. A row with a missing value belongs to somebody
in *some* cell, or to nobody's cell: what may read it reads all cells. Proof: ``docs/theory/parallel-composition.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from stead.plans.query import (
    And,
    Clip,
    Compare,
    CompareValues,
    Derive,
    Filter,
    IsIn,
    IsNull,
    Not,
    Or,
    Predicate,
    Query,
    Select,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stead.core.schema import Schema

_KNOWN = (Filter, Select, Clip, Derive)
_Values = frozenset[str | None]  # of the column: ``None`` stands for a missing one


def cells(query: Query, schema: Schema) -> tuple[str, ...] | None:
    """The values of the partition's column whose people the query can read, in their declared order.

    Returns:
        ``None`` without a partition; all values where a row without one may be read, or where no row can be.
    """
    if schema.partition is None:
        return None
    values = schema.partition_values
    whole: _Values = frozenset((*values, None))
    left = whole
    for step in query.steps:
        # A step of another kind might bring rows in. A derived column never takes the name of another.
        if type(step) not in _KNOWN:
            return values
        if isinstance(step, Filter):
            left &= _possible(step.where, schema.partition, whole)[0]
    if None in left or not left:
        return values
    return tuple(value for value in values if value in left)


def _possible(where: Predicate, column: str, whole: _Values) -> tuple[_Values, _Values]:
    """The values for which a predicate may be true, and those for which it may be false."""
    match where:
        case Compare() | IsIn() | IsNull():
            return _compared(where, whole) if where.column == column else (whole, whole)
        case CompareValues():
            return whole, whole
        case Not(part):
            true, false = _possible(part, column, whole)
            return false, true
        case And(parts):
            pairs = [_possible(part, column, whole) for part in parts]
            return whole.intersection(*(true for true, _ in pairs)), _union(false for _, false in pairs)
        case Or(parts):
            pairs = [_possible(part, column, whole) for part in parts]
            return _union(true for true, _ in pairs), whole.intersection(*(false for _, false in pairs))
        case _ as never:  # pragma: no cover
            assert_never(never)


def _compared(where: Compare | IsIn | IsNull, whole: _Values) -> tuple[_Values, _Values]:
    match where:
        case Compare(op="==", value=value):
            true = _text([value])
        case Compare(op="!=", value=value):
            true = whole - _text([value]) - {None}
        case IsIn(values=listed):
            true = _text(listed)
        case IsNull():
            true = frozenset((None,))
        case _:
            return whole, whole
    return true & whole, whole - true


def _union(sets: Iterable[_Values]) -> _Values:
    return frozenset[str | None]().union(*sets)


def _text(constants: Iterable[object]) -> _Values:
    """Constants as the partition writes its values: booleans as ``false`` and ``true``."""
    return frozenset(str(value).lower() if isinstance(value, bool) else str(value) for value in constants)
