"""Schemas, tables and questions of every kind, nasty ones among them, for property tests. Loaded by path."""

import math
import random

import msgspec
import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from stead.core.schema import Bounds, Column, Schema
from stead.errors import SteadError
from stead.plans.analysis import MAX_KEY, parts, usage
from stead.plans.query import (
    And,
    Bounding,
    Clip,
    Compare,
    CompareValues,
    Count,
    Derive,
    Distinct,
    Filter,
    Histogram,
    IsIn,
    IsNull,
    Join,
    LogisticScore,
    Mean,
    Moments,
    Not,
    Or,
    People,
    PrivateKeys,
    Quantile,
    Query,
    Select,
    Sum,
    Survival,
    TopK,
)
from stead.plans.scope import scope_of
from stead.plans.values import (
    Arithmetic,
    Case,
    Cut,
    DatePart,
    Field,
    Label,
    Number,
    Relabel,
    Truth,
    Unary,
    Within,
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
TEXTS = (
    "I21.9",
    "I21",
    "I2",
    "i21",
    " I21 ",
    "E11",
    "'; DROP TABLE rows; --",
    "ß\u0301",
    "%",
    "_",
    "a\0b",
    "NULL",
    "💊x",
)
LABELS = ("one", "two", "'; --", "ß", "{before}")
INTEGER_BOUNDS = ((0, 120), (-5, 7), (0.5, 9.5), (-(2**40), 2**41), (-3, -1), (0, 1))
REAL_BOUNDS = (
    (0.0, 1.0),
    (-1e6, 1e6),
    (1e-9, 2e-9),
    (-0.1, 0.3),
    (0.1, 0.3),
    (1e15, 1e15 + 8),
    (-(2.0**890), 2.0**890),
    (50.0, 250.0),
)
DATE_BOUNDS = ((0.0, 20_000.0), (-719_162.0, 2_932_896.0), (-400.0, 60.0), (19_000.0, 19_001.0))
EXTREMES = (math.inf, -math.inf, 1e300, 1.7e308, -1.7e308, 5e-324, -0.0, 2.0**63, -(2.0**63), 9007199254740993.0)
NUMERIC = ("integer", "real", "date")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
STACK = "of table"


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
        Column(names[5], "text"),
        Column(names[6], "date", Bounds(*draw(st.sampled_from(DATE_BOUNDS)))),
    ]
    with_person = draw(st.booleans()) if person is None else person
    if with_person:
        columns.insert(draw(st.integers(0, 6)), Column(names[4], "text"))
    return Schema(
        population="people'; --",
        unit="patient",
        columns=tuple(columns),
        people=(1, 1000),
        person=names[4] if with_person else None,
        rows_per_person=draw(st.integers(1, 4)) if with_person else 1,
    )


def numbers(column):
    low, high = column.bounds.low, column.bounds.high
    inside = st.floats(low, high, allow_nan=False)
    edges = st.sampled_from((low, high, low - 1, high + 1, (low + high) / 2, 0.0, *EXTREMES))
    if column.kind == "date":
        days = st.one_of(st.integers(int(low), int(high)), st.sampled_from((-719_162, 2_932_896, int(low), int(high))))
        return st.one_of(days.map(float), st.none())
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
    if column.kind == "text":
        return st.sampled_from((*TEXTS, None, "", "  "))
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


# --- many tables at once ---------------------------------------------------------------------------------------------


def stacked(schema, tables):
    """The schema of so many tables on top of each other, told apart by one more category."""
    column = Column(STACK, "category", categories=tuple(f"t{i}" for i in range(tables)))
    return msgspec.structs.replace(schema, columns=(*schema.columns, column))


def bare(schema):
    """The schema without the category that tells tables apart."""
    return msgspec.structs.replace(schema, columns=tuple(c for c in schema.columns if c.name != STACK))


def stack(schema, tables, seed, most=14):
    """Rows of so many tables (empty ones, too), in an order that mixes them. No two tables share a person."""
    chance = random.Random(seed)
    rows = []
    for number in range(tables):
        values = {c.name: _pool(c, c.name == schema.person, number, chance) for c in schema.columns}
        size = chance.choice((0, 1, 2, 3, 5, 8, most))
        rows += [{n: chance.choice(pool) for n, pool in values.items()} | {STACK: f"t{number}"} for _ in range(size)]
    chance.shuffle(rows)
    rows = rows or [{c.name: None for c in schema.columns} | {STACK: "t0"}]
    if schema.person is not None:
        rows[0][schema.person] = rows[0][schema.person] or "somebody"  # a table of nobody cannot be loaded
    return {name: [row[name] for row in rows] for name in [*(c.name for c in schema.columns), STACK]}


