"""``Share`` and ``Bits``: one party's part of a secret, and what can be done to it without a word to anybody.

A share is a tuple of ring arrays whose meaning belongs to the protocol (``protocols/*/``); in every protocol the secret
is a linear function of all parts of all parties, so a linear map is applied part by part. Bits are packed: ``planes``
holds bit j of value 64*w + t as bit t of word ``[j, w]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

RingArray: TypeAlias = npt.NDArray[np.uint64]
"""Elements of Z_2^64: arithmetic wraps."""

Planes: TypeAlias = npt.NDArray[np.uint64]
"""Packed bits, shape (width, words)."""

Map: TypeAlias = Callable[[RingArray], npt.NDArray[Any]]

WORD = 64


@dataclass(frozen=True, repr=False, eq=False)
class Share:
    """One party's part of a secret array over Z_2^64.

    Attributes:
        parts: ring arrays of one shape; how many and what they mean is the protocol's.
    """

    parts: tuple[RingArray, ...]

    def __post_init__(self) -> None:
        if not self.parts[0].shape:  # NumPy gives a scalar, whose arithmetic warns, where an array has no axes
            object.__setattr__(self, "parts", tuple(np.asarray(part) for part in self.parts))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the secret."""
        return self.parts[0].shape

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.parts[0].size

    def map(self, linear: Map) -> Share:
        """A Z-linear map (reshape, index, sum, multiply by public integers, ...) of the secret; local."""
        return Share(tuple(linear(part) for part in self.parts))

    def __add__(self, other: Share) -> Share:
        """The sum of two secrets, broadcast as NumPy does; local."""
        return Share(tuple(a + b for a, b in zip(self.parts, other.parts, strict=True)))

    def __sub__(self, other: Share) -> Share:
        """The difference of two secrets; local."""
        return Share(tuple(a - b for a, b in zip(self.parts, other.parts, strict=True)))

    def __neg__(self) -> Share:
        """The negative; local."""
        return self.map(np.negative)

    def scaled(self, factor: int) -> Share:
        """The secret times a public integer; local."""
        word = np.uint64(factor % (1 << WORD))
        return self.map(lambda part: part * word)

    def reshape(self, shape: Sequence[int]) -> Share:
        """The same elements under another shape."""
        return self.map(lambda part: part.reshape(tuple(shape)))

    def __getitem__(self, index: Any) -> Share:
        return self.map(lambda part: np.asanyarray(part[index]))

    def __repr__(self) -> str:
        return f"Share(shape={self.shape}, parts=<redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a share cannot be pickled")


def concatenate(shares: Sequence[Share], axis: int = 0) -> Share:
    """Secrets joined along an axis; local."""
    return Share(tuple(np.concatenate(column, axis=axis) for column in zip(*(s.parts for s in shares), strict=True)))


def stack(shares: Sequence[Share], axis: int = 0) -> Share:
    """Secrets of one shape under a new axis; local."""
    return Share(tuple(np.stack(column, axis=axis) for column in zip(*(s.parts for s in shares), strict=True)))


@dataclass(frozen=True, repr=False, eq=False)
class Bits:
    """One party's part of secret bits, shared by exclusive or.

    Attributes:
        shape: the shape of the values whose bits these are.
        width: how many bits each value has.
        parts: packed planes, each of shape (width, words(shape)); the padding bits of the last word mean nothing.
    """

    shape: tuple[int, ...]
    width: int
    parts: tuple[Planes, ...]

    def plane(self, *indices: int) -> Bits:
        """Some of the bits, in the order given; local."""
        return Bits(self.shape, len(indices), tuple(part[list(indices)] for part in self.parts))

    def slice(self, start: int, stop: int) -> Bits:
        """Bits start .. stop - 1; local."""
        return Bits(self.shape, stop - start, tuple(part[start:stop] for part in self.parts))

    def __xor__(self, other: Bits) -> Bits:
        """Exclusive or of bits of one shape (a width of 1 stretches); local."""
        parts = tuple(a ^ b for a, b in zip(self.parts, other.parts, strict=True))
        return Bits(self.shape, len(parts[0]), parts)

    def __repr__(self) -> str:
        return f"Bits(shape={self.shape}, width={self.width}, parts=<redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a share cannot be pickled")


def join_bits(several: Sequence[Bits]) -> Bits:
    """Bits of values of one shape, one after the other; local."""
    parts = tuple(np.concatenate(column) for column in zip(*(b.parts for b in several), strict=True))
    return Bits(several[0].shape, len(parts[0]), parts)


def no_mask(shape: tuple[int, ...]) -> RingArray:
    """Zeros of a shape that take no memory; not to be written to."""
    return np.broadcast_to(np.uint64(0), shape)


def words(shape: tuple[int, ...]) -> int:
    """How many 64-bit words hold one bit of each value."""
    return -(-math.prod(shape) // WORD)
