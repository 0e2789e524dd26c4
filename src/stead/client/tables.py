"""An answer's numbers as columns for other tools, and as tables for people.

A column has a row for each group. Counts, means and the like have one column, what holds several numbers one for each;
people see a regression as a table of its terms, a survival curve as one row for each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from stead.client import render
from stead.client.operators import day_labels
from stead.core.dates import FIRST_DAY, LAST_DAY, iso
from stead.core.schema import Schema
from stead.plans.analysis import asked_schema
from stead.plans.decode import cell_names, top_order
from stead.plans.query import (
    Aggregate,
    Histogram,
    LogisticScore,
    Mean,
    Moments,
    Quantile,
    Query,
    Survival,
    TopK,
)

Array = np.ndarray
Key = str | bool | int | float


@dataclass(frozen=True)
class AnswerColumn:
    """One column of the answer's table: a number and its error for each group.

    Attributes:
        label: what the column is called.
        aggregate: whose it is.
        values: shape (groups,); texts where the most frequent values are named.
        errors: half-widths; ``None`` where the values are no noisy numbers.
        is_date: days since 1970-01-01, which people see as dates.
    """

    label: str
    aggregate: str
    values: Array
    errors: Array | None
    is_date: bool = False

    def text(self, row: int) -> str:
        """One value with its error, for people."""
        value = self.values[row]
        if self.errors is None:
            return value if isinstance(value, str) else render.number(float(value))
        error = float(self.errors[row])
        if self.is_date and FIRST_DAY <= float(value) <= LAST_DAY:
            return f"{iso(float(value))} ± {render.number(error, 2)} days"
        return render.with_error(float(value), error)


@dataclass(frozen=True)
class Block:
    """One table for people."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""


class Answered(Protocol):
    """What is read of an answer.

    Cost: none.
    Security: public, as released.
    """

    @property
    def query(self) -> Query:
        """The plan that was answered."""
        ...

    @property
    def schema(self) -> Schema:
        """The public schema that it was asked under."""
        ...

    @property
    def values(self) -> Mapping[str, Array]:
        """The numbers of each aggregate."""
        ...

    @property
    def errors(self) -> Mapping[str, Array]:
        """Their half-widths."""
        ...

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names of the groups' keys."""
        ...

    @property
    def groups(self) -> tuple[tuple[Key, ...], ...]:
        """The keys of each group."""
        ...


@dataclass(frozen=True)
class Grid:
    """One aggregate's numbers and their errors, each of shape (groups, cells)."""

    aggregate: Aggregate
    values: Array
    errors: Array
    cells: tuple[str, ...]
    is_date: bool = field(default=False)


def grids(answer: Answered) -> tuple[Grid, ...]:
    """The numbers of each aggregate."""
    groups = len(answer.groups)
    found = []
    for aggregate in answer.query.aggregates:
        cells = _cells(aggregate, answer.query, answer.schema)
        shape = (groups, len(cells))
        values, errors = (
            np.asarray(held[aggregate.name], dtype=np.float64).reshape(shape) for held in (answer.values, answer.errors)
        )
        found.append(Grid(aggregate, values, errors, cells, _is_date(aggregate, answer)))
    return tuple(found)


def columns(answer: Answered) -> tuple[AnswerColumn, ...]:
    """The released numbers as columns with one row for each group."""
    return tuple(column for grid in grids(answer) for column in _columns(grid))


def blocks(answer: Answered, people: Sequence[AnswerColumn] = ()) -> tuple[Block, ...]:
    """The answer as tables for people: one of plain numbers, and one for each curve and regression.

    Args:
        answer: what was released.
        people: the number of people of each private key, as a first column.
    """
    held = grids(answer)
    plain = [*people, *(column for grid in held if not _is_table(grid.aggregate) for column in _columns(grid))]
    found = [_plain(answer, plain)] if plain or not held else []
    for grid in held:
        if isinstance(grid.aggregate, Survival):
            found.append(_log_rank(answer, grid) if grid.aggregate.show == "log-rank" else _curve(answer, grid))
        elif _is_table(grid.aggregate):
            found.append(_regression(answer, grid))
    return tuple(found)


def group_labels(answer: Answered) -> tuple[str, ...]:
    """Each group's keys in one text; empty without groups."""
    return tuple(" · ".join(_key(key) for key in group) for group in answer.groups)


def terms_of(grid: Grid) -> tuple[str, ...]:
    """A regression's terms, the intercept first."""
    return tuple(cell for cell in grid.cells if f"{cell} se" in grid.cells)


