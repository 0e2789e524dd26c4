"""The table engine says what the NumPy definition says, and what a third, slow computation in pandas says."""

import importlib.util
import math
import pickle
from fractions import Fraction
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import NodeError, UnknownColumn, UsageError
from stead.node.services.table_sql import Sources, row_steps, statements
from stead.node.services.tables import JoinedTables, Limits, Table, load, table_path
from stead.plans.analysis import parts
from stead.plans.joining import joined_schema
from stead.plans.query import Bounding, Compare, Count, Derive, Filter, Histogram, Mean, Moments, Query, Select, Sum
from stead.plans.sums import run_exact
from stead.plans.values import Arithmetic, Field, Number, Within

spec = importlib.util.spec_from_file_location("questions", Path(__file__).parents[2] / "questions.py")
questions = importlib.util.module_from_spec(spec)
spec.loader.exec_module(questions)
spec = importlib.util.spec_from_file_location("oracle", Path(__file__).parents[2] / "oracle.py")
oracle = importlib.util.module_from_spec(spec)
spec.loader.exec_module(oracle)

ONE = Limits(threads=1, memory_mb=256)

SCHEMA = Schema(
    "north",
    "patient",
    (
        Column("pid", "text"),
        Column("age", "integer", Bounds(0, 120)),
        Column("bp", "real", Bounds(50, 250)),
        Column("sex", "category", categories=("f", "m")),
        Column("dead", "boolean"),
    ),
    people=(1, 100),
    person="pid",
    rows_per_person=2,
)
CSV = """pid,age,note,bp,sex,dead
a,40,secret,120.5,f,true
a,41,secret,NaN,m,0
a,42,secret,900,m,no
b,200,secret,,x,
,33,secret,100,f,yes
c,-5,secret,inf,f,1
"""


@pytest.fixture
def table(tmp_path):
    (tmp_path / "heart.csv").write_text(CSV)
    load(tmp_path / "heart.csv", DatasetCard("heart", SCHEMA), tmp_path / "store", limits=ONE, person_secret=bytes(32))
    with Table(tmp_path / "store", DatasetCard("heart", SCHEMA), limits=ONE) as opened:
        yield opened


def ask(*aggregates, steps=(), group_by=()):
    return Query("heart", tuple(steps), tuple(group_by), tuple(aggregates), ())


# --- three computations of one meaning ------------------------------------------------------------------------------

STACKED = 60
"""Tables on top of each other, which one question asks at once by grouping by them."""


def same(found, expected):
    """Whether integers are those that were worked out by hand, but for what rounding of floats may move."""
    return found.keys == expected.keys and bool(
        found.vector.shape == expected.vector.shape
        and np.all(np.abs(found.vector - expected.vector) <= expected.slack)
        and (expected.people is None or found.people.tolist() == expected.people)
    )


def agree(run, query, schema, rows, frame):
    """Engine, definition and oracle on one question; each of them says the same, and the first two to the last bit."""
    expected = oracle.answer(query, schema, frame)
    defined = run_exact(query, schema, rows)
    assert same(defined, expected)
    found = run(query)
    assert found.vector.tolist() == defined.vector.tolist()
    assert found.keys == defined.keys
    assert (found.people is None and defined.people is None) or found.people.tolist() == defined.people.tolist()


@settings(max_examples=170, phases=(Phase.generate, Phase.shrink))
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_engine_reference_and_pandas_agree(tmp_path_factory, data, seed):
    """On 170 x 60 = 10,200 tables, four questions each: three to all tables of a stack, one by private keys."""
    plain = data.draw(questions.schemas())
    schema = questions.stacked(plain, STACKED)
    rows = questions.stack(plain, STACKED, seed)
    directory = tmp_path_factory.mktemp("agree")
    questions.write_arrow(schema, rows, directory / "rows.arrow")
    card = DatasetCard("any", schema)
    load(directory / "rows.arrow", card, directory, limits=ONE, person_secret=bytes(32))
    columns, frame = questions.as_columns(rows), oracle.read_frame(schema, rows)
    with Table(directory, card, limits=ONE) as opened:
        for private in (False, False, False, True):
            query = data.draw(questions.queries(schema, private=private))
            agree(opened.run, query, schema, columns, frame)


