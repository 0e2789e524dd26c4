"""Moments from sums: pandas' numbers from exact sums, declared ones from impossible sums."""

import warnings

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from stead.plans.statistics.moments import correlation, covariance, mean, standard_deviation, variance

tables = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(st.integers(-50, 50), min_size=width, max_size=width), min_size=2, max_size=30)
)


def sums(rows, offsets):
    centred = np.asarray(rows, dtype=float) - offsets
    return len(rows), centred.sum(axis=0), centred.T @ centred


@given(tables, st.integers(-20, 20))
def test_exact_sums_give_what_pandas_gives(rows, offset):
    frame = pd.DataFrame(rows)
    n, s, p = sums(rows, offset)
    np.testing.assert_allclose(mean(n, s, offset), frame.mean(), atol=1e-9)
    np.testing.assert_allclose(covariance(n, s, p), frame.cov(), atol=1e-8)
    np.testing.assert_allclose(covariance(n, s, p, sample=False), frame.cov(ddof=0), atol=1e-8)
    np.testing.assert_allclose(correlation(n, s, p), frame.corr().fillna(0), atol=1e-6)
    np.testing.assert_allclose(variance(n, s, np.diag(p)[0:1])[0], frame.var()[0], atol=1e-8)
    spread = standard_deviation(np.full(len(s), n), s, np.diag(p), sample=False)
    np.testing.assert_allclose(spread**2, frame.var(ddof=0), atol=1e-8)


def test_one_row_and_none():
    assert variance([1, 0], [3.0, 0.0], [9.0, 0.0]).tolist() == [0.0, 0.0]
    assert mean([1, 0, -4], [3.0, 2.0, 2.0], 10.0).tolist() == [13.0, 12.0, 12.0]


def test_a_constant_column_has_no_correlation():
    values = np.full(1000, 0.1)
    n, s, p = sums(np.stack([values, np.arange(1000.0)], axis=1), 77.0)
    assert correlation(n, s, p).tolist() == [[0.0, 0.0], [0.0, 1.0]]


@given(
    st.integers(-10, 10),
    st.lists(st.floats(-1e100, 1e100), min_size=3, max_size=3),
    st.lists(st.floats(-1e100, 1e100), min_size=9, max_size=9),
)
def test_total_whatever_the_sums(n, s, p):
    products = np.array(p).reshape(3, 3)
    products = products / 2 + products.T / 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sample in (True, False):
            found = covariance(n, s, products, sample=sample)
            assert np.all(np.isfinite(found))
            assert np.all(np.diag(found) >= 0)
            assert np.array_equal(found, found.T)
        assert np.all(np.abs(correlation(n, s, products)) <= 1)


def test_leading_axes_are_independent():
    rng = np.random.default_rng(5)
    n, s, p = rng.integers(-3, 30, (4, 3)), rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 2, 2))
    p = p + np.swapaxes(p, -1, -2)
    together = covariance(n, s, p)
    assert all(
        np.array_equal(together[i, j], covariance(n[i, j], s[i, j], p[i, j])) for i in range(4) for j in range(3)
    )
