"""Operations that read or write at places given by an int64 value.

An index outside its axis (negative ones too) raises nothing: reading there gives NaN (0 for int64, false for bool), and
what would be written there is dropped.
"""

from __future__ import annotations

import numpy as np

from stead.plans.ops.operation import Array, Attributes, Call, Operation, Types, integer, need_axis, refuse
from stead.plans.program import TensorType

_READS = "an index outside the axis reads NaN (int64: 0, bool: false)"
_WRITES = "what an index outside the axis would write is dropped"


def _need_index(kind: TensorType) -> None:
    if kind.dtype != "int64":
        refuse(f"an index must be int64; got {kind.dtype}")


def _need_smaller(index: TensorType, value: TensorType, axis: int) -> None:
    sizes = zip(index.shape, value.shape, strict=True)
    if any(small > large for at, (small, large) in enumerate(sizes) if at != axis):
        refuse(f"the index {index} is larger than {value}")


def _gather_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    (value, index), axis = inputs, integer(attributes, "axis")
    _need_index(index)
    need_axis(axis, value.rank)
    if index.rank != value.rank:
        refuse(f"{value} and the index {index} have different numbers of axes")
    _need_smaller(index, value, axis)
    return (TensorType(value.dtype, index.shape),)


def _scatter_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    value, index, source = inputs
    _gather_types((value, index), attributes)
    if source.dtype != value.dtype or source.shape != index.shape or value.dtype == "bool":
        refuse(f"a source of type {source} for {value} and the index {index}")
    return (value,)


def _select_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    (value, index), axis = inputs, integer(attributes, "axis")
    _need_index(index)
    need_axis(axis, value.rank)
    if index.rank != 1:
        refuse("needs an index with one axis")
    return (TensorType(value.dtype, (*value.shape[:axis], index.shape[0], *value.shape[axis + 1 :])),)


def _index_add_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    value, index, source = inputs
    (taken,) = _select_types((value, index), attributes)
    if source != taken or value.dtype == "bool":
        refuse(f"a source of type {source} where {taken} is needed")
    return (value,)


def _per_source(inputs: Types, _attributes: Attributes, _outputs: Types) -> int:
    return inputs[2].elements


def _grid(index: Array, axis: int) -> tuple[Array, ...]:
    grid: list[Array] = list(np.indices(index.shape, sparse=True))
    grid[axis] = index
    return tuple(grid)


def _nothing(dtype: np.dtype[np.generic]) -> Array:
    return np.asarray(np.nan if dtype.kind == "f" else 0).astype(dtype)


def _gather(call: Call) -> Array:
    value, index = call.full(0), call.full(1)
    axis = call.int("axis") + len(call.lead)
    size = value.shape[axis]
    valid = (index >= 0) & (index < size)
    return np.where(valid, value[_grid(np.clip(index, 0, size - 1), axis)], _nothing(value.dtype))


def _scatter_add(call: Call) -> Array:
    value, index, source = (call.full(position) for position in range(3))
    axis = call.int("axis") + len(call.lead)
    size = value.shape[axis]
    valid = (index >= 0) & (index < size)
    result = value.copy()
    np.add.at(result, _grid(np.clip(index, 0, size - 1), axis), np.where(valid, source, source.dtype.type(0)))
    return result


def _spread(call: Call, rank: int) -> Array:
    """The one-axis index laid along its axis of a value with ``rank`` axes."""
    index, axis = call.arrays[1], call.int("axis")
    return index.reshape(index.shape[:-1] + (1,) * axis + index.shape[-1:] + (1,) * (rank - axis - 1))


def _index_select(call: Call) -> Array:
    value, axis = call.arrays[0], call.int("axis") + call.leads[0]
    size, index = value.shape[axis], call.arrays[1]
    valid = (index >= 0) & (index < size)
    bounded = np.clip(index, 0, size - 1)
    if call.leads == (1, 1):
        lead, rank = call.lead[0], call.inputs[0].rank
        whole = np.broadcast_to(_spread(call, rank), call.lead + call.outputs[0].shape)
        again = Call((value, whole), (1, 1), call.attributes, call.inputs, call.outputs)
        return _gather(again).reshape(lead, *call.outputs[0].shape)
    taken = np.take(value, bounded, axis=axis)
    shape = [1] * call.inputs[0].rank
    shape[call.int("axis")] = call.inputs[1].shape[0]
    if call.leads[1]:  # the examples' axis stands where the index's axes went in
        taken = np.moveaxis(taken, axis, 0)
        valid = valid.reshape(call.lead + tuple(shape))
    else:
        valid = valid.reshape(shape)
    return np.where(valid, taken, _nothing(value.dtype))


def _index_add(call: Call) -> Array:
    value, source = call.full(0), call.full(2)
    whole = np.broadcast_to(_spread(call, call.inputs[0].rank), source.shape)
    leads = (len(call.lead),) * 3
    return _scatter_add(Call((value, whole, source), leads, call.attributes, call.inputs, call.outputs))


INDEX = (
    Operation(
        "gather",
        "aten.gather",
        "index",
        "along an axis, the element that the index names at each place",
        _READS,
        2,
        _gather_types,
        _gather,
        attributes={"axis": "int"},
    ),
    Operation(
        "scatter_add",
        "aten.scatter_add",
        "index",
        "a, with each element of a source added where the index names a place along an axis",
        _WRITES,
        3,
        _scatter_types,
        _scatter_add,
        _per_source,
        attributes={"axis": "int"},
    ),
    Operation(
        "index_select",
        "aten.index_select",
        "index",
        "the slices of an axis that the index lists",
        _READS,
        2,
        _select_types,
        _index_select,
        attributes={"axis": "int"},
    ),
    Operation(
        "index_add",
        "aten.index_add",
        "index",
        "a, with slices of a source added to those the index lists",
        _WRITES,
        3,
        _index_add_types,
        _index_add,
        _per_source,
        attributes={"axis": "int"},
    ),
)
"""This family's part of the table."""
