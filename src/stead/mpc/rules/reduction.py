"""Rules of the operations that fold axes away."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.softmax import log_softmax, softmax
from stead.mpc.ranges import ANYWHERE, Interval, comparison_bits, function_bits
from stead.mpc.rules.call import Call, Held, Rule
from stead.mpc.rules.tournament import carried, champion
from stead.mpc.shares import Share
from stead.mpc.values import Array, fractional, numbers


def _axes(call: Call) -> tuple[int, ...]:
    return tuple(axis - call.inputs[0].rank for axis in call.ints("axes"))


def _sum(call: Call) -> Held:
    x, axes, keep = numbers(call.p, call.value(0)), _axes(call), call.flag("keep")

    def fold(part: Array) -> Array:
        whole = np.asanyarray(part.sum(axis=axes, keepdims=keep, dtype=np.uint64))
        return np.asanyarray(whole.sum(axis=0, dtype=np.uint64)) if call.total and call.leads[0] else whole

    return Secret(x.share.map(fold), x.scale)


def in_front(share: Share, axes: tuple[int, ...]) -> Share:
    """The axes to be folded as one, in front of the others, in row-major order."""

    def turn(part: Array) -> Array:
        at = sorted(axis % part.ndim for axis in axes)
        rest = [axis for axis in range(part.ndim) if axis not in at]
        moved = part.transpose(*at, *rest)
        return moved.reshape(-1, *(part.shape[axis] for axis in rest))

    return share.map(turn)


def _kept(call: Call, share: Share, axes: tuple[int, ...]) -> Share:
    if not call.flag("keep"):
        return share
    rank = len(call.given[0].shape)
    where = tuple(sorted(axis % rank for axis in axes))
    return share.map(lambda part: np.expand_dims(part, where))


def _amax(call: Call) -> Held:
    x, axes = numbers(call.p, call.value(0)), _axes(call)
    bits = comparison_bits(_doubled(call), x.scale)
    best, _ = champion(call.p, in_front(x.share, axes), bits)
    return Secret(_kept(call, best, axes), x.scale)


def _doubled(call: Call) -> Interval:
    """Where differences of the input's numbers lie."""
    low, high = call.intervals[0]
    return Interval(low - high, high - low) if call.intervals[0] else ANYWHERE


def _argmax(call: Call) -> Held:
    x, axis = numbers(call.p, call.value(0)), call.int("axis") - call.inputs[0].rank
    entrants = in_front(x.share, (axis,))
    _, games = champion(call.p, entrants, comparison_bits(_doubled(call), x.scale))
    places = np.arange(entrants.shape[0], dtype=np.uint64).reshape(-1, *(1,) * (len(entrants.shape) - 1))
    where = carried(call.p, games, call.p.public(np.broadcast_to(places, entrants.shape)))
    return Secret(_kept(call, where, (axis,)), 0)


def _softmax(run: Callable[..., Secret]) -> Rule:
    def rule(call: Call) -> Held:
        axis = call.int("axis") - call.inputs[0].rank
        bits = function_bits(_doubled(call), FRACTION)
        return run(call.p, fractional(call.p, call.value(0)), axis, bits=bits)

    return rule


REDUCTION: Mapping[str, Rule] = {
    "sum": _sum,
    "amax": _amax,
    "argmax": _argmax,
    "softmax": _softmax(softmax),
    "log_softmax": _softmax(log_softmax),
}
"""Name to rule; the last two are made by ``fusion``."""
