"""Choices with exact probabilities: words on, beside and between thresholds, and further bits when they must be."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stead.core.entropy import SeededEntropy
from stead.errors import UsageError
from stead.privacy.fixed_point import floor_exp_minus
from stead.privacy.lazy import below, below_each, exponential_of, settle, uniform_below, weighted_choice


class Script:
    """An entropy source that gives the words of a list, then none."""

    seeded = True

    def __init__(self, *words):
        self.words = list(words)

    def take(self, size_bytes):
        assert size_bytes == 8
        return self.words.pop(0).to_bytes(8, "little")


def dyadic(fraction):
    """A real that is a fraction, as tightly as integers say it."""
    return lambda bits: (
        (fraction.numerator << bits) // fraction.denominator,
        -(-(fraction.numerator << bits) // fraction.denominator),
    )


@pytest.mark.parametrize("exponent", [Fraction(1, 3), Fraction(1), Fraction(20)])
def test_a_word_beside_the_threshold_is_decided_and_on_it_is_not(exponent):
    real = exponential_of(exponent)
    threshold = floor_exp_minus(exponent, 64)
    words = np.array([0, threshold - 3, threshold + 3, 2**64 - 1], np.uint64)
    assert below(words, real, Script()).tolist() == [True, True, False, False]
    # On the threshold the next 64 bits decide.
    finer = floor_exp_minus(exponent, 128) - (threshold << 64)
    on = np.array([threshold], np.uint64)
    assert below(on, real, Script(*[max(finer - 5, 0)] * 3)).tolist() == [True]
    assert below(on, real, Script(min(finer + 5, 2**64 - 1))).tolist() == [False]


def test_each_number_is_compared_with_its_own_real():
    words = np.full(5, 2**63, np.uint64)
    reals = [dyadic(Fraction(1, 3)), dyadic(Fraction(1)), dyadic(Fraction(2, 3))]
    which = np.array([0, 2, 1, 2, 0])
    assert below_each(words, which, reals, Script()).tolist() == [False, True, True, True, False]
    assert below_each(words[:0], which[:0], reals, Script()).tolist() == []


@given(st.fractions(0, 1, max_denominator=2**70), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_two_words_decide_as_the_fraction_that_they_are(fraction, first, second):
    value = Fraction((first << 64) + second, 2**128)
    if abs(value - fraction) > Fraction(1, 2**127):
        wanted = value < fraction
        assert settle(first, dyadic(fraction), Script(second)) == wanted
        assert below(np.array([first], np.uint64), dyadic(fraction), Script(second))[0] == wanted


def test_certain_and_impossible_coins_need_no_luck():
    words = np.array([0, 5, 2**64 - 1], np.uint64)
    assert below(words, dyadic(Fraction(1)), Script()).all()
    assert not below(words, dyadic(Fraction(0)), Script()).any()
    assert below(words, exponential_of(Fraction(0)), Script()).all()


def test_the_last_word_below_almost_one_asks_further():
    almost = 1 - Fraction(1, 2**66)
    last = np.array([2**64 - 1], np.uint64)
    assert below(last, dyadic(almost), Script(0)).tolist() == [True]
    assert below(last, dyadic(almost), Script(2**64 - 1)).tolist() == [False]


@pytest.mark.parametrize("bound", [1, 2, 3, 1000, 2**62 + 1, 2**63])
def test_uniform_integers_lie_below_their_bound(bound):
    drawn = uniform_below(bound, 1000, SeededEntropy(1))
    assert 0 <= drawn.min() <= drawn.max() < bound
    assert len(set(drawn.tolist())) > min(bound, 900) * 0.6


def test_uniform_integers_are_not_the_remainders_of_words():
    """Words modulo 3 * 2^61 would fall below 2^62 three times in four, not two times in three; p-value above 1e-6."""
    drawn = uniform_below(3 << 61, 20_000, SeededEntropy(2))
    assert stats.binomtest(int((drawn < 1 << 62).sum()), 20_000, 2 / 3).pvalue > 1e-6


@pytest.mark.parametrize("bound", [0, -1, 2**63 + 1])
def test_a_bound_without_meaning_is_refused(bound):
    with pytest.raises(UsageError):
        uniform_below(bound, 1, SeededEntropy(1))


def test_a_weighted_choice_inverts_the_distribution_function():
    weights, times = [dyadic(Fraction(1, 2)), dyadic(Fraction(1, 6)), dyadic(Fraction(1, 3))], [1, 3, 1]
    # Cumulative: 3/8, 6/8, 1.
    cuts = [3 << 61, 6 << 61]
    assert weighted_choice(weights, times, Script(0)) == 0
    assert weighted_choice(weights, times, Script(cuts[0] - 2)) == 0
    assert weighted_choice(weights, times, Script(cuts[0] + 1)) == 1
    assert weighted_choice(weights, times, Script(cuts[1] - 2)) == 1
    assert weighted_choice(weights, times, Script(cuts[1] + 1)) == 2
    assert weighted_choice(weights, times, Script(2**64 - 1)) == 2


def test_a_choice_on_the_edge_asks_for_further_bits():
    weights = [exponential_of(Fraction(0)), exponential_of(Fraction(1))]
    edge = 2**328 // (2**200 + floor_exp_minus(Fraction(1), 200))
    first, second = divmod(edge, 2**64)
    assert weighted_choice(weights, [1, 1], Script(first, max(second - 2**20, 0))) == 0
    assert weighted_choice(weights, [1, 1], Script(first, min(second + 2**20, 2**64 - 1))) == 1
