"""The node's log: every decision is a leaf, appended in the transaction of what it records.

The tree's head is signed as a C2SP checkpoint and written to ``checkpoint.txt`` beside the store after every commit.
At its start a node compares the two: a store that is smaller than the file, or whose tree does not begin with the
file's, is an older or another store (a restored backup would give spent budget back), and is refused.

References: RFC 9162, section 2.1; C2SP tlog-checkpoint.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stead.core import codec, notes
from stead.core.clock import Clock
from stead.core.cosign import own_note
from stead.core.entropy import Entropy
from stead.core.keys import Key
from stead.core.leaves import Leaf, NodeMade
from stead.core.merkle import HASH_BYTES, SALT_BYTES, MerkleLog, leaf_hash, verify_consistency
from stead.core.messages import Receipt
from stead.core.receipts import MAX_LEAF_BYTES
from stead.errors import BadProof, KeyChanged, NodeError, UsageError
from stead.node.store import Store, Transaction, in_batches, tables


@dataclass(frozen=True)
class Identity:
    """Who this node is. ``testing`` nodes may use seeded entropy; their first leaf says so for ever."""

    name: str
    key: Key
    testing: bool = False

    @property
    def public(self) -> bytes:
        """The node's raw public key."""
        return self.key.public.raw


@final
class StoredNodes:
    """The hashes of complete subtrees, in the store (``core.merkle.NodeStore``).

    Args:
        connection: where they are read and written.
        held: those that were read already, by (level, index).
    """

    def __init__(self, connection: Connection, held: Mapping[tuple[int, int], bytes] | None = None) -> None:
        self._connection = connection
        self._held = held or {}

    def get(self, level: int, index: int) -> bytes:
        """The hash that was put there."""
        found = self._held.get((level, index))
        if found is None:
            nodes = tables.log_nodes
            query = sa.select(nodes.c.hash).where(nodes.c.level == level, nodes.c.position == index)
            found = self._connection.execute(query).scalar_one_or_none()
        if found is None:
            raise NodeError(f"the log's tree lacks node {index} of level {level}.")
        return bytes(found)

    def put(self, level: int, index: int, node_hash: bytes) -> None:
        """Keep a hash."""
        row = {"level": level, "position": index, "hash": node_hash}
        self._connection.execute(tables.log_nodes.insert(), row)


@final
class _Wanted:
    """A node store without hashes: it notes which ones are asked for. That never depends on what they are."""

    def __init__(self) -> None:
        self.places: set[tuple[int, int]] = set()
        self._put: set[tuple[int, int]] = set()

    def get(self, level: int, index: int) -> bytes:
        """Any hash; the place is noted."""
        if (level, index) not in self._put:
            self.places.add((level, index))
        return bytes(HASH_BYTES)

    def put(self, level: int, index: int, node_hash: bytes) -> None:
        """Nothing is kept."""
        self._put.add((level, index))


@final
class _Edge:
    """A node store of the last two hashes of each level: all that appending and the last root read."""

    def __init__(self) -> None:
        self._last: dict[int, dict[int, bytes]] = {}

    def get(self, level: int, index: int) -> bytes:
        """The hash that was put there lately."""
        return self._last[level][index]

    def put(self, level: int, index: int, node_hash: bytes) -> None:
        """Keep a hash, and forget the one before the last."""
        held = self._last.setdefault(level, {})
        held.pop(index - 2, None)
        held[index] = node_hash


def tree(connection: Connection, size: int, *uses: Callable[[MerkleLog], object]) -> MerkleLog:
    """The stored tree of ``size`` leaves; the hashes that ``uses`` will read come in one query, not one by one."""
    wanted = _Wanted()
    for use in uses:
        use(MerkleLog(wanted, size))
    if not wanted.places:
        return MerkleLog(StoredNodes(connection), size)
    nodes, levels, positions = tables.log_nodes.c, *map(set, zip(*wanted.places, strict=True))
    # All levels with all positions are a few hundred places, by index. Asked for as pairs, SQLite would read the table.
    query = sa.select(nodes.level, nodes.position, nodes.hash).where(
        nodes.level.in_(levels), nodes.position.in_(positions)
    )
    held = {(level, position): bytes(hashed) for level, position, hashed in connection.execute(query)}
    return MerkleLog(StoredNodes(connection, held), size)


