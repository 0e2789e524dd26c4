"""``exp``: whole and fractional powers of two."""

from __future__ import annotations

import numpy as np

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.coefficients import POWER_OF_TWO
from stead.mpc.functions.polynomial import polynomial
from stead.mpc.functions.scale import WORKING, beside, moved_bits, plus, product, ring, settle, weighted
from stead.mpc.protocol import Protocol
from stead.mpc.shares import join_bits, stack

_LOG2_E = 396564993198
"""round(log2(e) · 2^38)."""

_LOG2_E_BITS = 38
_EXPONENT = 24
"""Fraction bits of the power of two."""

_WHOLE = 6
LOWEST = -726817
"""-11.0904 = -16 log 2, in units: exp is less than one unit from here on down."""

HIGHEST = 1362733
"""20.7937 = (30 - 2^-10) log 2, in units: exp(20.7937) is 0.9992 · 2^30."""


def exp(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """e^x for x up to 20.79, above which it stays at 0.9992 · 2^30; 0 below -11.09, where it is less than 2^-16."""
    share = settle(p, x).share
    under = p.negative(stack([plus(p, share, -LOWEST), plus(p, -share, HIGHEST)]), beside(bits, HIGHEST))
    ends = ring([LOWEST, HIGHEST]).reshape(2, *(1,) * len(x.shape))
    clipped = share + p.select(under, p.add_public(stack([-share, -share]), ends)).map(
        lambda part: part.sum(axis=0, dtype=np.uint64)
    )
    # In [0, 46) but for a unit: |clipped| · log2(e) · 2^38 < 2^60.
    power = p.truncate(clipped.scaled(_LOG2_E), FRACTION + _LOG2_E_BITS - _EXPONENT)
    power = plus(p, power, (FRACTION << _EXPONENT) + 1)
    whole = p.decompose(power, _EXPONENT + _WHOLE).slice(_EXPONENT, _EXPONENT + _WHOLE)
    kept = p.invert(moved_bits(under, lambda a: a[0]))
    numbers = p.arithmetic(join_bits([whole, kept]))
    fraction = power - weighted(numbers[:_WHOLE], ring([1 << _EXPONENT + i for i in range(_WHOLE)]))
    centred = plus(p, fraction.scaled(2 << (WORKING - _EXPONENT)), -1 << WORKING)
    mantissa = settle(p, polynomial(p, centred, POWER_OF_TWO), FRACTION).share
    # 2^whole, bit by bit. The highest two are never both 1, and where x is below all, all are 0 and so is ``kept``.
    steps = [plus(p, numbers[i].scaled((1 << (1 << i)) - 1), 1) for i in range(4)]
    top = numbers[_WHOLE] + weighted(numbers[4:_WHOLE], ring([(1 << 16) - 1, (1 << 32) - 1]))
    pairs = product(p, stack([steps[0], steps[2]]), stack([steps[1], steps[3]]))
    power_of_two = product(p, product(p, pairs[0], pairs[1]), top)
    # whole <= 45 and the mantissa is below 1.9988 where it is 45: below 2^62.
    return Secret(p.truncate(product(p, mantissa, power_of_two), FRACTION), FRACTION)


def expm1(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """e^x - 1, as ``exp``."""
    found = exp(p, x, bits=bits)
    return Secret(plus(p, found.share, -1 << FRACTION), FRACTION)
