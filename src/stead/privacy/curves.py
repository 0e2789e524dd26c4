"""Rényi curves of mechanisms known by the range of their privacy loss, tight among all with that range.

=========== ==============================================================================
symbol      meaning
=========== ==============================================================================
a           the order, above 1
loss        log P(y)/Q(y) of a result y, for P and Q on neighbouring tables
epsilon     the loss lies in [-epsilon, epsilon]: pure differential privacy
eta         the loss lies in an interval of length eta, wherever that lies: bounded range
h(u)        log(sinh(u/2) / (u/2)), which is u^2 / 24 for small u
=========== ==============================================================================

The ratio P/Q has mean one under Q and ``r -> r^a`` is convex: the moment is largest if the ratio takes the two ends of
its interval only. The rest is arithmetic (``docs/theory/choosing.md``), written so that no digits cancel.

References: Bun, Steinke, "Concentrated Differential Privacy" (2016), proposition 3.3; Mironov, "Rényi Differential
    Privacy" (2017), proposition 5; Dong, Durfee, Rogers, "Optimal Differential Privacy Composition for Exponential
    Mechanisms" (2020); Cesar, Rogers, "Bounding, Concentrating, and Truncating" (2021), for ``a eta^2 / 8``.
"""

from __future__ import annotations

import math

_LARGEST_EXPONENT = 600.0
_SERIES_BELOW = 0.5


def pure(epsilon: float, order: float) -> float:
    """The most that a mechanism can diverge whose loss lies in [-epsilon, epsilon]; nats.

    ``log((e^(a epsilon) + e^((1-a) epsilon)) / (1 + e^epsilon)) / (a-1)``, below ``min(epsilon, a epsilon^2 / 2)``.
    """
    return randomised_response(epsilon, 2, order)


def randomised_response(epsilon: float, options: int, order: float) -> float:
    """The divergence between two answers' reports, exactly: the truth is ``e^epsilon`` as likely as any other option.

    ``log((e^(a epsilon) + e^((1-a) epsilon) + k - 2) / (e^epsilon + k - 1)) / (a-1)`` for k options.
    """
    if order * epsilon < _LARGEST_EXPONENT:
        # The numerator less the denominator is (e^(a epsilon) - 1)(1 - e^((1-a) epsilon)).
        excess = math.expm1(order * epsilon) * -math.expm1((1 - order) * epsilon) / (math.exp(epsilon) + options - 1)
        return min(epsilon, math.log1p(excess) / (order - 1))
    # Beside e^(a epsilon) the numerator's other terms are below one part in 2^800.
    return epsilon - math.log1p((options - 1) * math.exp(-epsilon)) / (order - 1)


def bounded_range(eta: float, order: float) -> float:
    """The most that a mechanism can diverge whose loss lies in some interval of length eta; nats.

    ``(a h(a eta) - (a-1) h((a-1) eta) - h(eta)) / (a-1)``, below ``min(eta, a eta^2 / 8)``.
    """
    moment = order * _h(order * eta) - (order - 1) * _h((order - 1) * eta) - _h(eta)
    return min(eta, order * eta**2 / 8, moment / (order - 1))


def _h(width: float) -> float:
    half = width / 2
    if half > _SERIES_BELOW:
        return half - math.log(width) + math.log1p(-math.exp(-width))
    square, term, excess = half * half, 1.0, 0.0
    for degree in range(2, 18, 2):
        term *= square / (degree * (degree + 1))
        excess += term
    return math.log1p(excess)
