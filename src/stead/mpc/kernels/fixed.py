"""Fixed-point kernels: real numbers to ring elements and back, natively where the kernels are built.

The NumPy functions here give the same numbers; they run without a compiler and are the oracle of the native ones.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from stead.mpc.shares import RingArray

try:
    _native: Any = import_module("stead._bits")
except ImportError:
    _native = None

LARGEST = 62
"""A number times 2^scale stays below 2^62 in magnitude, so that it can be truncated and compared."""

Reals: TypeAlias = npt.NDArray[np.float64] | npt.NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)


def encode(values: Reals, scale: int, *, threads: int = 1) -> RingArray | None:
    """round(x * 2^scale), halves to even, or ``None`` if one of them is no number or not below 2^62 in magnitude.

    Args:
        values: float64 or float32, any shape.
        scale: 0 .. 256.
        threads: at most.
    """
    if _native is None:
        return encode_reference(values, scale)
    ring = np.empty(values.size, dtype=np.uint64)
    if not _native.encode(np.ascontiguousarray(values).reshape(-1), scale, ring, threads):
        return None
    return ring.reshape(values.shape)


def decode(values: RingArray, scale: int, dtype: type[Real], *, threads: int = 1) -> npt.NDArray[Real]:
    """Ring elements, read as signed, divided by 2^scale and rounded once to float64 or float32.

    Args:
        values: any shape, dtype uint64.
        scale: 0 .. 126.
        dtype: ``np.float64`` or ``np.float32``.
        threads: at most.
    """
    if _native is None:
        return decode_reference(values, scale, dtype)
    out = np.empty(values.size, dtype=dtype)
    _native.decode(np.ascontiguousarray(values).reshape(-1), scale, out, threads)
    return out.reshape(values.shape)


def encode_reference(values: Reals, scale: int) -> RingArray | None:
    """See ``encode``."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = values.astype(np.float64) * 2.0**scale
        if not np.all(np.abs(scaled) < 2.0**LARGEST):
            return None
    return np.rint(scaled).astype(np.int64).view(np.uint64)


def decode_reference(values: RingArray, scale: int, dtype: type[Real]) -> npt.NDArray[Real]:
    """See ``decode``. A 64-bit integer is rounded once by its conversion; a power of two rounds nothing."""
    return np.ldexp(values.view(np.int64).astype(dtype), -scale)
