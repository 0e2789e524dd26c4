"""``stead budget history``: every charge and disclosure, and what an account had come to after each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from stead.cli.budget.second_opinion import SecondOpinion, pld_option
from stead.cli.owner import node_option, opened, when
from stead.cli.style import emit_json, emit_table, json_option, say

if TYPE_CHECKING:
    from stead.node.services.forecast import Step
    from stead.node.services.requests import RequestView
    from stead.privacy.events import PrivacyEvent


class _Line(NamedTuple):
    """One release: what it cost by itself (infinite: a disclosure), and what one account had come to with it."""

    release: RequestView
    epsilon: float
    pld_epsilon: float | None = None
    running: float | None = None
    running_pld: float | None = None


@click.command(
    epilog="""\b
Examples:
  stead budget history
  stead budget history "project/risk-2026@north patients"
  stead budget history --pld --json
"""
)
@click.argument("account", required=False)
@pld_option
@node_option
@json_option
def history(account: str | None, pld: bool, node: Path, as_json: bool) -> None:
    """List every charge and disclosure (of ACCOUNT alone, if it is named), oldest first: who, why, at what cost.

    Costs do not add up to what an account has spent: together they come to less. For a named account "in all" is what
    it had come to after each.
    """
    from stead.node.services.forecast import Forecasts

    opinion = SecondOpinion() if pld else None
    with opened(node) as home:
        costs = home.books.accounts.costs()
        releases = {each.claim.release: each for each in home.requests.all(None) if each.claim.release in costs}
        forecasts = Forecasts(home.books.store)
        priced = forecasts.priced() if opinion else {}
        lines = [_line(each, costs[release], priced.get(release), opinion) for release, each in releases.items()]
        if account is not None:
            alone = {line.release.claim.release: line for line in lines}
            lines = list(_running(forecasts.steps(account), alone, opinion))
    if as_json:
        emit_json([_plain(line, running=account is not None, pld=pld) for line in lines])
        return
    header = ["at", "who", "project", "dataset", "outlet", "epsilon", "by PLD", "in all", "in all by PLD", "why"]
    shown = [True] * 6 + [pld, account is not None, pld and account is not None, True]
    rows = [tuple(compress(_cells(line, opinion), shown)) for line in lines]
    emit_table(list(compress(header, shown)), rows)
    if not rows:
        say("nothing has been charged yet")
    elif opinion:
        opinion.explain()


def _line(
    release: RequestView, epsilon: float, priced: tuple[PrivacyEvent, float] | None, opinion: SecondOpinion | None
) -> _Line:
    if opinion is None or priced is None:
        return _Line(release, epsilon)
    event, delta = priced
    return _Line(release, epsilon, opinion.of(event, delta, ledger=epsilon))


def _running(steps: Iterable[Step], alone: Mapping[bytes, _Line], opinion: SecondOpinion | None) -> Iterator[_Line]:
    """The lines of one account, with what it had come to after each."""
    from stead.privacy.events import Composed, Repeated

    times: Counter[PrivacyEvent] = Counter()
    for step in steps:
        if step.event is not None:
            times[step.event] += 1
        report = None
        if opinion is not None:
            so_far = Composed(tuple(Repeated(event, number) for event, number in times.items()))
            report = opinion.of(so_far, step.delta, ledger=step.epsilon)
        yield alone[step.release]._replace(running=step.epsilon, running_pld=report)


def _cells(line: _Line, opinion: SecondOpinion | None) -> tuple[str, ...]:
    asked, second = line.release, opinion or SecondOpinion()
    return (
        when(asked.made_at),
        asked.requester,
        asked.claim.project,
        asked.dataset,
        asked.claim.outlet,
        f"{line.epsilon:.3f}".replace("inf", "no limit"),
        second.cell(line.pld_epsilon),
        "" if line.running is None else f"{line.running:.3f}",
        second.cell(line.running_pld),
        asked.claim.why,
    )


def _plain(line: _Line, *, running: bool, pld: bool) -> dict[str, object]:
    asked = line.release
    found: dict[str, object] = {
        "release": asked.claim.release.hex(),
        "at": asked.made_at,
        "requester": asked.requester,
        "project": asked.claim.project,
        "dataset": asked.dataset,
        "outlet": asked.claim.outlet,
        "why": asked.claim.why,
        "state": asked.state,
        "epsilon": None if math.isinf(line.epsilon) else line.epsilon,
    }
    if pld:
        found["pld_epsilon"] = line.pld_epsilon
    if running:
        found["epsilon_in_all"] = line.running
    if pld and running:
        found["pld_epsilon_in_all"] = line.running_pld
    return found
