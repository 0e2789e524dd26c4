"""Bit kernels: packing bits of many values into words and back, natively where the kernels are built.

The NumPy functions in ``bits_reference`` give the same bits.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from stead.mpc.kernels import bits_reference as reference
from stead.mpc.shares import WORD, Planes, RingArray, words

try:
    _native: Any = import_module("stead._bits")
except ImportError:
    _native = None

__all__ = ["from_planes", "native_built", "pack", "to_planes", "unpack", "variants"]


def native_built() -> bool:
    """Whether the compiled kernels run; their results are NumPy's."""
    return _native is not None


def variants() -> tuple[str, ...]:
    """The compiled variants that this processor can run, fastest first."""
    return tuple(_native.variants()) if _native is not None else ()


def to_planes(
    values: RingArray, width: int = WORD, *, plus: RingArray | None = None, invert: bool = False, threads: int = 1
) -> Planes:
    """The low ``width`` bits of each value, packed: bit j of value 64*w + t is bit t of word [j, w].

    Args:
        values: any shape, dtype uint64.
        width: 0 .. 64.
        plus: added to the values first, of the same shape.
        invert: whether every bit is turned.
        threads: at most.

    Returns:
        Shape (width, words(values.shape)); padding bits are those of 0.
    """
    if _native is None:
        planes = reference.to_planes(values if plus is None else values + plus, width)
        return np.invert(planes, out=planes) if invert else planes
    planes = np.empty((width, words(values.shape)), dtype=np.uint64)
    addend = None if plus is None else np.ascontiguousarray(plus).reshape(-1)
    _native.to_planes(np.ascontiguousarray(values).reshape(-1), planes, threads, "", addend, invert)
    return planes


def from_planes(planes: Planes, shape: tuple[int, ...], *, threads: int = 1) -> RingArray:
    """The values whose low bits these are (the inverse of ``to_planes``; bits above the width are 0)."""
    if _native is None:
        return reference.from_planes(planes, shape)
    values = np.empty(math.prod(shape), dtype=np.uint64)
    _native.from_planes(_rows(planes), values, threads)
    return values.reshape(shape)


def pack(values: RingArray, *, threads: int = 1) -> Planes:
    """The lowest bit of each value as one plane, shape (words(values.shape),)."""
    plane: Planes = to_planes(values, 1, threads=threads)[0]
    return plane


def unpack(plane: Planes, size: int, *, threads: int = 1) -> RingArray:
    """The first ``size`` bits of one plane as 0 or 1, dtype uint64."""
    if _native is None:
        return reference.unpack(plane, size)
    values = np.empty(size, dtype=np.uint64)
    _native.unpack(np.ascontiguousarray(plane), values, threads)
    return values


def _rows(planes: Planes) -> Planes:
    """Planes whose words are neighbours; rows may lie apart, so that ``planes[::2]`` is not copied."""
    return planes if planes.strides[-1] == planes.itemsize else np.ascontiguousarray(planes)
