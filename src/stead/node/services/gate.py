"""``ReleaseGate``: the one way out for whatever is derived from private rows, through one of three outlets.

The order of a release::

    received   a request, by a key that has proven itself
    decided    what it is, what it costs and the policy's word are known; no row has been touched
    charging   inside the transaction that takes the price and logs it, all written, not yet committed
    charged    committed: from here on the price is paid, whatever happens
    running    outside any transaction
    ran        the result exists in memory, with its noise
    storing    inside the transaction that keeps and logs the result, all written, not yet committed
    stored     committed: from here on this release is these bytes, however often it is sent
    sending    about to hand it to the requester

A crash between any two of them can cost budget, never privacy: a release that is charged and not stored is executed
again under the same charge, one that is stored is sent again. Decisions are made from plans and budgets, before rows.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any, Protocol, final

from stead.core import leaves
from stead.core.messages import AskAnswer, OpenSession, Released, SessionOpened, Waiting
from stead.core.schema import DatasetCard
from stead.errors import NodeError, UsageError
from stead.node.services import releases
from stead.node.services.admission import Admission
from stead.node.services.appraisal import Appraisal, Appraiser, Language
from stead.node.services.books import Books
from stead.node.services.faults import fault
from stead.node.services.log import refuse_seeded
from stead.node.services.releases import Claim
from stead.node.services.session import Participant, Session, Sessions
from stead.plans.exact import Exact
from stead.plans.query import Query


class Runner(Protocol):
    """Where rows are touched."""

    def run(self, query: Query, card: DatasetCard) -> Exact:
        """The exact integers of a query, without noise, of rows under this very card (of the joined rows)."""
        ...

    def participate(self, appraisal: Appraisal) -> Participant:
        """This site's side of a session that has been charged."""
        ...


@final
class ReleaseGate:
    """Releases answers, joins sessions, discloses; and writes down which.

    Args:
        books: the node's records.
        appraiser: what a request is, costs and may.
        language: of plans.
        runner: touches rows, when the gate says so.
        sessions: keeps the open ones.
        at: called at every state of a release by name; a test's way to stop the world there.
    """

    def __init__(
        self,
        books: Books,
        *,
        appraiser: Appraiser,
        language: Language,
        runner: Runner,
        sessions: Sessions,
        at: Callable[[str], None] = lambda _: None,
    ) -> None:
        refuse_seeded(books.entropy, testing=books.identity.testing)
        self._books, self._language, self._runner, self._sessions, self._at = books, language, runner, sessions, at
        self._admission = Admission(books, appraiser, at=at)
        self._opening = threading.Lock()

    def answer(self, caller: bytes, ask: AskAnswer) -> Released | Waiting:
        """Release a query's answer with its noise, once; the same request again gets the same bytes.

        Raises:
            Refused: the policy or a budget does not allow it.
            UsageError: the plan cannot be run, bounded or priced.
            NodeError: a fault; what was charged stays charged, and the same request may be sent again.
        """
        claim = Claim(ask.release, caller, ask.project, "answer", ask.plan, ask.why)
        self._at("received")
        row = self._admission.known(claim)
        if row is None or row["state"] != "stored":
            admitted = self._admission.admit(claim)
            if isinstance(admitted, Waiting):
                return admitted
            row = self._execute(admitted)
        self._at("sending")
        receipt = self._books.log.receipt(row["result_leaf"])
        return Released(release=claim.release, body=bytes(row["result"]), receipt=receipt)

    def join(self, caller: bytes, opening: OpenSession) -> SessionOpened | Waiting:
        """Take part in a session of priced frames. It is charged before its first frame, for all of its rounds."""
        return self._open(caller, opening, "join")

    def disclose(self, caller: bytes, opening: OpenSession) -> SessionOpened | Waiting:
        """Take part in a session whose sum has no differential privacy: on named approvers' word, counted for ever."""
        return self._open(caller, opening, "disclose")

    def _open(self, caller: bytes, opening: OpenSession, outlet: leaves.Outlet) -> SessionOpened | Waiting:
        if opening.outlet != outlet:
            raise UsageError(f"this request is for the outlet {opening.outlet!r}, not {outlet!r}.")
        claim = Claim(
            opening.release, caller, opening.project, outlet, opening.plan, opening.why, header=opening.header
        )
        self._at("received")
        with self._opening:
            session = self._sessions.find(claim)
            if session is None:
                self._admission.known(claim)
                admitted = self._admission.admit(claim)
                if isinstance(admitted, Waiting):
                    return admitted
                session = self._begin(admitted)
        self._at("sending")
        receipt = self._books.log.receipt(session.charged_leaf)
        return SessionOpened(release=claim.release, frame=session.first, receipt=receipt)

    def _execute(self, admitted: Appraisal) -> dict[str, Any]:
        """Run a charged query and keep its result; whoever keeps it first wins. Returns the release's row."""
        body = self._noisy(admitted)
        release = admitted.claim.release
        with self._books.store.write() as write:
            row = write.lock_release(release)
            if row is None:
                raise NodeError("a charged release is gone.")
            if row["state"] == "charged":
                leaf = leaves.ResultStored(
                    at=self._books.log.now(), release=release, result_hash=hashlib.sha256(body).digest()
                )
                kept = {"state": "stored", "result": body, "result_leaf": self._books.log.append(write, leaf)}
                releases.change(write, release, **kept)
                row |= kept
                self._at("storing")
        self._at("stored")
        return row

    def _noisy(self, admitted: Appraisal) -> bytes:
        """The released bytes: the runner's integers with fresh noise of the plan's sigmas."""
        query, failed, body = admitted.plan, "", b""
        if not isinstance(query, Query):
            raise UsageError("one site answers queries; a training is joined.")
        card = admitted.own_card
        self._at("running")
        try:
            exact = self._runner.run(query, card)
            body = self._language.release(query, card.schema, exact, self._books.entropy)
        except Exception as error:  # noqa: BLE001 - its text may hold what rows held, so only its class is kept
            failed = type(error).__name__
        if failed:
            raise fault(self._books.entropy, "answer", failed)
        self._at("ran")
        return body

    def _begin(self, admitted: Appraisal) -> Session:
        """Start a charged session; it begins once."""
        claim, allowance, failed = admitted.claim, admitted.allowance, ""
        charged_leaf = self._sessions.begin(claim.release)
        self._at("running")
        try:
            participant = self._runner.participate(admitted)
            session = Session(claim, allowance, participant, charged_leaf=charged_leaf)
        except Exception as error:  # noqa: BLE001 - as above
            failed = type(error).__name__
        if failed:
            self._sessions.abort(claim.release)
            raise fault(self._books.entropy, "session", failed)
        self._sessions.add(session)
        self._at("ran")
        return session
