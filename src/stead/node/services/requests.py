"""Requests that wait for a person: listed, shown, approved or denied by the owner's people.

An approver sees the plan and its price, never a result; the word is bound to the plan's hash, since a release id
keeps its plan for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, final

import msgspec
import sqlalchemy as sa

from stead.core.leaves import Decided
from stead.errors import PolicyDenied, UsageError
from stead.learn.header import Header
from stead.node.services.books import Books
from stead.node.services.releases import Claim, change, claim_of
from stead.node.store import plain, tables
from stead.plans.joint import Joint
from stead.plans.plan import decode_plan

State = Literal["asked", "approved", "denied", "charged", "stored", "ended"]


class RequestView(msgspec.Struct, frozen=True):
    """A release as the owner sees it: what is asked, by whom, and where it stands.

    ``request`` is its short name. ``sites`` are who takes part in a session, under the names that the owner gave their
    keys, whatever the requester calls them; empty for an answer.
    """

    request: str
    claim: Claim
    requester: str
    dataset: str
    plan_hash: bytes
    state: State
    reason: str
    approvers: tuple[str, ...]
    made_at: float
    sites: tuple[str, ...] = ()


@final
class Requests:
    """The owner's side of asking."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def all(self, state: State | None = "asked") -> tuple[RequestView, ...]:
        """The requests in this state, oldest first; with ``None`` all releases that were ever asked or charged."""
        rows = tables.releases
        query = sa.select(rows).order_by(rows.c.made_at, rows.c.id)
        if state is not None:
            query = query.where(rows.c.state == state)
        return self._views(query)

    def show(self, request: str) -> RequestView:
        """One request by its short name.

        Raises:
            UsageError: there is none of that name.
        """
        found = self._views(sa.select(tables.releases).where(tables.releases.c.request == request))
        if not found:
            raise UsageError(f"there is no request {request[:40]!r}.", hint="stead requests ls")
        return found[0]

    def approve(self, request: str, approver: str, *, reason: str = "") -> None:
        """Say yes, as ``approver``: the requester's next try is charged and run.

        Raises:
            UsageError: no such request, or it waits no longer.
            PolicyDenied: the policy names other approvers.
        """
        self._decide(request, approver, "approve", reason)

    def deny(self, request: str, approver: str, *, reason: str) -> None:
        """Say no, for ever, with a reason that the requester sees.

        Raises:
            UsageError: no such request, it waits no longer, or no reason.
            PolicyDenied: the policy names other approvers.
        """
        if not reason.strip():
            raise UsageError("a denial gives its reason.")
        self._decide(request, approver, "deny", reason)

    def _decide(self, request: str, approver: str, decision: Literal["approve", "deny"], reason: str) -> None:
        release = self.show(request).claim.release
        with self._books.store.write() as write:
            row = write.lock_release(release)
            if row is None or row["state"] != "asked":
                raise UsageError(f"request {request} waits no longer: it is {row['state'] if row else 'gone'}.")
            if not approver.strip() or (row["approvers"] and approver not in row["approvers"]):
                allowed = ", ".join(row["approvers"]) or "anyone with a name"
                raise PolicyDenied(f"{approver[:80]!r} cannot decide this request; the policy asks {allowed}.")
            now = self._books.log.now()
            leaf = Decided(at=now, release=release, approver=approver, decision=decision, reason=reason)
            self._books.log.append(write, leaf)
            if decision == "approve":
                change(write, release, state="approved", approvers=(approver,))
            else:
                change(write, release, state="denied", approvers=(approver,), reason=reason)

    def _views(self, query: sa.Select[Any]) -> tuple[RequestView, ...]:
        names = {person.key: person.name for person in self._books.people.all()}
        names[self._books.identity.public] = self._books.identity.name
        with self._books.store.read() as connection:
            rows = [plain(row) for row in connection.execute(query).mappings()]
        return tuple(_view(row, names) for row in rows)


def _view(row: dict[str, Any], names: Mapping[bytes, str]) -> RequestView:
    header = bytes(row["header"])
    keys = [key for _, key in Header.from_bytes(header).cohort] if header else []
    if not header and row["outlet"] != "answer":
        plan = decode_plan(bytes(row["plan"]))
        keys = [party.key for party in plan.parties] if isinstance(plan, Joint) else []
    return RequestView(
        request=row["request"] or "",
        claim=claim_of(row),
        requester=names.get(bytes(row["requester"]), ""),
        dataset=row["dataset"],
        plan_hash=bytes(row["plan_hash"]),
        state=row["state"],
        reason=row["reason"],
        approvers=row["approvers"],
        made_at=row["made_at"],
        sites=tuple(names.get(key, "a key that nobody knows") for key in keys),
    )
