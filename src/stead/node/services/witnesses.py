"""The nodes that cosign this one's heads: sent each new head, and asked at a start which one they signed last.

An operator who restores an old store together with its ``checkpoint.txt`` is not found out on this machine. A witness
elsewhere still holds the later head, with this node's own signature: that signature, and nothing that the witness says
itself, is what stops the node. So a witness that lies, garbles or stalls can keep back its cosignature and no more.

References: C2SP tlog-witness, ``add-checkpoint``.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, final

import msgspec
import sqlalchemy as sa

from stead.core import cosign
from stead.core.keys import PublicKey
from stead.core.leaves import WitnessAdded, WitnessRemoved
from stead.core.merkle import EMPTY_ROOT
from stead.core.notes import Checkpoint, open_checkpoint
from stead.core.witnessing import AddCheckpoint, write_request
from stead.errors import BadMessage, BadProof, NodeError, PartyTimedOut, PartyUnreachable, SteadError, UsageError
from stead.net.https import PinnedConnection, Timing
from stead.node.services.log import Log
from stead.node.store import Store, tables

ADD_CHECKPOINT: Final = "/v1/witness/add-checkpoint"
HELD: Final = "/v1/witness/checkpoint"
TEXT: Final = "text/plain; charset=utf-8"

MOST_WITNESSES: Final = 16
LONGEST_S: Final = 30.0
REFRESH_S: Final = 3600.0
"""A head that does not change is signed again after so long: a cosignature says that the log was this long ago."""
LONGEST_PAUSE_S: Final = 300.0
_FIRST_PAUSE_S: Final = 5.0
_MAX_ANSWER_BYTES: Final = 256 * 1024
_MOST_DRIFT_S: Final = 600
_TIMING: Final = Timing(connect_s=4.0, silence_s=6.0, exchange_s=10.0)
_log = logging.getLogger("stead.node")


class Line(Protocol):
    """A way to one witness."""

    def get(self, path: str) -> bytes:
        """A page."""
        ...

    def post(self, path: str, body: bytes, content_type: str) -> bytes:
        """Send ``body``, and the reply's."""
        ...


Dial = Callable[[str, bytes], AbstractContextManager[Line]]
"""Opens the way to the witness at an address, whose raw public key is the second argument."""


def dial(url: str, key: bytes) -> AbstractContextManager[Line]:
    """HTTPS to the node with this key and no other, with a time limit for everything.

    Raises:
        UsageError: the address is none.
    """
    return PinnedConnection(url, key, timing=_TIMING, limit_bytes=_MAX_ANSWER_BYTES)


class Witness(msgspec.Struct, frozen=True):
    """A witness of this node.

    Attributes:
        key: its raw public key.
        url: its address.
        size: leaves under the head that it signed last; 0 before the first.
        signed_at: when it did, seconds since the Unix epoch; 0 before the first.
        failures: how often in a row it has not answered as it should.
        failed: the code of the last such error; empty when it answered.
    """

    key: bytes
    url: str
    size: int
    signed_at: int
    failures: int
    failed: str


class Asked(msgspec.Struct, frozen=True):
    """What came of asking one witness.

    Attributes:
        url: its address.
        key: its raw public key.
        size: leaves under the head that it holds; ``None`` when it did not tell.
        error: why it did not, in words; else empty.
        code: the error's code.
    """

    url: str
    key: bytes
    size: int | None
    error: str = ""
    code: str = ""


