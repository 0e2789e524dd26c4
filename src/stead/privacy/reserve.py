"""The rule of an account that pays for events with slack too: a part of its delta is set aside for them.

An account with a reserve promises the same (epsilon, delta) as one without: its divergences have the caps of delta less
the reserve (``accounts``), and the slacks of all its charges together stay within the reserve. That this holds for
questions chosen in full knowledge of earlier answers is proven in ``docs/theory/keys.md``. With a reserve of nothing an
account decides by divergence alone, and an event with slack is more than it can pay.

References: Whitehouse, Ramdas, Rogers, Wu, "Fully-Adaptive Composition in Differential Privacy" (2023), for
    approximate divergences; ``docs/theory/renyi-account.md`` for the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stead.errors import UsageError
from stead.privacy import accounts
from stead.privacy.accounts import Target
from stead.privacy.renyi import beside_slack, conversion
from stead.privacy.slack import slack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stead.privacy.events import PrivacyEvent

SLACK_UNIT = 2.0**-62
"""One unit of a reserve, a probability; all of them together fit 64 bits."""

_CAP_ROUNDING = 1 - 2.0**-30
_USUAL_PART = 10


@dataclass(frozen=True, slots=True)
class Reserved:
    """A promise of which a part of delta is kept for events with slack.

    Args:
        target: the whole promise.
        reserve: the part of the target's delta that slacks may use up; 0 for an account that pays for none.

    Raises:
        UsageError: the reserve is not a part of delta, or what is left of it pays for nothing.
    """

    target: Target
    reserve: float

    def __post_init__(self) -> None:
        if not 0 <= self.reserve < self.target.delta:
            raise UsageError(f"a reserve is a part of delta {self.target.delta}, not {self.reserve}.")
        Target(self.target.epsilon, self.target.delta - self.reserve, self.target.orders)

    @property
    def divergences(self) -> Target:
        """What the account's divergences must keep."""
        return Target(self.target.epsilon, self.target.delta - self.reserve, self.target.orders)

    @property
    def most_slack(self) -> int:
        """The most slack that may be spent, in units, rounded down."""
        return math.floor(_CAP_ROUNDING * self.reserve / SLACK_UNIT)


@dataclass(frozen=True, slots=True)
class Price:
    """What an event costs, or an account has paid.

    Attributes:
        amounts: the divergence at each order, in units of ``accounts.UNIT``.
        slack: in units of ``SLACK_UNIT``.
    """

    amounts: tuple[int, ...]
    slack: int

    def __add__(self, other: Price) -> Price:
        pairs = zip(self.amounts, other.amounts, strict=True)
        return Price(tuple(one + two for one, two in pairs), self.slack + other.slack)


def price(event: PrivacyEvent, orders: Sequence[int]) -> Price:
    """What an event costs at each order, and its slack, both rounded up."""
    amounts = tuple(accounts.units(event, order, beside_slack) for order in orders)
    return Price(amounts, math.ceil(slack(event) / SLACK_UNIT))


def allows(reserved: Reserved, spent: Price, charge: Price) -> bool:
    """Whether a charge fits: some order has room for its divergence, and the reserve has room for its slack.

    Raises:
        UsageError: the lengths differ from the target's orders, or an amount is negative.
    """
    if min(spent.slack, charge.slack) < 0:
        raise UsageError(f"a slack is not negative, as {min(spent.slack, charge.slack)} is.")
    fits = spent.slack + charge.slack <= reserved.most_slack
    return accounts.allows(reserved.divergences, spent.amounts, charge.amounts) and fits


def epsilon_spent(reserved: Reserved, spent: Price) -> float:
    """The epsilon, at the target's delta, that what was spent implies; ``inf`` when its slack is beyond the reserve."""
    if spent.slack > reserved.most_slack:
        return math.inf
    return accounts.epsilon_spent(reserved.divergences, spent.amounts)


def usual(target: Target) -> Reserved:
    """The promise of an account for which nobody said otherwise: a tenth of its delta is the reserve."""
    return Reserved(target, target.delta / _USUAL_PART)


def epsilon_at(event: PrivacyEvent, delta: float, orders: Sequence[float]) -> float:
    """The epsilon at ``delta`` of one event alone, at the best of some orders: for reports and for choosing parameters.

    Returns:
        Nats; ``inf`` where delta is no more than the event's slack.
    """
    left = delta - slack(event)
    if left <= 0:
        return math.inf
    return min(max(0.0, beside_slack(event, order) + conversion(order, left)) for order in orders)
