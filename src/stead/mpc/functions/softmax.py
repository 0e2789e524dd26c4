"""``softmax`` and ``log_softmax``: shifted by the largest, so that one reciprocal of a sum in [1, n] is enough."""

from __future__ import annotations

import numpy as np

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.coefficients import DECAY_CURVE, DECAYS, RECIPROCAL
from stead.mpc.functions.logarithm import log_of
from stead.mpc.functions.magnitude import GROUP as GROUPS
from stead.mpc.functions.magnitude import magnitude
from stead.mpc.functions.maximum import amax
from stead.mpc.functions.polynomial import polynomial
from stead.mpc.functions.scale import WORKING, beside, moved_bits, plus, product, ring, settle, weighted
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Share, join_bits, stack

GROUP = 5
"""How many meet in one level of the tournament: 9 rounds for 5 against 14 and more for pairs."""

_TOP = 4
_FRACTIONS = 3
_REST = FRACTION - _FRACTIONS
"""Bits below 1/8: v = 8 u runs through [0, 1) with 13 bits."""

_CUT = 24
_FEW = 64
"""Up to so many numbers their sum's reciprocal is found without its bits."""

LEFT = 2.0**-15.5
"""How far the product of the sum and its reciprocal may be from 1."""


def softmax(p: Protocol, x: Secret, axis: int = -1, *, bits: int = 64) -> Secret:
    """e^x / sum of e^x along an axis of up to 2^14 numbers; any x below 2^44 in magnitude."""
    x = settle(p, x)
    powers = _shifted(p, x, axis, bits)[0]
    total = powers.map(lambda part: part.sum(axis=axis, keepdims=True, dtype=np.uint64))
    inverse = _inverse(p, total, x.shape[axis])
    return Secret(p.truncate(product(p, powers, inverse), 2 * WORKING - FRACTION), FRACTION)


def log_softmax(p: Protocol, x: Secret, axis: int = -1, *, bits: int = 64) -> Secret:
    """The logarithm of ``softmax``, x - log of the sum of e^x; for the same x."""
    x = settle(p, x)
    powers, below = _shifted(p, x, axis, bits)
    total = powers.map(lambda part: part.sum(axis=axis, keepdims=True, dtype=np.uint64))
    logarithm = log_of(p, Secret(total, WORKING), bits=WORKING + x.shape[axis].bit_length() + 2)
    return Secret(-below - logarithm.share, FRACTION)


def _shifted(p: Protocol, x: Secret, axis: int, bits: int) -> tuple[Share, Share]:
    below = amax(p, x, axis, keepdims=True, group=GROUP, bits=min(64, bits + 1)).share - x.share
    return exp_below(p, below, bits), below


def exp_below(p: Protocol, z: Share, bits: int = 64) -> Share:
    """e^-z for z with ``FRACTION`` bits, as ``WORKING`` bits, 0 <= z < 2^bits units; 0 from 16 on.

    e^-z is the product of e^-b over the bits b of z from 1/8 to 8, and a parabola of the rest.

    Cost:
        The bits of two numbers, 6 rounds.
    """
    limit = 1 << _TOP + FRACTION
    planes = p.decompose(stack([z, plus(p, z, -limit)]), beside(bits + 1, limit))
    wanted = planes.plane(*range(_REST, FRACTION + _TOP), planes.width - 1)
    of_z = moved_bits(wanted.slice(0, 7), lambda a: a[0])
    within = moved_bits(wanted.plane(7), lambda a: a[1])
    pairs = p.conjunction(of_z.plane(1, 3, 5), of_z.plane(2, 4, 6))
    numbers = p.arithmetic(join_bits([of_z, pairs]))
    rest = z - weighted(numbers[:7], ring([1 << _REST + i for i in range(7)]))
    # Where z is 16 or more all of this is mod 2^64, and the choice at the end gives 0.
    first = _decay(p, numbers, (5, 6, 9), 25)
    second = _decay(p, numbers, (3, 4, 8), 24)
    third = _decay(p, numbers, (1, 2, 7), 21)
    fourth = plus(p, numbers[0].scaled(-_whole(1 - DECAYS[0], 21)), 1 << 21)
    products = product(p, stack([first, third, rest]), stack([second, fourth, rest]))
    constant, slope, bend = DECAY_CURVE
    curve = rest.scaled(_whole(slope, 29)) + products[2].scaled(_whole(bend, 16))
    curve = plus(p, curve, _whole(constant, 42))
    factors = p.truncate(stack([products[0], products[1], curve]), _CUT)  # 25, 18 and 18 bits, each at most 1
    power = product(p, product(p, factors[1], factors[2]), factors[0])
    return p.select(within, power, 61 - WORKING)


def _whole(number: float, bits: int) -> int:
    return round(number * (1 << bits))


def _decay(p: Protocol, numbers: Share, at: tuple[int, int, int], bits: int) -> Share:
    """e^-(a + b) for two bits of z, from them and their product."""
    one, two, both = at
    low, high = 1 - DECAYS[one], 1 - DECAYS[two]
    weights = [-_whole(low, bits), -_whole(high, bits), _whole(low * high, bits)]
    return plus(p, weighted(numbers[[one, two, both]], ring(weights)), 1 << bits)


def _inverse(p: Protocol, total: Share, count: int) -> Share:
    """1 / total for 1 <= total <= count (but for some units), both with ``WORKING`` bits."""
    if count > _FEW:
        # The bits are those of total / 2^-30, so 1 / total with 30 bits is 2^(60 - e) / m, at most 2^31.
        found = magnitude(p, Secret(total, FRACTION), signed=False, bits=WORKING + count.bit_length() + 2)
        mantissa = settle(p, polynomial(p, found.centred, RECIPROCAL), 28).share
        power = found.factor(p, [1 << 8 * (7 - i) for i in range(GROUPS)], [1 << 7 - j for j in range(GROUPS)])
        return p.truncate(product(p, mantissa, power), 28)
    # y = a - b s leaves 1 - s y = T_2(x) / T_2(z), the least that a line can on [1, n] (Chebyshev): at most
    # (n - 1)^2 / (n^2 + 6 n + 1). Each further factor 1 + e of y squares what is left, e (Goldschmidt's division).
    least = count * count + 6 * count + 1
    bits = 27 + count.bit_length()  # b · s is below 8 / n: 2^(3 + 30 + 27) in all
    line = plus(p, total.scaled(-((8 << bits) // least)), ((8 * (count + 1)) << bits + WORKING) // least)
    y = p.truncate(line, bits)
    left = plus(p, -p.truncate(product(p, total, y), WORKING), 1 << WORKING)
    rest = (count - 1) ** 2 / least
    while rest > LEFT:
        raised = p.truncate(product(p, stack([y, left]), stack([plus(p, left, 1 << WORKING), left])), WORKING)
        y, left, rest = raised[0], raised[1], rest * rest
    return y
