"""Messages that must be refused: replayed, altered, misdirected, expired, by a stranger, too large, too deep."""

import contextlib
import threading
import tracemalloc

import msgspec
import pytest

from stead.core.codec import MAX_MESSAGE_BYTES, encode
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.core.messages import AskAnswer, ListDatasets, Message
from stead.core.signed import DOMAIN, MemoryReplayGuard, Signed, nonce_of, seal, unseal
from stead.errors import BadMessage, BadSignature, SteadError, VersionMismatch

ALICE = Key.from_bytes(bytes(range(32)))
MALLORY = Key.from_bytes(bytes(range(1, 33)))
NODE = Key.from_bytes(bytes(range(32, 64)))
ELSEWHERE = Key.from_bytes(bytes(range(33, 65)))
NOW = 1.7e9
MESSAGE = AskAnswer(release=bytes(16), project="risk-2026", plan=b"\x80", why="Table 1")
CANARY = "canary-7d1f"


class FixedClock:
    def __init__(self, seconds: float = NOW) -> None:
        self.seconds = seconds

    def now(self) -> float:
        return self.seconds


class Receiver:
    """A node that knows Alice, and remembers which nonces were claimed."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.guard = MemoryReplayGuard(self.clock)
        self.claims: list[bytes] = []

    def claim(self, sender: bytes, nonce: bytes, expires: float) -> None:
        self.guard.claim(sender, nonce, expires)
        self.claims.append(nonce)

    def open(self, data: bytes, *, reply_to: bytes = b"") -> Message:
        return unseal(
            data,
            recipient=NODE,
            known=lambda key: key == ALICE.public.raw,
            replay=self,
            clock=self.clock,
            reply_to=reply_to,
        ).message


@pytest.fixture
def node():
    return Receiver()


def _seal(message=MESSAGE, *, key=ALICE, recipient=NODE.public.raw, at=NOW, reply_to=b""):
    return seal(message, key=key, recipient=recipient, clock=FixedClock(at), entropy=SystemEntropy(), reply_to=reply_to)


def _forge(key: Key = ALICE, **changes: object) -> bytes:
    """An envelope with any fields, signed as the protocol asks."""
    fields = {
        "version": 1,
        "sender": key.public.raw,
        "recipient": NODE.public.raw,
        "nonce": bytes(16),
        "issued_ms": int(NOW * 1000),
        "expires_ms": int(NOW * 1000) + 1000,
        "reply_to": b"",
        "body": encode(MESSAGE),
        "signature": bytes(64),
    }
    unsigned = encode(Signed(**(fields | changes)))[:-64]
    return unsigned + key.sign(DOMAIN, unsigned)


def test_the_forger_makes_good_messages_too(node):
    assert node.open(_forge()) == MESSAGE


def test_a_replayed_message(node):
    sealed = _seal()
    assert node.open(sealed) == MESSAGE
    with pytest.raises(BadSignature, match="before"):
        node.open(sealed)


def test_a_replayed_message_is_refused_as_long_as_it_could_be_accepted(node):
    sealed = _seal()
    node.open(sealed)
    for later in (0, 60, 119, 121, 179.9, 180, 180.1, 1000):
        node.clock.seconds = NOW + later
        with pytest.raises(BadSignature):
            node.open(sealed)


def test_a_message_replayed_by_many_threads_is_opened_once(node):
    sealed = _seal()
    opened = []

    def attempt() -> None:
        with contextlib.suppress(BadSignature):
            opened.append(node.open(sealed))

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [MESSAGE]


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_every_altered_byte(node, mask):
    sealed = _seal()
    for place in range(len(sealed)):
        altered = sealed[:place] + bytes([sealed[place] ^ mask]) + sealed[place + 1 :]
        with pytest.raises((BadSignature, BadMessage, VersionMismatch)):
            node.open(altered)
    assert node.claims == []
    assert node.open(sealed) == MESSAGE


def test_every_truncation_and_an_extension(node):
    sealed = _seal()
    for size in range(len(sealed)):
        with pytest.raises(BadMessage):
            node.open(sealed[:size])
    with pytest.raises(BadMessage):
        node.open(sealed + b"\x00")
    assert node.claims == []


def test_a_misdirected_message(node):
    with pytest.raises(BadSignature, match="another recipient"):
        node.open(_seal(recipient=ELSEWHERE.public.raw))


def test_a_redirected_message(node):
    sealed = _seal(recipient=ELSEWHERE.public.raw)
    with pytest.raises(BadSignature):
        node.open(sealed.replace(ELSEWHERE.public.raw, NODE.public.raw))


def test_a_message_under_another_name(node):
    sealed = _seal(key=MALLORY)
    with pytest.raises(BadSignature):
        node.open(sealed.replace(MALLORY.public.raw, ALICE.public.raw))


def test_a_stranger(node):
    with pytest.raises(BadSignature, match="not known"):
        node.open(_seal(key=MALLORY))


def test_a_stranger_does_not_learn_whom_we_know(node):
    answers = set()
    for claimed in (ALICE, ELSEWHERE):
        sealed = _seal(key=MALLORY).replace(MALLORY.public.raw, claimed.public.raw)
        with pytest.raises(BadSignature) as refused:
            node.open(sealed)
        answers.add(str(refused.value).replace(claimed.public.fingerprint(), "..."))
    assert len(answers) == 1


def test_a_forged_message_does_not_use_up_a_nonce(node):
    sealed = _seal()
    forged = _forge(MALLORY, nonce=nonce_of(sealed)).replace(MALLORY.public.raw, ALICE.public.raw)
    with pytest.raises(BadSignature):
        node.open(forged)
    assert node.open(sealed) == MESSAGE


def test_an_expired_message(node):
    node.clock.seconds = NOW + 120 + 61
    with pytest.raises(BadSignature, match="expired"):
        node.open(_seal())


def test_a_message_from_the_future(node):
    with pytest.raises(BadSignature, match="future"):
        node.open(_seal(at=NOW + 61))


@pytest.mark.parametrize(
    ("issued_s", "expires_s"),
    [(0, 601), (0, 0), (0, -1), (-1e6, 100), (0, 1e6), (1e6, 2e6), (-(1 << 62) / 1000, (1 << 62) / 1000)],
)
def test_a_lifetime_out_of_range(node, issued_s, expires_s):
    forged = _forge(issued_ms=int((NOW + issued_s) * 1000), expires_ms=int((NOW + expires_s) * 1000))
    with pytest.raises(BadSignature):
        node.open(forged)
    assert node.claims == []


@pytest.mark.parametrize("version", [0, 2, 3, 127])
def test_another_version(node, version):
    with pytest.raises(VersionMismatch if version else BadMessage):
        node.open(_forge(version=version))


def test_a_later_version_of_another_shape_is_told_apart(node):
    for data in (b"\x93\x02\xc0\xc0", b"\x9f\x02", b"\x92\x7f\x90"):
        with pytest.raises(VersionMismatch):
            node.open(data)


def test_a_wrong_reply(node):
    request = _seal()
    with pytest.raises(BadSignature, match="does not answer"):
        node.open(_seal(reply_to=bytes(16)), reply_to=nonce_of(request))
    with pytest.raises(BadSignature, match="does not answer"):
        node.open(_seal(), reply_to=nonce_of(request))
    with pytest.raises(BadSignature, match="does not answer"):
        node.open(_seal(reply_to=nonce_of(request)))
    assert node.open(_seal(reply_to=nonce_of(request)), reply_to=nonce_of(request)) == MESSAGE


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": b""},
        {"nonce": bytes(17)},
        {"recipient": b""},
        {"reply_to": bytes(1)},
        {"signature": bytes(65)},
        {"body": b""},
        {"body": encode(MESSAGE) + b"\x00"},
        {"body": b"\x80"},
        {"body": encode({"type": "ask-answer"})},
    ],
)
def test_an_enrolled_sender_may_not_send_anything(node, changes):
    with pytest.raises((BadMessage, BadSignature)):
        node.open(_forge(**changes))
    assert node.claims == []


def test_a_key_of_small_order_signs_nothing(node):
    weak = bytes([1]) + bytes(31)  # the neutral element: for it, R = neutral and S = 0 verify anything
    forged = _forge().replace(ALICE.public.raw, weak)[:-64] + weak + bytes(32)
    with pytest.raises(BadMessage, match="small order"):
        unseal(forged, recipient=NODE, known=lambda _: True, replay=node, clock=node.clock)


def test_a_message_signed_under_another_domain(node):
    unsigned = _forge()[:-64]
    with pytest.raises(BadSignature):
        node.open(unsigned + ALICE.sign("stead.other", unsigned))


@pytest.mark.parametrize("head", [b"\xc6", b"\xdb", b"\xdd", b"\xdf"])
def test_a_length_prefix_of_a_gibibyte(node, head):
    sealed = _seal()
    huge = head + (1 << 30).to_bytes(4, "big")
    inner = encode(ListDatasets(project="p")).replace(b"\xa1p", huge)
    attempts = [sealed[:2] + huge + sealed[2:], huge, _forge(body=huge), _forge(body=inner)]
    tracemalloc.start()
    try:
        for data in attempts:
            with pytest.raises(BadMessage):
                node.open(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_more_bytes_than_the_limit_are_not_looked_at(node):
    data = b"\x99\x01" + bytes(MAX_MESSAGE_BYTES)
    tracemalloc.start()
    try:
        with pytest.raises(BadMessage, match="limit"):
            node.open(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("head", [b"\x91", b"\x81\xa1a", b"\x81"])
def test_deep_nesting(node, head):
    for data in (head * 500_000, b"\x99\x01" + head * 500_000, _forge(body=head * 500_000)):
        with pytest.raises(BadMessage):
            node.open(data)


def test_no_refusal_repeats_the_message(node):
    body = msgspec.msgpack.encode({"type": CANARY, CANARY: CANARY})
    sealed = _seal(AskAnswer(release=bytes(16), project=CANARY, plan=b"", why=CANARY))
    attempts = [
        _forge(body=body),
        _forge(body=CANARY.encode()),
        sealed[:-1] + bytes([sealed[-1] ^ 1]),
        sealed[:-1],
        _forge(MALLORY, body=body),
    ]
    for data in attempts:
        with pytest.raises(SteadError) as refused:
            node.open(data)
        assert CANARY not in str(refused.value)
        assert CANARY not in repr(refused.value)
