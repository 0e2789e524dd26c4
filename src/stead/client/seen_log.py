"""What a client has seen of a node's log: the last signed head, which may grow and never shrink or change.

An owner who restores an old backup, or shows two clients two logs, is found out here: each head that a client meets
must contain the one it met before.
"""

from __future__ import annotations

import datetime as dt
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stead.client.files import write_file
from stead.core.cosign import Cosignature
from stead.core.keys import PublicKey
from stead.core.merkle import verify_consistency
from stead.core.notes import Checkpoint, log_origin, open_checkpoint
from stead.errors import BadProof

ConsistencyProof = Callable[[int, int], tuple[bytes, ...]]


@dataclass(frozen=True)
class LogState:
    """A log head that was checked, and the one it was checked against.

    Attributes:
        size: entries in the log now.
        root: its RFC 9162 root hash.
        seen_before: the size that this client had seen before; ``None`` at first sight.
        witnesses: what the witnesses that this client knows have signed of this log, each line verified.
        witnessed: entries under the head that they signed; the log now begins with these. 0 when none signed.
        unknown: signature lines of others, whose keys this client was not given; they are not checked.
    """

    node: str
    size: int
    root: bytes
    seen_before: int | None
    witnesses: tuple[Cosignature, ...] = ()
    witnessed: int = 0
    unknown: int = 0

    def require_witnesses(self, least: int, *, within_s: float, now: float) -> None:
        """Return if so many of the known witnesses have signed within the last ``within_s`` seconds.

        Args:
            least: how many.
            within_s: how old a signature may be; a node renews them every hour.
            now: seconds since the Unix epoch.

        Raises:
            BadProof: fewer have.
        """
        recent = sum(1 for each in self.witnesses if now - each.time_s <= within_s)
        if recent < least:
            raise BadProof(
                f"{recent} of the witnesses that you named have signed the log of {self.node} "
                f"in the last {within_s:g} s; you want {least}.",
                hint="an old backup that was put back, or a node shown to you alone, has no fresh signatures",
            )

    def __repr__(self) -> str:
        history = "seen for the first time"
        if self.seen_before is not None:
            history = f"contains the {self.seen_before:,} entries seen before"
        return (
            f"log of {self.node}: {self.size:,} entries, root {self.root.hex()[:16]} · {history} · {self._cosigned()}"
        )

    def _cosigned(self) -> str:
        if self.witnesses:
            count = f"{len(self.witnesses)} known witness{'es have' if len(self.witnesses) > 1 else ' has'}"
            last = dt.datetime.fromtimestamp(max(each.time_s for each in self.witnesses), tz=dt.UTC)
            what = "it" if self.witnessed == self.size else f"its first {self.witnessed:,} entries"
            return f"{count} signed {what}, the last at {last:%Y-%m-%d %H:%M} UTC"
        if self.unknown:
            return f"{self.unknown} other signatures (not checked: connect with witnesses=[KEY])"
        return "no witness has signed it"


class SeenLog:
    """The memory of one node's log on this machine.

    Args:
        home: the scientist's directory.
        node_key: the node's raw public key, which signs the heads.
        proof: fetches the consistency proof between two sizes from the node.
    """

    def __init__(self, home: Path, node_key: bytes, proof: ConsistencyProof) -> None:
        self._directory = home / "seen_logs"
        self._file = self._directory / f"{node_key.hex()}.note"
        self._node_key = node_key
        self._proof = proof

    def last(self) -> Checkpoint | None:
        """The largest head seen so far."""
        if not self._file.exists():
            return None
        return self._open(self._file.read_text())

    def observe(self, note: str, *, live: bool) -> Checkpoint | None:
        """Check a signed head against the last one seen, and remember the larger.

        Args:
            note: the head, a C2SP signed note.
            live: it is the node's head of now, which may not be smaller than what was seen; the head in a receipt
                may be, and must then be contained in what was seen.

        Returns:
            The head that was the last one before.

        Raises:
            BadProof: the signature is wrong, or the log shrank, or was changed behind what was seen.
        """
        head = self._open(note)
        with self._lock():
            last = self.last()
            if last is None:
                write_file(self._file, note.encode())
                return None
            if live and head.size < last.size:
                raise BadProof(
                    f"the node shows a log of {head.size} entries; {last.size} were seen before: the log has shrunk.",
                    hint="the node may run on an old backup; tell its owner and your data-protection officer",
                )
            older, newer = (last, head) if head.size >= last.size else (head, last)
            self._check(older, newer)
            if newer is head and head.size > last.size:
                write_file(self._file, note.encode())
            return last

    def _check(self, older: Checkpoint, newer: Checkpoint) -> None:
        if older.size == newer.size:
            if older.root != newer.root:
                raise BadProof(f"two different logs of {older.size} entries are signed by the same node.")
            return
        proof = self._proof(older.size, newer.size)
        verify_consistency(older.size, older.root, newer.size, newer.root, proof)

    def _open(self, note: str) -> Checkpoint:
        return open_checkpoint(note, log_origin(self._node_key), PublicKey(self._node_key))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
