"""What must hold between prices, whatever they are: more noise never costs more, splitting is never cheaper.

PySyft once charged less for less noise, and more for the same questions in another order.
"""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.privacy.accounts import DEFAULT_ORDERS, SATURATED, UNIT, Target
from stead.privacy.events import (
    AboveThreshold,
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    ExponentialChoice,
    NoisyMax,
    PartitionSelection,
    PermuteAndFlip,
    RandomisedResponse,
    Repeated,
    Sampled,
    SumOfDiscreteGaussians,
    ThresholdedGaussian,
    ThresholdedLaplace,
)
from stead.privacy.renyi import beside_slack
from stead.privacy.reserve import Price, Reserved, allows, price

# Each makes an event of a noise width and of how far one person reaches.
MAKERS = {
    "gaussian": lambda width, reach: DiscreteGaussian(width, float(reach)),
    "laplace": DiscreteLaplace,
    "sum": lambda width, reach: SumOfDiscreteGaussians(width, 3, float(reach), 50),
    "exponential": ExponentialChoice,
    "permute-and-flip": PermuteAndFlip,
    "noisy max": NoisyMax,
    "stream": lambda width, reach: AboveThreshold(width, 3 * width, reach, 2 * reach, 4),
    "response": lambda width, reach: RandomisedResponse(reach / width, 5),
    "selection": lambda width, reach: PartitionSelection(reach / width, 1e-9, 3),
    "shown gaussian": lambda width, reach: ThresholdedGaussian(width, 10**6, reach, 3),
    "shown laplace": lambda width, reach: ThresholdedLaplace(width, 10**6, reach, 3),
    "sampled": lambda width, reach: Sampled(0.1, SumOfDiscreteGaussians(width, 2, float(reach), 50)),
    "sampled laplace": lambda width, reach: Sampled(0.1, DiscreteLaplace(width, reach)),
}
WIDTHS, REACHES = st.floats(1, 1e4), st.integers(1, 20)
EVERY = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
EVENTS = st.builds(lambda make, width, reach: make(width, reach), st.sampled_from([*MAKERS.values()]), WIDTHS, REACHES)
NOTHING = Price((0,) * len(DEFAULT_ORDERS), 0)


def cost(event):
    return price(event, DEFAULT_ORDERS)


def capped(amounts):
    """What no account can pay, however it was put together, is one amount."""
    return tuple(min(amount, SATURATED) for amount in amounts)


def at_most(one, other, slip=1e-9):
    """Each divergence no larger, but for the last digits of a float."""
    return all(a <= b * (1 + slip) + 1 for a, b in zip(one.amounts, other.amounts, strict=True))


@EVERY
@given(WIDTHS, WIDTHS, REACHES)
@settings(max_examples=25, deadline=None)
def test_more_noise_never_costs_more(make, width, other, reach):
    quiet, loud = sorted((width, other))
    assert at_most(cost(make(loud, reach)), cost(make(quiet, reach)))


@EVERY
@given(WIDTHS, REACHES, REACHES)
@settings(max_examples=25, deadline=None)
def test_a_person_who_reaches_further_never_costs_less(make, width, reach, other):
    near, far = sorted((reach, other))
    one, two = cost(make(width, near)), cost(make(width, far))
    assert at_most(one, two)
    assert one.slack <= two.slack


@given(st.integers(0, 3000), st.integers(0, 3000), st.floats(1, 100), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_a_higher_threshold_and_fewer_keys_never_cost_more_slack(threshold, other, width, keys):
    low, high = sorted((threshold, other))
    for event in (ThresholdedGaussian, ThresholdedLaplace):
        assert cost(event(width, high, 1, keys)).slack <= cost(event(width, low, 1, keys)).slack
        assert cost(event(width, high, 1, keys)).slack <= cost(event(width, high, 1, keys + 1)).slack


@EVERY
@given(WIDTHS, REACHES, st.integers(1, 50), st.integers(1, 50))
@settings(max_examples=20, deadline=None)
def test_a_run_in_two_parts_costs_the_whole_run(make, width, reach, first, second):
    event = make(width, reach)
    whole = cost(Repeated(event, first + second))
    parts = cost(Repeated(event, first)) + cost(Repeated(event, second))
    assert whole.amounts == capped(parts.amounts)
    assert whole.slack <= parts.slack <= whole.slack + 2


@pytest.mark.parametrize("make", [MAKERS[name] for name in ("gaussian", "laplace", "exponential", "noisy max")])
@given(WIDTHS, REACHES, st.integers(2, 30))
@settings(max_examples=40, deadline=None)
def test_many_noisier_answers_are_not_cheaper_than_one(make, width, reach, times):
    """The mean of n answers with root n times the noise is as good as one answer: it may not cost less."""
    one, many = cost(make(width, reach)), cost(Repeated(make(width * math.sqrt(times), reach), times))
    assert at_most(one, many, slip=1e-8)


@given(WIDTHS, st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_keys_shown_apart_are_not_cheaper_than_together(width, first, second):
    for event in (ThresholdedGaussian, ThresholdedLaplace):
        whole = cost(event(width, 300, 1, first + second))
        parts = cost(event(width, 300, 1, first)) + cost(event(width, 300, 1, second))
        assert at_most(whole, parts)
        assert whole.slack <= parts.slack * (1 + 1e-8) + 2


@given(WIDTHS, REACHES, REACHES, st.integers(2, 48))
@settings(max_examples=50, deadline=None)
def test_a_vector_costs_what_its_parts_cost(width, one, other, order):
    parts = Composed((DiscreteGaussian(width, float(one)), DiscreteGaussian(width, float(other))))
    whole = DiscreteGaussian(width, math.hypot(one, other))
    assert beside_slack(whole, order) == pytest.approx(beside_slack(parts, order), rel=1e-9)


@given(st.lists(EVENTS, min_size=1, max_size=6), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_how_charges_are_grouped_does_not_matter(events, cut):
    left, right = tuple(events[:cut]), tuple(events[cut:])
    apart = sum((cost(event) for event in events), NOTHING)
    for grouped in (Composed(tuple(events)), Composed((Composed(left), Composed(right))), Composed(left + right[::-1])):
        assert cost(grouped).amounts == capped(apart.amounts)
        assert cost(grouped).slack <= apart.slack <= cost(grouped).slack + len(events)


@given(st.lists(EVENTS, max_size=10), st.randoms(use_true_random=False), st.floats(1, 10))
@settings(max_examples=50, deadline=None)
def test_the_order_of_charges_does_not_change_what_an_account_has_paid(events, shuffler, epsilon):
    account = Reserved(Target(epsilon, 1e-5), 1e-6)
    spent, paid = NOTHING, []
    for event in events:
        if allows(account, spent, cost(event)):
            spent, paid = spent + cost(event), [*paid, event]
    shuffler.shuffle(paid)
    again = NOTHING
    for event in paid:
        assert allows(account, again, cost(event))
        again += cost(event)
    assert again == spent


@EVERY
def test_nothing_is_free(make):
    assert min(cost(make(1e4, 1)).amounts) >= 1
    assert min(cost(make(1.0, 20)).amounts) * UNIT > 0.01
