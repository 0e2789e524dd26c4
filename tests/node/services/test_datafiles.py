"""Owners' files of every format give the same table; cards in TOML say what is wrong with them."""

import sys

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import MissingExtra, UsageError
from stead.node.services.datafiles import file_format, load_card, schema_draft
from stead.node.services.tables import Limits, Table, load
from stead.plans.mock import mock_rows
from stead.plans.query import Count, Histogram, Mean, Query, Sum
from stead.plans.sums import run_reference

ONE = Limits(threads=1, memory_mb=256)
SCHEMA = Schema(
    "north",
    "patient",
    (
        Column("who", "integer", Bounds(0, 1e6)),
        Column("age", "integer", Bounds(0, 120), missing_rate=0.1),
        Column("bp", "real", Bounds(50, 250), missing_rate=0.2),
        Column("sex", "category", categories=("f", "m"), missing_rate=0.1),
        Column("dead", "boolean", missing_rate=0.1),
    ),
    people=(1, 100),
    person="who",
    rows_per_person=3,
)
QUERY = Query(
    "heart", (), ("sex",), (Count("n"), Sum("s", "age"), Mean("m", "bp"), Mean("d", "dead"), Histogram("h", "sex")), ()
)
CARD = """
name = "heart"
purpose = "follow-up"

[schema]
population = "north"
unit = "patient"
people = [100, 200]
person = "who"
rows_per_person = 3

[[schema.columns]]
name = "who"
kind = "text"

[[schema.columns]]
name = "age"
kind = "integer"
bounds = { low = 0, high = 120 }
missing_rate = 0.1

[[schema.columns]]
name = "sex"
kind = "category"
categories = ["f", "m"]
"""


def write(frame, path):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".gz":
        frame.to_csv(path, index=False, compression="gzip")
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".duckdb":
        with duckdb.connect(str(path)) as connection:
            connection.execute("CREATE TABLE patients AS SELECT * FROM frame")
    else:
        data = pa.Table.from_pandas(frame)
        opener = pa.ipc.new_stream if path.suffix == ".arrows" else pa.ipc.new_file
        with opener(str(path), data.schema) as file:
            file.write_table(data, max_chunksize=7)


@pytest.mark.parametrize("name", ["h.csv", "h.csv.gz", "h.parquet", "h.arrow", "h.arrows", "h.duckdb"])
def test_every_format_gives_the_same_table(tmp_path, name):
    rows = mock_rows(SCHEMA, 120)
    write(pd.DataFrame(rows), tmp_path / name)
    load(tmp_path / name, DatasetCard("heart", SCHEMA), tmp_path / "store", limits=ONE, person_secret=bytes(32))
    with Table(tmp_path / "store", DatasetCard("heart", SCHEMA), limits=ONE) as table:
        assert table.run(QUERY).vector.tolist() == run_reference(QUERY, SCHEMA, rows).tolist()


def test_typed_columns_of_other_widths_are_read(tmp_path):
    frame = pd.DataFrame(
        {
            "who": np.array([1, 2, 3], dtype=np.int16),
            "age": np.array([40, 50, 60], dtype=np.uint8),
            "bp": np.array([100.5, 101.5, 102.5], dtype=np.float32),
            "sex": pd.Categorical(["f", "m", "f"]),
            "dead": np.array([1, 0, 1], dtype=np.int64),
        }
    )
    frame.to_parquet(tmp_path / "h.parquet")
    load(tmp_path / "h.parquet", DatasetCard("heart", SCHEMA), tmp_path, limits=ONE, person_secret=bytes(32))
    with Table(tmp_path, DatasetCard("heart", SCHEMA), limits=ONE) as table:
        rows = table.columns(["age", "bp", "sex", "dead"]).columns
    assert rows["age"].tolist() == [40, 50, 60]
    assert rows["bp"].tolist() == [100.5, 101.5, 102.5]
    assert rows["sex"].tolist() == ["f", "m", "f"]
    assert rows["dead"].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [("age", "forty", "integer"), ("age", "40.5", "integer"), ("bp", "1,5", "real"), ("dead", "2", "boolean")],
)
def test_wrong_kind_names_the_column_and_not_the_value(tmp_path, column, value, kind):
    frame = pd.DataFrame(mock_rows(SCHEMA, 20)).astype(object)
    frame.loc[3, column] = value
    frame.to_csv(tmp_path / "h.csv", index=False)
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "h.csv", DatasetCard("heart", SCHEMA), tmp_path / "store", limits=ONE, person_secret=bytes(32))
    assert caught.value.what == f"column {column!r} holds values that are not of kind {kind}."


