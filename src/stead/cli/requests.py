"""``stead requests``: what scientists ask for and a person must decide."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stead.cli.owner import node_option, opened, when
from stead.cli.style import emit_json, emit_table, json_option, say

if TYPE_CHECKING:
    from stead.node.services.requests import RequestView


@click.group()
def command() -> None:
    """What scientists ask for and a person must decide."""


@command.command()
@click.option("--all", "everything", is_flag=True, help="Also those that are decided.")
@node_option
@json_option
def ls(everything: bool, node: Path, as_json: bool) -> None:
    """List what waits, oldest first."""
    with opened(node) as home:
        found = home.requests.all(None if everything else "asked")
    if as_json:
        emit_json([_plain(each) for each in found])
        return
    rows = [
        (
            each.request or "-",
            each.state,
            when(each.made_at),
            each.requester,
            each.claim.project,
            each.claim.outlet,
            each.claim.why,
        )
        for each in found
    ]
    emit_table(("request", "state", "asked", "who", "project", "outlet", "why"), rows)
    say("next: stead requests show REQUEST" if rows else "nothing waits")


@command.command()
@click.argument("request")
@node_option
@json_option
def show(request: str, node: Path, as_json: bool) -> None:
    """Show REQUEST: who asks, why, the plan in words, its price and the rule. Never a result."""
    from stead.plans.plan import decode_plan, describe

    with opened(node) as home:
        view = home.requests.show(request)
        appraisal = home.appraiser.appraise(view.claim)
        words = describe(decode_plan(view.claim.plan), appraisal.card.schema)
        before, after = home.books.ledger.quote(appraisal.bill)
    facts = appraisal.facts
    if as_json:
        emit_json(
            {
                **_plain(view),
                "plan": words,
                "plan_hash": view.plan_hash.hex(),
                "epsilon": None if facts.outlet == "disclose" else facts.epsilon,
                "flops": facts.flops,
                "size_bytes": facts.size_bytes,
                "rounds": facts.rounds,
                "sites": facts.sites,
                "accounts": before,
                "accounts_after": after,
            }
        )
        return
    price = (
        "no differential privacy: epsilon is infinite" if facts.outlet == "disclose" else f"epsilon {facts.epsilon:.3f}"
    )
    pairs = [
        ("Who", f"{view.requester}, project {view.claim.project}, {when(view.made_at)}"),
        ("Why", view.claim.why),
        ("Outlet", f"{facts.outlet}, {facts.sites} site{'s' if facts.sites > 1 else ''}, {facts.colluders} colluders"),
        ("Costs", f"{price} · {facts.flops:,} operations · {facts.rounds} rounds"),
        *[
            ("Budget", f"{one.account}: {one.epsilon_spent:.3f} -> {two.epsilon_spent:.3f} of {one.epsilon_limit:g}")
            for one, two in zip(before, after, strict=True)
        ],
        ("Rule", view.reason),
        ("Decides", ", ".join(view.approvers) or "any of the owner's people"),
        ("Plan", view.plan_hash.hex()),
    ]
    for name, text in pairs:
        click.echo(f"{name:<8} {text}")
    click.echo("\n" + words)
    say(f"\nnext: stead requests approve {request}, or stead requests deny {request} --reason …")


@command.command()
@click.argument("request")
@click.option("--as", "approver", default=getpass.getuser, help="Who decides; your login name by default.")
@click.option("--reason", default="", help="For the log.")
@node_option
def approve(request: str, approver: str, reason: str, node: Path) -> None:
    """Approve REQUEST: when it is sent again it is charged and run."""
    with opened(node) as home:
        view = home.requests.show(request)
        home.requests.approve(request, approver, reason=reason)
    say(f"approved {request} as {approver}: plan {view.plan_hash.hex()[:16]} of {view.requester or 'a revoked key'}")


@command.command()
@click.argument("request")
@click.option("--as", "approver", default=getpass.getuser, help="Who decides; your login name by default.")
@click.option("--reason", required=True, help="The requester sees it.")
@node_option
def deny(request: str, approver: str, reason: str, node: Path) -> None:
    """Deny REQUEST, for ever, with a reason."""
    with opened(node) as home:
        home.requests.deny(request, approver, reason=reason)
    say(f"denied {request} as {approver}")


def _plain(view: RequestView) -> dict[str, object]:
    return {
        "request": view.request,
        "state": view.state,
        "asked_at": view.made_at,
        "requester": view.requester,
        "key": view.claim.requester.hex(),
        "project": view.claim.project,
        "dataset": view.dataset,
        "outlet": view.claim.outlet,
        "why": view.claim.why,
        "reason": view.reason,
        "approvers": view.approvers,
    }
