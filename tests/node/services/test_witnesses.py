"""A node's witnesses: sent each new head, asked at a start, and unable to stop or spoil the node by what they say."""

import contextlib
import threading

import pytest

from stead.core import cosign
from stead.core.keys import Key
from stead.core.leaves import WitnessAdded, WitnessRemoved
from stead.core.notes import log_origin, open_checkpoint, sign_checkpoint, split_note
from stead.errors import BadProof, NodeError, PartyUnreachable, UsageError
from stead.node.services.witnesses import LONGEST_PAUSE_S, MOST_WITNESSES, REFRESH_S, Witnesses, dial
from stead.testing import StillClock, local_network

URL = "local://city"


@pytest.fixture
def clock():
    return StillClock()


@pytest.fixture
def network(clock):
    with local_network(["north", "city", "hill"], clock=clock) as made:
        for name in ("city", "hill"):
            made.nodes[name].books.cosigner.allow(key(made, "north"), "north")
        yield made


def key(network, name):
    return network.nodes[name].books.identity.public


def public(network, name):
    return network.nodes[name].books.identity.key.public


@pytest.fixture
def north(network):
    books = network.nodes["north"].books
    books.witnesses.add(URL, key(network, "city"))
    return books


def grow(books, count=1):
    for place in range(count):
        books.people.enrol(Key.from_bytes(bytes([100 + place]) * 32).public.raw, f"p{place}", role="site")


def with_line(north, **answers):
    """The node's witnesses over a way that answers what a test wants."""

    class Line:
        def get(self, path):
            found = answers["get"]
            return found(path) if callable(found) else found

        def post(self, path, body, content_type):
            found = answers["post"]
            return found(path, body, content_type) if callable(found) else found

    return Witnesses(north.store, north.log, dial=lambda *_: contextlib.nullcontext(Line()))


def test_a_head_is_signed_and_carried(network, north):
    assert north.log.witnessed() == ""
    (asked,) = north.witnesses.sync()
    assert (asked.size, asked.error) == (north.log.size(), "")
    note = north.log.checkpoint()
    assert [one.key for one in cosign.cosignatures(note, [key(network, "city"), key(network, "hill")])] == [
        key(network, "city")
    ]
    assert note == north.log.witnessed()
    assert cosign.cosignatures(north.log.receipt(0).checkpoint, [key(network, "city")])
    grow(north)
    assert cosign.other_signatures(north.log.checkpoint(), north.log.origin) == 0, "that head is signed by nobody yet"
    assert north.log.witnessed() == note
    (held,) = north.witnesses.check()
    assert held.size == north.log.size() - 1


def test_several_witnesses_sign_the_same_head(network, north, caplog):
    north.witnesses.add("local://hill/", key(network, "hill"))
    assert [each.url for each in north.witnesses.sync()] == ["local://city", "local://hill"]
    assert len(cosign.cosignatures(north.log.checkpoint(), [key(network, name) for name in ("city", "hill")])) == 2
    grow(north)
    network.transports["hill"].reachable = False
    good, bad = north.witnesses.sync()
    assert (good.error, bad.code, bad.size) == ("", "party-unreachable", None)
    assert len(cosign.cosignatures(north.log.checkpoint(), [key(network, name) for name in ("city", "hill")])) == 1
    assert [each.failures for each in north.witnesses.all()] == [0, 1]
    told = [record for record in caplog.records if record.name == "stead.node"]
    assert [(each.doing, each.error) for each in told] == [("witness local://hill", "party-unreachable")]


def test_the_owner_s_decisions_are_leaves(network, north):
    north.witnesses.remove(key(network, "city"))
    with pytest.raises(UsageError):
        north.witnesses.remove(key(network, "city"))
    kinds = [type(leaf) for leaf in leaves(north)]
    assert kinds[-2:] == [WitnessAdded, WitnessRemoved]
    assert north.witnesses.sync() == ()
    assert north.log.witnessed() == ""


def leaves(books):
    from stead.core.codec import decode
    from stead.core.leaves import Leaf

    return [decode(body, Leaf) for body, _, _ in books.log.leaves()]


def test_what_cannot_be_a_witness(network, north):
    for url, raw in ((URL, key(network, "city")), ("local://north", key(network, "north"))):
        with pytest.raises(UsageError):
            north.witnesses.add(url, raw)
    over_https = Witnesses(north.store, north.log, dial=dial)
    for url in ("http://city.example", "https://u:p@city.example", "https://city.example/x", "city"):
        with pytest.raises(UsageError):
            over_https.add(url, key(network, "hill"))
    for place in range(1, MOST_WITNESSES):
        over_https.add(f"https://w{place}.example", Key.from_bytes(bytes([place]) * 32).public.raw)
    with pytest.raises(UsageError, match="at most"):
        over_https.add("https://w.example", key(network, "hill"))


