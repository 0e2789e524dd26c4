"""``reciprocal`` and ``divide``: by the bits of the divisor, then a polynomial; right for numbers of every size."""

from __future__ import annotations

import numpy as np

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.coefficients import RECIPROCAL
from stead.mpc.functions.magnitude import GROUP, Magnitude, magnitude
from stead.mpc.functions.polynomial import polynomial
from stead.mpc.functions.scale import WORKING, moved_bits, plus, product, ring, settle, weighted
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Share, concatenate, stack

_INVERSE = 24
"""Fraction bits of 1 / mantissa where it meets a power of two up to 2^36: 24 + 36 = 60."""

_SHIFT = 36
_LOW = [1 << 7 - j for j in range(GROUP)]

LARGEST_QUOTIENT = 30
"""A quotient saturates at 2^30."""

_QUOTIENT = 28
"""Fraction bits of x / 2^exponent, which lies below 2^31 in magnitude: 28 + 31 = 59."""


def reciprocal(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """1 / x for 2^-16 <= |x| < 2^45; 1 / 0 is 2^16, the largest there is."""
    found = magnitude(p, x, signed=True, bits=bits)
    inverse = settle(p, polynomial(p, found.centred, RECIPROCAL), _INVERSE).share
    # 1 / x in units is 2^(32 - e) / m: less than a unit from e = 33 on, so 0 may stand for it where e > 36.
    # With e = 8 i + j - 3, 2^(36 - e) is 2^(8 (4 - i)) · 2^(7 - j).
    high = [1 << 8 * (4 - i) if i <= 4 else 0 for i in range(GROUP)]
    power = found.factor(p, high, _LOW)
    size = product(p, inverse, power)
    signed = size - p.select(found.negative, size).scaled(2)
    return Secret(p.truncate(signed, _INVERSE + _SHIFT - 2 * FRACTION), FRACTION)


def divide(p: Protocol, x: Secret, y: Secret, *, bits: int = 64) -> Secret:
    """The quotient x / y, broadcast, for |x| < 2^44 and |y| < 2^45.

    A quotient from 2^31 on in magnitude gives 2^30 with its sign, one from 2^29 on may; 0 as a divisor counts as 2^-16.
    """
    x, y = _ranked(settle(p, x), len(y.shape)), _ranked(settle(p, y), len(x.shape))
    shape = np.broadcast_shapes(x.shape, y.shape)
    found = magnitude(p, y, signed=True, bits=bits)
    inverse = settle(p, polynomial(p, found.centred, RECIPROCAL), WORKING).share
    within, beyond = _within(p, x.share, found, shape)
    scaled = _by_exponent(p, within, found)
    # A product with all of it would need 59 + 30 bits: whole and rest are multiplied apart.
    whole = p.truncate(scaled, _QUOTIENT)
    rest = scaled - whole.scaled(1 << _QUOTIENT)
    both = product(p, stack([whole, rest]), inverse)
    quotient = p.truncate(both[0] + p.truncate(both[1], _QUOTIENT), WORKING - FRACTION)
    quotient = quotient + beyond.scaled(1 << LARGEST_QUOTIENT + FRACTION)
    negative = moved_bits(found.negative, lambda a: np.broadcast_to(a, shape))
    return Secret(quotient - p.select(negative, quotient).scaled(2), FRACTION)


def _ranked(x: Secret, rank: int) -> Secret:
    """With axes of size 1 in front up to a rank: what is split by exponent has an axis before them all."""
    missing = rank - len(x.shape)
    return x if missing <= 0 else Secret(x.share.reshape((1,) * missing + x.shape), x.scale)


def _within(p: Protocol, x: Share, found: Magnitude, shape: tuple[int, ...]) -> tuple[Share, Share]:
    """Keep x where |x| < 2^(30 + e), else 0; and 1, 0 or -1: whether it is not, and on which side."""
    # 2^(30 + e) = 2^(8 i) · 2^(j + 27) for i < 4 (below 2^59); from there on 2^61, above every |x|.
    limit = found.factor(p, [1 << 8 * i if i < 4 else 0 for i in range(GROUP)], [1 << j + 27 for j in range(GROUP)])
    limit = limit + weighted(found.high, ring([0 if i < 4 else 1 << 61 for i in range(GROUP)]))
    wide = x.map(lambda part: np.broadcast_to(part, shape))
    outside = p.negative(plus(p, stack([limit - wide, limit + wide]), -1))
    either = moved_bits(outside, lambda a: a[0]) ^ moved_bits(outside, lambda a: a[1])
    sides = p.arithmetic(outside)[0]
    return wide - p.select(either, wide), sides[0] - sides[1]


def _by_exponent(p: Protocol, x: Share, found: Magnitude) -> Share:
    """Shift x to x / 2^exponent with 28 bits, |x| < 2^(31 + exponent) in units: a secret number of places.

    2^(28 - e) is 2^(8 (3 - i)) · 2^(7 - j). Where i > 3 the first is a truncation, by as many bits as x has more than
    the result needs: a unit lost there is 2^(8 (i - 3) - e), at most 2^-21 of the quotient's own unit 1.
    """
    parts = [x]
    for _ in range(4, GROUP):
        parts.append(p.truncate(parts[-1], 8))
    left = weighted(found.high[:4], ring([1 << 8 * (3 - i) for i in range(4)]))
    one_of = concatenate([left.map(lambda part: part[None]), found.high[4:]])
    coarse = product(p, stack(parts), one_of).map(lambda part: part.sum(axis=0, dtype=np.uint64))
    return product(p, coarse, weighted(found.low, ring(_LOW)))
