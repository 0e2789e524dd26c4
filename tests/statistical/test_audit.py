"""The audit itself: it does not cry wolf, it sees what is there, and no mechanism shows more than it claims.

Calibration counts false accusations over many small audits at a large error rate, so that a rate that is too high would
be seen; the counts' own test fails below 1e-6. Audits of the product are at the product's error rate, with fixed seeds.
"""

import math

import numpy as np
import pytest
from scipy import stats

from stead.core.entropy import SeededEntropy
from stead.privacy.audit.distinguish import ATTACKS, BOUNDS, distinguish
from stead.privacy.audit.mechanisms import MANY, SOME, adding, mechanisms, reporting
from stead.privacy.audit.trial import ERROR_RATE, audit, bounds_of, strongest
from stead.privacy.events import DiscreteGaussian
from stead.privacy.mechanisms import GaussianMechanism
from stead.privacy.randomised_response import RandomisedResponseMechanism

TRIALS = mechanisms()
ONE_IN_A_MILLION = 1e-6


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_no_attack_beats_the_claim_of_a_mechanism(trial):
    verdicts = audit([trial], SeededEntropy(1), share=0.5, error_rate=ERROR_RATE / len(TRIALS))
    assert len(verdicts) == len(trial.attacks) * len(trial.deltas)
    assert not any(verdict.exceeded for verdict in verdicts), verdicts


@pytest.mark.parametrize("attack", [*ATTACKS, "sign"])
@pytest.mark.parametrize("delta", [0.0, 0.05])
def test_equal_worlds_are_accused_no_more_often_than_stated(attack, delta):
    """google-deepmind/jax_privacy#270: an auditor that found epsilon 3.5 where there was nothing."""
    entropy, noise, zeros = SeededEntropy(2), GaussianMechanism(3.0), np.zeros(400, np.int64)
    audits, miss = 1500, 0.01
    accused = sum(
        distinguish(noise.add(zeros, entropy), noise.add(zeros, entropy), delta, attack=attack, miss=miss) > 0
        for _ in range(audits)
    )
    assert stats.binomtest(accused, audits, BOUNDS * miss, alternative="greater").pvalue > ONE_IN_A_MILLION


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 2.0])
def test_a_known_epsilon_is_exceeded_no_more_often_than_stated(epsilon):
    """Randomised response has exactly its epsilon, in every run: the hardest case for an auditor."""
    mechanism, entropy = RandomisedResponseMechanism(epsilon, 2), SeededEntropy(3)
    audits, miss, wrong = 1500, 0.01, 0
    for _ in range(audits):
        present, absent = (mechanism.report(np.full(600, truth), entropy) for truth in (1, 0))
        wrong += distinguish(present, absent, 0.0, attack="outcomes", miss=miss) > epsilon
    assert stats.binomtest(wrong, audits, BOUNDS * miss, alternative="greater").pvalue > ONE_IN_A_MILLION


def test_an_audit_that_looked_and_counted_in_the_same_runs_would_cry_wolf():
    """The calibration can fail: with the event chosen on the runs that it is counted in, equal worlds differ."""
    entropy, noise, zeros = SeededEntropy(4), GaussianMechanism(30.0), np.zeros(200, np.int64)
    audits, miss, accused = 300, 0.01, 0
    for _ in range(audits):
        worlds = [np.repeat(noise.add(zeros, entropy), 2) for _ in range(2)]  # both halves are the same runs
        accused += distinguish(*worlds, 0.0, attack="outcomes", miss=miss) > 0
    assert stats.binomtest(accused, audits, BOUNDS * miss, alternative="greater").pvalue < ONE_IN_A_MILLION


@pytest.mark.parametrize(("epsilon", "options"), [(0.3, 2), (1.0, 5), (2.0, 20)])
def test_a_known_epsilon_is_found_nearly_whole(epsilon, options):
    mechanism = RandomisedResponseMechanism(epsilon, options)
    (verdict, *_) = strongest(audit([reporting("report", mechanism, mechanism.event())], SeededEntropy(5)))
    assert 0.8 * epsilon < verdict.found <= epsilon


def test_a_gaussian_is_found_near_its_exact_curve():
    """delta(epsilon) of a Gaussian moved by m sigmas: Phi(m/2 - e/m) - e^e Phi(-m/2 - e/m), Balle and Wang 2018."""
    mean, delta = 0.5, 0.05

    def exact(epsilon):
        above, below = mean / 2 - epsilon / mean, -mean / 2 - epsilon / mean
        return stats.norm.cdf(above) - math.exp(epsilon) * stats.norm.cdf(below)

    trial = adding("noise", GaussianMechanism(20.0), DiscreteGaussian(20.0, 10.0), 10, deltas=(delta,))
    (verdict,) = strongest(audit([trial], SeededEntropy(6)))
    assert exact(verdict.found) > delta  # not above the truth
    assert exact(verdict.found + 0.15) < delta  # and not far below


def test_the_error_rate_is_of_the_whole_audit():
    """Bonferroni: each bound may be wrong in the audit's rate over all bounds, and every verdict rests on four."""
    assert bounds_of(TRIALS) == sum(BOUNDS * len(ATTACKS) * len(trial.deltas) for trial in TRIALS)
    runs = 4000
    (alone, *_) = audit(TRIALS[:1], SeededEntropy(7), share=runs / MANY)
    (among, *_) = audit(TRIALS[:12], SeededEntropy(7), share=runs / MANY)
    assert among.found < alone.found
    assert SOME < MANY
