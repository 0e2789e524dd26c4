"""Streams of random bytes: the operating system's, seeded ones, and keystreams against published AES vectors."""

import pickle

import pytest

from stead.core.entropy import Keystream, SeededEntropy, SystemEntropy


def test_a_keystream_is_aes_256_in_counter_mode_from_zero():
    # AES-256 under the zero key of the counters 0, 1, 2: McGrew & Viega, "The Galois/Counter Mode of Operation",
    # appendix B: H of test case 13, the tag of test case 13 (E(K, Y0)) and the ciphertext of test case 14.
    stream = Keystream(bytes(32))
    assert stream.take(16).hex() == "dc95c078a2408989ad48a21492842087"
    assert stream.take(32).hex() == "530f8afbc74536b9a963b4f1c4cb738b" + "cea7403d4d606b6e074ec5d3baf39d18"


def test_pieces_join_to_one_stream():
    whole = Keystream(b"k" * 32).take(1000)
    pieces = Keystream(b"k" * 32)
    assert b"".join(pieces.take(size) for size in (1, 15, 16, 17, 951)) == whole


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_keystream_wants_a_key_of_32_bytes(size):
    with pytest.raises(ValueError, match="32 bytes"):
        Keystream(bytes(size))


def test_seeded_entropy_repeats_and_says_so():
    assert SeededEntropy(7).take(64) == SeededEntropy(7).take(64)
    assert SeededEntropy(7).take(64) != SeededEntropy(8).take(64)
    assert SeededEntropy(7).seeded
    stream = SeededEntropy(7)
    assert stream.take(32) != stream.take(32)


def test_system_entropy_does_not():
    entropy = SystemEntropy()
    assert not entropy.seeded
    assert entropy.take(32) != entropy.take(32)
    assert len(entropy.take(17)) == 17


def test_a_fresh_keystream_takes_its_key_from_the_entropy():
    assert Keystream.fresh(SeededEntropy(3)).take(64) == Keystream(SeededEntropy(3).take(32)).take(64)


@pytest.mark.parametrize("stream", [SeededEntropy(1), Keystream(bytes(32))])
def test_streams_are_not_pickled(stream):
    with pytest.raises(TypeError):
        pickle.dumps(stream)


def test_a_keystream_prints_redacted():
    assert repr(Keystream(b"k" * 32)) == "Keystream(<redacted>)"
