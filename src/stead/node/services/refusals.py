"""What a scientist is told when an account does not cover a question: numbers of the scientist's own accounts only."""

from __future__ import annotations

import math

from stead.errors import BudgetExceeded
from stead.node.services.payers import kind_of, population_of
from stead.privacy.reserve import SLACK_UNIT, Price, Reserved, epsilon_spent


def beyond(account: str, promise: Reserved, spent: Price, cost: Price, *, what: str, where: str) -> BudgetExceeded:
    """The refusal of a charge that an account cannot pay.

    Args:
        account: its id.
        promise: what it keeps.
        spent: what it has paid.
        cost: what it was asked to pay.
        what: the plan's kind, for the text ("query").
        where: the node, for the text ("at North Hospital").
    """
    if spent.slack + cost.slack > promise.most_slack:
        return _beyond_reserve(account, promise, spent, cost, what=what, where=where)
    if kind_of(account) in ("population", "period"):
        alone = shown(epsilon_spent(promise, cost), up=True)
        return BudgetExceeded(
            f"this {what} costs epsilon {alone}; {_shared(account)} {where} does not cover it.",
            hint="ask with more noise, or ask the owner" + _or_wait(account),
        )
    before = epsilon_spent(promise, spent)
    more = epsilon_spent(promise, spent + cost) - before
    left = max(promise.target.epsilon - before, 0.0)
    return BudgetExceeded(
        f"this {what} costs epsilon {shown(more, up=True)}; {_own(account)} has epsilon {shown(left, up=False)} "
        f"left {where}.",
        hint="ask with more noise (a wider `within`, a smaller epsilon), or ask the owner for more",
    )


def shown(epsilon: float, *, up: bool) -> str:
    """Two decimals, or two significant digits of a small number; a cost is rounded up, what is left is rounded down."""
    if math.isinf(epsilon):
        return "infinite"
    digits = 2 if epsilon >= 0.1 or epsilon <= 0 else 1 - math.floor(math.log10(epsilon))
    scaled = epsilon * 10**digits
    # Amounts are rounded up in units far below what is shown; those must not turn 0.75 into 0.76.
    whole = math.ceil(scaled - 1e-6) if up else math.floor(scaled + 1e-6)
    return f"{whole / 10**digits:.{digits}f}"


def _beyond_reserve(
    account: str, promise: Reserved, spent: Price, cost: Price, *, what: str, where: str
) -> BudgetExceeded:
    needs = f"this {what} may show keys that nobody listed, with probability {cost.slack * SLACK_UNIT:.2g}"
    shared = kind_of(account) in ("population", "period")
    name = _shared(account) if shared else _own(account)
    if promise.reserve == 0:
        held = "has no reserve for that"
    elif shared:
        held = "does not cover it"
    else:
        left = max(promise.reserve - spent.slack * SLACK_UNIT, 0.0)
        held = f"has {left:.2g} left of its reserve"
    part = promise.target.delta / 10
    return BudgetExceeded(
        f"{needs}; {name} {held} {where}.",
        hint=f"list the keys; or the owner gives the account a reserve: stead budget set {account!r} --epsilon "
        f"{promise.target.epsilon:g} --reserve {part:.2g}" + (_or_wait(account) if promise.reserve else ""),
    )


def _own(account: str) -> str:
    kind, _, rest = account.partition("/")
    return f'{kind} "{rest.partition("@")[0]}"{_cell(account)}'


def _shared(account: str) -> str:
    name = population_of(account).partition("#")[0]
    text = f'the budget of population "{name}"{_cell(account)}'
    if kind_of(account) != "period":
        return text
    start = account.partition("/")[2].partition("@")[0]
    return f"{text} for the period from {start}"


def _cell(account: str) -> str:
    """The cell that an account is of, where the people are partitioned."""
    _, has, cell = population_of(account).partition("#")
    return f" ({cell})" if has else ""


def _or_wait(account: str) -> str:
    return ", or wait for the next period" if kind_of(account) == "period" else ""
