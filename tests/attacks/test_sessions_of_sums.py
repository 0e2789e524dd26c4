"""A session carries sums with Gaussian noise. What is no such sum is refused, even of one site, where nobody adds up.

A session of one site would draw Gaussian noise where the plan was priced as Laplace, or send as many numbers as there
are private keys.
"""

import pytest
from msgspec.structs import replace

import stead.testing
from stead.core import messages
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import UsageError
from stead.plans.plan import encode_plan
from stead.plans.query import Count, Distinct, PrivateKeys, Query

SCHEMA = Schema("p", "patient", (Column("age", "integer", Bounds(0, 100)), Column("note", "text")), people=(1, 1000))
COUNT = Query("d", (), (), (Count("n"),), (50.0,))
NO_SUMS = {
    "laplace": replace(COUNT, noise="laplace"),
    "private keys": replace(COUNT, private_keys=PrivateKeys("note", 50.0, 400)),
    "different values": replace(COUNT, aggregates=(Distinct("n", "age"),)),
}


@pytest.fixture(scope="module")
def site():
    with stead.testing.local_network(["north"]) as network:
        network.add(DatasetCard("d", SCHEMA), {"age": [1, 2, 3], "note": ["a", "b", "a"]}, at="north")
        yield network["north"]["d"].source.site


@pytest.mark.parametrize("outlet", ["join", "disclose"])
@pytest.mark.parametrize("sites", [1, 3])
@pytest.mark.parametrize("query", NO_SUMS.values(), ids=NO_SUMS)
def test_what_is_no_sum_is_in_no_session(site, query, sites, outlet):
    asked = messages.Preview(site.project, encode_plan(query), outlet=outlet, sites=sites)
    with pytest.raises(
        UsageError, match=r"noise that several sites add up|is found at one site|counts different values"
    ):
        site.ask(asked, messages.Quote)


def test_the_same_count_is_priced_where_it_may_be(site):
    for outlet, query in (("join", COUNT), ("answer", NO_SUMS["laplace"]), ("answer", NO_SUMS["private keys"])):
        assert site.ask(messages.Preview(site.project, encode_plan(query), outlet=outlet), messages.Quote).epsilon > 0