def _pool(column, person, number, chance):
    """What one table's column is drawn from: often few values, so that rows are duplicates of each other."""
    if person:
        return [f"t{number}p{i}" for i in range(chance.randint(1, 5))] + [None] * chance.randint(0, 1) + [""]
    if column.kind == "boolean":
        return [True, False, None]
    if column.kind == "text":
        return [*TEXTS, None, "", "  "]
    if column.kind == "category":
        return [*column.categories, None, "undeclared", ""]
    low, high = column.bounds.low, column.bounds.high
    if column.kind == "date":
        held = [float(chance.randint(int(low), int(high))) for _ in range(4)] + [-719_162.0, 2_932_896.0, low, high]
        return [chance.choice([*held, None]) for _ in range(chance.randint(1, 8))]
    held = [chance.uniform(low, high) for _ in range(6)]
    held += [low, high, math.nextafter(low, high), math.nextafter(high, low), low - 1, high + 1, low / 2 + high / 2]
    held += [0.0, 1.0, *EXTREMES]
    if column.kind == "integer":
        held = [x if math.isinf(x) else float(math.floor(x)) for x in held]
    return [chance.choice([*held, None, math.nan]) for _ in range(chance.randint(1, 12))]


# --- conditions and values -------------------------------------------------------------------------------------------


class Known:
    """The columns that a step may name, after the steps so far."""

    def __init__(self, schema, steps=()):
        self.schema = schema
        scope = scope_of(Query("d", tuple(steps), (), (), ()), schema)
        seen = [c for c in scope.schema.columns if c.name in scope.visible and c.name not in (schema.person, STACK)]
        self.columns = seen
        self.ranges = {c.name: scope.ranges[c.name] for c in seen if c.name in scope.ranges}

    def of(self, *kinds):
        return [c for c in self.columns if c.kind in kinds]


@st.composite
def predicates(draw, known, depth=2):
    if depth and draw(st.booleans()):
        kind = draw(st.sampled_from((And, Or, Not, CompareValues)))
        if kind is Not:
            return Not(draw(predicates(known, depth - 1)))
        if kind is CompareValues:
            sides = [draw(quotients(known, depth - 1)) for _ in range(2)]
            return CompareValues(sides[0], draw(st.sampled_from(COMPARISONS)), sides[1])
        return kind(tuple(draw(st.lists(predicates(known, depth - 1), max_size=3))))
    column = draw(st.sampled_from(known.columns))
    form = draw(st.sampled_from(("compare", "compare", "is_in", "is_null")))
    if form == "is_null":
        return IsNull(column.name)
    orders = ("==", "!=")
    if column.kind == "boolean":
        constants = st.booleans()
    elif column.kind == "category":
        constants = st.sampled_from(column.categories)
    elif column.kind == "text":
        constants = st.sampled_from([text for text in TEXTS if text.strip() == text])
    else:
        low, high = column.bounds.low, column.bounds.high
        constants = st.one_of(st.sampled_from((low, high, 0, 1, -0.0, 2**62)), st.floats(low, high))
        orders = COMPARISONS
    if form == "is_in":
        return IsIn(column.name, tuple(draw(st.lists(constants, max_size=3))))
    return Compare(column.name, draw(st.sampled_from(orders)), draw(constants))


@st.composite
def quotients(draw, known, depth=1):
    """A number that is only compared, so that a quotient of anything will do, one of quotients too."""
    if depth >= 0 and draw(st.integers(0, 3)) == 0:
        return Arithmetic("/", draw(quotients(known, depth - 1)), draw(quotients(known, depth - 1)))
    return draw(reals(known, max(depth, 0)))


SMALL = (-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 0.1, 0.3, 7.0, 100.0, 2.0**-101, 1e300)


@st.composite
def reals(draw, known, depth=2):
    """A value that is a number (which ``scope`` may still refuse)."""
    columns = known.of("integer", "real", "date", "boolean")
    if not depth or not columns or draw(st.integers(0, 4)) == 0:
        if columns and draw(st.integers(0, 3)):
            return Field(draw(st.sampled_from(columns)).name)
        return Number(draw(st.sampled_from(SMALL)))
    form = draw(st.sampled_from(("arithmetic", "arithmetic", "unary", "within", "ratio", "truth", "case", "date")))
    inner = reals(known, depth - 1)
    if form == "arithmetic":
        return Arithmetic(draw(st.sampled_from(("+", "-", "*", "/", "min", "max"))), draw(inner), draw(inner))
    if form == "unary":
        return Unary(draw(st.sampled_from(("negate", "absolute", "floor", "root"))), draw(inner))
    if form in ("within", "ratio"):
        low, high = sorted(draw(st.lists(st.sampled_from(SMALL[:-2]), min_size=2, max_size=2, unique=True)))
        value = draw(inner) if form == "within" else Arithmetic("/", draw(inner), draw(inner))
        return Within(value, Bounds(low, high if high > low else low + 1.0))
    if form == "truth":
        return Truth(draw(predicates(known, depth - 1)))
    if form == "date" and known.of("date"):
        part = draw(st.sampled_from(("year", "quarter", "month", "day", "weekday", "day_of_year")))
        return DatePart(part, draw(st.sampled_from(known.of("date"))).name)
    branches = [(draw(predicates(known, depth - 1)), draw(inner)) for _ in range(draw(st.integers(1, 3)))]
    return Case(tuple(branches), draw(st.one_of(st.none(), inner)))


