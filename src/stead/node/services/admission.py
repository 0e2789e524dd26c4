"""What comes before a release: decide, then charge or ask or refuse, and write down which, in one transaction.

No row is touched here, and nothing that could touch one is within reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

from stead.core import codec, leaves
from stead.core.messages import Waiting
from stead.errors import NodeError, PolicyDenied, SteadError
from stead.node.services import releases
from stead.node.services.appraisal import Appraisal, Appraiser
from stead.node.services.books import Books
from stead.node.services.releases import Claim
from stead.node.store import Transaction, tables

_MOST_REASON = 1000


@final
class Admission:
    """The gate's first half.

    Args:
        books: the node's records.
        appraiser: what a request is, costs and may.
        at: the gate's hook, called with the name of each state.
    """

    def __init__(self, books: Books, appraiser: Appraiser, *, at: Callable[[str], None]) -> None:
        self._books, self._appraiser, self._at = books, appraiser, at

    def known(self, claim: Claim) -> dict[str, Any] | None:
        """The row of this release, if it was asked or charged before.

        Raises:
            PolicyDenied: its id belongs to another request.
            SteadError: the claim has not the form of one.
        """
        with self._refusals(claim):
            claim.check()
            with self._books.store.read() as connection:
                return releases.find(connection, claim)

    def admit(self, claim: Claim) -> Appraisal | Waiting:
        """Decide and charge, or say who is asked.

        Raises:
            SteadError: it is refused, and the log says so.
        """
        with self._refusals(claim):
            appraisal = self._appraiser.appraise(claim)
            self._at("decided")
            with self._books.store.write() as write:
                waiting = self._charge(write, appraisal)
        if waiting is not None:
            return waiting
        self._at("charged")
        return appraisal

    def _charge(self, write: Transaction, appraisal: Appraisal) -> Waiting | None:
        claim, decision, log = appraisal.claim, appraisal.decision, self._books.log
        now = log.now()
        row = releases.take(write, claim, dataset=appraisal.dataset, plan_hash=appraisal.plan_hash, at=now)
        if row["state"] == "ended":
            raise PolicyDenied("this session has begun before.", hint="open a new one, under a new release id")
        if row["state"] in ("charged", "stored"):
            self._require_covered(write, appraisal)
            return None  # paid already
        if row["state"] == "denied":
            raise PolicyDenied(f"the owner denied this: {row['reason']}.")
        appraisal.require_not_denied()
        approved = row["state"] == "approved" and (
            not decision.approvers or not set(row["approvers"]).isdisjoint(decision.approvers)
        )
        if decision.decision == "ask" and not approved:
            if appraisal.bill is not None:
                self._books.ledger.check(write.connection, appraisal.bill)
            return self._ask(write, appraisal, row)
        approvers = row["approvers"] if approved else decision.approvers
        leaf = self._beginning(write, appraisal, approvers=approvers, at=now)
        releases.change(write, claim.release, state="charged", charged_leaf=log.append(write, leaf))
        if claim.outlet != "answer":
            session = {"release": claim.release, "state": "charged", "rounds": 0, "opened_at": now}
            write.connection.execute(tables.sessions.insert().values(session))
        self._at("charging")
        return None

    def _beginning(
        self, write: Transaction, appraisal: Appraisal, *, approvers: tuple[str, ...], at: float
    ) -> leaves.Charged | leaves.Helping:
        """Take the price; the leaf that says so, or that there is none because nothing of this node's is entered."""
        claim, bill = appraisal.claim, appraisal.bill
        if bill is None:
            return leaves.Helping(
                at=at,
                release=claim.release,
                requester=claim.requester,
                project=claim.project,
                plan_hash=appraisal.plan_hash,
                why=claim.why,
                approvers=approvers,
            )
        return leaves.Charged(
            at=at,
            release=claim.release,
            requester=claim.requester,
            project=claim.project,
            dataset=appraisal.dataset,
            plan_hash=appraisal.plan_hash,
            outlet=claim.outlet,
            why=claim.why,
            event=b"" if bill.event is None else codec.encode(bill.event),
            charges=self._books.ledger.charge(write, bill, at=at),
            approvers=approvers,
        )

    def _require_covered(self, write: Transaction, appraisal: Appraisal) -> None:
        """Raise when a release that was charged under an earlier card would cost more under this one."""
        if appraisal.bill is not None and not self._books.ledger.covers(write.connection, appraisal.bill):
            raise PolicyDenied(
                "this was charged under another card of the dataset, and would cost more now.",
                hint="ask again, under a new release id",
            )

    def _ask(self, write: Transaction, appraisal: Appraisal, row: dict[str, Any]) -> Waiting:
        """Put the request before a person, once; and say so to the requester, each time."""
        claim, decision = appraisal.claim, appraisal.decision
        request = row["request"] or releases.request_name(self._books.entropy)
        if row["state"] != "asked":
            leaf = leaves.Asked(
                at=self._books.log.now(),
                release=claim.release,
                requester=claim.requester,
                plan_hash=appraisal.plan_hash,
                outlet=claim.outlet,
                why=claim.why,
                reason=decision.reason,
            )
            self._books.log.append(write, leaf)
        asked = {"request": request, "reason": decision.reason, "approvers": decision.approvers, "state": "asked"}
        releases.change(write, claim.release, **asked)
        return Waiting(request=request, approvers=decision.approvers, reason=decision.reason)

    @contextmanager
    def _refusals(self, claim: Claim) -> Iterator[None]:
        """Whatever is refused inside is logged, in its own transaction, with the reason that the requester sees."""
        try:
            yield
        except NodeError:
            raise
        except SteadError as error:
            leaf = leaves.Refused(
                at=self._books.log.now(),
                release=claim.release[: releases.RELEASE_BYTES],
                requester=claim.requester,
                plan_hash=self._appraiser.hash(claim.plan),
                outlet=claim.outlet,
                error=type(error).code(),
                reason=error.what[:_MOST_REASON],
            )
            with self._books.store.write() as write:
                self._books.log.append(write, leaf)
            raise
