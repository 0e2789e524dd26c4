"""Bands by simulation hold as often as they say, for all cells together."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.errors import UsageError
from stead.plans.statistics.quantiles import quantiles, tree_counts
from stead.plans.statistics.simulate import joint_half_widths, least_draws

TRIALS = 1000


@pytest.mark.parametrize(("confidence", "draws"), [(0.5, 1), (0.9, 9), (0.95, 19), (0.99, 99), (0.8, 4), (2 / 3, 2)])
def test_the_fewest_draws_are_those_of_the_order_statistic(confidence, draws):
    # The m-th of m draws is exceeded by one more with probability 1 / (m + 1).
    assert least_draws(confidence) == draws


def test_the_largest_of_nineteen_draws():
    draws = np.arange(1.0, 20.0)[:, None] * [1.0, -10.0]
    assert joint_half_widths([0.0, 0.0], draws, 0.95).tolist() == pytest.approx([19.0, 190.0])
    # ceil(0.9 * 20) = 18
    assert joint_half_widths([0.0, 0.0], draws, 0.9).tolist() == pytest.approx([18.0, 180.0])


@given(st.integers(19, 60), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_at_least_the_wished_part_of_the_draws_is_inside(count, cells, seed):
    rng = np.random.default_rng(seed)
    draws = rng.standard_t(2, size=(count, cells)) * 10.0 ** rng.integers(-3, 3, cells)
    widths = joint_half_widths(np.ones(cells), draws + 1, 0.95)
    inside = np.all(np.abs(draws) <= widths * (1 + 1e-9), axis=1)
    assert np.sum(inside) >= math.ceil(0.95 * (count + 1) - 1e-9)


def test_a_linear_decoder_is_covered_as_often_as_it_says():
    # Ten cells of different scales; 1000 trials leave out four standard deviations once in 30,000 runs.
    rng = np.random.default_rng(51)
    scales = np.logspace(-3, 3, 10)
    hits = 0
    for _ in range(TRIALS):
        widths = joint_half_widths(np.zeros(10), rng.normal(size=(400, 10)) * scales, 0.95)
        hits += bool(np.all(np.abs(rng.normal(size=10) * scales) <= widths))
    assert abs(hits / TRIALS - 0.95) < 4 * math.sqrt(0.95 * 0.05 / TRIALS)


def test_quantiles_are_covered():
    # A decoder that is not linear: medians and quartiles of 5000 rows in 64 cells, noise of deviation 5.
    rng = np.random.default_rng(52)
    rows = np.bincount(np.clip(rng.normal(32, 9, 5000), 0, 63).astype(int), minlength=64)
    exact, edges, at = tree_counts(rows, 8), np.arange(65), [0.25, 0.5, 0.75]
    truth = quantiles(exact, edges, at, branching=8)
    hits = 0
    for _ in range(300):
        released = [level + rng.normal(0, 5, level.shape) for level in exact]
        simulated = [level + rng.normal(0, 5, (200, *level.shape)) for level in released]
        widths = joint_half_widths(
            quantiles(released, edges, at, branching=8), quantiles(simulated, edges, at, branching=8), 0.95
        )
        hits += bool(np.all(np.abs(quantiles(released, edges, at, branching=8) - truth) <= widths))
    assert hits / 300 > 0.95 - 4 * math.sqrt(0.95 * 0.05 / 300)


def test_a_cell_that_nothing_moves_has_no_bar():
    draws = np.zeros((30, 2, 2))
    draws[:, 1, 0] = np.arange(30)
    assert np.flatnonzero(joint_half_widths(np.zeros((2, 2)), draws, 0.9)).tolist() == [2]
    assert joint_half_widths(np.zeros(3), np.zeros((30, 3)), 0.9).tolist() == [0.0, 0.0, 0.0]
    assert joint_half_widths(np.zeros(0), np.zeros((30, 0)), 0.9).shape == (0,)
    assert joint_half_widths(1.0, np.full(30, 3.0), 0.9) == 2.0


@given(st.lists(st.floats(-1e307, 1e307), min_size=40, max_size=40))
def test_total_whatever_the_draws(numbers):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        widths = joint_half_widths([0.0, 1.0], np.array(numbers).reshape(20, 2), 0.9)
    assert np.all(np.isfinite(widths))
    assert np.all(widths >= 0)


def test_too_few_draws_and_misfits():
    with pytest.raises(UsageError, match="19 can"):
        joint_half_widths([0.0], np.zeros((18, 1)), 0.95)
    with pytest.raises(UsageError, match="shape"):
        joint_half_widths([0.0, 1.0], np.zeros((30, 1)), 0.95)
    for confidence in (0.0, 1.0, math.nan):
        with pytest.raises(UsageError, match="between 0 and 1"):
            least_draws(confidence)
