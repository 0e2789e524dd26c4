"""The log's tree: RFC 9162 hashing over salted leaves, proofs that somebody else can check.

Symbols: ``D[a:b]`` the leaves from a (included) to b (excluded); ``MTH`` the tree hash; ``k`` the largest power of two
below a size.

* leaf: ``SHA-256(0x00 || salt || body)`` with a salt of exactly 32 bytes
* node: ``SHA-256(0x01 || left || right)``
* empty tree: ``SHA-256("")``

The salt keeps short bodies from being guessed from an exported log; its fixed length keeps (salt, body) unambiguous.

References: RFC 9162, sections 2.1.1 (hashing), 2.1.3 (inclusion), 2.1.4 (consistency).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, Protocol, final

from stead.errors import BadProof, NodeError, UsageError

HASH_BYTES: Final = 32
SALT_BYTES: Final = 32
MAX_SIZE: Final = 1 << 62
"""The most leaves that a proof may speak of."""

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def hash_leaf_input(data: bytes) -> bytes:
    """``SHA-256(0x00 || data)``: the leaf hash of RFC 9162, section 2.1.1, for input of any kind."""
    return hashlib.sha256(b"\x00" + data).digest()


def leaf_hash(salt: bytes, body: bytes) -> bytes:
    """The hash under which a leaf stands in the log.

    Args:
        salt: 32 random bytes, fresh for each leaf.
        body: the canonical encoding of a ``Leaf``.

    Raises:
        BadProof: the salt does not have 32 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise BadProof(f"a leaf's salt has {SALT_BYTES} bytes, not {len(salt)}.")
    return hash_leaf_input(salt + body)


def hash_children(left: bytes, right: bytes) -> bytes:
    """``SHA-256(0x01 || left || right)``: the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class NodeStore(Protocol):
    """Where the hashes of complete subtrees are kept.

    ``(level, index)`` names the subtree over leaves ``index * 2**level`` to ``(index + 1) * 2**level``; level 0 holds
    the leaf hashes. A subtree is put once, when it is complete, and never changes. Cost: an append puts 2 hashes on
    average and at most ``log2(size) + 1``.
    """

    def get(self, level: int, index: int) -> bytes:
        """The hash that was put there. Raises ``NodeError`` when there is none."""
        ...

    def put(self, level: int, index: int, node_hash: bytes) -> None:
        """Keep a hash, in the transaction of whoever appends."""
        ...


@final
class MemoryNodes:
    """A store in memory."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, int], bytes] = {}

    def get(self, level: int, index: int) -> bytes:
        """See ``NodeStore``."""
        try:
            return self._nodes[level, index]
        except KeyError:
            raise NodeError(f"the log's tree lacks node {index} of level {level}.") from None

    def put(self, level: int, index: int, node_hash: bytes) -> None:
        """See ``NodeStore``."""
        self._nodes[level, index] = node_hash


