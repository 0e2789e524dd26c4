"""Receipts: what a stranger can check with the node's key alone."""

import dataclasses

import msgspec
import pytest

from stead.core.codec import encode
from stead.core.keys import Key
from stead.core.leaves import PersonRevoked, ResultStored
from stead.core.merkle import MemoryNodes, MerkleLog, leaf_hash
from stead.core.messages import Receipt
from stead.core.notes import Checkpoint, log_origin, sign_checkpoint
from stead.core.receipts import verify_receipt
from stead.errors import BadProof

NODE = Key.from_bytes(bytes(range(32)))
OTHER = Key.from_bytes(bytes(range(1, 33)))
ORIGIN = log_origin(NODE.public.raw)
LEAVES = [ResultStored(at=float(n), release=bytes([n] * 16), result_hash=bytes([n] * 32)) for n in range(11)]


@dataclasses.dataclass
class Case:
    log: MerkleLog
    receipt: Receipt


def _salt(index: int) -> bytes:
    return bytes([index] * 32)


@pytest.fixture(scope="module")
def case():
    log = MerkleLog(MemoryNodes())
    for index, leaf in enumerate(LEAVES):
        log.append(leaf_hash(_salt(index), encode(leaf)))
    head = sign_checkpoint(Checkpoint(origin=ORIGIN, size=11, root=log.root()), NODE)
    receipt = Receipt(
        leaf=encode(LEAVES[4]),
        salt=_salt(4),
        index=4,
        proof=log.inclusion(4),
        checkpoint=head,
        node_key=NODE.public.raw,
    )
    return Case(log=log, receipt=receipt)


def test_a_receipt_proves_its_leaf(case):
    assert verify_receipt(case.receipt, NODE.public.raw, ORIGIN) == LEAVES[4]


def _refused(receipt, node_key=NODE.public.raw, origin=ORIGIN):
    with pytest.raises(BadProof):
        verify_receipt(receipt, node_key, origin)


def test_another_node_or_log_is_refused(case):
    _refused(case.receipt, node_key=OTHER.public.raw)
    _refused(case.receipt, origin=log_origin(OTHER.public.raw))
    _refused(msgspec.structs.replace(case.receipt, node_key=OTHER.public.raw))
    _refused(msgspec.structs.replace(case.receipt, node_key=b""), node_key=b"")


@pytest.mark.parametrize(
    "changes",
    [
        {"leaf": encode(LEAVES[5])},
        {"leaf": b""},
        {"salt": _salt(5)},
        {"salt": b""},
        {"salt": bytes(31)},
        {"index": 5},
        {"index": -1},
        {"index": 1 << 63},
        {"proof": ()},
        {"proof": (b"short",)},
        {"checkpoint": ""},
        {"checkpoint": "x"},
    ],
)
def test_a_changed_field_is_refused(case, changes):
    _refused(msgspec.structs.replace(case.receipt, **changes))


def test_bytes_moved_between_salt_and_leaf_are_refused(case):
    leaf, salt = case.receipt.leaf, case.receipt.salt
    _refused(msgspec.structs.replace(case.receipt, salt=salt + leaf[:1], leaf=leaf[1:]))
    _refused(msgspec.structs.replace(case.receipt, salt=salt[:-1], leaf=salt[-1:] + leaf))


def test_a_head_by_another_key_is_refused(case):
    forged = sign_checkpoint(Checkpoint(origin=ORIGIN, size=11, root=case.log.root()), OTHER)
    _refused(msgspec.structs.replace(case.receipt, checkpoint=forged))


@pytest.mark.parametrize("body", [b"\x80", b"not a leaf", encode(PersonRevoked(at=1.0, key=b"k")) + b"\x00"])
def test_a_logged_leaf_that_is_none_is_refused(body):
    log = MerkleLog(MemoryNodes())
    log.append(leaf_hash(_salt(0), body))
    head = sign_checkpoint(Checkpoint(origin=ORIGIN, size=1, root=log.root()), NODE)
    _refused(Receipt(leaf=body, salt=_salt(0), index=0, proof=(), checkpoint=head, node_key=NODE.public.raw))
