"""The sparse vector technique keeps its price for exact laws; each published variant that is not private breaks it."""

import copy
import math
import pickle
from itertools import product

import laws
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.entropy import SeededEntropy
from stead.errors import UsageError
from stead.privacy.curves import pure
from stead.privacy.events import AboveThreshold
from stead.privacy.renyi import renyi
from stead.privacy.sparse_vector import SparseVectorMechanism

ANSWERS = st.lists(st.integers(-4, 4), min_size=1, max_size=4)


def patterns(length, positives):
    """All that a stream can show: it ends with the last positive, or with the last answer."""
    for pattern in product((0, 1), repeat=length):
        if sum(pattern) < positives or (sum(pattern) == positives and pattern[-1]):
            yield pattern
    for shorter in range(1, length):
        yield from (p for p in product((0, 1), repeat=shorter) if sum(p) == positives and p[-1])


def laws_of(mechanism, answers):
    scales = (mechanism.threshold_scale, mechanism.answer_scale)
    shown = [laws.sparse_vector(answers[: len(p)], *scales, p) for p in patterns(len(answers), mechanism.positives)]
    assert sum(shown) == pytest.approx(1, abs=1e-12)
    return np.array(shown)


@given(ANSWERS, st.integers(1, 3), st.booleans(), st.integers(1, 2), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_exact_law_keeps_its_price(answers, positives, monotone, sensitivity, chance):
    mechanism = SparseVectorMechanism(3.0, 2.0, positives)
    least = 0 if monotone else -sensitivity
    moved = [answer + chance.randint(least, sensitivity) for answer in answers]
    p, q = laws_of(mechanism, answers), laws_of(mechanism, moved)
    event = mechanism.event(sensitivity, sensitivity if monotone else 2 * sensitivity)
    epsilon = sensitivity / 3.0 + positives * event.spread / 2.0
    # Far tails are sums of differences: compared where they have digits.
    kept = (p > 1e-12) & (q > 1e-12)
    assert laws.loss(p[kept], q[kept]) <= epsilon + 1e-3
    for order in (2, 7):
        assert (
            max(laws.divergence(p[kept], q[kept], order), laws.divergence(q[kept], p[kept], order))
            <= renyi(event, order) + 1e-9
        )


def test_the_price_is_the_thresholds_noise_once_and_the_answers_for_each_positive():
    event = SparseVectorMechanism(4.0, 10.0, 3).event(1, 2)
    assert event == AboveThreshold(4.0, 10.0, 1, 2, 3)
    assert renyi(event, 5) == pytest.approx(pure(1 / 4 + 3 * 2 / 10, 5))


@pytest.mark.parametrize("positives", [1, 4])
def test_the_price_is_reached(positives):
    """Many answers below rise, those above fall: nothing smaller than the claim would do."""
    pattern = (0,) * 400 + (1,) * positives
    p = laws.sparse_vector([0] * 400 + [-59] * positives, 4.0, 8.0, pattern)
    q = laws.sparse_vector([1] * 400 + [-60] * positives, 4.0, 8.0, pattern)
    assert math.log(p / q) == pytest.approx(1 / 4 + positives * 2 / 8, rel=1e-3)


# The variants of Lyu, Su, Li 2017, section 3, on integers. Each gives the probability of one pattern of answers to
# thresholds 0; the claim is the correct algorithm's for the same noise of the thresholds and epsilon in equal halves.

HALF = 0.5  # epsilon 1, in two halves; sensitivity 1


def without_noise_on_answers(answers, pattern):
    """Their algorithm 5 (Stoddard, Chen, Machanavajjhala 2014)."""
    z, weights = laws.laplace_weights(1 / HALF, 80)
    fits = np.prod([(answer >= z) == above for answer, above in zip(answers, pattern, strict=True)], axis=0)
    return float((weights * fits).sum())


def without_an_end(answers, pattern):
    """Their algorithm 6 (Chen, Xiao, Zhang, Xu 2015): noise of the answers does not grow with the positives."""
    return laws.sparse_vector(answers, 1 / HALF, 1 / HALF, pattern)


def with_unscaled_answers(answers, pattern):
    """Their algorithm 4 (Lee, Clifton 2014): the noise is that of one positive, however many end the stream."""
    return laws.sparse_vector(answers, 4.0, 4 / 3, pattern)


def with_the_number_shown(answers, shown):
    """Their algorithm 3 (Roth's lecture notes of 2011): the answer above is shown with the noise it was tested with.

    That it was at least the threshold then bounds the threshold's noise for all answers before it.
    """
    z, weights = laws.laplace_weights(1 / HALF, 80)
    below = np.prod([1 - laws.laplace_tail(2 / HALF, z - answer) for answer in answers[:-1]], axis=0)
    noise, weight = laws.laplace_weights(2 / HALF, 400)
    return float((weights * below * (shown >= z)).sum() * weight[noise == shown - answers[-1]][0])


def without_noise_on_the_threshold(answers, pattern):
    tails = [laws.laplace_tail(4 / HALF, -answer) for answer in answers]
    return float(np.prod([tail if above else 1 - tail for tail, above in zip(tails, pattern, strict=True)]))


def test_answers_without_noise_are_caught():
    """An event that one table shows and its neighbour never does (their section 3)."""
    assert without_noise_on_answers([0, 1], (0, 1)) > 0.1
    assert without_noise_on_answers([1, 0], (0, 1)) == 0.0


def test_a_stream_without_an_end_is_caught():
    """Their section 3: m answers below and m above cost at least m epsilon / 2 in the worst case."""
    m = 40
    p = without_an_end([0] * 2 * m, (0,) * m + (1,) * m)
    q = without_an_end([1] * m + [-1] * m, (0,) * m + (1,) * m)
    assert math.log(p / q) > m * HALF / 2 > 1


def test_noise_that_does_not_grow_with_the_positives_is_caught():
    positives = 6
    pattern = (0,) * 40 + (1,) * positives
    p = with_unscaled_answers([0] * 40 + [1] * positives, pattern)
    q = with_unscaled_answers([1] * 40 + [0] * positives, pattern)
    assert 1 < math.log(p / q) <= (1 + 6 * positives) / 4


def test_a_positive_that_shows_its_number_is_caught():
    """Their section 3: m answers below, then one above shown as 0."""
    m = 30
    p, q = with_the_number_shown([0] * m + [1], 0), with_the_number_shown([1] * m + [0], 0)
    assert math.log(p / q) > 1


def test_a_threshold_without_noise_is_caught():
    """Below costs then as much as above: there is nothing sparse in it."""
    pattern = (0,) * 40
    p, q = (without_noise_on_the_threshold([answer] * 40, pattern) for answer in (0, 1))
    assert math.log(p / q) > 1


def test_the_correct_algorithm_passes_all_of_these():
    tables = [
        ([0, 1], [1, 0], (0, 1)),
        ([0] * 80, [1] * 40 + [-1] * 40, (0,) * 40 + (1,) * 40),
        ([0] * 40 + [1] * 6, [1] * 40 + [0] * 6, (0,) * 40 + (1,) * 6),
        ([0] * 30 + [1], [1] * 30 + [0], (0,) * 30 + (1,)),
        ([0] * 40, [1] * 40, (0,) * 40),
    ]
    for one, other, pattern in tables:
        positives = max(sum(pattern), 1)
        ratio = [laws.sparse_vector(answers, 1 / HALF, 2 * positives / HALF, pattern) for answers in (one, other)]
        assert abs(math.log(ratio[0] / ratio[1])) <= 1


@pytest.mark.parametrize(("spread", "weight"), [(2, 2.0), (1, 1.0)])
@pytest.mark.parametrize("positives", [1, 3, 50])
def test_the_parts_of_epsilon_are_the_published_ones(spread, weight, positives):
    """Lyu, Su, Li 2017, section 4.2: as 1 to (2c)^(2/3), or c^(2/3); and the whole is spent."""
    mechanism = SparseVectorMechanism.of(0.8, 1, spread, positives)
    first, second = 1 / mechanism.threshold_scale, positives * spread / mechanism.answer_scale
    assert first + second == pytest.approx(0.8)
    assert second / first == pytest.approx((weight * positives) ** (2 / 3))


def test_a_stream_ends_after_its_positives_and_says_so():
    stream = SparseVectorMechanism(1.0, 1.0, 2).start(SeededEntropy(1))
    assert [stream.above(-1000, 0), stream.above(1000, 0), stream.above(-1000, 0)] == [False, True, False]
    assert stream.left == 1
    assert stream.above(1000, 0)
    assert stream.left == 0
    for _ in range(2):
        with pytest.raises(UsageError, match="all its positives"):
            stream.above(0, 0)


def test_answers_of_any_size_do_not_wrap():
    stream = SparseVectorMechanism(2.0**40, 2.0**40, 4).start(SeededEntropy(1))
    assert stream.above(2**63 + 2**50, 2**63)
    assert stream.above(0, -(2**63))
    assert not stream.above(-(2**63), 2**63 - 1)


def test_a_stream_is_a_secret():
    stream = SparseVectorMechanism(1e6, 1e6, 1).start(SeededEntropy(5))
    assert repr(stream) == "Stream(<redacted>, left=1)"
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            take(stream)


@pytest.mark.parametrize("beta", [0.3, 0.05])
def test_the_published_accuracy(beta):
    """Dwork, Roth 2014, theorem 3.24: within 8 (log k + log(2/beta)) / epsilon of the threshold all goes as it should.

    A discrete Laplace tail is below the continuous one's one step earlier, so two steps are added.
    """
    size, epsilon = 20, 0.5
    alpha = math.ceil(8 * (math.log(size) + math.log(2 / beta)) / epsilon) + 2
    right = laws.sparse_vector([-alpha] * (size - 1) + [alpha], 2 / epsilon, 4 / epsilon, (0,) * (size - 1) + (1,))
    assert right >= 1 - beta
