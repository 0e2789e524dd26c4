"""Looking ahead by an account's own rule: how many more of a charge would fit, and how much noise a promise stands for.

Nothing here decides. ``most`` asks the rule itself, so that a forecast and a refusal never disagree.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from stead.errors import UsageError
from stead.privacy.events import DiscreteGaussian
from stead.privacy.reserve import epsilon_at

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 2**40
"""As far as a forecast looks: more than anybody asks."""

_ORDERS = (*range(2, 64), *(round(2 ** (step / 8)) for step in range(48, 129)))
"""To 65536, from 64 on eight in each doubling: enough for the least epsilon of one event to a fraction of a percent."""

_WIDEST = 2.0**40
_PRECISION = 2.0**-20


def most(fits: Callable[[int], bool], *, limit: int = MOST) -> int | None:
    """The largest number of charges that fit together.

    Args:
        fits: whether so many more are allowed; once false, false for every larger number.
        limit: where to stop looking.

    Returns:
        The number, 0 where not even one fits; ``None`` where ``limit`` fit.
    """
    if fits(limit):
        return None
    low, high = 0, 1
    while fits(high):
        low, high = high, min(2 * high, limit)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def count_of(epsilon: float, delta: float) -> DiscreteGaussian:
    """A count with the least Gaussian noise that gives (epsilon, delta) by itself: one person moves it by one step.

    Args:
        epsilon: nats, of the one question.
        delta: of the one question, in (0, 1).

    Raises:
        UsageError: a number is out of its range, or no noise up to 2^40 steps is enough.
    """
    if not 0 < epsilon < math.inf or not 0 < delta < 1:
        raise UsageError(f"a question states epsilon > 0 at 0 < delta < 1, not ({epsilon}, {delta}).")

    def enough(sigma: float) -> bool:
        return epsilon_at(DiscreteGaussian(sigma, 1.0), delta, _ORDERS) <= epsilon

    high = 1.0
    while not enough(high):
        high *= 2
        if high > _WIDEST:
            raise UsageError(f"no noise up to 2^40 steps gives epsilon {epsilon:g} at delta {delta:g} by itself.")
    low = high / 2
    while enough(low):
        low, high = low / 2, low
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return DiscreteGaussian(high, 1.0)