def test_missing_declared_column(tmp_path):
    pd.DataFrame(mock_rows(SCHEMA, 20)).drop(columns="bp").to_csv(tmp_path / "h.csv", index=False)
    with pytest.raises(UsageError, match="no column 'bp'"):
        load(tmp_path / "h.csv", DatasetCard("heart", SCHEMA), tmp_path / "store", limits=ONE, person_secret=bytes(32))


def test_names_agree_letter_by_letter(tmp_path):
    pd.DataFrame(mock_rows(SCHEMA, 20)).rename(columns={"bp": "BP"}).to_csv(tmp_path / "h.csv", index=False)
    with pytest.raises(UsageError, match="no column 'bp'"):
        load(tmp_path / "h.csv", DatasetCard("heart", SCHEMA), tmp_path / "store", limits=ONE, person_secret=bytes(32))


def test_duckdb_file_with_several_tables_needs_a_name_and_runs_no_view(tmp_path):
    with duckdb.connect(str(tmp_path / "h.duckdb")) as connection:
        connection.register("frame", pd.DataFrame(mock_rows(SCHEMA, 20)))
        connection.execute('CREATE TABLE "pa\'tients" AS SELECT * FROM frame')
        connection.execute("CREATE TABLE other AS SELECT 1 AS x")
        connection.execute("CREATE VIEW looks AS SELECT * FROM read_csv('/etc/passwd')")
    card = DatasetCard("heart", SCHEMA)
    with pytest.raises(UsageError, match="holds 2 tables; name one"):
        load(tmp_path / "h.duckdb", card, tmp_path / "store", limits=ONE, person_secret=bytes(32))
    with pytest.raises(UsageError, match="none called 'looks'"):
        load(tmp_path / "h.duckdb", card, tmp_path / "store", limits=ONE, table="looks", person_secret=bytes(32))
    load(tmp_path / "h.duckdb", card, tmp_path / "store", limits=ONE, table="pa'tients", person_secret=bytes(32))


def test_only_the_named_file_is_read(tmp_path):
    for name in ("h-1.csv", "h-2.csv"):
        (tmp_path / name).write_text("x\n1\n")
    schema = Schema("p", "row", (Column("x", "integer", Bounds(0, 9)),), (1, 9))
    with pytest.raises(UsageError, match="stand for many files"):
        load(tmp_path / "h-*.csv", DatasetCard("x", schema), tmp_path / "store", person_secret=bytes(32))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("h.parquet", b"PAR1 and nothing more", "cannot be read as parquet"),
        ("h.arrow", b"ARROW1 and nothing more", "no Arrow IPC file"),
        ("h.arrows", b"", "no Arrow IPC file"),
        ("h.duckdb", b"12345678DUCK", "no DuckDB database"),
        ("h.parquet", b"no such thing", "known format"),
        ("h.xlsx", b"PK", "known format"),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load(tmp_path / name, DatasetCard("heart", SCHEMA), tmp_path / "store", limits=ONE, person_secret=bytes(32))


def test_format_is_told_by_content_first(tmp_path):
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "named.csv")
    assert file_format(tmp_path / "named.csv") == "parquet"
    with pytest.raises(UsageError, match=r"no file 'absent\.csv'"):
        file_format(tmp_path / "absent.csv")


