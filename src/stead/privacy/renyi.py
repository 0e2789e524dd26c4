"""What an event costs: an upper bound on its Rényi divergence between neighbouring tables, in nats.

=========== ==============================================================================
symbol      meaning
=========== ==============================================================================
a           the order, above 1
D_a(P||Q)   Rényi divergence: log E_Q[(P/Q)^a] / (a - 1)
P, Q        what is released with and without the one person; Q is symmetric around zero
q           sampling rate
tau         twice the largest log-ratio, on one coordinate, of a sum of discrete Gaussians
            to the discrete Gaussian of the same variance
=========== ==============================================================================

Bounds are evaluated in log space and rounded up by one part in 2^30, far above the error of the arithmetic. They grow
with the rate, the sensitivity, the number of steps and the order, and shrink with the noise. Above order 1024 sampling
amplifies nothing here: the whole event's bound holds for its sample too, and needs no sum of so many terms.
Derivations: ``docs/theory/sampled-sum-of-discrete-gaussians.md``; for choices ``docs/theory/choosing.md`` and
``docs/theory/sparse-vector.md``, for keys ``docs/theory/keys.md``, for reports ``docs/theory/randomised-response.md``.

References: Mironov, "Rényi Differential Privacy" (2017); Canonne, Kamath, Steinke (2020); Mironov, Talwar, Zhang,
    "Rényi Differential Privacy of the Sampled Gaussian Mechanism" (2019); Kairouz, Liu, Steinke (2021).
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, assert_never

import numpy as np

from stead.errors import UnsupportedOperation, UsageError
from stead.privacy.curves import bounded_range, pure, randomised_response
from stead.privacy.events import (
    AboveThreshold,
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    ExponentialChoice,
    Gaussian,
    NoisyMax,
    PartitionSelection,
    PermuteAndFlip,
    PrivacyEvent,
    RandomisedResponse,
    Repeated,
    Sampled,
    SumOfDiscreteGaussians,
    ThresholdedGaussian,
    ThresholdedLaplace,
)
from stead.privacy.slack import slack

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDING = 1 + 2.0**-30
_LARGEST_ORDER = 2**16
_LARGEST_AMPLIFIED_ORDER = 1024  # above it sampling is priced as if everybody took part: a sum has a term per order
_SMALLEST_SHARE = 0.5
_TINY_SHIFT = 2.0**-18


def renyi(event: PrivacyEvent, order: float) -> float:
    """The Rényi divergence that one person's presence can cause, at most.

    Args:
        event: what was done.
        order: above 1; fractional orders are for reports, accounts use integers.

    Returns:
        Nats, for adding and for removing a person alike; ``inf`` when the event gives no such bound.

    Raises:
        UsageError: the order is not in (1, 65536].
        UnsupportedOperation: sampling around an event that is not one noisy vector.
    """
    divergence = beside_slack(event, order)
    return divergence if slack(event) == 0 else math.inf


def beside_slack(event: PrivacyEvent, order: float) -> float:
    """The Rényi divergence of what an event shows unless its slack strikes; ``renyi`` for events without slack.

    Args:
        event: what was done.
        order: above 1.

    Raises:
        UsageError: the order is not in (1, 65536].
        UnsupportedOperation: sampling around an event that is not one noisy vector.
    """
    if not 1 < order <= _LARGEST_ORDER:
        raise UsageError(f"a Rényi order lies above 1 and at most {_LARGEST_ORDER}, not {order}.")
    return _ROUNDING * _divergence(event, order)


def epsilon_from_renyi(divergence: float, order: float, delta: float) -> float:
    """The epsilon at ``delta`` that a Rényi divergence at one order implies.

    Args:
        divergence: nats.
        order: above 1.
        delta: in (0, 1).

    Returns:
        Nats, never negative.

    References: Canonne, Kamath, Steinke (2020), proposition 12; Asoodeh et al., "A Better Bound Gives a Hundred
        Rounds" (2020), equation 20; Balle et al., "Hypothesis Testing Interpretations and Rényi Differential Privacy"
        (2020).
    """
    return max(0.0, divergence + conversion(order, delta))


def conversion(order: float, delta: float) -> float:
    """What ``epsilon_from_renyi`` adds to a divergence at ``order`` to give epsilon at ``delta``."""
    return math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)


def _divergence(event: PrivacyEvent, order: float) -> float:
    match event:
        case DiscreteGaussian(sigma, sensitivity) | Gaussian(sigma, sensitivity):
            # The discrete Gaussian is bounded by the continuous one: Canonne et al. 2020, proposition 5.
            return order * (sensitivity / sigma) ** 2 / 2
        case DiscreteLaplace():
            return _discrete_laplace(event, order)
        case ExponentialChoice() | PermuteAndFlip() | NoisyMax() | AboveThreshold() | RandomisedResponse():
            return _choice(event, order)
        case PartitionSelection() | ThresholdedGaussian() | ThresholdedLaplace():
            return _keys(event, order)
        case SumOfDiscreteGaussians():
            return _sum_of_discrete_gaussians(event, order)
        case Sampled():
            return _sampled(event, order)
        case Repeated(inner, times):
            return times * _divergence(inner, order)
        case Composed(events):
            return math.fsum(_divergence(inner, order) for inner in events)
        case _ as never:  # pragma: no cover
            assert_never(never)


def _choice(
    event: ExponentialChoice | PermuteAndFlip | NoisyMax | AboveThreshold | RandomisedResponse, order: float
) -> float:
    match event:
        case ExponentialChoice(scale, spread):
            return bounded_range(spread / scale, order)
        case PermuteAndFlip(scale, spread) | NoisyMax(scale, spread):
            # Neither has a range of length spread / scale: each is charged as any pure mechanism is.
            return pure(spread / scale, order)
        case AboveThreshold(threshold_scale, answer_scale, sensitivity, spread, positives):
            # Lyu, Su, Li 2017: the thresholds' noise counts once, the answers' once for each positive.
            return pure(sensitivity / threshold_scale + positives * (spread / answer_scale), order)
        case RandomisedResponse(epsilon, options):
            return randomised_response(epsilon, options, order)


def _keys(event: PartitionSelection | ThresholdedGaussian | ThresholdedLaplace, order: float) -> float:
    """What the keys that others have too show; each of a person's keys has its own noise."""
    match event:
        case PartitionSelection(epsilon, _, keys):
            return keys * pure(epsilon, order)
        case ThresholdedGaussian(sigma, _, each, keys):
            return order * keys * (each / sigma) ** 2 / 2
        case ThresholdedLaplace(scale, _, each, keys):
            return keys * _discrete_laplace(DiscreteLaplace(scale, each), order)


