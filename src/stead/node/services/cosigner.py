"""This node as a witness: it signs the heads of peers' logs, never a smaller one and never one of another branch.

References: C2SP tlog-witness, ``add-checkpoint``.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any, Final, final

import msgspec
import sqlalchemy as sa

from stead.core import cosign
from stead.core.keys import PublicKey
from stead.core.leaves import CosigningBegun, CosigningEnded
from stead.core.merkle import EMPTY_ROOT, verify_consistency
from stead.core.notes import Checkpoint, log_origin, split_note
from stead.core.witnessing import AddCheckpoint
from stead.errors import BadMessage, BadProof, BadSignature, PolicyDenied, UsageError
from stead.node.services.log import Identity, Log
from stead.node.services.people import People
from stead.node.store import Store, Transaction, tables

_ORIGIN: Final = re.compile(r"stead\.log/([0-9a-f]{64})")
_log = logging.getLogger("stead.node")


class WitnessedLog(msgspec.Struct, frozen=True):
    """A log that this node signs, or did.

    Attributes:
        name: the peer's.
        key: its raw public key.
        allowed: its heads are signed now.
        size: leaves under the head that was signed last; 0 before the first.
        signed_at: when that was, seconds since the Unix epoch; 0 before the first.
    """

    name: str
    key: bytes
    allowed: bool
    size: int
    signed_at: int


@dataclass(frozen=True)
class Conflict:
    """The head does not follow the one that was signed last, which has ``size`` leaves."""

    size: int


@final
class Cosigner:
    """Signs the heads of the logs that the owner allows. Safe to call from several threads and processes.

    Args:
        store: remembers what was signed last of each log.
        log: where the owner's decisions are recorded; what is signed is not.
        people: only peers who are still trusted are served.
        identity: the key that signs, under the name that follows from it.
    """

    def __init__(self, store: Store, log: Log, people: People, identity: Identity) -> None:
        self._store, self._log, self._people, self._identity = store, log, people, identity

    def allow(self, key: bytes, name: str) -> None:
        """Sign the heads of this peer's log from now on. What was signed of it before is not forgotten.

        Raises:
            UsageError: the key is no trusted peer's, or this node's own.
        """
        if key == self._identity.public:
            raise UsageError("a node is no witness of itself.", hint="ask the owner of another node")
        if self._people.site(key) != name:
            raise UsageError(f"no peer {name[:80]!r} with this key is trusted here.", hint="stead peers add NAME KEY")
        now, rows = self._log.now(), tables.witnessed
        row = {"key": key, "name": name, "allowed": True, "size": 0, "root": EMPTY_ROOT, "note": "", "signed_at": 0}
        with self._store.write() as write:
            if not write.insert_if_absent(rows, row):
                found = _locked(write, key)
                if found is not None and found["allowed"] and found["name"] == name:
                    return
                write.connection.execute(rows.update().where(rows.c.key == key).values(allowed=True, name=name))
            self._log.append(write, CosigningBegun(at=now, name=name, key=key))

    def end(self, key: bytes) -> None:
        """Sign no more heads of this log; what was signed is remembered.

        Raises:
            UsageError: its heads are not signed.
        """
        now, rows = self._log.now(), tables.witnessed
        with self._store.write() as write:
            found = _locked(write, key)
            if found is None or not found["allowed"]:
                raise UsageError("this node does not sign the heads of that log.")
            write.connection.execute(rows.update().where(rows.c.key == key).values(allowed=False))
            self._log.append(write, CosigningEnded(at=now, key=key))

    def logs(self) -> tuple[WitnessedLog, ...]:
        """The logs that are or were signed, by name."""
        rows = tables.witnessed
        query = sa.select(rows).order_by(rows.c.name, rows.c.key)
        with self._store.read() as connection:
            return tuple(
                WitnessedLog(row["name"], bytes(row["key"]), bool(row["allowed"]), row["size"], row["signed_at"])
                for row in connection.execute(query).mappings()
            )

    def held(self, key: bytes) -> str:
        """The head that was signed last of this log, a note with the log's signature and this node's; else empty.

        What was signed is told of a log that is signed no longer too: it may show that its store was turned back.

        Raises:
            PolicyDenied: the log is none that this node signs or has signed.
        """
        rows = tables.witnessed
        with self._store.read() as connection:
            note = connection.execute(sa.select(rows.c.note).where(rows.c.key == key)).scalar_one_or_none()
        if not note and not self._served(key):
            raise _not_served()
        return str(note)

    def sign(self, request: AddCheckpoint) -> str | Conflict:
        """The line that cosigns the head in the request, once it is remembered that it was signed.

        Returns:
            The line with its newline; or, where the head does not follow the one signed last, how large that one is.

        Raises:
            BadMessage: the note is none.
            PolicyDenied: a log that this node does not sign.
            BadSignature: the head is not signed by the log's own key.
            UsageError: the old size is larger than the new one.
            BadProof: it is not shown that the log only grew.
        """
        key, head, text = self._open(request.note)
        if request.old_size > head.size:
            raise UsageError(f"the old size {request.old_size} is larger than the head's {head.size}.")
        with self._store.write() as write:
            row = _locked(write, key)
            if row is None or not row["allowed"]:
                raise _not_served()
            size, root = int(row["size"]), bytes(row["root"])
            if request.old_size != size:
                return Conflict(size)
            if head.size == size and head.root != root:
                _log.critical("a log signed two heads of one size", extra={"doing": f"cosign {row['name']}"})
                return Conflict(size)
            # An old size of 0 needs no proof; that of a head that was signed was checked when it was.
            verify_consistency(size, root, head.size, head.root, request.proof)
            time_s = max(int(self._log.now()), int(row["signed_at"]))
            identity = self._identity
            name = cosign.witness_name(identity.public)
            line = cosign.cosign(text, name=name, key=identity.key, time_s=time_s)
            note = cosign.own_note(request.note, head.origin) + line
            values = {"size": head.size, "root": head.root, "note": note, "signed_at": time_s}
            rows = tables.witnessed
            write.connection.execute(rows.update().where(rows.c.key == key).values(values))
        return line

    def _open(self, note: str) -> tuple[bytes, Checkpoint, str]:
        """The log's key, its head and the note's text; everything that needs no lock is checked here."""
        try:
            text, _ = split_note(note)
        except BadProof as error:
            raise BadMessage(error.what) from None
        named = _ORIGIN.fullmatch(text.partition("\n")[0])
        key = bytes.fromhex(named[1]) if named else b""
        if not self._served(key):
            raise _not_served()
        try:
            head, text = cosign.open_head(note, log_origin(key), PublicKey(key))
        except BadProof as error:
            raise BadSignature(f"this head is not one that its log has signed: {error.what}") from None
        return key, head, text

    def _served(self, key: bytes) -> bool:
        rows = tables.witnessed
        with self._store.read() as connection:
            allowed = connection.execute(sa.select(rows.c.allowed).where(rows.c.key == key)).scalar_one_or_none()
        return bool(allowed) and self._people.is_site(key)


def _locked(write: Transaction, key: bytes) -> dict[str, Any] | None:
    """The log's row; from here to the commit nobody else signs a head of it."""
    query = sa.select(tables.witnessed).where(tables.witnessed.c.key == key).with_for_update()
    row = write.connection.execute(query).mappings().one_or_none()
    return None if row is None else dict(row)


def _not_served() -> PolicyDenied:
    return PolicyDenied(
        "this node is no witness of that log.", hint="its owner allows it: stead peers add, then stead witness allow"
    )
