"""Asking one node: an ``Answer`` comes back, or a ``Pending`` while a person decides."""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from stead.client import render
from stead.client.answer import Answer
from stead.client.receipt import Receipt
from stead.client.records import Record, Records
from stead.client.selection import rows_schema
from stead.client.site import Site
from stead.core.leaves import ResultStored
from stead.core.messages import AskAnswer, Released, Waiting
from stead.errors import BadMessage, BadProof, PartyTimedOut, Refused
from stead.plans.bars import error_bars, people_bar
from stead.plans.decode import decode_answer
from stead.plans.exact import read_released
from stead.plans.plan import decode_plan
from stead.plans.query import Query

LONGEST_PAUSE_S = 60.0


class Pending:
    """A question that its owner has not decided yet. It survives a restart: ``north.requests["r-7f3a22"]``.

    Args:
        site: the node it was asked at.
        record: what was asked.
    """

    def __init__(self, site: Site, record: Record) -> None:
        self._site = site
        self._record = record

    @property
    def name(self) -> str:
        """Its name in ``requests``."""
        return self._record.name

    @property
    def status(self) -> str:
        """``sent``, ``waiting``, ``answered`` or ``refused``, as last heard."""
        return self._record.status

    @property
    def approvers(self) -> tuple[str, ...]:
        """Who must approve."""
        return self._record.approvers

    def refresh(self) -> Answer | Pending:
        """Ask again: the answer if it has been approved, else this.

        Raises:
            Refused: it was denied, or the budget no longer allows it.
        """
        return send(self._site, self._record)

    def wait(self, timeout_s: float = 86_400.0, *, pause_s: float = 2.0) -> Answer:
        """Wait for the decision.

        Args:
            timeout_s: for how long.
            pause_s: the first pause between two looks; it doubles up to a minute.

        Raises:
            PartyTimedOut: nobody has decided in that time; the request stays open.
            Refused: it was denied.
        """
        waited_s = 0.0
        while True:
            found = self.refresh()
            if isinstance(found, Answer):
                return found
            self._record = found._record  # noqa: SLF001 - its own class
            if waited_s >= timeout_s:
                raise PartyTimedOut(
                    f"{self._site.name} has not decided about {self.name} within {timeout_s:g} s.",
                    hint=f'the request stays open: requests["{self.name}"].wait()',
                )
            nap_s = min(pause_s, timeout_s - waited_s)
            self._site.scientist.sleep(nap_s)
            waited_s += nap_s
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def __repr__(self) -> str:
        return render.facts(f"Pending · {self.name} · {self._site.name}", self._pairs())

    def _repr_html_(self) -> str:
        return render.facts_html(f"Pending · {self.name} · {self._site.name}", self._pairs())

    def _pairs(self) -> list[tuple[str, str]]:
        record = self._record
        waiting = (
            "waiting for " + (", ".join(record.approvers) or "the owner")
            if record.status == "waiting"
            else record.status
        )
        following = ".wait() or .refresh()" if record.status in ("sent", "waiting") else ".refresh() fetches it again"
        asked = f"{record.request}, as the owner calls it" if record.request else ""
        return [
            ("Status", waiting),
            ("Request", asked),
            ("Reason", record.reason),
            ("Why", record.why),
            ("Next", following),
        ]


def send(site: Site, record: Record) -> Answer | Pending:
    """Send a recorded question, or send it again.

    Raises:
        Refused: the owner's rules or the budget do not allow it.
        BadProof: the answer's receipt does not prove it.
    """
    records = Records(site.scientist.home, site.node_key)
    records.save(record)
    message = AskAnswer(release=record.release, project=record.project, plan=record.plan, why=record.why)
    try:
        reply = site.ask_or_wait(message, Released)
    except Refused as refusal:
        records.save(replace(record, status="refused", reason=refusal.what))
        raise
    if isinstance(reply, Waiting):
        waiting = replace(
            record, status="waiting", request=reply.request, approvers=reply.approvers, reason=reply.reason
        )
        records.save(waiting)
        return Pending(site, waiting)
    answer = _open(site, record, reply)
    records.save(replace(record, status="answered", reason=""))
    site.refresh_if_reachable()
    return answer


def check_released(receipt: Receipt, released: Released) -> None:
    """Check that a receipt proves this very release: that these bytes were logged as the result of this id.

    Raises:
        BadProof: it proves something else.
    """
    leaf = receipt.verify()
    if not isinstance(leaf, ResultStored):
        raise BadProof(f"{receipt.node} proves a log entry that is no result.")
    result_hash = hashlib.sha256(released.body).digest()
    if (leaf.release, leaf.result_hash) != (released.release, result_hash):
        raise BadProof(f"the receipt of {receipt.node} proves another release than the one that came with it.")


def _open(site: Site, record: Record, released: Released) -> Answer:
    if released.release != record.release:
        raise BadMessage(f"{site.name} answered another release than the one that was asked for.")
    query = decode_plan(record.plan)
    if not isinstance(query, Query):
        raise BadMessage("the recorded plan is no query.")
    receipt = site.receipt(released.receipt)
    check_released(receipt, released)
    schema = rows_schema(query, site)
    found = read_released(query, released.body)
    keys = None if found.keys is None else len(found.keys)
    return Answer(
        title=f"{query.dataset} · {site.name}",
        query=query,
        schema=schema,
        values=decode_answer(query, schema, found.vector, keys=keys),
        errors=error_bars(query, schema, answer=found.vector, keys=keys),
        receipts=(receipt,),
        keys=found.keys,
        people=found.people,
        people_error=people_bar(query, schema, keys=keys) if keys is not None else 0.0,
        vector=found.vector,
    )