def _discrete_laplace(event: DiscreteLaplace, order: float) -> float:
    """Exact for one coordinate moved by the whole sensitivity, which is the worst of all integer shifts.

    With r = exp(-1/scale) and shift s, sum_x p(x)^a p(x-s)^(1-a) = A exp((a-1) s/scale) + B exp(-a s/scale),
    B = (1-r)/(1+r) (1/(1-r) - 1/(1-r^(2a-1))), A = 1 - B. Its logarithm is convex in s and zero at s = 0, so moving
    several coordinates costs no more than moving one by the sum.
    """
    rate = 1 / event.scale
    shift = event.sensitivity * rate
    small = -math.expm1(-rate)  # 1 - r
    pure = min(shift, order * shift**2 / 2)  # what exp(-shift)-bounded ratios cost at most (Bun, Steinke 2016)
    if shift < _TINY_SHIFT:
        return pure
    weight = (1 - small / -math.expm1(-(2 * order - 1) * rate)) / (1 + math.exp(-rate))  # B
    rise = (order - 1) * shift
    # log(A e^rise + B e^(-order shift)), written as a log1p so that small divergences keep their digits.
    if rise < 1:
        change = (1 - weight) * math.expm1(rise) + weight * math.expm1(-order * shift)
        return min(pure, math.log1p(change) / (order - 1))
    return min(pure, (rise + math.log1p(weight * math.expm1(-order * shift - rise))) / (order - 1))


