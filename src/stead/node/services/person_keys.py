"""Who is who across the datasets of one node: a keyed hash stands for an identity.

``person_key = first 16 bytes of SHA-256(outer || SHA-256(inner || identity))``

``inner`` and ``outer`` come from the node's person secret by HKDF. The nesting is that of NMAC and HMAC: nobody without
the keys can compute the key of an identity, extend a hash, or try identities against a stolen file. DuckDB computes it
where the identities are; the keys are parameters of the statement and are stored in no dataset's file.

Two identities share a key with probability 2^-128 for each pair: among 2^40 people, below 2^-49.

References: Bellare, Canetti, Krawczyk, "Keying Hash Functions for Message Authentication" (1996); RFC 5869 (HKDF).
"""

from __future__ import annotations

from typing import Self

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from stead.errors import UsageError

SECRET_BYTES = 32
_KEY_BYTES = 32
_CHECK_BYTES = 16

KEY_OF_PERSON = (
    "CAST(CAST(unhex(left(sha256("
    "CAST(? AS BLOB) || unhex(sha256(CAST(? AS BLOB) || encode(person)))"
    "), 32)) AS BIT) AS HUGEINT)"
)
"""SQL for the key of the text ``person``, a signed big-endian integer; its parameters are ``PersonKeys.parameters``."""


class PersonKeys(msgspec.Struct, frozen=True):
    """The two keys that identities are hashed under. Private: prints as ``<redacted>``.

    Attributes:
        inner: goes before the identity.
        outer: goes before the inner hash.
        check: names the secret and tells nothing about it; tables with the same one have keys that compare.
    """

    inner: bytes
    outer: bytes
    check: bytes

    @classmethod
    def of(cls, secret: bytes) -> Self:
        """Derive the keys from a node's person secret.

        Raises:
            UsageError: the secret is not 32 bytes long.
        """
        if len(secret) != SECRET_BYTES:
            raise UsageError(f"a person secret has {SECRET_BYTES} bytes; got {len(secret)}.")
        length = 2 * _KEY_BYTES + _CHECK_BYTES
        derived = HKDF(SHA256(), length, salt=None, info=b"stead.person-key").derive(secret)
        return cls(derived[:_KEY_BYTES], derived[_KEY_BYTES : 2 * _KEY_BYTES], derived[2 * _KEY_BYTES :])

    @property
    def parameters(self) -> list[bytes]:
        """The parameters of ``KEY_OF_PERSON``, in the order of its text."""
        return [self.outer, self.inner]

    def __repr__(self) -> str:
        return "PersonKeys(<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("the keys of people cannot be pickled")
