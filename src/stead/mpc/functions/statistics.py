"""Means, variances, medians and quantiles along an axis."""

from __future__ import annotations

import math

import numpy as np

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.root import sqrt
from stead.mpc.functions.scale import product, settle
from stead.mpc.functions.sorting import sort
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Share

_WEIGHT = 22
"""Bits of 1 / n that are right: a mean is off by 2^-23 of itself, besides its rounding."""

_SHARE = 24


def mean(p: Protocol, x: Secret, axis: int | tuple[int, ...], *, keepdims: bool = False) -> Secret:
    """The mean along axes, for |mean| < 2^20."""
    x = settle(p, x)
    total = x.share.map(lambda part: part.sum(axis=axis, keepdims=keepdims, dtype=np.uint64))
    return Secret(divided(p, total, x.share.size // max(1, total.size)), FRACTION)


def divided(p: Protocol, total: Share, count: int) -> Share:
    """A total over a public count, within a unit and 2^-23 of itself, for a quotient below 2^36 units.

    Cost:
        1 round, 2 for counts above 16 that are no powers of two.
    """
    extra = (count - 1).bit_length()
    if count == 1 << extra:
        return p.truncate(total, extra) if extra else total
    early = max(0, extra - 4)
    if early:
        total = p.truncate(total, early)  # a unit here is 2^early / count, below 1/8 of a unit of the quotient
    weight = ((1 << _WEIGHT + extra + 1) // count + 1) // 2
    return p.truncate(total.scaled(weight), _WEIGHT + extra - early)


def variance(p: Protocol, x: Secret, axis: int, *, correction: int = 0, keepdims: bool = False) -> Secret:
    """The mean squared distance from the mean, over n - ``correction``; for a sum of squares below 2^29."""
    x = settle(p, x)
    middle = mean(p, x, axis, keepdims=True)
    apart = x.share - middle.share
    squares = product(p, apart, apart).map(lambda part: part.sum(axis=axis, keepdims=keepdims, dtype=np.uint64))
    return Secret(divided(p, p.truncate(squares, FRACTION), x.shape[axis] - correction), FRACTION)


def standard_deviation(p: Protocol, x: Secret, axis: int, *, correction: int = 0, keepdims: bool = False) -> Secret:
    """The root of ``variance``."""
    return sqrt(p, variance(p, x, axis, correction=correction, keepdims=keepdims))


def quantile(p: Protocol, x: Secret, share: float, axis: int = -1, *, bits: int = 64) -> Secret:
    """Between the two nearest in order, less than 2^21 apart, linearly, as NumPy does; ``share`` in [0, 1]."""
    if not 0 <= share <= 1:
        raise ValueError(f"{share} is no share of all: it is not in [0, 1]")
    x = settle(p, x)
    ordered = sort(p, x, axis, bits=bits).share
    at = share * (x.shape[axis] - 1)
    low = math.floor(at)
    lower = ordered.map(lambda part: np.take(part, low, axis=axis))
    weight = round((at - low) * (1 << _SHARE))
    if not weight:
        return Secret(lower, FRACTION)
    upper = ordered.map(lambda part: np.take(part, low + 1, axis=axis))
    between = (upper - lower).scaled(weight)
    return Secret(lower + p.truncate(between, _SHARE), FRACTION)


def median(p: Protocol, x: Secret, axis: int = -1, *, bits: int = 64) -> Secret:
    """The middle one, or the mean of the two in the middle."""
    return quantile(p, x, 0.5, axis, bits=bits)
