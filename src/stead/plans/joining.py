"""The schema of joined rows: what a question on several datasets of one population is analysed, priced and read by.

Everything that looks at a query's columns is given this schema, so that a join is known in one place alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from stead.core.schema import Column, DatasetCard, Schema
from stead.errors import UnboundedContribution, UsageError
from stead.plans.query import Join, Query
from stead.plans.sums import first_rows

Table = Mapping[str, npt.ArrayLike]

MAX_JOINS = 4
MAX_JOINED_ROWS = 1 << 20


def joined_schema(query: Query, schema: Schema, find: Callable[[str], Schema]) -> Schema:
    """The public description of the rows that ``query`` reads: ``schema`` itself where it joins nothing.

    One person with at most L rows here and R rows in a joined dataset has at most L x R joined rows.

    Args:
        query: the question.
        schema: of its own dataset.
        find: the schema of another dataset at the same node by name.

    Raises:
        UnknownColumn: the joined dataset has not such a column.
        UnboundedContribution: one person could have more than 2^20 joined rows.
        UsageError: the datasets are not of one population with people told apart, or a dataset is joined twice.
    """
    names = [query.dataset, *(join.dataset for join in query.joins)]
    if len(query.joins) > MAX_JOINS or len(set(names)) != len(names):
        raise UsageError(f"a question joins up to {MAX_JOINS} other datasets, each of them once.")
    for join in query.joins:
        schema = _join(query.dataset, schema, join, find(join.dataset))
    return schema


def joined_card(query: Query, card: DatasetCard, find: Callable[[str], DatasetCard]) -> DatasetCard:
    """The card of a query's own dataset with the schema of the joined rows; the card itself where nothing is joined.

    Raises:
        SteadError: as ``joined_schema``.
    """
    if not query.joins:
        return card
    return msgspec.structs.replace(card, schema=joined_schema(query, card.schema, lambda name: find(name).schema))


def joined_columns(join: Join, left: Schema, right: Schema) -> tuple[tuple[str, Column], ...]:
    """Each joined column's new name, and the column as the other dataset declares it."""
    taken = {column.name for column in left.columns}
    return tuple((f"{join.dataset}.{name}" if name in taken else name, right.column(name)) for name in join.columns)


def _join(dataset: str, left: Schema, join: Join, right: Schema) -> Schema:
    where = f"join of {join.dataset!r}"
    if left.person is None or right.person is None:
        lacking = dataset if left.person is None else join.dataset
        raise UsageError(
            f"{where}: dataset {lacking!r} has no person column, so its rows cannot be told to be anybody's.",
            hint="the owner declares `person` in the schema",
        )
    if left.population != right.population:
        raise UsageError(
            f"{where}: {dataset!r} is of population {left.population!r}, {join.dataset!r} of {right.population!r}.",
            hint="a question is about one population, whose account pays",
        )
    if not join.columns or len(set(join.columns)) != len(join.columns):
        raise UsageError(f"{where}: name the columns to join, each once.")
    if right.person in join.columns:
        raise UsageError(f"{where}: column {right.person!r} tells people apart; it joins by itself.")
    rows = left.rows_per_person * right.rows_per_person
    if rows > MAX_JOINED_ROWS:
        raise UnboundedContribution(
            f"{where}: one {left.unit} could have {rows} joined rows; the limit is {MAX_JOINED_ROWS}.",
            hint="declare smaller rows_per_person",
        )
    columns = tuple(msgspec.structs.replace(column, name=name) for name, column in joined_columns(join, left, right))
    return msgspec.structs.replace(left, columns=left.columns + columns, rows_per_person=rows)


def joined_rows(
    query: Query, schema: Schema, columns: Table, find: Callable[[str], tuple[Schema, Table]]
) -> dict[str, npt.NDArray[Any]]:
    """The rows that ``query`` reads, from whole tables: the meaning of a join.

    Each of a person's first ``rows_per_person`` rows meets the person's first ``rows_per_person`` rows of the other
    table, in the order of both; joins follow one another. Rows without a person are in no question.

    Args:
        query: the question.
        schema: of its own dataset.
        columns: its rows, column name to values of one length.
        find: schema and rows of another dataset by name.

    Returns:
        Column name to values, as ``joined_schema`` names them; missing is NaN in a number and ``None`` elsewhere.

    Raises:
        UsageError: as ``joined_schema``.
    """
    joined_schema(query, schema, lambda name: find(name)[0])
    rows = {name: np.asarray(values) for name, values in columns.items()}
    for join in query.joins:
        right, table = find(join.dataset)
        rows = _meet(join, (schema, rows), (right, {name: np.asarray(values) for name, values in table.items()}))
        schema = _join(query.dataset, schema, join, right)
    return rows


def _meet(
    join: Join, left: tuple[Schema, dict[str, npt.NDArray[Any]]], right: tuple[Schema, dict[str, npt.NDArray[Any]]]
) -> dict[str, npt.NDArray[Any]]:
    there: dict[object, list[int]] = {}
    for index, person in _persons(*right):
        there.setdefault(person, []).append(index)
    mine: list[int] = []
    theirs: list[int] = []
    for index, person in _persons(*left):
        met = there.get(person, [-1] if join.how == "left" else [])
        mine += [index] * len(met)
        theirs += met
    rows = {name: values[mine] for name, values in left[1].items()}
    for name, column in joined_columns(join, left[0], right[0]):
        rows[name] = _taken(right[1][column.name], np.array(theirs, dtype=np.int64))
    return rows


def _persons(schema: Schema, columns: dict[str, npt.NDArray[Any]]) -> list[tuple[int, object]]:
    """The rows that are used, each with its person."""
    persons = columns[schema.person or ""].tolist()
    used = first_rows(schema, columns, len(persons))
    return [(index, persons[index]) for index in np.flatnonzero(used).tolist()]


def _taken(values: npt.NDArray[Any], places: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """The values at ``places``, missing where a place is -1."""
    if not (places < 0).any():
        return values[places]
    missing = np.nan if values.dtype.kind in "iuf" else None
    padded = values.astype(np.float64) if values.dtype.kind in "iuf" else values.astype(object)
    return np.append(padded, np.array([missing], dtype=padded.dtype))[places]
