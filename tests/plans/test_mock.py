"""The mock twin keeps to the schema, and is the same for everybody."""

import numpy as np
import pytest
from scipy.stats import binomtest

from stead.core.schema import Bounds, Column, Schema
from stead.errors import UsageError
from stead.plans.mock import mock_rows
from stead.plans.query import Count, Histogram, Mean, Query
from stead.plans.sums import run_reference

SCHEMA = Schema(
    "north",
    "patient",
    (
        Column("pid", "text"),
        Column("age", "integer", Bounds(17.5, 99.5), missing_rate=0.25),
        Column("bp", "real", Bounds(-3, -1)),
        Column("sex", "category", categories=("f", "m"), missing_rate=1.0),
        Column("stage", "category", categories=("i", "ii", "iii")),
        Column("dead", "boolean", missing_rate=0.5),
        Column("letter", "text", missing_rate=0.2),
        Column("seen", "date", Bounds(-3, 400), missing_rate=0.1),
    ),
    people=(100, 500),
    person="pid",
    rows_per_person=4,
)


def test_types_bounds_categories_and_missing_rates():
    rows = mock_rows(SCHEMA, 3000)
    assert list(rows) == [column.name for column in SCHEMA.columns]
    assert {len(values) for values in rows.values()} == {3000}
    age = rows["age"][~np.isnan(rows["age"])]
    assert age.min() >= 18
    assert age.max() <= 99
    assert np.all(age == np.rint(age))
    # wrong once in a million seeds; the seed is fixed
    assert binomtest(int(np.isnan(rows["age"]).sum()), 3000, 0.25).pvalue > 1e-6
    assert binomtest(sum(value is None for value in rows["dead"]), 3000, 0.5).pvalue > 1e-6
    assert -3 <= rows["bp"].min() < rows["bp"].max() <= -1
    assert set(rows["sex"]) == {None}
    assert set(rows["stage"]) == {"i", "ii", "iii"}
    assert set(rows["dead"]) == {True, False, None}
    seen = rows["seen"][~np.isnan(rows["seen"])]
    assert -3 <= seen.min() < seen.max() <= 400
    assert np.all(seen == np.rint(seen))
    assert binomtest(len(seen), 3000, 0.9).pvalue > 1e-6


def test_texts_repeat():
    letters = mock_rows(SCHEMA, 3000)["letter"].tolist()
    words = set(letters) - {None}
    assert None in letters
    assert all(isinstance(word, str) for word in words)
    assert min(letters.count(word) for word in words) >= 100


def test_rows_per_person():
    people = mock_rows(SCHEMA, 3000)["pid"].tolist()
    sizes = {person: people.count(person) for person in set(people)}
    assert set(sizes.values()) == {1, 2, 3, 4}
    query = Query("d", (), (), (Count("n"),), ())
    assert run_reference(query, SCHEMA, mock_rows(SCHEMA, 3000)).tolist() == [3000]


def test_same_schema_and_seed_same_rows():
    def listed(rows):
        return {name: [None if v != v else v for v in values.tolist()] for name, values in rows.items()}  # noqa: PLR0124

    assert listed(mock_rows(SCHEMA, 50)) == listed(mock_rows(SCHEMA, 50))
    assert listed(mock_rows(SCHEMA, 50, seed=7)) == listed(mock_rows(SCHEMA, 50, seed=7))
    assert listed(mock_rows(SCHEMA, 50)) != listed(mock_rows(SCHEMA, 50, seed=7))
    other = Schema("south", "patient", SCHEMA.columns, SCHEMA.people, "pid", 4)
    assert listed(mock_rows(SCHEMA, 50)) != listed(mock_rows(other, 50))


def test_every_question_runs_on_the_twin():
    query = Query(
        "d", (), ("stage", "dead"), (Mean("m", "bp"), Mean("a", "age"), Histogram("h", "age", (0, 50, 120))), ()
    )
    vector = run_reference(query, SCHEMA, mock_rows(SCHEMA, 500))
    assert len(vector) == 6 * (2 + 2 + 2)
    assert vector.any()


@pytest.mark.parametrize(
    "column", [Column("who", "integer", Bounds(5, 30)), Column("who", "category", categories=("a", "b", "c"))]
)
def test_identities_of_other_kinds(column):
    schema = Schema("p", "person", (column, Column("x", "boolean")), (1, 9), "who", 2)
    who = mock_rows(schema, 40)["who"]
    assert set(who) <= set(column.categories or range(5, 31))


@pytest.mark.parametrize("rows", [0, 1])
def test_small_tables(rows):
    assert {len(values) for values in mock_rows(SCHEMA, rows).values()} == {rows}


@pytest.mark.parametrize("rows", [-1, 10**9])
def test_sizes_that_cannot_be(rows):
    with pytest.raises(UsageError):
        mock_rows(SCHEMA, rows)
