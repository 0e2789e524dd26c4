"""Means, variances and correlations from sums and sums of products.

=============  =====================================================================================================
symbol         meaning
=============  =====================================================================================================
n              count of rows; below one it is taken as one, so that noise cannot turn signs or divide by zero
o_i            offset of variable i, public: the middle of its range
s_i, p_ij      sums of x_i - o_i and of (x_i - o_i)(x_j - o_j) over rows, in natural units
m_ij           p_ij - s_i s_j / n: the sum of products about the mean
=============  =====================================================================================================

All functions take any leading axes, give finite numbers for finite sums below 1e150, and say nothing about the noise:
error bars come from decoding simulated noise (``simulate``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# A sum of squares about the mean below this part of the one about the offset is rounding: the variable is constant.
_ROUNDING_PART = 1e-13


def mean(count: npt.ArrayLike, total: npt.ArrayLike, offset: npt.ArrayLike = 0.0) -> Floats:
    """The mean o + s / n, (...); over a count below one, what one row would give."""
    divided: Floats = np.asarray(total, dtype=np.float64) / _at_least_one(count)
    return np.asarray(offset, dtype=np.float64) + divided


def centred_products(count: npt.ArrayLike, totals: npt.ArrayLike, products: npt.ArrayLike) -> Floats:
    """Sums of products about the mean, m_ij.

    Args:
        count: (...).
        totals: (..., v), sums s_i about the offsets.
        products: (..., v, v), sums p_ij, symmetric.

    Returns:
        (..., v, v). The diagonal is not negative; where noise breaks |m_ij|^2 <= m_ii m_jj it is brought to the bound.
        The matrix may still be indefinite.
    """
    sums, given = np.asarray(totals, dtype=np.float64), np.asarray(products, dtype=np.float64)
    n = _at_least_one(count)[..., None, None]
    about_mean = given - sums[..., :, None] * sums[..., None, :] / n
    square = np.diagonal(about_mean, axis1=-2, axis2=-1)
    rounding = _ROUNDING_PART * np.abs(np.diagonal(given, axis1=-2, axis2=-1))
    square = np.where(square > rounding, square, 0.0)
    root = np.sqrt(square)
    most = root[..., :, None] * root[..., None, :]
    bounded = np.clip(about_mean, -most, most)
    return np.where(np.eye(sums.shape[-1], dtype=np.bool_), square[..., :, None], bounded)


def covariance(count: npt.ArrayLike, totals: npt.ArrayLike, products: npt.ArrayLike, *, sample: bool = True) -> Floats:
    """The covariance matrix (..., v, v) of sums as ``centred_products`` takes them.

    Args:
        count: (...).
        totals: (..., v).
        products: (..., v, v).
        sample: divide by n - 1 (at least one), otherwise by n.
    """
    n = _at_least_one(count)
    divisor = np.maximum(n - 1.0, 1.0) if sample else n
    return centred_products(count, totals, products) / divisor[..., None, None]


def correlation(count: npt.ArrayLike, totals: npt.ArrayLike, products: npt.ArrayLike) -> Floats:
    """Pearson's correlation (..., v, v), inside [-1, 1].

    A constant variable (or one whose noisy variance is at most zero) has correlation 0 with all, itself included; the
    other variables have 1 with themselves.
    """
    about_mean = centred_products(count, totals, products)
    root = np.sqrt(np.diagonal(about_mean, axis1=-2, axis2=-1))
    varies = root > 0
    safe = np.where(varies, root, 1.0)
    quotient = about_mean / safe[..., :, None] / safe[..., None, :]
    own = np.eye(root.shape[-1], dtype=np.bool_)
    return np.where(own, varies[..., :, None].astype(np.float64), np.clip(quotient, -1.0, 1.0))


def variance(count: npt.ArrayLike, total: npt.ArrayLike, square: npt.ArrayLike, *, sample: bool = True) -> Floats:
    """The variance (...) of one variable: never negative, 0 for one row or none.

    Args:
        count: (...).
        total: (...), the sum about the offset.
        square: (...), the sum of squares about the offset.
        sample: divide by n - 1 (at least one), otherwise by n.
    """
    totals = np.asarray(total, dtype=np.float64)[..., None]
    products = np.asarray(square, dtype=np.float64)[..., None, None]
    return covariance(count, totals, products, sample=sample)[..., 0, 0]


def standard_deviation(
    count: npt.ArrayLike, total: npt.ArrayLike, square: npt.ArrayLike, *, sample: bool = True
) -> Floats:
    """The root of ``variance``, (...)."""
    return np.sqrt(variance(count, total, square, sample=sample))


def _at_least_one(count: npt.ArrayLike) -> Floats:
    return np.maximum(np.asarray(count, dtype=np.float64), 1.0)
