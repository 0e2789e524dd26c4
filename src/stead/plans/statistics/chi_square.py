"""The chi-square distribution's tail, without a library of special functions."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from stead.errors import UsageError

Floats = npt.NDArray[np.float64]


def chi_square_tail(x: npt.ArrayLike, degrees: int) -> Floats:
    """P(X > x) for X chi-square with ``degrees`` degrees of freedom.

    For whole degrees the regularised gamma function is a finite sum: Q(a + 1, y) = Q(a, y) + y^a e^-y / Gamma(a + 1)
    with y = x / 2, from Q(0, y) = 0 or Q(1/2, y) = erfc(sqrt(y)). All terms are positive, so also a small tail is exact
    to some roundings. Total: x below zero (and NaN) has tail 1.

    Args:
        x: any shape.
        degrees: at least one.

    Returns:
        The shape of ``x``, inside [0, 1].

    Raises:
        UsageError: no degree of freedom.

    References:
        NIST Digital Library of Mathematical Functions, 8.8.6 and 8.4.6.
    """
    if degrees < 1:
        raise UsageError(f"a chi-square test needs at least one degree of freedom, not {degrees}.")
    given = np.asarray(x, dtype=np.float64)
    tails = [_tail(value / 2, degrees) for value in given.ravel().tolist()]
    return np.array(tails, dtype=np.float64).reshape(given.shape)


def _tail(y: float, degrees: int) -> float:
    if not y > 0:
        return 1.0
    if math.isinf(y):
        return 0.0
    tail = math.erfc(math.sqrt(y)) if degrees % 2 else 0.0
    log_y = math.log(y)
    for twice in range(degrees % 2, degrees - 1, 2):
        tail += math.exp(twice / 2 * log_y - y - math.lgamma(twice / 2 + 1))
    return min(tail, 1.0)