@final
class Witnesses:
    """The witnesses of one node. No call holds a lock of the store while it waits for one of them.

    Args:
        store: remembers them, and what each signed last.
        log: whose heads they sign.
        dial: opens the way to one.
        longest_s: after so long without an answer a witness is passed over, seconds.
    """

    def __init__(self, store: Store, log: Log, *, dial: Dial = dial, longest_s: float = LONGEST_S) -> None:
        self._store, self._log, self._dial, self._longest_s = store, log, dial, longest_s

    def add(self, url: str, key: bytes) -> None:
        """Send the heads to the node at ``url`` with this key from now on.

        Raises:
            UsageError: not an address, this node itself, a witness already, or too many.
            BadMessage: not a usable key.
        """
        PublicKey(key)
        address = url.rstrip("/")
        with self._dial(address, key):
            pass  # refuses what is no address; nothing is sent
        if key == self._log.node_key:
            raise UsageError("a node is no witness of itself.", hint="ask the owner of another node")
        now, rows = self._log.now(), tables.witnesses
        row = {"key": key, "url": address, "added_at": now, "tried_at": 0.0, "failures": 0, "failed": ""}
        with self._store.write() as write:
            if len(write.connection.execute(sa.select(rows.c.key)).all()) >= MOST_WITNESSES:
                raise UsageError(f"a node has at most {MOST_WITNESSES} witnesses.")
            if not write.insert_if_absent(rows, row | {"size": 0, "root": EMPTY_ROOT, "line": "", "signed_at": 0}):
                raise UsageError(
                    "this node is a witness already.", hint="`stead witness remove` comes before a new URL"
                )
            self._log.append(write, WitnessAdded(at=now, key=key, url=address))

    def remove(self, key: bytes) -> None:
        """Send the heads there no longer.

        Raises:
            UsageError: it is no witness.
        """
        now, rows = self._log.now(), tables.witnesses
        with self._store.write() as write:
            if not write.connection.execute(rows.delete().where(rows.c.key == key)).rowcount:
                raise UsageError("no witness of this node has that key.", hint="`stead witness ls` lists them")
            self._log.append(write, WitnessRemoved(at=now, key=key))

    def all(self) -> tuple[Witness, ...]:
        """The witnesses, by address."""
        return tuple(map(_witness, self._rows()))

    def check(self, *, required: bool = False) -> tuple[Asked, ...]:
        """Ask each witness for the head that it signed last, all at once.

        Args:
            required: every one must answer, and there must be one.

        Returns:
            What each said, by address.

        Raises:
            BadProof: one holds a head with this node's signature that this store's log does not contain: the store is
                an old one, or another branch.
            PartyUnreachable: ``required``, and one did not answer or there is none.
        """
        asked = self._each(self._rows(), self._ask)
        silent = [one for one in asked if one.error]
        if required and (silent or not asked):
            names = ", ".join(one.url for one in silent)
            raise PartyUnreachable(
                f"not every witness answered: {names}." if asked else "this node has no witness, and must have one.",
                hint="with witness_required = true a node serves only when all of its witnesses agree with its store",
            )
        return asked

    def sync(self) -> tuple[Asked, ...]:
        """Send the newest head to every witness and keep the cosignatures. Raises as ``check`` does."""
        return self._each(self._rows(), self._push)

    def sync_due(self) -> tuple[Asked, ...]:
        """As ``sync``, to those who lack the newest head or signed it long ago; after failures with growing pauses."""
        now, size = self._log.now(), self._log.size()
        return self._each([row for row in self._rows() if _due(row, size, now)], self._push)

    def _rows(self) -> list[dict[str, Any]]:
        rows = tables.witnesses
        with self._store.read() as connection:
            found = connection.execute(sa.select(rows).order_by(rows.c.url, rows.c.key)).mappings()
            return [{str(name): value for name, value in row.items()} for row in found]

    def _each(
        self, rows: list[dict[str, Any]], work: Callable[[dict[str, Any]], Checkpoint | None]
    ) -> tuple[Asked, ...]:
        """Do ``work`` with each witness at the same time; a proof against this node is raised after all are done."""
        outcomes: dict[bytes, Asked | BadProof] = {}

        def run(row: dict[str, Any]) -> None:
            outcomes[bytes(row["key"])] = self._try(row, work)

        # The process may end while one of them still waits for a witness that stalls.
        threads = [threading.Thread(target=run, args=(row,), name="witness", daemon=True) for row in rows]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + self._longest_s
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        found = [outcomes.get(bytes(row["key"])) or self._too_late(row) for row in rows]
        for outcome in found:
            if isinstance(outcome, BadProof):
                raise outcome
        return tuple(outcome for outcome in found if isinstance(outcome, Asked))

    def _too_late(self, row: dict[str, Any]) -> Asked:
        key, url = bytes(row["key"]), str(row["url"])
        error = PartyTimedOut(f"no answer within {self._longest_s:g} s.")
        self._failed(key, url, error)
        return Asked(url, key, None, error.what, error.code())

    def _try(self, row: dict[str, Any], work: Callable[[dict[str, Any]], Checkpoint | None]) -> Asked | BadProof:
        key, url = bytes(row["key"]), str(row["url"])
        try:
            held = work(row)
        except _TurnedBackError as error:
            self._failed(key, url, error.proof)
            return error.proof
        except SteadError as error:
            self._failed(key, url, error)
            return Asked(url, key, None, error.what, error.code())
        except Exception as error:  # noqa: BLE001 - what comes from outside must not end the node; its text is not kept
            self._failed(key, url, NodeError(type(error).__name__))
            return Asked(url, key, None, f"asking failed ({type(error).__name__}).", NodeError.code())
        return Asked(url, key, 0 if held is None else held.size)

    def _ask(self, row: dict[str, Any]) -> Checkpoint | None:
        with self._dial(row["url"], bytes(row["key"])) as line:
            held = self._held(line)
        self._answered(bytes(row["key"]), {})
        return held

    def _held(self, line: Line) -> Checkpoint | None:
        """The head that a witness holds, once this node's signature under it and this node's tree are compared."""
        data = line.get(f"{HELD}?log={self._log.node_key.hex()}")
        if not data:
            return None
        head = open_checkpoint(_text(data), self._log.origin, PublicKey(self._log.node_key))
        try:
            self._log.contains(head)
        except BadProof as error:
            raise _TurnedBackError(error) from None
        return head

    def _push(self, row: dict[str, Any]) -> Checkpoint:
        key = bytes(row["key"])
        with self._dial(row["url"], key) as line:
            held = self._held(line)
            proof, note = self._log.consistency(held.size if held else 0)
            note = cosign.own_note(note, self._log.origin)
            request = AddCheckpoint(held.size if held else 0, proof, note)
            answer = _text(line.post(ADD_CHECKPOINT, write_request(request), TEXT))
        own = self._own_line(note, answer, key)
        head = open_checkpoint(note, self._log.origin, PublicKey(self._log.node_key))
        signed = {"size": head.size, "root": head.root, "line": own[0], "signed_at": own[1]}
        self._answered(key, signed)
        return head

    def _own_line(self, note: str, answer: str, key: bytes) -> tuple[str, int]:
        """The witness's own line out of its answer and the time in it, once it verifies and is of now."""
        line, time_s = cosign.pick_line(note, answer, name=cosign.witness_name(key), public_key=PublicKey(key))
        if abs(time_s - self._log.now()) > _MOST_DRIFT_S:
            raise BadProof(f"the witness's signature is of another time, by more than {_MOST_DRIFT_S} s.")
        return line, time_s

    def _answered(self, key: bytes, values: dict[str, Any]) -> None:
        rows = tables.witnesses
        good = {"tried_at": self._log.now(), "failures": 0, "failed": ""} | values
        with self._store.write() as write:
            write.connection.execute(rows.update().where(rows.c.key == key).values(good))

    def _failed(self, key: bytes, url: str, error: SteadError) -> None:
        """Remember and tell a failure; nothing that another sent is written into the journal."""
        rows = tables.witnesses
        bad = {"tried_at": self._log.now(), "failures": rows.c.failures + 1, "failed": error.code()}
        with contextlib.suppress(Exception), self._store.write() as write:  # what failed is more than that it is noted
            write.connection.execute(rows.update().where(rows.c.key == key).values(bad))
        _log.warning("a witness did not sign", extra={"doing": f"witness {url}", "error": error.code()})


class _TurnedBackError(Exception):
    """A head with this node's own signature that its store does not contain; ``proof`` is what callers meet."""

    def __init__(self, proof: BadProof) -> None:
        super().__init__(proof.what)
        self.proof = proof


def _witness(row: dict[str, Any]) -> Witness:
    return Witness(
        bytes(row["key"]), row["url"], int(row["size"]), int(row["signed_at"]), int(row["failures"]), row["failed"]
    )


def _due(row: dict[str, Any], size: int, now: float) -> bool:
    """Whether it is this witness's turn."""
    if row["failures"]:
        pause = min(_FIRST_PAUSE_S * 2.0 ** min(row["failures"], 10), LONGEST_PAUSE_S)
        return not 0 <= now - row["tried_at"] < pause
    return bool(row["size"] < size or not 0 <= now - row["signed_at"] < REFRESH_S)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadMessage("the witness's answer is not text.") from None
