"""What a row becomes in the stored table: days, texts, and who it belongs to."""

import hashlib
import hmac
import math
import pickle

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import UsageError
from stead.node.services.person_keys import PersonKeys
from stead.node.services.tables import Limits, Table, load, table_path
from stead.plans.query import Count, Query

ONE = Limits(threads=1, memory_mb=256)
SECRET = bytes(range(32))
DAYS = Schema("p", "row", (Column("seen", "date", Bounds(-7305, 20453)),), people=(1, 1000))
NOTES = Schema("p", "row", (Column("note", "text"), Column("x", "boolean")), people=(1, 1000))


def stored(path, schema, directory, *, secret=SECRET, select="*"):
    """The rows of the stored form, read past the table engine."""
    card = DatasetCard("d", schema)
    load(path, card, directory, limits=ONE, person_secret=secret)
    with duckdb.connect(str(table_path(directory, "d")), read_only=True) as connection:
        return connection.execute(f"SELECT {select} FROM rows").fetchall()


def write_csv(path, name, cells):
    path.write_text("\n".join([f"{name},x", *(f'"{cell}",1' for cell in cells)]))


# --- days -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        ("1970-01-01", 0.0),
        ("1969-12-31", -1.0),
        ("2000-02-29", 11016.0),
        (" 2000-02-29 ", 11016.0),
        ("2000-02-29 23:59", 11016.0),
        ("2000-02-29T23:59:59.999Z", 11016.0),
        ("2000-02-29 00:30:00+02:00", 11016.0),  # the day that is written
        ("2000-02-29 00:30:00 UTC", 11016.0),
        ("0500-03-01", -7305.0),  # a day before the bounds is moved to them
        ("", None),
        ("NA", None),
        ("null", None),
    ],
)
def test_days_from_texts(tmp_path, cell, day):
    write_csv(tmp_path / "d.csv", "seen", [cell])
    assert stored(tmp_path / "d.csv", DAYS, tmp_path / "store", select="c0") == [(day,)]


@pytest.mark.parametrize(
    "cell",
    [
        "29.2.2000",
        "2000-02-30",
        "2001-02-29",
        "20000229",
        "2000-2-29",
        "2000-02-29 noon",
        "2000-02",
        "11016",
        "infinity",
    ],
)
def test_what_is_no_day_is_for_the_owner_to_mend(tmp_path, cell):
    write_csv(tmp_path / "d.csv", "seen", ["2000-01-01", cell])
    with pytest.raises(UsageError) as refused:
        stored(tmp_path / "d.csv", DAYS, tmp_path / "store")
    assert refused.value.what == "column 'seen' holds values that are not of kind date."
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize(
    ("type_", "per_day"),
    [
        (pa.date32(), 1),
        (pa.date64(), 86_400_000),
        (pa.timestamp("s"), 86_400),
        (pa.timestamp("ms"), 86_400 * 10**3),
        (pa.timestamp("us"), 86_400 * 10**6),
        (pa.timestamp("ns"), 86_400 * 10**9),
        (pa.timestamp("us", "UTC"), 86_400 * 10**6),
    ],
)
@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_days_from_typed_columns(tmp_path, type_, per_day, suffix):
    """The last moment of a day counts to that day, before 1970 too."""
    last = 0 if pa.types.is_date(type_) else per_day - 1
    integers = pa.array([-per_day + last, 0, 11016 * per_day + last, None], pa.int32() if per_day == 1 else pa.int64())
    rows = pa.table({"seen": integers.cast(type_)})
    if suffix == ".parquet":
        pq.write_table(rows, tmp_path / "d.parquet", version="2.6")
    else:
        with pa.ipc.new_file(str(tmp_path / "d.arrow"), rows.schema) as file:
            file.write_table(rows)
    held = stored(tmp_path / f"d{suffix}", DAYS, tmp_path / "store", select="c0")
    assert [day for (day,) in held] == [-1, 0, 11016, None]


