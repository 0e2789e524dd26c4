"""Sealed messages: their bytes, their time, their order of checks. Attacks on them are in tests/attacks."""

import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.codec import MAX_MESSAGE_BYTES, decode
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.core.messages import CloseSession, ListDatasets, SessionFrame
from stead.core.signed import (
    CLOCK_SKEW_S,
    MAX_LIFETIME_S,
    OVERHEAD_BYTES,
    MemoryReplayGuard,
    Signed,
    nonce_of,
    seal,
    unseal,
)
from stead.errors import BadSignature, UsageError

GOLDEN = Path(__file__).parents[1] / "vectors/signed/list-datasets.hex"
ALICE = Key.from_bytes(bytes(range(32)))
NODE = Key.from_bytes(bytes(range(32, 64)))
NOW = 1.7e9
MESSAGE = ListDatasets(project="risk-2026")


class FixedClock:
    def __init__(self, seconds: float = NOW) -> None:
        self.seconds = seconds

    def now(self) -> float:
        return self.seconds


class FixedEntropy:
    seeded = True

    def take(self, size_bytes: int) -> bytes:
        return bytes(range(0x50, 0x50 + size_bytes))


def _seal(message=MESSAGE, *, at=NOW, entropy=None, **changes):
    options = {"key": ALICE, "recipient": NODE.public.raw, "clock": FixedClock(at)} | changes
    return seal(message, entropy=entropy or SystemEntropy(), **options)


def _unseal(data, *, at=NOW, guard=None, **changes):
    clock = FixedClock(at)
    options = {"recipient": NODE, "known": lambda key: key == ALICE.public.raw, "replay": guard} | changes
    options["replay"] = guard or MemoryReplayGuard(clock)
    return unseal(data, clock=clock, **options)


def test_the_golden_bytes():
    golden = bytes.fromhex(GOLDEN.read_text())
    assert _seal(entropy=FixedEntropy()) == golden
    opened = _unseal(golden)
    assert opened.message == MESSAGE
    assert opened.sender == ALICE.public.raw
    assert opened.nonce == bytes(range(0x50, 0x60))


def test_the_golden_signature_is_over_all_that_stands_before_it():
    golden = bytes.fromhex(GOLDEN.read_text())
    public = Ed25519PublicKey.from_public_bytes(ALICE.public.raw)
    public.verify(golden[-64:], b"\x00\x0cstead.signed" + golden[:-64])


def test_the_version_comes_first():
    assert _seal()[:2] == b"\x99\x01"


@given(st.text(max_size=50), st.binary(max_size=500))
@settings(deadline=None, max_examples=50)
def test_what_is_sealed_is_opened(reason, release):
    message = CloseSession(release=release, reason=reason)
    assert _unseal(_seal(message)).message == message


def test_an_answer_gives_the_nonce_of_its_request():
    request = _seal()
    answer = seal(
        MESSAGE,
        key=NODE,
        recipient=ALICE.public.raw,
        clock=FixedClock(),
        entropy=SystemEntropy(),
        reply_to=_unseal(request).nonce,
    )
    opened = _unseal(answer, recipient=ALICE, known=lambda key: key == NODE.public.raw, reply_to=nonce_of(request))
    assert opened.message == MESSAGE


def test_the_recipient_may_be_given_by_its_public_key():
    assert _unseal(_seal(), recipient=NODE.public.raw).message == MESSAGE


def test_two_seals_of_one_message_differ():
    assert nonce_of(_seal()) != nonce_of(_seal())


@pytest.mark.parametrize("offset", [-CLOCK_SKEW_S, 0, 120, 120 + CLOCK_SKEW_S])
def test_a_message_is_good_within_its_time_and_the_allowance(offset):
    assert _unseal(_seal(), at=NOW + offset).message == MESSAGE


@pytest.mark.parametrize("offset", [-CLOCK_SKEW_S - 0.01, 120.01 + CLOCK_SKEW_S, -1e9, 1e9])
def test_a_message_is_bad_outside(offset):
    with pytest.raises(BadSignature):
        _unseal(_seal(), at=NOW + offset)


@pytest.mark.parametrize("lifetime_s", [0, -1, MAX_LIFETIME_S + 1, float("nan"), float("inf")])
def test_a_lifetime_out_of_range_is_not_sealed(lifetime_s):
    with pytest.raises(UsageError):
        _seal(lifetime_s=lifetime_s)


@pytest.mark.parametrize("changes", [{"recipient": b"short"}, {"reply_to": b"short"}])
def test_fields_of_a_wrong_length_are_not_sealed(changes):
    with pytest.raises(UsageError):
        _seal(**changes)


def test_the_envelope_adds_little():
    for size in (0, 100, 70_000):
        message = SessionFrame(release=bytes(16), frame=bytes(size))
        sealed = _seal(message, reply_to=bytes(16))
        assert len(sealed) - len(decode(sealed, Signed).body) <= OVERHEAD_BYTES


def test_a_message_over_the_limit_is_not_sealed():
    with pytest.raises(UsageError, match="over"):
        _seal(SessionFrame(release=b"", frame=bytes(MAX_MESSAGE_BYTES - 100)))


def test_a_guard_refuses_the_second_claim_and_forgets_the_expired():
    clock = FixedClock()
    guard = MemoryReplayGuard(clock, capacity=2)
    guard.claim(b"a", b"1", NOW + 10)
    guard.claim(b"b", b"1", NOW + 20)
    with pytest.raises(BadSignature, match="before"):
        guard.claim(b"a", b"1", NOW + 10)
    with pytest.raises(BadSignature, match="over 2"):
        guard.claim(b"c", b"1", NOW + 10)
    clock.seconds = NOW + 10
    with pytest.raises(BadSignature, match="before"):
        guard.claim(b"a", b"1", NOW + 10)
    clock.seconds = NOW + 11
    guard.claim(b"a", b"1", NOW + 30)
    with pytest.raises(BadSignature, match="before"):
        guard.claim(b"b", b"1", NOW + 20)


def test_of_many_threads_one_claim_succeeds():
    guard = MemoryReplayGuard(FixedClock())
    won = []

    def claim() -> None:
        try:
            guard.claim(b"a", b"1", NOW + 10)
            won.append(1)
        except BadSignature:
            pass

    threads = [threading.Thread(target=claim) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
