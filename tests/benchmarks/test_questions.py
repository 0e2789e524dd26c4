"""The questions benchmark: both systems are asked the same, rows say what was promised, epsilon is at most 1."""

import importlib
import json
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from stead.core.schema import DatasetCard
from stead.node.services.tables import Limits, Table, load
from stead.plans.decode import decode_answer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FIELDS = {"work", "system", "variant"}
TIMED = FIELDS | {"seconds", "seconds_min", "seconds_max", "runs"}
JUDGED = {"baseline", "ratio", "limit", "within"}
SIZE = 3000


@pytest.fixture(scope="module")
def modules():
    """The benchmark's modules, which stand beside its script."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield {name: importlib.import_module(name) for name in ("questions", "_question_list", "_question_errors")}
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def both(modules, tmp_path_factory):
    """The made-up rows as a plain table, and as the node keeps them."""
    directory = tmp_path_factory.mktemp("questions")
    held = modules["questions"].people_rows(SIZE)
    card = DatasetCard("patients", modules["_question_list"].schema_of(SIZE))
    with duckdb.connect(config={"threads": 1}) as plain:
        plain.register("held", held)
        plain.execute("CREATE TABLE patients AS SELECT * FROM held")
        plain.execute("COPY patients TO ? (FORMAT parquet)", [str(directory / "patients.parquet")])
        limits = Limits(threads=1, memory_mb=256)
        load(directory / "patients.parquet", card, directory, person_secret=bytes(32), limits=limits)
        with Table(directory, card, limits=limits) as table:
            yield plain, table


def test_no_row_is_beyond_what_the_node_keeps(both):
    plain, table = both
    (most,) = plain.execute("SELECT max(n) FROM (SELECT count(*) AS n FROM patients GROUP BY pid)").fetchone()
    assert most <= table.schema.rows_per_person


def asked_both_ways(modules, both, work):
    plain, table = both
    asked = next(each for each in modules["_question_list"].RANKED if each.work == work)
    found = decode_answer(asked.query, table.schema, table.run(asked.query).vector)
    return sorted(plain.execute(asked.sql).fetchall()), found


def test_both_systems_are_asked_the_same(modules, both):
    def ask(work):
        return asked_both_ways(modules, both, work)

    ((count,),), found = ask("count over a filter")
    assert found["rows"] == count
    by_ward, found = ask("mean by ward")
    assert found["rows"].tolist() == [rows for _, rows, _ in by_ward]
    np.testing.assert_allclose(found["pressure"], [mean for _, _, mean in by_ward], atol=1e-3)
    sums, found = ask("sums by ward over a filter")
    np.testing.assert_allclose(found["pressure"], [total for _, total, _ in sums], rtol=1e-4)
    assert found["age"].tolist() == [total for _, _, total in sums]
    variances, found = ask("variance by ward")
    np.testing.assert_allclose(found["variance"], [each for _, each in variances], rtol=0.01)
    cells, found = ask("histogram")
    assert found["ages"].tolist() == [rows for _, rows in cells]
    ((correlation,),), found = ask("correlation")
    assert found["both"] == pytest.approx(correlation, abs=1e-3)
    ((slope, intercept, _),), found = ask("regression")
    assert found["line"][:2] == pytest.approx([intercept, slope], abs=1e-2)
    ((median,),), found = ask("median")
    assert found["median"] == pytest.approx([median], abs=0.1)
    ((people,),), found = ask("people")
    assert found["people"] == people
    quotients, found = ask("mean of a quotient by ward")
    np.testing.assert_allclose(found["part"], [mean for _, mean in quotients], rtol=1e-3)
    groups, found = ask("mean by age group")
    assert found["rows"].tolist() == [rows for _, rows, _ in groups]


def test_survival_counts_are_of_the_same_cells(modules, both):
    plain, table = both
    asked = next(each for each in modules["_question_list"].RANKED if each.work == "survival counts")
    expected = np.zeros((2, 10), dtype=int)
    for year, event, rows in plain.execute(asked.sql).fetchall():
        expected[0 if event else 1, int(year)] = rows
    assert table.run(asked.query).vector.reshape(2, 10).tolist() == expected.tolist()


def test_windows_bound_as_the_node_does(modules, both):
    """Which groups a person keeps differs, how many does not: a count over all wards is the same."""
    plain, table = both
    bounded = {each.work: each.query for each in modules["_question_list"].BOUNDED}
    rows = plain.execute(modules["_question_list"].WINDOWED["mean by ward"]).fetchall()
    layout = decode_answer(bounded["mean by ward"], table.schema, table.run(bounded["mean by ward"]).vector)
    assert layout["rows"].sum() == sum(count for _, count, _ in rows)


def test_rows_of_time(modules):
    rows = modules["questions"].speed_rows(SIZE, 1)
    json.dumps(rows)
    timed = [row for row in rows if row["variant"] in ("ranks", "groups")]
    works = {(row["variant"], row["work"]) for row in timed}
    assert len(works) == len(modules["_question_list"].RANKED) + len(modules["_question_list"].BOUNDED)
    for row in timed:
        assert row.keys() >= TIMED | {"peak_mb"} | (JUDGED if row["system"] == "stead" else set())
    for row in (row for row in timed if row["system"] == "stead"):
        assert row["baseline"] == f"duckdb {row['variant']}"
        assert row["limit"] == {"ranks": 3.0, "groups": 10.0}[row["variant"]]
        assert row["within"] == ("yes" if row["ratio"] <= row["limit"] else "no")
    assert {row["work"] for row in rows if row["variant"] == "groups by windows"} == {"count by ward", "mean by ward"}
    (gate,) = (row for row in rows if row["variant"] == "gate")
    assert gate.keys() >= TIMED | {"overhead_ms", "baseline", "ratio"}


def test_rows_of_error(modules):
    errors = modules["_question_errors"]
    rows = errors.error_rows(100, errors.made_up(500))  # so many that no peer is without error
    json.dumps(rows)
    works = {"count", "sum", "mean", "histogram", "median"}
    assert {row["work"] for row in rows} == works
    ours = [row for row in rows if row["system"] == "stead"]
    assert {row["work"] for row in ours} == works
    for row in rows:
        assert row.keys() >= FIELDS
        assert "skipped" in row or row.keys() >= {"error", "error_se", "repetitions", "epsilon"}
    for row in ours:
        assert 0.99 < row["epsilon"] <= 1.0
        assert row["delta"] == 1e-6
    if any(row["system"] != "stead" and "error" in row for row in rows):
        assert sum("within" in row for row in ours) == len(works)
        assert all(row.keys() >= {"baseline", "ratio", "ratio_se", "ratio_worst"} for row in ours)


def test_a_peer_that_is_not_there_is_said_to_be(modules, monkeypatch):
    errors = modules["_question_errors"]
    for name in ("opendp.prelude", "pydp.algorithms"):
        monkeypatch.setitem(sys.modules, name, None)
    rows = errors.error_rows(10, errors.made_up(50))
    assert {row["system"] for row in rows if "skipped" in row} == {"opendp", "pydp"}
    assert not any("ratio" in row for row in rows)
