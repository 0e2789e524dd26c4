"""The probability with which an event may show anything at all: its delta, apart from its divergence.

A key that only one person has is not there without that person. Where keys are not public, showing them must fail with
some probability, and no Rényi divergence is finite. Such an event is *approximate*: for neighbouring tables its laws
are ``P = (1-s) P1 + s P2`` and ``Q = (1-s) Q1 + s Q2``, where P1 and Q1 have the divergence that ``beside_slack`` gives
and s is the event's slack. How an account pays for both: ``reserve`` and ``docs/theory/keys.md``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stead.privacy.events import (
    Composed,
    PartitionSelection,
    Repeated,
    Sampled,
    ThresholdedGaussian,
    ThresholdedLaplace,
)

if TYPE_CHECKING:
    from stead.privacy.events import PrivacyEvent

_ROUNDING = 1 + 2.0**-30
_SMALLEST = 2.0**-1000  # a tail too small for a float is still a slack


def slack(event: PrivacyEvent) -> float:
    """The probability, at most, that an event shows what its divergence does not bound; 0.0 for most events."""
    match event:
        case PartitionSelection(_, delta, keys):
            return min(1.0, max(_SMALLEST, _ROUNDING * keys * delta))
        case ThresholdedGaussian(sigma, threshold, each, keys):
            return _any_of(keys, gaussian_tail(sigma, threshold - each))
        case ThresholdedLaplace(scale, threshold, each, keys):
            return _any_of(keys, laplace_tail(scale, threshold - each))
        case Repeated(inner, times):
            return min(1.0, times * slack(inner))
        case Composed(events):
            return min(1.0, math.fsum(slack(inner) for inner in events))
        case Sampled(_, inner):
            return slack(inner)
        case _:
            return 0.0


def gaussian_tail(sigma: float, least: int) -> float:
    """An upper bound on the probability that a discrete Gaussian integer is at least ``least``.

    References: Canonne, Kamath, Steinke (2020), section 3, for the shift by one. From sigma + 1/2 on the density
    is convex, so that each weight is below the integral around it, and half a step is enough.
    """
    if least <= 0:
        return 1.0
    shift = 0.5 if least >= sigma + 0.5 else 1.0
    return math.erfc((least - shift) / (sigma * math.sqrt(2))) / 2


def laplace_tail(scale: float, least: int) -> float:
    """The probability that a discrete Laplace integer is at least ``least``, exactly."""
    if least <= 0:
        return 1 - laplace_tail(scale, 1 - least)
    return math.exp(-least / scale) / (1 + math.exp(-1 / scale))


def _any_of(keys: int, single: float) -> float:
    if single >= 1:
        return 1.0
    return min(1.0, max(_SMALLEST, _ROUNDING * -math.expm1(keys * math.log1p(-single))))
