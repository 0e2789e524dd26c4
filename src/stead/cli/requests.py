"""``stead requests``: what scientists ask for and a person must decide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stead.cli.owner import count, login_name, next_step, node_option, opened, when
from stead.cli.style import emit_json, emit_table, json_option, say
from stead.errors import UsageError

if TYPE_CHECKING:
    from stead.node.assembly import Node
    from stead.node.services.requests import RequestView

_LEAST_HASH = 8
_LEAST_RELEASE = 6


@click.group(
    epilog="""\b
Examples:
  stead requests ls
  stead requests show 7f3a-22c1
  stead requests approve 7f3a-22c1 --as grace
"""
)
def command() -> None:
    """What scientists ask for and a person must decide."""


@command.command(
    epilog="""\b
Examples:
  stead requests ls
  stead requests ls --all --json
"""
)
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
    if rows:
        next_step("stead requests show REQUEST", node)
    else:
        say("nothing was asked or charged yet" if everything else "nothing waits")


@command.command(
    epilog="""\b
Examples:
  stead requests show 7f3a-22c1
"""
)
@click.argument("request")
@node_option
@json_option
def show(request: str, node: Path, as_json: bool) -> None:
    """Show REQUEST: who asks, why, the plan in words, its price and the rule. Never a result."""
    from stead.plans.plan import decode_plan, describe

    with opened(node) as home:
        view = _named(home, request)
        appraisal = home.appraiser.appraise(view.claim)
        words = describe(decode_plan(view.claim.plan), appraisal.card.schema if appraisal.card else None)
        bill = appraisal.bill
        before, after = home.books.ledger.quote(bill, owner=True) if bill is not None else ((), ())
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
    if facts.helping:
        price = "nothing: this node helps and enters nothing of its own"
    pairs = [
        ("Request", f"{view.request or '-'}, for its requester r-{view.claim.release.hex()[:_LEAST_RELEASE]}"),
        ("Who", f"{view.requester}, project {view.claim.project}, {when(view.made_at)}"),
        ("Why", view.claim.why),
        ("Outlet", f"{facts.outlet}, {facts.sites} site{'s' if facts.sites > 1 else ''}, {facts.colluders} colluders"),
        *[("With", ", ".join(view.sites)) for _ in view.sites[:1]],
        ("Costs", f"{price} · {facts.flops:,} operations · {count(facts.rounds, 'round')}"),
        *[
            ("Budget", f"{one.account}: {one.epsilon_spent:.3f} -> {two.epsilon_spent:.3f} of {one.epsilon_limit:g}")
            for one, two in zip(before, after, strict=True)
        ],
        ("State", view.state),
        ("Rule", view.reason),
        ("Decides", ", ".join(view.approvers) or "any of the owner's people"),
        ("Plan", view.plan_hash.hex()),
    ]
    for name, text in pairs:
        click.echo(f"{name:<8} {text}")
    click.echo("\n" + words)
    if view.state == "asked":
        say("")
        next_step(f"stead requests approve {request} --plan {view.plan_hash.hex()[:8]}", node)
        next_step(f"stead requests deny {request} --reason …", node)


@command.command(
    epilog="""\b
Examples:
  stead requests approve 7f3a-22c1
  stead requests approve 7f3a-22c1 --as grace --plan 9d41c7e2      the hash that was shown
"""
)
@click.argument("request")
@click.option("--as", "approver", default=login_name, help="Who decides; your login name by default.")
@click.option("--reason", default="", help="For the log.")
@click.option("--plan", default="", help="The plan's hash as it was shown, or how it begins; another plan is refused.")
@node_option
def approve(request: str, approver: str, reason: str, plan: str, node: Path) -> None:
    """Approve REQUEST: when it is sent again it is charged and run.

    The word is for the plan that was shown: a request keeps its plan for ever, and a changed question is a new one.
    """
    with opened(node) as home:
        view = _named(home, request)
        hashed = view.plan_hash.hex()
        if plan and (len(plan) < _LEAST_HASH or not hashed.startswith(plan.lower())):
            raise UsageError(
                f"the plan of request {request} has the hash {hashed}.",
                hint=f"read it again: stead requests show {request}",
            )
        home.requests.approve(view.request, approver, reason=reason)
    say(f"approved {request} as {approver}: plan {hashed[:16]} of {view.requester or 'a key that nobody knows'}")


@command.command(
    epilog="""\b
Examples:
  stead requests deny 7f3a-22c1 --reason "ask with within=0.05; this is finer than the table needs"
"""
)
@click.argument("request")
@click.option("--as", "approver", default=login_name, help="Who decides; your login name by default.")
@click.option("--reason", required=True, help="The requester sees it.")
@node_option
def deny(request: str, approver: str, reason: str, node: Path) -> None:
    """Deny REQUEST, for ever, with a reason."""
    with opened(node) as home:
        view = _named(home, request)
        home.requests.deny(view.request, approver, reason=reason)
    say(f"denied {request} as {approver}")


def _named(home: Node, name: str) -> RequestView:
    """A request by the node's name for it, or by its requester's (``r-`` and the start of the release id)."""
    start = name.removeprefix("r-")
    if name != start and len(start) >= _LEAST_RELEASE:
        found = [each for each in home.requests.all(None) if each.claim.release.hex().startswith(start)]
        if len(found) == 1:
            return found[0]
    return home.requests.show(name)


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
