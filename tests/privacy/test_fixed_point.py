"""Powers of e as intervals of integers, against the decimal module at 150 digits."""

from decimal import Context, Decimal
from fractions import Fraction
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.privacy.fixed_point import cumulative_thresholds, exp_minus, floor_exp_minus

PRECISE = Context(prec=150)


def reference(exponent):
    return PRECISE.exp(PRECISE.divide(Decimal(-exponent.numerator), Decimal(exponent.denominator)))


def scaled_floor(value, bits):
    return int(PRECISE.multiply(value, Decimal(2**bits)))


EXPONENTS = st.fractions(0, 60) | st.floats(2**-60, 200).map(Fraction) | st.just(Fraction(1, 2**80))


@given(EXPONENTS, st.integers(8, 256))
@settings(max_examples=200)
def test_the_interval_holds_the_power_and_is_narrow(exponent, bits):
    low, high = exp_minus(exponent, bits)
    exact = PRECISE.multiply(reference(exponent), Decimal(2**bits))
    assert low <= exact <= high
    assert high - low <= 4


@given(EXPONENTS.filter(lambda exponent: exponent > 0), st.sampled_from([64, 128]))
@settings(max_examples=100)
def test_the_floor_is_exact(exponent, bits):
    assert floor_exp_minus(exponent, bits) == scaled_floor(reference(exponent), bits)


@pytest.mark.parametrize("bits", [64, 128])
@pytest.mark.parametrize("scale", [0.25, 1.0, 17.5])
def test_thresholds_of_the_laplace_have_a_closed_form(scale, bits):
    ratio = reference(1 / Fraction(scale))
    table = cumulative_thresholds(1 / Fraction(scale), Fraction(0), doubled=True, bits=bits)
    for x, threshold in enumerate(table):
        above = PRECISE.divide(PRECISE.multiply(2, PRECISE.power(ratio, x + 1)), PRECISE.add(1, ratio))
        assert threshold == scaled_floor(PRECISE.subtract(1, above), bits)
    assert table[-1] == 2**bits - 1 > table[-2]


@pytest.mark.parametrize("doubled", [True, False])
@pytest.mark.parametrize("sigma", [0.25, 1.0, 9.5])
def test_thresholds_of_the_gaussian_against_sums_of_decimals(sigma, doubled):
    rate = 1 / (2 * Fraction(sigma) ** 2)
    weights = [PRECISE.multiply(2 if doubled and x else 1, reference(rate * x * x)) for x in range(300)]
    total = reduce(PRECISE.add, weights)
    table = cumulative_thresholds(rate, 2 * rate, doubled=doubled, bits=64)
    partial = Decimal(0)
    for threshold, weight in zip(table, weights, strict=False):
        partial = PRECISE.add(partial, weight)
        assert threshold == scaled_floor(PRECISE.divide(partial, total), 64)
