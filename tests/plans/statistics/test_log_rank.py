"""The log-rank test: scikit-survival's and the textbook's from exact counts, its level under noise."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from stead.errors import UsageError
from stead.plans.statistics.chi_square import chi_square_tail
from stead.plans.statistics.log_rank import log_rank

BINS = 12
TRIALS = 2000

# Freireich et al. (1963): weeks of remission under 6-MP and under placebo (Klein, Moeschberger 2003, table 1.1).
SIX_MP = [(6, 1), (6, 1), (6, 1), (6, 0), (7, 1), (9, 0), (10, 1), (10, 0), (11, 0), (13, 1), (16, 1), (17, 0), (19, 0),
          (20, 0), (22, 1), (23, 1), (25, 0), (32, 0), (32, 0), (34, 0), (35, 0)]  # fmt: skip
PLACEBO = [(week, 1) for week in (1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)]

people = st.lists(st.tuples(st.integers(1, BINS), st.booleans(), st.integers(0, 2)), min_size=6, max_size=60)


def counted(histories, bins):
    count = np.zeros((2, len(histories), bins))
    for group, history in enumerate(histories):
        for time, event in history:
            count[0 if event else 1, group, time - 1] += 1
    return count


def trial(rng, sizes, hazards, censoring, bins):
    """Counts (TRIALS, groups, bins) of exponential lives followed for two years."""
    events, censored = np.zeros((2, TRIALS, len(sizes), bins))
    for group, (size, hazard) in enumerate(zip(sizes, hazards, strict=True)):
        life, leave = rng.exponential(1 / hazard, (TRIALS, size)), rng.exponential(1 / censoring, (TRIALS, size))
        end = np.minimum(life, leave)
        cell = np.minimum((end * bins / 2).astype(int), bins - 1) + bins * np.arange(TRIALS)[:, None]
        had = (life <= leave) & (end < 2)
        for target, chosen in ((events, had), (censored, ~had)):
            target[:, group] = np.bincount(cell[chosen], minlength=TRIALS * bins).reshape(TRIALS, bins)
    return events, censored


def test_the_leukaemia_trial_as_printed():
    # Kleinbaum, Klein, "Survival analysis" (2012), chapter 2: 9 and 21 events, 19.25 and 10.75 expected, 16.793.
    found = log_rank(*counted([SIX_MP, PLACEBO], 35))
    assert found.observed.tolist() == [9.0, 21.0]
    np.testing.assert_allclose(found.expected, [19.25, 10.75], atol=0.005)
    assert found.chi_square == pytest.approx(16.793, abs=0.0005)
    assert found.degrees == 1
    assert found.p_value == pytest.approx(chi2.sf(16.793, 1), rel=1e-3)


@given(people)
def test_exact_counts_are_scikit_survivals(rows):
    compare = pytest.importorskip("sksurv.compare").compare_survival
    time, event, group = (np.array(column) for column in zip(*rows, strict=True))
    if len(np.unique(group)) < 3 or not event.any() or _nothing_to_compare(time, event):
        return
    outcome = np.array(list(zip(event, time.astype(float), strict=True)), dtype=[("event", bool), ("time", float)])
    found = log_rank(*counted([[(t, e) for t, e, g in rows if g == k] for k in range(3)], BINS))
    try:
        _, _, table, covariance = compare(outcome, group, return_stats=True)
    except np.linalg.LinAlgError:  # theirs needs each of the first groups at risk at some event
        return
    np.testing.assert_allclose(found.observed, table["observed"], atol=1e-12)
    np.testing.assert_allclose(found.expected, table["expected"], atol=1e-12)
    difference = (table["observed"] - table["expected"]).to_numpy()
    expected = difference @ np.linalg.pinv(covariance, rcond=1e-9, hermitian=True) @ difference
    assert found.chi_square == pytest.approx(expected, rel=1e-8, abs=1e-10)
    assert found.p_value == pytest.approx(chi2.sf(expected, 2), rel=1e-7)


def _nothing_to_compare(time, event):
    return not any(np.sum(time >= t) > 1 for t in time[event])


@pytest.mark.parametrize(
    ("sizes", "bins", "sigma", "censoring"),
    [
        ((200, 200), 12, 2, 0.3),
        ((2000, 500), 12, 30, 0.3),
        ((2000, 500), 40, 10, 0.3),
        ((300, 200, 1000), 12, 10, 0.3),
        ((100, 900), 40, 2, 0.3),
        ((100, 900), 40, 10, 1.5),  # most bins hold fewer at risk than noise; compared in full, 0.01 becomes 0.02
    ],
)
def test_the_level_holds_under_noise(sizes, bins, sigma, censoring):
    rng = np.random.default_rng(31)
    exact = trial(rng, sizes, [0.7] * len(sizes), censoring, bins)
    noisy = [np.rint(counts + rng.normal(0, sigma, counts.shape)) for counts in exact]
    told = log_rank(*noisy, noise_variance=sigma**2 + 1 / 12).p_value
    # Four standard deviations of 2000 trials, and one part in ten for what the first order leaves out.
    for level in (0.01, 0.05, 0.2):
        assert np.mean(told < level) < 1.1 * level + 4 * math.sqrt(level * (1 - level) / TRIALS)
    assert np.mean(told < 0.5) > 0.4
    # The same counts taken for exact ones: far too many differences are found.
    assert np.mean(log_rank(*noisy).p_value < 0.05) > 0.06


def test_a_difference_is_found_through_the_noise():
    rng = np.random.default_rng(32)
    exact = trial(rng, (1000, 1000), (0.6, 0.9), 0.3, 12)
    noisy = [np.rint(counts + rng.normal(0, 10, counts.shape)) for counts in exact]
    assert np.mean(log_rank(*noisy, noise_variance=100.1).p_value < 0.05) > 0.6


def test_the_noise_covariance_is_that_of_small_noise():
    # Differences of chi-square under noise far below the counts, against the first-order formula: Z' (V + N)^- Z is
    # unobservable alone, so the spread of observed less expected is compared with N's, found as N = (V + N) - V.
    rng = np.random.default_rng(33)
    events, censored = (
        np.array([[40, 30, 20, 10.0], [30, 30, 30, 30.0]]),
        np.array([[5, 10, 20, 50.0], [9, 9, 9, 99.0]]),
    )
    noisy = [counts + rng.normal(0, sigma, (20000, 2, 4)) for counts, sigma in ((events, 0.5), (censored, 1.0))]
    found = log_rank(*noisy)
    spread = np.var((found.observed - found.expected)[:, 0])
    exact = log_rank(events, censored)
    told = log_rank(events, censored, noise_variance=(0.25, 1.0))
    z = (exact.observed - exact.expected)[0]
    noise = z**2 / told.chi_square - z**2 / exact.chi_square
    # A variance of 20,000 draws has a relative deviation of one per cent.
    assert spread == pytest.approx(noise, rel=0.05)


@given(st.lists(st.integers(-(2**40), 2**40), min_size=24, max_size=24), st.sampled_from([0.0, 100.0, (1.0, 0.0)]))
def test_total_whatever_the_counts(numbers, noise_variance):
    events, censored = np.array(numbers).reshape(2, 3, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = log_rank(events, censored, noise_variance=noise_variance)
    for part in found:
        assert np.all(np.isfinite(part))
    assert found.chi_square >= 0
    assert 0 <= found.p_value <= 1
    assert np.sum(found.observed) == pytest.approx(np.sum(found.expected), abs=1)


def test_nobody_at_all_is_no_difference():
    found = log_rank(np.zeros((2, 5)), np.zeros((2, 5)), noise_variance=4.0)
    assert (found.chi_square, found.p_value) == (0.0, 1.0)


def test_one_group_is_refused():
    with pytest.raises(UsageError, match="two groups"):
        log_rank(np.ones((1, 4)), np.ones((1, 4)))
    with pytest.raises(UsageError, match="same bins"):
        log_rank(np.ones((2, 4)), np.ones((2, 3)))


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 30, 101, 400])
def test_the_tail_is_scipys(degrees):
    x = np.array([[-1.0, 0.0, 1e-300, 1e-6, 0.5], [1.0, degrees, 2.5 * degrees, 300.0, 1400.0]])
    np.testing.assert_allclose(chi_square_tail(x, degrees), chi2.sf(x, degrees), rtol=2e-12)


def test_the_tail_is_total():
    assert chi_square_tail([np.nan, np.inf, -np.inf, 1e308], 3).tolist() == [1.0, 0.0, 1.0, 0.0]
    with pytest.raises(UsageError, match="degree"):
        chi_square_tail(1.0, 0)
