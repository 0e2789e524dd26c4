"""Binomial bounds against SciPy's, and against the definition."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from stead.errors import UsageError
from stead.privacy.audit.counting import epsilon_at_least, incomplete_beta, lower_bound, upper_bound

COUNTS = st.integers(1, 200_000).flatmap(lambda runs: st.tuples(st.integers(0, runs), st.just(runs)))
MISSES = st.sampled_from([0.05, 1e-3, 1e-6, 1e-9])


@given(a=st.floats(0.5, 1e5), b=st.floats(0.5, 1e5), x=st.floats(0, 1))
def test_the_incomplete_beta_function_is_scipy_s(a, b, x):
    assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-7, abs=1e-14)


@given(counts=COUNTS, miss=MISSES)
def test_bounds_are_clopper_and_pearson_s(counts, miss):
    hits, runs = counts
    low, high = lower_bound(hits, runs, miss), upper_bound(hits, runs, miss)
    assert low == pytest.approx(stats.beta.ppf(miss, hits, runs - hits + 1) if hits else 0.0, rel=1e-6)
    assert high == pytest.approx(stats.beta.isf(miss, hits + 1, runs - hits) if hits < runs else 1.0, rel=1e-6)
    assert low <= hits / runs <= high


def test_bounds_by_hand():
    """No hit in n runs: (1-p)^n = miss. All hits: p^n = miss. The "rule of three" is miss 5 %."""
    assert upper_bound(0, 100, 0.05) == pytest.approx(1 - 0.05 ** (1 / 100), rel=1e-6)
    assert lower_bound(100, 100, 0.05) == pytest.approx(0.05 ** (1 / 100), rel=1e-6)


@pytest.mark.parametrize("truth", [0.001, 0.2, 0.5, 0.97])
@pytest.mark.parametrize("runs", [20, 300])
def test_bounds_are_wrong_no_more_often_than_stated(truth, runs):
    """Exactly: the probability of all counts whose bound is wrong."""
    miss = 0.02
    law = stats.binom.pmf(range(runs + 1), runs, truth)
    too_high = sum(law[hits] for hits in range(runs + 1) if lower_bound(hits, runs, miss) > truth)
    too_low = sum(law[hits] for hits in range(runs + 1) if upper_bound(hits, runs, miss) < truth)
    assert max(too_high, too_low) <= miss


def test_epsilon_from_counts_by_hand():
    """All of 100 runs against none, at a miss of 5 % each."""
    p, q = 0.05 ** (1 / 100), 1 - 0.05 ** (1 / 100)
    assert epsilon_at_least(100, 0, 100, delta=0.0, miss=0.05) == pytest.approx(math.log(p / q), rel=1e-5)
    assert epsilon_at_least(100, 0, 100, delta=0.5, miss=0.05) == pytest.approx(math.log((p - 0.5) / q), rel=1e-5)
    assert epsilon_at_least(60, 55, 100, delta=0.0, miss=0.05) == 0.0
    assert epsilon_at_least(0, 0, 100, delta=0.0, miss=0.05) == 0.0


@pytest.mark.parametrize(("hits", "runs", "miss"), [(-1, 5, 0.1), (6, 5, 0.1), (0, 0, 0.1), (1, 5, 0.0), (1, 5, 1.0)])
def test_counts_that_make_no_sense_are_refused(hits, runs, miss):
    for bound in (lower_bound, upper_bound):
        with pytest.raises(UsageError, match="a bound needs"):
            bound(hits, runs, miss)
