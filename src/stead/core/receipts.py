"""Receipts, checked from outside: that a node's log records a decision, and under which head."""

from __future__ import annotations

from stead.core import codec
from stead.core.keys import PublicKey
from stead.core.leaves import Leaf
from stead.core.merkle import leaf_hash, verify_inclusion
from stead.core.messages import Receipt
from stead.core.notes import open_checkpoint
from stead.errors import BadMessage, BadProof

MAX_LEAF_BYTES = 1024 * 1024


def verify_receipt(receipt: Receipt, node_key: bytes, origin: str) -> Leaf:
    """The leaf that a receipt proves, or an error.

    Args:
        receipt: as the node gave it.
        node_key: the raw public key that the node is pinned to.
        origin: the node's log (``core.notes.log_origin``).

    Returns:
        The leaf, which the node's log holds under a head signed by ``node_key``.

    Raises:
        BadProof: another node's receipt, a head that is not signed by it, a leaf that is not in the log, or no leaf.
    """
    if receipt.node_key != node_key:
        raise BadProof("the receipt is by another node than the pinned one.")
    try:
        checkpoint = open_checkpoint(receipt.checkpoint, origin, PublicKey(node_key))
        hashed = leaf_hash(receipt.salt, receipt.leaf)
        verify_inclusion(hashed, receipt.index, checkpoint.size, receipt.proof, checkpoint.root)
        leaf: Leaf = codec.decode(receipt.leaf, Leaf, limit_bytes=MAX_LEAF_BYTES)
    except BadMessage as error:
        raise BadProof(f"the receipt does not hold: {error.what}") from None
    return leaf
