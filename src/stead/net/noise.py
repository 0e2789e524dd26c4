"""The Noise handshakes between parties: ``Noise_KK`` and ``Noise_XX`` with 25519, AESGCM and SHA256.

A handshake is a state machine over bytes that sees no socket: messages are written and read in turn, and at the end
both sides hold the same two keys, one for each direction, and the same hash of everything that was said.

Names, as in the specification: ``s`` and ``e`` are our static and ephemeral keys, ``rs`` and ``re`` the other side's;
``ck`` is the chaining key, ``h`` the hash of what has been said, ``k`` and ``n`` a cipher's key and counter.

References: Perrin, The Noise Protocol Framework, revision 34 (2018), sections 5 and 7; RFC 7748 (X25519).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from stead.core.entropy import Entropy
from stead.core.keys import read_private, write_private
from stead.errors import BadMessage, UsageError

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
MAX_MESSAGE_BYTES: Final = 65535

Pattern = Literal["KK", "XX"]

# Who sends what, the initiator first; the keys that are known before are in _KNOWN.
_MESSAGES: Final[dict[Pattern, tuple[tuple[str, ...], ...]]] = {
    "KK": (("e", "es", "ss"), ("e", "ee", "se")),
    "XX": (("e",), ("e", "ee", "s", "es"), ("s", "se")),
}
_KNOWN: Final[dict[Pattern, bool]] = {"KK": True, "XX": False}


@final
class StaticKey:
    """A party's X25519 key: what the others know it by. It prints redacted, and cannot be pickled or copied.

    It agrees on keys and signs nothing; a node's identity (``core.keys``) may vouch for it, see ``net.parties``.

    Args:
        private: make one with ``generate``, ``from_bytes`` or ``load``.

    References: RFC 7748, section 5; RFC 8410 (the PEM file).
    """

    __slots__ = ("_private", "_public")

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private
        self._public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @classmethod
    def generate(cls, entropy: Entropy) -> StaticKey:
        """A new key from 32 bytes of ``entropy``."""
        return cls.from_bytes(entropy.take(KEY_BYTES))

    @classmethod
    def from_bytes(cls, raw: bytes) -> StaticKey:
        """The key with these 32 bytes.

        Raises:
            UsageError: not 32 bytes.
        """
        if len(raw) != KEY_BYTES:
            raise UsageError(f"a party's key is made from {KEY_BYTES} bytes, not {len(raw)}.")
        return cls(X25519PrivateKey.from_private_bytes(raw))

    @property
    def public(self) -> bytes:
        """The 32 bytes that others know."""
        return self._public

    def agree(self, public: bytes) -> bytes:
        """The secret that both sides of a Diffie-Hellman agreement compute.

        Raises:
            BadMessage: not a public key, or a point of small order, with which the secret would be none.
        """
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(public))
        except (ValueError, UnsupportedAlgorithm):
            raise BadMessage("the handshake holds a key that is no point of full order.") from None

    def save(self, path: Path | str) -> None:
        """Write the key to a new PEM file (PKCS #8, not encrypted) that only its owner can read.

        Raises:
            UsageError: the file exists, or cannot be written.
        """
        write_private(Path(path), self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    @classmethod
    def load(cls, path: Path | str) -> StaticKey:
        """Read a key that ``save`` wrote.

        Raises:
            UsageError: no such file, others may read or write it, or it holds no X25519 key.
        """
        data = read_private(Path(path))
        try:
            private = load_pem_private_key(data, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise UsageError(f"{path} holds no unencrypted PEM key.") from None
        if not isinstance(private, X25519PrivateKey):
            raise UsageError(
                f"{path} holds a key of another kind than X25519.", hint="`stead mpc keys NAME` makes a party's key"
            )
        return cls(private)

    def __repr__(self) -> str:
        return f"StaticKey(<redacted>, public {self._public.hex()})"

    def __reduce__(self) -> str:
        raise TypeError("a private key cannot be pickled or copied")


def nonce(counter: int) -> bytes:
    """The 96-bit nonce of a counter: 32 zero bits, then 64 bits big-endian (section 12.4)."""
    return counter.to_bytes(12, "big")


@final
class _Symmetric:
    """What both sides hash and mix: ``ck``, ``h``, and the cipher ``k``, ``n`` (sections 5.1 and 5.2)."""

    def __init__(self, protocol: bytes) -> None:
        self.h = protocol.ljust(32, b"\0") if len(protocol) <= 32 else _sha256(protocol)
        self._ck = self.h
        self._cipher: AESGCM | None = None
        self._n = 0

    def mix_hash(self, data: bytes) -> None:
        self.h = _sha256(self.h + data)

    def mix_key(self, secret: bytes) -> None:
        self._ck, key = _hkdf(self._ck, secret)
        self._cipher, self._n = AESGCM(key), 0

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        if self._cipher is None:
            self.mix_hash(plaintext)
            return plaintext
        sealed = self._cipher.encrypt(nonce(self._n), plaintext, self.h)
        self._n += 1
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        if self._cipher is None:
            self.mix_hash(sealed)
            return sealed
        try:
            plaintext = self._cipher.decrypt(nonce(self._n), sealed, self.h)
        except (InvalidTag, ValueError):
            raise BadMessage("a part of the handshake is not sealed under the keys of the two parties.") from None
        self._n += 1
        self.mix_hash(sealed)
        return plaintext

    @property
    def tag_bytes(self) -> int:
        return TAG_BYTES if self._cipher is not None else 0

    def split(self) -> tuple[bytes, bytes]:
        return _hkdf(self._ck, b"")


@final
class Handshake:
    """One side of a Noise handshake. Call ``write`` and ``read`` in turn until ``finished``; the initiator begins.

    A handshake that has raised is of no further use.

    Args:
        pattern: ``KK`` when both sides know the other's static key, ``XX`` when the keys are sent (the caller then has
            to find out whose ``remote`` is).
        initiator: whether this side begins.
        static: our key.
        ephemeral: a fresh key for this handshake alone.
        prologue: what both sides must hold equal for the handshake to succeed.
        remote: the other's public static key; given for ``KK`` only.

    Raises:
        UsageError: ``remote`` is missing or given against the pattern.

    Security: the keys are known to the holders of the two static keys only, also when those become known later
    (forward secrecy), from the second message on; ``KK``'s first message can be replayed, so nothing but the
    handshake may follow from it until a message under the final keys has come. Identities: ``KK`` shows none, ``XX``
    shows the responder's to anybody who asks. See sections 7.7 and 7.8.

    Cost: 1 round trip (``KK``) or 1.5 (``XX``); 96 bytes or 192 without payloads; 4 or 3 agreements for each side.
    """

    def __init__(
        self,
        pattern: Pattern,
        *,
        initiator: bool,
        static: StaticKey,
        ephemeral: StaticKey,
        prologue: bytes,
        remote: bytes | None = None,
    ) -> None:
        if (remote is not None) != _KNOWN[pattern]:
            raise UsageError(f"pattern {pattern} is made {'with' if _KNOWN[pattern] else 'without'} the other's key.")
        self._static, self._ephemeral = static, ephemeral
        self._initiator = initiator
        self._remote, self._remote_ephemeral = remote, b""
        self._messages = _MESSAGES[pattern]
        self._next = 0
        self._symmetric = _Symmetric(f"Noise_{pattern}_25519_AESGCM_SHA256".encode())
        self._symmetric.mix_hash(prologue)
        if remote is not None:
            ours, theirs = static.public, remote
            self._symmetric.mix_hash(ours if initiator else theirs)
            self._symmetric.mix_hash(theirs if initiator else ours)

    @property
    def finished(self) -> bool:
        """Whether all messages have been written and read."""
        return self._next == len(self._messages)

    @property
    def remote(self) -> bytes:
        """The other's static key: the given one, or the one that has been read.

        Raises:
            UsageError: it has not been read yet.
        """
        if self._remote is None:
            raise UsageError("the other side has not shown its key yet.")
        return self._remote

    @property
    def hash(self) -> bytes:
        """The hash of all that was said: one name for this channel on both sides (section 11.2)."""
        return self._symmetric.h

    def write(self, payload: bytes = b"") -> bytes:
        """Our next message.

        Raises:
            UsageError: it is not our turn, or the payload is too long.
        """
        steps = self._turn(ours=True)
        message = b""
        for step in steps:
            if step == "e":
                message += self._ephemeral.public
                self._symmetric.mix_hash(self._ephemeral.public)
            elif step == "s":
                message += self._symmetric.encrypt_and_hash(self._static.public)
            else:
                self._mix(step)
        message += self._symmetric.encrypt_and_hash(payload)
        if len(message) > MAX_MESSAGE_BYTES:
            raise UsageError(f"a handshake message has up to {MAX_MESSAGE_BYTES} bytes, not {len(message)}.")
        self._next += 1
        return message

    def read(self, message: bytes) -> bytes:
        """The payload of the other's next message.

        Raises:
            BadMessage: too short or too long, a key of small order, or not sealed under the keys of the two parties.
            UsageError: it is our turn.
        """
        steps = self._turn(ours=False)
        if len(message) > MAX_MESSAGE_BYTES:
            raise BadMessage(f"a handshake message has up to {MAX_MESSAGE_BYTES} bytes, not {len(message)}.")
        rest = memoryview(message)
        for step in steps:
            if step == "e":
                self._remote_ephemeral, rest = _taken(rest, KEY_BYTES)
                self._symmetric.mix_hash(self._remote_ephemeral)
            elif step == "s":
                sealed, rest = _taken(rest, KEY_BYTES + self._symmetric.tag_bytes)
                self._remote = self._symmetric.decrypt_and_hash(sealed)
            else:
                self._mix(step)
        payload = self._symmetric.decrypt_and_hash(bytes(rest))
        self._next += 1
        return payload

    def split(self) -> tuple[bytes, bytes]:
        """The keys of the channel: for what we send, and for what we receive.

        Raises:
            UsageError: the handshake is not finished.
        """
        if not self.finished:
            raise UsageError("the handshake is not finished.")
        first, second = self._symmetric.split()
        return (first, second) if self._initiator else (second, first)

    def _turn(self, *, ours: bool) -> tuple[str, ...]:
        if self.finished or (self._next % 2 == 0) != (self._initiator == ours):
            raise UsageError("the handshake's messages are written and read in turn.")
        return self._messages[self._next]

    def _mix(self, step: str) -> None:
        """The first letter says which key the initiator uses, the second the responder's."""
        ours, theirs = (step[0], step[1]) if self._initiator else (step[1], step[0])
        mine = self._ephemeral if ours == "e" else self._static
        self._symmetric.mix_key(mine.agree(self._remote_ephemeral if theirs == "e" else self.remote))

    def __repr__(self) -> str:
        return "Handshake(<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("a handshake cannot be pickled or copied")


def _taken(rest: memoryview, size_bytes: int) -> tuple[bytes, memoryview]:
    if len(rest) < size_bytes:
        raise BadMessage("a handshake message ends too early.")
    return bytes(rest[:size_bytes]), rest[size_bytes:]


def _sha256(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()


def _hkdf(ck: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """HKDF with two outputs (section 4.3), which is that of RFC 5869 with ``ck`` as salt and no info."""
    keys = HKDF(algorithm=hashes.SHA256(), length=64, salt=ck, info=None).derive(secret)
    return keys[:32], keys[32:]
