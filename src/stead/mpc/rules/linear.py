"""Rules of matrix products. The sum of many examples' products is one product of a longer inner axis."""

from __future__ import annotations

from collections.abc import Mapping

from stead.mpc.forms import MATMUL
from stead.mpc.rules.call import Call, Held, Rule
from stead.mpc.values import Array, Value, bilinear, moved, reshaped


def _mm(call: Call) -> Held:
    a, b = call.value(0), call.value(1)
    if call.leads == (1, 1) and call.total:
        return bilinear(call.p, MATMUL, moved(a, _side_by_side), reshaped(b, (-1, b.shape[-1])))
    if call.leads == (1, 0):  # one large product instead of many small ones
        flat: Value = reshaped(a, (-1, a.shape[-1]))
        product = bilinear(call.p, MATMUL, flat, b)
        return reshaped(product, (*a.shape[:-1], b.shape[-1]))
    return bilinear(call.p, MATMUL, a, b)


def _side_by_side(array: Array) -> Array:
    """Matrices (B, m, k) as one (m, B k)."""
    return array.transpose(1, 0, 2).reshape(array.shape[1], -1)


def _bmm(call: Call) -> Held:
    if call.leads == (1, 1) and call.total:
        a = moved(call.value(0), lambda array: array.transpose(1, 2, 0, 3).reshape(*array.shape[1:3], -1))
        b = moved(call.value(1), lambda array: array.swapaxes(0, 1).reshape(array.shape[1], -1, array.shape[-1]))
        return bilinear(call.p, MATMUL, a, b)
    return bilinear(call.p, MATMUL, call.value(0), call.value(1))


LINEAR: Mapping[str, Rule] = {"mm": _mm, "bmm": _bmm}
"""Name to rule."""
