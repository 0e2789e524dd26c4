"""Keys that nobody listed: the published probabilities; prices and slacks that hold for exact laws; no way around."""

import math

import laws
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.entropy import SeededEntropy
from stead.errors import UsageError
from stead.privacy import accounts
from stead.privacy.accounts import DEFAULT_ORDERS, SATURATED, Target, amounts
from stead.privacy.events import (
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    PartitionSelection,
    Repeated,
    ThresholdedGaussian,
    ThresholdedLaplace,
)
from stead.privacy.keys import (
    PartitionSelectionMechanism,
    ThresholdedGaussianMechanism,
    ThresholdedLaplaceMechanism,
)
from stead.privacy.renyi import beside_slack, renyi
from stead.privacy.reserve import Price, Reserved, allows, epsilon_at, epsilon_spent, price, usual
from stead.privacy.slack import gaussian_tail, laplace_tail, slack

PARAMETERS = pytest.mark.parametrize(
    ("epsilon", "delta"), [(1.0, 1e-5), (0.1, 1e-6), (3.0, 1e-10), (0.5, 0.3), (8.0, 1e-3), (math.log(3), 1e-5)]
)
EVENTS = [PartitionSelection(0.5, 1e-8, 3), ThresholdedGaussian(10.0, 80, 1, 4), ThresholdedLaplace(5.0, 90, 2, 2)]
RESERVED = Reserved(Target(3.0, 1e-6), 4e-7)
NOTHING = Price((0,) * len(DEFAULT_ORDERS), 0)


@PARAMETERS
def test_probabilities_are_the_published_closed_form(epsilon, delta):
    mechanism = PartitionSelectionMechanism(epsilon, delta)
    for people in range(400):
        exact = laws.selection(people, epsilon, delta)
        assert mechanism.probability(people) == pytest.approx(exact, rel=1e-9, abs=1e-15)


@PARAMETERS
def test_neighbouring_tables_keep_the_promise_and_use_it_up(epsilon, delta):
    mechanism = PartitionSelectionMechanism(epsilon, delta)
    worst = 0.0
    for people in range(300):
        p, q = mechanism.probability(people + 1), mechanism.probability(people)
        assert p >= q
        worst = max(worst, laws.hockey_stick([p, 1 - p], [q, 1 - q], epsilon))
    assert worst == pytest.approx(delta, rel=1e-6)


@pytest.mark.parametrize("people", [3, 8, 12, 15])
def test_no_thresholded_noise_shows_more_keys(people):
    """Desfontaines et al. 2022: their selection is optimal; the thresholded discrete Laplace comes close."""
    best = PartitionSelectionMechanism(1.0, 1e-5).probability(people)
    for scale in (1.0, 2.0):
        threshold = ThresholdedLaplaceMechanism.of(scale, 1e-5, 1, 1).threshold
        assert laws.laplace_tail(scale, threshold - people) <= best * (1 + 1e-9)


