"""One person moves no part of an answer further than the analysis says, and there is somebody who moves it so far.

Whatever the schema, the question and the rows: groups and rows in groups that are left out, private keys, joined rows.
The bounds that noise is chosen by are l1 (Laplace), l2 (Gaussian) and linf.
"""

import importlib.util
import math
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import UnboundedContribution, UsageError
from stead.node.services.tables import JoinedTables, Limits, load
from stead.plans.analysis import analyse, parts
from stead.plans.joining import joined_schema
from stead.plans.query import (
    Bounding,
    Count,
    Distinct,
    Histogram,
    Join,
    LogisticScore,
    Mean,
    Moments,
    People,
    PrivateKeys,
    Quantile,
    Query,
    Sum,
    Survival,
)
from stead.plans.sums import run_exact

QUICK = (Phase.generate, Phase.shrink)
ONE = Limits(threads=1, memory_mb=256)


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


questions, oracle = loaded("questions"), loaded("oracle")


def contribution(query, schema):
    return analyse(msgspec.structs.replace(query, sigmas=(1.0,) * len(parts(query, schema))), schema)


def moves(query, schema, here, there):
    """For each part what one person moved: l1, l2 squared and linf over all keys and groups together."""
    layout = parts(query, schema)
    size = sum(part.size for part in layout)
    both = {}
    for sign, exact in ((1, here), (-1, there)):
        keys = exact.keys if exact.keys is not None else (None,)
        for key, vector in zip(keys, exact.vector.reshape(len(keys), size), strict=True):
            both[key] = both.get(key, 0) + sign * vector
    moved = np.stack([np.zeros(size, dtype=np.int64), *both.values()])
    for block in np.split(moved, np.cumsum([part.size for part in layout])[:-1], axis=1):
        held = [abs(int(x)) for x in block.reshape(-1)]
        yield sum(held), sum(x * x for x in held), max(held, default=0)


def within_bounds(query, schema, here, there):
    bound = contribution(query, schema)
    for (l1, square, linf), *most in zip(
        moves(query, schema, here, there), bound.l1, bound.l2, bound.linf, strict=True
    ):
        assert l1 <= most[0]
        assert square <= Fraction(most[1]) ** 2
        assert linf <= most[2]
    if here.keys is not None:
        counts = [dict(zip(exact.keys, exact.people.tolist(), strict=True)) for exact in (here, there)]
        changed = [counts[0].get(key, 0) - counts[1].get(key, 0) for key in {*here.keys, *there.keys}]
        assert sum(map(abs, changed)) <= bound.usage.groups
        assert all(abs(change) <= 1 for change in changed)


