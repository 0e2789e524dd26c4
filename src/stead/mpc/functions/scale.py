"""Scales of secret numbers: brought to ``FRACTION`` bits, multiplied and squared at a working scale."""

from __future__ import annotations

import numpy as np

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.forms import MUL
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Bits, RingArray, Share
from stead.mpc.values import Move, moved

WORKING = 30
"""Fraction bits between the steps of a function: numbers below 4 and their products fit (60 + 2 = 62)."""


def settle(p: Protocol, x: Secret, scale: int = FRACTION) -> Secret:
    """With exactly ``scale`` fraction bits; one round where there are more, none where there are fewer."""
    if x.scale <= scale:
        return Secret(x.share.scaled(1 << (scale - x.scale)), scale) if x.scale < scale else x
    return Secret(p.truncate(x.share, x.scale - scale), scale)


def beside(bits: int, constant: int) -> int:
    """The bits that hold the difference of a number of that many bits and a constant of any sign."""
    return min(64, max(bits, constant.bit_length() + 1) + 1)


def ring(values: object) -> RingArray:
    """Signed integers as ring elements."""
    return np.asarray(values, dtype=np.int64).view(np.uint64)


def plus(p: Protocol, x: Share, number: int) -> Share:
    """Add a public integer to x, read mod 2^64. No rounds."""
    return p.add_public(x, np.array(number % (1 << 64), dtype=np.uint64))


def product(p: Protocol, x: Share, y: Share) -> Share:
    """Multiply element by element, exact mod 2^64. One round."""
    return p.product(MUL, x, y)


def weighted(x: Share, weights: RingArray) -> Share:
    """The sum along the first axis with public integer weights; local."""
    return x.map(lambda part: np.tensordot(weights, part, axes=(0, 0)))


def moved_bits(bits: Bits, move: Move) -> Bits:
    """Bits put elsewhere, repeated, left out, or 0 put in; local."""
    result = moved(bits, move)
    assert isinstance(result, Bits)  # noqa: S101 - a move keeps the kind
    return result
