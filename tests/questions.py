"""Schemas, tables and questions of every kind, nasty ones among them, for property tests. Loaded by path."""

import math

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from stead.core.schema import Bounds, Column, Schema
from stead.plans.query import (
    And,
    Clip,
    Compare,
    Count,
    Filter,
    Histogram,
    IsIn,
    IsNull,
    Mean,
    Not,
    Or,
    Query,
    Select,
    Sum,
)

NAMES = (
    'a"b',
    "x'; DROP TABLE rows; --",
    "age",
    "ünï/*",
    "c0",
    "person_index",
    "?",
    "$1",
    "{before}",
    "select",
    "rows",
    "name with space",
    "\u202eevil",
)
CATEGORIES = ("f", "m", "'", '"', "'); ATTACH 'x'; --", "/* */", "ß\u0301", "a\0b", "%s{0}", "NULL", "F")
INTEGER_BOUNDS = ((0, 120), (-5, 7), (0.5, 9.5), (-(2**40), 2**41), (-3, -1), (0, 1))
REAL_BOUNDS = (
    (0.0, 1.0),
    (-1e6, 1e6),
    (1e-9, 2e-9),
    (-0.1, 0.3),
    (1e15, 1e15 + 8),
    (-(2.0**890), 2.0**890),
    (50.0, 250.0),
)
EXTREMES = (math.inf, -math.inf, 1.7e308, -1.7e308, 5e-324, -0.0, 2.0**63, -(2.0**63), 9007199254740993.0)


@st.composite
def schemas(draw, person=None):
    names = draw(st.permutations(NAMES))
    columns = [
        Column(names[0], "integer", Bounds(*draw(st.sampled_from(INTEGER_BOUNDS)))),
        Column(names[1], "real", Bounds(*draw(st.sampled_from(REAL_BOUNDS)))),
        Column(
            names[2],
            "category",
            categories=tuple(draw(st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=4, unique=True))),
        ),
        Column(names[3], "boolean"),
    ]
    with_person = draw(st.booleans()) if person is None else person
    if with_person:
        columns.insert(draw(st.integers(0, 4)), Column(names[4], "text"))
    return Schema(
        population="people'; --",
        unit="patient",
        columns=tuple(columns),
        people=(1, 1000),
        person=names[4] if with_person else None,
        rows_per_person=draw(st.integers(1, 3)) if with_person else 1,
    )


def numbers(column):
    low, high = column.bounds.low, column.bounds.high
    inside = st.floats(low, high, allow_nan=False)
    edges = st.sampled_from((low, high, low - 1, high + 1, (low + high) / 2, 0.0, *EXTREMES))
    if column.kind == "integer":
        inside, edges = (
            inside.map(lambda x: float(round(x))),
            edges.map(lambda x: x if math.isinf(x) else float(math.floor(x))),
        )
    return st.one_of(inside, edges, st.none(), st.just(math.nan))


def cells(column, person):
    if person:
        return st.sampled_from(("p1", "p2", "p3", "p'4", "P1", None, ""))
    if column.bounds is not None:
        return numbers(column)
    if column.kind == "boolean":
        return st.sampled_from((True, False, None))
    return st.sampled_from((*column.categories, None, "undeclared", ""))


@st.composite
def tables(draw, schema, least=1, most=24):
    size = draw(st.integers(least, most))
    table = {
        column.name: draw(st.lists(cells(column, column.name == schema.person), min_size=size, max_size=size))
        for column in schema.columns
    }
    if schema.person is not None and size:
        table[schema.person][0] = "p0"  # a table of nobody cannot be loaded
    return table


