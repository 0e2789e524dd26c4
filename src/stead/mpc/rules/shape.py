"""Rules of the operations that move elements and change none: all local."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stead.mpc.fixed import Secret
from stead.mpc.rules.call import Call, Held, Rule
from stead.mpc.shares import Bits
from stead.mpc.values import Array, add, flipped, joined, reshaped


def _view(call: Call) -> Held:
    return reshaped(call.value(0), call.lead + call.outputs[0].shape)


def _permute(call: Call) -> Held:
    lead = call.leads[0]
    order = (*range(lead), *(axis + lead for axis in call.ints("axes")))
    return call.move(lambda array: array.transpose(order))


def _expand(call: Call) -> Held:
    shape = call.lead + call.outputs[0].shape
    rank, lead = len(call.outputs[0].shape), call.leads[0]

    def stretch(array: Array) -> Array:
        missing = rank - (array.ndim - lead)
        return np.broadcast_to(array.reshape(array.shape[:lead] + (1,) * missing + array.shape[lead:]), shape)

    return call.move(stretch)


def _slice(call: Call) -> Held:
    cut = slice(call.int("start"), call.int("end"), call.int("step"))
    where = (slice(None),) * (call.int("axis") + call.leads[0]) + (cut,)
    return call.move(lambda array: array[where])


def _cat(call: Call) -> Held:
    axis = call.int("axis") - call.inputs[0].rank
    return joined([call.full(position) for position in range(len(call.given))], call.p, axis)


def _pad(call: Call) -> Held:
    lead = call.leads[0]
    widths = [(0, 0)] * lead + list(zip(call.ints("before"), call.ints("after"), strict=True))
    if not widths:
        return call.value(0)
    padded = call.move(lambda array: np.pad(array, widths))
    number = call.attributes["value"]
    if not number:
        return padded
    inside = call.value(0).shape
    frame = np.pad(np.zeros(inside, dtype=np.bool_), widths, constant_values=True)
    if isinstance(padded, Bits):
        return flipped(call.p, padded, frame)
    assert isinstance(padded, Secret)  # noqa: S101 - one input, and it is secret
    return add(call.p, padded, np.where(frame, np.asarray(number), np.zeros((), dtype=np.asarray(number).dtype)))


def _flip(call: Call) -> Held:
    axes = tuple(axis + call.leads[0] for axis in call.ints("axes"))
    return call.move(lambda array: np.flip(array, axis=axes))


SHAPE: Mapping[str, Rule] = {
    "view": _view,
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
    "cat": _cat,
    "pad": _pad,
    "flip": _flip,
}
"""Name to rule."""
