"""What epsilon, delta and the unit mean for one dataset, in words: from the public card and the accounts alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from stead.core.messages import AccountView
from stead.core.schema import DatasetCard, Schema
from stead.privacy.meaning import detected, exposed, guessed, posterior, together

EPSILONS: Final = (0.1, 0.5, 1.0, 2.0, 4.0)
FALSE_ALARMS: Final = 0.05
SUSPICIONS: Final = (0.01, 0.1, 0.5)
GROUPS: Final = (2, 4)

_EXPOSED_WARNING: Final = 0.01
"""People exposed on average from which on delta deserves a second look."""


class Conclusion(msgspec.Struct, frozen=True):
    """What one epsilon lets the best attacker conclude about one person; probabilities.

    Attributes:
        epsilon: nats.
        from_half: at most so sure, who was 50 % sure.
        from_tenth: at most so sure, who was 10 % sure.
        from_hundredth: at most so sure, who was 1 % sure.
        detected: present people found, at most, by a test with 5 % false alarms.
        guessed: present or absent guessed right, at most.
    """

    epsilon: float
    from_half: float
    from_tenth: float
    from_hundredth: float
    detected: float
    guessed: float


class Account(msgspec.Struct, frozen=True):
    """An account and what its whole limit means.

    Attributes:
        account: its name.
        epsilon_limit: what it may come to.
        epsilon_spent: what it has come to.
        epsilon_left: the difference.
        delta: of the promise.
        disclosures: releases without differential privacy, about which epsilon says nothing.
        at_limit: what the limit lets an attacker conclude.
    """

    account: str
    epsilon_limit: float
    epsilon_spent: float
    epsilon_left: float
    delta: float
    disclosures: int
    at_limit: Conclusion


class Group(msgspec.Struct, frozen=True):
    """What people who belong together are promised where each one is promised (epsilon, delta)."""

    size: int
    epsilon: float
    delta: float


class Explanation(msgspec.Struct, frozen=True):
    """What is promised about a dataset's people, and what is not.

    Attributes:
        dataset: its name.
        population: whose budget it is.
        unit: what one protected unit is called.
        protects: the unit in words.
        people: the public size range.
        delta: of the first account.
        exposed: how many people delta alone could expose on average, at the largest public size.
        answers: what one answer of each epsilon lets an attacker conclude.
        accounts: the accounts, their limits and what is left.
        groups: what groups are promised where one person is promised epsilon 1.
        unprotected: what no epsilon covers.
    """

    dataset: str
    population: str
    unit: str
    protects: str
    people: tuple[int, int]
    delta: float
    exposed: float
    answers: tuple[Conclusion, ...]
    accounts: tuple[Account, ...]
    groups: tuple[Group, ...]
    unprotected: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(lines(self))

    def __repr__(self) -> str:
        return str(self)


def explain(card: DatasetCard, accounts: Sequence[AccountView], *, delta: float) -> Explanation:
    """Everything that can be said.

    Args:
        card: the public card.
        accounts: those that the reader may see; the largest promise first.
        delta: at which answers are priced.
    """
    schema = card.schema
    return Explanation(
        dataset=card.name,
        population=schema.population,
        unit=schema.unit,
        protects=_protects(schema),
        people=schema.people,
        delta=delta,
        exposed=exposed(delta, schema.people[1]),
        answers=tuple(conclusion(epsilon, delta) for epsilon in EPSILONS),
        accounts=tuple(_account(view) for view in accounts),
        groups=tuple(Group(size, *together(size, 1.0, delta)) for size in GROUPS),
        unprotected=_unprotected(schema),
    )


def conclusion(epsilon: float, delta: float) -> Conclusion:
    """What one epsilon at ``delta`` lets the best attacker conclude."""
    hundredth, tenth, half = (posterior(prior, epsilon) for prior in SUSPICIONS)
    return Conclusion(epsilon, half, tenth, hundredth, detected(FALSE_ALARMS, epsilon, delta), guessed(epsilon, delta))


def lines(found: Explanation) -> list[str]:
    """The explanation as plain text."""
    least, most = found.people
    one = found.unit
    out = [
        f"{found.dataset}: what is promised about {found.population}",
        "",
        f"Unit      one {one}: {found.protects}.",
        f"          Whoever sees every answer and knows everything but one {one} can hardly tell",
        f"          whether that {one} is in the table, or with which values.",
        "",
        "Epsilon   how much answers may tell about one of them. An attacker's odds grow at most e^epsilon-fold,",
        "          but for delta; so a suspicion grows, and a test finds people who are there, like this:",
        "",
        *_answers(found),
        "",
        f"Delta     {found.delta:g}: the probability with which a promise may fail. Of {least:,} to {most:,}",
        f"          people it could expose {found.exposed:.2g} on average: {_judged(found.exposed)}.",
        "",
        "Groups    people who belong together share one promise, which is weaker: where one person has epsilon 1,",
        f"          {_groups(found)}.",
        "",
        *_accounts(found),
        "",
        "Not protected, whatever epsilon is:",
        *(f"  - {each}" for each in found.unprotected),
    ]
    return [line.rstrip() for line in out]


def _answers(found: Explanation) -> list[str]:
    header = ("epsilon", "50 % becomes", "10 % becomes", "1 % becomes", "found at 5 % false alarms", "guessed right")
    return _table(header, [_cells(each) for each in found.answers])


def _cells(each: Conclusion) -> tuple[str, ...]:
    chances = (each.from_half, each.from_tenth, each.from_hundredth, each.detected, each.guessed)
    return (f"{each.epsilon:g}", *(f"at most {percent(chance)}" for chance in chances))


def percent(chance: float) -> str:
    """A probability for people, rounded up so that "at most" stays true: ``73.2 %``."""
    tenths = -(-chance * 1000 // 1) / 10
    return f"{min(100.0, tenths):.1f} %"


def _accounts(found: Explanation) -> list[str]:
    rows = [
        (
            each.account,
            f"{each.epsilon_spent:.3f}",
            f"{each.epsilon_limit:g}",
            f"{each.epsilon_left:.3f}",
            f"{each.delta:g}",
            percent(each.at_limit.from_half),
            percent(each.at_limit.detected),
            str(each.disclosures),
        )
        for each in found.accounts
    ]
    header = ("account", "spent", "of", "left", "delta", "50 % becomes", "found at 5 %", "disclosures")
    told = sum(each.disclosures for each in found.accounts if each.account.startswith("population/"))
    out = ["Accounts  all answers together stay within these; percentages say what the whole limit would mean:", ""]
    out += _table(header, rows) if rows else ["  (no account)"]
    if told:
        releases = "1 release has" if told == 1 else f"{told} releases have"
        out += ["", f"          {releases} gone out without differential privacy: epsilon says nothing about them."]
    return out


def _groups(found: Explanation) -> str:
    return "; ".join(f"{each.size} people have epsilon {each.epsilon:g}" for each in found.groups)


def _judged(people: float) -> str:
    if people < _EXPOSED_WARNING:
        return "far below one"
    return "more than a hundredth of a person, so choose a smaller delta for the next accounts"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)
    ]


def _protects(schema: Schema) -> str:
    if schema.person is None:
        return "one row; whoever has several rows is a group (see Groups)"
    if schema.rows_per_person == 1:
        return "one row of theirs, the only one that is ever used"
    return f"all of theirs, up to {schema.rows_per_person:,} rows, more of which are never used"


def _unprotected(schema: Schema) -> tuple[str, ...]:
    return (
        f"what is true of {schema.population} as a whole, though somebody may apply it to one {schema.unit}",
        "facts about groups: a family, a ward, everybody with a rare disease (see Groups)",
        "what is public anyway: the card, its bounds and categories, the size range",
        "the rows against their owner, who holds them",
        "how long an answer takes, and how much is sent",
        "the same people under another population's name, or at another site: epsilons add up",
        "what is disclosed without differential privacy",
    )


def _account(view: AccountView) -> Account:
    return Account(
        account=view.account,
        epsilon_limit=view.epsilon_limit,
        epsilon_spent=view.epsilon_spent,
        epsilon_left=max(0.0, view.epsilon_limit - view.epsilon_spent),
        delta=view.delta,
        disclosures=view.disclosures,
        at_limit=conclusion(view.epsilon_limit, view.delta),
    )
