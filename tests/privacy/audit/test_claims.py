"""A claim is never below the mechanism's exact law, and takes the better of its two readings."""

import math

import laws
import numpy as np
import pytest
from scipy import stats

from stead.privacy.audit.claims import claimed
from stead.privacy.events import (
    AboveThreshold,
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    ExponentialChoice,
    NoisyMax,
    PartitionSelection,
    PermuteAndFlip,
    RandomisedResponse,
    Repeated,
    ThresholdedLaplace,
)


def hockey_stick(p, q, delta):
    """The least epsilon with sum max(p - e^epsilon q, 0) <= delta, by bisection: the definition, for exact laws."""
    low, high = 0.0, 60.0
    for _ in range(100):
        middle = (low + high) / 2
        if np.maximum(p - math.exp(middle) * q, 0).sum() <= delta:
            high = middle
        else:
            low = middle
    return high


@pytest.mark.parametrize("delta", [1e-4, 0.01, 0.1])
@pytest.mark.parametrize(("sigma", "moved"), [(0.7, 1), (2.0, 1), (3.0, 5)])
def test_a_gaussian_claims_no_less_than_its_exact_law(sigma, moved, delta):
    z = np.arange(-200, 201)
    weights = [np.exp(-((z - shift) ** 2) / (2 * sigma**2)) for shift in (0, moved)]
    p, q = (each / each.sum() for each in weights)
    exact = hockey_stick(p, q, delta)
    claim = claimed(DiscreteGaussian(sigma, float(moved)), delta)
    assert exact <= claim <= exact * 1.6 + 0.35


@pytest.mark.parametrize("delta", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("scores", [((0, 0), (1, -1)), ((2, 0), (3, -1)), ((0, 0, 0), (1, -1, 1))])
@pytest.mark.parametrize(
    ("event", "law"),
    [(ExponentialChoice, laws.exponential), (PermuteAndFlip, laws.permute_and_flip), (NoisyMax, laws.noisy_max)],
)
def test_choices_claim_no_less_than_their_exact_laws(event, law, scores, delta):
    p, q = (np.asarray(law(given, 2.0)) for given in map(np.array, scores))
    claim = claimed(event(2.0, 2), delta)
    assert max(hockey_stick(p, q, delta), hockey_stick(q, p, delta)) <= claim + 1e-9


def test_pure_claims_by_hand():
    assert claimed(DiscreteLaplace(4.0, 2), 0.0) == 0.5
    assert claimed(ExponentialChoice(4.0, 2), 0.0) == 0.5
    assert claimed(AboveThreshold(10.0, 20.0, 1, 2, 3), 0.0) == pytest.approx(0.1 + 3 * 0.1)
    assert claimed(RandomisedResponse(0.7, 4), 0.0) == 0.7
    assert claimed(Composed((RandomisedResponse(0.7, 4), DiscreteLaplace(2.0, 1))), 0.0) == pytest.approx(1.2)
    assert claimed(Repeated(RandomisedResponse(0.2, 2), 3), 0.0) == pytest.approx(0.6)
    assert claimed(DiscreteGaussian(2.0, 1.0), 0.0) == math.inf


def test_slack_is_paid_from_delta():
    selection = PartitionSelection(1.0, 1e-3, 2)
    assert claimed(selection, 1e-3) == math.inf  # two keys of 1e-3 each
    assert claimed(selection, 2.001e-3) == pytest.approx(2.0)
    thresholded = ThresholdedLaplace(2.0, 20, 1, 1)
    tail = math.exp(-19 / 2) / (1 + math.exp(-1 / 2))
    assert claimed(thresholded, tail * 0.99) == math.inf
    assert claimed(thresholded, tail * 1.01) == pytest.approx(0.5)


def test_a_large_delta_needs_less_epsilon():
    claims = [claimed(DiscreteGaussian(2.0, 1.0), delta) for delta in (1e-6, 1e-3, 0.05, 0.3)]
    assert claims == sorted(claims, reverse=True)
    # Total variation of two normals half a sigma apart: at that delta, epsilon 0 is true, and a claim may say it.
    assert claimed(DiscreteGaussian(2.0, 1.0), 2 * stats.norm.cdf(0.25) - 1) >= 0