@st.composite
def predicates(draw, schema, names, depth=2):
    if depth and draw(st.booleans()):
        kind = draw(st.sampled_from((And, Or, Not)))
        if kind is Not:
            return Not(draw(predicates(schema, names, depth - 1)))
        return kind(tuple(draw(st.lists(predicates(schema, names, depth - 1), max_size=3))))
    column = schema.column(draw(st.sampled_from(names)))
    form = draw(st.sampled_from(("compare", "compare", "is_in", "is_null")))
    if form == "is_null":
        return IsNull(column.name)
    if column.kind == "boolean":
        constants, orders = st.booleans(), ("==", "!=")
    elif column.kind == "category":
        constants, orders = st.sampled_from(column.categories), ("==", "!=")
    else:
        low, high = column.bounds.low, column.bounds.high
        constants = st.one_of(st.sampled_from((low, high, 0, 1, 2**62)), st.floats(low, high))
        orders = ("==", "!=", "<", "<=", ">", ">=")
    if form == "is_in":
        return IsIn(column.name, tuple(draw(st.lists(constants, max_size=3))))
    return Compare(column.name, draw(st.sampled_from(orders)), draw(constants))


@st.composite
def queries(draw, schema):
    names = [c.name for c in schema.columns if c.kind != "text" and c.name != schema.person]
    ranges = {c.name: (c.bounds.low, c.bounds.high) for c in schema.columns if c.bounds is not None}
    steps = []
    for kind in draw(st.lists(st.sampled_from((Filter, Filter, Clip, Select)), max_size=4)):
        numeric = [name for name in names if name in ranges]
        if kind is Filter:
            steps.append(Filter(draw(predicates(schema, names))))
        elif kind is Select:
            names = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
            steps.append(Select(tuple(names)))
        elif numeric:
            name = draw(st.sampled_from(numeric))
            low, high = ranges[name]
            first, second = sorted(draw(st.tuples(*[st.floats(0.0, 1.0, width=16)] * 2)))
            clipped = (low + first * (high - low), low + second * (high - low))
            if clipped[0] < clipped[1] <= high:
                steps.append(Clip(name, Bounds(*clipped)))
                ranges[name] = clipped
    keys = [name for name in names if name not in ranges]
    group_by = draw(st.lists(st.sampled_from(keys), unique=True)) if keys else []
    made = draw(st.lists(aggregates(schema, names), min_size=1, max_size=4))
    return Query("d'; --", tuple(steps), tuple(group_by), tuple(make(f"r{i}'") for i, make in enumerate(made)), ())


@st.composite
def aggregates(draw, schema, names):
    """Something that makes an aggregate of a name."""
    column = schema.column(draw(st.sampled_from(names)))
    forms = ["count", "count of", "histogram"] + (["sum", "mean", "mean"] if column.kind != "category" else [])
    form = draw(st.sampled_from(forms))
    if form == "count":
        return Count
    if form == "count of":
        return lambda name: Count(name, column.name)
    if form == "sum":
        return lambda name: Sum(name, column.name)
    if form == "mean":
        return lambda name: Mean(name, column.name)
    if column.bounds is None:
        return lambda name: Histogram(name, column.name)
    low, high = column.bounds.low, column.bounds.high
    inside = st.floats(low, high)
    points = draw(st.lists(st.one_of(st.sampled_from((low, high, (low + high) / 2)), inside), min_size=2, max_size=6))
    edges = tuple(sorted({point + 0.0 for point in points}))
    return lambda name: Histogram(name, column.name, edges if len(edges) > 1 else (low, high))


def arrow_table(schema, table):
    """The same table as an owner's file would hold it; NULL and NaN stay different things."""
    types = {
        "integer": pa.float64(),
        "real": pa.float64(),
        "boolean": pa.bool_(),
        "category": pa.string(),
        "text": pa.string(),
    }
    return pa.table({c.name: pa.array(table[c.name], types[c.kind], from_pandas=False) for c in schema.columns})


def write_arrow(schema, table, path):
    data = arrow_table(schema, table)
    with pa.ipc.new_file(str(path), data.schema) as file:
        file.write_table(data)


def without(schema, table, person):
    """The table without one person's rows; without a person column, without one row."""
    if schema.person is None:
        return {name: [v for i, v in enumerate(values) if i != person] for name, values in table.items()}
    keep = [who != person for who in table[schema.person]]
    return {name: [v for v, kept in zip(values, keep, strict=True) if kept] for name, values in table.items()}


def as_columns(table):
    return {name: np.array([*values, None], dtype=object)[:-1] for name, values in table.items()}
