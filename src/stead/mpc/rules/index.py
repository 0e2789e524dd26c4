"""Rules of the operations that read or write at places. A secret place becomes a row of truths, one for each place.

An index outside its axis reads 0 (there is no NaN on shares), and what it would write is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from stead.mpc.fixed import Secret
from stead.mpc.forms import MATMUL
from stead.mpc.rules.call import Call, Held, Rule, truth
from stead.mpc.shares import Bits
from stead.mpc.values import (
    Array,
    Value,
    add,
    bilinear,
    equal,
    is_secret,
    moved,
    multiply,
    numbers,
    reshaped,
    truths,
    where,
)

MOST_PLACES = 1 << 24
"""The most truths that one step with a secret index may make."""


def _places(call: Call, index: Value, size: int) -> Bits:
    """For each secret index and each place of the axis whether it is the one; the places' axis is last."""
    if math.prod(index.shape) * size > MOST_PLACES:
        raise call.refuse(
            f"has {math.prod(index.shape):,} secret indices into an axis of {size:,}: over {MOST_PLACES:,} tests.",
            "make the index public, or give the rows already selected",
        )
    return equal(call.p, reshaped(index, (*index.shape, 1)), np.arange(size, dtype=np.int64))


def _axis_last(value: Value, axis: int) -> Value:
    return moved(value, lambda array: np.moveaxis(array, axis, -1))


def _gather(call: Call) -> Held:
    value, index = call.full(0), call.full(1)
    return _gathered(call, value, index, call.int("axis") + len(call.lead))


def _gathered(call: Call, value: Value, index: Value, axis: int) -> Held:
    if not is_secret(index):
        places = np.asarray(index)
        size = value.shape[axis]
        inside = (places >= 0) & (places < size)
        grid = _grid(np.clip(places, 0, size - 1), axis)
        return where(call.p, inside, moved(value, lambda array: array[grid]), _nothing(value))
    found = _places(call, index, value.shape[axis])
    cut = tuple(slice(None) if at == axis else slice(size) for at, size in enumerate(index.shape))
    table = _axis_last(moved(value, lambda array: array[cut]), axis)
    rows = moved(found, lambda array: np.moveaxis(array, axis, -2))  # (..., index, places)
    spread = reshaped(table, (*table.shape[:-1], 1, table.shape[-1]))
    one = _picked(call, rows, spread)
    return moved(one, lambda array: np.moveaxis(array, -1, axis))


def _picked(call: Call, rows: Bits, table: Value) -> Value:
    if truth(table):
        ones = numbers(
            call.p,
            where(call.p, rows, numbers(call.p, table) if is_secret(table) else table, np.zeros((), dtype=np.bool_)),
        )
        picked = Secret(ones.share.map(_sum_last), ones.scale)
        return truths(call.p, picked)
    chosen = multiply(call.p, numbers(call.p, rows), table) if not is_secret(table) else multiply(call.p, rows, table)
    return Secret(chosen.share.map(_sum_last), chosen.scale)


def _sum_last(part: Array) -> Array:
    return np.asanyarray(part.sum(axis=-1, dtype=np.uint64))


def _nothing(value: Value) -> Array:
    return np.zeros((), dtype=np.bool_ if truth(value) else np.int64)


def _grid(index: Array, axis: int) -> tuple[Array, ...]:
    grid: list[Array] = list(np.indices(index.shape, sparse=True))
    grid[axis] = index
    return tuple(grid)


def _scatter_add(call: Call) -> Held:
    value, index, source = (call.full(position) for position in range(3))
    return _scattered(call, value, index, source, call.int("axis") + len(call.lead))


def _scattered(call: Call, value: Value, index: Value, source: Value, axis: int) -> Held:
    size = value.shape[axis]
    if not is_secret(index):
        return _scattered_publicly(call, value, np.asarray(index), numbers(call.p, source), axis)
    found = moved(_places(call, index, size), lambda array: np.moveaxis(array, axis, -1))  # (..., places, index)
    given = _axis_last(source, axis)
    spread = reshaped(given, (*given.shape[:-1], 1, given.shape[-1]))
    written = multiply(call.p, found if is_secret(source) else numbers(call.p, found), spread)
    sums = Secret(written.share.map(lambda part: np.moveaxis(_sum_last(part), -1, axis)), written.scale)
    widths = [(0, want - have) for want, have in zip(value.shape, sums.shape, strict=True)]
    return add(call.p, moved(sums, lambda array: np.pad(array, widths)), value)


