"""When a budget does not cover a question: which wider error it would cover, found by previews, which are free."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from stead.client.preview import Preview
from stead.core.messages import Quote
from stead.errors import BudgetExceeded, SteadError

_WIDEST: Final = 1.0
_HALVINGS: Final = 3


@contextmanager
def saying_what_fits(preview: Callable[[float], Preview], within: float | None) -> Iterator[None]:
    """Give a ``BudgetExceeded`` raised inside a hint with numbers: a ``within`` that can be paid, and its price.

    Args:
        preview: the question's preview at another ``within``.
        within: what was asked for; ``None`` where the noise itself was given.
    """
    try:
        yield
    except BudgetExceeded as error:
        hint = _hint(preview, within) if within is not None else ""
        if hint:
            error.hint = hint
        raise


def _hint(preview: Callable[[float], Preview], within: float) -> str:
    try:
        found = _least(preview, within)
    except SteadError:
        return ""  # the refusal itself is what the caller must hear
    if found is None:
        return "no wider `within` fits what is left; ask the owner for more"
    wider, cost = found
    return f"`within={wider:g}` costs epsilon {cost:.2f}"


def _least(preview: Callable[[float], Preview], within: float) -> tuple[float, float] | None:
    """The least ``within`` (to two digits, roughly) that the caller's accounts can pay, and what it costs them."""
    low, high = within, _rounded(2 * within)
    cost = _cost(preview(high))
    while cost is None:
        if high >= _WIDEST:
            return None
        low, high = high, _rounded(min(2 * high, _WIDEST))
        cost = _cost(preview(high))
    for _ in range(_HALVINGS):
        middle = _rounded((low + high) / 2)
        if not low < middle < high:
            break
        price = _cost(preview(middle))
        low, high, cost = (middle, high, cost) if price is None else (low, middle, price)
    return high, cost


def _cost(preview: Preview) -> float | None:
    """What the dearest of the caller's accounts would pay; ``None`` if one cannot."""
    costs = [_paid(quote) for quote in preview.quotes.values()]
    return None if None in costs else max(cost for cost in costs if cost is not None)


def _paid(quote: Quote) -> float | None:
    pairs = list(zip(quote.accounts, quote.accounts_after, strict=True))
    if any(after.epsilon_spent > after.epsilon_limit for _, after in pairs):
        return None
    return max((after.epsilon_spent - before.epsilon_spent for before, after in pairs), default=0.0)


def _rounded(within: float) -> float:
    """Up to two significant digits."""
    step = 10.0 ** (math.floor(math.log10(within)) - 1)
    return round(math.ceil(within / step - 1e-9) * step, 12)
