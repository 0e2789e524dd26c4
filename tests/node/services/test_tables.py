"""The table engine says what the NumPy definition says, and what a third, slow computation in pandas says."""

import importlib.util
import math
import pickle
from fractions import Fraction
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import NodeError, UnknownColumn, UsageError
from stead.node.services.tables import Limits, Table, load, table_path
from stead.plans.analysis import group_keys, parts
from stead.plans.query import And, Clip, Compare, Count, Filter, Histogram, IsIn, IsNull, Mean, Or, Query, Select, Sum
from stead.plans.sums import run_reference

spec = importlib.util.spec_from_file_location("questions", Path(__file__).parents[2] / "questions.py")
questions = importlib.util.module_from_spec(spec)
spec.loader.exec_module(questions)

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


def true_for(predicate, row):
    """One row, one condition, in plain Python."""
    if isinstance(predicate, And):
        return all(true_for(part, row) for part in predicate.parts)
    if isinstance(predicate, Or):
        return any(true_for(part, row) for part in predicate.parts)
    if isinstance(predicate, Compare):
        held, value = row[predicate.column], predicate.value
        if held is None:
            return False
        tests = {"==": held == value, "!=": held != value}
        if not isinstance(value, str | bool):
            tests |= {"<": held < value, "<=": held <= value, ">": held > value, ">=": held >= value}
        return tests[predicate.op]
    if isinstance(predicate, IsIn):
        return row[predicate.column] is not None and row[predicate.column] in predicate.values
    if isinstance(predicate, IsNull):
        return row[predicate.column] is None
    return not true_for(predicate.part, row)


def readable(column, value):
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if column.bounds is not None:
        return min(max(float(value), column.bounds.low), column.bounds.high)
    return value if column.kind == "boolean" or value in column.categories else None


def with_pandas(query, schema, table):
    """The released integers by another way: rows as Python values, groups by pandas, sums by fractions."""
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in table.items()})
    if schema.person is not None:
        people = frame[schema.person].map(lambda who: who or None)
        frame = frame[people.notna()]
        frame = frame[frame.groupby(schema.person).cumcount() < schema.rows_per_person]
    for column in schema.columns:
        if column.kind != "text":
            read = [readable(column, value) for value in frame[column.name]]
            frame[column.name] = pd.Series(read, index=frame.index, dtype=object)
    for step in query.steps:
        if isinstance(step, Filter):
            kept = [true_for(step.where, row) for row in frame.to_dict("records")]
            frame = frame[np.array(kept, dtype=bool)]
        elif isinstance(step, Clip):
            low, high = step.bounds.low, step.bounds.high
            clipped = [None if v is None else min(max(v, low), high) for v in frame[step.column]]
            frame = frame.assign(**{step.column: pd.Series(clipped, index=frame.index, dtype=object)})
    index = pd.MultiIndex.from_product(group_keys(query, schema)) if query.group_by else [()]
    known = frame.dropna(subset=list(query.group_by))
    place = list(zip(*(known[name] for name in query.group_by), strict=True)) if query.group_by else [()] * len(known)
    blocks = []
    for part in parts(query, schema):
        aggregate = next(a for a in query.aggregates if a.name == part.aggregate)
        for key in index:
            wanted = key if isinstance(key, tuple) else (key,)
            group = known[np.array([where == wanted for where in place], dtype=bool)]
            blocks += integers(part, aggregate, schema, group)
    return blocks


def integers(part, aggregate, schema, group):
    if part.column is None:
        return [len(group)]
    held = group[part.column].dropna().tolist()
    if part.kind == "count":
        return [len(held)]
    if part.kind == "sum":
        return [sum(math.trunc(Fraction(float(v) - part.offset) / Fraction(part.step)) for v in held)]
    if not aggregate.edges:
        column = schema.column(part.column)
        return [held.count(key) for key in (column.categories or (False, True))]
    cut = pd.cut(pd.Series(held, dtype=float), list(aggregate.edges), right=False, labels=False)
    last = [v == aggregate.edges[-1] for v in held]
    return [int((cut == i).sum()) + (sum(last) if i == part.cells - 1 else 0) for i in range(part.cells)]


@settings(max_examples=45, phases=(Phase.generate, Phase.shrink))
@given(st.data())
def test_engine_reference_and_pandas_agree(tmp_path_factory, data):
    schema = data.draw(questions.schemas())
    rows = data.draw(questions.tables(schema))
    directory = tmp_path_factory.mktemp("agree")
    questions.write_arrow(schema, rows, directory / "rows.arrow")
    card = DatasetCard("any", schema)
    load(directory / "rows.arrow", card, directory, limits=ONE, person_secret=bytes(32))
    with Table(directory, card, limits=ONE) as opened:
        for query in data.draw(st.lists(questions.queries(schema), min_size=6, max_size=6)):
            expected = with_pandas(query, schema, rows)
            assert run_reference(query, schema, questions.as_columns(rows)).tolist() == expected
            assert opened.run(query).vector.tolist() == expected


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
