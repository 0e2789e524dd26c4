"""The node as a witness: what it signs, what it never signs, and that no two of its threads or processes differ."""

import threading

import pytest
import sqlalchemy as sa
from gate_world import ALICE, NODE_KEY, NORTH, new_world, open_world

from stead.core import cosign
from stead.core.keys import Key
from stead.core.leaves import CosigningBegun, CosigningEnded
from stead.core.merkle import MemoryNodes, MerkleLog, leaf_hash
from stead.core.notes import Checkpoint, log_origin, open_checkpoint, sign_checkpoint
from stead.core.witnessing import AddCheckpoint
from stead.errors import BadMessage, BadProof, BadSignature, PolicyDenied, UsageError
from stead.node.services.cosigner import Conflict
from stead.node.store import tables

PEER = Key.from_bytes(bytes([7]) * 32)
ORIGIN = log_origin(PEER.public.raw)
OWN = NODE_KEY.public


class Peer:
    """A log elsewhere, which can be made to lie."""

    def __init__(self, leaves=0, *, branch=b""):
        self.tree = MerkleLog(MemoryNodes())
        self.branch = branch
        self.grow(leaves)

    def grow(self, count):
        for place in range(self.tree.size, self.tree.size + count):
            body = b"%d" % place + (self.branch if place >= 3 else b"")
            self.tree.append(leaf_hash(bytes(32), body))
        return self

    def note(self, size=None, *, key=PEER):
        size = self.tree.size if size is None else size
        return sign_checkpoint(Checkpoint(ORIGIN, size, self.tree.root(size)), key)

    def request(self, old, size=None, **changes):
        size = self.tree.size if size is None else size
        fields = {"old_size": old, "proof": self.tree.consistency(old, size), "note": self.note(size)}
        return AddCheckpoint(**fields | changes)


@pytest.fixture
def world(store_url, tmp_path):
    made = new_world(store_url, tmp_path)
    made.books.people.enrol(PEER.public.raw, "peer", role="site")
    made.books.cosigner.allow(PEER.public.raw, "peer")
    yield made
    made.close()


def signed_at(note, line):
    return cosign.cosigned_at(note + line, name=cosign.witness_name(OWN.raw), public_key=OWN)


def test_each_head_that_grows_is_signed_and_remembered(world):
    peer, cosigner = Peer(3), world.books.cosigner
    assert cosigner.held(PEER.public.raw) == ""
    first = cosigner.sign(peer.request(0))
    assert signed_at(peer.note(), first) == int(world.books.log.now())
    for old, more in ((3, 5), (8, 0), (8, 1)):
        peer.grow(more)
        assert signed_at(peer.note(), cosigner.sign(peer.request(old))) is not None
    held = cosigner.held(PEER.public.raw)
    assert open_checkpoint(held, ORIGIN, PEER.public) == Checkpoint(ORIGIN, 9, peer.tree.root())
    assert cosign.cosignatures(held, [OWN.raw])
    (log,) = cosigner.logs()
    assert (log.name, log.allowed, log.size) == ("peer", True, 9)


def test_a_smaller_head_is_never_signed(world):
    peer, cosigner = Peer(9), world.books.cosigner
    cosigner.sign(peer.request(0))
    assert cosigner.sign(peer.request(0, 5)) == Conflict(9)
    assert cosigner.sign(peer.request(5, 5)) == Conflict(9)
    assert cosigner.sign(peer.request(5, 9)) == Conflict(9)
    with pytest.raises(UsageError, match="old size 9 is larger"):
        cosigner.sign(peer.request(0, 5, old_size=9, proof=()))
    assert cosigner.logs()[0].size == 9


def test_a_forked_head_is_never_signed(world):
    """Of the same size, and larger with whatever proof the fork has."""
    peer, fork, cosigner = Peer(6), Peer(6, branch=b"!"), world.books.cosigner
    cosigner.sign(peer.request(0))
    assert cosigner.sign(fork.request(6)) == Conflict(6)
    fork.grow(4)
    for proof in (fork.tree.consistency(6), (), peer.grow(4).tree.consistency(6)):
        with pytest.raises(BadProof):
            cosigner.sign(fork.request(6, proof=proof))
    assert cosigner.logs()[0].size == 6
    assert signed_at(peer.note(), cosigner.sign(peer.request(6)))


