"""Running a checked query's statements on open tables: exact integers, in one of three ways.

Where one person's rows are bounded by their stored ranks alone, DuckDB adds up. Where groups or rows in groups must be
chosen for each person, DuckDB does the row steps and hands the rows over in order, and a kernel adds up those that are
kept (``stead.node.services.table_groups``). Where keys are private, for scores, and for what the kernel does not add,
the rows are added up by the very code that defines the result (``stead.plans.sums.add_up``).
"""

# ruff: noqa: S608 - the text is fixed words and numbers of columns

from __future__ import annotations

import math
from typing import Any

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from stead.node.services.bounding import bounded
from stead.node.services.table_groups import adds_plainly, by_groups
from stead.node.services.table_sql import Sources, Statement, row_steps, statements
from stead.node.services.value_sql import Rows as Steps
from stead.plans.analysis import MAX_TOTAL, Part, group_keys, parts, usage
from stead.plans.blocks import tree_integers
from stead.plans.evaluate import Rows
from stead.plans.exact import Exact
from stead.plans.query import LogisticScore, Query
from stead.plans.query_price import columns_read
from stead.plans.sums import Places, add_up

Integers = npt.NDArray[np.int64]


def run(cursor: duckdb.DuckDBPyConnection, query: Query, sources: Sources) -> Exact:
    """The exact integers of ``query``, without noise: those of ``stead.plans.sums.run_exact`` on the same rows.

    Args:
        cursor: on the dataset's table, with the joined ones attached as ``joined1``, ``joined2``, …
        query: the question.
        sources: the schemas behind it.

    Raises:
        UsageError: the question cannot be asked; never because of a row.
        duckdb.Error: the engine itself failed.
    """
    schema = sources.joined(query)
    layout = parts(query, schema)
    if adds_plainly(query, sources, layout):
        return by_groups(cursor, query, sources, layout)
    scored = any(isinstance(aggregate, LogisticScore) for aggregate in query.aggregates)
    if query.private_keys is not None or scored or usage(query, schema).chosen:
        return _by_rows(cursor, query, sources, layout)
    vector = np.zeros(sum(part.size for part in layout), dtype=np.int64)
    starts = np.cumsum([0] + [part.size for part in layout])
    for statement in statements(query, sources, layout):
        part = layout[statement.places[0][0]]
        if part.kind == "tree":
            leaves = np.zeros(part.groups * part.leaves, dtype=np.int64)
            _place(cursor, statement, leaves, [0], [part.leaves])
            start = int(starts[statement.places[0][0]])
            vector[start : start + part.size] = tree_integers(part, leaves)
        else:
            bases = [int(starts[index]) + cell for index, cell in statement.places]
            _place(cursor, statement, vector, bases, [layout[index].cells for index, _ in statement.places])
    return Exact(vector)


def _place(
    cursor: duckdb.DuckDBPyConnection, statement: Statement, vector: Integers, bases: list[int], widths: list[int]
) -> None:
    """Write a statement's rows (group, cell, integers …) into the vector. DuckDB's sums are exact 128-bit integers."""
    rows = cursor.execute(statement.text, list(statement.parameters))
    while batch := rows.fetchmany(1 << 16):
        for group, cell, *integers in batch:
            for base, width, integer in zip(bases, widths, integers, strict=True):
                vector[base + int(group) * width + int(cell)] = max(-MAX_TOTAL, min(MAX_TOTAL, int(integer)))


def _by_rows(cursor: duckdb.DuckDBPyConnection, query: Query, sources: Sources, layout: tuple[Part, ...]) -> Exact:
    """Fetch the rows that are left after the steps, in each person's order, and add them up."""
    steps = row_steps(query, sources)
    named = sorted(columns_read(msgspec.structs.replace(query, group_by=()), steps=False))
    texts = {name: _texts(cursor, steps, name) for name in named if steps.schema.column(name).kind == "text"}
    selected = ["person_index", "group_index"]
    joins: list[str] = []
    parameters: list[Any] = []
    for place, name in enumerate(named):
        cell = steps.cells[name]
        if name in texts:
            joins.append(
                f"LEFT JOIN (SELECT unnest(CAST(? AS VARCHAR[])) AS value, unnest(range(CAST(? AS BIGINT))) AS code) "
                f"AS k{place} ON k{place}.value = {steps.last}.{cell}"
            )
            parameters += [texts[name], len(texts[name])]
            cell = f"k{place}.code"
        selected.append(f"CAST({cell} AS DOUBLE) AS f{place}")
    ranks = ", ".join(f"rank{number}" for number in range(len(query.joins) + 1))
    order = f" ORDER BY person_index, {ranks}" if query.joins or joins else ""
    text = f"WITH {', '.join(steps.tables)} SELECT {', '.join(selected)} FROM {steps.last} {' '.join(joins)}{order}"
    held = cursor.execute(text, [*steps.parameters, *parameters]).fetchnumpy()
    person, group = (np.asarray(held[name], dtype=np.int64) for name in ("person_index", "group_index"))
    values = {name: _filled(held[f"f{place}"]) for place, name in enumerate(named)}
    groups = math.prod(len(keys) for keys in group_keys(query, sources.joined(query)))
    rows = Rows(steps.schema, values, len(person), texts)
    return add_up(query, layout, rows, Places(person, group, groups), _chosen)


def _chosen(person: Integers, group: Integers, query: Query) -> npt.NDArray[np.bool_]:
    """``stead.plans.sums.bounded_rows``, by the kernel."""
    bounding = query.bounding
    groups = None if bounding is None else bounding.groups
    rows = None if bounding is None else bounding.rows_per_group
    if groups is None and rows is None:
        return np.ones(len(person), dtype=np.bool_)
    return bounded(person, group, groups or len(person) + 1, rows or len(person) + 1)


def _texts(cursor: duckdb.DuckDBPyConnection, steps: Steps, name: str) -> list[str]:
    """The different texts of a column among the rows that are left, in the order of their code points."""
    text = f"WITH {', '.join(steps.tables)} SELECT DISTINCT {steps.cells[name]} FROM {steps.last}"
    found = cursor.execute(text, list(steps.parameters)).fetchall()
    return sorted(value for (value,) in found if value is not None)


def _filled(held: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.ma.filled(np.ma.asarray(held, dtype=np.float64), np.nan)
