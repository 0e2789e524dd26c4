"""How connections are made: who is let in, and what both sides say about who is not."""

import dataclasses
import socket
import struct
import threading
import time

import msgspec
import pytest

from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.errors import BadMessage, BadSignature, KeyChanged, PartyTimedOut, PartyUnreachable, VersionMismatch
from stead.net.handshake import VERSION, Introduction, answer, greet, read_preamble
from stead.net.mesh import MeshChannel, accept, insecure_plain_mesh
from stead.net.noise import StaticKey
from stead.net.parties import Parties, Party, sign_party_key

ENTROPY = SystemEntropy()
KEYS = [StaticKey.generate(ENTROPY) for _ in range(2)]
NODES = [Key.generate(ENTROPY) for _ in range(2)]
NAMES = ("north", "south")
KNOWN = Parties(tuple(Party(name=n, host="127.0.0.1", port=1, key=k.public) for n, k in zip(NAMES, KEYS, strict=True)))
VOUCHED = Parties(
    tuple(Party(name=n, host="127.0.0.1", port=1, identity=k.public.raw) for n, k in zip(NAMES, NODES, strict=True))
)


def side(place, parties=KNOWN, **changes):
    known = {"key": KEYS[place], "signature": sign_party_key(NODES[place], NAMES[place], KEYS[place].public)}
    return Introduction(**{"parties": parties, "me": NAMES[place], "entropy": ENTROPY} | known | changes)


def meet(listening, connecting):
    """What each side got or raised, the one that listens first."""
    server, client = socket.socketpair()
    found = {}

    def work(name, connection, function, *arguments):
        try:
            found[name] = function(*arguments)
        except Exception as error:  # noqa: BLE001 (handed to the test)
            found[name] = error
            connection.close()

    deadline = time.monotonic() + 10
    threads = [
        threading.Thread(target=work, args=("listens", server, answer, listening, server, deadline, ("south",))),
        threading.Thread(target=work, args=("connects", client, greet, connecting, "north", client, deadline)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found["listens"], found["connects"]


@pytest.mark.parametrize("parties", [KNOWN, VOUCHED], ids=["KK", "XX"])
def test_parties_that_know_each_other_can_speak(parties):
    links = meet(side(0, parties), side(1, parties))
    assert [link.peer for link in links] == ["south", "north"]
    north, south = (MeshChannel(name, [link], 10) for name, link in zip(NAMES, links, strict=True))
    north.exchange({"south": [b"hello"]}, {})
    south.exchange({"north": [b"there"]}, {})
    assert bytes(south.exchange({}, {"north": 5})["north"]) == b"hello"
    assert bytes(north.exchange({}, {"south": 5})["south"]) == b"there"


def other_key(place):
    parties = list(KNOWN.members)
    wrong = StaticKey.generate(ENTROPY)
    parties[place] = msgspec.structs.replace(parties[place], key=wrong.public)
    return Parties(tuple(parties)), wrong


@pytest.mark.parametrize("place", [0, 1])
def test_a_wrong_key_is_noticed_by_both(place):
    parties, wrong = other_key(place)
    sides = [side(0), side(1)]
    sides[place] = side(place, parties, key=wrong)
    listens, connects = meet(*sides)
    assert isinstance(listens, KeyChanged)
    assert isinstance(connects, KeyChanged)
    assert "south" in str(listens)
    assert "north" in str(connects)


@pytest.mark.parametrize("place", [0, 1])
def test_a_key_that_its_identity_has_not_signed_is_noticed(place):
    sides = [side(0, VOUCHED), side(1, VOUCHED)]
    sides[place] = side(place, VOUCHED, signature=sign_party_key(NODES[place], "west", KEYS[place].public))
    found = meet(*sides)[1 - place]
    assert isinstance(found, BadSignature)
    assert f"the key of {NAMES[place]} is not signed" in str(found)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("vouched", [False, True])
def test_one_is_known_by_its_key_and_the_other_by_its_identity(place, vouched):
    """The one at ``place`` is known by its key (and an identity, if ``vouched``), and has no signature to show."""
    members = list(VOUCHED.members)
    members[place] = VOUCHED.members[place] if vouched else KNOWN.members[place]
    members[place] = msgspec.structs.replace(members[place], key=KEYS[place].public)
    mixed = Parties(tuple(members))
    sides = [side(0, mixed), side(1, mixed)]
    sides[place] = side(place, mixed, signature=b"")
    assert [link.peer for link in meet(*sides)] == ["south", "north"]
    # It still has to show that key, and the other one its identity's word.
    wrong = StaticKey.generate(ENTROPY)
    members[place] = msgspec.structs.replace(members[place], key=wrong.public)
    sides[place] = side(place, Parties(tuple(members)), signature=b"", key=wrong)
    found = meet(*sides)[1 - place]
    assert isinstance(found, KeyChanged)
    assert f"{NAMES[place]} shows the key {wrong.public.hex()}" in str(found)
    sides = [side(0, mixed), side(1, mixed)]
    sides[1 - place] = side(1 - place, mixed, signature=sign_party_key(NODES[place], NAMES[1 - place], bytes(32)))
    assert isinstance(meet(*sides)[place], BadSignature)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"session": b"another"}, "another computation"), ({"parties": VOUCHED}, "key")],
)
def test_others_are_refused_with_a_reason(changes, words):
    listens, connects = meet(side(0), side(1, **changes))
    assert isinstance(listens, PartyUnreachable)
    assert isinstance(connects, PartyUnreachable)
    assert words in str(listens)
    assert words in str(connects)


