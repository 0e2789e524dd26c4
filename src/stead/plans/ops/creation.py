"""Operations that make a value from attributes alone."""

from __future__ import annotations

from typing import cast

import numpy as np

from stead.plans.ops.operation import Array, Attributes, Call, Operation, Types, integer, ints, no_flops, refuse
from stead.plans.program import DType, TensorType


def _full_types(_inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    dtype, value = cast("DType", attributes["dtype"]), attributes["value"]
    fits = {"bool": bool, "int64": int}.get(dtype, float)
    if type(value) is not fits:
        refuse(f"a value for {dtype} must be of kind {fits.__name__}")
    return (TensorType(dtype, ints(attributes, "shape")),)


def _full(call: Call) -> Array:
    (kind,) = call.outputs
    return np.full(kind.shape, np.asarray(call.attributes["value"]).astype(kind.dtype), dtype=kind.dtype)


def _arange_types(_inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    start, end, step = (integer(attributes, name) for name in ("start", "end", "step"))
    if step == 0:
        refuse("step 0")
    return (TensorType("int64", (len(range(start, end, step)),)),)


def _arange(call: Call) -> Array:
    return np.arange(call.int("start"), call.int("end"), call.int("step"), dtype=np.int64)


CREATION = (
    Operation(
        "full",
        "aten.full",
        "creation",
        "a value of this shape, the same number everywhere",
        "a number beyond float32 becomes an infinity",
        0,
        _full_types,
        _full,
        no_flops,
        attributes={"shape": "ints", "value": "number", "dtype": "dtype"},
    ),
    Operation(
        "arange",
        "aten.arange.start_step",
        "creation",
        "start, start + step, … below end, as int64",
        "nothing can go wrong",
        0,
        _arange_types,
        _arange,
        no_flops,
        attributes={"start": "int", "end": "int", "step": "int"},
    ),
)
"""This family's part of the table."""
