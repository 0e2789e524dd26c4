"""Pairwise masks over Z_2^32 and Z_2^64: keys from X25519, streams from AES-256-CTR, added in place.

Symbols: n sites, m = length of the vector, b = ring_bits, i < j places of two sites in the cohort, s_ij their X25519
secret. Site i adds PRG(k_ij), site j subtracts it, with k_ij = HKDF(s_ij, header hash, round, model hash, i, j).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from stead.core.entropy import Keystream
from stead.errors import BadMessage, CheaterDetected

RingVector = NDArray[np.unsignedinteger[Any]]
IntVector = NDArray[np.int64]

_UNSIGNED: dict[int, np.dtype[np.unsignedinteger[Any]]] = {32: np.dtype("<u4"), 64: np.dtype("<u8")}
_SIGNED: dict[int, np.dtype[np.signedinteger[Any]]] = {32: np.dtype("<i4"), 64: np.dtype("<i8")}
# Blocks of a keystream that stay in the second-level cache while they are added: 0.8 ms instead of 3.6 ms per million.
_BLOCK_BYTES = 1 << 16
_MASK_DOMAIN = b"stead.learn.mask.v1"


def ring_zeros(length: int, ring_bits: Literal[32, 64]) -> RingVector:
    """``length`` zeros of the ring."""
    return np.zeros(length, dtype=_UNSIGNED[ring_bits])


def to_ring(values: IntVector, ring_bits: Literal[32, 64]) -> RingVector:
    """Signed integers modulo 2^ring_bits, as a new unsigned little-endian vector."""
    return values.astype(_UNSIGNED[ring_bits], copy=True)


def centred(values: RingVector, ring_bits: Literal[32, 64]) -> IntVector:
    """The representatives in [-2^(b-1), 2^(b-1)) of ring elements, as int64."""
    return values.view(_SIGNED[ring_bits]).astype(np.int64)


def unpack_vector(data: bytes, *, length: int, ring_bits: Literal[32, 64]) -> RingVector:
    """The ring elements packed in ``data`` (a read-only view of it).

    Raises:
        BadMessage: not exactly ``length`` elements.
    """
    expected = length * ring_bits // 8
    if len(data) != expected:
        raise BadMessage(f"a masked vector has {len(data)} bytes where the header says {expected}.")
    return np.frombuffer(data, dtype=_UNSIGNED[ring_bits])


def pair_secret(own: X25519PrivateKey, peer: bytes, *, name: str) -> bytes:
    """The 32-byte X25519 secret shared with the peer called ``name``.

    Raises:
        CheaterDetected: the peer's key is a point of small order, which makes the secret public (RFC 7748, 6.1).
    """
    try:
        return own.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        raise CheaterDetected(f"site {name!r} signed a session key of small order.") from None


def mask_key(secret: bytes, *, session: bytes, number: int, model: bytes, pair: tuple[int, int]) -> bytes:
    """The AES-256 key of one pair's mask in one round: HKDF-SHA256 over everything that both must agree on.

    Args:
        secret: the pair's X25519 secret.
        session: the header's hash (32 bytes).
        number: the round's number.
        model: hash of the model as this site received it (32 bytes), never as somebody states it.
        pair: the two places in the cohort, smaller first.

    References:
        RFC 5869; Pasquini et al. 2022 (CCS), "Eluding secure aggregation in federated learning via model
        inconsistency", for why the model is in the key.
    """
    first, second = pair
    info = b"".join(
        (
            _MASK_DOMAIN,
            session,
            number.to_bytes(8, "big"),
            model,
            first.to_bytes(4, "big"),
            second.to_bytes(4, "big"),
        )
    )
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(secret)


def add_mask(vector: RingVector, key: bytes, *, subtract: bool) -> None:
    """Add (or subtract) the AES-256-CTR stream of ``key`` to ``vector`` in place, element by element in the ring."""
    stream = Keystream(key)
    step = _BLOCK_BYTES // vector.itemsize
    for start in range(0, vector.size, step):
        part = vector[start : start + step]
        noise = np.frombuffer(stream.take(part.nbytes), dtype=vector.dtype)
        if subtract:
            part -= noise
        else:
            part += noise
