"""``stead budget show`` and ``set``: the accounts, and what they may spend."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from stead.cli.budget.second_opinion import SecondOpinion, pld_option
from stead.cli.owner import next_step, node_option, opened
from stead.cli.style import emit_json, emit_table, json_option, say
from stead.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stead.core.messages import AccountView
    from stead.node.assembly import Node

_KINDS = ("population", "project", "scientist", "period")


@click.command(
    epilog="""\b
Examples:
  stead budget show
  stead budget show --pld --json
"""
)
@pld_option
@node_option
@json_option
def show(pld: bool, node: Path, as_json: bool) -> None:
    """Show every account: a population's, each project's, each scientist's, and each period's.

    The reserve is the part of delta that pays for questions whose keys nobody listed.
    """
    opinion, reports = SecondOpinion(), {}
    with opened(node) as home:
        accounts = home.books.accounts.all()
        reserves = home.books.accounts.reserves()
        if pld:
            from stead.node.services.forecast import Forecasts

            forecasts = Forecasts(home.books.store)
            for each in accounts:
                history = forecasts.history(each.account)
                reports[each.account] = opinion.of(history, each.delta, ledger=each.epsilon_spent)
    if as_json:
        found = []
        for each in accounts:
            used, reserve = reserves[each.account]
            report = {"pld_epsilon": reports[each.account]} if pld else {}
            found.append({**msgspec.structs.asdict(each), "reserve_spent": used, "reserve": reserve, **report})
        emit_json(found)
        return
    rows = [
        (
            each.account,
            f"{each.epsilon_spent:.3f}",
            *([opinion.cell(reports[each.account])] if pld else ()),
            f"{each.epsilon_limit:g}",
            f"{each.delta:g}",
            "{:.2g} of {:.2g}".format(*reserves[each.account]),
            str(each.disclosures),
        )
        for each in accounts
    ]
    reported = ("by PLD",) if pld else ()
    emit_table(("account", "epsilon spent", *reported, "of", "at delta", "reserve used", "disclosures"), rows)
    if not rows:
        say("nothing has been charged yet; the policy says what new accounts may spend")
        next_step("stead policy show", node)
    elif pld:
        opinion.explain()


@click.command(
    name="set",
    epilog="""\b
Examples:
  stead budget set "population/north patients" --epsilon 6
  stead budget set "project/risk-2026@north patients" --epsilon 3 --delta 1e-7
  stead budget set "project/risk-2026@north patients" --epsilon 3 --reserve 2e-7
""",
)
@click.argument("account")
@click.option("--epsilon", type=float, required=True, help="What the account may come to, in all.")
@click.option("--delta", type=float, help="At this delta; the account's own, or the policy's, by default.")
@click.option(
    "--reserve",
    type=float,
    help="The part of delta for questions whose keys nobody listed, 0 for none; as it is, or the policy's, by default.",
)
@node_option
def set_(account: str, epsilon: float, delta: float | None, reserve: float | None, node: Path) -> None:
    """Set what ACCOUNT may spend; what is spent stays spent.

    An account is population/NAME, project/NAME@POPULATION, scientist/NAME@POPULATION or period/START@POPULATION. Where
    the population is partitioned, that names the account of each value; one alone is ACCOUNT#COLUMN=VALUE.
    """
    kind, _, name = account.partition("/")
    if kind not in _KINDS or not name:
        raise UsageError(f"{account[:80]!r} is no account's name.", hint="stead budget show lists them")
    with opened(node) as home:
        held = {each.account: each for each in home.books.accounts.all()}
        names = _accounts(home, account, held)
        for each in names:
            _move(home, each, held.get(each), (epsilon, delta, reserve))
    was = [held[each] for each in names if each in held]
    before = f"; it was {was[0].epsilon_limit:g} at delta {was[0].delta:g}" if len(was) == len(names) == 1 else ""
    at = "" if delta is None else f" at delta {delta:g}"
    each_of = f", each of {len(names)} accounts" if len(names) > 1 else ""
    say(f"{account} may now spend epsilon {epsilon:g}{at} in all{each_of}{before}")


def _move(home: Node, account: str, held: AccountView | None, wanted: tuple[float, float | None, float | None]) -> None:
    """Set one account's epsilon, and its delta and reserve where they are given; else its own, or the policy's."""
    from stead.node.services.payers import kind_of
    from stead.privacy.accounts import Target

    epsilon, delta, reserve = wanted
    accounts, budgets = home.books.accounts, home.books.policies.current().rules.budgets
    usual = getattr(budgets, kind_of(account)) or budgets.population
    if delta is None:
        delta = held.delta if held else usual.delta
    if held is None and reserve is None:
        # The policy's part of delta, whatever delta is here.
        reserve = delta * usual.promise.reserve / usual.delta
    target = Target(epsilon=epsilon, delta=delta, orders=accounts.orders(account) or usual.orders)
    accounts.set_target(account, target, reserve=reserve)


def _accounts(home: Node, account: str, held: Mapping[str, AccountView]) -> tuple[str, ...]:
    """The accounts that a name stands for: one, or those of all cells where the people are partitioned."""
    from stead.node.services.payers import cell_accounts, population_of

    if account in held:
        return (account,)
    whole, cell, _ = account.partition("#")
    schemas = [card.schema for card in home.registry.cards()]
    partitioned = next((s for s in schemas if s.population == population_of(whole) and s.partition is not None), None)
    if partitioned is None:
        _check_names(home, account)
        return (account,)
    _check_names(home, whole)
    known = cell_accounts(whole, (str(partitioned.partition), *partitioned.partition_values))
    if not cell:
        return known
    if account not in known:
        raise UsageError(f"{account[:80]!r} is no account of a cell.", hint=_near(account, list(known)))
    return (account,)


def _check_names(home: Node, account: str) -> None:
    """Refuse an account that nobody could ever pay from: a misspelt one would stand in the log for ever."""
    kind, _, rest = account.partition("/")
    name, at, population = rest.partition("@")
    if kind == "population":
        name, population = "", rest
    elif not at:
        raise UsageError(f"{account[:80]!r} names no population.", hint=f"{kind}/{name[:80]}@POPULATION")
    populations = sorted({card.schema.population for card in home.registry.cards()})
    if population not in populations:
        raise UsageError(f"no dataset here is of population {population[:80]!r}.", hint=_near(population, populations))
    people = [each for each in home.books.people.all() if each.role == "scientist"]
    names = sorted({each.project if kind == "project" else each.name for each in people})
    if kind == "period":
        raise UsageError(
            f"there is no period {name[:80]!r} yet.", hint="an account of a period is made by its first charge"
        )
    if kind != "population" and name not in names:
        raise UsageError(f"nobody here is enrolled as {kind} {name[:80]!r}.", hint=_near(name, names))


def _near(word: str, known: list[str]) -> str:
    found = difflib.get_close_matches(word, known, n=1)
    return f'did you mean "{found[0]}"?' if found else "here are: " + (", ".join(known) or "none")
