"""The addresses of a witness, held to the statuses and media types of C2SP tlog-witness."""

import pytest
from litestar.testing import TestClient

from stead.core import cosign
from stead.core.keys import Key
from stead.core.merkle import MemoryNodes, MerkleLog, leaf_hash
from stead.core.notes import Checkpoint, log_origin, open_checkpoint, sign_checkpoint
from stead.core.witnessing import MAX_REQUEST_BYTES, AddCheckpoint, write_request
from stead.node.app import make_app
from stead.testing import local_network

PEER = Key.from_bytes(bytes([7]) * 32)
ORIGIN = log_origin(PEER.public.raw)
ADD, HELD = "/v1/witness/add-checkpoint", f"/v1/witness/checkpoint?log={PEER.public.raw.hex()}"


@pytest.fixture
def node():
    with local_network(["city"]) as network:
        books = network.nodes["city"].books
        books.people.enrol(PEER.public.raw, "peer", role="site")
        books.cosigner.allow(PEER.public.raw, "peer")
        yield network.nodes["city"]


@pytest.fixture
def client(node):
    with TestClient(make_app(node)) as made:
        yield made


@pytest.fixture
def tree():
    log = MerkleLog(MemoryNodes())
    for place in range(9):
        log.append(leaf_hash(bytes(32), b"%d" % place))
    return log


def note(tree, size, *, key=PEER, origin=ORIGIN):
    return sign_checkpoint(Checkpoint(origin, size, tree.root(size)), key)


def send(client, tree, old, size, **changes):
    fields = {"old_size": old, "proof": tree.consistency(old, size), "note": note(tree, size)}
    return client.post(ADD, content=write_request(AddCheckpoint(**fields | changes)))


def refused(response, status, error):
    assert response.status_code == status
    assert response.headers["content-type"].startswith("application/json")
    assert response.json()["type"] == "failure"
    assert response.json()["error"] == error


def test_signed_and_held(client, node, tree):
    assert client.get(HELD).text == ""
    signed = send(client, tree, 0, 5)
    assert (signed.status_code, signed.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert signed.text.startswith("\N{EM DASH} stead.witness/")
    assert signed.text.endswith("\n")
    witness = node.books.identity.public
    assert cosign.cosignatures(note(tree, 5) + signed.text, [witness])
    assert send(client, tree, 5, 9).status_code == 200
    held = client.get(HELD)
    assert held.headers["content-type"].startswith("text/plain")
    assert open_checkpoint(held.text, ORIGIN, PEER.public).size == 9
    assert cosign.cosignatures(held.text, [witness])


def test_a_conflict_says_the_size_that_is_held(client, tree):
    send(client, tree, 0, 5)
    fork = MerkleLog(MemoryNodes())
    for _ in range(5):
        fork.append(bytes(32))
    for response in (send(client, tree, 0, 9), send(client, tree, 3, 4), send(client, fork, 5, 5)):
        assert (response.status_code, response.text) == (409, "5\n")
        assert response.headers["content-type"].partition(";")[0] == "text/x.tlog.size"


def test_each_refusal_has_its_status(client, tree):
    stranger = Key.from_bytes(bytes([8]) * 32)
    refused(send(client, tree, 0, 5, note=note(tree, 5, key=stranger)), 403, "bad-signature")
    foreign = note(tree, 5, key=stranger, origin=log_origin(stranger.public.raw))
    refused(send(client, tree, 0, 5, note=foreign), 404, "policy-denied")
    refused(send(client, tree, 0, 5, old_size=6), 400, "usage-error")
    refused(send(client, tree, 0, 5, note="no note"), 400, "bad-message")
    for body in (b"", b"old", b"\xff", b"old 1\n\n"):
        refused(client.post(ADD, content=body), 400, "bad-message")
    send(client, tree, 0, 5)
    refused(send(client, tree, 5, 9, proof=tree.consistency(4, 9)), 422, "bad-proof")
    refused(client.post(ADD, content=b"x" * (MAX_REQUEST_BYTES + 1)), 413, "usage-error")


def test_what_is_held_of_other_logs(client):
    refused(client.get(f"/v1/witness/checkpoint?log={'ab' * 32}"), 404, "policy-denied")
    for key in ("", "ab", "AB" * 32, "zz" * 32, " " + "ab" * 32):
        refused(client.get("/v1/witness/checkpoint", params={"log": key}), 400, "usage-error")
    refused(client.get("/v1/witness/checkpoint"), 400, "usage-error")


def test_the_node_shows_what_its_own_witnesses_signed(client, node):
    assert client.get("/v1/log/witnessed").text == ""
    with local_network(["hill"]) as other:
        hill = other.nodes["hill"].books
        hill.people.enrol(node.books.identity.public, "city", role="site")
        hill.cosigner.allow(node.books.identity.public, "city")
        node.books.witnesses._dial = lambda *_: other._dial("local://hill", hill.identity.public)
        node.books.witnesses.add("local://hill", hill.identity.public)
        node.books.witnesses.sync()
        for page in ("/v1/log/witnessed", "/v1/log/checkpoint"):
            assert cosign.cosignatures(client.get(page).text, [hill.identity.public])
