"""A checked query to DuckDB's SQL.

The text is made of fixed words and column numbers only. A table is stored with columns ``c0 … cN`` (see
``stead.node.services.tables``), categories are stored as their index, and every constant of a plan is a bound
parameter: no name, category or constant of a plan or schema is ever part of the text.

What a row holds cannot make a statement fail: numbers are compared and clipped with CASE, which leaves NaN and NULL
missing, and the one cast from a float to an integer is a TRY_CAST of a value inside public bounds.
"""

# ruff: noqa: S608 - the text is fixed words and numbers of columns; tests/attacks/test_queries.py holds it to that

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from stead.core.schema import Schema
from stead.node.services.value_sql import Fragment, Rows, clipped, search
from stead.plans.analysis import asked_schema, group_keys, usage
from stead.plans.joining import joined_columns, joined_schema
from stead.plans.layout import LATTICE_BITS, Part
from stead.plans.query import Clip, Derive, Filter, Histogram, Query, Survival


class Statement(msgspec.Struct, frozen=True):
    """One SELECT: rows of (group, cell, integers …).

    ``places`` says of each integer to which part, and behind which of the group's cells, the row's cell belongs. The
    cells of a tree are its leaves.
    """

    text: str
    parameters: tuple[Any, ...]
    places: tuple[tuple[int, int], ...]


class Sources(msgspec.Struct, frozen=True):
    """The schemas of a query's own dataset and of those it joins, by name."""

    own: Schema
    others: Mapping[str, Schema]

    def joined(self, query: Query) -> Schema:
        """The schema of the joined rows."""
        return joined_schema(query, self.own, lambda name: self.others[name])


def statements(query: Query, sources: Sources, layout: tuple[Part, ...]) -> tuple[Statement, ...]:
    """The SELECTs whose rows fill the released vector: one for counts and sums, one for each part with cells.

    Args:
        query: a question that ``stead.plans.analysis.parts`` accepts, whose bounding needs no look at groups.
        sources: the public descriptions.
        layout: ``parts`` of the query.
    """
    flat = [index for index, part in enumerate(layout) if part.kind not in ("cells", "tree", "survival")]
    found = [_flat(row_steps(query, sources), layout, flat)] if flat else []
    celled = [index for index in range(len(layout)) if index not in flat]
    return tuple(found + [_cells(row_steps(query, sources), query, layout, index) for index in celled])


def row_steps(query: Query, sources: Sources) -> Rows:
    """All row steps, and at the end ``group_index`` for the rows that are in a group."""
    schema = sources.joined(query)
    rows = Rows(schema, asked_schema(query, schema))
    _read(query, sources, rows, schema)
    for step in query.steps:
        if isinstance(step, Filter):
            text, parameters = rows.where(step.where)
            rows.add(f"SELECT * FROM {{before}} WHERE {text}", parameters)
        elif isinstance(step, Clip):
            cell = rows.cells[step.column]
            rows.cells[step.column] = rows.keep(clipped(cell, step.bounds))[0]
        elif isinstance(step, Derive):
            rows.derive(rows.schema.column(step.name), step.value)
    index = "CAST(0 AS BIGINT)"
    for name, keys in zip(query.group_by, group_keys(query, schema), strict=True):
        index = f"({index} * {len(keys)} + CAST({rows.cells[name]} AS BIGINT))"
    names = query.group_by if query.private_keys is None else (*query.group_by, query.private_keys.column)
    known = " AND ".join(f"{rows.cells[name]} IS NOT NULL" for name in names) or "TRUE"
    rows.add(f"SELECT *, {index} AS group_index FROM {{before}} WHERE {known}", [])
    return rows


def _read(query: Query, sources: Sources, rows: Rows, schema: Schema) -> None:
    """The rows in use: each person's first ones, with the joined columns. Stored values are as questions read them."""
    own, most = sources.own, usage(query, schema).rows
    read = ["r0.person_index AS person_index", "r0.person_rank AS rank0"]
    read += [
        f"r0.c{index} AS {rows.cells[column.name]}"
        for index, column in enumerate(own.columns)
        if column.name != own.person
    ]
    tables, joined = "stored.main.rows AS r0", own
    for number, join in enumerate(query.joins, start=1):
        right, word = sources.others[join.dataset], "JOIN" if join.how == "inner" else "LEFT JOIN"
        tables += f" {word} joined{number}.main.rows AS r{number} ON r{number}.person_key = r0.person_key"
        read.append(f"COALESCE(r{number}.person_rank, 0) AS rank{number}")
        named = joined_columns(join, joined, right)
        read += [f"r{number}.c{right.columns.index(column)} AS {rows.cells[name]}" for name, column in named]
        joined = msgspec.structs.replace(
            joined, columns=joined.columns + tuple(msgspec.structs.replace(c, name=name) for name, c in named)
        )
    rows.tables.append(f"t0 AS (SELECT {', '.join(read)} FROM {tables})")
    if most < schema.rows_per_person:
        rank = "rank0 + 1"
        if query.joins:
            order = ", ".join(f"rank{number}" for number in range(len(query.joins) + 1))
            rank = f"row_number() OVER (PARTITION BY person_index ORDER BY {order})"
        rows.add(f"SELECT * FROM (SELECT *, {rank} AS place FROM {{before}}) WHERE place <= CAST(? AS BIGINT)", [most])


