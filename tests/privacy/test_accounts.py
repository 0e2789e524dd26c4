"""An account's decisions: as many grants as the closed form says, whatever the order, and replayed to the unit."""

import math
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.errors import UsageError
from stead.privacy.accounts import (
    DEFAULT_ORDERS,
    SATURATED,
    UNIT,
    Target,
    allows,
    amounts,
    caps,
    epsilon_spent,
)
from stead.privacy.events import (
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    ExponentialChoice,
    Gaussian,
    PermuteAndFlip,
    RandomisedResponse,
    Repeated,
    Sampled,
    SumOfDiscreteGaussians,
)
from stead.privacy.renyi import epsilon_from_renyi, renyi

NOTHING = (0,) * len(DEFAULT_ORDERS)


def plus(spent, charge):
    return tuple(a + b for a, b in zip(spent, charge, strict=True))


def replay(target, charges):
    """Every decision in turn, and what is spent at the end."""
    spent, granted = (0,) * len(target.orders), []
    for charge in charges:
        granted.append(allows(target, spent, charge))
        if granted[-1]:
            spent = plus(spent, charge)
    return granted, spent


def room(epsilon, delta, order):
    """Canonne, Kamath, Steinke 2020, proposition 12, solved for the divergence."""
    return epsilon - math.log((order - 1) / order) + (math.log(delta) + math.log(order)) / (order - 1)


@pytest.mark.parametrize(
    ("orders", "sigma", "epsilon"),
    [
        ((20,), 100.0, 1.0),
        ((20,), 100.0, 8.0),
        (DEFAULT_ORDERS, 100.0, 1.0),
        (DEFAULT_ORDERS, 100.0, 8.0),
        (DEFAULT_ORDERS, 7.0, 20.0),
        ((2, 3), 7.0, 20.0),
    ],
)
def test_as_many_grants_as_the_closed_form(orders, sigma, epsilon):
    delta = 1e-6
    target = Target(epsilon, delta, orders)
    best = max(math.floor(room(epsilon, delta / len(orders), a) / (a / (2 * sigma**2))) for a in orders)
    charge = amounts(DiscreteGaussian(sigma, 1.0), orders)
    granted, _ = replay(target, [charge] * (best + 50))
    assert sum(granted) == best > 0
    assert granted == [True] * best + [False] * 50


@pytest.mark.parametrize("epsilon", np.geomspace(0.5, 10, 25).tolist())
def test_the_default_orders_need_little_more_noise_than_all_orders(epsilon):
    """The Gaussian sigma that pays for a run, against all integer orders with nothing paid for the union."""
    everything = max(room(epsilon, 1e-6, order) / order for order in range(2, 1025))
    share = max(cap * UNIT / order for cap, order in zip(caps(Target(epsilon, 1e-6)), DEFAULT_ORDERS, strict=True))
    assert 1 < math.sqrt(everything / share) <= 1.15