def test_days_in_another_zone_are_days_of_utc(tmp_path):
    """A timestamp with a zone has no written day; the node's own zone has no part in it."""
    ticks = pa.array([1_800], pa.int64()).cast(pa.timestamp("s", "Europe/Berlin"))
    pq.write_table(pa.table({"seen": ticks}), tmp_path / "d.parquet")
    assert stored(tmp_path / "d.parquet", DAYS, tmp_path / "store", select="c0") == [(0.0,)]
    ticks = pa.array([-1_800], pa.int64()).cast(pa.timestamp("s", "Europe/Berlin"))
    pq.write_table(pa.table({"seen": ticks}), tmp_path / "d.parquet")
    assert stored(tmp_path / "d.parquet", DAYS, tmp_path / "store", select="c0") == [(-1.0,)]


def test_days_are_clipped_and_counted_like_numbers(tmp_path):
    write_csv(tmp_path / "d.csv", "seen", ["1900-01-01", "2000-01-01", "9999-12-31", ""])
    card = DatasetCard("d", DAYS)
    report = load(tmp_path / "d.csv", card, tmp_path / "store", limits=ONE, person_secret=SECRET)
    assert "seen: 2 values are outside the bounds and count as the bound" in report.lines()
    with Table(tmp_path / "store", card, limits=ONE) as table:
        held = table.columns(["seen"]).columns["seen"].tolist()
    assert held[:3] == [-7305, 10957, 20453]
    assert math.isnan(held[3])


# --- texts ------------------------------------------------------------------------------------------------------------


def test_texts_are_kept_trimmed_and_cut(tmp_path):
    cells = [" amber ", "", "   ", "NA", "é" * 300, "a" * 256, "O'Hara; DROP TABLE rows"]
    write_csv(tmp_path / "n.csv", "note", cells)
    held = [note for (note,) in stored(tmp_path / "n.csv", NOTES, tmp_path / "store", select="c0")]
    assert held == ["amber", None, None, "NA", "é" * 256, "a" * 256, "O'Hara; DROP TABLE rows"]


def test_numbers_in_a_text_column_are_texts(tmp_path):
    pd.DataFrame({"note": [7.0, 2.5, None], "x": [True, True, True]}).to_parquet(tmp_path / "n.parquet")
    held = [note for (note,) in stored(tmp_path / "n.parquet", NOTES, tmp_path / "store", select="c0")]
    assert held == ["7", "2.5", None]


def test_no_training_reads_a_text_column(tmp_path):
    write_csv(tmp_path / "n.csv", "note", ["amber"])
    card = DatasetCard("d", NOTES)
    report = load(tmp_path / "n.csv", card, tmp_path / "store", limits=ONE, person_secret=SECRET)
    assert [column.name for column in report.columns] == ["x"]
    with Table(tmp_path / "store", card, limits=ONE) as table:
        with pytest.raises(UsageError, match="it is text"):
            table.columns(["note"])
        assert table.run(Query("d", (), (), (Count("n"),), ())).vector.tolist() == [1]


# --- who is who -------------------------------------------------------------------------------------------------------


def key_of(identity, secret=SECRET):
    """RFC 5869 and the nested hash, written out."""
    pseudorandom = hmac.digest(bytes(32), secret, "sha256")
    inner = hmac.digest(pseudorandom, b"stead.person-key\x01", "sha256")
    outer = hmac.digest(pseudorandom, inner + b"stead.person-key\x02", "sha256")
    hashed = hashlib.sha256(outer + hashlib.sha256(inner + identity.encode()).digest()).digest()
    return int.from_bytes(hashed[:16], "big", signed=True)


def people(kind):
    who = Column("who", kind, Bounds(-100, 100)) if kind == "integer" else Column("who", kind)
    return Schema("p", "person", (who, Column("x", "boolean")), (1, 1000), "who", 2)


def keys(path, directory, *, kind="text", secret=SECRET):
    return stored(path, people(kind), directory, secret=secret, select="person_index, person_key")


