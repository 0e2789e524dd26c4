"""Operations that move elements and change none."""

from __future__ import annotations

import numpy as np

from stead.plans.ops.operation import (
    Array,
    Attributes,
    Call,
    Operation,
    Types,
    broadcast,
    integer,
    ints,
    need_axes,
    need_axis,
    no_flops,
    refuse,
)
from stead.plans.program import TensorType

_MOVES = "passes values on unchanged"


def _view_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    kind = TensorType(inputs[0].dtype, ints(attributes, "shape"))
    if kind.elements != inputs[0].elements or any(size < 1 for size in kind.shape):
        refuse(f"{inputs[0]} does not have the elements of {kind}")
    return (kind,)


def _view(call: Call) -> Array:
    return call.arrays[0].reshape(call.lead + call.outputs[0].shape)


def _permute_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    (kind,), axes = inputs, ints(attributes, "axes")
    if sorted(axes) != list(range(kind.rank)):
        refuse(f"axes must be an order of 0 … {kind.rank - 1}")
    return (TensorType(kind.dtype, tuple(kind.shape[axis] for axis in axes)),)


def _permute(call: Call) -> Array:
    lead = call.leads[0]
    return call.arrays[0].transpose(*range(lead), *(axis + lead for axis in call.ints("axes")))


def _expand_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    kind = TensorType(inputs[0].dtype, ints(attributes, "shape"))
    if broadcast(inputs[0].shape, kind.shape) != kind.shape:
        refuse(f"{inputs[0]} does not expand to {kind}")
    return (kind,)


def _expand(call: Call) -> Array:
    shape = call.outputs[0].shape
    return np.broadcast_to(call.aligned(0, len(shape)), call.lead + shape)


def _slice_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    (kind,) = inputs
    axis, start, end, step = (integer(attributes, name) for name in ("axis", "start", "end", "step"))
    need_axis(axis, kind.rank)
    if step < 1 or not 0 <= start < end <= kind.shape[axis]:
        refuse(f"slice {start}:{end}:{step} of an axis of {kind.shape[axis]}")
    shape = list(kind.shape)
    shape[axis] = len(range(start, end, step))
    return (TensorType(kind.dtype, tuple(shape)),)


def _slice(call: Call) -> Array:
    cut = slice(call.int("start"), call.int("end"), call.int("step"))
    return call.arrays[0][(slice(None),) * (call.int("axis") + call.leads[0]) + (cut,)]


def _cat_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    first, axis = inputs[0], integer(attributes, "axis")
    need_axis(axis, first.rank)
    rest = first.shape[:axis] + first.shape[axis + 1 :]
    for kind in inputs[1:]:
        if kind.dtype != first.dtype or kind.rank != first.rank or kind.shape[:axis] + kind.shape[axis + 1 :] != rest:
            refuse(f"{first} and {kind} do not join along axis {axis}")
    length = sum(kind.shape[axis] for kind in inputs)
    return (TensorType(first.dtype, (*first.shape[:axis], length, *first.shape[axis + 1 :])),)


def _cat(call: Call) -> Array:
    parts = [call.full(position) for position in range(len(call.arrays))]
    return np.concatenate(parts, axis=call.int("axis") - call.inputs[0].rank)


def _pad_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    (kind,), before, after = inputs, ints(attributes, "before"), ints(attributes, "after")
    if len(before) != kind.rank or len(after) != kind.rank or min((*before, *after), default=0) < 0:
        refuse(f"padding needs {kind.rank} sizes of 0 or more before and after")
    fits = {"bool": bool, "int64": int}.get(kind.dtype, float)
    if type(attributes["value"]) is not fits:
        refuse(f"a value for {kind.dtype} must be of kind {fits.__name__}")
    sizes = zip(before, kind.shape, after, strict=True)
    return (TensorType(kind.dtype, tuple(sum(size) for size in sizes)),)


def _pad(call: Call) -> Array:
    (array,), lead = call.arrays, call.leads[0]
    widths = [(0, 0)] * lead + list(zip(call.ints("before"), call.ints("after"), strict=True))
    value = np.asarray(call.attributes["value"]).astype(array.dtype)
    return np.pad(array, widths, constant_values=value) if widths else array


def _flip_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    need_axes(ints(attributes, "axes"), inputs[0].rank)
    return (inputs[0],)


def _flip(call: Call) -> Array:
    return np.flip(call.arrays[0], axis=tuple(axis + call.leads[0] for axis in call.ints("axes")))


SHAPE = (
    Operation(
        "view",
        "aten.view",
        "shape",
        "the same elements in row-major order under another shape",
        _MOVES,
        1,
        _view_types,
        _view,
        no_flops,
        attributes={"shape": "ints"},
    ),
    Operation(
        "permute",
        "aten.permute",
        "shape",
        "the axes in another order",
        _MOVES,
        1,
        _permute_types,
        _permute,
        no_flops,
        attributes={"axes": "ints"},
    ),
    Operation(
        "expand",
        "aten.expand",
        "shape",
        "axes of size 1, and missing ones in front, repeated",
        _MOVES,
        1,
        _expand_types,
        _expand,
        no_flops,
        attributes={"shape": "ints"},
    ),
    Operation(
        "slice",
        "aten.slice.Tensor",
        "shape",
        "each step-th element of an axis from start to below end",
        _MOVES,
        1,
        _slice_types,
        _slice,
        no_flops,
        attributes={"axis": "int", "start": "int", "end": "int", "step": "int"},
    ),
    Operation(
        "cat",
        "aten.cat",
        "shape",
        "values joined along an axis",
        _MOVES,
        None,
        _cat_types,
        _cat,
        no_flops,
        attributes={"axis": "int"},
    ),
    Operation(
        "pad",
        "aten.constant_pad_nd",
        "shape",
        "one number put before and after, axis by axis",
        _MOVES,
        1,
        _pad_types,
        _pad,
        no_flops,
        attributes={"before": "ints", "after": "ints", "value": "number"},
    ),
    Operation(
        "flip",
        "aten.flip",
        "shape",
        "axes in reverse",
        _MOVES,
        1,
        _flip_types,
        _flip,
        no_flops,
        attributes={"axes": "ints"},
    ),
)
"""This family's part of the table."""
