"""Questions for which groups, or rows in groups, are chosen for each person: added up by a kernel in one pass.

DuckDB does the row steps, and makes of each row its person, its group and what it would add: an integer to a sum, or
one to a cell. The kernel sees the rows in their stored order, keeps each person's first ones and adds them up
(``stead.node.services.bounding``).
"""

# ruff: noqa: S608 - the text is fixed words and numbers of columns

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from stead.node.services.bounding import Wanted, bounded_sums, native_built, streamed_sums
from stead.node.services.table_sql import Sources, cell_of, moment_steps, row_steps
from stead.node.services.value_sql import Fragment
from stead.node.services.value_sql import Rows as Steps
from stead.plans.analysis import Part, usage
from stead.plans.blocks import tree_integers
from stead.plans.exact import Exact
from stead.plans.query import Query

_INT32 = 1 << 31
_FEW_GROUPS = 256
_ADDED = ("count", "people", "sum", "moments", "cells", "tree", "survival")


class Column(msgspec.Struct, frozen=True):
    """What a row adds to a part: an integer of 32 bits, or with ``width`` one to a cell, the last of which is none."""

    text: str
    parameters: tuple[Any, ...] = ()
    width: int = 0


def adds_plainly(query: Query, sources: Sources, layout: tuple[Part, ...]) -> bool:
    """Whether chosen rows of one table are only counted and added up, by integers of 32 bits: the common case."""
    plain = all(part.kind in _ADDED and part.per_row < _INT32 for part in layout)
    plain = plain and not any(part.kind == "people" and part.column is not None for part in layout)
    alone = query.private_keys is None and not query.joins
    return plain and alone and sources.own.people[1] < _INT32 and usage(query, sources.own).chosen


def by_groups(cursor: duckdb.DuckDBPyConnection, query: Query, sources: Sources, layout: tuple[Part, ...]) -> Exact:
    """The exact integers of a question of which ``adds_plainly`` is true.

    Args:
        cursor: on the dataset's table.
        query: the question.
        sources: the schema behind it.
        layout: ``parts`` of the query.

    Raises:
        NodeError: the engine failed.
        duckdb.Error: the engine failed.
    """
    steps = row_steps(query, sources)
    columns = [_columns(steps, query, part) for part in layout]
    apart = list(dict.fromkeys(itertools.chain(*columns)))
    ordered = sorted(apart, key=lambda column: column.width > 0)
    wanted = Wanted(
        groups=layout[0].groups,
        sums=sum(column.width == 0 for column in ordered),
        widths=tuple(column.width for column in ordered if column.width),
    )
    used = usage(query, sources.own)
    found = _added_up(cursor, steps, ordered, (used.groups, used.rows_per_group), wanted)
    added = dict(zip(ordered, found[2:], strict=True))
    blocks = []
    for part, own in zip(layout, columns, strict=True):
        blocks.append(_block(part, own, added) if own else found[part.kind == "people"].reshape(-1))
    return Exact(np.concatenate(blocks))


def _added_up(
    cursor: duckdb.DuckDBPyConnection, steps: Steps, columns: list[Column], bounds: tuple[int, int], wanted: Wanted
) -> list[npt.NDArray[np.int64]]:
    kind = "UTINYINT" if wanted.groups <= _FEW_GROUPS else "INTEGER"
    selected = ["CAST(person_index AS INTEGER) AS person", f"CAST(group_index AS {kind}) AS place"]
    selected += [f"{column.text} AS a{number}" for number, column in enumerate(columns)]
    parameters = [*steps.parameters, *(value for column in columns for value in column.parameters)]
    text = f"WITH {', '.join(steps.tables)} SELECT {', '.join(selected)} FROM {steps.last}"
    if native_built():  # batch by batch, while DuckDB's threads make the next ones
        return streamed_sums(cursor.sql(text, params=parameters).__arrow_c_stream__(), bounds, wanted)
    held = {name: np.ma.getdata(found) for name, found in cursor.execute(text, parameters).fetchnumpy().items()}
    added = [held[f"a{number}"] for number in range(len(columns))]
    return bounded_sums(held["person"], held["place"], added, bounds, wanted)


def _columns(steps: Steps, query: Query, part: Part) -> list[Column]:
    """What a row adds to a part; nothing where each row, or each person, adds one."""
    if part.kind == "people":
        return []
    if part.kind == "count":
        names = part.columns or ((part.column,) if part.column is not None else ())
        there = " AND ".join(f"{steps.cells[name]} IS NOT NULL" for name in names)
        return [Column(f"CAST({there} AS INTEGER)")] if names else []
    if part.kind == "sum":
        cell = f"CAST({steps.cells[part.column or '']} AS DOUBLE)"
        whole = f"trunc(({cell} - CAST(? AS DOUBLE)) / CAST(? AS DOUBLE))"
        return [_sum(whole, part.offset, part.step)]
    if part.kind == "moments":
        return [_sum(whole) for whole in moment_steps(steps, part)]
    cells = part.leaves if part.kind == "tree" else part.cells
    return [_cell(*cell_of(steps, query, part), cells)]


def _sum(whole: str, *parameters: float) -> Column:
    return Column(f"COALESCE(TRY_CAST({whole} AS INTEGER), 0)", parameters)


def _cell(place: Fragment, inside: Fragment, cells: int) -> Column:
    text = f"CAST(COALESCE(CASE WHEN {inside[0]} THEN {place[0]} END, {cells}) AS INTEGER)"
    return Column(text, (*inside[1], *place[1]), cells + 1)


def _block(part: Part, columns: list[Column], added: Mapping[Column, npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """One part's integers, row-major (groups, cells)."""
    held = np.concatenate([added[column] for column in columns], axis=1)
    if columns[0].width:
        held = held[:, :-1]
    return tree_integers(part, held.reshape(-1)) if part.kind == "tree" else held.reshape(-1)