def test_arrow_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    write(pd.DataFrame(mock_rows(SCHEMA, 5)), tmp_path / "h.arrow")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="pyarrow"):
        load(
            tmp_path / "h.arrow", DatasetCard("heart", SCHEMA), tmp_path / "store", limits=ONE, person_secret=bytes(32)
        )


def test_card_from_toml(tmp_path):
    (tmp_path / "card.toml").write_text(CARD)
    card = load_card(tmp_path / "card.toml")
    assert card.schema.column("age") == Column("age", "integer", Bounds(0, 120), missing_rate=0.1)
    assert (card.schema.people, card.schema.rows_per_person, card.purpose) == ((100, 200), 3, "follow-up")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "patient"', 'unit = "patient"\nepsilon = 3', "schema: there is no key 'epsilon'"),
        ('unit = "patient"\n', "", "schema: the key 'unit' is missing"),
        ("bounds = { low = 0, high = 120 }\n", "", "needs bounds"),
        ("low = 0, high = 120", "low = 120, high = 0", "low < high"),
        ("people = [100, 200]", 'people = "many"', "people"),
        ('kind = "integer"', 'kind = "number"', "columns 'age' kind: 'number' is not possible"),
        ("name = ", "name ", "not TOML"),
    ],
)
def test_card_says_what_is_wrong(tmp_path, old, new, message):
    (tmp_path / "card.toml").write_text(CARD.replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        load_card(tmp_path / "card.toml")


SEEN = (
    CARD
    + """
[[schema.columns]]
name = "seen"
kind = "date"
bounds = { low = "1950-01-01", high = 2025-12-31 }
"""
)


def test_dates_of_a_card_are_texts_or_toml_dates(tmp_path):
    (tmp_path / "card.toml").write_text(SEEN)
    # 1950-01-01 lies 7305 days before 1970; 56 years with 14 leap days, less one day, to 2025-12-31
    assert load_card(tmp_path / "card.toml").schema.column("seen").bounds == Bounds(-7305, 56 * 365 + 14 - 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"1950-01-01"', "1950", "column 'seen', low: a date column is bounded by dates"),
        ('"1950-01-01"', "1950-01-01T00:00:00Z", "column 'seen', low: a date column is bounded by dates"),
        ('"1950-01-01"', '"1.1.1950"', "column 'seen', low: '1.1.1950' is no day"),
        ("2025-12-31", '"2025-02-29"', "column 'seen', high: there is no day 2025-02-29"),
        (", high = 2025-12-31", "", "key 'high' is missing"),
        ("2025-12-31", "1949-12-31", "low < high"),
        ('{ low = "1950-01-01", high = 2025-12-31 }', '"1950"', "bounds"),
        ('bounds = { low = "1950-01-01", high = 2025-12-31 }', "", "column 'seen' is date and needs bounds"),
    ],
)
def test_dates_of_a_card_that_are_wrong(tmp_path, old, new, message):
    assert old in SEEN
    (tmp_path / "card.toml").write_text(SEEN.replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        load_card(tmp_path / "card.toml")


def test_draft_holds_names_and_types_and_nothing_of_the_rows(tmp_path):
    frame = pd.DataFrame(
        {"who": ["CANARY-1", "CANARY-2"], "age": [4417, 9931], "weight": [71.25, 80.5], "dead": [True, False]}
    ).assign(seen=["2001-04-17", "2001-04-18"], last=["2001-04-17 10:00", "2001-04-18 11:00"])
    write(frame, tmp_path / "h.csv")
    draft = schema_draft(tmp_path / "h.csv")
    for secret in ("CANARY", "4417", "9931", "71.25", "80.5", "2001"):
        assert secret not in draft
    for line in (
        'name = "who"',
        'name = "age"\nkind = "integer"',
        'name = "weight"\nkind = "real"',
        'kind = "boolean"',
        'name = "seen"\nkind = "date"',
        'name = "last"\nkind = "date"',
    ):
        assert line in draft
    (tmp_path / "card.toml").write_text(draft)
    with pytest.raises(UsageError):
        load_card(tmp_path / "card.toml")
