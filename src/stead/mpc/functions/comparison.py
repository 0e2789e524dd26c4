"""Comparisons of secret numbers: secret truths, as bits for a choice and as numbers 0 and 1."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stead.mpc.fixed import FRACTION, Secret, encode
from stead.mpc.functions.scale import beside
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Bits, stack
from stead.mpc.values import Array, subtract

Operand: TypeAlias = Secret | npt.ArrayLike
"""A secret or a public number."""


def _difference(p: Protocol, x: Operand, y: Operand) -> Secret:
    first: Secret | Array = x if isinstance(x, Secret) else np.asarray(x)
    second: Secret | Array = y if isinstance(y, Secret) else np.asarray(y)
    return subtract(p, first, second)


def less(p: Protocol, x: Operand, y: Operand, *, bits: int = 64) -> Bits:
    """Whether x < y, broadcast; exact, for a difference below 2^63 units at the finer scale."""
    return p.negative(_difference(p, x, y).share, bits)


def less_equal(p: Protocol, x: Operand, y: Operand, *, bits: int = 64) -> Bits:
    """Whether x <= y, broadcast; exact."""
    return p.invert(less(p, y, x, bits=bits))


def equal(p: Protocol, x: Operand, y: Operand) -> Bits:
    """Whether x = y, broadcast; exact."""
    return p.zero(_difference(p, x, y).share)


def not_equal(p: Protocol, x: Operand, y: Operand) -> Bits:
    """Whether x and y differ, broadcast; exact."""
    return p.invert(equal(p, x, y))


def indicator(p: Protocol, truth: Bits) -> Secret:
    """1 where it is true, else 0, at scale 0. One round."""
    return Secret(p.arithmetic(truth)[0], 0)


def sign(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """-1, 0 or 1 at scale 0; exact."""
    truths = p.arithmetic(p.negative(stack([x.share, -x.share]), bits))[0]
    return Secret(truths[1] - truths[0], 0)


def absolute(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """|x|, exact."""
    return Secret(x.share - p.select(p.negative(x.share, bits), x.share).scaled(2), x.scale)


def clip(p: Protocol, x: Secret, low: float, high: float, *, bits: int = 64) -> Secret:
    """Clamp x between public ends low <= high, compared at once; exact but for the ends' rounding."""
    scale = max(x.scale, FRACTION)
    share = x.share.scaled(1 << (scale - x.scale))
    ends = encode([low, high], scale).reshape(2, *(1,) * len(x.shape))
    towards = p.add_public(stack([-share, -share]), ends)
    most = int(np.abs(ends.view(np.int64)).max())
    beyond = p.negative(stack([-towards[0], towards[1]]), beside(bits, most))
    moves = p.select(beyond, towards)
    return Secret(share + moves[0] + moves[1], scale)
