"""Randomness, passed in: the operating system's by default, a seeded stream for tests only."""

from __future__ import annotations

import os
import threading
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class Entropy(Protocol):
    """Where a component takes random bytes from."""

    @property
    def seeded(self) -> bool:
        """True for a stream that somebody can reproduce; a node refuses it (see ``stead.testing``)."""
        ...

    def take(self, size_bytes: int) -> bytes:
        """``size_bytes`` fresh random bytes; never the same bytes twice."""
        ...


class SystemEntropy:
    """The operating system's generator (``getrandom``)."""

    @property
    def seeded(self) -> bool:
        """Never."""
        return False

    def take(self, size_bytes: int) -> bytes:
        """``size_bytes`` fresh random bytes."""
        return os.urandom(size_bytes)


class SeededEntropy:
    """A reproducible stream, for tests and simulations: AES-256-CTR under a key made from ``seed``."""

    def __init__(self, seed: int) -> None:
        self._stream = Cipher(algorithms.AES(seed.to_bytes(32, "little")), modes.CTR(bytes(16))).encryptor()
        self._lock = threading.Lock()  # the cipher refuses two callers at once

    @property
    def seeded(self) -> bool:
        """Always."""
        return True

    def take(self, size_bytes: int) -> bytes:
        """The next ``size_bytes`` bytes of the stream. Safe to call from several threads."""
        with self._lock:
            return self._stream.update(bytes(size_bytes))

    def __reduce__(self) -> str:
        raise TypeError("an entropy source cannot be pickled")


class Keystream:
    """AES-256-CTR under a fresh key: as many pseudo-random bytes as a vector needs, from 32 bytes of entropy.

    References: NIST SP 800-38A, section 6.5 (counter mode). The counter starts at zero; the key is used once.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError(f"a keystream needs a key of 32 bytes, not {len(key)}")
        self._stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    @classmethod
    def fresh(cls, entropy: Entropy) -> Keystream:
        """A keystream under a new key from ``entropy``."""
        return cls(entropy.take(32))

    def take(self, size_bytes: int) -> bytes:
        """The next ``size_bytes`` bytes of the stream."""
        return self._stream.update(bytes(size_bytes))

    def __repr__(self) -> str:
        return "Keystream(<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("a keystream cannot be pickled")
