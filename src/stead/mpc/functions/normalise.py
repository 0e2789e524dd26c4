"""Normalisation: layer norm of secret statistics, batch norm of given ones."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.root import rsqrt_of
from stead.mpc.functions.scale import plus, product, settle
from stead.mpc.functions.statistics import divided
from stead.mpc.protocol import Protocol
from stead.mpc.values import Array, Value, add, multiply

_APART = 20
"""Fraction bits of distances from the mean, four more than numbers have; their squares have 40."""

_INVERSE = 36
_UNIT = 30
_ROOT = 24


def standardised(p: Protocol, x: Secret, axes: int, epsilon: float) -> Secret:
    """(x - mean) / sqrt(variance + epsilon) over the last ``axes`` axes, of up to 2^15 numbers.

    For |mean| < 2^16 and n · (variance + epsilon) in [2^-40, 2^20).
    """
    x = settle(p, x)
    shape, count = x.shape, math.prod(x.shape[len(x.shape) - axes :])
    rows = settle(p, Secret(x.share.reshape((*shape[: len(shape) - axes], count)), FRACTION), _APART).share
    total = rows.map(lambda part: part.sum(axis=-1, keepdims=True, dtype=np.uint64))
    apart = rows - divided(p, total, count)
    squares = product(p, apart, apart).map(lambda part: part.sum(axis=-1, keepdims=True, dtype=np.uint64))
    squares = plus(p, squares, round(epsilon * count * 2.0 ** (2 * _APART)))  # below 2^60
    inverse = rsqrt_of(p, Secret(squares, 2 * _APART), _INVERSE)
    # A distance over the root of the sum of all squares is at most 1; times sqrt(n) it is the result.
    unit = p.truncate(product(p, apart, inverse.share), _APART + _INVERSE - _UNIT)
    result = p.truncate(unit.scaled(round(math.sqrt(count) * (1 << _ROOT))), _UNIT + _ROOT - FRACTION)
    return Secret(result.reshape(shape), FRACTION)


def layer_norm(
    p: Protocol,
    x: Secret,
    weight: Value | None = None,
    bias: Value | None = None,
    *,
    axes: int = 1,
    epsilon: float = 1e-5,
) -> Secret:
    """``standardised``, then times a weight and plus a bias, if there are any, of the last axes' shape."""
    result = standardised(p, x, axes, epsilon)
    if weight is not None:
        result = multiply(p, result, weight)
    return result if bias is None else add(p, result, bias)


def batch_norm(p: Protocol, x: Secret, factor: Value, offset: Value, *, axis: int = 1) -> Secret:
    """X · factor + offset for each channel (see ``folded``), both public or secret, of shape (channels,)."""
    wide = (-1, *(1,) * (len(x.shape) - 1 - axis % len(x.shape)))
    return add(p, multiply(p, x, _reshaped(factor, wide)), _reshaped(offset, wide))


def _reshaped(value: Value, shape: tuple[int, ...]) -> Value:
    if isinstance(value, Secret):
        return Secret(value.share.map(lambda part: part.reshape(shape)), value.scale)
    if isinstance(value, np.ndarray):
        return np.asarray(value).reshape(shape)
    raise TypeError("a factor of a batch norm is a number, not a truth")


def folded(
    mean: npt.NDArray[np.float64],
    variance: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64] | None = None,
    bias: npt.NDArray[np.float64] | None = None,
    *,
    epsilon: float = 1e-5,
) -> tuple[Array, Array]:
    """Factor and offset of a batch norm whose statistics are public: exact arithmetic of float64, for all parties."""
    factor = (1.0 if weight is None else np.asarray(weight, np.float64)) / np.sqrt(
        np.asarray(variance, np.float64) + epsilon
    )
    offset = (0.0 if bias is None else np.asarray(bias, np.float64)) - np.asarray(mean, np.float64) * factor
    return factor, offset


def fold_into(
    factor: npt.NDArray[np.float64],
    offset: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64] | None = None,
) -> tuple[Array, Array]:
    """The weights (O, ...) and bias (O,) of the linear layer that has the batch norm after it done already."""
    wide = np.asarray(factor).reshape(-1, *(1,) * (np.ndim(weight) - 1))
    return weight * wide, (0.0 if bias is None else np.asarray(bias)) * factor + offset