def test_a_larger_head_is_a_proof_and_nothing_else_is(network, north):
    """The same answers, signed by this node and by others: only this node's own signature stops it."""
    size = north.log.size()
    head = open_checkpoint(north.log.checkpoint(), north.log.origin, public(network, "north"))
    own, city = network.nodes["north"].books.identity.key, network.nodes["city"].books.identity.key
    later = type(head)(north.log.origin, size + 5, bytes(32))
    forked = type(head)(north.log.origin, size, bytes(32))
    for proof, message in (
        (later, f"{size} leaves, and a witness holds a signed head of {size + 5}"),
        (forked, "not this log"),
    ):
        for call in ("check", "sync", "sync_due"):
            with pytest.raises(BadProof, match=message):
                getattr(with_line(north, get=sign_checkpoint(proof, own).encode(), post=b""), call)()
            network_clock_passes(north)
        lie = sign_checkpoint(proof, city).encode()
        (asked,) = with_line(north, get=lie, post=b"").check()
        assert (asked.size, asked.code) == (None, "bad-proof")
    assert north.witnesses.check()[0].error == ""


def network_clock_passes(books):
    books.log._clock.move(LONGEST_PAUSE_S + 1)


@pytest.mark.parametrize(
    "garbage",
    [b"\xff\xfe", b"x" * 200_000, b"\n\n", b"stead.log/\n1\nAAAA\n\n", "— a b\n".encode(), b"\x00" * 40],
    ids=["no text", "long", "empty lines", "half", "a line", "zeros"],
)
def test_garbage_is_a_failure_of_the_witness(north, garbage):
    before, head = north.log.size(), north.log.checkpoint()
    (asked,) = with_line(north, get=garbage, post=garbage).check()
    assert asked.size is None
    assert asked.error
    (asked,) = with_line(north, get=b"", post=garbage).sync()
    assert asked.size is None
    assert (north.log.size(), north.log.checkpoint()) == (before, head)


def test_what_a_way_raises_stays_with_the_witness(north):
    def fails(error):
        def call(*_):
            raise error

        return call

    for error in (PartyUnreachable("gone."), NodeError("theirs."), ValueError("a canary"), RecursionError(), OSError()):
        (asked,) = with_line(north, get=fails(error), post=b"").sync()
        assert asked.error
        assert "canary" not in asked.error


def test_a_witness_that_stalls_is_passed_over(north):
    release = threading.Event()

    class Stalls:
        def get(self, _path):
            release.wait(60)
            return b""

    stalled = Witnesses(north.store, north.log, dial=lambda *_: contextlib.nullcontext(Stalls()), longest_s=0.05)
    (asked,) = stalled.check()
    assert (asked.size, asked.code) == (None, "party-timed-out")
    with pytest.raises(PartyUnreachable, match="not every witness"):
        stalled.check(required=True)
    release.set()


def test_an_old_cosignature_is_not_taken_again(network, north, clock):
    """Over another head it does not verify; over the same head its time is of then."""
    north.witnesses.sync()
    (row,) = north.witnesses._rows()
    held = network.nodes["city"].books.cosigner.held(north.log.node_key)
    clock.move(700)
    replay = with_line(north, get=held.encode(), post=row["line"].encode())
    assert replay.sync()[0].error.startswith("the witness's signature is of another time")
    grow(north)
    assert "does not verify" in replay.sync()[0].error
    assert north.witnesses._rows()[0]["size"] == row["size"]


def test_another_key_s_signature_is_not_taken(network, north):
    hill = network.nodes["hill"].books

    def sign(_path, body, _type):
        note = body.decode().partition("\n\n")[2]
        name = cosign.witness_name(hill.identity.public)
        return cosign.cosign(split_note(note)[0], name=name, key=hill.identity.key, time_s=int(hill.log.now())).encode()

    (asked,) = with_line(north, get=b"", post=sign).sync()
    assert "no signature by witness" in asked.error
    assert north.log.witnessed() == ""


def test_when_a_head_is_sent(network, north, clock):
    assert len(north.witnesses.sync_due()) == 1, "a new witness has signed nothing"
    assert north.witnesses.sync_due() == ()
    grow(north)
    assert len(north.witnesses.sync_due()) == 1
    clock.move(REFRESH_S + 1)
    first = north.witnesses.all()[0].signed_at
    assert len(north.witnesses.sync_due()) == 1, "a head that stands still is signed again after an hour"
    assert north.witnesses.all()[0].signed_at > first
    network.transports["city"].reachable = False
    grow(north, 2)
    pauses = []
    for _ in range(9):
        waited = 0
        while not north.witnesses.sync_due():
            clock.move(1)
            waited += 1
        pauses.append(waited)
    assert pauses == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    network.transports["city"].reachable = True
    clock.move(LONGEST_PAUSE_S)
    assert north.witnesses.sync_due()[0].error == ""


def test_required(network, north):
    assert len(north.witnesses.check(required=True)) == 1
    network.transports["city"].reachable = False
    assert len(north.witnesses.check()) == 1
    with pytest.raises(PartyUnreachable, match="local://city"):
        north.witnesses.check(required=True)
    with pytest.raises(PartyUnreachable, match="no witness"):
        network.nodes["hill"].books.witnesses.check(required=True)


def test_two_nodes_may_sign_each_other_and_come_to_rest(network, north):
    city = network.nodes["city"].books
    network.nodes["north"].books.cosigner.allow(key(network, "city"), "city")
    city.witnesses.add("local://north", key(network, "north"))
    for _ in range(2):
        for books in (north, city):
            books.witnesses.sync_due()
    sizes = north.log.size(), city.log.size()
    assert [books.witnesses.sync_due() for books in (north, city)] == [(), ()]
    assert (north.log.size(), city.log.size()) == sizes
    assert log_origin(key(network, "north")) in city.cosigner.held(key(network, "north"))
