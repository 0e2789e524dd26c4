"""Sine and cosine: the ring itself is the circle, one turn is 2^64."""

from __future__ import annotations

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.coefficients import QUARTER_SINE
from stead.mpc.functions.polynomial import polynomial
from stead.mpc.functions.scale import WORKING, moved_bits, plus, product, settle
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Share, stack

_TURNS = 44798133900177
"""round(2^48 / (2 pi)): a number with 16 bits times this is its turns · 2^64, and the ring drops whole turns."""

_QUARTER = 1 << 62


def sin(p: Protocol, x: Secret) -> Secret:
    """The sine of x in radians, |x| < 2^30."""
    return _sine(p, settle(p, x).share.scaled(_TURNS))


def cos(p: Protocol, x: Secret) -> Secret:
    """The cosine of x in radians, |x| < 2^30."""
    return _sine(p, plus(p, settle(p, x).share.scaled(_TURNS), _QUARTER))


def _sine(p: Protocol, turns: Share) -> Secret:
    """Of an angle with 64 bits, mod 1 turn."""
    # More than a quarter turn from 0 where the highest two bits differ; there sin(a) = sin(1/2 - a). One unit
    # less keeps a quarter turn itself, 2^62, out: what is truncated lies in [-2^62, 2^62).
    signs = p.negative(stack([turns, turns.scaled(2)]))
    beyond = moved_bits(signs, lambda a: a[0]) ^ moved_bits(signs, lambda a: a[1])
    near = turns + p.select(beyond, plus(p, turns.scaled(-2), (1 << 63) - 1))
    quarter = p.truncate(near, 62 - WORKING)
    square = p.truncate(product(p, quarter, quarter), WORKING)
    ratio = settle(p, polynomial(p, plus(p, square.scaled(2), -1 << WORKING), QUARTER_SINE), WORKING).share
    return Secret(p.truncate(product(p, ratio, quarter), 2 * WORKING - FRACTION), FRACTION)