def test_a_party_that_is_connected_already_is_refused():
    server, client = socket.socketpair()
    client.sendall(side(1).preamble("south", "north").to_bytes())
    with pytest.raises(PartyUnreachable, match="south connected, and was not awaited"):
        answer(side(0), server, time.monotonic() + 5, ())


def test_plain_and_sealed_do_not_mix():
    listens, connects = meet(side(0), side(1, plain=True))
    assert isinstance(listens, PartyUnreachable)
    assert isinstance(connects, PartyUnreachable)


def test_another_version_is_told_to_both():
    server, client = socket.socketpair()
    preamble = bytearray(side(1).preamble("south", "north").to_bytes())
    preamble[8] = VERSION + 1
    client.sendall(preamble)
    with pytest.raises(VersionMismatch, match=f"version {VERSION + 1}"):
        answer(side(0), server, time.monotonic() + 5, ("south",))
    verdict = client.recv(10)
    server, client = socket.socketpair()
    server.sendall(verdict[:8] + bytes([VERSION + 1]) + verdict[9:])
    with pytest.raises(VersionMismatch, match=f"north speaks version {VERSION + 1}"):
        greet(side(1), "north", client, time.monotonic() + 5)


def test_somebody_else_behind_the_port_is_told():
    server, client = socket.socketpair()
    server.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
    with pytest.raises(BadMessage, match="does not speak as a party does"):
        greet(side(1), "north", client, time.monotonic() + 5)


def test_a_changed_preamble_makes_the_handshake_fail():
    """It is the prologue: a byte that means nothing to the listener's checks is still agreed on by both."""
    one, other = side(0), side(1)
    preamble = other.preamble("south", "north")
    first = other.handshake(preamble, KNOWN["north"], initiator=True).write()
    changed = dataclasses.replace(preamble, listener=1)
    with pytest.raises(BadMessage):
        one.handshake(changed, KNOWN["south"], initiator=False).read(first)


def test_a_repeated_handshake_lets_nobody_in():
    """All that the real party said, said again: the first message is accepted, what follows is not."""
    server, client = socket.socketpair()
    said = []
    sendall = client.sendall

    class Recorder:
        def __getattr__(self, name):
            return getattr(client, name)

        def sendall(self, data):
            said.append(bytes(data))
            sendall(data)

    thread = threading.Thread(target=lambda: greet(side(1), "north", Recorder(), time.monotonic() + 5))
    thread.start()
    assert answer(side(0), server, time.monotonic() + 5, ("south",)).peer == "south"
    thread.join()

    server, client = socket.socketpair()
    client.sendall(b"".join(said))
    with pytest.raises(KeyChanged):
        answer(side(0), server, time.monotonic() + 5, ("south",))


def test_silence_ends():
    server, _client = socket.socketpair()
    with pytest.raises(PartyTimedOut, match="handshake"):
        answer(side(0), server, time.monotonic() + 0.1, ("south",))


def test_strangers_are_sent_away_and_the_party_is_let_in():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        strangers = [socket.create_connection(address) for _ in range(2)]
        strangers[0].sendall(b"GET / HTTP/1.1\r\n" + bytes(100))
        strangers[1].close()
        client = socket.create_connection(address)
        thread = threading.Thread(target=lambda: greet(side(1), "north", client, time.monotonic() + 10))
        thread.start()
        assert [link.peer for link in accept(side(0), listener, ("south",), time.monotonic() + 10)] == ["south"]
        thread.join()


def test_who_is_missing_is_told_with_what_went_wrong_before():
    parties, wrong = other_key(1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())

        def attempt():
            with pytest.raises(KeyChanged):
                greet(side(1, parties, key=wrong), "north", client, time.monotonic() + 10)

        thread = threading.Thread(target=attempt)
        thread.start()
        with pytest.raises(KeyChanged, match=r"no connection from south\. Before that: south and north"):
            list(accept(side(0), listener, ("south",), time.monotonic() + 1))
        thread.join()


@pytest.mark.parametrize("data", [b"", b"stead-mp", bytes(46), b"stead-mp" + struct.pack(">BBHH32s", 1, 9, 0, 0, b"")])
def test_preambles_that_are_none(data):
    with pytest.raises(BadMessage):
        read_preamble(data)


def test_plain_channels_carry_and_count():
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    members = [
        Party(name=name, host="127.0.0.1", port=probe.getsockname()[1], key=key.public)
        for name, probe, key in zip(NAMES, probes, KEYS, strict=True)
    ]
    for probe in probes:
        probe.close()
    parties, found = Parties(tuple(members)), {}

    def work(name):
        channel = insecure_plain_mesh(parties, name, timeout_s=10)
        (peer,) = channel.peers
        found[name] = bytes(channel.exchange({peer: [name.encode()]}, {peer: 5})[peer])
        channel.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in NAMES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"north": b"south", "south": b"north"}
