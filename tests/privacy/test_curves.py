"""Curves of the range of a privacy loss: exact against sixty digits, and never below what any mechanism reaches."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import divergence

from stead.privacy.curves import bounded_range, pure, randomised_response

EPSILONS = [1e-9, 1e-4, 0.01, 0.3, 1.0, 2.5, 20.0, 500.0]
ORDERS = [1.001, 1.5, 2, 4, 7, 48, 1000, 65536]


def digits(formula, *numbers):
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = 60, 10**9, -(10**9)
        return float(formula(*map(Decimal, numbers)))


def of_reports(epsilon, options, order):
    """Mironov 2017, proposition 5, for any number of options."""
    moment = ((order * epsilon).exp() + ((1 - order) * epsilon).exp() + options - 2) / (epsilon.exp() + options - 1)
    return moment.ln() / (order - 1)


def of_range(eta, order):
    """The largest of q e^(at) + (1-q) e^(a(t-eta)), q = (e^-t - e^-eta)/(1 - e^-eta), where its slope in t is zero."""
    x = (order - 1) * (1 - (-order * eta).exp()) / (order * ((-eta).exp() - (-order * eta).exp()))
    return x.ln() + ((1 - (-order * eta).exp()) / (order * (1 - (-eta).exp()))).ln() / (order - 1)


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("order", ORDERS)
def test_curves_keep_their_digits(epsilon, order):
    """Prices are rounded up by 2^-30, about 1e-9: far above these errors."""
    for options in (2, 5, 1000):
        exact = digits(of_reports, epsilon, options, order)
        assert randomised_response(epsilon, options, order) == pytest.approx(exact, rel=1e-11)
    assert pure(epsilon, order) == pytest.approx(digits(of_reports, epsilon, 2, order), rel=1e-11)
    assert bounded_range(epsilon, order) == pytest.approx(digits(of_range, epsilon, order), rel=1e-11)


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("order", ORDERS)
def test_curves_lie_below_the_published_bounds(epsilon, order):
    rounding = 1 + 1e-11
    assert pure(epsilon, order) <= rounding * min(epsilon, order * epsilon**2 / 2)
    assert bounded_range(epsilon, order) <= rounding * min(pure(epsilon, order), order * epsilon**2 / 8)
    assert randomised_response(epsilon, 3, order) <= rounding * pure(epsilon, order)


@pytest.mark.parametrize("eta", [0.01, 0.3, 1.0, 2.5, 20.0])
@pytest.mark.parametrize("order", [1.5, 2, 4, 7, 20])
def test_the_curve_of_a_range_is_the_worst_of_all_two_valued_losses(eta, order):
    """No formula: all places of the interval are tried, and the best comes within one part in a million."""
    ends = np.linspace(0, eta, 20_001)[1:-1]
    q = np.expm1(-ends) - np.expm1(-eta)
    q /= -np.expm1(-eta)
    tried = np.log(q * np.exp(order * ends) + (1 - q) * np.exp(order * (ends - eta))) / (order - 1)
    assert tried.max() <= bounded_range(eta, order) * (1 + 1e-9)
    assert tried.max() >= bounded_range(eta, order) * (1 - 1e-6)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.floats(0.01, 5), st.integers(2, 40), st.randoms())
@settings(max_examples=100)
def test_no_law_of_that_range_diverges_more(losses, eta, order, chance):
    """Any law q and any losses of range eta, normalised: the divergence stays below the curve."""
    q = np.array([chance.random() + 1e-3 for _ in losses])
    q /= q.sum()
    p = q * np.exp(eta * np.array(losses))
    p /= p.sum()
    assert divergence(p, q, order) <= bounded_range(eta, order) * (1 + 1e-9) + 1e-12
    assert divergence(q, p, order) <= bounded_range(eta, order) * (1 + 1e-9) + 1e-12


@given(st.floats(1e-6, 50), st.floats(1e-6, 50), st.floats(1.001, 100), st.floats(1.001, 100))
@settings(max_examples=200)
def test_curves_rise_with_the_range_and_the_order(epsilon, other, order, next_order):
    near, far = sorted((epsilon, other))
    low, high = sorted((order, next_order))
    for curve in (pure, bounded_range):
        assert curve(near, order) <= curve(far, order) * (1 + 1e-11)
        assert curve(epsilon, low) <= curve(epsilon, high) * (1 + 1e-11)


def test_nothing_lost_costs_nothing():
    assert pure(0.0, 4) == bounded_range(0.0, 4) == 0.0