def _flat(rows: Rows, layout: tuple[Part, ...], chosen: list[int]) -> Statement:
    integers: list[Fragment] = []
    places: list[tuple[int, int]] = []
    for index in chosen:
        found = _integers(rows, layout[index])
        integers += found
        places += [(index, cell) for cell in range(len(found))]
    asked = ", ".join(text for text, _ in integers)
    grouped = layout[chosen[0]].groups > 1
    group, by = ("group_index", " GROUP BY group_index") if grouped else ("0", "")
    text = f"WITH {', '.join(rows.tables)} SELECT {group}, 0, {asked} FROM {rows.last}{by}"
    parameters = [parameter for _, found in integers for parameter in found]
    return Statement(text, (*rows.parameters, *parameters), tuple(places))


def _integers(rows: Rows, part: Part) -> list[Fragment]:
    """The aggregate expressions of a part without cells."""
    cell = "" if part.column is None else rows.cells[part.column]
    if part.kind == "count":
        names = part.columns or ((part.column,) if part.column is not None else ())
        if not names:
            return [("count(*)", [])]
        if len(names) == 1:
            return [(f"count({rows.cells[names[0]]})", [])]
        return [(f"count(CASE WHEN {_there(rows, names)} THEN 1 END)", [])]
    if part.kind == "people":
        person = "person_index" if part.column is None else f"CASE WHEN {cell} IS NOT NULL THEN person_index END"
        return [(f"count(DISTINCT {person})", [])]
    if part.kind == "distinct":
        return [(f"count(DISTINCT {cell})", [])]
    if part.kind == "sum":
        steps = f"trunc((CAST({cell} AS DOUBLE) - CAST(? AS DOUBLE)) / CAST(? AS DOUBLE))"
        return [(f"COALESCE(sum(TRY_CAST({steps} AS BIGINT)), 0)", [part.offset, part.step])]
    return _moments(rows, part)


def _moments(rows: Rows, part: Part) -> list[Fragment]:
    return [(f"COALESCE(sum(TRY_CAST({steps} AS BIGINT)), 0)", []) for steps in moment_steps(rows, part)]


def moment_steps(rows: Rows, part: Part) -> list[str]:
    """Centred integers and their products, as whole DOUBLEs; columns of the integers are added to the rows first."""
    there = _there(rows, tuple(variable.column for variable in part.variables))
    scaled = []
    for variable in part.variables:
        steps = f"trunc((CAST({rows.cells[variable.column]} AS DOUBLE) - CAST(? AS DOUBLE)) / CAST(? AS DOUBLE))"
        scaled.append(rows.keep((f"CASE WHEN {there} THEN {steps} END", [variable.offset, variable.step]))[0])
    products = [f"trunc({a} * {b} / {1 << LATTICE_BITS})" for place, a in enumerate(scaled) for b in scaled[place:]]
    return [*scaled, *products]


def _there(rows: Rows, names: tuple[str, ...]) -> str:
    return " AND ".join(f"{rows.cells[name]} IS NOT NULL" for name in names)


def _cells(rows: Rows, query: Query, layout: tuple[Part, ...], index: int) -> Statement:
    part = layout[index]
    (place, parameters), (inside, more) = cell_of(rows, query, part)
    placed = f"placed AS (SELECT group_index, {place} AS cell FROM {rows.last} WHERE {inside})"
    text = (
        f"WITH {', '.join(rows.tables)}, {placed} "
        f"SELECT {'group_index' if part.groups > 1 else 0}, cell, count(*) FROM placed "
        f"GROUP BY {'group_index, ' if part.groups > 1 else ''}cell"
    )
    return Statement(text, (*rows.parameters, *parameters, *more), ((index, 0),))


def cell_of(rows: Rows, query: Query, part: Part) -> tuple[Fragment, Fragment]:
    """The cell (of a tree: the leaf) that a row is in, and whether it is in one."""
    aggregate = next(a for a in query.aggregates if a.name == part.aggregate)
    names = part.columns or (part.column or "",)
    cell, there = rows.cells[names[0]], (_there(rows, names), list[Any]())
    if part.kind == "survival" and isinstance(aggregate, Survival):
        return _survival(rows, aggregate), there
    if part.kind == "tree":
        leaf = f"floor(({cell} - CAST(? AS DOUBLE)) / CAST(? AS DOUBLE))"
        leaf = f"TRY_CAST(least(greatest({leaf}, 0), {part.leaves - 1}) AS BIGINT)"
        return (leaf, [part.offset, part.step]), there
    edges = aggregate.edges if isinstance(aggregate, Histogram) else ()
    if not edges:
        return (f"CAST({cell} AS BIGINT)", []), there
    parameters: list[Any] = []
    place = search(cell, edges[:-1], parameters)
    inside = f"{cell} >= CAST(? AS DOUBLE) AND {cell} <= CAST(? AS DOUBLE)"
    return (place, parameters), (inside, [edges[0], edges[-1]])


def _survival(rows: Rows, aggregate: Survival) -> Fragment:
    """The cell of time, behind them those of the censored; later than the last edge is censored in the last cell."""
    time, event = rows.cells[aggregate.time], rows.cells[aggregate.event]
    bins = len(aggregate.edges) - 1
    parameters: list[Any] = []
    cell = search(time, aggregate.edges[:-1], parameters)
    late = f"CASE WHEN {event} AND {time} <= CAST(? AS DOUBLE) THEN 0 ELSE {bins} END"
    return f"({cell} + {late})", [*parameters, aggregate.edges[-1]]
