"""``power``: public exponents."""

from __future__ import annotations

import numpy as np

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.comparison import clip
from stead.mpc.functions.division import reciprocal
from stead.mpc.functions.exponential import exp
from stead.mpc.functions.logarithm import log
from stead.mpc.functions.root import rsqrt, sqrt
from stead.mpc.functions.scale import plus, product, settle
from stead.mpc.protocol import Protocol
from stead.mpc.values import multiply

LARGEST_POWER = 29
"""A whole power saturates at 2^29, its base at the root of that."""

MOST = 64


def power(p: Protocol, x: Secret, exponent: float, *, bits: int = 64) -> Secret:
    """x^exponent.

    Whole exponents up to 64 in magnitude take any x, whose magnitude is cut off where the power reaches 2^29; negative
    ones are the reciprocal of the power. 1/2 and -1/2 are ``sqrt`` and ``rsqrt``. All others are
    exp(exponent · log x), for x > 0.

    Raises:
        ValueError: a whole exponent beyond 64.
    """
    if exponent in (0.5, -0.5):
        return sqrt(p, x, bits=bits) if exponent > 0 else rsqrt(p, x, bits=bits)
    if not float(exponent).is_integer():
        return exp(p, multiply(p, log(p, x, bits=bits), np.asarray(exponent)))
    if abs(exponent) > MOST:
        raise ValueError(f"{exponent:g} is no exponent for secret numbers: at most {MOST} in magnitude.")
    whole = int(abs(exponent))
    if whole == 0:
        return Secret(plus(p, x.share.scaled(0), 1), 0)
    result = _whole(p, settle(p, x), whole, bits)
    return reciprocal(p, result) if exponent < 0 else result


def _whole(p: Protocol, x: Secret, exponent: int, bits: int) -> Secret:
    """By squares; every power on the way is at most 2^29 in magnitude, so that products stay below 2^61."""
    if exponent == 1:
        return x
    most = largest_base(exponent) / (1 << FRACTION)
    square = clip(p, x, -most, most, bits=bits)
    result = square if exponent & 1 else None
    for place in range(1, exponent.bit_length()):
        square = Secret(p.truncate(product(p, square.share, square.share), FRACTION), FRACTION)
        if exponent >> place & 1:
            share = square.share if result is None else p.truncate(product(p, result.share, square.share), FRACTION)
            result = Secret(share, FRACTION)
    assert result is not None  # noqa: S101 - some bit of the exponent is 1
    return result


def largest_base(exponent: int) -> int:
    """The largest x in units with x^exponent <= 2^29, by bisection in whole numbers."""
    low, high, limit = 0, 1 << LARGEST_POWER + FRACTION + 1, 1 << LARGEST_POWER + FRACTION * exponent
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**exponent <= limit else (low, middle)
    return low
