"""What a client has seen of a node's log: the last signed head, which may grow and never shrink or change.

An owner who restores an old backup, or shows two clients two logs, is found out here: each head that a client meets
must contain the one it met before.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stead.client.files import write_file
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
        witnesses: signature lines of others than the node beside this head; they are not checked here.
    """

    node: str
    size: int
    root: bytes
    seen_before: int | None
    witnesses: int

    def __repr__(self) -> str:
        history = "seen for the first time"
        if self.seen_before is not None:
            history = f"contains the {self.seen_before:,} entries seen before"
        cosigned = f"{self.witnesses} other signatures (not checked)" if self.witnesses else "no witness has signed it"
        return f"log of {self.node}: {self.size:,} entries, root {self.root.hex()[:16]} · {history} · {cosigned}"


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
