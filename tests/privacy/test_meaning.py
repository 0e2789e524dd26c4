"""What epsilon means: formulas against attackers who do their best, and against each other."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.errors import UsageError
from stead.privacy.meaning import detected, exposed, guessed, posterior, together

EPSILONS = st.floats(0.0, 20.0)
DELTAS = st.floats(0.0, 0.2)
SHARES = st.floats(0.0, 1.0)


def dominating(epsilon, delta):
    """The worst (epsilon, delta) pair there is, on four results: Kairouz, Oh, Viswanath 2015, section 3."""
    odds = math.exp(epsilon)
    likely, unlikely = (1 - delta) * odds / (1 + odds), (1 - delta) / (1 + odds)
    return np.array([delta, likely, unlikely, 0.0]), np.array([0.0, unlikely, likely, delta])


@given(prior=SHARES, epsilon=EPSILONS)
def test_odds_grow_by_e_to_the_epsilon(prior, epsilon):
    """Bayes' rule with the likeliest result of randomised response, which is what the bound is tight for."""
    p, q = dominating(epsilon, 0.0)
    bayes = prior * p[1] / (prior * p[1] + (1 - prior) * q[1])
    assert posterior(prior, epsilon) == pytest.approx(bayes, abs=1e-12)


@given(false_alarms=SHARES, epsilon=st.floats(0.0, 8.0), delta=DELTAS)
def test_the_best_test_of_the_worst_pair_detects_just_so_many(false_alarms, epsilon, delta):
    """Neyman and Pearson: take the results in falling order of likelihood ratio, the last one by a coin."""
    found, left = 0.0, false_alarms
    for here, there in zip(*dominating(epsilon, delta), strict=True):
        part = 1.0 if there <= left else left / there
        found, left = found + part * here, left - part * there
    assert detected(false_alarms, epsilon, delta) == pytest.approx(min(1.0, found), abs=1e-9)


@given(epsilon=EPSILONS, delta=DELTAS)
def test_the_best_guess_is_half_and_half_the_distance(epsilon, delta):
    """Right with 1/2 + TV/2, TV the total variation of the worst pair."""
    p, q = dominating(epsilon, delta)
    assert guessed(epsilon, delta) == pytest.approx(0.5 + np.abs(p - q).sum() / 4, abs=1e-12)


@given(epsilon=st.floats(0.001, 3.0), delta=st.floats(0.0, 1e-4), size=st.integers(1, 6))
def test_a_group_passes_the_promise_on_person_by_person(epsilon, delta, size):
    """P <= e^epsilon Q + delta, applied to the result of the last application, size times."""
    factor, rest = 1.0, 0.0
    for _ in range(size):
        factor, rest = factor * math.exp(epsilon), rest * math.exp(epsilon) + delta
    whole = together(size, epsilon, delta)
    assert math.exp(whole[0]) == pytest.approx(factor)
    assert whole[1] == pytest.approx(min(1.0, rest))
    geometric = delta * math.expm1(size * epsilon) / math.expm1(epsilon)
    assert whole[1] == pytest.approx(min(1.0, geometric), rel=1e-9)


def test_figures_by_hand():
    """E = 2.71828: half becomes e/(1+e) = 73.1 %, 1 % becomes e/(e+99) = 2.67 %; 5 % false alarms find 13.6 %."""
    assert posterior(0.5, 1.0) == pytest.approx(0.731059, abs=1e-6)
    assert posterior(0.01, 1.0) == pytest.approx(0.026724, abs=1e-6)
    assert detected(0.05, 1.0) == pytest.approx(0.135914, abs=1e-6)
    assert guessed(1.0) == pytest.approx(0.731059, abs=1e-6)
    assert exposed(1e-6, 5000) == pytest.approx(0.005)
    assert together(4, 1.0)[0] == 4.0


def test_the_ends():
    assert [posterior(prior, 3.0) for prior in (0.0, 1.0)] == [0.0, 1.0]
    assert posterior(0.3, 0.0) == pytest.approx(0.3)
    assert detected(0.05, 0.0) == pytest.approx(0.05)
    assert detected(0.05, 5000.0) == 1.0
    assert together(3, 500.0, 1e-9) == (1500.0, 1.0)
    assert together(3, 500.0) == (1500.0, 0.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: posterior(1.1, 1.0),
        lambda: posterior(0.5, -1.0),
        lambda: posterior(0.5, math.inf),
        lambda: detected(-0.1, 1.0),
        lambda: detected(0.1, 1.0, 2.0),
        lambda: guessed(math.nan),
        lambda: together(0, 1.0),
        lambda: exposed(-1e-6, 10),
    ],
)
def test_numbers_out_of_range_are_refused(call):
    with pytest.raises(UsageError):
        call()