@final
class MerkleLog:
    """An append-only log over a store of hashes.

    Args:
        store: holds the complete subtrees of the first ``size`` leaves.
        size: how many leaves there are; whoever keeps the store keeps this number with it.

    Cost: appends and proofs read and write O(log size) hashes.
    """

    def __init__(self, store: NodeStore, size: int = 0) -> None:
        if not 0 <= size <= MAX_SIZE:
            raise UsageError(f"a log has 0 to {MAX_SIZE} leaves, not {size}.")
        self._store = store
        self._size = size

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return self._size

    def append(self, leaf: bytes) -> int:
        """Append a leaf by its hash; returns its index."""
        _check_hash(leaf)
        index = position = self._size
        level, node_hash = 0, leaf
        self._store.put(level, position, node_hash)
        while position & 1:
            node_hash = hash_children(self._store.get(level, position - 1), node_hash)
            level, position = level + 1, position >> 1
            self._store.put(level, position, node_hash)
        self._size = index + 1
        return index

    def root(self, size: int | None = None) -> bytes:
        """The tree hash over the first ``size`` leaves (default: all)."""
        size = self._known(size)
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """The proof that leaf ``index`` stands in the tree of the first ``size`` leaves, from the leaf upward.

        References: RFC 9162, section 2.1.3.1, PATH.
        """
        size = self._known(size)
        if not 0 <= index < size:
            raise UsageError(f"a tree of {size} leaves has no leaf {index}.")
        proof: list[bytes] = []
        start, end = 0, size
        while end - start > 1:
            middle = start + _largest_power_below(end - start)
            if index < middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        return tuple(reversed(proof))

    def consistency(self, old_size: int, new_size: int | None = None) -> tuple[bytes, ...]:
        """The proof that the tree of ``old_size`` leaves is the beginning of that of ``new_size``.

        References: RFC 9162, section 2.1.4.1, PROOF and SUBPROOF.
        """
        new_size = self._known(new_size)
        if not 0 <= old_size <= new_size:
            raise UsageError(f"there is no proof from {old_size} leaves to {new_size}.")
        if old_size in (0, new_size):
            return ()
        proof: list[bytes] = []
        start, end, whole = 0, new_size, True
        while end != old_size:
            middle = start + _largest_power_below(end - start)
            if old_size <= middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start, whole = middle, False
        if not whole:
            proof.append(self._range(start, end))
        return tuple(reversed(proof))

    def _known(self, size: int | None) -> int:
        if size is None:
            return self._size
        if not 0 <= size <= self._size:
            raise UsageError(f"the log has {self._size} leaves; size {size} is outside.")
        return size

    def _range(self, start: int, end: int) -> bytes:
        """MTH(D[start:end]), where ``start`` is where a subtree of the tree begins."""
        width = end - start
        if width & (width - 1) == 0:
            level = width.bit_length() - 1
            return self._store.get(level, start >> level)
        middle = start + _largest_power_below(width)
        return hash_children(self._range(start, middle), self._range(middle, end))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return if the leaf with this hash is leaf ``index`` of the tree of ``size`` leaves with this root.

    Args:
        leaf: the leaf's hash (``leaf_hash``), 32 bytes.
        index: its place, from 0.
        size: the tree's leaves.
        proof: hashes from the leaf upward, 32 bytes each.
        root: the tree's hash, from a checkpoint that has been verified.

    Raises:
        BadProof: it is not shown.

    References: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise BadProof(f"leaf {index} is outside a tree of {size} leaves.")
    for node_hash in (leaf, root, *proof[: size.bit_length() + 1]):
        _check_hash(node_hash)
    position, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise BadProof("the inclusion proof is too long.")
        if position & 1 or position == last:
            computed = hash_children(sibling, computed)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            computed = hash_children(computed, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or computed != root:
        raise BadProof(f"the inclusion proof of leaf {index} does not lead to the root of the {size} leaves.")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Return if the tree of ``old_size`` leaves with ``old_root`` is the beginning of the new tree.

    Raises:
        BadProof: it is not shown: a leaf was changed, dropped or put in between, or the proof is wrong.

    References: RFC 9162, section 2.1.4.2. That an empty tree is the beginning of every tree needs no proof.
    """
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise BadProof(f"a log does not go from {old_size} leaves to {new_size}.")
    for node_hash in (old_root, new_root, *proof[: new_size.bit_length() + 1]):
        _check_hash(node_hash)
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise BadProof("the root of no leaves is wrong.")
    if old_size in (0, new_size):
        if proof or (old_size == new_size and old_root != new_root):
            raise BadProof(f"two trees of {old_size} and {new_size} leaves do not agree.")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise BadProof("the consistency proof is empty.")
    old_position, last = old_size - 1, new_size - 1
    while old_position & 1:
        old_position, last = old_position >> 1, last >> 1
    old_computed = new_computed = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise BadProof("the consistency proof is too long.")
        if old_position & 1 or old_position == last:
            old_computed = hash_children(sibling, old_computed)
            new_computed = hash_children(sibling, new_computed)
            while not old_position & 1 and old_position:
                old_position, last = old_position >> 1, last >> 1
        else:
            new_computed = hash_children(new_computed, sibling)
        old_position, last = old_position >> 1, last >> 1
    if last != 0 or old_computed != old_root or new_computed != new_root:
        raise BadProof(f"the log of {new_size} leaves does not begin with the {old_size} leaves of before.")


def _largest_power_below(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def _check_hash(node_hash: bytes) -> None:
    if len(node_hash) != HASH_BYTES:
        raise BadProof(f"a hash has {HASH_BYTES} bytes, not {len(node_hash)}.")