@settings(max_examples=30, phases=(Phase.generate, Phase.shrink))
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_joined_rows_agree(tmp_path_factory, data, seed):
    """On 30 x 60 pairs of tables: each person's rows here with each of theirs there, in the order of both."""
    plain = data.draw(questions.schemas(person=True))
    schema = questions.stacked(plain, STACKED)
    other, join = data.draw(questions.other_schemas(plain))
    directory = tmp_path_factory.mktemp("joined")
    frames = []
    for name, each, more in (("own", schema, 0), ("lab", other, 1)):
        rows = questions.stack(questions.bare(each), STACKED, seed + more)
        rows = {column.name: rows[column.name] for column in each.columns}
        questions.write_arrow(each, rows, directory / f"{name}.arrow")
        load(directory / f"{name}.arrow", DatasetCard(name, each), directory, limits=ONE, person_secret=bytes(32))
        frames.append(oracle.read_frame(each, rows))
    joined = joined_schema(Query("own", (), (), (), (), (join,)), schema, {"lab": other}.__getitem__)
    frame = oracle.joined_frame(*frames, join)
    columns = questions.as_columns({column.name: frame[column.name].tolist() for column in joined.columns})
    with JoinedTables(directory, DatasetCard("own", schema), [DatasetCard("lab", other)], limits=ONE) as opened:
        for private in (False, False, True):
            query = data.draw(questions.queries(joined, private=private))
            query = msgspec.structs.replace(query, dataset="own")
            asked = msgspec.structs.replace(query, joins=(join,))
            agree(lambda _, asked=asked: opened.run(asked), query, joined, columns, frame)


def balanced(levels, place=0):
    if not levels:
        return Arithmetic("*", Field("bp"), Number(1.0 + place / 1024))
    return Arithmetic("max", balanced(levels - 1, 2 * place), balanced(levels - 1, 2 * place + 1))


def test_a_thousand_operations_are_few_tables_and_one_answer(table):
    """1,023 operations that are all different stand in 11 levels; each in a table of its own would not be run."""
    query = ask(Sum("s", "most"), steps=[Derive("most", Within(balanced(8), Bounds(0.0, 1000.0)))])
    [statement] = statements(query, Sources(SCHEMA, {}), parts(query, SCHEMA))
    assert statement.text.count(" AS (") < 20
    held = [120.5, 250.0]
    largest = [max(value * (1.0 + place / 1024) for place in range(256)) for value in held]
    [part] = parts(query, SCHEMA)
    assert table.run(query).vector.tolist() == [sum(math.trunc(Fraction(v) / Fraction(part.step)) for v in largest)]


@pytest.mark.parametrize("aggregate", [Moments("m", ("bp", "age"), "covariance"), Sum("m", "bp"), Count("m", "bp")])
def test_parameters_are_in_the_order_of_the_text(table, aggregate):
    """Columns that an aggregate adds to the rows wait for their table; their parameters wait with them."""
    steps = [Derive("half", Arithmetic("/", Field("bp"), Number(2.0)))]
    for bounding in (None, Bounding(rows_per_group=1), Bounding(groups=1)):
        query = msgspec.structs.replace(ask(aggregate, steps=steps, group_by=["sex"]), bounding=bounding)
        rows = row_steps(query, Sources(SCHEMA, {}))
        rows.keep(("CAST(? AS DOUBLE)", [7.0]))
        first = list(rows.parameters)
        assert first[-1] == 7.0
        assert rows.tables[-1].count("?") == 1
        assert first == rows.parameters
        assert len(table.run(query).vector) == sum(part.size for part in parts(query, SCHEMA))


def test_the_longest_chain_that_plans_allow_is_run(table):
    steps = [Derive("z0", Field("bp"))]
    steps += [Derive(f"z{i}", Arithmetic("min", Field(f"z{i - 1}"), Number(300.0 + i))) for i in range(1, 64)]
    assert (
        table.run(ask(Sum("s", "z63"), steps=steps)).vector.tolist() == table.run(ask(Sum("s", "bp"))).vector.tolist()
    )