@settings(max_examples=15)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1), min_size=1))
def test_key_is_the_documented_hash(tmp_path_factory, identities):
    directory = tmp_path_factory.mktemp("keys")
    identities = [f"p{identity}q" for identity in identities]  # no spaces around it, no number
    rows = pa.table({"who": pa.array(identities), "x": pa.array([True] * len(identities))})
    pq.write_table(rows, directory / "p.parquet")
    first = list(dict.fromkeys(identities))
    kept = [min(2, identities.count(identity)) for identity in first]  # rows_per_person
    expected = [(i, key_of(who)) for i, (who, rows) in enumerate(zip(first, kept, strict=True)) for _ in range(rows)]
    assert keys(directory / "p.parquet", directory) == expected


@pytest.mark.parametrize(
    ("cells", "canonical"),
    [
        ([7, 0, -3], ["7", "0", "-3"]),
        ([7.0, -0.0, -3.0], ["7", "0", "-3"]),
        (["7", "-0", "-3"], ["7", "0", "-3"]),
        (["7.0", "-0.00", " -3 "], ["7", "0", "-3"]),
        ([1e15, 2.5, float(2**53)], ["1000000000000000", "2.5", "9007199254740992"]),
        (["007", "7", "7a.0"], ["007", "7", "7a.0"]),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_one_identity_in_files_of_several_types(tmp_path, cells, canonical, suffix):
    frame = pd.DataFrame({"who": cells, "x": [True] * len(cells)})
    if suffix == ".csv":
        frame.to_csv(tmp_path / "p.csv", index=False)
    else:
        frame.to_parquet(tmp_path / "p.parquet")
    kind = "text" if suffix == ".csv" else "integer"
    assert keys(tmp_path / f"p{suffix}", tmp_path / "store", kind=kind) == [
        (index, key_of(identity)) for index, identity in enumerate(canonical)
    ]


def test_spellings_of_one_identity_are_one_person(tmp_path):
    """They share one rank, so that nobody counts twice."""
    write_csv(tmp_path / "p.csv", "who", ["7", "8", " 7", "7.0", "  "])
    card = DatasetCard("d", people("text"))
    report = load(tmp_path / "p.csv", card, tmp_path / "store", limits=ONE, person_secret=SECRET)
    assert (report.people, report.beyond_rank, report.without_person) == (2, 1, 1)


def test_another_secret_gives_other_keys_under_another_name(tmp_path):
    write_csv(tmp_path / "p.csv", "who", ["ada", "bob"])
    found = [
        keys(tmp_path / "p.csv", tmp_path / name, secret=secret) for name, secret in (("a", SECRET), ("b", bytes(32)))
    ]
    assert {key for _, key in found[0]}.isdisjoint(key for _, key in found[1])
    card = DatasetCard("d", people("text"))
    checks = [Table(tmp_path / name, card, limits=ONE).key_check for name in ("a", "b")]
    assert checks == [PersonKeys.of(SECRET).check, PersonKeys.of(bytes(32)).check]
    assert checks[0] != checks[1]


def test_rows_without_a_person_column_have_no_key(tmp_path):
    write_csv(tmp_path / "n.csv", "note", ["amber", "birch"])
    select = "person_index, person_rank, person_key, typeof(person_key)"
    held = stored(tmp_path / "n.csv", NOTES, tmp_path / "store", select=select)
    assert held == [(0, 0, None, "HUGEINT"), (1, 0, None, "HUGEINT")]


def test_neither_keys_nor_identities_are_in_the_file(tmp_path):
    write_csv(tmp_path / "p.csv", "who", [f"CANARY-{index}" for index in range(500)])
    keys(tmp_path / "p.csv", tmp_path / "store")
    derived = PersonKeys.of(SECRET)
    written = b"".join(path.read_bytes() for path in (tmp_path / "store").iterdir())
    for secret in (b"CANARY", SECRET, derived.inner, derived.outer):
        assert secret not in written
        assert secret.hex().encode() not in written
    assert derived.check in written


def test_keys_stay_where_they_are():
    assert repr(PersonKeys.of(SECRET)) == "PersonKeys(<redacted>)"
    with pytest.raises(TypeError):
        pickle.dumps(PersonKeys.of(SECRET))
    with pytest.raises(UsageError, match="32 bytes; got 31"):
        PersonKeys.of(bytes(31))
