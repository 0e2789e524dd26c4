"""Rows to integers: the meaning of a query, in NumPy.

``run_exact`` is the definition that every engine is tested against, and what runs on mock rows. It is total: no
value of a row makes it fail or changes the length of the result. ``decode_answer`` (``stead.plans.decode``) turns the
released integers into natural units; error bars and the choice of the noise are in ``stead.plans.bars``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from stead.core.schema import Column, Schema
from stead.errors import UnknownColumn, UsageError
from stead.plans.analysis import asked_schema, group_keys, key_values, parts, usage
from stead.plans.blocks import block
from stead.plans.evaluate import Rows, clip, read_column, truth
from stead.plans.exact import Exact
from stead.plans.layout import Part
from stead.plans.query import Clip, Derive, Filter, Query
from stead.plans.values import Constant

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Bounded = Callable[[Integers, Integers, Query], Flags]


class Places(msgspec.Struct, frozen=True):
    """Whose each row is (any number for each person), its public group, and how many public groups there are."""

    person: Integers
    group: Integers
    groups: int

    def __getitem__(self, mask: Flags) -> Places:
        return Places(self.person[mask], self.group[mask], self.groups)


def run_reference(query: Query, schema: Schema, columns: Mapping[str, npt.ArrayLike]) -> Integers:
    """The exact integers of ``query`` over ``columns``, without noise: the vector of ``run_exact``."""
    return run_exact(query, schema, columns).vector


def run_exact(query: Query, schema: Schema, columns: Mapping[str, npt.ArrayLike]) -> Exact:
    """The exact integers of ``query`` over ``columns``, without noise.

    Args:
        query: the question; its sigmas are not looked at.
        schema: the public description of the table, of the joined rows where there are joins.
        columns: column name to values, all of one length. Missing is ``None`` or NaN. With a person column, its
            values tell which rows are one person's; rows without a person are left out.

    Raises:
        UsageError: the question cannot be asked, or ``columns`` is no table of this schema.
    """
    layout = parts(query, schema)
    used = usage(query, schema)
    count = _row_count(columns)
    values = {
        column.name: read_column(column, columns[column.name])
        for column in schema.columns
        if column.name != schema.person and column.name in columns
    }
    rows = Rows(asked_schema(query, schema), values, count)
    person = person_codes(schema, columns, count)
    keep = _first(person, used.rows)
    for step in query.steps:
        if isinstance(step, Filter):
            keep &= truth(step.where, rows)
        elif isinstance(step, Clip):
            rows.values[step.column] = clip(rows.take(step.column), step.bounds)
        elif isinstance(step, Derive):
            rows.add(rows.schema.column(step.name), step.value)
    group = np.zeros(count, dtype=np.int64)
    for name, keys in zip(query.group_by, group_keys(query, schema), strict=True):
        codes = rows.take(name)
        keep &= ~np.isnan(codes)
        group = group * len(keys) + np.where(np.isnan(codes), 0, codes).astype(np.int64)
    if query.private_keys is not None:
        keep &= ~rows.missing(query.private_keys.column)
    groups = math.prod(len(keys) for keys in group_keys(query, schema))
    return add_up(query, layout, rows.where(keep), Places(person[keep], group[keep], groups))


def add_up(query: Query, layout: tuple[Part, ...], rows: Rows, places: Places, bounded: Bounded | None = None) -> Exact:
    """What rows that are left after all steps add up to, with the bounding of groups.

    Args:
        query: the question.
        layout: its parts.
        rows: the rows that are in a group, each person's in their order.
        places: whose they are, and where.
        bounded: a faster ``bounded_rows``.
    """
    keys, code = _private(query, rows)
    mask = (bounded or bounded_rows)(places.person, code * places.groups + places.group, query)
    if not mask.all():
        rows, places, code = rows.where(mask), places[mask], code[mask]
    person = places.person
    if keys is None:
        blocks = [block(part, query, rows, places.group, person) for part in layout]
        return Exact(np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int64))
    there, place = np.unique(code, return_inverse=True)
    several = [msgspec.structs.replace(part, groups=part.groups * len(there)) for part in layout]  # no row, no group
    within = place.astype(np.int64) * places.groups + places.group
    blocks = [
        block(part, query, rows, within, person).reshape(len(there), alone.size)
        for part, alone in zip(several, layout, strict=True)
    ]
    pairs = np.unique(np.stack([place, person]), axis=1)
    return Exact(
        vector=(np.concatenate(blocks, axis=1) if blocks else np.zeros((0, 0), dtype=np.int64)).reshape(-1),
        keys=tuple(keys[index] for index in there.tolist()),
        people=np.bincount(pairs[0], minlength=len(there)).astype(np.int64),
    )


def bounded_rows(person: Integers, group: Integers, query: Query) -> Flags:
    """Which rows stay under ``Bounding.groups`` and ``rows_per_group``: each person's first ones, in their order."""
    bounding = query.bounding
    keep = np.ones(len(person), dtype=np.bool_)
    if bounding is None or (bounding.groups is None and bounding.rows_per_group is None):
        return keep
    seen: dict[int, dict[int, int]] = {}
    for index, (who, where) in enumerate(zip(person.tolist(), group.tolist(), strict=True)):
        of_person = seen.setdefault(who, {})
        if where not in of_person and bounding.groups is not None and len(of_person) >= bounding.groups:
            keep[index] = False
            continue
        of_person[where] = of_person.get(where, 0) + 1
        keep[index] = bounding.rows_per_group is None or of_person[where] <= bounding.rows_per_group
    return keep


