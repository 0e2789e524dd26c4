"""The handshakes against published vectors, and against who tampers."""

import json
from pathlib import Path

import pytest

from stead.core.entropy import SeededEntropy
from stead.errors import BadMessage, UsageError
from stead.net.frames import Kind, Opener, Sealer, read_header
from stead.net.noise import Handshake, StaticKey

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/published/noise.json").read_text())
CASES = [(source, vector) for source in ("cacophony", "snow") for vector in VECTORS[source]]


def sides(vector):
    pattern = vector["protocol_name"].split("_")[1]

    def side(us, them, initiator):
        public = StaticKey.from_bytes(bytes.fromhex(vector[f"{them}_static"])).public
        return Handshake(
            pattern,
            initiator=initiator,
            static=StaticKey.from_bytes(bytes.fromhex(vector[f"{us}_static"])),
            ephemeral=StaticKey.from_bytes(bytes.fromhex(vector[f"{us}_ephemeral"])),
            prologue=bytes.fromhex(vector[f"{us}_prologue"]),
            remote=public if pattern == "KK" else None,
        )

    return side("init", "resp", True), side("resp", "init", False)


@pytest.mark.parametrize(("source", "vector"), CASES, ids=lambda v: v if isinstance(v, str) else v["protocol_name"])
def test_the_published_vectors(source, vector):
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from stead.net.noise import nonce

    speaker, hearer = sides(vector)
    initiator, sent = speaker, [0, 0]
    keys = None
    for turn, message in enumerate(vector["messages"]):
        payload, ciphertext = bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"])
        if not speaker.finished:
            assert speaker.write(payload) == ciphertext
            assert hearer.read(ciphertext) == payload
            speaker, hearer = hearer, speaker
            continue
        assert speaker.hash == hearer.hash
        if "handshake_hash" in vector:
            assert speaker.hash.hex() == vector["handshake_hash"]
        keys = initiator.split()
        who = turn % 2
        assert AESGCM(keys[who]).encrypt(nonce(sent[who]), payload, b"") == ciphertext
        sent[who] += 1
    assert keys is not None
    other = speaker if speaker is not initiator else hearer
    assert other.split() == keys[::-1]
    assert initiator.remote == other._static.public


def pair(pattern, *, prologues=(b"x", b"x"), known=True):
    entropy = SeededEntropy(1)
    ours, theirs, wrong, *ephemeral = (StaticKey.generate(entropy) for _ in range(5))
    kk = pattern == "KK"
    first = Handshake(
        pattern, initiator=True, static=ours, ephemeral=ephemeral[0], prologue=prologues[0],
        remote=(theirs if known else wrong).public if kk else None,
    )  # fmt: skip
    second = Handshake(
        pattern, initiator=False, static=theirs, ephemeral=ephemeral[1], prologue=prologues[1],
        remote=ours.public if kk else None,
    )  # fmt: skip
    return first, second


def complete(first, second, *, change=(-1, 0)):
    """Say all messages, one of them changed at one place; returns their lengths."""
    lengths = []
    while not first.finished:
        message = bytearray(first.write(b"payload"))
        if len(lengths) == change[0]:
            message[change[1]] ^= 0x40
        lengths.append(len(message))
        second.read(bytes(message))
        first, second = second, first
    return lengths


@pytest.mark.parametrize("pattern", ["KK", "XX"])
def test_other_prologues_do_not_agree(pattern):
    with pytest.raises(BadMessage, match="not sealed under the keys"):
        complete(*pair(pattern, prologues=(b"north to south", b"north to east")))


def test_kk_with_a_wrong_key_does_not_agree():
    with pytest.raises(BadMessage, match="not sealed under the keys"):
        complete(*pair("KK", known=False))


@pytest.mark.parametrize("pattern", ["KK", "XX"])
def test_every_changed_bit_is_noticed(pattern):
    for turn, length in enumerate(complete(*pair(pattern))):
        for place in range(length):
            with pytest.raises(BadMessage):  # at once, or when the answer comes; never a channel
                complete(*pair(pattern), change=(turn, place))


@pytest.mark.parametrize("pattern", ["KK", "XX"])
@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31)])
def test_keys_of_small_order_are_refused(pattern, public):
    first, second = pair(pattern)
    first.write()
    if pattern == "XX":  # which agrees on nothing before the answer
        second.read(public)
    with pytest.raises(BadMessage, match="full order"):
        second.write() if pattern == "XX" else second.read(public + bytes(16))


def test_messages_come_in_turn():
    first, second = pair("KK")
    with pytest.raises(UsageError, match="in turn"):
        second.write()
    with pytest.raises(UsageError, match="not finished"):
        first.split()
    first.write()
    with pytest.raises(UsageError, match="in turn"):
        first.write()


def test_a_key_is_kept_and_found_again(tmp_path):
    key = StaticKey.generate(SeededEntropy(4))
    key.save(tmp_path / "a.key")
    assert StaticKey.load(tmp_path / "a.key").public == key.public
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="never overwritten"):
        key.save(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(0o644)
    with pytest.raises(UsageError, match="open to others"):
        StaticKey.load(tmp_path / "a.key")


@pytest.mark.parametrize("pattern", ["KK", "XX"])
def test_the_keys_of_a_handshake_seal_frames(pattern):
    first, second = pair(pattern)
    a, b = first, second
    complete(first, second)
    (ours, theirs), (their_ours, our_theirs) = a.split(), b.split()
    assert (ours, theirs) == (our_theirs, their_ours)
    frame = Sealer(ours).pack(Kind.DATA, b"words", 5)
    out = bytearray(5)
    Opener(our_theirs).open_into(frame, read_header(frame[:16]), memoryview(out))
    assert out == b"words"
