"""Choices, streams, reports and keys: samplers have their exact laws, audits stay below claims, planted faults do not.

Comparisons with a law compute a p-value and fail below 1e-6; audits state their error rate in ``audit``. Seeds are
fixed, so that a pass or a failure is repeatable; OpenDP draws fresh randomness and keeps that error rate.
"""

from collections import Counter

import laws
import numpy as np
import opendp.prelude as dp
import pytest
from audit import audited
from scipy import stats

from stead.core.entropy import SeededEntropy
from stead.privacy.choices import ExponentialMechanism, NoisyMaxMechanism, PermuteAndFlipMechanism
from stead.privacy.events import PartitionSelection, ThresholdedGaussian, ThresholdedLaplace
from stead.privacy.keys import (
    PartitionSelectionMechanism,
    ThresholdedGaussianMechanism,
    ThresholdedLaplaceMechanism,
)
from stead.privacy.randomised_response import RandomisedResponseMechanism
from stead.privacy.reserve import epsilon_at
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


# A choice between two options, one person moving them apart by 2 steps: epsilon 1 at scale 2.


@CHOICES
def test_no_distinguisher_beats_the_claim_of_a_choice(chooser):
    found = audited(chosen(chooser(2.0), [0, 0], 31), chosen(chooser(2.0), [1, -1], 32))
    assert 0.3 < found <= 1.0
    assert audited(chosen(chooser(2.0), [2, 0], 33), chosen(chooser(2.0), [3, -1], 34)) <= 1.0


@CHOICES
def test_a_choice_with_half_the_noise_is_caught(chooser):
    assert audited(chosen(chooser(1.0), [1, 0], 35), chosen(chooser(1.0), [2, -1], 36)) > 1.0


@CHOICES
def test_a_choice_charged_as_if_scores_moved_together_is_caught(chooser):
    """The spread is 2 and the event says 1: epsilon 1/2 is claimed."""
    assert audited(chosen(chooser(2.0), [1, 0], 37), chosen(chooser(2.0), [2, -1], 38)) > 0.5


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


def first_above(mechanism, answers, threshold, seed, runs=12_000, fault=None):
    entropy, found = SeededEntropy(seed), []
    for _ in range(runs):
        stream = mechanism.start(entropy)
        if fault == "threshold":
            stream._shift = 0
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


def test_no_distinguisher_beats_the_claim_of_a_stream():
    for one, other in (([0] * 10, [1] * 10), ([0] * 4 + [1], [1] * 4 + [0])):
        assert audited(first_above(STREAM, one, 2, 43), first_above(STREAM, other, 2, 44)) <= 1.0


def test_a_stream_whose_threshold_has_no_noise_is_caught():
    one, other = (first_above(STREAM, [answer] * 10, 2, 45 + answer, fault="threshold") for answer in (0, 1))
    assert audited(one, other) > 1.0


def test_a_stream_with_half_the_noise_is_caught():
    """Epsilon 1 would be 10/3 and 2/0.7: 0.3 for the thresholds, 0.7 for the positive."""
    quiet = SparseVectorMechanism(10 / 6, 1 / 0.7, 1)
    assert audited(first_above(quiet, [0, 0, 0, 1], 1, 47), first_above(quiet, [1, 1, 1, 0], 1, 48)) > 1.0


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


@pytest.mark.parametrize(("epsilon", "options"), [(0.3, 2), (1.0, 5)])
def test_no_distinguisher_beats_the_claim_of_a_report(epsilon, options):
    found = audited(reports(epsilon, options, 0, 52), reports(epsilon, options, 1, 53))
    assert 0.8 * epsilon < found <= epsilon


@pytest.mark.parametrize(("epsilon", "options"), [(0.3, 2), (1.0, 5)])
def test_reports_that_are_true_too_often_are_caught(epsilon, options):
    assert audited(reports(1.25 * epsilon, options, 0, 54), reports(1.25 * epsilon, options, 1, 55)) > epsilon


# Keys.


def shown(epsilon, delta, people, seed):
    counts = np.full(ANSWERS, people)
    return PartitionSelectionMechanism(epsilon, delta).shown(counts, SeededEntropy(seed)) if people else counts


@pytest.mark.parametrize("people", [1, 2, 4, 6, 7, 9, 12])
def test_keys_are_shown_with_the_published_probability(people):
    hits = int(shown(1.0, 1e-3, people, 60 + people).sum())
    assert stats.binomtest(hits, ANSWERS, laws.selection(people, 1.0, 1e-3)).pvalue > ERROR_RATE


@pytest.mark.parametrize("people", range(9))
def test_no_distinguisher_beats_the_claim_of_a_selection(people):
    found = audited(shown(1.0, 1e-3, people + 1, 71), shown(1.0, 1e-3, people, 72), 1e-3)
    assert (
        found <= epsilon_at(PartitionSelection(1.0, 1e-3, 1), 1.001e-3, (2, 8, 64, 2**16)) == pytest.approx(1, abs=0.01)
    )


def test_selections_with_a_wrong_delta_or_epsilon_are_caught():
    assert audited(shown(1.0, 3e-3, 1, 73), shown(1.0, 3e-3, 0, 74), 1e-3) > 1.0
    assert audited(shown(2.0, 1e-3, 2, 75), shown(2.0, 1e-3, 1, 76), 1e-3) > 1.0


def test_a_selection_that_counts_rows_in_place_of_people_is_caught():
    """One person with five rows looks like five people."""
    assert audited(shown(1.0, 1e-3, 5, 77), shown(1.0, 1e-3, 0, 78), 1e-3) > 1.0


THRESHOLDED = [
    (ThresholdedGaussianMechanism, ThresholdedGaussian, 4.0, 1e-3),
    (ThresholdedLaplaceMechanism, ThresholdedLaplace, 2.0, 1e-3),
]


def counts_shown(mechanism, people, seed):
    """The noisy count, or a mark where the key is not shown."""
    if not people:
        return np.full(ANSWERS, -(2**40))
    visible, noisy = mechanism.release(np.full(ANSWERS, people), SeededEntropy(seed))
    out = np.full(ANSWERS, -(2**40))
    out[visible] = noisy
    return out


@pytest.mark.parametrize(("mechanism", "event", "width", "delta"), THRESHOLDED)
@pytest.mark.parametrize("people", [0, 1, 6, 14, 30])
def test_no_distinguisher_beats_the_claim_of_shown_counts(mechanism, event, width, delta, people):
    made = mechanism.of(width, delta / 2, 1, 1)
    claim = epsilon_at(made.event(1, 1), delta, range(2, 200))
    assert audited(counts_shown(made, people + 1, 81), counts_shown(made, people, 82), delta) <= claim


@pytest.mark.parametrize(("mechanism", "event", "width", "delta"), THRESHOLDED)
def test_shown_counts_with_less_noise_or_a_lower_threshold_are_caught(mechanism, event, width, delta):
    honest = mechanism.of(width, delta / 2, 1, 1)
    claim = epsilon_at(honest.event(1, 1), delta, range(2, 200))
    low = mechanism(width, honest.threshold - 6)
    assert audited(counts_shown(low, 1, 83), counts_shown(low, 0, 84), delta) > claim
    quiet = mechanism(width / 4, honest.threshold)
    people = honest.threshold
    assert audited(counts_shown(quiet, people + 1, 85), counts_shown(quiet, people, 86), delta) > claim


def test_equal_tables_give_nothing_to_find():
    """The audit itself: without a difference it must not report one."""
    for seed in range(10):
        assert audited(reports(0.5, 4, 2, 2 * seed), reports(0.5, 4, 2, 2 * seed + 1)) < 0.02
