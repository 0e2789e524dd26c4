"""Numbers into the ring and back, to the last bit; the oracle is Python's own whole numbers."""

import math

import numpy as np
import pytest

from stead.errors import UsageError
from stead.mpc import fixed
from stead.mpc.kernels import bits
from stead.mpc.kernels import fixed as kernels

VARIANTS = [None, *bits.variants()]
MILLION = 1_000_000


def encoded(variant, values, scale, threads=1):
    if variant is None:
        return kernels.encode_reference(values, scale)
    ring = np.empty(values.size, np.uint64)
    return ring if kernels._native.encode(values, scale, ring, threads, variant) else None


def decoded(variant, ring, scale, dtype=np.float64, threads=1):
    if variant is None:
        return kernels.decode_reference(ring, scale, dtype)
    out = np.empty(ring.size, dtype)
    kernels._native.decode(ring, scale, out, threads, variant)
    return out


def whole(x, scale):
    """The product x * 2^scale to the nearest whole number, halves to even."""
    numerator, denominator = x.as_integer_ratio()
    quotient, rest = divmod(numerator << scale, denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient & 1 == 1))


def reals():
    """A million: negatives, halves, the magnitudes where float64 loses its fraction, extremes."""
    drawn = np.random.default_rng(3)
    spread = drawn.choice([-1.0, 1.0], 400_000) * 2.0 ** drawn.uniform(-40, 45.99, 400_000)
    halves = (drawn.integers(-(2**40), 2**40, 300_000) * 2 + 1) * 2.0**-17
    small = drawn.uniform(-200, 0, 299_990)
    edge = np.array([0.0, -0.0, 5e-324, -5e-324, 2.0**-17, -(2.0**-17), 1.5 * 2.0**-16, -1.5 * 2.0**-16])
    largest = np.array([np.nextafter(2.0**46, 0), -np.nextafter(2.0**46, 0)])
    return np.concatenate([spread, halves, small, edge, largest])


def integers():
    """A million ring elements: all magnitudes of both signs, ties beyond 2^53, extremes."""
    drawn = np.random.default_rng(4)
    spread = drawn.integers(-(2**63), 2**63, 500_000) >> drawn.integers(0, 63, 500_000)
    ties = (drawn.integers(2**52, 2**53, 300_000) * 2 + 1) << drawn.integers(0, 9, 300_000)
    near = drawn.integers(-200 << 16, 1, 199_990)
    edge = np.array([0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1, -(2**53) - 1, 2**62, -(2**62), 2**24 + 1])
    return np.concatenate([spread, np.where(drawn.integers(0, 2, 300_000) == 0, ties, -ties), near, edge])


@pytest.fixture(scope="module")
def encoding():
    values = reals()
    return values, np.array([whole(x, 16) % (1 << 64) for x in values.tolist()], dtype=np.uint64)


@pytest.fixture(scope="module")
def decoding():
    values = integers()
    return values, np.array([value / (1 << 16) for value in values.tolist()])  # whole / whole rounds correctly


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_million_numbers_are_encoded_to_the_last_bit(variant, encoding):
    values, expected = encoding
    assert len(values) == MILLION
    np.testing.assert_array_equal(encoded(variant, values, 16), expected)
    np.testing.assert_array_equal(encoded(variant, values, 16, threads=3), expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_million_elements_are_decoded_to_the_last_bit(variant, decoding):
    values, expected = decoding
    assert len(values) == MILLION
    got = decoded(variant, values.view(np.uint64), 16)
    np.testing.assert_array_equal(got.view(np.uint64), expected.view(np.uint64))
    np.testing.assert_array_equal(decoded(variant, values.view(np.uint64), 16, threads=3), expected)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("scale", [0, 1, 12, 26, 32, 48, 61, 62, 64, 126])
def test_every_scale_is_decoded_to_the_last_bit(variant, scale):
    values = integers()[::97].copy()
    expected = np.array([value / (1 << scale) for value in values.tolist()])
    np.testing.assert_array_equal(decoded(variant, values.view(np.uint64), scale), expected)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("scale", [0, 16, 32, 126])
def test_float32_is_rounded_once(variant, scale):
    values = np.concatenate([integers()[::97], [2**24 + 1, 2**54 + 2**30 + 1, -(2**54) - 2**30 - 1]])
    got = decoded(variant, values.view(np.uint64), scale, np.float32)
    assert got.dtype == np.float32
    up, down = (np.nextafter(got, np.float32(end)) for end in (math.inf, -math.inf))
    for value, *near in zip(values.tolist(), got.tolist(), up.tolist(), down.tolist(), strict=True):
        exact, *others = (whole(x, scale + 40) for x in near)  # exact: 24 bits, none below 2^-40
        error = abs(exact - (value << 40))
        assert all(error <= abs(other - (value << 40)) for other in others)


@pytest.mark.parametrize("variant", VARIANTS)
def test_float32_inputs_are_encoded_as_the_float64_that_they_are(variant):
    values = np.random.default_rng(8).normal(0, 1000, 10_001).astype(np.float32)
    expected = [whole(x, 26) % (1 << 64) for x in values.tolist()]
    assert [int(value) for value in encoded(variant, values, 26)] == expected


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 2.0**46, -(2.0**46), 3e38])
@pytest.mark.parametrize("at", [0, 7, 64, 998])
def test_one_number_that_does_not_fit_is_found_wherever_it_stands(variant, dtype, wrong, at):
    values = np.zeros(999, dtype=dtype)
    assert encoded(variant, values, 16) is not None
    values[at] = wrong
    assert encoded(variant, values, 16) is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_largest_factor_overflows_to_a_refusal(variant):
    assert encoded(variant, np.array([1.7e308, -1.0]), 256) is None


@pytest.mark.parametrize("compiled", [True, False])
def test_numbers_as_users_give_them(monkeypatch, compiled):
    if not compiled:
        monkeypatch.setattr(kernels, "_native", None)
    values = np.arange(-60, 60).reshape(4, 30)[:, ::-2] / 7
    ring = fixed.encode(values)
    assert ring.shape == (4, 15)
    assert ring.dtype == np.uint64
    assert np.abs(fixed.decode(ring, 16) - values).max() <= 2.0**-17
    assert fixed.encode([[1, -2], [3, 4]], 8).view(np.int64).tolist() == [[256, -512], [768, 1024]]
    assert fixed.encode(-0.5, 16).shape == ()
    assert float(fixed.decode(fixed.encode(-0.5), 16)) == -0.5
    single = fixed.decode_single(fixed.encode(values.astype(np.float32)), 16)
    assert single.dtype == np.float32
    assert single.shape == values.shape
    for wrong in (math.nan, math.inf, 2.0**46):
        with pytest.raises(UsageError, match=r"not below 2\^46"):
            fixed.encode([0.0, wrong])
