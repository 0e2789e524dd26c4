"""Rényi bounds against published epsilons, Google's dp-accounting, and divergences summed from the exact weights."""

import math
from itertools import pairwise

import dp_accounting
import numpy as np
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from stead.errors import UnsupportedOperation, UsageError
from stead.privacy.events import (
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    Gaussian,
    Repeated,
    Sampled,
    SumOfDiscreteGaussians,
)
from stead.privacy.renyi import epsilon_from_renyi, renyi

# The orders behind the published figures (Opacus and TensorFlow Privacy) and those of dp-accounting's default.
CLASSIC_ORDERS = [1 + k / 10 for k in range(1, 100)] + list(range(11, 64)) + [128, 256, 512]
MODERN_ORDERS = [1 + k / 10 for k in range(1, 100)] + list(range(11, 64)) + [128, 256, 512, 1024]


def sgd(sigma, rate, steps):
    return Repeated(Sampled(rate, Gaussian(sigma, 1.0)), steps)


def epsilon(event, delta):
    return min(epsilon_from_renyi(renyi(event, order), order, delta) for order in MODERN_ORDERS)


def classic_epsilon(event, delta):
    """Mironov 2017, proposition 3."""
    return min(renyi(event, order) + math.log(1 / delta) / (order - 1) for order in CLASSIC_ORDERS)


# sigma, rate, steps, delta, then epsilon: as published, classic conversion and RDP by dp-accounting, PLD on a grid of
# 1e-3. Where the best order is a fraction dp-accounting is up to 0.35 % too high, as its own integer orders and the
# quadrature test below show; there our figure is a little smaller, and rounds to the published digits all the same.
SGD_ROWS = [
    (1.1, 256 / 60000, 14062, 1e-5, 3.01, 3.0083, 2.596556, 2.390530),
    (1.12, 256 / 60000, 14063, 1e-5, 2.92, 2.9223, 2.518686, 2.319334),
    (1.3, 256 / 60000, 3516, 1e-5, 1.19, 1.1923, 0.9546, None),
    (0.7, 256 / 60000, 10547, 1e-5, 7.10, 7.1016, 6.3197, None),
    (1.2, 256 / 60000, 2343, 1e-5, 1.20, 1.1982, 0.9316, None),
    (4.0, 0.01, 10000, 1e-5, 1.26, 1.2586, 1.035490, 0.960045),
    (1.0, 0.01, 10000, 1e-6, 8.09, 8.0928, 7.414101, 6.910909),
    (0.8, 0.001, 10000, 1e-6, 2.13, 2.1259, 1.703625, 0.959778),
]


@pytest.mark.parametrize("row", SGD_ROWS)
def test_published_epsilons_of_the_sampled_gaussian(row):
    sigma, rate, steps, delta, published, classic, modern, pld = row
    event = sgd(sigma, rate, steps)
    assert round(classic_epsilon(event, delta), 2) == published
    assert classic_epsilon(event, delta) == pytest.approx(classic, abs=1.2e-3)
    assert epsilon(event, delta) == pytest.approx(modern, abs=1.5e-3)
    assert 0 <= (pld or 0) <= epsilon(event, delta) <= classic_epsilon(event, delta)


@pytest.mark.parametrize("row", SGD_ROWS)
def test_epsilons_at_integer_orders_agree_with_dp_accounting(row):
    sigma, rate, steps, delta = row[:4]
    orders = range(2, 129)
    oracle = RdpAccountant(orders)
    oracle.compose(dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(sigma)), steps)
    event = sgd(sigma, rate, steps)
    found = min(epsilon_from_renyi(renyi(event, order), order, delta) for order in orders)
    assert found == pytest.approx(oracle.get_epsilon(delta), abs=1e-6)


@pytest.mark.parametrize(
    ("sigma", "times", "delta", "expected", "zcdp"),
    [
        (1.0, 1, 1e-5, 4.728507, 5.298526),
        (10.0, 100, 1e-6, 5.221540, 5.756522),
        (4.0, 1, 1e-6, 1.143169, 1.345380),
    ],
)
def test_closed_forms_of_the_gaussian(sigma, times, delta, expected, zcdp):
    for event in (Repeated(Gaussian(sigma, 1.0), times), Repeated(DiscreteGaussian(sigma * 2**20, 2.0**20), times)):
        assert epsilon(event, delta) == pytest.approx(expected, abs=1e-6)
        assert epsilon(event, delta) < zcdp