def test_a_head_that_its_log_has_not_signed(world):
    peer, cosigner = Peer(4), world.books.cosigner
    stranger = Key.from_bytes(bytes([8]) * 32)
    with pytest.raises(BadSignature):
        cosigner.sign(peer.request(0, note=peer.note(key=stranger)))
    with pytest.raises(BadMessage):
        cosigner.sign(peer.request(0, note="a note"))
    with pytest.raises(BadProof):  # an old size of 0 has an empty proof
        cosigner.sign(peer.request(0, proof=(bytes(32),)))
    for origin in (log_origin(stranger.public.raw), "example.com/log", "stead.log/" + "0" * 63):
        note = sign_checkpoint(Checkpoint(origin, 4, bytes(32)), stranger)
        with pytest.raises(PolicyDenied):
            cosigner.sign(AddCheckpoint(0, (), note))
    assert cosigner.logs()[0].size == 0


def test_whom_it_serves(world):
    peer, cosigner, key = Peer(4), world.books.cosigner, PEER.public.raw
    cosigner.allow(key, "peer")  # once more changes nothing
    assert len(world.leaves(CosigningBegun)) == 1
    cosigner.sign(peer.request(0))
    cosigner.end(key)
    with pytest.raises(UsageError):
        cosigner.end(key)
    with pytest.raises(PolicyDenied):
        cosigner.sign(peer.request(4))
    assert open_checkpoint(cosigner.held(key), ORIGIN, PEER.public).size == 4, "what was signed is told ever after"
    cosigner.allow(key, "peer")
    assert cosigner.sign(peer.request(0, 2)) == Conflict(4), "what was signed before the end is not forgotten"
    world.books.people.revoke(key)
    with pytest.raises(PolicyDenied):
        cosigner.sign(peer.request(4))
    with pytest.raises(UsageError):
        cosigner.allow(key, "peer")
    assert [len(world.leaves(kind)) for kind in (CosigningBegun, CosigningEnded)] == [2, 1]


def test_nobody_else_is_told_or_served(world):
    for key, name in ((OWN.raw, "self"), (ALICE, "Alice"), (NORTH, "south")):
        with pytest.raises(UsageError):
            world.books.cosigner.allow(key, name)
    for key in (NORTH, bytes(32), b""):
        with pytest.raises(PolicyDenied):
            world.books.cosigner.held(key)


def test_signing_is_no_leaf(world):
    """Two nodes that are each other's witnesses would otherwise send each other heads for ever."""
    before = world.books.log.size()
    world.books.cosigner.sign(Peer(4).request(0))
    assert world.books.log.size() == before


def test_of_many_heads_at_once_one_branch_is_signed(world, store_url, tmp_path):
    """Eight threads over two opened nodes, half of them with a fork: all that is signed is of one branch."""
    second = open_world(store_url, tmp_path)
    start = threading.Barrier(8)
    signed, errors = [], []

    def send(place):
        peer = Peer(6 + place // 2, branch=b"!" if place % 2 else b"")
        cosigner = (world if place < 4 else second).books.cosigner
        start.wait()
        try:
            if not isinstance(cosigner.sign(peer.request(0)), Conflict):
                signed.append(peer)
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=send, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    second.close()
    assert errors == []
    assert len(signed) == 1
    assert world.books.cosigner.logs()[0].size == signed[0].tree.size


def test_the_database_itself_refuses_a_smaller_head(world):
    world.books.cosigner.sign(Peer(4).request(0))
    rows = tables.witnessed
    for statement in (rows.update().values(size=3), rows.delete()):
        with pytest.raises(sa.exc.DatabaseError), world.books.store.write() as write:
            write.connection.execute(statement)
