"""Prices follow from public facts: less noise costs more, order does not matter, sites share the noise."""

import math

import msgspec
import pytest

from stead.core.schema import Bounds, Column, Schema
from stead.errors import UsageError
from stead.plans.bars import sigmas_for
from stead.plans.price import Price, price
from stead.plans.query import Compare, Count, Filter, Histogram, Mean, Query, Sum
from stead.privacy.events import Composed, DiscreteGaussian, SumOfDiscreteGaussians
from stead.privacy.renyi import renyi

SCHEMA = Schema(
    "north",
    "patient",
    (Column("pid", "text"), Column("bp", "real", Bounds(0, 1)), Column("sex", "category", categories=("f", "m"))),
    people=(100, 500),
    person="pid",
    rows_per_person=2,
)
QUERY = Query("heart", (), ("sex",), (Count("n"), Mean("m", "bp")), (5.0, 2.0**22, 7.0))


def test_event_of_one_site():
    assert price(QUERY, SCHEMA).event == Composed(
        (
            DiscreteGaussian(5.0, 2.0),
            DiscreteGaussian(2.0**22, 2 * 2.0**19),  # half of [0, 1] is 2^19 steps of 2^-20
            DiscreteGaussian(7.0, 2.0),
        )
    )


def test_event_of_three_sites_one_of_which_may_collude():
    events = price(QUERY, SCHEMA, sites=3, colluders=1).event.events
    assert events[0] == SumOfDiscreteGaussians(5.0 / math.sqrt(2), 2, 2.0, 2)
    assert [event.dimension for event in events] == [2, 2, 2]


def test_sums_and_counts_by_hand():
    """Rényi divergence of a Gaussian at order a is a d^2 / (2 s^2): 8 * (4/25 + 2^40/2^44 + 4/49) / 2."""
    expected = 8 / 2 * (4 / 25 + 1 / 16 + 4 / 49)
    assert renyi(price(QUERY, SCHEMA).event, 8) == pytest.approx(expected, rel=1e-9)


def test_less_noise_costs_more():
    costs = []
    for within in (0.4, 0.3, 0.2, 0.1):
        bare = msgspec.structs.replace(QUERY, sigmas=())
        query = msgspec.structs.replace(bare, sigmas=sigmas_for(bare, SCHEMA, within))
        costs.append(renyi(price(query, SCHEMA).event, 4))
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


def test_order_of_aggregates_and_filters_change_no_price():
    steps = (Filter(Compare("bp", ">", 0.5)),)
    turned = Query("heart", steps, ("sex",), (Mean("m", "bp"), Count("n")), (2.0**22, 7.0, 5.0))
    for order in (2, 16):
        one, other = (renyi(price(query, SCHEMA).event, order) for query in (QUERY, turned))
        assert one == pytest.approx(other, rel=1e-12)


def test_work_grows_with_declared_people_and_not_with_rows():
    larger = msgspec.structs.replace(SCHEMA, people=(100, 1000))
    one, two = price(QUERY, SCHEMA), price(QUERY, larger)
    assert two.flops == 2 * one.flops
    assert isinstance(one, Price)
    assert one.rounds == 1
    # 1000 rows of three columns (sex, bp and the person), and six released integers
    assert one.size_bytes == 8 * (1000 * 3 + 6)


def test_a_longer_question_is_more_work():
    longer = msgspec.structs.replace(
        QUERY, aggregates=(*QUERY.aggregates, Sum("s", "bp"), Histogram("h", "sex")), sigmas=(*QUERY.sigmas, 1.0, 1.0)
    )
    assert price(longer, SCHEMA).flops > price(QUERY, SCHEMA).flops


@pytest.mark.parametrize(("sites", "colluders"), [(1, 1), (3, 3), (0, 0), (2, -1)])
def test_sites_that_make_no_sense(sites, colluders):
    with pytest.raises(UsageError):
        price(QUERY, SCHEMA, sites=sites, colluders=colluders)
