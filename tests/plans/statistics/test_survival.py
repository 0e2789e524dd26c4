"""Survival curves: scikit-survival's and the textbook's from exact counts, possible ones from noise."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.errors import UsageError
from stead.plans.statistics.survival import at_risk, kaplan_meier, median_survival, nelson_aalen, restricted_mean

BINS = 12
EDGES = np.arange(BINS + 1.0)
histories = st.lists(st.tuples(st.integers(1, BINS), st.booleans()), min_size=2, max_size=60)

# 6-MP in acute leukaemia (Freireich et al. 1963) in weeks, as printed in Klein, Moeschberger (2003), table 1.1.
SIX_MP = [(6, 1), (6, 1), (6, 1), (6, 0), (7, 1), (9, 0), (10, 1), (10, 0), (11, 0), (13, 1), (16, 1), (17, 0), (19, 0),
          (20, 0), (22, 1), (23, 1), (25, 0), (32, 0), (32, 0), (34, 0), (35, 0)]  # fmt: skip
WEEKS = np.arange(36.0)
# Their tables 4.1 (survival and Greenwood's standard error) and 4.2 (cumulative hazard and its variance).
AT = [6, 7, 10, 13, 16, 22, 23]
SURVIVAL = [0.857, 0.807, 0.753, 0.690, 0.628, 0.538, 0.448]
GREENWOOD_ERROR = [0.076, 0.087, 0.096, 0.107, 0.114, 0.128, 0.135]
HAZARD = [0.1428, 0.2017, 0.2683, 0.3517, 0.4426, 0.5854, 0.7521]
HAZARD_VARIANCE = [0.0068, 0.0103, 0.0147, 0.0217, 0.0299, 0.0503, 0.0781]


def counted(history, bins):
    """(time, had the event) to events and censorings by bin; bin k ends at time k + 1."""
    events = np.bincount([time - 1 for time, event in history if event], minlength=bins)
    censored = np.bincount([time - 1 for time, event in history if not event], minlength=bins)
    return events, censored


def test_the_leukaemia_trial_as_printed():
    counts = counted(SIX_MP, 35)
    survival, hazard = kaplan_meier(*counts), nelson_aalen(*counts)
    bins = np.array(AT) - 1
    np.testing.assert_allclose(survival.estimate[bins], SURVIVAL, atol=6e-4)
    np.testing.assert_allclose(np.sqrt(survival.variance[bins]), GREENWOOD_ERROR, atol=6e-4)
    np.testing.assert_allclose(hazard.estimate[bins], HAZARD, atol=1e-4)
    np.testing.assert_allclose(hazard.variance[bins], HAZARD_VARIANCE, atol=6e-5)
    assert median_survival(survival.estimate, WEEKS) == (23.0, True)
    # R's survival package prints rmean 23.29 with standard error 2.83 for this arm, up to week 35.
    mean = restricted_mean(*counts, WEEKS)
    assert mean.time == pytest.approx(23.29, abs=0.005)
    assert np.sqrt(mean.variance) == pytest.approx(2.83, abs=0.005)


@given(histories)
def test_exact_counts_are_scikit_survivals(history):
    sksurv = pytest.importorskip("sksurv.nonparametric")
    time, event = np.array([t for t, _ in history], dtype=float), np.array([e for _, e in history])
    counts = counted(history, BINS)
    if not event.any():  # refused by scikit-survival
        assert np.all(kaplan_meier(*counts).estimate == 1)
        return
    for ours, theirs in ((kaplan_meier, sksurv.kaplan_meier_estimator), (nelson_aalen, sksurv.nelson_aalen_estimator)):
        at, expected = theirs(event, time)
        found = ours(*counts).estimate[at.astype(int) - 1]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@given(histories)
def test_restricted_mean_is_the_area_under_the_steps(history):
    if all(event for _, event in history):
        # With nobody censored it is the plain mean.
        assert restricted_mean(*counted(history, BINS), EDGES).time == pytest.approx(np.mean([t for t, _ in history]))
    curve = kaplan_meier(*counted(history, BINS)).estimate
    fine = np.arange(0, BINS, 0.25)
    height = np.where(fine < 1, 1.0, curve[np.maximum(fine.astype(int) - 1, 0)])
    assert restricted_mean(*counted(history, BINS), EDGES).time == pytest.approx(np.sum(height) * 0.25)


def test_without_censoring_greenwood_is_the_binomial_variance():
    deaths = np.array([3, 0, 5, 2])
    curve = kaplan_meier(deaths, np.zeros(4))
    share = 1 - np.cumsum(deaths) / 10
    np.testing.assert_allclose(curve.estimate, share, atol=1e-15)
    np.testing.assert_allclose(curve.variance, share * (1 - share) / 10, atol=1e-15)


def test_a_median_that_is_not_reached_is_the_last_edge():
    found = median_survival([[0.9, 0.6], [0.9, 0.5], [0.4, 0.3]], [0, 10, 20])
    assert found.time.tolist() == [20.0, 20.0, 10.0]
    assert found.reached.tolist() == [False, True, True]


@given(st.lists(st.integers(-(2**40), 2**40), min_size=24, max_size=24))
def test_total_whatever_the_counts(numbers):
    events, censored = np.array(numbers).reshape(2, BINS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        died, left, risk = at_risk(events, censored)
        survival, hazard = kaplan_meier(events, censored), nelson_aalen(events, censored)
        mean = restricted_mean(events, censored, EDGES)
        median = median_survival(survival.estimate, EDGES)
    assert np.all(died >= 0)
    assert np.all(left >= 0)
    assert np.all(died <= risk)
    assert np.all(np.diff(risk) <= 0)
    for part in (*survival, *hazard, *mean, *median):
        assert np.all(np.isfinite(part))
        assert np.all(part >= 0)
    assert np.all(np.diff(survival.estimate, prepend=1.0) <= 0)
    assert np.all(np.diff(hazard.estimate, prepend=0.0) >= 0)


def test_noise_does_not_pull_the_curve_down():
    # 2000 people, 40 bins, 5 events in each, noise of deviation 10. Survival at half time has a deviation by noise of
    # about 0.02, the mean of 2000 trials one of 0.0005.
    rng = np.random.default_rng(21)
    events, censored = np.full(40, 5), np.full(40, 45)
    noisy = [counts + rng.normal(0, 10, size=(2000, 40)) for counts in (events, censored)]
    truth = kaplan_meier(events, censored).estimate[19]
    found = kaplan_meier(*noisy).estimate
    assert found.shape == (2000, 40)
    assert abs(np.mean(found[:, 19]) - truth) < 0.005
    # Each negative count set to zero instead: events that nobody had, about 2 in each bin.
    zeroed = kaplan_meier(*(np.maximum(counts, 0) for counts in noisy)).estimate
    assert np.mean(zeroed[:, 19]) < truth - 0.015


def test_misfitting_counts_and_edges():
    with pytest.raises(UsageError, match="same bins"):
        kaplan_meier([1, 2], [1])
    with pytest.raises(UsageError, match="increasing edges"):
        restricted_mean([1, 2], [0, 0], [0, 1])
    with pytest.raises(UsageError, match="increasing edges"):
        median_survival([1.0, 0.5], [0, 2, 1])