@pytest.mark.parametrize("epsilon", [0.001, 0.05, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("delta", [1e-5, 1e-6, 1e-9, 1e-12])
def test_purely_private_answers_cost_their_epsilon_and_hardly_more(epsilon, delta):
    """Basic composition of pure privacy: the sum of the epsilons, with no delta; of what is above it, 5e-4 is left."""
    target = Target(8.0, delta)
    answers = (
        DiscreteLaplace(20 / epsilon, 20),
        ExponentialChoice(3 / epsilon, 3),
        PermuteAndFlip(3 / epsilon, 3),
        RandomisedResponse(epsilon, 4),
    )
    for answer in answers:
        # An amount is rounded up in its last digits, as the curve is by one part in 2^30; nothing else is above.
        paid = epsilon_spent(target, amounts(answer, DEFAULT_ORDERS))
        assert paid <= epsilon * (1 + 1e-8) + 5e-4
    together = sum(epsilon for _ in answers)
    assert epsilon_spent(target, amounts(Composed(answers), DEFAULT_ORDERS)) <= together * (1 + 1e-8) + 5e-4


def test_a_target_below_what_the_smaller_orders_leave_pays_for_pure_answers():
    target = Target(0.1, 1e-6)
    assert max(caps(target)[:-1]) < 0 < caps(target)[-1]
    # The Laplace's divergence is epsilon less log(2) / (a - 1): half of its loss is at the other end.
    each = 0.001 - math.log(2) / 65535
    answer = DiscreteLaplace(1000.0, 1)
    granted, _ = replay(target, [amounts(answer, target.orders)] * 110)
    assert sum(granted) == math.floor(room(0.1, 1e-6 / 6, 65536) / each) == 101


def test_a_cap_spent_to_the_last_unit_keeps_the_promise():
    target = Target(1.0, 1e-6)
    for order, cap in zip(target.orders, caps(target), strict=True):
        exact = epsilon_from_renyi(cap * UNIT, order, 1e-6 / len(target.orders))
        assert cap < 0 or target.epsilon - 1e-8 < exact <= target.epsilon


EVENTS = st.one_of(
    st.builds(DiscreteGaussian, st.floats(1, 1e4), st.floats(0, 10)),
    st.builds(DiscreteLaplace, st.floats(1, 1e4), st.integers(0, 10)),
    st.builds(
        lambda rate, sigma, times: Repeated(Sampled(rate, SumOfDiscreteGaussians(sigma, 3, 9.0, 50)), times),
        st.floats(0.001, 1),
        st.floats(5, 500),
        st.integers(1, 100),
    ),
)


@given(st.lists(EVENTS, max_size=12), st.randoms(use_true_random=False), st.floats(0.5, 10))
@settings(max_examples=60)
def test_what_is_spent_does_not_depend_on_the_order_of_charges(events, shuffler, epsilon):
    target = Target(epsilon, 1e-6)
    charges = [amounts(event, target.orders) for event in events]
    granted, spent = replay(target, charges)
    paid = [charge for charge, yes in zip(charges, granted, strict=True) if yes]
    shuffler.shuffle(paid)
    # All that was granted in one order is granted in any other, to the same unit.
    again, spent_again = replay(target, paid)
    assert all(again)
    assert spent_again == spent
    assert epsilon_spent(target, spent) <= epsilon


@given(st.lists(EVENTS, max_size=12))
@settings(max_examples=40)
def test_replaying_an_account_gives_the_same_state(events):
    target = Target(3.0, 1e-6)
    charges = [amounts(event, target.orders) for event in events]
    assert replay(target, charges) == replay(target, [amounts(event, target.orders) for event in events])


@given(EVENTS, EVENTS, st.integers(1, 50))
@settings(max_examples=60)
def test_a_whole_costs_exactly_its_parts(first, second, times):
    apart = plus(amounts(first, DEFAULT_ORDERS), amounts(second, DEFAULT_ORDERS))
    assert amounts(Composed((first, second)), DEFAULT_ORDERS) == tuple(min(amount, SATURATED) for amount in apart)
    run = amounts(Repeated(Composed((first, second)), times), DEFAULT_ORDERS)
    assert run == tuple(min(times * amount, SATURATED) for amount in apart)


@given(st.floats(1, 1e4), st.floats(1, 1e4))
@settings(max_examples=60)
def test_more_noise_never_costs_more(one, other):
    quiet, loud = sorted((one, other))
    for make in (lambda width: DiscreteGaussian(width, 3.0), lambda width: DiscreteLaplace(width, 3)):
        cheap, dear = amounts(make(loud), DEFAULT_ORDERS), amounts(make(quiet), DEFAULT_ORDERS)
        assert all(a <= b for a, b in zip(cheap, dear, strict=True))


@given(EVENTS, st.integers(2, 64))
@settings(max_examples=60)
def test_amounts_are_whole_and_rounded_up(event, order):
    (amount,) = amounts(event, (order,))
    assert isinstance(amount, int)
    vectors = event.times if isinstance(event, Repeated) else 1
    exact = renyi(event, order)
    assert (amount - vectors) * UNIT * (1 - 1e-12) <= exact <= amount * UNIT * (1 + 1e-12)


def test_an_unbounded_event_is_paid_by_no_account():
    hopeless = SumOfDiscreteGaussians(0.3, 2, 1.0, 1)
    charge = amounts(hopeless, DEFAULT_ORDERS)
    assert charge == (SATURATED,) * len(DEFAULT_ORDERS)
    assert not allows(Target(1e9, 1e-6), NOTHING, charge)
    assert epsilon_spent(Target(1.0, 1e-6), charge) == math.inf
    assert amounts(Gaussian(1e-9, 1.0), (2,)) == (SATURATED,)


def test_an_account_that_spent_nothing_has_spent_no_epsilon():
    assert epsilon_spent(Target(1.0, 1e-6), NOTHING) == 0.0
    assert amounts(Composed(()), DEFAULT_ORDERS) == NOTHING


def test_an_order_over_its_cap_stays_out():
    target = Target(4.0, 1e-6)
    dear_at_high_orders = Repeated(Sampled(0.001, Gaussian(0.8, 1.0)), 200)
    charge = amounts(dear_at_high_orders, target.orders)
    over = [amount > cap for amount, cap in zip(charge, caps(target), strict=True)]
    assert any(over)
    assert not all(over)
    assert allows(target, NOTHING, charge)
    for spent in accumulate([charge] * 3, plus):
        assert [paid > cap for paid, cap in zip(spent, caps(target), strict=True)] >= over


@pytest.mark.parametrize(
    ("epsilon", "delta", "orders"),
    [
        (0.0, 1e-6, (8,)),
        (math.nan, 1e-6, (8,)),
        (math.inf, 1e-6, (8,)),
        (1.0, 0.0, (8,)),
        (1.0, 1.0, (8,)),
        (1.0, 1e-6, ()),
        (1.0, 1e-6, (1,)),
        (1.0, 1e-6, (8, 4)),
        (1.0, 1e-6, (8, 8)),
        (1.0, 1e-6, (2.5,)),
        (1.0, 1e-6, (2, 3)),
        (5e-5, 1e-6, DEFAULT_ORDERS),
    ],
)
def test_a_target_that_promises_nothing_is_refused(epsilon, delta, orders):
    with pytest.raises(UsageError):
        Target(epsilon, delta, orders)


@pytest.mark.parametrize(("spent", "charge"), [((0,), (1,)), (NOTHING, (1,)), (NOTHING, (-1, 0, 0, 0, 0, 0))])
def test_a_charge_of_another_shape_is_refused(spent, charge):
    with pytest.raises(UsageError):
        allows(Target(1.0, 1e-6), spent, charge)