def first_rows(schema: Schema, columns: Mapping[str, npt.ArrayLike], rows: int) -> Flags:
    """Which rows are used at all: the first ``rows_per_person`` of each person, in the table's order."""
    return _first(person_codes(schema, columns, rows), schema.rows_per_person)


def person_codes(schema: Schema, columns: Mapping[str, npt.ArrayLike], rows: int) -> Integers:
    """A number for each row's person; -1 for nobody's: a row whose person is missing (NULL, NaN, the empty text)."""
    if schema.person is None:
        return np.arange(rows, dtype=np.int64)
    if schema.person not in columns:
        raise UnknownColumn(f"the table has no person column {schema.person!r}.")
    codes = np.full(rows, -1, dtype=np.int64)
    seen: dict[object, int] = {}
    for index, person in enumerate(np.asarray(columns[schema.person]).tolist()):
        if person in (None, "") or (isinstance(person, float) and math.isnan(person)):
            continue
        codes[index] = seen.setdefault(person, len(seen))
    return codes


def _first(person: Integers, most: int) -> Flags:
    keep = np.zeros(len(person), dtype=np.bool_)
    seen: dict[int, int] = {}
    for index, who in enumerate(person.tolist()):
        if who >= 0:
            seen[who] = seen.get(who, 0) + 1
            keep[index] = seen[who] <= most
    return keep


def _private(query: Query, rows: Rows) -> tuple[list[Constant] | None, Integers]:
    """The private keys that occur, in their own order, and the place of each row's key among them."""
    if query.private_keys is None:
        return None, np.zeros(rows.count, dtype=np.int64)
    column = rows.schema.column(query.private_keys.column)
    held = rows.take(column.name)
    if column.bounds is not None:
        held = np.floor(held)  # clipped to bounds that are not whole, an integer need not be whole
    found, place = np.unique(held, return_inverse=True)
    values = found.tolist()
    if column.name in rows.texts:
        values = [rows.texts[column.name][int(value)] for value in values]
    return [_key(column, value) for value in values], place.astype(np.int64)


def _key(column: Column, value: float | str) -> Constant:
    """A private key as it is shown: a text, a category, a boolean, or a whole number (a date is its day)."""
    if isinstance(value, str):
        return value
    return key_values(column)[int(value)] if column.kind in ("category", "boolean") else int(value)


def _row_count(columns: Mapping[str, npt.ArrayLike]) -> int:
    lengths = {len(np.asarray(values)) for values in columns.values()}
    if len(lengths) != 1:
        raise UsageError("the table's columns must all have one length.")
    return lengths.pop()


__all__ = [
    "add_up",
    "first_rows",
    "read_column",
    "run_exact",
    "run_reference",
]
