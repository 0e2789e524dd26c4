"""An operator who turns the whole node back, its checkpoint too, and witnesses who lie, garble, stall or replay."""

import contextlib
import shutil
import threading

import pytest

from stead.client.stead import attach
from stead.core import cosign
from stead.core.codec import decode
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.core.leaves import Charged, Leaf
from stead.core.merkle import MemoryNodes, MerkleLog, leaf_hash
from stead.core.notes import Checkpoint, log_origin, sign_checkpoint, split_note
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.core.witnessing import AddCheckpoint
from stead.errors import BadProof, PartyUnreachable
from stead.node import app
from stead.node.assembly import open_node
from stead.node.home import Home, Settings
from stead.node.services.cosigner import Conflict
from stead.node.services.witnesses import Witnesses
from stead.testing import StillClock, local_network

HEART = {"age": [52, 67, 71, 45, 38, 60], "sex": ["F", "M", "F", "M", "F", "M"]}


@pytest.fixture
def clock():
    return StillClock()


@pytest.fixture
def network(tmp_path, clock, card):
    """North, whose log city signs; a scientist asks at north."""
    with local_network(["north", "city"], clock=clock, directory=tmp_path) as made:
        made.add(card, HEART, at="north")
        made.nodes["city"].books.cosigner.allow(key(made, "north"), "north")
        made.nodes["north"].books.witnesses.add("local://city", key(made, "city"))
        yield made


@pytest.fixture
def card():
    columns = (Column("age", "integer", bounds=Bounds(0, 100)), Column("sex", "category", categories=("F", "M")))
    return DatasetCard(name="heart", schema=Schema("north patients", "patient", columns, (4, 50)))


def key(network, name):
    return network.nodes[name].books.identity.public


def spend(network, times=1):
    heart = network["north"]["heart"]
    for _ in range(times):
        heart.count().answer(sigmas=[3.0], why="a table")


def charges(node):
    return sum(isinstance(decode(body, Leaf), Charged) for body, _, _ in node.books.log.leaves())


def turn_back(network, tmp_path, *, spent_since):
    """North is copied whole, its checkpoint too; goes on; and is put back. Gives it, opened again."""
    north = network.nodes["north"]
    north.books.store.close()
    shutil.copytree(north.home.path, tmp_path / "backup")
    spent_since()
    before = charges(north)
    north.close()
    shutil.rmtree(north.home.path)
    shutil.copytree(tmp_path / "backup", north.home.path)
    again = open_node(Home.open(north.home.path), clock=StillClock(), dial=network._dial)
    network.nodes["north"] = again
    assert charges(again) < before, "the copy gives back what was spent: that is the attack"
    return again


def test_a_backup_restored_with_its_checkpoint_is_refused_thanks_to_a_witness(network, tmp_path):
    spend(network)
    network.nodes["north"].books.witnesses.sync()

    def since():
        spend(network, 2)
        network.nodes["north"].books.witnesses.sync()

    again = turn_back(network, tmp_path, spent_since=since)
    with pytest.raises(BadProof, match="older than it was") as refused:
        again.ask_witnesses()
    assert "give spent budget back" in refused.value.hint
    with pytest.raises(BadProof, match="older than it was"):
        app.Server(again, port=0)


def test_a_restored_store_that_went_on_is_refused_too(network, tmp_path):
    """It has grown beyond what the witness holds, on another branch."""
    network.nodes["north"].books.witnesses.sync()

    def since():
        spend(network)
        network.nodes["north"].books.witnesses.sync()

    again = turn_back(network, tmp_path, spent_since=since)
    for place in range(40):
        again.books.people.enrol(Key.from_bytes(bytes([place + 1]) * 32).public.raw, f"p{place}", role="site")
    with pytest.raises(BadProof, match="not this log's first"):
        again.ask_witnesses()


def test_found_out_while_it_serves_the_node_stops(network, tmp_path, monkeypatch):
    """The witness could not be reached at the start; later it can."""
    spend(network)
    network.nodes["north"].books.witnesses.sync()

    def since():
        spend(network)
        network.nodes["north"].books.witnesses.sync()

    monkeypatch.setattr(app, "_SEND_HEAD_EACH_S", 0.01)
    again = turn_back(network, tmp_path, spent_since=since)
    network.transports["city"].reachable = False
    stopping, found = threading.Event(), []
    again.ask_witnesses()  # tells, and does not stop the node
    thread = threading.Thread(target=app._send_heads, args=(again.books.witnesses, stopping, found.append), daemon=True)
    thread.start()
    network.transports["city"].reachable = True
    again.books.log._clock.move(3600)
    thread.join(30)
    assert [type(proof) for proof in found] == [BadProof]
    server = app.Server.__new__(app.Server)
    server._server, server._proof = type("Uvicorn", (), {"should_exit": False})(), None
    server._turned_back(found[0])
    assert server._server.should_exit


def test_a_forgotten_witness_is_missed_where_one_is_required(network, tmp_path):
    """The copy is from before the witness was added; the settings stand outside of the store."""
    home = Home.create(tmp_path / "hill", Settings(name="hill", witness_required=True), SystemEntropy())
    node = open_node(home, dial=network._dial)
    try:
        with pytest.raises(PartyUnreachable, match="no witness"):
            node.ask_witnesses()
    finally:
        node.close()


