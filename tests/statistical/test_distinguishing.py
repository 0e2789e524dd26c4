"""Nobody can tell neighbouring tables apart better than the claimed epsilon allows, and cheats are caught.

Each mechanism runs 10^5 times on a table with the one person and 10^5 times without. Half of the runs choose the
event that tells them apart best, the other half bounds epsilon from below by Clopper-Pearson intervals at 1 - 1e-6
each, so that an honest mechanism fails once in 500,000 seeds. The seeds are fixed.
"""

import math

import numpy as np
import pytest
from scipy import stats

from stead.core.entropy import SeededEntropy
from stead.privacy.events import DiscreteGaussian, DiscreteLaplace, Sampled, SumOfDiscreteGaussians
from stead.privacy.mechanisms import GaussianMechanism, LaplaceMechanism, noise_share
from stead.privacy.renyi import epsilon_from_renyi, renyi

RUNS = 100_000
MISS = 1e-6
DELTA = 1e-3


def claimed(event):
    if isinstance(event, DiscreteLaplace):
        return min(
            event.sensitivity / event.scale, *(epsilon_from_renyi(renyi(event, a), a, DELTA) for a in range(2, 200))
        )
    return min(epsilon_from_renyi(renyi(event, order), order, DELTA) for order in range(2, 200))


def lower_bound(likely, unlikely):
    """Epsilon at DELTA is above this, from how often an event happened in each world."""
    runs = RUNS // 2
    if likely == 0 or unlikely == runs:
        return 0.0
    p = stats.beta.ppf(MISS, likely, runs - likely + 1)
    q = stats.beta.ppf(1 - MISS, unlikely + 1, runs - unlikely)
    return math.log((p - DELTA) / q) if p > DELTA else 0.0


def audited(present, absent):
    """The best lower bound on epsilon over half-lines of both directions: chosen on one half, measured on the other."""
    best = 0.0
    for one, other in ((present, absent), (-absent, -present)):
        cuts = np.unique(np.concatenate([one[::2], other[::2]]))
        counts = [len(half) - np.searchsorted(np.sort(half), cuts) for half in (one[::2], other[::2])]
        scores = [lower_bound(int(p), int(q)) for p, q in zip(*counts, strict=True)]
        cut = cuts[int(np.argmax(scores))]
        best = max(best, lower_bound(int((one[1::2] >= cut).sum()), int((other[1::2] >= cut).sum())))
    return best


def gaussian(honest, seed):
    noisy = GaussianMechanism(2.0 * honest)
    worlds = (np.full(RUNS, 1), np.zeros(RUNS, np.int64))
    return [noisy.add(world, SeededEntropy(seed + k)) for k, world in enumerate(worlds)], DiscreteGaussian(2.0, 1.0)


def laplace(honest, seed):
    noisy = LaplaceMechanism(3.0 * honest)
    worlds = (np.full(RUNS, 3), np.zeros(RUNS, np.int64))
    return [noisy.add(world, SeededEntropy(seed + k)) for k, world in enumerate(worlds)], DiscreteLaplace(3.0, 3)


def sum_of_shares(honest, seed):
    """Three sites, one of which colludes and adds nothing."""
    share = GaussianMechanism(noise_share(60.0, 3, 1) * honest)
    worlds = (np.full(RUNS, 40), np.zeros(RUNS, np.int64))
    noisy = [
        share.add(share.add(world, SeededEntropy(seed + k)), SeededEntropy(seed + 2 + k))
        for k, world in enumerate(worlds)
    ]
    return noisy, SumOfDiscreteGaussians(noise_share(60.0, 3, 1), 2, 40.0, 1)


def sampled(honest, seed):
    chosen = np.random.default_rng(seed).random(RUNS) < 0.3
    noisy = GaussianMechanism(1.0 * honest)
    worlds = (chosen.astype(np.int64), np.zeros(RUNS, np.int64))
    outputs = [noisy.add(world, SeededEntropy(seed + k)) for k, world in enumerate(worlds)]
    return outputs, Sampled(0.3, DiscreteGaussian(1.0, 1.0))


MECHANISMS = pytest.mark.parametrize("mechanism", [gaussian, laplace, sum_of_shares, sampled])


@MECHANISMS
def test_no_distinguisher_beats_the_claim(mechanism):
    (present, absent), event = mechanism(1.0, 100)
    found = audited(present, absent)
    assert 0 < found <= claimed(event)


@MECHANISMS
def test_half_the_noise_is_caught(mechanism):
    (present, absent), event = mechanism(0.5, 200)
    assert audited(present, absent) > claimed(event)


def test_noise_that_is_left_out_is_caught():
    values = np.zeros(RUNS, np.int64)
    assert audited(values + 1, values) > 5


def test_equal_worlds_give_nothing_to_find():
    """The audit itself: on data without any difference it must not report one."""
    noisy = GaussianMechanism(2.0)
    values = np.zeros(RUNS, np.int64)
    for seed in range(10):
        assert (
            audited(noisy.add(values, SeededEntropy(2 * seed)), noisy.add(values, SeededEntropy(2 * seed + 1))) < 0.05
        )
