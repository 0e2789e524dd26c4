"""Choosing by scores: the price holds for the exact law on neighbouring scores; the published utility is reached."""

import math

import laws
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.entropy import SeededEntropy
from stead.errors import UnsupportedOperation, UsageError
from stead.privacy.choices import ExponentialMechanism, NoisyMaxMechanism, PermuteAndFlipMechanism
from stead.privacy.events import ExponentialChoice, NoisyMax, PermuteAndFlip, Sampled
from stead.privacy.renyi import renyi

MECHANISMS = pytest.mark.parametrize(
    ("mechanism", "law", "kind"),
    [
        (ExponentialMechanism, laws.exponential, ExponentialChoice),
        (PermuteAndFlipMechanism, laws.permute_and_flip, PermuteAndFlip),
        (NoisyMaxMechanism, laws.noisy_max, NoisyMax),
    ],
)
SCORES = st.lists(st.integers(-6, 6), min_size=2, max_size=5)
ROUNDING = 1 + 1e-9


@MECHANISMS
def test_events_name_the_choice(mechanism, law, kind):
    assert mechanism(4.0).event(2) == kind(4.0, 2)


@MECHANISMS
@given(SCORES, st.integers(1, 3), st.sampled_from([0.7, 1.5, 4.0]), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_exact_law_keeps_its_price(mechanism, law, kind, scores, spread, scale, chance):
    """A person moves each score by 0 .. spread, or all of them by a shift more: only the spread counts."""
    shift = chance.randint(-3, 3)
    moved = [score + shift + chance.randint(0, spread) for score in scores]
    p, q = law(scores, scale), law(moved, scale)
    assert laws.loss(p, q) <= spread / scale * ROUNDING + 1e-9
    for order in (2, 7, 30):
        price = renyi(kind(scale, spread), order) * ROUNDING + 1e-12
        assert max(laws.divergence(p, q, order), laws.divergence(q, p, order)) <= price


def worst(law, scale, spread, order):
    """The largest divergence over scores of two and three options, moved in every way."""
    found = 0.0
    for size in (2, 3):
        for gap in range(0, 40, 3):
            scores = np.array([gap, *[0] * (size - 1)])
            for moves in np.ndindex(*[2] * size):
                p, q = law(scores, scale), law(scores + spread * np.array(moves), scale)
                found = max(found, laws.divergence(p, q, order), laws.divergence(q, p, order))
    return found


@pytest.mark.parametrize("order", [2, 7, 30])
def test_the_price_of_the_exponential_mechanism_is_reached(order):
    """Two options at the right distance are the worst case: nothing smaller than the curve would do."""
    reached = worst(laws.exponential, 20.0, 10, order)
    price = renyi(ExponentialChoice(20.0, 10), order)
    assert 0.995 * price <= reached <= price
    assert price < 0.8 * renyi(PermuteAndFlip(20.0, 10), order)


@pytest.mark.parametrize(("law", "kind"), [(laws.permute_and_flip, PermuteAndFlip), (laws.noisy_max, NoisyMax)])
def test_the_others_are_not_charged_as_the_exponential_mechanism(law, kind):
    """OpenDP before 0.16 charged permute-and-flip as if it had bounded range; its exact law costs more."""
    assert worst(law, 2.0, 1, 7) > 1.1 * renyi(ExponentialChoice(2.0, 1), 7)
    assert worst(law, 2.0, 1, 7) <= renyi(kind(2.0, 1), 7)


@MECHANISMS
def test_half_the_spread_would_be_too_cheap(mechanism, law, kind):
    """Scores that move in opposite directions, charged as if they moved together."""
    assert worst(law, 2.0, 2, 7) > renyi(kind(2.0, 1), 7)


@MECHANISMS
@pytest.mark.parametrize("seed", range(5))
def test_choices_are_indices_and_follow_their_entropy(mechanism, law, kind, seed):
    scores = np.array([5, -3, 5, 9, 0])
    one, again = (mechanism(3.0).choose(scores, SeededEntropy(seed)) for _ in range(2))
    assert one == again
    assert 0 <= one < 5


@MECHANISMS
def test_only_differences_of_scores_matter_even_at_the_edges(mechanism, law, kind):
    scores = np.array([0, 4, 9, 9])
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max - 9
    for seed in range(20):
        chosen = {mechanism(3.0).choose(scores + start, SeededEntropy(seed)) for start in (0, low, high)}
        assert len(chosen) == 1
    assert mechanism(2.0**40).choose(np.array([low, high, low]), SeededEntropy(1)) == 1


@MECHANISMS
@pytest.mark.parametrize("scores", [np.zeros(0, np.int64), np.zeros((2, 2), np.int64), np.zeros(3)])
def test_what_is_no_list_of_integers_is_refused(mechanism, law, kind, scores):
    with pytest.raises(UsageError, match="scores"):
        mechanism(1.0).choose(scores, SeededEntropy(1))


@MECHANISMS
def test_sampling_around_a_choice_is_refused(mechanism, law, kind):
    """Its law is not symmetric, as the argument for removing a person needs."""
    with pytest.raises(UnsupportedOperation, match="noisy vector"):
        renyi(Sampled(0.5, kind(2.0, 1)), 4)


@MECHANISMS
def test_one_option_is_chosen(mechanism, law, kind):
    assert mechanism(1.0).choose(np.array([-7]), SeededEntropy(1)) == 0


@pytest.mark.parametrize("t", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("size", [2, 5, 7])
def test_the_published_utility_of_the_exponential_mechanism(size, t):
    """Dwork, Roth 2014, theorem 3.11: below best - scale (ln n + t) with probability at most e^-t."""
    for scores in (np.array([0, *[-7] * (size - 1)]), -np.arange(size) * 3):
        p = laws.exponential(scores, 2.0)
        assert p[scores <= -2.0 * (math.log(size) + t)].sum() <= math.exp(-t)


@given(SCORES, st.sampled_from([0.7, 1.5, 4.0]))
@settings(max_examples=60, deadline=None)
def test_permute_and_flip_errs_no_more_than_the_exponential_mechanism(scores, scale):
    """McKenna, Sheldon 2020: never the larger error; and at most scale (ln n) either way."""
    gaps = np.max(scores) - np.array(scores)
    flip, exponential = (float(law(scores, scale) @ gaps) for law in (laws.permute_and_flip, laws.exponential))
    assert flip <= exponential + 1e-12
    assert exponential <= scale * math.log(len(scores)) + 1e-12


def test_permute_and_flip_halves_the_error_in_the_worst_case():
    """McKenna, Sheldon 2020: for two options the errors are as 2 to 1 + e^-x, x the gap in scales."""
    for x in (0.1, 1, 10):
        p, q = (law([0, -100 * x], 100.0) for law in (laws.permute_and_flip, laws.exponential))
        assert q[1] / p[1] == pytest.approx(2 / (1 + math.exp(-x)), rel=1e-9)
