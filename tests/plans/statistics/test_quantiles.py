"""Quantiles from noisy trees: the exact answer without noise, the least variance with it."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.errors import UsageError
from stead.plans.statistics.monotone import monotone
from stead.plans.statistics.quantiles import consistent_cells, quantiles, rank_spread, tree_counts, tree_levels

AT = np.arange(65) / 64  # exact in binary, so that rank and rows compare exactly
integers = st.lists(st.integers(0, 19), min_size=1, max_size=60)


def tree_matrix(cells, branching):
    """One row for each node, one column for each leaf: what each released count adds up."""
    rows = []
    for level, width in enumerate(reversed(tree_levels(cells, branching))):
        rows[:0] = [(np.arange(cells) // branching**level == node).astype(float) for node in range(width)]
    return np.array(rows)


def test_levels_are_those_with_a_leaf():
    assert tree_levels(1000, 10) == (10, 100, 1000)
    assert tree_levels(20, 16) == (2, 20)
    assert tree_levels(17, 4) == (2, 5, 17)
    assert tree_levels(1, 2) == (1,)
    assert [level.tolist() for level in tree_counts([1, 2, 3, 4, 5], 2)] == [[10, 5], [3, 7, 5], [1, 2, 3, 4, 5]]


@pytest.mark.parametrize(("cells", "branching"), [(0, 2), (4, 1)])
def test_no_such_tree(cells, branching):
    with pytest.raises(UsageError):
        tree_levels(cells, branching)


@given(integers, st.integers(2, 7))
def test_exact_counts_are_numpys_inverted_distribution(rows, branching):
    levels = tree_counts(np.bincount(rows, minlength=20), branching)
    expected = np.quantile(rows, AT, method="inverted_cdf")
    assert np.array_equal(quantiles(levels, np.arange(21), AT, branching=branching, whole=True), expected)


@given(st.lists(st.floats(0, 19.999), min_size=1, max_size=60), st.integers(2, 7))
def test_a_real_quantile_is_in_the_cell_of_numpys(rows, branching):
    edges = np.linspace(0, 20, 21)
    levels = tree_counts(np.histogram(rows, edges)[0], branching)
    cell = np.floor(np.quantile(rows, AT, method="inverted_cdf"))
    found = quantiles(levels, edges, AT, branching=branching)
    assert np.all((cell <= found) & (found <= cell + 1))
    assert np.all(np.diff(found) >= -1e-12)


def test_rows_lie_evenly_in_their_cell():
    # Four rows in 10..20: the second of them is half-way.
    assert quantiles([[0, 4, 0]], [0, 10, 20, 30], [0.5], branching=3).tolist() == [15.0]


@pytest.mark.parametrize(("cells", "branching"), [(9, 3), (8, 2), (11, 3), (20, 16), (5, 2)])
def test_cells_are_the_least_squares_fit_of_the_tree(cells, branching):
    levels = [np.random.default_rng(width).normal(size=(4, width)) for width in tree_levels(cells, branching)]
    flat = np.concatenate(levels, axis=-1)
    expected = np.linalg.lstsq(tree_matrix(cells, branching), flat.T, rcond=None)[0].T
    np.testing.assert_allclose(consistent_cells(levels, branching=branching), expected, atol=1e-12)


@pytest.mark.parametrize(("cells", "branching"), [(64, 4), (50, 3), (100, 10)])
def test_the_spread_bounds_that_of_every_rank(cells, branching):
    matrix = tree_matrix(cells, branching)
    covariance = np.linalg.inv(matrix.T @ matrix)
    prefix = np.tri(cells)
    deviation = np.sqrt(np.diag(prefix @ covariance @ prefix.T))
    bound = rank_spread(cells, branching)
    assert deviation.max() <= bound < 3 * deviation.max()


def test_complete_levels_are_cut_to_the_leaves():
    cells = np.arange(5)
    cut = tree_counts(cells, 4)
    complete = [np.concatenate([cut[0], [99, 99]]), cut[1]]
    assert np.allclose(consistent_cells(complete, branching=4), cells)


def test_counts_that_fall_are_evened_out_first():
    # Cumulative 4, 2, 6 is 3, 3, 6 made monotone: three rows are reached in the first cell.
    assert quantiles([[4, -2, 4]], [0, 1, 2, 3], [0.5, 0.6], branching=3, whole=True).tolist() == [0.0, 2.0]


def test_leading_axes_are_independent():
    rng = np.random.default_rng(7)
    levels = [rng.normal(20, 10, size=(5, 3, width)) for width in tree_levels(30, 4)]
    reach = np.arange(3.0)[:, None]
    together = quantiles(levels, np.arange(31), [0, 0.3, 1], branching=4, reach=reach)
    assert together.shape == (5, 3, 3)
    for draw in range(5):
        for group in range(3):
            one = [level[draw, group] for level in levels]
            alone = quantiles(one, np.arange(31), [0, 0.3, 1], branching=4, reach=reach[group])
            assert np.array_equal(together[draw, group], alone)


def test_an_extreme_is_where_enough_rows_are():
    # Noise of a row or two lies before the rows, which begin in cell 50; 4000 trials leave out one minimum in 1000.
    rng = np.random.default_rng(3)
    rows = np.zeros(100, dtype=int)
    rows[50:70] = 100
    noisy = [level + rng.normal(0, 2, size=(4000, level.size)) for level in tree_counts(rows, 10)]
    plain = quantiles(noisy, np.arange(101), [0.0, 1.0], branching=10, whole=True)
    held = quantiles(noisy, np.arange(101), [0.0, 1.0], branching=10, whole=True, reach=5 * 2 * rank_spread(100, 10))
    assert np.mean(plain[:, 0] < 50) > 0.5
    assert np.mean(held[:, 0] < 50) < 0.001
    assert np.mean(held[:, 1] > 69) < 0.001
    assert np.all(held[:, 0] <= 51)


def test_a_reach_beyond_all_rows_is_the_median():
    levels = tree_counts([1, 1, 1], 3)
    assert quantiles(levels, [0, 1, 2, 3], [0, 1], branching=3, whole=True, reach=1e9).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("whole", [True, False])
def test_without_rows_the_middle_of_the_range(whole):
    for count in (0, -7):
        levels = [np.full(width, count) for width in tree_levels(8, 2)]
        assert quantiles(levels, np.arange(9), [0, 0.5, 1], branching=2, whole=whole).tolist() == [4.0, 4.0, 4.0]


@settings(max_examples=200)
@given(st.lists(st.integers(-(2**62), 2**62), min_size=24, max_size=24), st.booleans())
def test_total_whatever_the_counts(numbers, whole):
    # Levels 2, 5, 17 of branching 4.
    levels = np.split(np.array(numbers), [2, 7])
    edges = np.concatenate([[-1.7e308], np.arange(16), [1.7e308]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = quantiles(levels, edges, AT, branching=4, whole=whole, reach=3.0)
    assert np.all((found >= edges[0]) & (found <= edges[-1]))
    assert np.all(np.diff(found) >= -1e-6 * np.abs(found[1:]))


def test_misfitting_levels_edges_and_places():
    levels = tree_counts([1, 2, 3], 2)
    with pytest.raises(UsageError, match="no tree"):
        consistent_cells(levels[1:], branching=2)
    with pytest.raises(UsageError, match="increasing edges"):
        quantiles(levels, [0, 1, 1, 2], [0.5], branching=2)
    with pytest.raises(UsageError, match="from 0 to 1"):
        quantiles(levels, [0, 1, 2, 3], [1.5], branching=2)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_monotone_is_nearest_in_the_maximum_norm(values):
    fit = monotone(np.array(values) + 2e6) - 2e6
    assert np.all(np.diff(fit) >= 0)
    # No monotone sequence is nearer than half the largest fall.
    fall = max(a - b for i, a in enumerate(values) for b in values[i:])
    assert np.max(np.abs(fit - values)) <= fall / 2 + 1e-6
