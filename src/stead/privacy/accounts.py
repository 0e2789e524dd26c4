"""The rule by which an account decides: Rényi divergence in integer units against caps fixed in advance.

An account holds a target (epsilon at delta) and a short list of orders. A charge is one integer for each order, the
divergence in units of 2^-40 nat rounded up; sums of integers replay exactly. A charge is allowed if some order still
has room under its cap, where each cap spends only delta divided by the number of orders. That this holds for questions
chosen in full knowledge of earlier answers is proven in ``docs/theory/renyi-account.md``.

References: Feldman, Zrnic, "Individual Privacy Accounting via a Rényi Filter" (2021), the Rényi privacy filter;
    Lécuyer, "Practical Privacy Filters and Odometers with Rényi Differential Privacy" (2021), the same at one order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stead.errors import UsageError
from stead.privacy.events import Composed, Repeated
from stead.privacy.renyi import conversion, epsilon_from_renyi, renyi

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stead.privacy.events import PrivacyEvent

UNIT = 2.0**-40
"""One unit of an account, in nats."""

SATURATED = 2**62
"""The amount of an event without a finite bound: above every cap, and two of them still fit 64 bits."""

DEFAULT_ORDERS = (4, 7, 12, 24, 48, 65536)
"""Five for noise that adds up, at most 15 % more of it than all integer orders would need (at delta 1e-6, epsilon 0.5
to 10), and one at which an event that is purely epsilon-private costs hardly more than its epsilon."""

_CAP_ROUNDING = 2.0**-30


@dataclass(frozen=True, slots=True)
class Target:
    """What an account promises its people: (epsilon, delta) over everything that it ever allows.

    Args:
        epsilon: nats, positive.
        delta: in (0, 1).
        orders: integer Rényi orders, rising, fixed at the account's registration.

    Raises:
        UsageError: a number is out of its range, or no order can pay for anything.
    """

    epsilon: float
    delta: float
    orders: tuple[int, ...] = DEFAULT_ORDERS

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < math.inf or not 0 < self.delta < 1:
            raise UsageError(f"a target needs epsilon > 0 and 0 < delta < 1, not ({self.epsilon}, {self.delta}).")
        orders = self.orders
        if not orders or list(orders) != sorted(set(orders)) or not all(isinstance(a, int) and a > 1 for a in orders):
            raise UsageError(f"orders are rising integers above 1, not {orders}.")
        if max(caps(self)) <= 0:
            raise UsageError(
                f"epsilon {self.epsilon} at delta {self.delta} leaves no room at the orders {orders}.",
                hint="register the account with larger orders, or a larger epsilon",
            )


def amounts(event: PrivacyEvent, orders: Sequence[int]) -> tuple[int, ...]:
    """What an event costs at each order, in units.

    Each noisy vector is rounded up by itself, so that a whole costs exactly the sum of its parts, however it is split.

    Returns:
        One integer for each order, at most ``SATURATED``, which no account can pay.
    """
    return tuple(units(event, order, renyi) for order in orders)


def units(event: PrivacyEvent, order: int, divergence: Callable[[PrivacyEvent, float], float]) -> int:
    """What an event costs at one order by a divergence of its parts, in units; at most ``SATURATED``."""
    return min(_units(event, order, divergence), SATURATED)


def caps(target: Target) -> tuple[int, ...]:
    """The most that may be spent at each order, in units, rounded down; negative where an order can pay for nothing."""
    delta = target.delta / len(target.orders)
    rooms = (target.epsilon - conversion(order, delta) for order in target.orders)
    return tuple(min(math.floor((room - _CAP_ROUNDING) / UNIT), SATURATED - 1) for room in rooms)


def allows(target: Target, spent: Sequence[int], amounts: Sequence[int]) -> bool:
    """Whether a charge fits: at some order, what was spent and the charge stay within the cap.

    Args:
        target: the account's promise.
        spent: what the account has paid so far at each of its orders, in units.
        amounts: what it is asked to pay, in units.

    Raises:
        UsageError: the lengths differ from the target's orders, or an amount is negative.
    """
    if not len(target.orders) == len(spent) == len(amounts) or min(*spent, *amounts, 0) < 0:
        raise UsageError(f"an account of {len(target.orders)} orders pays one whole amount at each of them.")
    return any(paid + amount <= cap for paid, amount, cap in zip(spent, amounts, caps(target), strict=True))


def epsilon_spent(target: Target, spent: Sequence[int]) -> float:
    """The epsilon, at the target's delta, that the spent divergences imply; 0.0 when nothing was spent."""
    if not any(spent):
        return 0.0
    delta = target.delta / len(target.orders)
    return min(
        math.inf if paid >= SATURATED else epsilon_from_renyi(paid * UNIT, order, delta)
        for order, paid in zip(target.orders, spent, strict=True)
    )


def least_price(target: Target) -> float:
    """The epsilon that the smallest possible charge of a fresh account comes to, at the target's delta.

    The conversion from a divergence has a floor at each order: the first charge shows at least this much, however
    small it is, and later ones add what they are.
    """
    return epsilon_spent(target, (1,) * len(target.orders))


def _units(event: PrivacyEvent, order: int, divergence: Callable[[PrivacyEvent, float], float]) -> int:
    match event:
        case Repeated(inner, times):
            return times * _units(inner, order, divergence)
        case Composed(events):
            return sum(_units(inner, order, divergence) for inner in events)
        case _:
            amount = divergence(event, order) / UNIT
            return SATURATED if amount >= SATURATED else math.ceil(amount)