@pytest.mark.parametrize(
    ("epsilon_each", "times", "delta", "expected"),
    [(0.1, 100, 1e-6, 4.984), (1.0, 10, 1e-5, 9.990), (0.01, 10000, 1e-6, 5.210)],
)
def test_published_epsilons_of_the_laplace_on_a_fine_lattice(epsilon_each, times, delta, expected):
    steps = 2**24
    event = Repeated(DiscreteLaplace(steps / epsilon_each, steps), times)
    assert epsilon(event, delta) == pytest.approx(expected, abs=1e-3)
    oracle = RdpAccountant(MODERN_ORDERS).compose(dp_accounting.LaplaceDpEvent(1 / epsilon_each), times)
    assert epsilon(event, delta) == pytest.approx(oracle.get_epsilon(delta), rel=1e-5)


def test_conversion_of_a_pure_divergence_agrees_with_dp_accounting():
    """Value of google/differential-privacy, test_compute_epsilon_delta_pure_dp."""
    orders = range(2, 33)
    found = min(epsilon_from_renyi(1.1, order, 1e-5) for order in orders)
    assert found == pytest.approx(1.32783806176, abs=1e-9)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0, 40.0])
@pytest.mark.parametrize("rate", [1e-4, 0.01, 0.3, 0.9])
@pytest.mark.parametrize("order", [2, 8, 33, 512])
def test_the_sampled_gaussian_agrees_with_dp_accounting(sigma, rate, order):
    oracle = RdpAccountant([order])
    oracle.compose(dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(sigma)))
    found = renyi(Sampled(rate, Gaussian(sigma, 1.0)), order)
    # dp-accounting sums terms near one: small divergences lose their digits there, and its error is absolute.
    assert found == pytest.approx(float(oracle._rdp[0]), rel=1e-6, abs=1e-13)


@pytest.mark.parametrize(
    ("sigma", "rate", "order"), [(0.5, 0.3, 1.5), (0.7, 0.004, 2.6), (1.0, 0.01, 4.7), (3.0, 0.9, 9.9)]
)
def test_fractional_orders_agree_with_adaptive_quadrature(sigma, rate, order):
    def integrand(z):
        ratio = 1 - rate + rate * math.exp((2 * z - 1) / (2 * sigma**2))
        return math.exp(-(z**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi)) * (ratio**order - 1)

    nodes = np.linspace(-12 * sigma, order + 12 * sigma, 60)
    excess = math.fsum(integrate.quad(integrand, a, b, epsabs=0, epsrel=1e-12)[0] for a, b in pairwise(nodes))
    assert renyi(Sampled(rate, Gaussian(sigma, 1.0)), order) == pytest.approx(
        math.log1p(excess) / (order - 1), rel=1e-8
    )


def test_pld_renyi_and_classic_are_in_order_for_a_live_accountant():
    sigma, rate, steps, delta = 2.0, 0.05, 200, 1e-6
    pld = PLDAccountant(value_discretization_interval=1e-3)
    pld.compose(dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(sigma)), steps)
    event = sgd(sigma, rate, steps)
    assert 0 < pld.get_epsilon(delta) < epsilon(event, delta) < classic_epsilon(event, delta)


# Exact weights on a window wide enough that what lies outside adds less than 1e-12 to any moment used here.


def gaussian_weights(sigma, reach):
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def sum_weights(sigma, shares, reach):
    single = gaussian_weights(sigma, reach)
    total = single
    for _ in range(shares - 1):
        total = np.convolve(total, single)
    return total


def moment_divergence(p, q, order):
    inside = (p > 1e-290) & (q > 1e-290)
    return math.log(math.fsum(np.exp(order * np.log(p[inside]) + (1 - order) * np.log(q[inside])))) / (order - 1)


def shifted(p, by):
    return np.pad(p, (by, 0)), np.pad(p, (0, by))


def mixtures(p, by, rate):
    present, absent = shifted(p, by)
    return (1 - rate) * absent + rate * present, absent


@pytest.mark.parametrize("order", [2, 3, 5, 9])
@pytest.mark.parametrize(
    ("sigma", "shares", "shift"), [(0.6, 2, 1), (0.8, 3, 2), (1.0, 2, 1), (1.5, 4, 3), (3.0, 2, 4)]
)
def test_the_sum_of_discrete_gaussians_is_bounded_and_not_much_overcharged(sigma, shares, shift, order):
    exact = moment_divergence(*shifted(sum_weights(sigma, shares, 60), shift), order)
    bound = renyi(SumOfDiscreteGaussians(sigma, shares, float(shift), 1), order)
    assert exact <= bound
    if sigma >= 1.5:
        assert bound <= exact * 1.001


def test_small_shares_cost_more_than_the_gaussian_that_they_resemble():
    share = SumOfDiscreteGaussians(0.6, 8, 1.0, 1)
    assert renyi(share, 4) > 1.5 * renyi(DiscreteGaussian(0.6 * math.sqrt(8), 1.0), 4)
    exact = moment_divergence(*shifted(sum_weights(0.25, 3, 60), 1), 2)
    assert exact > 1.05 * 2 / (2 * 3 * 0.25**2)  # here the discrete Gaussian's formula would be a lie
    assert renyi(SumOfDiscreteGaussians(0.25, 3, 1.0, 1), 2) == math.inf