@given(st.floats(0.01, 20), st.floats(1e-12, 0.9), st.integers(1, 60), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_finer_tables_refine_coarser_ones(epsilon, delta, people, seed):
    mechanism = PartitionSelectionMechanism(epsilon, delta)
    real = mechanism._chance(people, mechanism._table(128))
    for bits in (64, 128, 256):
        low, high = real(bits)
        finer_low, finer_high = real(2 * bits)
        assert low << bits <= finer_high
        assert finer_low <= high << bits
        assert 0 <= low <= high <= low + 4


def test_certain_keys_are_always_shown_and_counts_must_occur():
    mechanism = PartitionSelectionMechanism(1.0, 1e-3)
    assert mechanism.shown(np.full(1000, 500), SeededEntropy(1)).all()
    assert mechanism.shown(np.zeros(0, np.int64), SeededEntropy(1)).shape == (0,)
    for release in (
        mechanism.shown,
        ThresholdedGaussianMechanism(3.0, 9).release,
        ThresholdedLaplaceMechanism(3.0, 9).release,
    ):
        for wrong in (np.array([3, 0]), np.ones(3), np.ones((2, 2), np.int64)):
            with pytest.raises(UsageError, match="counts"):
                release(wrong, SeededEntropy(1))


@pytest.mark.parametrize("epsilon", [1e-7, 1e4])
def test_a_table_that_cannot_be_made_is_refused(epsilon):
    with pytest.raises(UsageError, match="epsilon"):
        PartitionSelectionMechanism(epsilon, 1e-9).shown(np.array([1]), SeededEntropy(1))


@pytest.mark.parametrize("least", [-7, 0, 1, 2, 5, 20, 60])
@pytest.mark.parametrize("width", [0.3, 1.0, 4.0, 15.0])
def test_tails_are_bounded_from_above_and_hardly_more(width, least):
    exact = laws.gaussian_tail(width, least)
    assert gaussian_tail(width, least) >= exact * (1 - 1e-9) - 1e-15
    if least > width + 1 > 4 and exact > 1e-12:
        assert gaussian_tail(width, least) <= exact * 1.1
    assert laplace_tail(width, least) == pytest.approx(float(laws.laplace_tail(width, least)), rel=1e-12)


@pytest.mark.parametrize("delta", [1e-9, 1e-5, 0.01, 0.4])
@pytest.mark.parametrize(("each", "keys"), [(1, 1), (3, 10)])
@pytest.mark.parametrize("mechanism", [ThresholdedGaussianMechanism, ThresholdedLaplaceMechanism])
def test_the_threshold_is_the_least_for_its_delta(mechanism, each, keys, delta):
    made = mechanism.of(6.0, delta, each, keys)
    assert slack(made.event(each, keys)) <= delta
    assert made.threshold == 0 or slack(mechanism(6.0, made.threshold - 1).event(each, keys)) > delta


def test_a_delta_without_meaning_has_no_threshold():
    for delta in (0.0, 1.0, math.nan):
        with pytest.raises(UsageError, match="delta"):
            ThresholdedLaplaceMechanism.of(3.0, delta, 1, 1)


@pytest.mark.parametrize("mechanism", [ThresholdedGaussianMechanism, ThresholdedLaplaceMechanism])
def test_shown_counts_are_those_from_the_threshold_on(mechanism):
    counts = np.arange(1, 200)
    shown, noisy = mechanism(8.0, 60).release(counts, SeededEntropy(3))
    assert len(noisy) == shown.sum()
    assert (noisy >= 60).all()
    assert not shown[:5].any()
    assert shown[-5:].all()


def test_what_is_left_beside_the_slack_is_the_noise_of_the_other_keys():
    assert beside_slack(ThresholdedGaussian(10.0, 80, 2, 4), 3) == renyi(DiscreteGaussian(10.0, 4.0), 3)
    one = renyi(DiscreteLaplace(5.0, 2), 3)
    assert beside_slack(ThresholdedLaplace(5.0, 90, 2, 7), 3) == pytest.approx(7 * one)


def joint(tail, own, others):
    """What two keys show, of which the second has ``others`` people and the first has the one person alone."""
    return np.outer([1 - own, own], [1 - tail(others), tail(others)]).ravel()


@pytest.mark.parametrize(("sigma", "threshold"), [(2.0, 5), (3.0, 9), (1.0, 3)])
def test_the_claimed_epsilon_at_delta_holds_for_exact_laws(sigma, threshold):
    """One person with two keys, one shared and one unique, against the table without the person."""

    def tail(count):
        return laws.gaussian_tail(sigma, threshold - count)

    event = ThresholdedGaussian(sigma, threshold, 1, 2)
    for delta in (1.5 * slack(event), 3 * slack(event), min(0.9, 10 * slack(event))):
        epsilon = epsilon_at(event, delta, range(2, 200))
        for others in range(1, 12):
            with_person, without = joint(tail, tail(1), others + 1), joint(tail, 0.0, others)
            assert laws.hockey_stick(with_person, without, epsilon) <= delta


def test_a_delta_below_the_slack_has_no_epsilon():
    assert epsilon_at(PartitionSelection(0.5, 1e-6, 3), 3e-6, (8,)) == math.inf


@pytest.mark.parametrize("event", EVENTS)
def test_accounts_without_a_reserve_never_pay_for_slack(event):
    for whole in (event, Repeated(event, 2), Composed((DiscreteGaussian(50.0, 1.0), event))):
        assert slack(whole) > 0
        assert renyi(whole, 7) == math.inf
        assert set(amounts(whole, DEFAULT_ORDERS)) == {SATURATED}


@pytest.mark.parametrize("event", EVENTS)
def test_a_reserve_of_nothing_decides_by_divergence_alone(event):
    target = Target(3.0, 1e-6)
    bare = Reserved(target, 0.0)
    assert bare.divergences == target
    assert not allows(bare, NOTHING, price(event, DEFAULT_ORDERS))
    assert epsilon_spent(bare, price(event, DEFAULT_ORDERS)) == math.inf
    for sigma in (0.5, 3.0, 30.0):
        charge = price(DiscreteGaussian(sigma, 1.0), DEFAULT_ORDERS)
        assert allows(bare, NOTHING, charge) == accounts.allows(target, NOTHING.amounts, charge.amounts)
        assert epsilon_spent(bare, charge) == accounts.epsilon_spent(target, charge.amounts)


def test_the_usual_reserve_is_a_tenth_of_delta():
    assert usual(Target(2.0, 1e-6)).reserve == pytest.approx(1e-7)


@pytest.mark.parametrize("event", EVENTS)
def test_slacks_add_up(event):
    assert slack(Repeated(event, 5)) == pytest.approx(5 * slack(event))
    assert slack(Composed((event, event, DiscreteGaussian(50.0, 1.0)))) == pytest.approx(2 * slack(event))
    assert slack(Repeated(event, 2**52)) == 1.0


def test_a_tail_too_small_for_a_float_is_still_a_slack():
    assert 0 < slack(ThresholdedGaussian(1.0, 10**6, 1, 1)) < 1e-300
    assert slack(PartitionSelection(1.0, 5e-324, 1)) > 0


def test_a_reserve_pays_for_slack_until_it_is_used_up():
    event = PartitionSelection(0.01, 1e-8, 5)
    spent, granted = NOTHING, 0
    while allows(RESERVED, spent, charge := price(event, DEFAULT_ORDERS)):
        spent, granted = spent + charge, granted + 1
    assert granted == 7  # each has a slack of 5e-8, rounded up, out of 4e-7
    # What has no slack is still paid for.
    assert allows(RESERVED, spent, price(DiscreteGaussian(100.0, 1.0), DEFAULT_ORDERS))
    assert not allows(RESERVED, spent, price(DiscreteGaussian(0.1, 1.0), DEFAULT_ORDERS))


def test_a_reserve_leaves_the_rest_of_delta_to_divergences():
    left = Target(3.0, 1e-6 - 4e-7)
    assert RESERVED.divergences == left
    for sigma in np.geomspace(0.5, 20, 40):
        event = DiscreteGaussian(float(sigma), 1.0)
        charge = price(event, DEFAULT_ORDERS)
        assert charge == Price(amounts(event, DEFAULT_ORDERS), 0)


@pytest.mark.parametrize("reserve", [1e-6, 2e-6, -1e-9, math.nan])
def test_a_reserve_that_is_no_part_of_delta_is_refused(reserve):
    with pytest.raises(UsageError, match="reserve"):
        Reserved(Target(3.0, 1e-6), reserve)


def test_what_is_left_of_delta_must_pay_for_something():
    with pytest.raises(UsageError, match="no room"):
        Reserved(Target(1.0, 1e-6, (15,)), 1e-6 * (1 - 1e-7))


@given(st.lists(st.sampled_from([*EVENTS, DiscreteGaussian(30.0, 1.0)]), max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_what_is_spent_does_not_depend_on_the_order(events, shuffler):
    whole = price(Composed(tuple(events)), DEFAULT_ORDERS)
    shuffler.shuffle(events)
    spent = NOTHING
    for event in events:
        spent += price(event, DEFAULT_ORDERS)
    assert spent.amounts == whole.amounts
    assert whole.slack <= spent.slack <= whole.slack + len(events)


def test_negative_slack_is_refused():
    with pytest.raises(UsageError):
        allows(RESERVED, NOTHING, Price(NOTHING.amounts, -1))