def _columns(grid: Grid) -> list[AnswerColumn]:
    name = grid.aggregate.name
    if isinstance(grid.aggregate, TopK):
        return _top(grid.aggregate, grid)
    return [
        AnswerColumn(f"{name} {cell}".strip(), name, grid.values[:, index], grid.errors[:, index], grid.is_date)
        for index, cell in enumerate(grid.cells)
    ]


def _top(aggregate: TopK, grid: Grid) -> list[AnswerColumn]:
    """``top 1``: the most frequent value, and ``top 1 count``: how often; and so on."""
    order = top_order(aggregate, grid.values)
    names = np.array(grid.cells, dtype=object)
    found: list[AnswerColumn] = []
    for rank in range(aggregate.k):
        place = order[:, rank : rank + 1]
        counts, errors = (np.take_along_axis(held, place, axis=1)[:, 0] for held in (grid.values, grid.errors))
        label = f"{aggregate.name} {rank + 1}"
        found.append(AnswerColumn(label, aggregate.name, names[place[:, 0]], None))
        found.append(AnswerColumn(f"{label} count", aggregate.name, counts, errors))
    return found


def _cells(aggregate: Aggregate, query: Query, schema: Schema) -> tuple[str, ...]:
    if isinstance(aggregate, Histogram):
        kind = asked_schema(query, schema).column(aggregate.column).kind
        return day_labels(aggregate.edges) if kind == "date" else cell_names(aggregate, query, schema)
    return cell_names(aggregate, query, schema)


def _is_date(aggregate: Aggregate, answer: Answered) -> bool:
    if not isinstance(aggregate, Quantile | Mean):
        return False
    return asked_schema(answer.query, answer.schema).column(aggregate.column).kind == "date"


def _is_table(aggregate: Aggregate) -> bool:
    linear = isinstance(aggregate, Moments) and aggregate.show == "linear"
    return linear or isinstance(aggregate, LogisticScore | Survival)


def _plain(answer: Answered, shown: list[AnswerColumn]) -> Block:
    """Groups by columns; with one group and several numbers, one row for each number."""
    if not answer.key_names and len(shown) > 1:
        return Block(("", "value"), tuple((column.label, column.text(0)) for column in shown))
    rows = tuple(
        (*map(_key, group), *(column.text(row) for column in shown)) for row, group in enumerate(answer.groups)
    )
    return Block((*answer.key_names, *(column.label for column in shown)), rows)


def _curve(answer: Answered, grid: Grid) -> Block:
    """A row for each time, a column for each group."""
    labels = [label or grid.aggregate.name for label in group_labels(answer)]
    rows = tuple(
        (cell, *(render.with_error(grid.values[g, i], grid.errors[g, i]) for g in range(len(labels))))
        for i, cell in enumerate(grid.cells)
    )
    time = grid.aggregate.time if isinstance(grid.aggregate, Survival) else ""
    return Block((f"up to {time}", *labels), rows, grid.aggregate.name)


def _log_rank(answer: Answered, grid: Grid) -> Block:
    """Observed and expected events of each group, and the test in the title."""
    rows = tuple(
        (*map(_key, group), *(render.with_error(grid.values[g, i], grid.errors[g, i]) for i in range(2)))
        for g, group in enumerate(answer.groups)
    )
    chi_square, p_value = grid.values[0, 2], grid.values[0, 3]
    degrees = len(answer.groups) - 1
    freedom = f"{degrees} degree{'s' if degrees > 1 else ''} of freedom"
    title = f"{grid.aggregate.name}: χ² {render.number(chi_square, 3)} with {freedom}, p {p_value:.2g}"
    return Block((*answer.key_names, "observed", "expected"), rows, title)


def _regression(answer: Answered, grid: Grid) -> Block:
    """A row for each term: the coefficient with ± of the noise, and its standard error by sampling."""
    place = {cell: index for index, cell in enumerate(grid.cells)}
    rows: list[tuple[str, ...]] = []
    for g, group in enumerate(answer.groups):
        for term in terms_of(grid):
            index, spread = place[term], grid.values[g, place[f"{term} se"]]
            coefficient = render.with_error(grid.values[g, index], grid.errors[g, index])
            rows.append((*map(_key, group), term, coefficient, render.number(spread, 3)))
        rows += [
            (*map(_key, group), what, render.with_error(grid.values[g, place[what]], grid.errors[g, place[what]]), "")
            for what in ("R2", "rows")
            if what in place
        ]
    header = (*answer.key_names, "term", "coefficient (± noise)", "standard error")
    return Block(header, tuple(rows), grid.aggregate.name)


def _key(key: Key) -> str:
    return str(key)
