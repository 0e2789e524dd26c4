"""The rounds of a mesh against peers that misbehave: what is raised, whom it names, and that the others hear of it."""

import contextlib
import socket
import struct
import threading
import time

import numpy as np
import pytest

from stead.errors import (
    BadMessage,
    CheaterDetected,
    PartyTimedOut,
    PartyUnreachable,
    UsageError,
)
from stead.net.frames import PAYLOAD_BYTES, Kind, Opener, Sealer
from stead.net.links import Abort, Link, payloads, read_abort, word
from stead.net.mesh import MeshChannel

KEYS = (bytes(32), bytes(range(32)))


def connected():
    """Two ends of a TCP connection on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def mesh_of_one(*, peers=("b",), timeout_s=20.0):
    """The channel of party ``a``, and for each peer its end of the connection and the sealer of its frames."""
    links, ends = [], {}
    for peer in peers:
        ours, theirs = connected()
        theirs.settimeout(20)
        links.append(Link(peer, ours, Sealer(KEYS[0]), Opener(KEYS[1])))
        ends[peer] = (theirs, Sealer(KEYS[1]))
    return MeshChannel("a", links, timeout_s), ends


def two(timeout_s=20.0):
    """Two channels that are connected to each other."""
    ours, theirs = connected()
    return (
        MeshChannel("a", [Link("b", ours, Sealer(KEYS[0]), Opener(KEYS[1]))], timeout_s),
        MeshChannel("b", [Link("a", theirs, Sealer(KEYS[1]), Opener(KEYS[0]))], timeout_s),
    )


def data(sealer, payload, message_bytes=None):
    return bytes(sealer.pack(Kind.DATA, payload, len(payload) if message_bytes is None else message_bytes))


def heard_abort(end):
    """The ABORT frame that a party has sent on this connection, if it is the first frame."""
    raw = b""
    while part := end.recv(1 << 16):
        raw += part
    size = struct.unpack(">I", raw[4:8])[0]
    assert raw[0] == Kind.ABORT
    out = bytearray(size)
    from stead.net.frames import read_header

    Opener(KEYS[0]).open_into(memoryview(raw)[: 32 + size], read_header(raw), memoryview(out))
    return read_abort(out)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda s: data(s, b"1234567"), CheaterDetected, "b sent a message of 7 bytes where this round has one of 8"),
        (lambda s: data(s, b"123456789"), CheaterDetected, "message of 9 bytes"),
        (lambda s: data(s, b"1234", 8), CheaterDetected, "message of 8 bytes"),
        (lambda s: data(s, bytes(PAYLOAD_BYTES), 1 << 40), CheaterDetected, "message of 1099511627776 bytes"),
        (lambda _: b"GET / HTTP/1.1\r\nHost: b\r\n\r\n", BadMessage, "from b: the bytes are no frame"),
        (lambda s: data(s, b"12345678")[:-1] + b"x", BadMessage, "from b: a frame was changed"),
        (lambda _: data(Sealer(KEYS[0]), b"12345678"), BadMessage, "from b: a frame was changed"),
        (lambda _: data(Sealer(KEYS[1], 1), b"12345678"), BadMessage, "from b: a frame was changed"),
        (lambda _: struct.pack(">B3xIQ", 1, 1 << 30, 1 << 30), BadMessage, "announces a payload of 1073741824"),
        (lambda s: bytes(s.pack(Kind.READY, b"", 0)), BadMessage, "repeats the end of the handshake"),
        (lambda s: bytes(s.pack(Kind.ABORT, b"\xc1", 1)), BadMessage, "from b: "),
        (lambda s: bytes(s.pack(Kind.BYE, b"", 0)), PartyUnreachable, "b has ended its part"),
    ],
)
def test_what_is_raised_names_the_peer_and_is_told_to_the_others(make, kind, words):
    channel, ends = mesh_of_one(peers=("b", "c"))
    end, sealer = ends["b"]
    thread = threading.Thread(target=end.sendall, args=(make(sealer),))
    thread.start()
    with pytest.raises(kind) as caught:
        channel.exchange({}, {"b": 8, "c": 8})
    thread.join()
    assert words in str(caught.value)
    notice = heard_abort(ends["c"][0])
    assert notice.error == kind.code()
    assert words in notice.text
    with pytest.raises(kind):  # and it stays closed
        channel.exchange({}, {})


def test_a_repeated_frame_is_noticed():
    channel, ends = mesh_of_one()
    end, sealer = ends["b"]
    frame = data(sealer, b"12345678")
    end.sendall(frame + frame)
    assert bytes(channel.exchange({}, {"b": 8})["b"]) == b"12345678"
    with pytest.raises(BadMessage, match="repeated, moved"):
        channel.exchange({}, {"b": 8})


def test_bytes_may_come_one_by_one():
    channel, ends = mesh_of_one()
    end, sealer = ends["b"]
    stream = data(sealer, b"hello") + bytes(sealer.pack(Kind.WAITING, b"", 0)) + data(sealer, b"") + data(sealer, b"x")

    def drip():
        for place in range(len(stream)):
            end.sendall(stream[place : place + 1])

    thread = threading.Thread(target=drip)
    thread.start()
    assert bytes(channel.exchange({}, {"b": 5})["b"]) == b"hello"
    assert bytes(channel.exchange({}, {"b": 0})["b"]) == b""
    assert bytes(channel.exchange({}, {"b": 1})["b"]) == b"x"
    thread.join()


def test_what_a_peer_reports_is_passed_on_and_made_harmless():
    channel, ends = mesh_of_one(peers=("b", "c"))
    end, sealer = ends["b"]
    from stead.core.codec import encode

    words = encode(Abort(CheaterDetected.code(), "c lies\x1b[2J " + "z" * 2000))
    end.sendall(bytes(sealer.pack(Kind.ABORT, words, len(words))))
    with pytest.raises(CheaterDetected, match="b ended the computation: c lies ") as caught:
        channel.exchange({}, {"c": 8})
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert heard_abort(ends["c"][0]).text.startswith("c lies")


@pytest.mark.parametrize("code", ["budget-exceeded", "usage-error", "no such thing"])
def test_a_peer_cannot_make_us_raise_what_is_not_its_business(code):
    from stead.core.codec import encode

    channel, ends = mesh_of_one()
    end, sealer = ends["b"]
    words = encode(Abort(code, "x"))
    end.sendall(bytes(sealer.pack(Kind.ABORT, words, len(words))))
    with pytest.raises(PartyUnreachable):
        channel.exchange({}, {"b": 8})


def test_a_cut_connection_is_noticed_in_the_middle_of_a_message():
    channel, ends = mesh_of_one()
    end, sealer = ends["b"]
    end.sendall(data(sealer, bytes(PAYLOAD_BYTES), 2 * PAYLOAD_BYTES)[:5000])
    end.close()
    with pytest.raises(PartyUnreachable, match=r"b has closed|to b broke"):
        channel.exchange({}, {"b": 2 * PAYLOAD_BYTES})


def test_a_peer_that_reads_nothing_is_timed_out():
    channel, _ends = mesh_of_one(timeout_s=0.4)
    with pytest.raises(PartyTimedOut, match="b was silent"):
        channel.exchange({"b": [bytes(20 << 20)]}, {})


def test_a_peer_that_only_says_that_it_waits_is_cut_off():
    channel, ends = mesh_of_one(timeout_s=0.4)
    end, sealer = ends["b"]
    stop = threading.Event()

    def chatter():
        while not stop.wait(0.05):
            try:
                end.sendall(bytes(sealer.pack(Kind.WAITING, b"", 0)))
            except OSError:
                return

    thread = threading.Thread(target=chatter)
    thread.start()
    with pytest.raises(PartyTimedOut, match="b did not finish a round"):
        channel.exchange({}, {"b": 1})
    stop.set()
    thread.join()


def test_a_peer_that_says_so_without_a_pause_is_cut_off():
    channel, ends = mesh_of_one(timeout_s=0.4)
    end, sealer = ends["b"]

    def chatter():
        with contextlib.suppress(OSError):
            while True:
                end.sendall(b"".join(bytes(sealer.pack(Kind.WAITING, b"", 0)) for _ in range(1000)))

    def work():
        try:
            channel.exchange({}, {"b": 100})
        except PartyTimedOut as error:
            found.append(error)
        end.close()

    found = []
    threads = [threading.Thread(target=each, daemon=True) for each in (chatter, work)]
    for thread in threads:
        thread.start()
    threads[1].join(30)
    assert [str(error) for error in found if "b did not finish a round" in str(error)]


@pytest.mark.parametrize("before", [1, 2, 5])
def test_a_last_word_is_heard_that_comes_with_others(before):
    channel, ends = mesh_of_one()
    end, sealer = ends["b"]
    words = [bytes(word(sealer, Kind.WAITING, None)) for _ in range(before)]
    end.sendall(b"".join(words) + bytes(word(sealer, Kind.ABORT, Abort("party-timed-out", "c was silent"))))
    end.shutdown(socket.SHUT_WR)
    with pytest.raises(PartyTimedOut, match="c was silent"):
        channel.exchange({}, {"b": 100})


def test_a_peer_may_be_a_round_ahead():
    channel, ends = mesh_of_one(peers=("b", "c"))
    end, sealer = ends["b"]
    end.sendall(data(sealer, b"early"))
    other, their_sealer = ends["c"]
    threading.Timer(0.2, lambda: other.sendall(data(their_sealer, b"now"))).start()
    assert bytes(channel.exchange({}, {"c": 3})["c"]) == b"now"
    assert bytes(channel.exchange({}, {"b": 5})["b"]) == b"early"


def test_large_messages_cross():
    a, b = two()
    one, other = np.arange(3_000_001, dtype=np.uint64), np.arange(7, 2_000_007, dtype=np.uint64)
    found = {}

    def work():
        found["b"] = b.exchange({"a": [other, b"end"]}, {"a": one.nbytes + 1})["a"]

    thread = threading.Thread(target=work)
    thread.start()
    got = a.exchange({"b": [b"!", one]}, {"b": other.nbytes + 3})["b"]
    thread.join()
    assert np.array_equal(np.frombuffer(got, np.uint64, len(other)), other)
    assert bytes(found["b"][:1]) == b"!"
    assert np.array_equal(np.frombuffer(found["b"][1:], np.uint64), one)
    assert a.traffic.sent_bytes["b"] == b.traffic.received_bytes["a"] == one.nbytes + 1


@pytest.mark.parametrize("late", [False, True])
def test_a_peer_that_has_done_its_part_may_be_gone_while_others_go_on(late):
    """Party a waits for c for several beats; b has said goodbye before that, or says it while a waits, and closes."""
    channel, ends = mesh_of_one(peers=("b", "c"), timeout_s=0.8)
    (gone, sealer), (other, their_sealer) = ends["b"], ends["c"]

    def leave():
        gone.sendall(bytes(word(sealer, Kind.BYE, None)))
        gone.close()

    def work():
        for beat in range(8):
            if late and beat == 3:
                leave()
            time.sleep(0.2)
            other.sendall(bytes(word(their_sealer, Kind.WAITING, None)))
            if beat == 5:
                other.sendall(data(their_sealer, b"now"))

    if not late:
        leave()
    thread = threading.Thread(target=work)
    thread.start()
    assert bytes(channel.exchange({}, {"c": 3})["c"]) == b"now"
    thread.join()
    with pytest.raises(PartyUnreachable, match="b has ended its part"):
        channel.exchange({"b": [b"x"]}, {})


def test_closing_delivers_what_was_sent_before():
    a, b = two()
    thread = threading.Thread(target=lambda: (a.exchange({"b": [bytes(3 << 20)]}, {}), a.close()))
    thread.start()
    assert len(b.exchange({}, {"a": 3 << 20})["a"]) == 3 << 20
    thread.join()
    with pytest.raises(PartyUnreachable, match="a has ended its part"):
        b.exchange({"a": [b"x"]}, {"a": 1})
    with pytest.raises(PartyUnreachable, match="closed"):
        a.exchange({}, {})
    a.close()


def test_an_abort_reaches_the_peer_with_its_reason():
    a, b = two()
    a.abort("the owner stopped it")
    with pytest.raises(PartyUnreachable, match="a ended the computation: the owner stopped it"):
        b.exchange({}, {"a": 1})


def test_a_wrong_call_is_told_and_harms_nothing():
    a, b = two()
    with pytest.raises(UsageError, match="no peer"):
        a.exchange({"z": [b""]}, {})
    a.exchange({"b": [b"x"]}, {})
    assert bytes(b.exchange({}, {"a": 1})["a"]) == b"x"


def test_a_message_is_cut_without_copies_where_it_can_be():
    whole = memoryview(bytes(PAYLOAD_BYTES * 2 + 5))
    parts = list(payloads([whole]))
    assert [len(part) for part in parts] == [PAYLOAD_BYTES, PAYLOAD_BYTES, 5]
    assert all(part.obj is whole.obj for part in parts)
    mixed = list(payloads([memoryview(b"ab"), memoryview(b""), memoryview(bytes(PAYLOAD_BYTES))]))
    assert [len(part) for part in mixed] == [PAYLOAD_BYTES, 2]
    assert bytes(mixed[0][:3]) == b"ab\0"
    assert list(payloads([memoryview(b"")])) == []