@final
class Log:
    """The append-only log of one node.

    Args:
        store: where it is kept.
        identity: the node's name and key, which signs the heads.
        clock: tells leaves their time.
        entropy: gives leaves their salts.
        checkpoint: the file that remembers the last head.

    Raises:
        UsageError: seeded entropy in a node that is not for testing.
    """

    def __init__(self, store: Store, identity: Identity, *, clock: Clock, entropy: Entropy, checkpoint: Path) -> None:
        refuse_seeded(entropy, testing=identity.testing)
        self._store = store
        self._identity = identity
        self._clock = clock
        self._entropy = entropy
        self._file = checkpoint
        self.origin = notes.log_origin(identity.public)

    @property
    def node_key(self) -> bytes:
        """The raw public key under which the log is checked."""
        return self._identity.public

    def begin(self) -> None:
        """Open the log: write its first leaf, or check that the store is this node's and not an older one.

        Raises:
            KeyChanged: the store belongs to a node with another key.
            UsageError: it belongs to a testing node and this one is none, or the other way round.
            BadProof: the store is older than, or another than, what ``checkpoint.txt`` remembers.
        """
        with self._store.write() as write:
            size = write.lock_head()
            row = write.connection.execute(sa.select(tables.node)).mappings().one_or_none()
            if row is None:
                if self._file.exists():
                    raise BadProof(f"the store is empty, and {self._file.name} remembers a log.", hint=_RESTORED)
                self._make(write)
                return
            if bytes(row["key"]) != self._identity.public:
                raise KeyChanged("this store belongs to a node with another key.")
            if bool(row["testing"]) != self._identity.testing:
                raise UsageError("a node made for testing stays one, and no other node becomes one.")
            self._compare(write.connection, size)
        self._remember()

    def append(self, write: Transaction, leaf: Leaf) -> int:
        """Append a leaf in the caller's transaction; returns its index. Takes the log head's lock."""
        body = codec.encode(leaf)
        if len(body) > MAX_LEAF_BYTES:
            raise UsageError(f"a leaf of the log has at most {MAX_LEAF_BYTES} bytes, not {len(body)}.")
        size = write.lock_head()
        salt = self._entropy.take(SALT_BYTES)
        hashed = leaf_hash(salt, body)
        row = {"position": size, "body": body, "salt": salt, "hash": hashed}
        write.connection.execute(tables.leaves.insert().values(row))
        tree(write.connection, size, lambda log: log.append(hashed)).append(hashed)
        write.connection.execute(tables.log_head.update().values(size=size + 1))
        write.after_commit(self._remember)
        return size

    def now(self) -> float:
        """The time for a leaf, seconds since the Unix epoch."""
        return self._clock.now()

    def size(self) -> int:
        """How many leaves there are."""
        with self._store.read() as connection:
            return _size(connection)

    def checkpoint(self) -> str:
        """The signed head, with the cosignatures of the witnesses that have signed this very one."""
        with self._store.read() as connection:
            return self._sign(connection)

    def witnessed(self) -> str:
        """The largest head that a witness has signed, with the cosignatures; empty when none has."""
        rows = tables.witnesses.c
        with self._store.read() as connection:
            signed = connection.execute(sa.select(sa.func.max(rows.size)).where(rows.size <= _size(connection)))
            size = int(signed.scalar() or 0)
            return self._sign(connection, size) if size else ""

    def contains(self, head: notes.Checkpoint) -> None:
        """Return if this log begins with the one under ``head``, whose signature was verified.

        Raises:
            BadProof: it has fewer leaves, or others.
        """
        with self._store.read() as connection:
            size = _size(connection)
            if head.size > size:
                what = (
                    f"this store is older than it was: {size} leaves, and a witness holds a signed head of {head.size}."
                )
                raise BadProof(what, hint=_RESTORED)
            if tree(connection, size, lambda log: log.root(head.size)).root(head.size) != head.root:
                what = f"a witness holds a signed head of {head.size} leaves that are not this log's first {head.size}."
                raise BadProof(what, hint=_RESTORED)

    def receipt(self, index: int) -> Receipt:
        """The proof that leaf ``index`` stands in the log, with its body and salt."""
        with self._store.read() as connection:
            row = connection.execute(sa.select(tables.leaves).where(tables.leaves.c.position == index)).mappings().one()
            log = tree(connection, _size(connection), lambda log: log.inclusion(index))
            return Receipt(
                leaf=bytes(row["body"]),
                salt=bytes(row["salt"]),
                index=index,
                proof=log.inclusion(index),
                checkpoint=self._sign(connection),
                node_key=self._identity.public,
            )

    def consistency(self, old_size: int) -> tuple[tuple[bytes, ...], str]:
        """The proof that the log of ``old_size`` leaves is the beginning of today's, and today's signed head."""
        with self._store.read() as connection:
            log = tree(connection, _size(connection), lambda log: log.consistency(old_size))
            return log.consistency(old_size), self._sign(connection)

    def growth(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """The proof that the log of ``new_size`` leaves begins with the log of ``old_size``.

        Raises:
            UsageError: the log has not so many leaves.
        """
        with self._store.read() as connection:
            log = tree(connection, _size(connection), lambda log: log.consistency(old_size, new_size))
            return log.consistency(old_size, new_size)

    def leaves(self, start: int = 0, count: int = 1 << 20) -> list[tuple[bytes, bytes, bytes]]:
        """(body, salt, hash) of ``count`` leaves from ``start`` on: the owner's full view."""
        columns = tables.leaves.c
        query = sa.select(columns.body, columns.salt, columns.hash).where(columns.position >= start)
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(columns.position).limit(count)).all()
        return [(bytes(body), bytes(salt), bytes(hashed)) for body, salt, hashed in rows]

    def verify(self) -> None:
        """Build the whole tree again from the leaves' bodies and salts, and return if it is the stored one.

        Raises:
            BadProof: a leaf, a hash or the size was changed behind the log's back.
        """
        with self._store.read() as connection:
            size = _size(connection)
            rebuilt = MerkleLog(_Edge())
            columns = tables.leaves.c
            query = sa.select(columns.position, columns.body, columns.salt, columns.hash)
            for position, body, salt, kept in in_batches(connection, query, columns.position):
                hashed = leaf_hash(bytes(salt), bytes(body))
                if position != rebuilt.size or hashed != bytes(kept):
                    raise BadProof(f"leaf {rebuilt.size} of the log was changed.")
                rebuilt.append(hashed)
            if rebuilt.size != size or rebuilt.root() != tree(connection, size, MerkleLog.root).root():
                raise BadProof(f"the log's {rebuilt.size} leaves are not the tree of {size} that was signed.")
            self._compare(connection, size)

    def _make(self, write: Transaction) -> None:
        identity = self._identity
        now = self._clock.now()
        row = {"id": 1, "name": identity.name, "key": identity.public, "testing": identity.testing, "made_at": now}
        write.connection.execute(tables.node.insert().values(row))
        self.append(write, NodeMade(at=now, name=identity.name, key=identity.public, testing=identity.testing))

    def _sign(self, connection: Connection, at: int | None = None) -> str:
        """The head (of the first ``at`` leaves), and below it the lines of the witnesses that have signed it."""
        size = _size(connection)
        root = tree(connection, size, lambda log: log.root(at)).root(at)
        size = size if at is None else at
        note = notes.sign_checkpoint(notes.Checkpoint(origin=self.origin, size=size, root=root), self._identity.key)
        rows = tables.witnesses.c
        query = sa.select(rows.line).where(rows.size == size, rows.root == root, rows.size > 0).order_by(rows.key)
        return note + "".join(connection.execute(query).scalars())

    def _compare(self, connection: Connection, size: int) -> int:
        """How many leaves the file remembers, having checked that the store's tree begins with them."""
        try:
            text = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            if size > 1:  # after its first leaf alone, a node may have been stopped before it wrote the file
                raise BadProof(f"{self._file.name} is missing beside a log of {size} leaves.", hint=_RESTORED) from None
            return 0
        except (OSError, UnicodeDecodeError):
            raise BadProof(f"{self._file.name} cannot be read.", hint=_RESTORED) from None
        try:
            remembered = notes.open_checkpoint(text, self.origin, self._identity.key.public)
        except BadProof as error:
            raise BadProof(f"{self._file.name} is no head of this node's log: {error.what}", hint=_RESTORED) from None
        if remembered.size > size:
            what = f"this store is older than it was: {size} leaves, and {remembered.size} have been signed."
            raise BadProof(what, hint=_RESTORED)
        log = tree(connection, size, MerkleLog.root, lambda log: log.consistency(remembered.size))
        proof = log.consistency(remembered.size)
        verify_consistency(remembered.size, remembered.root, size, log.root(), proof)
        return remembered.size

    def _remember(self) -> None:
        """Write the head to the file, durably, unless another process has written a later one."""
        with _locked(self._file), self._store.read() as connection:
            size = _size(connection)
            if self._compare(connection, size) < size:
                _write_durably(self._file, own_note(self._sign(connection), self.origin))


_RESTORED = (
    "a restored backup would give spent budget back: put back the store that belongs to checkpoint.txt, "
    "or the newest checkpoint that a client or witness holds"
)


def refuse_seeded(entropy: Entropy, *, testing: bool) -> None:
    """Raise ``UsageError`` when a node that is not for testing is given randomness that somebody can reproduce."""
    if entropy.seeded and not testing:
        raise UsageError("a node takes its randomness from the system.", hint="seeded entropy is for stead.testing")


def _size(connection: Connection) -> int:
    return int(connection.execute(sa.select(tables.log_head.c.size)).scalar_one())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file's lock over threads and processes."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_durably(path: Path, text: str) -> None:
    """Replace the file in one step; on disk when this returns."""
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