def test_hand_worked_example(table):
    """Rows in use: a 40, a 41, b, c (a's third row is above the rank, one row names nobody)."""
    query = ask(
        Count("n"),
        Count("known", "bp"),
        Sum("years", "age"),
        Mean("pressure", "bp"),
        Histogram("ages", "age", (0, 41, 120)),
        Histogram("sexes", "sex"),
        Mean("share", "dead"),
    )
    vector = table.run(query).vector.tolist()
    # a 40 + a 41 + b 200 -> 120 + c -5 -> 0
    assert vector[:3] == [4, 2, 40 + 41 + 120 + 0]
    # bp 120.5 and inf -> 250, from the middle 150, in steps of 2^-13 (half the range, 100, is 2^19 to 2^20 steps)
    assert vector[3:5] == [int((120.5 - 150) * 2**13) + 100 * 2**13, 2]
    assert vector[5:7] == [2, 2]
    assert vector[7:9] == [2, 1]
    # true, false, NULL, true around 1/2 in halves
    assert vector[9:11] == [1, 3]


def test_groups_are_complete_and_in_declared_order(table):
    vector = table.run(ask(Count("n"), steps=[Filter(Compare("age", "<", 1))], group_by=["sex", "dead"])).vector
    assert vector.tolist() == [0, 1, 0, 0]


def test_select_changes_no_number(table):
    plain, narrowed = ask(Sum("s", "age")), ask(Sum("s", "age"), steps=[Select(("age",))])
    assert table.run(plain).vector.tolist() == table.run(narrowed).vector.tolist()


