"""A checked query to DuckDB's SQL.

The text is made of fixed words and column numbers only. A table is stored with columns ``c0 … cN`` (see
``stead.node.services.tables``), categories are stored as their index, and every constant of a plan is a bound
parameter: no name, category or constant of a plan or schema is ever part of the text.

What a row holds cannot make a statement fail: numbers are compared and clipped with CASE, which leaves NaN and NULL
missing, and the one cast from a float to an integer is a TRY_CAST of a value inside public bounds.
"""

# ruff: noqa: S608 - the text is fixed words and numbers of columns; tests/attacks/test_queries.py holds it to that

from __future__ import annotations

import msgspec

from stead.core.schema import Column, Schema
from stead.plans.analysis import Part, group_keys
from stead.plans.predicates import constant
from stead.plans.query import And, Clip, Compare, Filter, Histogram, IsIn, IsNull, Or, Predicate, Query

_OPERATORS = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Statement(msgspec.Struct, frozen=True):
    """One SELECT: rows of (group, cell or 0, integers …), one integer for each of ``parts``."""

    text: str
    parameters: tuple[float | int, ...]
    parts: tuple[int, ...]


class _Rows:
    """The row steps as common table expressions, their parameters in the order of the text."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.numbers = {column.name: index for index, column in enumerate(schema.columns)}
        self.tables: list[str] = []
        self.parameters: list[float | int] = []

    def cell(self, name: str) -> str:
        return f"c{self.numbers[name]}"

    def add(self, select: str) -> None:
        """One more expression that reads the one before it, written ``{before}``."""
        before = f"t{len(self.tables) - 1}"
        self.tables.append(f"t{len(self.tables)} AS ({select.format(before=before)})")


def statements(query: Query, schema: Schema, layout: tuple[Part, ...]) -> tuple[Statement, ...]:
    """The SELECTs whose rows fill the released vector: one for counts and sums, one for each histogram.

    Args:
        query: a question that ``stead.plans.analysis.parts`` accepts for ``schema``.
        schema: the public description.
        layout: ``parts(query, schema)``.
    """
    rows = _row_steps(query, schema)
    flat = tuple(index for index, part in enumerate(layout) if part.kind != "cells")
    found = [_flat(rows, layout, flat)] if flat else []
    found += [_cells(rows, query, layout, index) for index, part in enumerate(layout) if part.kind == "cells"]
    return tuple(found)


def read_expression(column: Column, index: int) -> tuple[str, list[float | int]]:
    """How every engine reads a stored column: numbers inside the declared bounds, NaN as missing."""
    if column.bounds is None:
        return f"c{index}", []
    return _clipped(f"c{index}", column.bounds.low, column.bounds.high)


def _clipped(cell: str, low: float, high: float) -> tuple[str, list[float | int]]:
    text = (
        f"CASE WHEN {cell} IS NULL OR isnan({cell}) THEN NULL "
        f"WHEN {cell} < CAST(? AS DOUBLE) THEN CAST(? AS DOUBLE) "
        f"WHEN {cell} > CAST(? AS DOUBLE) THEN CAST(? AS DOUBLE) ELSE {cell} END"
    )
    return text, [low, low, high, high]


def _row_steps(query: Query, schema: Schema) -> _Rows:
    rows = _Rows(schema)
    read: list[str] = []
    for index, column in enumerate(schema.columns):
        if column.kind == "text" or column.name == schema.person:
            continue
        text, parameters = read_expression(column, index)
        read.append(f"{text} AS c{index}")
        rows.parameters += parameters
    rows.parameters.append(schema.rows_per_person)
    selected = ", ".join(read) or "1 AS nothing"
    rows.tables.append(f"t0 AS (SELECT {selected} FROM stored.main.rows WHERE person_rank < CAST(? AS BIGINT))")
    for step in query.steps:
        if isinstance(step, Filter):
            text = _truth(step.where, rows)
            rows.add(f"SELECT * FROM {{before}} WHERE {text}")
        elif isinstance(step, Clip):
            cell = rows.cell(step.column)
            text, parameters = _clipped(cell, step.bounds.low, step.bounds.high)
            rows.parameters += parameters
            rows.add(f"SELECT * REPLACE ({text} AS {cell}) FROM {{before}}")
    _group(query, rows)
    return rows


def _group(query: Query, rows: _Rows) -> None:
    index = "CAST(0 AS BIGINT)"
    for name, keys in zip(query.group_by, group_keys(query, rows.schema), strict=True):
        index = f"({index} * {len(keys)} + CAST({rows.cell(name)} AS BIGINT))"
    known = " AND ".join(f"{rows.cell(name)} IS NOT NULL" for name in query.group_by) or "TRUE"
    rows.add(f"SELECT *, {index} AS group_index FROM {{before}} WHERE {known}")


def _truth(predicate: Predicate, rows: _Rows) -> str:
    """A two-valued condition; appends its constants in the order of the text."""
    if isinstance(predicate, And | Or):
        word, empty = (" AND ", "TRUE") if isinstance(predicate, And) else (" OR ", "FALSE")
        return "(" + (word.join(_truth(part, rows) for part in predicate.parts) or empty) + ")"
    if isinstance(predicate, Compare | IsIn | IsNull):
        cell = rows.cell(predicate.column)
        if isinstance(predicate, IsNull):
            return f"({cell} IS NULL)"
        column = rows.schema.column(predicate.column)
        values = predicate.values if isinstance(predicate, IsIn) else (predicate.value,)
        rows.parameters += [constant(column, value, "filter") for value in values]
        if isinstance(predicate, Compare):
            test = f"CAST({cell} AS DOUBLE) {_OPERATORS[predicate.op]} CAST(? AS DOUBLE)"
        else:
            listed = ", ".join("CAST(? AS DOUBLE)" for _ in values)
            test = f"CAST({cell} AS DOUBLE) IN ({listed})" if values else "FALSE"
        return f"COALESCE({test}, FALSE)"
    return f"(NOT {_truth(predicate.part, rows)})"


def _flat(rows: _Rows, layout: tuple[Part, ...], chosen: tuple[int, ...]) -> Statement:
    parameters: list[float | int] = []
    integers: list[str] = []
    for index in chosen:
        part = layout[index]
        if part.column is None:
            integers.append("count(*)")
        elif part.kind == "count":
            integers.append(f"count({rows.cell(part.column)})")
        else:
            value = f"CAST({rows.cell(part.column)} AS DOUBLE)"
            steps = f"trunc(({value} - CAST(? AS DOUBLE)) / CAST(? AS DOUBLE))"
            integers.append(f"COALESCE(sum(TRY_CAST({steps} AS BIGINT)), 0)")
            parameters += [part.offset, part.step]
    asked = ", ".join(integers)
    last = f"t{len(rows.tables) - 1}"
    text = f"WITH {', '.join(rows.tables)} SELECT group_index, 0, {asked} FROM {last} GROUP BY group_index"
    return Statement(text, (*rows.parameters, *parameters), chosen)


def _cells(rows: _Rows, query: Query, layout: tuple[Part, ...], index: int) -> Statement:
    part = layout[index]
    aggregate = next(a for a in query.aggregates if a.name == part.aggregate)
    edges = aggregate.edges if isinstance(aggregate, Histogram) else ()
    cell = rows.cell(part.column or "")
    parameters: list[float | int] = []
    inside = f"{cell} IS NOT NULL"
    place = f"CAST({cell} AS BIGINT)"
    if edges:
        place = _search(cell, edges[:-1], parameters)
        inside = f"{cell} >= CAST(? AS DOUBLE) AND {cell} <= CAST(? AS DOUBLE)"
        parameters += [edges[0], edges[-1]]
    last = f"t{len(rows.tables) - 1}"
    placed = f"placed AS (SELECT group_index, {place} AS cell FROM {last} WHERE {inside})"
    text = (
        f"WITH {', '.join(rows.tables)}, {placed} "
        "SELECT group_index, cell, count(*) FROM placed GROUP BY group_index, cell"
    )
    return Statement(text, (*rows.parameters, *parameters), (index,))


def _search(cell: str, lefts: tuple[float, ...], parameters: list[float | int], first: int = 0) -> str:
    """The index of the last of ``lefts`` that is not above the cell's value, by halving."""
    if len(lefts) == 1:
        return str(first)
    half = len(lefts) // 2
    parameters.append(lefts[half])
    left = _search(cell, lefts[:half], parameters, first)
    right = _search(cell, lefts[half:], parameters, first + half)
    return f"CASE WHEN {cell} < CAST(? AS DOUBLE) THEN {left} ELSE {right} END"
