"""NumPy references of the bit kernels: what runs without a compiler, and the oracle of the native ones."""

from __future__ import annotations

import math

import numpy as np

from stead.mpc.shares import WORD, Planes, RingArray, words


def to_planes(values: RingArray, width: int = WORD) -> Planes:
    """The low ``width`` bits of each value, packed: bit j of value 64*w + t is bit t of word [j, w].

    Args:
        values: any shape, dtype uint64.
        width: 1 .. 64.

    Returns:
        Shape (width, words(values.shape)); padding bits are 0.
    """
    flat = values.reshape(-1)
    padded = np.zeros(words(values.shape) * WORD, dtype=np.uint64)
    padded[: flat.size] = flat
    planes = np.empty((width, len(padded) // WORD), dtype=np.uint64)
    for bit in range(width):
        ones = ((padded >> np.uint64(bit)) & np.uint64(1)).astype(np.uint8)
        planes[bit] = np.packbits(ones, bitorder="little").view("<u8")
    return planes


def from_planes(planes: Planes, shape: tuple[int, ...]) -> RingArray:
    """The values whose low bits these are (the inverse of ``to_planes``; bits above the width are 0)."""
    size = math.prod(shape)
    values = np.zeros(size, dtype=np.uint64)
    for bit, plane in enumerate(planes):
        values |= unpack(plane, size) << np.uint64(bit)
    return values.reshape(shape)


def unpack(plane: Planes, size: int) -> RingArray:
    """The first ``size`` bits of one plane as 0 or 1, dtype uint64."""
    return np.unpackbits(np.ascontiguousarray(plane).view(np.uint8), count=size, bitorder="little").astype(np.uint64)
