"""The keystream against the vectors of NIST SP 800-38A, and the compiled kernel against OpenSSL."""

import copy
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from stead.mpc.kernels import keystream
from stead.mpc.kernels.keystream import Keystream
from stead.mpc.party import RingStream

needs_kernel = pytest.mark.skipif(not keystream.native_runs(), reason="no compiled kernel, or no VAES")

# SP 800-38A, F.5.5: CTR-AES256.Encrypt
KEY = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
COUNTER = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
PLAIN = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
SECRET = bytes.fromhex(
    "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
    "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
)
# FIPS 197, C.3, by which a stream from the counter 00112233...ff begins
FIPS_KEY = bytes(range(32))
FIPS_PLAIN = bytes.fromhex("00112233445566778899aabbccddeeff")
FIPS_SECRET = bytes.fromhex("8ea2b7ca516745bfeafc49904b496089")


def openssl(key, counter, size):
    encryptor = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    return np.frombuffer(encryptor.update(bytes(8 * size)), dtype=np.uint64)


def words_of(data):
    return np.frombuffer(data, dtype=np.uint64)


@needs_kernel
def test_published_vectors():
    out = np.empty(8, np.uint64)
    keystream._native.keystream(KEY, COUNTER, 0, out, words_of(PLAIN), True)
    assert out.tobytes() == SECRET
    keystream._native.keystream(FIPS_KEY, FIPS_PLAIN, 0, out[:2], None, False)
    assert out[:2].tobytes() == FIPS_SECRET


@needs_kernel
@pytest.mark.parametrize("counter", [bytes(16), COUNTER, bytes(7) + b"\1" + b"\xff" * 8, b"\xff" * 16])
@pytest.mark.parametrize("low", [None, 0xD5, 0xE0, 0xFD])
@pytest.mark.parametrize("skip", [0, 1])
def test_the_kernel_is_openssl_wherever_the_counter_wraps(counter, low, skip):
    if low is not None:
        counter = counter[:8] + b"\xff" * 7 + bytes([low])
    for size in (0, 1, 2, 63, 64, 65, 127, 128, 129, 300):
        stream = openssl(KEY, counter, size + skip)[skip:]
        values, out = np.arange(size, dtype=np.uint64) << np.uint64(58), np.empty(size, np.uint64)
        keystream._native.keystream(KEY, counter, skip, out, None, False)
        np.testing.assert_array_equal(out, stream)
        keystream._native.keystream(KEY, counter, skip, out, values, True)
        np.testing.assert_array_equal(out, values ^ stream)
        keystream._native.keystream(KEY, counter, skip, out, values, False)
        np.testing.assert_array_equal(out, values - stream)


@pytest.mark.parametrize("compiled", [True, False])
def test_words_come_in_order_however_they_are_drawn(monkeypatch, compiled):
    if not compiled:
        monkeypatch.setattr(keystream, "_native", None)
    whole, stream, at = openssl(KEY, bytes(16), 70_000), Keystream(KEY), 0
    for draw, size in enumerate((1, 2, 3, 0, 64, 63, 129, 33_001, 7, 32_768, 500)):
        expected = whole[at : at + size]
        values = np.arange(size, dtype=np.uint64).reshape(-1, 1)
        if draw % 3 == 0:
            np.testing.assert_array_equal(stream.draw(size), expected)
        elif draw % 3 == 1:
            np.testing.assert_array_equal(stream.taken_from(values), values - expected.reshape(-1, 1))
        else:
            np.testing.assert_array_equal(stream.xored_with(values), values ^ expected.reshape(-1, 1))
        at += size


def test_ring_elements_of_any_shape():
    whole, stream = openssl(KEY, bytes(16), 100), RingStream(KEY)
    np.testing.assert_array_equal(stream.ring((3, 5)), whole[:15].reshape(3, 5))
    apart = np.arange(40, dtype=np.uint64).reshape(4, 10)[:, ::2]
    np.testing.assert_array_equal(stream.taken_from(apart), apart - whole[15:35].reshape(4, 5))
    np.testing.assert_array_equal(stream.xored_with(apart[1:2]), apart[1:2] ^ whole[35:40].reshape(1, 5))
    assert stream.ring((0, 4)).shape == (0, 4)
    np.testing.assert_array_equal(stream.ring(()), whole[40])
    assert stream.planes(2, (65,)).shape == (2, 2)


def test_a_keystream_shows_and_gives_away_nothing():
    for stream in (Keystream(KEY), RingStream(KEY)):
        assert KEY.hex() not in repr(stream)
        assert "redacted" in repr(stream)
        for escape in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled"):
                escape(stream)
    with pytest.raises(ValueError, match="a key of 32 bytes, not 16"):
        Keystream(bytes(16))


@needs_kernel
def test_what_does_not_fit_is_refused():
    out = np.empty(4, np.uint64)
    with pytest.raises(ValueError, match="32 and 16 bytes"):
        keystream._native.keystream(KEY[:16], COUNTER, 0, out, None, False)
    with pytest.raises(ValueError, match="skip 0 or 1"):
        keystream._native.keystream(KEY, COUNTER, 2, out, None, False)
    with pytest.raises(ValueError, match="sizes differ"):
        keystream._native.keystream(KEY, COUNTER, 0, out, out[:3], True)
