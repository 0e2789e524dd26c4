"""Operations that fold axes away."""

from __future__ import annotations

import numpy as np

from stead.plans.ops.operation import (
    Array,
    Attributes,
    Call,
    Operation,
    Types,
    integer,
    ints,
    need_axes,
    need_axis,
    refuse,
)
from stead.plans.program import TensorType


def _folded(kind: TensorType, axes: tuple[int, ...], *, keep: bool) -> tuple[int, ...]:
    need_axes(axes, kind.rank)
    sized = enumerate(kind.shape)
    return tuple(1 if axis in axes else size for axis, size in sized if keep or axis not in axes)


def _sum_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    (kind,) = inputs
    if kind.dtype == "bool":
        refuse("needs numbers; got bool")
    return (TensorType(kind.dtype, _folded(kind, ints(attributes, "axes"), keep=bool(attributes["keep"]))),)


def _argmax_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    axis = integer(attributes, "axis")
    need_axis(axis, inputs[0].rank)
    return (TensorType("int64", _folded(inputs[0], (axis,), keep=bool(attributes["keep"]))),)


def _per_input(inputs: Types, _attributes: Attributes, _outputs: Types) -> int:
    return inputs[0].elements


def _axes(call: Call) -> tuple[int, ...]:
    return tuple(axis - call.inputs[0].rank for axis in call.ints("axes"))


def _sum(call: Call) -> Array:
    (array,) = call.arrays
    return np.asarray(array.sum(axis=_axes(call), keepdims=call.flag("keep"), dtype=array.dtype))


def _amax(call: Call) -> Array:
    return np.asarray(call.arrays[0].max(axis=_axes(call), keepdims=call.flag("keep")))


def _argmax(call: Call) -> Array:
    axis = call.int("axis") - call.inputs[0].rank
    return np.asarray(call.arrays[0].argmax(axis=axis, keepdims=call.flag("keep"))).astype(np.int64)


REDUCTION = (
    Operation(
        "sum",
        "aten.sum.dim_IntList",
        "reduction",
        "the sum over axes (no axes: the value itself)",
        "IEEE 754: a NaN gives NaN; int64 wraps modulo 2^64",
        1,
        _sum_types,
        _sum,
        _per_input,
        attributes={"axes": "ints", "keep": "bool"},
    ),
    Operation(
        "amax",
        "aten.amax",
        "reduction",
        "the largest element over axes",
        "a NaN gives NaN",
        1,
        _sum_types,
        _amax,
        _per_input,
        attributes={"axes": "ints", "keep": "bool"},
    ),
    Operation(
        "argmax",
        "aten.argmax",
        "reduction",
        "where along an axis the largest element first stands",
        "a NaN counts as the largest",
        1,
        _argmax_types,
        _argmax,
        _per_input,
        attributes={"axis": "int", "keep": "bool"},
    ),
)
"""This family's part of the table."""
