"""Matrix products."""

from __future__ import annotations

import numpy as np

from stead.plans.ops.operation import Array, Attributes, Call, Operation, Types, need_float, refuse
from stead.plans.program import TensorType

_SUMS = "IEEE 754: a NaN or 0 · infinity gives NaN in its row and column"


def _mm_types(inputs: Types, _attributes: Attributes) -> tuple[TensorType, ...]:
    return _product(inputs, rank=2)


def _bmm_types(inputs: Types, _attributes: Attributes) -> tuple[TensorType, ...]:
    return _product(inputs, rank=3)


def _product(inputs: Types, *, rank: int) -> tuple[TensorType, ...]:
    first, second = inputs
    need_float(first, second)
    if first.rank != rank or second.rank != rank:
        refuse(f"needs values with {rank} axes; got {first} and {second}")
    if first.shape[-1] != second.shape[-2] or first.shape[:-2] != second.shape[:-2]:
        refuse(f"{first} and {second} do not multiply")
    return (TensorType(first.dtype, (*first.shape[:-1], second.shape[-1])),)


def _flops(inputs: Types, _attributes: Attributes, outputs: Types) -> int:
    return 2 * outputs[0].elements * inputs[0].shape[-1]


def _mm(call: Call) -> Array:
    first, second = call.arrays
    if call.leads == (1, 0):  # one large product instead of many small ones
        return (first.reshape(-1, first.shape[-1]) @ second).reshape(*first.shape[:-1], second.shape[-1])
    return np.asarray(np.matmul(first, second))


def _bmm(call: Call) -> Array:
    return np.asarray(np.matmul(call.arrays[0], call.arrays[1]))


LINEAR = (
    Operation("mm", "aten.mm", "linear", "the product of two matrices", _SUMS, 2, _mm_types, _mm, _flops),
    Operation(
        "bmm",
        "aten.bmm",
        "linear",
        "the products of two lists of matrices, pair by pair",
        _SUMS,
        2,
        _bmm_types,
        _bmm,
        _flops,
    ),
)
"""This family's part of the table."""
