"""Least squares from sums: the textbook's numbers from exact sums, bounded ones from noise."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress

from stead.plans.statistics.matrices import floored_inverse, pack, unpack
from stead.plans.statistics.regression import least_squares

# NIST StRD, Longley (1967), "higher level of difficulty": certified values.
LONGLEY = np.array(
    [
        [60323, 83.0, 234289, 2356, 1590, 107608, 1947],
        [61122, 88.5, 259426, 2325, 1456, 108632, 1948],
        [60171, 88.2, 258054, 3682, 1616, 109773, 1949],
        [61187, 89.5, 284599, 3351, 1650, 110929, 1950],
        [63221, 96.2, 328975, 2099, 3099, 112075, 1951],
        [63639, 98.1, 346999, 1932, 3594, 113270, 1952],
        [64989, 99.0, 365385, 1870, 3547, 115094, 1953],
        [63761, 100.0, 363112, 3578, 3350, 116219, 1954],
        [66019, 101.2, 397469, 2904, 3048, 117388, 1955],
        [67857, 104.6, 419180, 2822, 2857, 118734, 1956],
        [68169, 108.4, 442769, 2936, 2798, 120445, 1957],
        [66513, 110.8, 444546, 4681, 2637, 121950, 1958],
        [68655, 112.6, 482704, 3813, 2552, 123366, 1959],
        [69564, 114.2, 502601, 3931, 2514, 125368, 1960],
        [69331, 115.7, 518173, 4806, 2572, 127852, 1961],
        [70551, 116.9, 554894, 4007, 2827, 130081, 1962],
    ]
)
LONGLEY_COEFFICIENTS = [
    -3482258.63459582, 15.0618722713733, -0.358191792925910e-01, -2.02022980381683, -1.03322686717359,
    -0.511041056535807e-01, 1829.15146461355,
]  # fmt: skip
LONGLEY_ERRORS = [
    890420.383607373, 84.9149257747669, 0.334910077722432e-01, 0.488399681651699, 0.214274163161675,
    0.226073200069370, 455.478499142212,
]  # fmt: skip
LONGLEY_R_SQUARED = 0.995479004577296
LONGLEY_RESIDUAL_DEVIATION = 304.854073561965


def fit(x, y, **options):
    table = np.column_stack([x, y])
    offsets = np.round(table.mean(axis=0))  # the middle of a range, as a schema has it: near the mean, not at it
    centred = table - offsets
    return least_squares(len(table), centred.sum(axis=0), centred.T @ centred, offsets=offsets, **options)


def test_longley_as_certified_by_nist():
    found = fit(LONGLEY[:, 1:], LONGLEY[:, 0])
    np.testing.assert_allclose(found.coefficients, LONGLEY_COEFFICIENTS, rtol=1e-7)
    np.testing.assert_allclose(found.standard_errors, LONGLEY_ERRORS, rtol=1e-7)
    np.testing.assert_allclose(found.t, np.divide(LONGLEY_COEFFICIENTS, LONGLEY_ERRORS), rtol=1e-7)
    assert found.r_squared == pytest.approx(LONGLEY_R_SQUARED, rel=1e-9)
    assert found.residual_variance == pytest.approx(LONGLEY_RESIDUAL_DEVIATION**2, rel=1e-7)
    assert not found.raised


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=30))
def test_one_predictor_as_scipy(pairs):
    x, y = np.array(pairs, dtype=float).T
    found = fit(x, y)
    if np.ptp(x) == 0:
        assert found.coefficients[1] == found.standard_errors[1] == found.r_squared == 0
        return
    expected = linregress(x, y)
    np.testing.assert_allclose(found.coefficients, [expected.intercept, expected.slope], atol=1e-9)
    errors = np.nan_to_num([expected.intercept_stderr, expected.stderr])  # a constant y has none
    np.testing.assert_allclose(found.standard_errors, errors, atol=1e-5)
    assert found.r_squared == pytest.approx(expected.rvalue**2 if np.ptp(y) else 0.0, abs=1e-9)


def test_two_equal_predictors_share_as_in_the_least_norm_solution():
    rng = np.random.default_rng(11)
    x = rng.normal(size=200)
    x -= x.mean()
    y = 3 * x + 5 + rng.normal(size=200)
    found = fit(np.column_stack([x, x]), y)
    expected = np.linalg.lstsq(np.column_stack([np.ones(200), x, x]), y, rcond=None)[0]
    np.testing.assert_allclose(found.coefficients, expected, rtol=1e-4)
    assert found.raised


def test_a_floor_leans_coefficients_toward_zero_only_where_data_are_few():
    rng = np.random.default_rng(12)
    x = rng.normal(size=(1000, 2)) * [1.0, 0.001]
    y = x @ [2.0, 500.0] + rng.normal(size=1000)
    plain, floored = fit(x, y), fit(x, y, floor=1.0)  # 1000 and 0.001 in the sums of squares
    assert floored.raised
    assert floored.coefficients[1] == pytest.approx(plain.coefficients[1], abs=0.05)
    assert abs(floored.coefficients[2]) < 5 < abs(plain.coefficients[2])


def test_noise_of_the_floor_keeps_coefficients_bounded():
    # Sums of no rows at all, noise of deviation 10: without a floor coefficients have no mean; the floor holds them.
    rng = np.random.default_rng(13)
    products = rng.normal(0, 10, size=(2000, 3, 3))
    products = (products + np.swapaxes(products, -1, -2)) / np.sqrt(2)
    totals = rng.normal(0, 10, size=(2000, 3))
    bare = least_squares(np.full(2000, 100), totals, products)
    held = least_squares(np.full(2000, 100), totals, products, floor=50.0)
    assert np.max(np.abs(held.coefficients[:, 1:])) < 2
    assert np.max(np.abs(bare.coefficients[:, 1:])) > 10


@given(
    st.integers(-10, 10),
    st.lists(st.floats(-1e60, 1e60), min_size=3, max_size=3),
    st.lists(st.floats(-1e60, 1e60), min_size=9, max_size=9),
    st.sampled_from([0.0, 1e-9, 1.0, 1e9]),
)
def test_total_whatever_the_sums(n, s, p, floor):
    products = np.array(p).reshape(3, 3)
    products = products / 2 + products.T / 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = least_squares(n, s, products, floor=floor)
    for part in found:
        assert np.all(np.isfinite(part))
    assert 0 <= found.r_squared <= 1
    assert np.all(found.standard_errors >= 0)


def test_leading_axes_are_independent():
    rng = np.random.default_rng(14)
    n, s, p = rng.integers(-3, 30, (4, 2)), rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2, 3, 3))
    p = p + np.swapaxes(p, -1, -2)
    together = least_squares(n, s, p, floor=0.1, offsets=[1.0, 2.0, 3.0])
    for i in range(4):
        for j in range(2):
            alone = least_squares(n[i, j], s[i, j], p[i, j], floor=0.1, offsets=[1.0, 2.0, 3.0])
            for whole, part in zip(together, alone, strict=True):
                np.testing.assert_allclose(whole[i, j], part, rtol=1e-9, atol=1e-12)


def test_a_good_matrix_is_inverted_and_a_bad_one_raised():
    good = np.array([[4.0, 1.0], [1.0, 3.0]])
    assert np.allclose(floored_inverse(good, 1e-3).matrix @ good, np.eye(2))
    # Eigenvalues 3 and -1; the second is raised to the floor of 0.5.
    bad = floored_inverse([[1.0, 2.0], [2.0, 1.0]], 0.5)
    assert bad.raised
    assert np.all(np.linalg.eigvalsh(bad.matrix) > 0)
    units = np.array([1.0, 1000.0])
    scaled = floored_inverse(good * units[:, None] * units, 0.01 * units**2)
    assert np.allclose(scaled.matrix * units[:, None] * units, floored_inverse(good, 0.01).matrix)


def test_packing_is_row_by_row():
    assert pack([[1, 2, 3], [2, 4, 5], [3, 5, 6]]).tolist() == [1, 2, 3, 4, 5, 6]
    assert np.array_equal(unpack([[1, 2, 3]], 2), [[[1, 2], [2, 3]]])
