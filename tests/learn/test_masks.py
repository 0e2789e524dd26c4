"""Masks against an independent derivation: HKDF by RFC 5869 on hmac, AES-256-CTR block by block, Python integers."""

import hashlib
import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.errors import BadMessage, CheaterDetected
from stead.learn.masks import add_mask, centred, mask_key, pair_secret, to_ring, unpack_vector


def test_mask_key_is_hkdf_over_all_that_both_sites_agree_on():
    session, model, secret = bytes(range(32)), bytes(range(32, 64)), bytes([9]) * 32
    info = b"stead.learn.mask.v1" + session + (3).to_bytes(8, "big") + model + bytes([0, 0, 0, 1, 0, 0, 0, 4])
    extracted = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    expected = hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()
    assert mask_key(secret, session=session, number=3, model=model, pair=(1, 4)) == expected


@pytest.mark.parametrize(("ring_bits", "length"), [(32, 40_000), (64, 20_003)])
def test_stream_is_aes_in_counter_mode_added_in_the_ring(ring_bits, length):
    key = bytes(range(32))
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    width = ring_bits // 8
    stream = b"".join(block.update(n.to_bytes(16, "big")) for n in range(length * width // 16 + 1))
    values = np.arange(length, dtype=np.int64) - length // 2
    up, down = to_ring(values, ring_bits), to_ring(values, ring_bits)
    add_mask(up, key, subtract=False)
    add_mask(down, key, subtract=True)
    for place in (0, 1, length // 2, 16_383, 16_384, length - 1):
        noise = int.from_bytes(stream[place * width : (place + 1) * width], "little")
        assert int(up[place]) == (int(values[place]) + noise) % 2**ring_bits
        assert int(down[place]) == (int(values[place]) - noise) % 2**ring_bits


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20), st.sampled_from([32, 64]))
@settings(deadline=None, max_examples=60)
def test_ring_and_back(values, ring_bits):
    ring = to_ring(np.array(values, dtype=np.int64), ring_bits)
    assert [int(v) for v in ring] == [v % 2**ring_bits for v in values]
    half = 2 ** (ring_bits - 1)
    assert centred(ring, ring_bits).tolist() == [(v + half) % 2**ring_bits - half for v in values]
    packed = ring.tobytes()
    assert packed == b"".join((v % 2**ring_bits).to_bytes(ring_bits // 8, "little") for v in values)
    assert (unpack_vector(packed, length=len(values), ring_bits=ring_bits) == ring).all()


def test_a_vector_of_another_length_is_refused():
    for size in (0, 39, 41, 80):
        with pytest.raises(BadMessage):
            unpack_vector(bytes(size), length=10, ring_bits=32)


def test_keys_of_small_order_are_refused():
    own = X25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    # Points of order 1, 2, 4 and 8 on Curve25519 (RFC 7748, section 6.1 asks for the check of the zero output).
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ):
        with pytest.raises(CheaterDetected, match="small order"):
            pair_secret(own, bytes.fromhex(text), name="mallory")
