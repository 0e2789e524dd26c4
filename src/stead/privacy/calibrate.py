"""How much noise a promise needs, and how far noise may lead an answer astray."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from stead.errors import UsageError
from stead.privacy.accounts import DEFAULT_ORDERS, Target, allows, amounts
from stead.privacy.events import Repeated, Sampled, SumOfDiscreteGaussians
from stead.privacy.reserve import usual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LARGEST_MULTIPLIER = 2.0**30
_PRECISION = 2.0**-16


def sigma_for(  # noqa: PLR0913 - every argument is a fact of the run that the noise depends on
    epsilon: float,
    delta: float,
    *,
    rate: float,
    steps: int,
    shares: int,
    dimension: int,
    l2_steps: float,
    orders: Sequence[int] = DEFAULT_ORDERS,
) -> float:
    """The smallest noise multiplier with which an account of this target, usually reserved, pays for the whole run.

    Args:
        epsilon: nats, of the whole run.
        delta: of the whole run.
        rate: probability that a person takes part in a step.
        steps: rounds of the run.
        shares: sites whose noise counts: sites less colluders.
        dimension: length of the gradient.
        l2_steps: the clip norm, in lattice steps.
        orders: the account's Rényi orders.

    Returns:
        Standard deviation of the whole noise in units of the clip norm, to one part in 2^16, rounded up.

    Raises:
        UsageError: no multiplier up to 2^30 is enough.
    """
    target = usual(Target(epsilon, delta, tuple(orders))).divergences
    nothing = (0,) * len(target.orders)

    def enough(multiplier: float) -> bool:
        share = multiplier * l2_steps / math.sqrt(shares)
        step = Sampled(rate, SumOfDiscreteGaussians(share, shares, l2_steps, dimension))
        return allows(target, nothing, amounts(Repeated(step, steps), target.orders))

    high = 1.0
    while not enough(high):
        high *= 2
        if high > _LARGEST_MULTIPLIER:
            raise UsageError(f"no noise keeps {steps} steps within epsilon {epsilon} at delta {delta}.")
    low = high / 2
    while enough(low):
        high, low = low, low / 2
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def joint_multiplier(cells: int, confidence: float = 0.95) -> float:
    """How many sigmas wide each of ``cells`` independent error bars must be to hold all of them at once.

    Raises:
        UsageError: no cells, or a confidence outside (0, 1).

    References: Šidák, "Rectangular confidence regions for the means of multivariate normal distributions" (1967).
    """
    if cells < 1 or not 0 < confidence < 1:
        raise UsageError(f"error bars need a cell and a confidence in (0, 1), not {cells} and {confidence}.")
    # 1 - c^(1/n) through expm1, so that many cells lose no digits; the upper tail by symmetry of the normal.
    miss = -math.expm1(math.log(confidence) / cells)
    return -NormalDist().inv_cdf(miss / 2)


def laplace_half_width(scale: float, cells: int, confidence: float = 0.95) -> int:
    """The least half-width that holds all of ``cells`` independent discrete Laplace noises at once, exactly.

    Args:
        scale: the noise's parameter, in lattice steps.
        cells: how many error bars.
        confidence: probability that every cell's noise lies within its bar.

    Returns:
        Whole steps m: ``Pr[|z| <= m]^cells >= confidence``; ``Pr[|z| > m] = 2 r^(m+1) / (1 + r)``, r = exp(-1/scale).

    Raises:
        UsageError: no cells, a confidence outside (0, 1), or a scale that is not positive and finite.
    """
    if cells < 1 or not 0 < confidence < 1 or not 0 < scale < math.inf:
        raise UsageError(f"error bars need a cell, a confidence in (0, 1), noise: not {cells}, {confidence}, {scale}.")
    miss = -math.expm1(math.log(confidence) / cells)
    steps = scale * (math.log(2 / miss) - math.log1p(math.exp(-1 / scale)))
    return max(0, math.ceil(steps) - 1)


def joint_half_width(sigmas: Sequence[float] | NDArray[np.float64], confidence: float = 0.95) -> NDArray[np.float64]:
    """Half-widths of error bars that hold all cells at once with this confidence.

    Args:
        sigmas: standard deviation of each cell's noise, in any unit.
        confidence: probability that every cell's noise lies within its bar.

    Returns:
        One half-width for each cell, in the unit of ``sigmas``: ``joint_multiplier(cells)`` sigmas. On a lattice add
        one step to make the statement exact: a discrete Gaussian's tail from m on is below the continuous one's from
        m - 1 on (Canonne, Kamath, Steinke 2020, section 3).
    """
    widths = np.asarray(sigmas, dtype=np.float64)
    return widths * joint_multiplier(widths.size, confidence)