def _scattered_publicly(call: Call, value: Value, index: Array, source: Secret, axis: int) -> Held:
    size = value.shape[axis]
    inside = (index >= 0) & (index < size)
    grid = _grid(np.clip(index, 0, size - 1), axis)

    def spread(part: Array) -> Array:
        out = np.zeros(value.shape, dtype=np.uint64)
        np.add.at(out, grid, np.asarray(np.where(inside, part, np.uint64(0))))
        return out

    return add(call.p, Secret(source.share.map(spread), source.scale), value)


def _spread_index(call: Call, rank: int) -> Value:
    """The one-axis index laid along its axis of a value with ``rank`` axes."""
    index, axis = call.value(1), call.int("axis")
    return reshaped(index, index.shape[:-1] + (1,) * axis + index.shape[-1:] + (1,) * (rank - axis - 1))


def _index_select(call: Call) -> Held:
    value, index, axis = call.value(0), call.value(1), call.int("axis")
    if is_secret(index) and call.leads[0] == 0 and not truth(value):
        return _looked_up(call, value, index, axis)
    if not is_secret(index) and call.leads[1] == 0:
        places = np.asarray(index)
        size = call.inputs[0].shape[axis]
        inside = (places >= 0) & (places < size)
        bounded, at = np.clip(places, 0, size - 1), axis + call.leads[0]
        shape = [1] * (call.inputs[0].rank - axis)
        shape[0] = len(places)
        taken = moved(value, lambda array: np.take(array, bounded, axis=at))
        return taken if inside.all() else where(call.p, inside.reshape(shape), taken, _nothing(value))
    whole_shape = call.lead + call.outputs[0].shape
    whole = moved(_spread_index(call, call.inputs[0].rank), lambda array: np.broadcast_to(array, whole_shape))
    return _gathered(call, call.full(0), whole, axis + len(call.lead))


def _looked_up(call: Call, table: Value, index: Value, axis: int) -> Held:
    """Rows of one table: truths times the table, as a matrix product."""
    size = table.shape[axis]
    found = numbers(call.p, _places(call, index, size))  # (..., n, places)
    front = moved(table, lambda array: np.moveaxis(array, axis, 0))
    rows = bilinear(call.p, MATMUL, reshaped(found, (-1, size)), reshaped(front, (size, -1)))
    lead = len(call.lead)
    split = reshaped(rows, (*index.shape, *front.shape[1:]))
    return moved(split, lambda array: np.moveaxis(array, lead, axis + lead))


def _index_add(call: Call) -> Held:
    value, source = call.full(0), call.full(2)
    whole = moved(_spread_index(call, call.inputs[0].rank), lambda array: np.broadcast_to(array, source.shape))
    index = call.value(1)
    axis = call.int("axis") + len(call.lead)
    if not is_secret(index):
        return _scattered(call, value, whole, source, axis)
    return _added_rows(call, value, index, source, axis)


def _added_rows(call: Call, value: Value, index: Value, source: Value, axis: int) -> Held:
    """The places' truths, transposed, times the source, as a matrix product."""
    size, lead = value.shape[axis], len(call.lead)
    found = numbers(call.p, _places(call, index, size))
    turned = moved(found, lambda array: array.swapaxes(-1, -2))  # (..., places, n)
    front = moved(source, lambda array: np.moveaxis(array, axis, lead))
    flat = reshaped(front, (*front.shape[: lead + 1], -1))
    rows = bilinear(call.p, MATMUL, turned, flat)
    split = reshaped(rows, (*rows.shape[:-1], *front.shape[lead + 1 :]))
    return add(call.p, moved(split, lambda array: np.moveaxis(array, lead, axis)), value)


INDEX: Mapping[str, Rule] = {
    "gather": _gather,
    "scatter_add": _scatter_add,
    "index_select": _index_select,
    "index_add": _index_add,
}
"""Name to rule."""
