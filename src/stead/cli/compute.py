"""``stead compute``: one number about the rows of several hospitals, computed on shares by three steads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from stead.cli.style import emit_json, json_option, say
from stead.errors import TooFewParties, UsageError

if TYPE_CHECKING:
    from stead.client.answer import Answer
    from stead.client.computing import Computation
    from stead.client.preview import Preview

WAIT_S: Final = 3600.0
PARTIES: Final = 3


@click.command(
    epilog="""\b
Examples:
  stead compute mean https://north.example https://south.example --helper https://east.example \\
        --dataset heart --column age --preview
  stead compute mean https://north.example https://south.example --helper https://east.example \\
        --dataset heart --column age --why "average age, Table 1"
  stead compute mean https://north.example https://south.example --helper https://east.example \\
        --dataset heart --column age --disclose --why "average age, agreed on 3 May"
"""
)
@click.argument("what", type=click.Choice(["mean", "sum", "count"]))
@click.argument("owners", nargs=-1, required=True)
@click.option("--helper", default="", help="The third party where there are two owners; it enters nothing.")
@click.option("--dataset", required=True, help="The name that the dataset has at each owner.")
@click.option("--column", default="", help="Of which column; a count may do without.")
@click.option("--why", default="", help="What it is for; each party's log keeps it.")
@click.option("--within", type=float, default=None, help="Half-width at 95 %, as a fraction of the range.")
@click.option("--disclose", is_flag=True, help="The exact result, without differential privacy; owners must allow it.")
@click.option("--preview", is_flag=True, help="Price, decisions and whom to trust; spends nothing.")
@click.option("--project", default=None, help="The project; the one that your key is enrolled for by default.")
@click.option(
    "--wait", "wait_s", type=float, default=WAIT_S, help="Seconds to wait for owners who decide; an hour by default."
)
@json_option
def command(  # noqa: PLR0913, PLR0917 (one parameter for each option)
    what: str,
    owners: tuple[str, ...],
    helper: str,
    dataset: str,
    column: str,
    why: str,
    within: float | None,
    disclose: bool,
    preview: bool,
    project: str | None,
    wait_s: float,
    as_json: bool,
) -> None:
    """Compute WHAT (mean, sum or count) of a column over the rows of OWNERS, the addresses of two or three steads.

    No row leaves an owner, and no party sees another's numbers: three steads compute on shares, and the result is
    opened to you alone, with noise, or exactly where all owners' policies allow that.
    """
    from stead.client.question import WITHIN

    if disclose and within is not None:
        raise UsageError("a disclosure has no noise, so no `--within`.")
    asked = _computation(what, owners, (helper, project), dataset, column, disclose=disclose)
    width = WITHIN if within is None else within
    if preview:
        _show_preview(asked.preview(within=width), as_json=as_json)
        return
    found = asked.start(why=why, within=width)
    from stead.client.computing import ComputePending

    if isinstance(found, ComputePending):
        say(f"waits for {', '.join(found.waiting)}")
        found = found.wait(wait_s)
    _show_answer(found, as_json=as_json)


def _computation(
    what: str, owners: tuple[str, ...], who: tuple[str, str | None], dataset: str, column: str, *, disclose: bool
) -> Computation:
    import stead
    from stead.client.computing import computation

    helper, project = who
    if what != "count" and not column:
        raise UsageError(f"the {what} of which column?", hint="--column age")
    parties = [*owners, helper] if helper else list(owners)
    if len(parties) != PARTIES or len(set(parties)) != PARTIES or len(owners) < PARTIES - 1:
        few = len(set(parties)) < PARTIES
        raise (TooFewParties if few else UsageError)(
            f"owners: {len(owners)}, helpers: {1 if helper else 0}; three different steads take part.",
            hint="three owners, or two owners and `--helper https://east.example`",
        )
    datasets = [stead.connect(url, project=project)[dataset] for url in owners]
    rows = datasets[0]
    question = getattr(rows[column], what)() if column else rows.count()
    third = stead.connect(helper, project=project) if helper else None
    return computation(question, datasets, helper=third, disclose=disclose)


def _show_preview(preview: Preview, *, as_json: bool) -> None:
    if not as_json:
        click.echo(repr(preview))
        return
    errors = {name: bars.tolist() for name, bars in preview.errors.items()}
    quotes = {
        name: {
            "epsilon": quote.epsilon if quote.epsilon != float("inf") else None,
            "decision": quote.decision,
            "reason": quote.reason,
            "approvers": quote.approvers,
            "rounds": quote.rounds,
            "size_bytes": quote.size_bytes,
        }
        for name, quote in preview.quotes.items()
    }
    emit_json({"title": preview.title, "errors": errors, "parties": quotes, "notes": dict(preview.notes)})


def _show_answer(answer: Answer, *, as_json: bool) -> None:
    if not as_json:
        click.echo(repr(answer))
        return
    emit_json(
        {
            "title": answer.title,
            "private": not answer.disclosed,
            "values": {name: value.tolist() for name, value in answer.values.items()},
            "errors": {name: error.tolist() for name, error in answer.errors.items()},
            "receipts": len(answer.receipts),
            "size_bytes": answer.size_bytes,
        }
    )
