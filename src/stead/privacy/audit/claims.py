"""What an event claims: the epsilon that it promises at a delta, from its price."""

from __future__ import annotations

import math

from stead.privacy.events import (
    AboveThreshold,
    Composed,
    DiscreteLaplace,
    ExponentialChoice,
    NoisyMax,
    PartitionSelection,
    PermuteAndFlip,
    PrivacyEvent,
    RandomisedResponse,
    Repeated,
    ThresholdedLaplace,
)
from stead.privacy.reserve import epsilon_at
from stead.privacy.slack import slack

ORDERS = (*range(2, 65), *range(68, 129, 4), 160, 192, 256)
"""Rényi orders at which a claim is read: integers, as sampled events need them."""


def claimed(event: PrivacyEvent, delta: float) -> float:
    """The smallest epsilon that the event's price promises at ``delta``; nats.

    The better of two readings: a pure epsilon, which holds at every delta from the event's slack on, and the Rényi
    curve at its best order.

    Returns:
        ``inf`` where neither promises anything.
    """
    best = _pure(event) if delta >= slack(event) else math.inf
    if delta > slack(event):
        best = min(best, epsilon_at(event, delta, ORDERS))
    return best


def _pure(event: PrivacyEvent) -> float:  # noqa: PLR0911 - one line for each event
    """The largest privacy loss beside the event's slack; ``inf`` for noise without such a bound."""
    match event:
        case DiscreteLaplace(scale, sensitivity):
            return sensitivity / scale
        case ExponentialChoice(scale, spread) | PermuteAndFlip(scale, spread) | NoisyMax(scale, spread):
            return spread / scale
        case AboveThreshold(threshold_scale, answer_scale, sensitivity, spread, positives):
            return sensitivity / threshold_scale + positives * (spread / answer_scale)
        case RandomisedResponse(epsilon, _):
            return epsilon
        case PartitionSelection(epsilon, _, keys):
            return keys * epsilon
        case ThresholdedLaplace(scale, _, each, keys):
            return keys * each / scale
        case Repeated(inner, times):
            return times * _pure(inner)
        case Composed(events):
            return math.fsum(_pure(inner) for inner in events)
        case _:
            return math.inf
