"""The rows of releases: one for each release id that was ever asked or charged.

::

    (none) ── allow ──────────────────────────────> charged ── answer ──> stored
       └── ask ──> asked ── approve ──> approved ──>   │
                      └──── deny ─────> denied         └── session ─────> ended

Refused requests leave a leaf in the log and no row, so the same request may be sent again when the budget or the policy
has changed.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stead.core.entropy import Entropy
from stead.core.leaves import Outlet
from stead.errors import BadMessage, PolicyDenied, PurposeMissing, UsageError
from stead.node.store import Transaction, plain, tables

RELEASE_BYTES = 16
_MOST_WHY = 2000


class Claim(msgspec.Struct, frozen=True):
    """A request for a release, as its requester made it; every part is fixed by the release id from then on."""

    release: bytes
    requester: bytes
    project: str
    outlet: Outlet
    plan: bytes
    why: str
    header: bytes = b""

    def check(self) -> None:
        """Raise unless the id and the purpose have the form that they must have."""
        if len(self.release) != RELEASE_BYTES:
            raise BadMessage(f"a release id has {RELEASE_BYTES} bytes, not {len(self.release)}.")
        if not self.why.strip():
            raise PurposeMissing("every spend says why.", hint='why="Table 1"')
        if len(self.why) > _MOST_WHY:
            raise UsageError(f"why has at most {_MOST_WHY} characters, not {len(self.why)}.")


def find(connection: Connection, claim: Claim) -> dict[str, Any] | None:
    """The row of the claim's release, if there is one.

    Raises:
        PolicyDenied: the id is taken by another request.
    """
    row = connection.execute(sa.select(tables.releases).where(tables.releases.c.id == claim.release)).mappings().first()
    if row is None:
        return None
    return _same(plain(row), claim)


def take(write: Transaction, claim: Claim, *, dataset: str, plan_hash: bytes, at: float) -> dict[str, Any]:
    """The locked row of the claim's release; made (in state ``new``, which nobody commits) when there is none.

    Raises:
        PolicyDenied: the id is taken by another request.
    """
    row = {
        "id": claim.release,
        "requester": claim.requester,
        "project": claim.project,
        "dataset": dataset,
        "outlet": claim.outlet,
        "plan_hash": plan_hash,
        "plan": claim.plan,
        "header": claim.header,
        "why": claim.why,
        "made_at": at,
        "state": "new",
        "reason": "",
        "approvers": (),
    }
    write.insert_if_absent(tables.releases, row)
    found = write.lock_release(claim.release)
    assert found is not None  # noqa: S101 - it was just put there, and rows are never deleted
    return _same(found, claim)


def change(write: Transaction, release: bytes, **values: Any) -> None:
    """Set columns of a release that the caller has locked."""
    write.connection.execute(tables.releases.update().where(tables.releases.c.id == release).values(values))


def request_name(entropy: Entropy) -> str:
    """A short name under which people speak of a request that waits: ``7f3a-22c1``."""
    text = entropy.take(4).hex()
    return f"{text[:4]}-{text[4:]}"


def claim_of(row: dict[str, Any]) -> Claim:
    """The claim as it was made."""
    return Claim(
        release=bytes(row["id"]),
        requester=bytes(row["requester"]),
        project=row["project"],
        outlet=row["outlet"],
        plan=bytes(row["plan"]),
        why=row["why"],
        header=bytes(row["header"]),
    )


def _same(row: dict[str, Any], claim: Claim) -> dict[str, Any]:
    if claim_of(row) != claim:
        raise PolicyDenied(
            "this release id belongs to another request.", hint="a new question, and a changed one, takes a new id"
        )
    return row
