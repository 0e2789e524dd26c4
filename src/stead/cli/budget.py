"""``stead budget``: what may be spent, what is spent, and on what."""

from __future__ import annotations

from pathlib import Path

import click

from stead.cli.owner import node_option, opened, when
from stead.cli.style import emit_json, emit_table, json_option, say
from stead.errors import UsageError


@click.group()
def command() -> None:
    """What may be spent, what is spent, and on what."""


@command.command()
@node_option
@json_option
def show(node: Path, as_json: bool) -> None:
    """Show every account: a population's, each project's, each scientist's."""
    with opened(node) as home:
        accounts = home.books.accounts.all()
    if as_json:
        emit_json(accounts)
        return
    rows = [
        (each.account, f"{each.epsilon_spent:.3f}", f"{each.epsilon_limit:g}", f"{each.delta:g}", str(each.disclosures))
        for each in accounts
    ]
    emit_table(("account", "epsilon spent", "of", "at delta", "disclosures"), rows)
    if not rows:
        say("nothing has been charged yet; the policy says what new accounts may spend: stead policy show")


@command.command(name="set")
@click.argument("account")
@click.option("--epsilon", type=float, required=True, help="What the account may come to, in all.")
@click.option("--delta", type=float, default=1e-6, show_default=True, help="At this delta.")
@node_option
def set_(account: str, epsilon: float, delta: float, node: Path) -> None:
    """Set what ACCOUNT may spend; what is spent stays spent.

    An account is population/NAME, project/NAME@POPULATION or scientist/NAME@POPULATION.
    """
    from stead.privacy.accounts import DEFAULT_ORDERS, Target

    if account.partition("/")[0] not in ("population", "project", "scientist") or not account.partition("/")[2]:
        raise UsageError(f"{account[:80]!r} is no account's name.", hint="stead budget show lists them")
    with opened(node) as home:
        held = home.books.accounts.orders(account)
        home.books.accounts.set_target(account, Target(epsilon=epsilon, delta=delta, orders=held or DEFAULT_ORDERS))
    say(f"{account} may now spend epsilon {epsilon:g} at delta {delta:g} in all")


@command.command()
@node_option
@json_option
def history(node: Path, as_json: bool) -> None:
    """List every charge and disclosure, oldest first, with who asked and why."""
    with opened(node) as home:
        releases = [each for each in home.requests.all(None) if each.state in ("charged", "stored", "ended")]
    if as_json:
        emit_json(
            [
                {
                    "release": each.claim.release.hex(),
                    "at": each.made_at,
                    "requester": each.requester,
                    "project": each.claim.project,
                    "dataset": each.dataset,
                    "outlet": each.claim.outlet,
                    "why": each.claim.why,
                    "state": each.state,
                }
                for each in releases
            ]
        )
        return
    rows = [
        (when(each.made_at), each.requester, each.claim.project, each.dataset, each.claim.outlet, each.claim.why)
        for each in releases
    ]
    emit_table(("at", "who", "project", "dataset", "outlet", "why"), rows)