def test_the_sum_is_charged_no_less_than_the_published_proposition():
    """Kairouz, Liu, Steinke 2021, proposition 14, on a vector whose norm can reach every coordinate."""
    sigma, shares, l2, dimension = 0.7, 5, 20.0, 300
    tau = 10 * sum(math.exp(-2 * math.pi**2 * sigma**2 * k / (k + 1)) for k in range(1, shares))
    width = math.sqrt(shares) * sigma
    for order in (2, 5, 16, 40):
        published = min(
            order / 2 * (l2 / width) ** 2 + tau * dimension,
            order / 2 * (l2 / width + math.sqrt(dimension) * tau) ** 2,
        )
        found = renyi(SumOfDiscreteGaussians(sigma, shares, l2, dimension), order)
        assert published <= found <= published + tau * dimension / (2 * (order - 1)) + 1e-6 * published


def test_only_coordinates_that_can_move_are_charged():
    narrow, wide = (SumOfDiscreteGaussians(0.7, 5, 2.0, dimension) for dimension in (4, 10**9))
    assert renyi(narrow, 5) == renyi(wide, 5)


@pytest.mark.parametrize("order", [2, 3, 8, 20])
@pytest.mark.parametrize("rate", [0.01, 0.2, 0.7])
@pytest.mark.parametrize(("sigma", "shares", "shift"), [(1.5, 2, 1), (2.0, 3, 3), (0.7, 2, 1)])
def test_sampling_is_bounded_in_both_directions(sigma, shares, shift, rate, order):
    mixed, absent = mixtures(sum_weights(sigma, shares, 80), shift, rate)
    added, removed = moment_divergence(mixed, absent, order), moment_divergence(absent, mixed, order)
    bound = renyi(Sampled(rate, SumOfDiscreteGaussians(sigma, shares, float(shift), 1)), order)
    assert removed <= added * (1 + 1e-9)
    assert added <= bound * (1 + 1e-9)
    if sigma >= 1.5:
        # Nothing of the generic bounds' factor is lost: notes measured 1.76 against 4.13 for those.
        assert bound <= added * 1.05


def test_a_training_costs_what_exact_sampling_gives():
    """The figures behind the choice of this bound: 1.76, where generic subsampling bounds give 4.13."""
    share = SumOfDiscreteGaussians(4 * 2.0**10 / math.sqrt(2), 2, 2.0**10, 1000)
    run = Repeated(Sampled(0.1, share), 200)
    assert min(epsilon_from_renyi(renyi(run, a), a, 1e-6) for a in range(2, 80)) == pytest.approx(1.76, abs=0.005)


def test_sampling_a_vector_in_two_coordinates():
    sigma, rate, order = 2.0, 0.3, 4
    p = gaussian_weights(sigma, 60)
    present, absent = shifted(p, 1)
    both, none = np.outer(present, present).ravel(), np.outer(absent, absent).ravel()
    mixed = (1 - rate) * none + rate * both
    worst = max(moment_divergence(mixed, none, order), moment_divergence(none, mixed, order))
    for event in (DiscreteGaussian(sigma, math.sqrt(2)), Composed((DiscreteGaussian(sigma, 1.0),) * 2)):
        assert worst <= renyi(Sampled(rate, event), order) <= worst * 1.001


@pytest.mark.parametrize("order", [1.3, 2, 7.5, 64])
@pytest.mark.parametrize(("scale", "shift"), [(0.4, 1), (1.0, 1), (5.0, 3), (40.0, 1), (300.0, 100)])
def test_the_discrete_laplace_is_exact(scale, shift, order):
    magnitude = np.abs(np.arange(-int(60 * scale) - 60, int(60 * scale) + 61))
    p = np.exp(-magnitude / scale)
    exact = moment_divergence(*shifted(p / p.sum(), shift), order)
    assert renyi(DiscreteLaplace(scale, shift), order) == pytest.approx(exact, rel=1e-8)


@given(st.floats(0.3, 1e3), st.integers(0, 50), st.integers(0, 50), st.integers(2, 64))
@settings(max_examples=60)
def test_moving_one_coordinate_is_the_laplace_s_worst_case(scale, left, right, order):
    apart = Composed((DiscreteLaplace(scale, left), DiscreteLaplace(scale, right)))
    assert renyi(apart, order) <= renyi(DiscreteLaplace(scale, left + right), order) * (1 + 1e-9)


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_a_sampled_laplace_is_bounded_in_both_directions(rate):
    scale, order = 3.0, 6
    p = np.exp(-np.abs(np.arange(-300, 301)) / scale)
    mixed, absent = mixtures(p / p.sum(), 2, rate)
    added, removed = moment_divergence(mixed, absent, order), moment_divergence(absent, mixed, order)
    assert max(added, removed) <= renyi(Sampled(rate, DiscreteLaplace(scale, 2)), order) <= added * 1.01


