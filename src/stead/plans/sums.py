"""Rows to integers, and integers back to answers: the meaning of a query, in NumPy.

``run_reference`` is the definition that every engine is tested against, and what runs on mock rows. It is total: no
value of a row makes it fail or changes the length of the result. ``decode_answer`` turns the released integers into
natural units. Error bars and the choice of the noise are in ``stead.plans.bars``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from stead.core.schema import Bounds, Column, Schema
from stead.errors import UnknownColumn, UsageError
from stead.plans.analysis import Part, group_keys, key_values, parts
from stead.plans.bars import error_bars, sigmas_for
from stead.plans.predicates import constant
from stead.plans.query import And, Clip, Compare, Filter, Histogram, IsIn, IsNull, Mean, Or, Predicate, Query

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def run_reference(query: Query, schema: Schema, columns: Mapping[str, npt.ArrayLike]) -> Integers:
    """The exact integers of ``query`` over ``columns``, without noise.

    Args:
        query: the question; its sigmas are not looked at.
        schema: the public description of the table.
        columns: column name to values, all of one length. Missing is ``None`` or NaN. With a person column, its
            values tell which rows are one person's; rows without a person are left out.

    Returns:
        The flat vector of ``parts(query, schema)``.

    Raises:
        UsageError: the question cannot be asked, or ``columns`` is no table of this schema.
    """
    layout = parts(query, schema)
    rows = _row_count(columns)
    values = {
        column.name: read_column(column, columns[column.name])
        for column in schema.columns
        if column.kind != "text" and column.name != schema.person and column.name in columns
    }
    keep = first_rows(schema, columns, rows)
    for step in query.steps:
        if isinstance(step, Filter):
            keep &= _truth(step.where, schema, values, rows)
        elif isinstance(step, Clip):
            values[step.column] = _clip(_take(values, step.column), step.bounds)
    group = np.zeros(rows, dtype=np.int64)
    for name, keys in zip(query.group_by, group_keys(query, schema), strict=True):
        codes = _take(values, name)
        keep &= ~np.isnan(codes)
        group = group * len(keys) + np.where(np.isnan(codes), 0, codes).astype(np.int64)
    blocks = [_block(part, query, schema, values, (group, keep)) for part in layout]
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int64)


def decode_answer(query: Query, schema: Schema, vector: npt.ArrayLike) -> dict[str, npt.NDArray[Any]]:
    """Released integers in natural units.

    Args:
        query: the question.
        schema: the public description; over several sites, of any of them (they agree on what is asked).
        vector: int64, the released vector, with its noise; a sum over sites is decoded the same way.

    Returns:
        Aggregate name to array, one axis for each ``group_by`` column in order (see ``group_keys``), and for a
        histogram one more for its cells. Counts are int64 and may be negative, as noise is; means lie inside the
        clipped range, and a mean over a noisy count below one is what one row would give.

    Raises:
        UsageError: the vector has another length than the question's.
    """
    layout = parts(query, schema)
    integers = np.asarray(vector, dtype=np.int64)
    if integers.shape != (sum(part.size for part in layout),):
        raise UsageError(f"the answer has shape {integers.shape}, the question {sum(p.size for p in layout)} numbers.")
    axes = tuple(len(keys) for keys in group_keys(query, schema))
    blocks = _split(layout, integers)
    answer: dict[str, npt.NDArray[Any]] = {}
    for aggregate in query.aggregates:
        first, block = next((part, b) for part, b in blocks if part.aggregate == aggregate.name)
        if isinstance(aggregate, Mean):
            counts = next(b for part, b in blocks if part.aggregate == aggregate.name and part.kind == "count")
            mean = block * first.step / np.maximum(counts, 1) + first.offset
            answer[aggregate.name] = np.clip(mean, first.low, first.high).reshape(axes)
        elif first.kind == "sum":
            answer[aggregate.name] = (block * first.step).reshape(axes)
        else:
            cells = (first.cells,) if first.kind == "cells" else ()
            answer[aggregate.name] = block.reshape(axes + cells)
    return answer


def read_column(column: Column, values: npt.ArrayLike) -> Floats:
    """A column as engines see it: float64, NaN where missing.

    A number is moved into the declared bounds, a boolean is 0 or 1, a category the index of its value (missing when
    it is not declared). Every engine reads rows this way before the first step.

    Raises:
        UsageError: the array cannot be a column of this kind; the text holds no value of it.
    """
    array = np.asarray(values)
    if column.kind == "category":
        codes = {value: float(index) for index, value in enumerate(column.categories)}
        return np.array(
            [codes.get(value, math.nan) if isinstance(value, str) else math.nan for value in array.tolist()]
        )
    try:
        numbers = array.astype(np.float64) if array.dtype.kind in "biuf" else _numbers(array)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"column {column.name!r} holds values that are not of kind {column.kind}.") from None
    if column.kind == "boolean":
        return np.where((numbers == 0.0) | (numbers == 1.0), numbers, math.nan)
    return _clip(numbers, cast("Bounds", column.bounds))


def first_rows(schema: Schema, columns: Mapping[str, npt.ArrayLike], rows: int) -> Flags:
    """Which rows are used at all: the first ``rows_per_person`` of each person, in the table's order.

    A row whose person is missing (NULL, NaN, the empty text) is nobody's and is not used.
    """
    if schema.person is None:
        return np.ones(rows, dtype=np.bool_)
    if schema.person not in columns:
        raise UnknownColumn(f"the table has no person column {schema.person!r}.")
    keep = np.zeros(rows, dtype=np.bool_)
    seen: dict[object, int] = {}
    for index, person in enumerate(np.asarray(columns[schema.person]).tolist()):
        if person in (None, "") or (isinstance(person, float) and math.isnan(person)):
            continue
        seen[person] = seen.get(person, 0) + 1
        keep[index] = seen[person] <= schema.rows_per_person
    return keep


def _row_count(columns: Mapping[str, npt.ArrayLike]) -> int:
    lengths = {len(np.asarray(values)) for values in columns.values()}
    if len(lengths) != 1:
        raise UsageError("the table's columns must all have one length.")
    return lengths.pop()


def _numbers(array: npt.NDArray[Any]) -> Floats:
    if any(isinstance(value, str | bytes) for value in array.tolist()):
        raise TypeError
    return np.array([math.nan if value is None else _number(value) for value in array.tolist()], dtype=np.float64)


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond the largest float
        return math.copysign(math.inf, value)


def _clip(values: Floats, bounds: Bounds) -> Floats:
    return np.clip(values, bounds.low, bounds.high)


def _take(values: Mapping[str, Floats], name: str) -> Floats:
    if name not in values:
        raise UnknownColumn(f"the table has no column {name!r}.")
    return values[name]


def _truth(predicate: Predicate, schema: Schema, values: Mapping[str, Floats], rows: int) -> Flags:
    if isinstance(predicate, And | Or):
        truths = [_truth(part, schema, values, rows) for part in predicate.parts]
        both = isinstance(predicate, And)
        fold = np.logical_and if both else np.logical_or
        return cast("Flags", fold.reduce(truths, axis=0)) if truths else np.full(rows, both)
    if isinstance(predicate, Compare | IsIn | IsNull):
        held = _take(values, predicate.column)
        if isinstance(predicate, IsNull):
            return np.isnan(held)
        column = schema.column(predicate.column)
        if isinstance(predicate, IsIn):
            return np.isin(held, [constant(column, value, "filter") for value in predicate.values])
        return _compare(held, predicate.op, constant(column, predicate.value, "filter"))
    return ~_truth(predicate.part, schema, values, rows)


def _compare(held: Floats, op: str, value: float) -> Flags:
    truth: Flags
    if op == "==":
        truth = held == value
    elif op == "!=":
        truth = (held != value) & ~np.isnan(held)
    elif op in ("<", "<="):
        truth = held < value if op == "<" else held <= value
    else:
        truth = held > value if op == ">" else held >= value
    return truth


def _block(
    part: Part, query: Query, schema: Schema, values: Mapping[str, Floats], rows: tuple[Integers, Flags]
) -> Integers:
    """One part's integers, row-major (groups, cells)."""
    group, keep = rows
    if part.column is None:
        return np.bincount(group[keep], minlength=part.groups).astype(np.int64)
    held = _take(values, part.column)
    used = keep & ~np.isnan(held)
    if part.kind == "count":
        return np.bincount(group[used], minlength=part.groups).astype(np.int64)
    if part.kind == "sum":
        steps = np.trunc((held[used] - part.offset) / part.step).astype(np.int64)
        total = np.zeros(part.groups, dtype=np.int64)
        np.add.at(total, group[used], steps)
        return total
    aggregate = next(a for a in query.aggregates if a.name == part.aggregate)
    edges = aggregate.edges if isinstance(aggregate, Histogram) else ()
    cell = _cell(held[used], edges, len(key_values(schema.column(part.column))))
    inside = cell >= 0
    flat = group[used][inside] * part.cells + cell[inside]
    return np.bincount(flat, minlength=part.size).astype(np.int64)


def _cell(held: Floats, edges: tuple[float, ...], keys: int) -> Integers:
    """The cell of each value, -1 outside the edges; without edges the value's own index."""
    if keys:
        return held.astype(np.int64)
    cell = np.searchsorted(np.array(edges), held, side="right").astype(np.int64) - 1
    cell[held == edges[-1]] = len(edges) - 2
    cell[held > edges[-1]] = -1
    return cell


def _split(layout: tuple[Part, ...], vector: Integers) -> list[tuple[Part, Integers]]:
    ends = np.cumsum([part.size for part in layout])
    return list(zip(layout, np.split(vector, ends[:-1]), strict=True))


__all__ = ["decode_answer", "error_bars", "first_rows", "read_column", "run_reference", "sigmas_for"]