@settings(max_examples=150, phases=QUICK)
@given(data=st.data(), private=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_no_person_goes_beyond_the_bound(data, private, seed):
    """Each of up to five people of one table is taken away once; many rows, so that bounding leaves some out."""
    schema = data.draw(questions.schemas())
    rows = questions.stack(schema, 1, seed, most=40)
    rows = {column.name: rows[column.name] for column in schema.columns}
    size = len(next(iter(rows.values())))
    people = sorted({who for who in rows[schema.person] if who}) if schema.person else range(min(size, 5))
    for query in (data.draw(questions.queries(schema, private=private)) for _ in range(3)):
        here = run_exact(query, schema, questions.as_columns(rows))
        for person in people:
            there = run_exact(query, schema, questions.as_columns(questions.without(schema, rows, person)))
            within_bounds(query, schema, here, there)


@settings(max_examples=12, phases=QUICK)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_no_person_goes_beyond_the_bound_in_joined_rows(tmp_path_factory, data, seed):
    """In the engine: a person is taken away from both datasets."""
    schema = data.draw(questions.schemas(person=True))
    other, join = data.draw(questions.other_schemas(schema))
    directory = tmp_path_factory.mktemp("joined")
    worlds = {}
    for world in ("here", "there"):
        for name, each, more in (("own", schema, 0), ("lab", other, 1)):
            rows = questions.stack(each, 1, seed + more, most=30)
            for person, size in (("t0p0", 3), ("t0p1", 1)):  # both are there, the first of them with several rows
                for column in each.columns:
                    rows[column.name] += rows[column.name][:1] * size if column.name != each.person else [person] * size
            rows = {column.name: rows[column.name] for column in each.columns}
            rows = rows if world == "here" else questions.without(each, rows, "t0p0")
            (directory / world).mkdir(exist_ok=True)
            questions.write_arrow(each, rows, directory / world / f"{name}.arrow")
            card = DatasetCard(name, each)
            load(directory / world / f"{name}.arrow", card, directory / world, limits=ONE, person_secret=bytes(32))
        cards = DatasetCard("own", schema), [DatasetCard("lab", other)]
        worlds[world] = JoinedTables(directory / world, *cards, limits=ONE)
    joined = joined_schema(Query("own", (), (), (), (), (join,)), schema, {"lab": other}.__getitem__)
    with worlds["here"] as here, worlds["there"] as there:
        for private in (False, False, True):
            query = data.draw(questions.queries(joined, private=private))
            asked = msgspec.structs.replace(query, dataset="own", joins=(join,))
            within_bounds(query, joined, here.run(asked), there.run(asked))


# --- the bounds are reached ------------------------------------------------------------------------------------------

SCHEMA = Schema(
    "north",
    "patient",
    (
        Column("pid", "text"),
        Column("x", "real", Bounds(-1, 1)),
        Column("y", "real", Bounds(-2, 2)),
        Column("k", "integer", Bounds(0, 100)),
        Column("g", "category", categories=("a", "b", "c", "d")),
        Column("dead", "boolean"),
    ),
    people=(1, 100),
    person="pid",
    rows_per_person=7,
)
# Seven rows of one person, in groups a a a a b b c; k tells all of them apart.
WORST = {
    "pid": ["p"] * 7,
    "x": [1.0] * 7,
    "y": [2.0] * 7,
    "k": list(range(7)),
    "g": list("aaaabbc"),
    "dead": [False] * 7,
}
ONE_20 = 1 << 20
# What a row moves, by hand: x is 1 of [-1, 1], 2^19 steps (the half of a range is 2^19 to 2^20 steps); x and y as
# moments are 2^19 each, and their products 2^19 * 2^19 / 2^20 = 2^18. A tree of 101 whole numbers has 7 and 101 nodes.
ROWS = [
    (Count("n"), [(1, 1, 1)]),
    (Count("n", "x"), [(1, 1, 1)]),
    (Distinct("n", "k"), [(1, 1, 1)]),
    (Sum("n", "x"), [(2**19, 2**38, 2**19)]),
    (Mean("n", "y"), [(2**19, 2**38, 2**19), (1, 1, 1)]),
    (Histogram("n", "x", (-1.0, 0.0, 1.0)), [(1, 1, 1)]),
    (Quantile("n", "x", (0.5,), 2), [(2, 2, 1)]),
    (Survival("n", "x", "dead", (-1.0, 0.0, 1.0), "kaplan-meier"), [(1, 1, 1)]),
    (Moments("n", ("x", "y"), "covariance"), [(2 * 2**19 + 3 * 2**18, 2 * 2**38 + 3 * 2**36, 2**19), (1, 1, 1)]),
]
# Bounding, and how many rows of one group and which sum of squares over groups are left of a a a a b b c.
BOUNDS = [
    (Bounding(), 7, 4, 16 + 4 + 1),
    (Bounding(rows=5), 5, 4, 16 + 1),
    (Bounding(groups=2), 6, 4, 16 + 4),
    (Bounding(groups=2, rows_per_group=2), 4, 2, 4 + 4),
    (Bounding(groups=1, rows_per_group=3), 3, 3, 9),
]


@pytest.mark.parametrize(("bounding", "rows", "most", "squares"), BOUNDS)
@pytest.mark.parametrize(("aggregate", "by_row"), ROWS, ids=lambda each: getattr(type(each), "__name__", ""))
def test_what_a_person_of_seven_rows_moves(aggregate, by_row, bounding, rows, most, squares):
    """The definition moves by what was worked out by hand, which no bound is below."""
    query = Query("d", (), ("g",), (aggregate,), (), bounding=bounding)
    exact = run_exact(query, SCHEMA, WORST)
    nobody = run_exact(query, SCHEMA, {name: [] for name in WORST})
    within_bounds(query, SCHEMA, exact, nobody)
    for found, (l1, square, linf) in zip(moves(query, SCHEMA, exact, nobody), by_row, strict=True):
        assert found == (rows * l1, squares * square, most * linf)


@pytest.mark.parametrize("aggregate", [each for each, _ in ROWS], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize(
    ("bounding", "groups"),
    [
        (Bounding(), "aaaaaaa"),
        (Bounding(rows=5), "aaaaa"),
        (Bounding(groups=2, rows_per_group=3), "aaabbb"),
        (Bounding(rows=5, rows_per_group=3), "aaabb"),
        (Bounding(rows_per_group=2), "aabbccd"),
    ],
)
def test_the_bound_is_reached(aggregate, bounding, groups):
    """The worst person of each bounding: as few groups as possible, each as full as it may be."""
    rows = {name: values[: len(groups)] for name, values in WORST.items()} | {"g": list(groups)}
    query = Query("d", (), ("g",), (aggregate,), (), bounding=bounding)
    bound = contribution(query, SCHEMA)
    nobody = run_exact(query, SCHEMA, {name: [] for name in WORST})
    found = list(moves(query, SCHEMA, run_exact(query, SCHEMA, rows), nobody))
    assert [l1 for l1, _, _ in found] == list(bound.l1)
    assert [linf for _, _, linf in found] == list(bound.linf)
    assert [math.sqrt(square) for _, square, _ in found] == pytest.approx(bound.l2, rel=1e-15)


def test_the_bound_of_people_is_reached():
    query = Query("d", (), ("g",), (People("n"),), (), bounding=Bounding(groups=3))
    [found] = moves(query, SCHEMA, *(run_exact(query, SCHEMA, rows) for rows in (WORST, {n: [] for n in WORST})))
    bound = contribution(query, SCHEMA)
    assert found == (3, 3, 1) == (bound.l1[0], round(bound.l2[0] ** 2), bound.linf[0])


def test_the_bound_of_a_score_is_not_far():
    """Its gradient is largest where the information is nothing. At theta = 0 a row moves 3 by a half and 6 by one."""
    query = Query("d", (), (), (LogisticScore("s", ("x", "y"), "dead", (0.0, 0.0, 0.0)),), ())
    [(l1, square, linf)] = moves(
        query, SCHEMA, *(run_exact(query, SCHEMA, rows) for rows in (WORST, {n: [] for n in WORST}))
    )
    bound = contribution(query, SCHEMA)
    assert (l1, square, linf) == (7 * 15 * ONE_20 // 2, 49 * 27 * ONE_20**2 // 4, 7 * ONE_20)
    assert bound.linf[0] == linf
    assert bound.l1[0] == 7 * 9 * ONE_20 == pytest.approx(1.2 * l1)
    assert bound.l2[0] == 21 * ONE_20 == pytest.approx(math.sqrt(square) * math.sqrt(4 / 3))


def test_a_score_far_from_the_middle_moves_its_whole_gradient():
    query = Query("d", (), (), (LogisticScore("s", ("x", "y"), "dead", (1000.0, 0.0, 0.0)),), ())
    vector = run_exact(query, SCHEMA, WORST).vector.tolist()
    assert vector == [-7 * ONE_20] * 3 + [0] * 6


def test_the_bound_of_private_keys_is_reached():
    query = Query(
        "d",
        (),
        (),
        (Count("n"),),
        (),
        bounding=Bounding(groups=3, rows_per_group=2),
        private_keys=PrivateKeys("g", 1.0, 1),
    )
    exact = run_exact(query, SCHEMA, WORST)
    assert exact.keys == ("a", "b", "c")
    assert exact.vector.tolist() == [2, 2, 1]
    assert exact.people.tolist() == [1, 1, 1]
    assert contribution(query, SCHEMA).usage.groups == 3


def test_private_keys_of_any_number_are_refused():
    query = Query("d", (), (), (Count("n"),), (), private_keys=PrivateKeys("g", 1.0, 1))
    with pytest.raises(UnboundedContribution, match="one patient can have 7 rows") as refused:
        contribution(query, SCHEMA)
    assert "limit(groups=1)" in refused.value.hint


def test_joined_rows_are_multiplied(tmp_path):
    """Two rows here and three there are six rows, and one person moves a sum by six times the end of its range."""
    own = Schema("p", "person", (Column("who", "text"), Column("x", "real", Bounds(0, 1))), (1, 9), "who", 2)
    lab = Schema("p", "person", (Column("id", "text"), Column("z", "real", Bounds(0, 8))), (1, 9), "id", 3)
    for name, schema, rows in (
        ("own", own, {"who": ["a"] * 5 + ["b"], "x": [1.0] * 6}),
        ("lab", lab, {"id": ["a"] * 9, "z": [8.0] * 9}),
    ):
        questions.write_arrow(schema, rows, tmp_path / f"{name}.arrow")
        load(tmp_path / f"{name}.arrow", DatasetCard(name, schema), tmp_path, limits=ONE, person_secret=bytes(32))
    asked = Query("own", (), (), (Count("n"), Sum("s", "z"), People("p")), (), (Join("lab", ("z",), "inner"),))
    joined = joined_schema(asked, own, {"lab": lab}.__getitem__)
    with JoinedTables(tmp_path, DatasetCard("own", own), [DatasetCard("lab", lab)], limits=ONE) as opened:
        vector = opened.run(asked).vector.tolist()
    bound = contribution(asked, joined)
    assert vector == [6, 6 * 2**19, 1] == list(bound.linf)


@pytest.mark.parametrize("bounding", [Bounding(rows=0), Bounding(groups=0), Bounding(rows_per_group=-1)])
def test_bounds_below_one_are_refused(bounding):
    with pytest.raises(UsageError, match="1 or more"):
        contribution(Query("d", (), ("g",), (Count("n"),), (), bounding=bounding), SCHEMA)
