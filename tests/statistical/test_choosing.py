"""Choices, streams, reports and keys: samplers have their exact laws.

Comparisons with a law compute a p-value and fail below 1e-6. Seeds are fixed, so that a pass or a failure is
repeatable; OpenDP draws fresh randomness and keeps that error rate. Audits of claims: ``test_audit``, ``test_planted``.
"""

from collections import Counter

import laws
import numpy as np
import opendp.prelude as dp
import pytest
from scipy import stats

from stead.core.entropy import SeededEntropy
from stead.privacy.choices import ExponentialMechanism, NoisyMaxMechanism, PermuteAndFlipMechanism
from stead.privacy.keys import PartitionSelectionMechanism
from stead.privacy.randomised_response import RandomisedResponseMechanism
from stead.privacy.sparse_vector import SparseVectorMechanism

ERROR_RATE = 1e-6
RUNS = 20_000
CHOOSERS = {
    ExponentialMechanism: laws.exponential,
    PermuteAndFlipMechanism: laws.permute_and_flip,
    NoisyMaxMechanism: laws.noisy_max,
}
CHOICES = pytest.mark.parametrize("chooser", CHOOSERS)


def chosen(mechanism, scores, seed, runs=RUNS):
    entropy, scores = SeededEntropy(seed), np.array(scores)
    return np.array([mechanism.choose(scores, entropy) for _ in range(runs)])


def p_value(counts, law):
    law = np.asarray(law)
    kept = law * sum(counts) >= 5
    counts = np.append(np.asarray(counts)[kept], np.asarray(counts)[~kept].sum())
    expected = np.append(law[kept], law[~kept].sum()) * counts.sum()
    if expected[-1] < 1e-9:
        assert counts[-1] == 0
        counts, expected = counts[:-1], expected[:-1]
    return stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue


@CHOICES
@pytest.mark.parametrize(("scores", "scale"), [([0, 3, 3, 5, -10], 2.0), ([7, 7, 7], 0.6), ([0, -1, -2, -3, -4], 3.3)])
def test_choices_have_their_exact_law(chooser, scores, scale):
    drawn = chosen(chooser(scale), scores, 21, 8000)
    assert p_value(np.bincount(drawn, minlength=len(scores)), CHOOSERS[chooser](scores, scale)) > ERROR_RATE


@CHOICES
def test_another_scale_would_be_noticed(chooser):
    scores = [0, 3, 3, 5, -10]
    drawn = chosen(chooser(2.0), scores, 22)
    assert p_value(np.bincount(drawn, minlength=5), CHOOSERS[chooser](scores, 2.3)) < ERROR_RATE


def opendp_choices(scores, scale, measure, size):
    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    chooser = dp.m.make_noisy_max(domain, dp.linf_distance(T="i64"), measure, scale=scale)
    return [chooser(scores) for _ in range(size)]


@pytest.mark.parametrize(
    ("chooser", "measure"),
    [(PermuteAndFlipMechanism, dp.max_divergence()), (ExponentialMechanism, dp.zero_concentrated_divergence())],
)
def test_opendp_makes_the_same_choices(chooser, measure):
    scores = [0, 3, 3, 5, 1]
    theirs = np.bincount(opendp_choices(scores, 2.0, measure, 8000), minlength=5)
    ours = np.bincount(chosen(chooser(2.0), scores, 23, 8000), minlength=5)
    assert stats.chi2_contingency([theirs, ours]).pvalue > ERROR_RATE


# Streams. A result is the pattern shown, as a number. Epsilon 1: 0.1 for the thresholds, 0.9 for one positive.

STREAM = SparseVectorMechanism(10.0, 2 / 0.9, 1)


def first_above(mechanism, answers, threshold, seed, runs=12_000):
    entropy, found = SeededEntropy(seed), []
    for _ in range(runs):
        stream = mechanism.start(entropy)
        place = 0
        while place < len(answers) and not stream.above(answers[place], threshold):
            place += 1
        found.append(place)
    return np.array(found)


def test_streams_have_their_exact_law():
    answers, threshold = [0, 2, -3, 4, 1], 2
    places = np.bincount(first_above(STREAM, answers, threshold, 41), minlength=6)
    moved = [answer - threshold for answer in answers]
    law = [laws.sparse_vector(moved[: k + 1], 10.0, 2 / 0.9, (0,) * k + (1,)) for k in range(5)]
    assert p_value(places, [*law, 1 - sum(law)]) > ERROR_RATE


def test_streams_with_several_positives_have_their_exact_law():
    mechanism, entropy, answers = SparseVectorMechanism(3.0, 5.0, 2), SeededEntropy(42), [0, 4, -2, 1]
    shown = Counter()
    for _ in range(12_000):
        stream, pattern = mechanism.start(entropy), ()
        for answer in answers:
            if stream.left:
                pattern += (stream.above(answer, 0),)
        shown[pattern] += 1
    law = [laws.sparse_vector(answers[: len(pattern)], 3.0, 5.0, pattern) for pattern in shown]
    assert sum(law) > 0.999
    assert p_value([*shown.values(), 0], [*law, 1 - sum(law)]) > ERROR_RATE


# Reports.

ANSWERS = 200_000


def reports(epsilon, options, truth, seed):
    return RandomisedResponseMechanism(epsilon, options).report(np.full(ANSWERS, truth), SeededEntropy(seed))


@pytest.mark.parametrize(("epsilon", "options"), [(0.3, 2), (1.0, 2), (1.0, 5), (2.0, 20)])
def test_reports_have_their_exact_law(epsilon, options):
    law = np.ones(options)
    law[1] = np.exp(epsilon)
    counts = np.bincount(reports(epsilon, options, 1, 51), minlength=options)
    assert p_value(counts, law / law.sum()) > ERROR_RATE


# Keys.


def shown(epsilon, delta, people, seed):
    counts = np.full(ANSWERS, people)
    return PartitionSelectionMechanism(epsilon, delta).shown(counts, SeededEntropy(seed)) if people else counts


@pytest.mark.parametrize("people", [1, 2, 4, 6, 7, 9, 12])
def test_keys_are_shown_with_the_published_probability(people):
    hits = int(shown(1.0, 1e-3, people, 60 + people).sum())
    assert stats.binomtest(hits, ANSWERS, laws.selection(people, 1.0, 1e-3)).pvalue > ERROR_RATE
