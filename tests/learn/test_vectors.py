"""The wire of a session: fixed seeds give the frames in ``vectors/secure-sum``.

Another implementation of ``docs/protocol/secure-sum.md``, below, on hashlib, hmac and AES by the block, gives the same.
"""

import hashlib
import hmac
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from stead.core.keys import Key
from stead.learn.frames import Roster, Round, pack, unpack
from stead.learn.header import Header, model_hash
from stead.learn.secure_sum import Seat, SumSite

VECTORS = Path(__file__).parents[1] / "vectors" / "secure-sum"
SITES = 3
NAMES = ("north", "south", "west")
VALUES = ([1, -2, 2**31 - 1, 0, 7], [10, 20, 1, -5, 0], [-100, 3, 0, 5, -(2**31)])
MODELS = (b"\x00\x00\x80\x3f", b"\x00\x00\x00\x40")


class Counting:
    """32 bytes: one value, ``start``, ``start + 1``, ... as the page says."""

    seeded = True

    def __init__(self, start):
        self.start = start

    def take(self, size_bytes):
        return bytes((self.start + n) % 256 for n in range(size_bytes))


class Fixed:
    def __init__(self, values):
        self.values = np.array(values, dtype=np.int64)

    def vector(self, number, payload):
        return self.values


def identity(site):
    return Counting(32 * site).take(32)


def session_key(site):
    return Counting(128 + 32 * site).take(32)


def ours(ring_bits):
    """Every byte of a session of two rounds by stead, by name."""
    keys = [Key.from_bytes(identity(site)) for site in range(SITES)]
    header = Header(
        release=bytes(range(16)),
        plan_hash=bytes(range(32)),
        cohort=tuple((name, key.public.raw) for name, key in zip(NAMES, keys, strict=True)),
        length=5,
        ring_bits=ring_bits,
        rounds=2,
        colluders=1,
        model_hash=model_hash(MODELS[0]),
        outlet="join",
        minimum=SITES,
    )
    sites = [SumSite(Seat(header, keys[n], Counting(128 + 32 * n)), Fixed(VALUES[n])) for n in range(SITES)]
    out = {"header": header.to_bytes(), "header-hash": header.hash()}
    hellos = [site.hello() for site in sites]
    out |= {f"hello-{n}": frame for n, frame in enumerate(hellos)}
    out["roster"] = pack(Roster(hellos=tuple(unpack(frame) for frame in hellos)))
    out["ready"] = {site.on_frame(out["roster"]) for site in sites}.pop()
    for number, model in enumerate(MODELS, start=1):
        start = Round(session=header.hash(), number=number, model_hash=model_hash(model), payload=model)
        out[f"round-{number}"] = pack(start)
        out |= {f"masked-{number}-{n}": site.on_frame(pack(start)) for n, site in enumerate(sites)}
    return out


def digest(domain, data):
    return hashlib.sha256(len(domain).to_bytes(2, "big") + domain + data).digest()


def independent(ring_bits):
    """The same by the page alone."""
    msgpack = msgspec.msgpack.encode
    signers = [Ed25519PrivateKey.from_private_bytes(identity(site)) for site in range(SITES)]
    header = msgpack(
        {
            "header": "sum",
            "release": bytes(range(16)),
            "plan_hash": bytes(range(32)),
            "cohort": [[name, key.public_key().public_bytes_raw()] for name, key in zip(NAMES, signers, strict=True)],
            "length": 5,
            "ring_bits": ring_bits,
            "rounds": 2,
            "colluders": 1,
            "model_hash": digest(b"stead.learn.model", MODELS[0]),
            "outlet": "join",
            "minimum": 3,
            "version": 1,
        }
    )
    session = digest(b"stead.learn.header", header)
    secrets = [X25519PrivateKey.from_private_bytes(session_key(site)) for site in range(SITES)]
    publics = [secret.public_key().public_bytes_raw() for secret in secrets]
    domain = b"stead.learn.hello"
    prefix = len(domain).to_bytes(2, "big") + domain
    hellos = [
        {"frame": "hello", "site": n, "key": publics[n]}
        | {"signature": signers[n].sign(prefix + session + n.to_bytes(4, "big") + publics[n])}
        for n in range(SITES)
    ]
    out = {"header": header, "header-hash": session}
    out |= {f"hello-{n}": msgpack(hello) for n, hello in enumerate(hellos)}
    out["roster"] = msgpack({"frame": "roster", "hellos": hellos})
    out["ready"] = msgpack({"frame": "ready", "session": session})
    for number, model in enumerate(MODELS, start=1):
        hashed = digest(b"stead.learn.model", model)
        start = {"frame": "round", "session": session, "number": number, "model_hash": hashed, "payload": model}
        out[f"round-{number}"] = msgpack(start)
        for me in range(SITES):
            values = list(VALUES[me])
            for peer in range(SITES):
                if peer != me:
                    shared = secrets[me].exchange(X25519PublicKey.from_public_bytes(publics[peer]))
                    stream = mask(shared, session, number, hashed, min(me, peer), max(me, peer), ring_bits)
                    sign = 1 if me < peer else -1
                    values = [value + sign * noise for value, noise in zip(values, stream, strict=True)]
            packed = b"".join((value % 2**ring_bits).to_bytes(ring_bits // 8, "little") for value in values)
            reply = {"frame": "masked", "session": session, "number": number, "vector": packed}
            out[f"masked-{number}-{me}"] = msgpack(reply)
    return out


def mask(shared, session, number, model, low, high, ring_bits):
    info = b"stead.learn.mask.v1" + session + number.to_bytes(8, "big") + model
    info += low.to_bytes(4, "big") + high.to_bytes(4, "big")
    key = hmac.new(hmac.new(bytes(32), shared, hashlib.sha256).digest(), info + b"\x01", hashlib.sha256).digest()
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    stream = b"".join(block.update(counter.to_bytes(16, "big")) for counter in range(4))
    width = ring_bits // 8
    return [int.from_bytes(stream[width * n : width * (n + 1)], "little") for n in range(5)]


@pytest.mark.parametrize("ring_bits", [32, 64])
def test_two_implementations_and_the_file_agree(ring_bits):
    path = VECTORS / f"session-{ring_bits}.json"
    kept = {name: bytes.fromhex(text) for name, text in msgspec.json.decode(path.read_bytes()).items()}
    assert independent(ring_bits) == kept
    assert ours(ring_bits) == kept


@pytest.mark.parametrize("ring_bits", [32, 64])
def test_the_vectors_add_up_and_are_signed(ring_bits):
    kept = ours(ring_bits)
    header = Header.from_bytes(kept["header"])
    for number in (1, 2):
        total = np.zeros(5, dtype=f"<u{ring_bits // 8}")
        for site in range(SITES):
            total += np.frombuffer(unpack(kept[f"masked-{number}-{site}"]).vector, dtype=total.dtype)
        assert [int(value) for value in total] == [sum(column) % 2**ring_bits for column in zip(*VALUES, strict=True)]
    for site in range(SITES):
        hello = unpack(kept[f"hello-{site}"])
        body = b"\x00\x11stead.learn.hello" + header.hash() + bytes([0, 0, 0, site]) + hello.key
        Ed25519PublicKey.from_public_bytes(header.cohort[site][1]).verify(hello.signature, body)
