"""Rules of convolutions, what their gradients need, and pooling.

Examples are merged into the images of one convolution, or, where the weights differ by example, into its groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from stead.mpc.fixed import Secret
from stead.mpc.forms import Form, conv2d, conv2d_input_grad, conv2d_weight_grad
from stead.mpc.kernels.window import Window
from stead.mpc.ranges import ANYWHERE, Interval, comparison_bits
from stead.mpc.rules.call import Call, Held, Rule
from stead.mpc.rules.tournament import Round, carried, champion, returned
from stead.mpc.shares import Share, stack
from stead.mpc.values import Array, Value, bilinear, moved, multiply, numbers, reshaped
from stead.plans.ops.windows import Window as PoolWindow
from stead.plans.ops.windows import cut


def _window(call: Call, axes: int, groups: int) -> Window:
    if axes > 2:
        raise call.refuse(f"has {axes} spatial axes; 1 or 2 are supported on shares.")
    given = (call.ints("stride"), call.ints("padding"), call.ints("dilation"))
    return Window(*given, groups=groups).flat()


def _flat(value: Value, axes: int) -> Value:
    """With two spatial axes."""
    return value if axes == 2 else reshaped(value, (*value.shape[:-1], 1, value.shape[-1]))


def _in_images(value: Value, lead: int) -> Value:
    """Examples as further images."""
    return reshaped(value, (-1, *value.shape[2:])) if lead else value


def _in_channels(value: Value) -> Value:
    """(B, N, C, ...) as (N, B C, ...)."""
    return moved(value, lambda array: array.swapaxes(0, 1).reshape(array.shape[1], -1, *array.shape[3:]))


def _out_of_channels(value: Secret, examples: int) -> Secret:
    split = reshaped(value, (value.shape[0], examples, -1, *value.shape[2:]))
    return moved(split, lambda array: array.swapaxes(0, 1))


def _shaped(call: Call, value: Secret) -> Held:
    lead = () if call.total else call.lead
    return reshaped(value, lead + call.outputs[0].shape)


def _convolution(call: Call) -> Held:
    axes, groups = call.inputs[1].rank - 2, call.int("groups")
    images, weight = _flat(call.value(0), axes), _flat(call.value(1), axes)
    if not call.leads[1]:
        form = conv2d(_window(call, axes, groups))
        return _shaped(call, bilinear(call.p, form, _in_images(images, call.leads[0]), weight))
    images, examples = _flat(call.full(0), axes), call.lead[0]
    form = conv2d(_window(call, axes, groups * examples))
    merged = reshaped(weight, (-1, *weight.shape[2:]))
    return _shaped(call, _out_of_channels(bilinear(call.p, form, _in_channels(images), merged), examples))


def _transpose(call: Call) -> Held:
    axes, groups = call.inputs[1].rank - 2, call.int("groups")
    images, weight = _flat(call.value(0), axes), _flat(call.value(1), axes)
    spatial = call.outputs[0].shape[2:]
    size = (spatial[0], spatial[1]) if axes == 2 else (1, spatial[0])
    if not call.leads[1]:
        form = conv2d_input_grad(_window(call, axes, groups), size)
        return _shaped(call, bilinear(call.p, form, _in_images(images, call.leads[0]), weight))
    images, examples = _flat(call.full(0), axes), call.lead[0]
    form = conv2d_input_grad(_window(call, axes, groups * examples), size)
    merged = reshaped(weight, (-1, *weight.shape[2:]))
    return _shaped(call, _out_of_channels(bilinear(call.p, form, _in_channels(images), merged), examples))


def _weight_grad(call: Call) -> Held:
    size = call.ints("size")
    axes, groups, lead = len(size), call.int("groups"), len(call.lead)
    images, gradient = _flat(call.full(0), axes), _flat(call.full(1), axes)
    kernel = (size[0], size[1]) if axes == 2 else (1, size[0])
    if call.total or not lead:
        form: Form = conv2d_weight_grad(_window(call, axes, groups), kernel)
        return _shaped(call, bilinear(call.p, form, _in_images(images, lead), _in_images(gradient, lead)))
    form = conv2d_weight_grad(_window(call, axes, groups * call.lead[0]), kernel)
    return _shaped(call, bilinear(call.p, form, _in_channels(images), _in_channels(gradient)))


def _average(call: Call) -> Held:
    size = call.ints("size")
    window = PoolWindow(size, call.ints("stride"), call.ints("padding"), (1,) * len(size))
    x = numbers(call.p, call.value(0))
    sums = x.share.map(lambda part: np.asanyarray(cut(part, window, 0.0).sum(axis=(-2, -1), dtype=np.uint64)))
    return multiply(call.p, Secret(sums, x.scale), np.asarray(1.0 / (size[0] * size[1])))


@dataclass(frozen=True, repr=False)
class Winners:
    """Where the largest elements of windows stand: games within rows, then between them. Only fused steps read it.

    Attributes:
        shape: of the index that it stands for.
        across: the games within each row of a window.
        down: the games between rows.
        columns: (places, window) which column each place of a window reads; rows likewise.
        rows: see ``columns``.
        images: height and width.
    """

    shape: tuple[int, ...]
    across: list[Round]
    down: list[Round]
    columns: Array
    rows: Array
    images: tuple[int, int]

    def __repr__(self) -> str:
        return f"Winners(shape={self.shape}, <redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a share cannot be pickled")


def _reads(length: int, axis: int, call: Call) -> Array:
    """Which elements along an axis each window reads; one in the padding gives way to the first that is not."""
    size, step, pad, gap = (call.ints(name)[axis] for name in ("size", "stride", "padding", "dilation"))
    count = (length + 2 * pad - gap * (size - 1) - 1) // step + 1
    at = np.arange(count)[:, None] * step - pad + np.arange(size)[None, :] * gap
    inside = (at >= 0) & (at < length)
    if not inside.any(axis=1).all():
        raise call.refuse("has a window that holds padding only.")
    first = np.take_along_axis(at, inside.argmax(axis=1)[:, None], axis=1)
    return np.where(inside, at, first)


def _entrants(share: Share, reads: Array, axis: int) -> Share:
    return stack([share.map(lambda part, at=at: np.take(part, at, axis=axis)) for at in reads.T])  # type: ignore[misc]


def _max_pool(call: Call) -> tuple[Held, ...]:
    x = numbers(call.p, call.value(0))
    height, width = x.shape[-2:]
    low, high = call.intervals[0]
    apart = Interval(low - high, high - low) if call.intervals[0] else ANYWHERE
    bits = comparison_bits(apart, x.scale)
    columns, rows = _reads(width, 1, call), _reads(height, 0, call)
    best, across = champion(call.p, _entrants(x.share, columns, -1), bits)
    best, down = champion(call.p, _entrants(best, rows, -2), bits)
    winners = Winners(best.shape, across, down, columns, rows, (height, width))
    if not call.needed[1]:
        return Secret(best, x.scale), winners
    return Secret(best, x.scale), _indices(call, winners)


def _max_pool_winners(call: Call) -> tuple[Held, ...]:
    """The fused operation ``max_pool_with_winners``: the largest, and who won."""
    return _max_pool(replace(call, needed=(True, False)))


def _indices(call: Call, winners: Winners) -> Secret:
    """Where each champion stands in its image, row-major."""
    height, width = winners.images
    lead = winners.shape[:-2]
    column = np.broadcast_to(winners.columns.T[:, None, :], (winners.columns.shape[1], height, len(winners.columns)))
    row = np.arange(height)[None, :, None] * width
    labels = (row + column).astype(np.uint64).reshape(column.shape[0], *(1,) * len(lead), *column.shape[1:])
    spread = np.broadcast_to(labels, (column.shape[0], *lead, *column.shape[1:]))
    best = carried(call.p, winners.across, call.p.public(spread))
    return Secret(carried(call.p, winners.down, _entrants(best, winners.rows, -2)), 0)


def _max_pool_grad(call: Call) -> Held:
    """The fused operation ``max_pool_grad``: a gradient of the largest, given to where they stood."""
    winners = call.given[1]
    assert isinstance(winners, Winners)  # noqa: S101 - made by max_pool_with_winners
    gradient = numbers(call.p, call.full(0) if call.leads[1] else call.value(0))
    share = reshaped(gradient, winners.shape).share
    height, width = winners.images
    down = _gathered_back(returned(call.p, winners.down, share), winners.rows, -2, height)
    across = _gathered_back(returned(call.p, winners.across, down), winners.columns, -1, width)
    return Secret(across, gradient.scale)


def _gathered_back(entrants: Share, reads: Array, axis: int, length: int) -> Share:
    """What transposes ``_entrants``."""

    def spread(part: Array) -> Array:
        moved_part = np.moveaxis(part, axis, 1)  # (window, places, ...)
        out = np.zeros((length, *moved_part.shape[2:]), dtype=np.uint64)
        for place, elements in enumerate(reads):
            for element, at in enumerate(elements):
                out[at] += moved_part[element, place]
        return np.moveaxis(out, 0, axis)

    return entrants.map(spread)


CONVOLUTION: Mapping[str, Rule] = {
    "convolution": _convolution,
    "convolution_transpose": _transpose,
    "convolution_weight_grad": _weight_grad,
    "avg_pool2d": _average,
    "max_pool2d_with_indices": _max_pool,
    "max_pool_with_winners": _max_pool_winners,
    "max_pool_grad": _max_pool_grad,
}
"""Name to rule; the last two are made by ``fusion``."""