@st.composite
def classes(draw, known):
    """A value that is a category."""
    form = draw(st.sampled_from(("cut", "relabel", "case")))
    labels = draw(st.permutations(LABELS))
    if form == "cut":
        value = draw(reals(known, 1))
        low, high = -10.0, 200.0
        if isinstance(value, Field) and value.column in known.ranges:
            low, high = known.ranges[value.column].low, known.ranges[value.column].high
        points = draw(st.lists(st.one_of(st.floats(low, high), st.sampled_from((low, high))), min_size=2, max_size=5))
        edges = tuple(sorted({point + 0.0 for point in points}))
        edges = edges if len(edges) > 1 else (low, high)
        return Cut(value, edges, tuple(labels[: len(edges) - 1]))
    some = st.sampled_from(labels[:3])
    if form == "relabel" and known.of("text", "category"):
        column = draw(st.sampled_from(known.of("text", "category")))
        keys = TEXTS if column.kind == "text" else column.categories
        key = st.sampled_from([*keys, "I", "", "f"])
        table = draw(st.lists(st.tuples(key, some), min_size=1, max_size=4))
        return Relabel(column.name, draw(st.sampled_from(("equal", "prefix"))), tuple(table), draw(st.none() | some))
    branches = [(draw(predicates(known, 1)), Label(draw(some))) for _ in range(draw(st.integers(1, 3)))]
    return Case(tuple(branches), draw(st.none() | some.map(Label)))


# --- questions -------------------------------------------------------------------------------------------------------


@st.composite
def steps_of(draw, schema, most=5):
    """Row steps that can be; what ``scope`` refuses is left out."""
    steps = []
    kinds = (Filter, Derive, Derive, Clip, Select)
    for number, kind in enumerate(draw(st.lists(st.sampled_from(kinds), max_size=most))):
        known = Known(schema, steps)
        if kind is Filter:
            steps.append(Filter(draw(predicates(known))))
        elif kind is Derive:
            value = draw(st.one_of(reals(known), classes(known), predicates(known).map(Truth)))
            steps.append(Derive(f"new {number}'", value))
        elif kind is Select:
            names = draw(st.lists(st.sampled_from([c.name for c in known.columns]), min_size=1, unique=True))
            kept = [*names, *(c.name for c in schema.columns if c.name == STACK)]
            steps.append(Select(tuple(kept)))
        elif known.of(*NUMERIC):
            name = draw(st.sampled_from(known.of(*NUMERIC))).name
            low, high = known.ranges[name].low, known.ranges[name].high
            first, second = sorted(draw(st.tuples(*[st.floats(0.0, 1.0, width=16)] * 2)))
            clipped = (low + first * (high - low), low + second * (high - low))
            if clipped[0] < clipped[1]:
                steps.append(Clip(name, Bounds(*clipped)))
        if steps and not _possible(schema, steps):
            steps.pop()
    return tuple(steps)


def _possible(schema, steps):
    try:
        scope_of(Query("d", tuple(steps), (), (), ()), schema)
    except SteadError:
        return False
    return True


@st.composite
def queries(draw, schema, *, private=False, joins=(), cells=1 << 16):
    """Questions without their noise; with ``private``, by private keys."""
    steps = draw(steps_of(schema))
    known = Known(schema, steps)
    keys = [c.name for c in known.of("category", "boolean")]
    group_by = draw(st.lists(st.sampled_from(keys), max_size=2, unique=True)) if keys else []
    bounding = draw(st.none() | boundings())
    chosen = None
    if private:
        ranges = known.ranges
        able = [c for c in known.columns if c.kind != "real" and (c.name not in ranges or _small(ranges[c.name]))]
        column = draw(st.sampled_from(able or [None]))
        chosen = column and PrivateKeys(column.name, 1.0, draw(st.integers(0, 5)))
        group_by = [name for name in group_by if column is None or name != column.name]
        bounding = bounding or Bounding(groups=2)
        bounding = msgspec.structs.replace(bounding, groups=bounding.groups or 1)
    stack = tuple(c.name for c in schema.columns if c.name == STACK)
    query = Query("d'; --", steps, (*stack, *group_by), (), (), tuple(joins), bounding, private_keys=chosen)
    made = []
    for number, make in enumerate(draw(st.lists(aggregates(known), min_size=1, max_size=4))):
        trial = msgspec.structs.replace(query, aggregates=(*made, make(f"r{number}'")))
        try:
            size = sum(part.size for part in parts(trial, schema))
            usage(trial, schema)
        except SteadError:
            continue
        made += [trial.aggregates[-1]] if size <= cells else []
    return msgspec.structs.replace(query, aggregates=tuple(made or [Count("n'")]))


