"""What one person can add to a query's integers, from the plan and the public schema alone.

Every released number is an integer on a declared lattice: a count in steps of one, a sum in steps of a power of two
chosen by the public rule of ``lattice``. ``parts`` lays out the released vector and refuses what cannot be bounded,
naming the step; ``analyse`` adds the bound for one person and checks the noise. Nothing here has seen a row.

Where datasets are joined, ``schema`` is that of the joined rows (``stead.plans.joining``).

References: docs/theory/contribution-bounds.md.
"""

from __future__ import annotations

import math

import msgspec

from stead.core.schema import Schema
from stead.errors import UnboundedContribution, UsageError
from stead.plans.layout import LATTICE_BITS, Part, key_values, lattice, layout_of
from stead.plans.query import Query
from stead.plans.scope import Scope, scope_of

MAX_CELLS = 1 << 20
MAX_KEY_GROUPS = 1 << 12
MAX_KEY = 1 << 53
"""Beyond it a float is not every whole number."""
MAX_TOTAL = 1 << 56
"""The largest integer one site may reach: 64 sites and their noise still fit a signed 64-bit integer."""
MIN_SIGMA = 0.3
MAX_SIGMA = 2.0**40


class Usage(msgspec.Struct, frozen=True):
    """How much of one person is in use after the query's bounding.

    Attributes:
        rows: at most so many rows.
        groups: rows in at most so many groups.
        rows_per_group: at most so many rows in one group.
        chosen: whether groups or rows must be left out while the query runs; rows alone are bounded by stored ranks.
    """

    rows: int
    groups: int
    rows_per_group: int
    chosen: bool

    def l1(self, row: int) -> int:
        """How far one person moves the integers of all groups, where a row moves those of its group by ``row``."""
        return row * min(self.rows, self.groups * self.rows_per_group)

    def l2_squared(self, row_squared: int) -> int:
        """The square of the Euclidean distance, where a row's own is at most ``row_squared``.

        Rows of one group may all move the same integers; those of different groups never do. So it is the most of the
        sum of r_g squared over rows r_g of each group: as few groups as possible, each as full as it may be.
        """
        full = min(self.groups, self.rows // self.rows_per_group)
        rest = self.rows - full * self.rows_per_group if full < self.groups else 0
        return row_squared * (full * self.rows_per_group**2 + rest**2)


class Contribution(msgspec.Struct, frozen=True):
    """How far one person can move each part, in lattice steps.

    Attributes:
        parts: the released blocks.
        l2: Euclidean norm over the whole part, rounded up.
        linf: in one integer.
        l1: in all integers together.
        usage: how much of one person is in use.
    """

    parts: tuple[Part, ...]
    l2: tuple[float, ...]
    linf: tuple[int, ...]
    l1: tuple[int, ...]
    usage: Usage

    @property
    def size(self) -> int:
        """The length of the released vector; with private keys, for each key."""
        return sum(part.size for part in self.parts)


def parts(query: Query, schema: Schema) -> tuple[Part, ...]:
    """The layout of the released vector: parts concatenated, each row-major (groups, cells).

    A mean gives two parts, its centred sum and its count, and so do moments; every other aggregate gives one. Checks
    everything but the noise, so it can be asked before the noise is chosen.

    Raises:
        UnknownColumn: a column that is not declared.
        UnboundedContribution: a step whose effect by one person has no bound.
        UsageError: any other thing that cannot be, naming the step.
    """
    scope = scope_of(query, schema)
    groups = _groups(query, scope)
    _check_names(query)
    layout = tuple(part for aggregate in query.aggregates for part in layout_of(aggregate, scope, groups))
    cells = sum(part.size for part in layout)
    if cells > MAX_CELLS:
        raise UsageError(
            f"the question asks for {cells} numbers; the limit is {MAX_CELLS}.",
            hint="group by fewer columns, or bin more coarsely",
        )
    return layout


def usage(query: Query, schema: Schema) -> Usage:
    """How much of one person the query uses.

    Raises:
        UnboundedContribution: private keys of which one person could have any number.
        UsageError: a bound below 1.
    """
    bounding = query.bounding
    limits = (None, None, None) if bounding is None else (bounding.rows, bounding.groups, bounding.rows_per_group)
    if any(limit is not None and limit < 1 for limit in limits):
        raise UsageError("a bound on what is used of one person is 1 or more.", hint="limit(rows=…, groups=…)")
    rows = min(schema.rows_per_person, limits[0] or schema.rows_per_person)
    public = _group_count(query, schema)
    groups_there = rows if query.private_keys is not None else min(rows, public)
    if query.private_keys is not None and limits[1] is None and rows > 1:
        raise UnboundedContribution(
            f"group_by_private: one {schema.unit} can have {rows} rows, each with a key of its own, and each key that "
            f"a {schema.unit} can have costs privacy.",
            hint="limit(groups=1), or as many keys as the study needs of each",
        )
    groups = min(groups_there, limits[1] or groups_there)
    per_group = min(rows, limits[2] or rows)
    return Usage(rows, groups, per_group, chosen=groups < groups_there or per_group < rows)


def analyse(query: Query, schema: Schema) -> Contribution:
    """How far one person can move the query's integers, proven from the schema; checks the noise as well.

    Raises:
        UnknownColumn: a column that is not declared.
        UnboundedContribution: no bound exists, or a sum could leave 64-bit integers.
        UsageError: any other thing that cannot be, naming the step.
    """
    layout = parts(query, schema)
    rows_most = schema.people[1] * schema.rows_per_person
    for part in layout:
        if rows_most * part.per_row > MAX_TOTAL:
            raise UnboundedContribution(
                f"aggregate {part.aggregate!r} could reach {rows_most * part.per_row} steps with {rows_most} rows; "
                f"the limit is {MAX_TOTAL}.",
                hint="the owner's people range is too wide for exact sums",
            )
    used = usage(query, schema)
    _check_sigmas(query, layout)
    person = msgspec.structs.replace(used, rows_per_group=1)
    bounds = [person if part.kind == "people" else used for part in layout]
    return Contribution(
        parts=layout,
        l2=tuple(_root(u.l2_squared(part.row_l2_squared)) for u, part in zip(bounds, layout, strict=True)),
        linf=tuple(part.per_row * u.rows_per_group for u, part in zip(bounds, layout, strict=True)),
        l1=tuple(u.l1(part.row_l1) for u, part in zip(bounds, layout, strict=True)),
        usage=used,
    )


def asked_schema(query: Query, schema: Schema) -> Schema:
    """The schema with the columns that the query derives."""
    return scope_of(query, schema).schema


def group_keys(query: Query, schema: Schema) -> tuple[tuple[str | bool, ...], ...]:
    """The public values of each ``group_by`` column, in the order of the result's axes."""
    asked = asked_schema(query, schema)
    return tuple(key_values(asked.column(name)) for name in query.group_by)


def _group_count(query: Query, schema: Schema) -> int:
    return math.prod(len(keys) for keys in group_keys(query, schema))


def _root(square: int) -> float:
    """The square root, rounded up."""
    whole = math.isqrt(square)
    if whole * whole == square and whole < 2**53:
        return float(whole)
    return math.nextafter(math.sqrt(square), math.inf)


def _groups(query: Query, scope: Scope) -> int:
    names = query.group_by if query.private_keys is None else (*query.group_by, query.private_keys.column)
    if len(set(names)) != len(names):
        raise UsageError("group_by names a column twice.")
    groups = 1
    for name in query.group_by:
        column = scope.column(name, "group_by")
        if column.kind not in ("category", "boolean"):
            raise UsageError(
                f"group_by: column {name!r} is {column.kind}; groups are public, so only category and boolean "
                "columns can make them.",
                hint=f"{name}.cut(edges) makes categories of a number",
            )
        groups *= len(key_values(column))
    if query.private_keys is not None:
        _check_private(query, scope, groups)
    return groups


def _check_private(query: Query, scope: Scope, groups: int) -> None:
    keys = query.private_keys
    assert keys is not None  # noqa: S101 - asked by its caller
    column = scope.column(keys.column, "group_by_private", text=True)
    if column.kind not in ("text", "integer", "date", "category", "boolean"):
        raise UsageError(
            f"group_by_private: column {keys.column!r} is {column.kind}; keys are texts, whole numbers or dates.",
            hint=f"{keys.column}.floor() makes whole numbers",
        )
    if column.kind in ("integer", "date"):
        bounds = scope.range_of(column, "group_by_private")
        if max(abs(bounds.low), abs(bounds.high)) > MAX_KEY:
            raise UsageError(
                f"group_by_private: column {keys.column!r} goes from {bounds.low:g} to {bounds.high:g}; keys are whole "
                "numbers up to 2^53.",
                hint=f"{keys.column}.clip(low, high) makes them smaller",
            )
    if groups > MAX_KEY_GROUPS:
        raise UsageError(f"group_by_private: {groups} public groups in each key; the limit is {MAX_KEY_GROUPS}.")


def _check_names(query: Query) -> None:
    names = [aggregate.name for aggregate in query.aggregates]
    if not names and query.private_keys is None:
        raise UsageError("a question needs at least one aggregate, for example a count, a mean or a histogram.")
    if len(set(names)) != len(names):
        raise UsageError("two aggregates have the same name.", hint="give each its own name")
    keys = query.group_by if query.private_keys is None else (*query.group_by, query.private_keys.column)
    for name in names:
        if not 0 < len(name) <= 128 or not name.isprintable():
            raise UsageError("the name of an aggregate is 1 to 128 printable characters.")
        if name in keys:
            raise UsageError(f"aggregate {name!r} has the name of a group_by column.", hint="give it its own name")


def _check_sigmas(query: Query, layout: tuple[Part, ...]) -> None:
    sigmas = query.sigmas
    if len(sigmas) != len(layout):
        raise UsageError(
            f"the question releases {len(layout)} parts and carries {len(sigmas)} sigmas.",
            hint="one sigma for each part; within= chooses them",
        )
    named = [(f"aggregate {part.aggregate!r}", sigma) for part, sigma in zip(layout, sigmas, strict=True)]
    if query.private_keys is not None:
        named.append(("group_by_private", query.private_keys.sigma))
        if not 0 <= query.private_keys.threshold < 1 << 53:
            raise UsageError(f"group_by_private: the threshold {query.private_keys.threshold} is no number of people.")
    for what, sigma in named:
        if not MIN_SIGMA <= sigma <= MAX_SIGMA:
            raise UsageError(f"{what}: sigma must lie between {MIN_SIGMA} and 2^40 lattice steps; got {sigma:g}.")


__all__ = [
    "LATTICE_BITS",
    "MAX_CELLS",
    "MAX_SIGMA",
    "MAX_TOTAL",
    "MIN_SIGMA",
    "Contribution",
    "Part",
    "Usage",
    "analyse",
    "asked_schema",
    "group_keys",
    "key_values",
    "lattice",
    "parts",
    "usage",
]
