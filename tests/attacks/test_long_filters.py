"""A filter as long as plans allow keeps a node busy for a moment, not for minutes."""

import pytest

from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import UsageError
from stead.node.services.tables import Table, load
from stead.plans.analysis import parts
from stead.plans.predicates import MAX_NODES
from stead.plans.query import And, Clip, Compare, Count, Filter, Or, Query, Sum
from stead.plans.scope import MAX_STEPS

CARD = DatasetCard(
    "heart",
    Schema(
        "heart patients",
        "patient",
        (Column("patient", "text"), Column("visits", "integer", bounds=Bounds(0, 100))),
        (10, 1000),
        person="patient",
    ),
)


def above(many):
    """True for every row, by so many different comparisons."""
    return tuple(Compare("visits", ">", -1.0 - number) for number in range(many))


def count(*steps):
    return Query("heart", steps, (), (Count("patients"),), (1.0,))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    directory = tmp_path_factory.mktemp("rows")
    file = directory / "heart.csv"
    file.write_text("patient,visits\n" + "".join(f"p{number},{number % 90}\n" for number in range(200)))
    load(file, CARD, directory, person_secret=bytes(32))
    with Table(directory, CARD) as table:
        yield table


# With DuckDB's pushing down of filters each of the first two takes longer than anybody waits for a test.
@pytest.mark.parametrize(
    "steps",
    [
        (Filter(And(above(MAX_NODES - 1))),),
        tuple(Filter(And(above(MAX_NODES // MAX_STEPS - 1))) for _ in range(MAX_STEPS)),
        (Filter(Or(above(MAX_NODES - 1))),),
    ],
    ids=["one conjunction", "many filters", "one disjunction"],
)
def test_as_many_comparisons_as_a_plan_may_have(table, steps):
    assert table.run(count(*steps)).vector.tolist() == [200]


def test_as_many_clips_as_a_plan_may_have(table):
    clips = tuple(Clip("visits", Bounds(number / 8, 99 - number / 8)) for number in range(MAX_STEPS))
    bounds = clips[-1].bounds
    clipped = [int(min(max(number % 90, bounds.low), bounds.high)) for number in range(200)]
    query = Query("heart", clips, (), (Sum("visits", "visits"),), (1.0,))
    assert table.run(query).vector.tolist() == [sum(clipped)]


def test_the_limit_of_comparisons_is_one_for_all_filters_together():
    halves = (Filter(And(above(MAX_NODES // 2))), Filter(And(above(MAX_NODES // 2))))
    with pytest.raises(UsageError, match="together"):
        parts(count(*halves), CARD.schema)