def _small(bounds):
    return max(abs(bounds.low), abs(bounds.high)) <= MAX_KEY


@st.composite
def boundings(draw):
    limit = st.none() | st.integers(1, 3)
    return Bounding(draw(limit), draw(limit), draw(limit))


def edges_of(bounds, least=2):
    low, high = bounds.low, bounds.high
    point = st.one_of(st.sampled_from((low, high, low / 2 + high / 2)), st.floats(low, high))
    found = st.lists(point, min_size=least, max_size=6).map(lambda points: tuple(sorted({p + 0.0 for p in points})))
    return found.map(lambda edges: edges if len(edges) > 1 else (low, high))


def aggregates(known):
    """Something that makes an aggregate of a name."""
    return st.one_of(of_one_column(known), of_one_column(known), of_several(known))


@st.composite
def of_one_column(draw, known):
    column = draw(st.sampled_from(known.columns))
    flags = [c.name for c in known.of("boolean")]
    forms = [Count, People, "count of", "people of", Distinct]
    if column.kind != "text":
        forms.append(Histogram)
    if column.kind in ("category", "boolean"):
        forms.append(TopK)
    if column.kind in (*NUMERIC, "boolean"):
        forms += [Sum, Mean, Mean]
    if column.kind in NUMERIC:
        forms += [Quantile, Quantile] + [Survival] * bool(flags)
    form = draw(st.sampled_from(forms))
    if form in (Count, People):
        return form
    more = ()
    if form is TopK:
        more = (1,)
    elif form is Histogram and column.kind in NUMERIC:
        more = (draw(edges_of(known.ranges[column.name])),)
    elif form is Quantile:
        more = ((0.0, 0.5, 1.0), draw(st.sampled_from((1, 2, 2, 3))))
    elif form is Survival:
        edges, show = draw(edges_of(known.ranges[column.name])), draw(st.sampled_from(("kaplan-meier", "nelson-aalen")))
        more = (draw(st.sampled_from(flags)), edges, show)
    make = {"count of": Count, "people of": People}.get(form, form)
    return lambda name: make(name, column.name, *more)


@st.composite
def of_several(draw, known):
    numeric = [c.name for c in known.of(*NUMERIC, "boolean")]
    flags = [c.name for c in known.of("boolean")]
    if not numeric:
        return Count
    several = tuple(draw(st.lists(st.sampled_from(numeric), min_size=1, max_size=3, unique=True)))
    if not flags or draw(st.booleans()):
        show = {1: ("variance", "deviation"), 2: ("covariance", "correlation", "linear"), 3: ("linear",)}[len(several)]
        shown = draw(st.sampled_from(show))
        return lambda name: Moments(name, several, shown)
    theta = tuple(draw(st.sampled_from((0.0, 1.0, -2.5, 1000.0))) for _ in range(len(several) + 1))
    target = draw(st.sampled_from(flags))
    return lambda name: LogisticScore(name, several, target, theta)


@st.composite
def other_schemas(draw, schema, name="lab"):
    """A dataset of the same people that a question joins, and the join."""
    other = draw(schemas(person=True))
    names = [c.name for c in other.columns if c.name != other.person]
    taken = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    other = msgspec.structs.replace(other, population=schema.population)
    return other, Join(name, tuple(taken), draw(st.sampled_from(("inner", "left"))))


# --- files -----------------------------------------------------------------------------------------------------------


def arrow_table(schema, table):
    """The same table as an owner's file would hold it; NULL and NaN stay different things."""
    types = {
        "integer": pa.float64(),
        "real": pa.float64(),
        "date": pa.date32(),
        "boolean": pa.bool_(),
        "category": pa.string(),
        "text": pa.string(),
    }
    held = {c.name: table[c.name] for c in schema.columns}
    for column in schema.columns:
        if column.kind == "date":
            held[column.name] = [None if day is None else int(day) for day in table[column.name]]
    return pa.table({c.name: pa.array(held[c.name], types[c.kind], from_pandas=False) for c in schema.columns})


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