def test_sums_are_exact_beyond_doubles(tmp_path):
    """Eight integers whose sum a float64 cannot hold."""
    schema = Schema("p", "row", (Column("x", "integer", Bounds(0, 2**60)),), people=(1, 10))
    (tmp_path / "x.csv").write_text("x\n" + "\n".join(str(2**60) for _ in range(9)))
    load(tmp_path / "x.csv", DatasetCard("x", schema), tmp_path, limits=ONE, person_secret=bytes(32))
    with Table(tmp_path, DatasetCard("x", schema), limits=ONE) as opened:
        part = parts(ask(Sum("s", "x")), schema)[0]
        assert opened.run(ask(Sum("s", "x"))).vector.tolist() == [9 * 2**60 // int(part.step)]


def test_training_rows(table):
    rows = table.columns(["bp", "sex", "dead"])
    assert rows.person.tolist() == [0, 0, 1, 2]
    np.testing.assert_array_equal(rows.columns["bp"], [120.5, np.nan, np.nan, 250.0])
    assert rows.columns["sex"].tolist() == ["f", "m", None, "f"]
    assert rows.columns["dead"].tolist() == [True, False, None, True]
    assert repr(rows) == "TrainingRows(<redacted>)"
    with pytest.raises(TypeError):
        pickle.dumps(rows)


def test_rows_stand_by_person_and_within_one_in_the_file_s_order(tmp_path):
    """People come in the order of their first row, also when several threads read the file."""
    size = 300_000
    people = np.random.default_rng(0).integers(0, 1000, size)
    frame = pd.DataFrame({"who": people.astype(str), "x": np.arange(size, dtype=float)})
    frame.to_parquet(tmp_path / "long.parquet", row_group_size=20_000)
    schema = Schema("p", "person", (Column("who", "text"), Column("x", "real", Bounds(0, size))), (1, 2000), "who", 3)
    load(
        tmp_path / "long.parquet",
        DatasetCard("long", schema),
        tmp_path,
        limits=Limits(threads=2, memory_mb=256),
        person_secret=bytes(32),
    )
    with Table(tmp_path, DatasetCard("long", schema)) as opened:
        held = opened.columns(["x"])
    first = frame[frame.groupby("who").cumcount() < 3]
    person = pd.factorize(first["who"])[0]
    order = np.argsort(person, kind="stable")
    assert held.columns["x"].tolist() == first["x"].to_numpy()[order].tolist()
    assert held.person.tolist() == person[order].tolist()


def test_undeclared_columns_and_identities_are_not_kept(table, tmp_path):
    stored = table_path(tmp_path / "store", "heart").read_bytes()
    assert b"secret" not in stored
    names = table._connection.execute("SELECT column_name FROM duckdb_columns() WHERE table_name = 'rows'").fetchall()
    assert {name for (name,) in names} == {"person_index", "person_rank", "person_key", "c1", "c2", "c3", "c4"}
    with pytest.raises(UnknownColumn, match="note"):
        table.columns(["note"])
    with pytest.raises(UsageError, match="tells people apart"):
        table.columns(["pid"])


def test_report_is_for_the_owner_s_eyes_only(tmp_path):
    (tmp_path / "heart.csv").write_text(CSV)
    report = load(
        tmp_path / "heart.csv", DatasetCard("heart", SCHEMA), tmp_path / "store", limits=ONE, person_secret=bytes(32)
    )
    assert repr(report) == "LoadReport(<redacted>)"
    assert (report.rows, report.people, report.without_person, report.beyond_rank) == (6, 3, 1, 1)
    assert report.lines() == [
        "6 rows of 3 people",
        "1 rows name no person and were left out",
        "1 rows are above rows_per_person and were left out",
        "age: 2 values are outside the bounds and count as the bound",
        "bp: 2 values are outside the bounds and count as the bound",
        "sex: 1 values are no declared category and count as missing",
    ]


@pytest.mark.parametrize(("people", "side"), [((1, 2), "more"), ((4, 9), "fewer")])
def test_declared_number_of_people_is_held(tmp_path, people, side):
    schema = Schema("north", "patient", SCHEMA.columns, people, "pid", 2)
    (tmp_path / "heart.csv").write_text(CSV)
    with pytest.raises(UsageError, match=f"holds {side} people than"):
        load(tmp_path / "heart.csv", DatasetCard("heart", schema), tmp_path / "store", person_secret=bytes(32))
    assert list((tmp_path / "store").iterdir()) == []


def test_failed_load_keeps_the_earlier_table(table, tmp_path):
    (tmp_path / "worse.csv").write_text(CSV.replace("120.5", "high"))
    with pytest.raises(UsageError, match="column 'bp' holds values that are not of kind real"):
        load(tmp_path / "worse.csv", table.card, tmp_path / "store", limits=ONE, person_secret=bytes(32))
    with Table(tmp_path / "store", table.card, limits=ONE) as again:
        assert again.run(ask(Count("n"))).vector.tolist() == [4]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE OR REPLACE TABLE about AS SELECT schema_digest FROM about",
        "UPDATE about SET format = 1",
        "UPDATE about SET format = 2",
        "DELETE FROM about",
    ],
)
def test_a_file_of_another_form_is_refused(table, tmp_path, statement):
    table.close()
    with duckdb.connect(str(table_path(tmp_path / "store", "heart"))) as connection:
        connection.execute(statement)
    with pytest.raises(UsageError, match="another version of stead") as refused:
        Table(tmp_path / "store", table.card, limits=ONE)
    assert "stead data add" in refused.value.hint


def test_another_schema_needs_another_load(table, tmp_path):
    columns = (*SCHEMA.columns[:3], Column("sex", "category", categories=("m", "f")), SCHEMA.columns[4])
    other = DatasetCard("heart", Schema("north", "patient", columns, (1, 100), "pid", 2))
    with pytest.raises(UsageError, match="another schema"):
        Table(tmp_path / "store", other)
    with pytest.raises(UsageError, match="has no rows"):
        Table(tmp_path / "store", DatasetCard("lungs", SCHEMA))


@pytest.mark.parametrize(
    "statement",
    [
        "SET enable_external_access = true",
        "SET threads = 8",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY stored.rows TO '/tmp/stolen.csv'",
        "ATTACH '/tmp/other.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "DELETE FROM stored.rows",
        "SELECT * FROM secret_frame",
    ],
)
def test_engine_is_locked(table, statement):
    secret_frame = pd.DataFrame({"x": [1]})
    with pytest.raises(duckdb.Error):
        table._connection.execute(statement)
    assert len(secret_frame) == 1


def test_engine_failure_says_nothing(table):
    table._connection.execute("SELECT 1")
    table.close()
    with pytest.raises(NodeError, match=r"the table engine failed \(ConnectionException\)"):
        table.run(ask(Count("n")))
