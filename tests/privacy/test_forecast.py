"""Looking ahead: as many more as the rule allows, and the least noise of a stated question."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.errors import UsageError
from stead.privacy.accounts import Target, allows, amounts
from stead.privacy.events import DiscreteGaussian
from stead.privacy.forecast import count_of, most


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_the_most_is_where_the_rule_turns(allowed, limit):
    found = most(lambda number: number <= allowed, limit=limit)
    assert found == (None if allowed >= limit else allowed)


@pytest.mark.parametrize("sigma", [4.0, 25.5, 301.0])
def test_as_many_as_one_order_has_room_for(sigma):
    """Room: Canonne, Kamath, Steinke 2020, proposition 12, solved for the divergence. Cost: proposition 5."""
    target = Target(1.0, 1e-6, (24,))
    price = amounts(DiscreteGaussian(sigma, 1.0), target.orders)
    room = 1.0 - math.log(23 / 24) + (math.log(1e-6) + math.log(24)) / 23
    assert most(lambda number: allows(target, (0,), (number * price[0],))) == math.floor(room * sigma**2 / 12)


def exact_delta(epsilon, sigma):
    """The delta of a Gaussian of sensitivity 1: Balle, Wang, "Improving the Gaussian Mechanism" (2018), theorem 8."""

    def below(x):
        return math.erfc(-x / math.sqrt(2)) / 2

    return below(1 / (2 * sigma) - epsilon * sigma) - math.exp(epsilon) * below(-1 / (2 * sigma) - epsilon * sigma)


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 1.0, 5.0])
@pytest.mark.parametrize("delta", [1e-5, 1e-9])
def test_a_stated_question_has_the_least_noise_that_keeps_it(epsilon, delta):
    sigma = count_of(epsilon, delta).sigma
    orders = np.geomspace(1.001, 2e5, 200_000)
    divergences = orders / (2 * sigma**2)
    epsilons = divergences + np.log1p(-1 / orders) - (math.log(delta) + np.log(orders)) / (orders - 1)
    assert epsilons.min() == pytest.approx(epsilon, rel=5e-3)
    assert exact_delta(epsilon, sigma) <= delta
    assert exact_delta(0.8 * epsilon, sigma) > delta


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0.0, 1e-6), (-1.0, 1e-6), (math.nan, 1e-6), (math.inf, 1e-6), (1.0, 0.0), (1.0, 1.0)]
)
def test_what_is_no_promise_is_refused(epsilon, delta):
    with pytest.raises(UsageError, match="states epsilon"):
        count_of(epsilon, delta)


def test_a_promise_that_no_noise_keeps_is_refused():
    with pytest.raises(UsageError, match="no noise"):
        count_of(1e-9, 1e-9)
