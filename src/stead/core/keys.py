"""Identities: Ed25519 keys that sign under a named domain.

What is signed is ``length of domain (2 bytes, big-endian) || domain || data``, so that a signature made for one purpose
is none for another. Three things are signed without that prefix, because other software must verify them: the text of a
signed note (``core.notes``), a cosignature (``core.cosign``) and X.509 certificates (``net.https``). They cannot be
mistaken for the rest: a note is text without NUL, a cosignature one that begins with ``cosignature/v1``, a certificate
begins with 0x30, and a prefixed message begins with 0x00.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from stead.core.codec import digest, domain_prefix
from stead.core.entropy import Entropy
from stead.errors import BadMessage, BadSignature, UsageError

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MAX_FILE_BYTES: Final = 16 * 1024

# y-coordinates of the points of small order, in every encoding, with the sign bit cleared (0, 1, two of order 8, -1,
# and the non-canonical p and p + 1). Under such a "key" one signature fits many messages.
_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


@final
class PublicKey:
    """Whom a signature is from: the 32 raw bytes of an Ed25519 public key.

    Args:
        raw: 32 bytes.

    Raises:
        BadMessage: not 32 bytes, or a point of small order, for which signatures prove nothing.

    References: RFC 8032, section 5.1.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise BadMessage(f"a public key has {KEY_BYTES} bytes, not {len(raw)}.")
        if raw[:-1] + bytes([raw[-1] & 0x7F]) in _SMALL_ORDER:
            raise BadMessage("this public key is a point of small order; its signatures would prove nothing.")
        self._raw = bytes(raw)

    @property
    def raw(self) -> bytes:
        """The 32 bytes."""
        return self._raw

    def verify(self, domain: str, data: bytes, signature: bytes) -> None:
        """Return if ``signature`` is this key's over ``data`` under ``domain``.

        Raises:
            BadSignature: it is not.
        """
        self._verify(domain_prefix(domain) + data, signature)

    def verify_text(self, text: str, signature: bytes) -> None:
        """Return if ``signature`` is this key's over a note's text (UTF-8, without a domain prefix).

        Raises:
            BadSignature: it is not.
        """
        self._verify(text.encode(), signature)

    def fingerprint(self) -> str:
        """Eight groups of four hexadecimal digits for people to compare: 128 bits of a hash of the key."""
        text = digest("stead.key-fingerprint", self._raw).hex()[:32]
        return "-".join(text[start : start + 4] for start in range(0, 32, 4))

    def _verify(self, data: bytes, signature: bytes) -> None:
        try:
            Ed25519PublicKey.from_public_bytes(self._raw).verify(signature, data)
        except (InvalidSignature, ValueError, UnsupportedAlgorithm):
            raise BadSignature(f"the signature is not by key {self.fingerprint()}.") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other._raw == self._raw

    def __hash__(self) -> int:
        return hash(self._raw)

    def __repr__(self) -> str:
        return f"PublicKey({self.fingerprint()})"


@final
class Key:
    """A private Ed25519 key. It prints redacted, and cannot be pickled or copied.

    Make one with ``generate`` or ``from_bytes``; keep it with ``save``.

    References: RFC 8032, section 5.1; RFC 8410 (the PEM file).
    """

    __slots__ = ("_private", "_public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._public = PublicKey(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @classmethod
    def generate(cls, entropy: Entropy) -> Key:
        """A new key from 32 bytes of ``entropy``."""
        return cls.from_bytes(entropy.take(KEY_BYTES))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Key:
        """The key with this 32-byte seed.

        Raises:
            UsageError: not 32 bytes.
        """
        if len(raw) != KEY_BYTES:
            raise UsageError(f"a private key is made from {KEY_BYTES} bytes, not {len(raw)}.")
        return cls(Ed25519PrivateKey.from_private_bytes(raw))

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return self._public

    def sign(self, domain: str, data: bytes) -> bytes:
        """The 64-byte signature of ``data`` under ``domain``."""
        return self._private.sign(domain_prefix(domain) + data)

    def sign_text(self, text: str) -> bytes:
        """The 64-byte signature of a note's text, without a domain prefix: only for formats that fix what is signed.

        Raises:
            UsageError: the text is empty or holds a NUL, and so could be a prefixed message.
        """
        if not text or "\x00" in text:
            raise UsageError("only text without NUL is signed without a domain.")
        return self._private.sign(text.encode())

    def for_certificates(self) -> Ed25519PrivateKey:
        """The key as ``cryptography`` wants it to sign an X.509 certificate. For nothing else."""
        return self._private

    def save(self, path: Path | str) -> None:
        """Write the key to a new PEM file (PKCS #8, not encrypted) that only its owner can read.

        Raises:
            UsageError: the file exists, or cannot be written.
        """
        write_private(Path(path), self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    @classmethod
    def load(cls, path: Path | str) -> Key:
        """Read a key that ``save`` wrote.

        Raises:
            UsageError: no such file, others may read or write it, or it holds no Ed25519 key.
        """
        data = read_private(Path(path))
        try:
            private = load_pem_private_key(data, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise UsageError(f"{path} holds no unencrypted PEM key.") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise UsageError(f"{path} holds a key of another kind than Ed25519.")
        return cls(private)

    def __repr__(self) -> str:
        return f"Key(<redacted>, public {self._public.fingerprint()})"

    def __reduce__(self) -> str:
        raise TypeError("a private key cannot be pickled or copied")


def write_private(path: Path, data: bytes) -> None:
    """Write a secret to a new file with mode 0600, on disk when this returns.

    Raises:
        UsageError: the file exists, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists; a key is never overwritten.", hint="choose another file") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def read_private(path: Path) -> bytes:
    """Read a secret from a file that nobody but its owner may read or write.

    Raises:
        UsageError: no such file, not a small regular file, or open to others.
    """
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    if stat.S_IMODE(state.st_mode) & _OTHERS:
        mode = stat.S_IMODE(state.st_mode)
        raise UsageError(f"{path} is open to others (mode {mode:04o}).", hint=f"chmod 600 {path}")
    if not stat.S_ISREG(state.st_mode) or len(data) > _MAX_FILE_BYTES:
        raise UsageError(f"{path} is not a key file.")
    return data
