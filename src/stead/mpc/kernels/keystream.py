"""AES-256 in counter mode as ring elements, in one pass with the difference or exclusive or that it is drawn for.

The compiled kernel needs a processor with VAES, whose AES instructions it uses and no tables; it draws about twice as
fast as OpenSSL, which draws elsewhere. Both give the same bytes.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NoReturn

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from stead.mpc.shares import RingArray

try:
    _native: Any = import_module("stead._bits")
except ImportError:
    _native = None

KEY_BYTES = 32

_CHUNK = bytes(1 << 18)


def native_runs() -> bool:
    """Whether the compiled kernel is there and this processor has what it needs."""
    return _native is not None and bool(_native.keystream_runs())


class Keystream:
    """The words of one key, from a counter of zero on, each once.

    References: NIST SP 800-38A, section 6.5; FIPS 197.

    Args:
        key: 32 bytes, used for nothing else.
        native: ``False`` asks for OpenSSL.

    Raises:
        ValueError: the key has another length.
    """

    def __init__(self, key: bytes, *, native: bool = True) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a keystream needs a key of {KEY_BYTES} bytes, not {len(key)}")
        self._at = 0
        self._key = key if native and native_runs() else b""
        self._openssl = None if self._key else Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def draw(self, size: int) -> RingArray:
        """The next ``size`` words."""
        if self._openssl is None:
            return self._native(np.empty(size, dtype=np.uint64), None, xor=False)
        out = np.empty(size * 8, dtype=np.uint8)
        view = out.data
        for start in range(0, len(out), len(_CHUNK)):
            count = min(len(_CHUNK), len(out) - start)
            self._openssl.update_into(_CHUNK if count == len(_CHUNK) else bytes(count), view[start : start + count])
        return out.view(np.uint64)

    def taken_from(self, values: RingArray) -> RingArray:
        """Contiguous values minus the next words, mod 2^64."""
        if self._openssl is None:
            flat = values.reshape(-1)
            return self._native(np.empty(flat.size, dtype=np.uint64), flat, xor=False).reshape(values.shape)
        part = self.draw(values.size).reshape(values.shape)
        return np.subtract(values, part, out=part)

    def xored_with(self, values: RingArray) -> RingArray:
        """Contiguous words and the next ones of the stream, by exclusive or."""
        if self._openssl is None:
            flat = values.reshape(-1)
            return self._native(np.empty(flat.size, dtype=np.uint64), flat, xor=True).reshape(values.shape)
        part = self.draw(values.size).reshape(values.shape)
        return np.bitwise_xor(values, part, out=part)

    def _native(self, out: RingArray, values: RingArray | None, *, xor: bool) -> RingArray:
        counter = (self._at // 2).to_bytes(16, "big")
        _native.keystream(self._key, counter, self._at % 2, out, values, xor)
        self._at += out.size
        return out

    def __repr__(self) -> str:
        return "Keystream(<redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a keystream cannot be pickled")
