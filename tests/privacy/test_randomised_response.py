"""Randomised response: its law, its exact price, and estimates without bias."""

import math

import laws
import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld

from stead.core.entropy import SeededEntropy
from stead.errors import UsageError
from stead.privacy.events import RandomisedResponse, Repeated
from stead.privacy.randomised_response import RandomisedResponseMechanism
from stead.privacy.renyi import renyi
from stead.privacy.reserve import epsilon_at


def law(epsilon, options, truth):
    weights = np.ones(options)
    weights[truth] = math.exp(epsilon)
    return weights / weights.sum()


@pytest.mark.parametrize("order", [1.5, 2, 9])
@pytest.mark.parametrize(("epsilon", "options"), [(0.1, 2), (1.0, 2), (1.0, 7), (3.0, 100)])
def test_the_price_is_exact(epsilon, options, order):
    exact = laws.divergence(law(epsilon, options, 0), law(epsilon, options, 1), order)
    assert renyi(RandomisedResponseMechanism(epsilon, options).event(), order) == pytest.approx(exact, rel=1e-8)
    # The one that is absent counts as the first option: any change is between two options.
    assert exact == pytest.approx(laws.divergence(law(epsilon, options, 1), law(epsilon, options, 0), order))


@pytest.mark.parametrize(("epsilon", "options", "times", "delta"), [(0.3, 2, 30, 1e-5), (1.0, 5, 8, 1e-4)])
def test_many_reports_cost_a_little_more_than_by_google_s_distribution(epsilon, options, times, delta):
    event = Repeated(RandomisedResponse(epsilon, options), times)
    # Their noise parameter is the chance of a uniform answer instead of the truth.
    uniform = options / (math.exp(epsilon) + options - 1)
    exact = pld.from_randomized_response(uniform, options).self_compose(times).get_epsilon_for_delta(delta)
    found = epsilon_at(event, delta, range(2, 300))
    assert exact <= found <= 1.12 * exact


@pytest.mark.parametrize(("epsilon", "options"), [(0.5, 2), (1.0, 6), (5.0, 3), (800.0, 4)])
def test_estimates_have_no_bias(epsilon, options):
    """Warner 1965, for any number of options: from the expected reports the estimate is the truth."""
    mechanism = RandomisedResponseMechanism(epsilon, options)
    truth = np.arange(1, options + 1) * 50
    weights = [law(min(epsilon, 600), options, option) for option in range(options)]
    expected = sum(count * weight for count, weight in zip(truth, weights, strict=True))
    small = math.exp(-epsilon)
    total, gain = 1 + (options - 1) * small, 1 - small
    assert (expected - truth.sum() * small / total) * total / gain == pytest.approx(truth)
    reports = np.repeat(np.arange(options), np.rint(expected).astype(int))
    assert mechanism.estimate(reports)[0] == pytest.approx(truth, abs=4 * total / gain)


@pytest.mark.parametrize(("epsilon", "options"), [(0.5, 2), (1.0, 6), (4.0, 3)])
def test_the_stated_deviation_is_that_of_the_reports(epsilon, options):
    """Wang, Blocki, Li, Jha 2017 (direct encoding): n (k - 2 + e^eps) / (e^eps - 1)^2 for an answer that nobody has."""
    answers = np.full(4000, 1)
    mechanism = RandomisedResponseMechanism(epsilon, options)
    published = 4000 * (options - 2 + math.exp(epsilon)) / (math.exp(epsilon) - 1) ** 2
    worst = mechanism.estimate(mechanism.report(answers, SeededEntropy(0)))[1]
    assert (worst**2 >= published * (1 - 1e-9)).all()
    drawn = np.array([mechanism.estimate(mechanism.report(answers, SeededEntropy(seed)))[0] for seed in range(400)])
    # A variance from 400 draws is within 35 % of the true one, but for 1e-6 of all seeds.
    assert drawn[:, 0].var() == pytest.approx(published, rel=0.35)
    assert np.abs(drawn.mean(axis=0) - [0, 4000, *[0] * (options - 2)]).max() < 5 * worst[0] / 20


def test_reports_are_of_the_list_and_all_answers_are_checked():
    mechanism = RandomisedResponseMechanism(1.0, 3)
    reports = mechanism.report(np.array([0, 1, 2] * 100), SeededEntropy(1))
    assert set(reports.tolist()) == {0, 1, 2}
    assert mechanism.report(np.zeros(0, np.int64), SeededEntropy(1)).size == 0
    for wrong in (-1, 3):
        with pytest.raises(UsageError, match="an answer is one of"):
            mechanism.report(np.array([0, wrong]), SeededEntropy(1))