RATES = st.floats(1e-4, 1.0)
SIGMAS = st.floats(0.6, 50.0)
ORDERS = st.integers(2, 64)


def trained(rate, sigma, times=1, l2=8.0):
    return Repeated(Sampled(rate, SumOfDiscreteGaussians(sigma, 3, l2, 100)), times)


@given(RATES, RATES, SIGMAS, SIGMAS, ORDERS, st.integers(1, 1000), st.integers(1, 1000))
@settings(max_examples=80)
def test_more_noise_and_fewer_people_never_cost_more(rate, other_rate, sigma, other_sigma, order, times, other_times):
    low, high = sorted((rate, other_rate))
    assert renyi(trained(low, sigma), order) <= renyi(trained(high, sigma), order) * (1 + 1e-12)
    loud, quiet = max(sigma, other_sigma), min(sigma, other_sigma)
    assert renyi(trained(rate, loud), order) <= renyi(trained(rate, quiet), order) * (1 + 1e-12)
    few, many = sorted((times, other_times))
    assert renyi(trained(rate, sigma, few), order) <= renyi(trained(rate, sigma, many), order)


@given(RATES, SIGMAS, st.floats(1.05, 40.0), st.floats(1.05, 40.0))
@settings(max_examples=60)
def test_a_divergence_grows_with_its_order(rate, sigma, order, other):
    low, high = sorted((order, other))
    for event in (Sampled(rate, DiscreteLaplace(sigma, 2)), Sampled(rate, DiscreteGaussian(sigma, 2.0))):
        assert renyi(event, low) <= renyi(event, high) * (1 + 1e-9)


@given(st.floats(0.01, 5), st.integers(2, 64), st.floats(1e-9, 0.1), st.floats(1e-9, 0.1))
@settings(max_examples=50)
def test_epsilon_falls_with_delta(divergence, order, delta, other):
    low, high = sorted((delta, other))
    assert epsilon_from_renyi(divergence, order, high) <= epsilon_from_renyi(divergence, order, low)


def test_an_untouched_table_costs_nothing():
    for event in (Composed(()), DiscreteGaussian(1.0, 0.0), DiscreteLaplace(1.0, 0), Sampled(0.5, Gaussian(1.0, 0.0))):
        assert renyi(event, 4) == 0.0
        assert renyi(event, 4.5) == 0.0


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 1), (40.0, 1), (300.0, 100), (1e5, 3)])
def test_the_discrete_laplace_keeps_its_digits_at_the_largest_order(scale, shift):
    """Between order 65535 and infinity it lies below its epsilon, by the logarithm of at least half over 65535."""
    below = shift / scale - renyi(DiscreteLaplace(scale, shift), 65536)
    rate = 1 / scale
    # At this order the smaller of the two sums is e^(-r) / (1 + e^(-r)) of the mass, to 1e-20.
    weight = (1 - -math.expm1(-rate) / -math.expm1(-131071 * rate)) / (1 + math.exp(-rate))
    moved = math.log1p(-weight + weight * math.exp(-131071 * shift * rate)) / 65535
    assert below == pytest.approx(-moved, abs=2e-9 * shift / scale)


@given(st.floats(0.001, 0.999), st.floats(0.3, 1e4), st.integers(1, 20), st.sampled_from([1025, 4096, 65536]))
@settings(max_examples=40, deadline=None)
def test_above_order_1024_a_sample_is_priced_as_the_whole(rate, width, reach, order):
    for event in (DiscreteGaussian(width, float(reach)), DiscreteLaplace(width, reach)):
        sampled = Sampled(rate, event)
        assert renyi(sampled, order) == renyi(event, order)
        # Sound, because amplification never hurts, and the curve still grows where the sum ends.
        assert renyi(sampled, 1024) <= renyi(sampled, order)


def test_a_full_sample_is_no_sample():
    event = DiscreteGaussian(3.0, 2.0)
    assert renyi(Sampled(1.0, event), 7) == renyi(event, 7)


@pytest.mark.parametrize("inner", [Repeated(DiscreteGaussian(1.0, 1.0), 2), Sampled(0.1, DiscreteGaussian(1.0, 1.0))])
def test_sampling_around_a_sequence_is_refused(inner):
    for event in (inner, Composed((inner,))):
        with pytest.raises(UnsupportedOperation, match="one noisy vector"):
            renyi(Sampled(0.5, event), 4)


@pytest.mark.parametrize("order", [1, 0.5, math.nan, math.inf, 2**17])
def test_an_order_without_meaning_is_refused(order):
    with pytest.raises(UsageError, match="order"):
        renyi(DiscreteGaussian(1.0, 1.0), order)