def _sum_of_discrete_gaussians(event: SumOfDiscreteGaussians, order: float) -> float:
    """The smaller of two bounds for a shift of L2 norm ``l2`` on at most ``moved`` coordinates."""
    plain = (event.l2 / event.sigma_share) ** 2 / event.shares
    if event.l2 == 0 or event.shares == 1:
        return order * plain / 2
    if event.sigma_share < _SMALLEST_SHARE:
        return math.inf
    tau = _tau(event.sigma_share, event.shares)
    # An integer vector of norm l2 has at most l2^2 coordinates that are not zero.
    moved = min(float(event.dimension), math.floor(event.l2**2))
    pointwise = order * plain / 2 + tau * moved * (order - 0.5) / (order - 1)
    concentrated = order * (math.sqrt(plain) + tau * math.sqrt(moved)) ** 2 / 2
    return min(pointwise, concentrated)


def _tau(sigma_share: float, shares: int) -> float:
    """10 sum_{k=1}^{shares-1} exp(-2 pi^2 sigma^2 k / (k+1)); terms from 2^10 on are bounded by the one there."""
    decay = -2 * (math.pi * sigma_share) ** 2
    head = min(shares, 1024)
    total = math.fsum(math.exp(decay * k / (k + 1)) for k in range(1, head))
    return 10 * (total + (shares - head) * math.exp(decay * head / (head + 1)))


def _sampled(event: Sampled, order: float) -> float:
    inner = event.event
    parts = inner.events if isinstance(inner, Composed) else (inner,)
    if not all(
        isinstance(part, DiscreteGaussian | DiscreteLaplace | SumOfDiscreteGaussians | Gaussian) for part in parts
    ):
        raise UnsupportedOperation(
            "sampling is priced around one noisy vector, not around sampled, repeated or nested events.",
            hint="put the sampling innermost: Repeated(Sampled(rate, event), times)",
        )
    whole = partial(_divergence, inner)
    if event.rate == 1 or order > _LARGEST_AMPLIFIED_ORDER:
        return whole(order)
    if float(order).is_integer():
        return _binomial(event.rate, whole, int(order))
    if isinstance(inner, Gaussian):
        return _sampled_gaussian(event.rate, inner, order)
    # (a-1) D_a is convex in a: between integers it lies below the chord.
    low, high = math.floor(order), math.ceil(order)
    left = (low - 1) * _binomial(event.rate, whole, low) if low > 1 else 0.0
    right = (high - 1) * _binomial(event.rate, whole, high)
    return (left + (order - low) * (right - left)) / (order - 1)


def _binomial(rate: float, whole: Callable[[float], float], order: int) -> float:
    """log(1 + sum_k C(a,k) (1-q)^(a-k) q^k (exp((k-1) D_k) - 1)) / (a-1): all terms positive, none cancels."""
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    terms: list[float] = []
    for k in range(2, order + 1):
        gain = (k - 1) * whole(k)
        if gain == math.inf:
            return math.inf
        if gain > 0:
            choose = math.log(math.comb(order, k)) + k * log_rate + (order - k) * log_rest
            terms.append(choose + gain + math.log(-math.expm1(-gain)))
    if not terms:
        return 0.0
    largest = max(terms)
    log_sum = largest + math.log(math.fsum(math.exp(term - largest) for term in terms))
    log_moment = math.log1p(math.exp(log_sum)) if log_sum < 0 else log_sum + math.log1p(math.exp(-log_sum))
    return min(log_moment / (order - 1), whole(order))


def _sampled_gaussian(rate: float, event: Gaussian, order: float) -> float:
    """The moment of Mironov, Talwar and Zhang (2019), section 3.3, at a fractional order.

    E_z[((1-q) + q exp((2z-1) / (2 sigma^2)))^a] over z ~ N(0, sigma^2), by the trapezoid rule: the integrand is
    analytic with Gaussian tails, so that the rule's error is below exp(-150) at this step.
    """
    if event.sensitivity == 0:
        return 0.0
    sigma = event.sigma / event.sensitivity
    step = min(sigma, sigma**2) / 8
    points = np.arange(-14 * sigma, order + 14 * sigma, step)
    log_ratio = np.logaddexp(math.log1p(-rate), math.log(rate) + (2 * points - 1) / (2 * sigma**2))
    exponents = order * log_ratio - points**2 / (2 * sigma**2) + math.log(step / (sigma * math.sqrt(2 * math.pi)))
    largest = float(exponents.max())
    log_moment = largest + math.log(math.fsum(np.exp(exponents - largest).tolist()))
    return max(0.0, log_moment) / (order - 1)
