"""Sealed frames: the layout, every changed bit, and the order."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stead.errors import BadMessage, UsageError
from stead.net.frames import (
    HEADER_BYTES,
    MAX_FRAMES,
    PAYLOAD_BYTES,
    Kind,
    Opener,
    PlainReader,
    PlainWriter,
    Sealer,
    read_header,
)

KEY = bytes(range(32))


def opened(opener, frame):
    header = read_header(frame)
    out = bytearray(header.size_bytes)
    opener.open_into(memoryview(frame), header, memoryview(out))
    return bytes(out)


def frames(*payloads):
    sealer = Sealer(KEY)
    return [bytes(sealer.pack(Kind.DATA, payload, len(payload))) for payload in payloads]


def test_the_layout_is_the_documented_one():
    first, second = frames(b"", b"abc")
    header = bytes.fromhex("01000000000000030000000000000003")
    assert second[:16] == header
    assert second[16:] == AESGCM(KEY).encrypt(bytes(11) + b"\x01", b"abc", header)
    assert first[16:] == AESGCM(KEY).encrypt(bytes(12), b"", first[:16])


@pytest.mark.parametrize("size_bytes", [0, 1, PAYLOAD_BYTES - 1, PAYLOAD_BYTES])
def test_what_was_sealed_opens(size_bytes):
    payload = bytes(range(251)) * (size_bytes // 251 + 1)
    assert opened(Opener(KEY), frames(payload[:size_bytes])[0]) == payload[:size_bytes]


def test_every_changed_bit_is_noticed():
    (frame,) = frames(b"seventeen letters")
    for place in range(len(frame)):
        for bit in range(8):
            changed = bytearray(frame)
            changed[place] ^= 1 << bit
            with pytest.raises(BadMessage):
                opened(Opener(KEY), bytes(changed))


def test_frames_open_once_and_in_their_order():
    first, second = frames(b"first", b"second")
    opener = Opener(KEY)
    with pytest.raises(BadMessage, match="repeated, moved"):
        opened(opener, second)
    assert opened(opener, first) == b"first"
    with pytest.raises(BadMessage, match="repeated, moved"):
        opened(opener, first)
    assert opened(opener, second) == b"second"


def test_frames_of_another_key_do_not_open():
    with pytest.raises(BadMessage):
        opened(Opener(bytes(32)), frames(b"first")[0])


def test_a_key_does_not_seal_for_ever():
    sealer = Sealer(KEY, MAX_FRAMES - 1)
    last = bytes(sealer.pack(Kind.DATA, b"x", 1))
    with pytest.raises(UsageError, match="under one key"):
        sealer.pack(Kind.DATA, b"x", 1)
    opener = Opener(KEY, MAX_FRAMES - 1)
    assert opened(opener, last) == b"x"
    with pytest.raises(BadMessage, match="under one key"):
        opened(opener, last)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("01000000001000010000000000100001", "limit is 1048576"),
        ("02000000000010010000000000001001", "limit is 4096"),
        ("00000000000000000000000000000000", "no frame"),
        ("06000000000000000000000000000000", "no frame"),
        ("01000001000000000000000000000000", "no frame"),
        ("01000000000000020000000000000001", "its message has 1"),
        ("01000000000000018000000000000000", "its message has 9223"),
        ("01000000000000000000000000000001", "empty frame"),
        ("02000000000000010000000000000002", "its message has 2"),
        ("01", "header has 16 bytes, not 1"),
    ],
)
def test_headers_that_cannot_be(header, words):
    with pytest.raises(BadMessage, match=words):
        read_header(bytes.fromhex(header))


def test_a_cut_or_longer_frame_does_not_open():
    (frame,) = frames(b"abc")
    for wrong in (frame[:-1], frame + b"x"):
        with pytest.raises(BadMessage, match="came with"):
            opened(Opener(KEY), wrong)


def test_a_payload_over_the_limit_is_not_sealed():
    with pytest.raises(UsageError, match="holds up to"):
        Sealer(KEY).pack(Kind.DATA, bytes(PAYLOAD_BYTES + 1), PAYLOAD_BYTES + 1)


def test_plain_frames_have_the_same_form():
    frame = bytes(PlainWriter().pack(Kind.DATA, b"abc", 3))
    assert frame[:HEADER_BYTES] == frames(b"abc")[0][:HEADER_BYTES]
    assert opened(PlainReader(), frame) == b"abc"
    with pytest.raises(BadMessage):
        opened(PlainReader(), frame[:-1] + b"\x01")
