"""``stead budget forecast``: how fast accounts are spent, and what they would still allow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stead.cli.budget.second_opinion import MEANING, SecondOpinion
from stead.cli.owner import next_step, node_option, opened, when
from stead.cli.style import emit_json, emit_table, json_option, say

if TYPE_CHECKING:
    from stead.node.services.forecast import Outlook, Stated


@click.command(
    epilog="""\b
Examples:
  stead budget forecast
  stead budget forecast "population/north patients" --epsilon 0.1
  stead budget forecast --sigma 20 --json
"""
)
@click.argument("account", required=False)
@click.option("--epsilon", type=float, help="How many more counts of which each comes to this epsilon by itself?")
@click.option("--sigma", type=float, help="How many more counts with noise of this standard deviation, in people?")
@node_option
@json_option
def forecast(account: str | None, epsilon: float | None, sigma: float | None, node: Path, as_json: bool) -> None:
    """Show how fast ACCOUNT is spent (all accounts by default), when it runs out, what it would still allow.

    The rate is that of the last 30 days. What is left is counted by the ledger's own rule, as if nothing else were
    asked. Beside it stands what all charges so far come to by privacy loss distributions: the tightest known statement,
    for reports; it never decides.
    """
    from stead.node.services.forecast import Forecasts, Stated

    if epsilon is not None and sigma is not None:
        raise click.UsageError("a question is stated by --epsilon or by --sigma, not by both.")
    stated = None if epsilon is None and sigma is None else Stated(epsilon=epsilon, sigma=sigma)
    opinion = SecondOpinion()
    with opened(node) as home:
        forecasts = Forecasts(home.books.store)
        outlooks = forecasts.outlooks(home.books.log.now(), account=account, stated=stated)
        reports = [
            opinion.of(forecasts.history(each.account.account), each.account.delta, ledger=each.account.epsilon_spent)
            for each in outlooks
        ]
    if as_json:
        emit_json([_plain(each, report, opinion) for each, report in zip(outlooks, reports, strict=True)])
        return
    if not outlooks:
        say("nothing has been charged yet; the policy says what new accounts may spend")
        next_step("stead policy show", node)
        return
    header = ["account", "epsilon spent", "of", "by PLD", "a day", "runs out", "like the last"]
    rows = [_row(each, opinion.cell(report), stated) for each, report in zip(outlooks, reports, strict=True)]
    emit_table([*header, "like stated"] if stated else header, rows)
    opinion.explain()


def _row(outlook: Outlook, report: str, stated: Stated | None) -> tuple[str, ...]:
    account = outlook.account
    cells = (
        account.account,
        f"{account.epsilon_spent:.3f}",
        f"{account.epsilon_limit:g}",
        report,
        f"{outlook.epsilon_per_day:.3g}",
        "not soon" if outlook.runs_out_at is None else when(outlook.runs_out_at)[:10],
        _number(outlook.last_left),
    )
    return (*cells, _number(outlook.stated_left)) if stated else cells


def _number(left: int | None) -> str:
    return "-" if left is None else f"{left:,}"


def _plain(outlook: Outlook, report: float | None, opinion: SecondOpinion) -> dict[str, object]:
    account = outlook.account
    return {
        "account": account.account,
        "epsilon_spent": account.epsilon_spent,
        "epsilon_limit": account.epsilon_limit,
        "delta": account.delta,
        "disclosures": account.disclosures,
        "pld_epsilon": report,
        "pld": opinion.missing or MEANING,
        "window_days": outlook.window_days,
        "epsilon_per_day": outlook.epsilon_per_day,
        "days_left": outlook.days_left,
        "runs_out_at": outlook.runs_out_at,
        "last_left": outlook.last_left,
        "stated_left": outlook.stated_left,
    }
