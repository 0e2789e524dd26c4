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
    from stead.node.assembly import Node

_KINDS = ("population", "project", "scientist")


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
    """Show every account: a population's, each project's, each scientist's."""
    opinion, reports = SecondOpinion(), {}
    with opened(node) as home:
        accounts = home.books.accounts.all()
        if pld:
            from stead.node.services.forecast import Forecasts

            forecasts = Forecasts(home.books.store)
            for each in accounts:
                history = forecasts.history(each.account)
                reports[each.account] = opinion.of(history, each.delta, ledger=each.epsilon_spent)
    if as_json:
        found = [msgspec.structs.asdict(each) for each in accounts]
        emit_json([each | {"pld_epsilon": reports[each["account"]]} if pld else each for each in found])
        return
    rows = [
        (
            each.account,
            f"{each.epsilon_spent:.3f}",
            *([opinion.cell(reports[each.account])] if pld else ()),
            f"{each.epsilon_limit:g}",
            f"{each.delta:g}",
            str(each.disclosures),
        )
        for each in accounts
    ]
    reported = ("by PLD",) if pld else ()
    emit_table(("account", "epsilon spent", *reported, "of", "at delta", "disclosures"), rows)
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
""",
)
@click.argument("account")
@click.option("--epsilon", type=float, required=True, help="What the account may come to, in all.")
@click.option("--delta", type=float, help="At this delta; the account's own, or the policy's, by default.")
@node_option
def set_(account: str, epsilon: float, delta: float | None, node: Path) -> None:
    """Set what ACCOUNT may spend; what is spent stays spent.

    An account is population/NAME, project/NAME@POPULATION or scientist/NAME@POPULATION.
    """
    from stead.privacy.accounts import Target

    kind, _, name = account.partition("/")
    if kind not in _KINDS or not name:
        raise UsageError(f"{account[:80]!r} is no account's name.", hint="stead budget show lists them")
    with opened(node) as home:
        accounts = home.books.accounts
        held = next((each for each in accounts.all() if each.account == account), None)
        if held is None:
            _check_names(home, account)
        usual = getattr(home.books.policies.current().rules.budgets, kind)
        if delta is None:
            delta = held.delta if held else usual.delta
        target = Target(epsilon=epsilon, delta=delta, orders=accounts.orders(account) or usual.orders)
        accounts.set_target(account, target)
    was = f"; it was {held.epsilon_limit:g} at delta {held.delta:g}" if held else ""
    say(f"{account} may now spend epsilon {epsilon:g} at delta {delta:g} in all{was}")


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
    if kind != "population" and name not in names:
        raise UsageError(f"nobody here is enrolled as {kind} {name[:80]!r}.", hint=_near(name, names))


def _near(word: str, known: list[str]) -> str:
    found = difflib.get_close_matches(word, known, n=1)
    return f'did you mean "{found[0]}"?' if found else "here are: " + (", ".join(known) or "none")