def test_a_client_that_names_a_witness_misses_its_fresh_signature(network, tmp_path, clock):
    """The operator runs the old copy under a node that asks nobody; the old head still has its old signature."""

    def meet(home):
        scientist = network["north"].site.scientist
        newcomer = type(scientist)(scientist.key, tmp_path / home, scientist.entropy, clock)
        transport = network.transports["north"]
        return attach(transport, newcomer, url="local://north", project="testing", witnesses=[key(network, "city")])

    network.nodes["north"].books.witnesses.sync()
    assert len(meet("first").verify(least_witnesses=1).witnesses) == 1
    clock.move(3 * 3600)
    late = meet("second")
    assert len(late.verify().witnesses) == 1
    with pytest.raises(BadProof, match="0 of the witnesses"):
        late.verify(least_witnesses=1)


def test_a_forked_log_gets_no_second_cosignature(network):
    """Two logs under the node's own key: the witness signs the one it met first, whatever it is sent."""
    city = network.nodes["city"].books.cosigner
    north = network.nodes["north"].books
    north.witnesses.sync()
    fork = MerkleLog(MemoryNodes())
    for place in range(north.log.size() + 9):
        fork.append(leaf_hash(bytes(32), b"fork %d" % place))
    size = north.log.size()
    for new in (size, size + 1, size + 9):
        note = sign_checkpoint(Checkpoint(north.log.origin, new, fork.root(new)), north.identity.key)
        for old in range(size + 1):
            request = AddCheckpoint(old, fork.consistency(old, new), note)
            with contextlib.suppress(BadProof):
                assert city.sign(request) == Conflict(size)
    assert north.witnesses.check()[0].error == ""


class Lies:
    """A witness's answers, as it likes."""

    def __init__(self, held=b"", answer=b""):
        self.held, self.answer = held, answer

    def get(self, _path):
        return self.held

    def post(self, _path, _body, _content_type):
        return self.answer


def lying(books, line):
    return Witnesses(books.store, books.log, dial=lambda *_: contextlib.nullcontext(line))


def test_a_witness_that_lies_cannot_stop_the_node_or_spoil_its_head(network):
    north, city = network.nodes["north"].books, network.nodes["city"].books.identity.key
    name = cosign.witness_name(city.public.raw)
    later = Checkpoint(north.log.origin, 10**6, bytes(32))
    forged = sign_checkpoint(later, city)  # a head of the log by the witness's own key
    text = split_note(forged)[0]
    claims = [
        forged.encode(),
        (forged + cosign.cosign(text, name=name, key=city, time_s=1)).encode(),
        sign_checkpoint(Checkpoint(log_origin(city.public.raw), 10**6, bytes(32)), city).encode(),
        b"1000000\n",
    ]
    good = north.log.checkpoint()
    own = split_note(good)[0]
    answers = [
        cosign.cosign(text, name=name, key=city, time_s=int(north.log.now())),  # of another head
        cosign.cosign(own, name=name, key=city, time_s=0),  # of another time
        "more\n\n" + cosign.cosign(good + "more\n", name=name, key=city, time_s=int(north.log.now())),
        cosign.cosign(own, name=name, key=city, time_s=int(north.log.now())).strip(),
    ]
    for claim in claims:
        assert lying(north, Lies(held=claim)).check()[0].size is None
    for answer in answers:
        assert lying(north, Lies(answer=answer.encode())).sync()[0].size is None
    assert north.log.checkpoint() == good
    spend(network)
    assert network["north"].verify().witnesses == ()


def test_a_witness_that_stalls_holds_up_nobody(network):
    """It is asked beside all other work, and no lock is held meanwhile."""
    north = network.nodes["north"].books
    waiting, release = threading.Event(), threading.Event()

    class Stalls(Lies):
        def get(self, _path):
            waiting.set()
            release.wait(60)
            raise PartyUnreachable("too late.")

    stopping = threading.Event()
    arguments = lying(north, Stalls()), stopping, lambda _: None
    thread = threading.Thread(target=app._send_heads, args=arguments, daemon=True)
    thread.start()
    assert waiting.wait(30)
    spend(network, 2)
    assert charges(network.nodes["north"]) == 2
    stopping.set()
    release.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_witness_with_another_key_signs_nothing(network):
    """Somebody else answers at the witness's address: the way there is to one key, and the line is by one key."""
    north = network.nodes["north"].books
    other = Key.from_bytes(bytes([9]) * 32)
    north.witnesses.remove(key(network, "city"))
    north.witnesses.add("local://city", key(network, "city"))
    network.nodes["city"].books.identity.__dict__["key"] = other
    (asked,) = north.witnesses.sync()
    assert asked.code == "key-changed"
    own = split_note(north.log.checkpoint())[0]
    lines = [
        cosign.cosign(own, name=cosign.witness_name(public), key=other, time_s=int(north.log.now())).encode()
        for public in (other.public.raw, north.witnesses.all()[0].key)
    ]
    for line in lines:
        assert lying(north, Lies(answer=line)).sync()[0].code == "bad-proof"


def test_replayed_cosignatures_are_of_their_head_and_their_time(network, clock):
    north, city = network.nodes["north"].books, key(network, "city")
    north.witnesses.sync()
    old = cosign.cosignatures(north.log.checkpoint(), [city])
    line = north.log.checkpoint().splitlines(keepends=True)[-1]
    spend(network)
    with pytest.raises(BadProof):
        cosign.cosignatures(north.log.checkpoint() + line, [city])
    clock.move(3600)
    assert old[0].time_s < clock.now() - 3000, "a client sees of when it is"


def test_many_requests_do_not_grow_the_witness(network):
    """A log may send as many heads as it likes: one row, no leaf."""
    north, city = network.nodes["north"].books, network.nodes["city"].books
    before = city.log.size()
    for place in range(20):
        north.people.enrol(Key.from_bytes(bytes([place + 1]) * 32).public.raw, f"p{place}", role="site")
        north.witnesses.sync()
    assert city.log.size() == before
    assert len(city.cosigner.logs()) == 1
