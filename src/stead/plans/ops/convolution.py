"""Convolutions, what their gradients need, and pooling."""

from __future__ import annotations

import math

import numpy as np

from stead.plans.ops.operation import (
    Array,
    Attributes,
    Call,
    Operation,
    Types,
    integer,
    ints,
    need_float,
    refuse,
)
from stead.plans.ops.windows import Window, convolve, convolve_transposed, cut, largest, weight_gradient
from stead.plans.program import ITEM_BYTES, TensorType

_SUMS = "IEEE 754: a NaN gives NaN wherever a window holds it"
_MOST_SPATIAL = 3


def _window(size: tuple[int, ...], attributes: Attributes) -> Window:
    axes = len(size)
    gaps = ints(attributes, "dilation") if "dilation" in attributes else (1,) * axes
    window = Window(size, ints(attributes, "stride"), ints(attributes, "padding"), gaps)
    if not 1 <= axes <= _MOST_SPATIAL or any(
        len(part) != axes for part in (window.stride, window.padding, window.dilation)
    ):
        refuse("size, stride, padding and dilation need one number for each spatial axis, 1 to 3 of them")
    if min((*size, *window.stride, *window.dilation)) < 1 or min(window.padding) < 0:
        refuse("size, stride and dilation are 1 or more, padding is 0 or more")
    return window


def _need_images(kind: TensorType, axes: int) -> None:
    if kind.rank != axes + 2:
        refuse(f"needs images, channels and {axes} spatial axes; got {kind}")


def _places(window: Window, spatial: tuple[int, ...]) -> tuple[int, ...]:
    places = window.places(spatial)
    if min(places) < 1:
        refuse(f"a window of {list(window.size)} does not fit into {list(spatial)}")
    return places


def _groups(attributes: Attributes, *channels: int) -> int:
    groups = integer(attributes, "groups")
    if groups < 1 or any(count % groups for count in channels):
        refuse(f"{groups} groups do not divide the channels {list(channels)}")
    return groups


def _convolution_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    images, weight = inputs
    need_float(images, weight)
    window = _window(weight.shape[2:], attributes)
    _need_images(images, len(window.size))
    groups = _groups(attributes, images.shape[1], weight.shape[0])
    if weight.shape[1] * groups != images.shape[1]:
        refuse(f"{images} and the weight {weight} in {groups} groups do not fit")
    places = _places(window, images.shape[2:])
    return (TensorType(images.dtype, (images.shape[0], weight.shape[0], *places)),)


def _transpose_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    images, weight = inputs
    need_float(images, weight)
    window, extra = _window(weight.shape[2:], attributes), ints(attributes, "extra")
    _need_images(images, len(window.size))
    groups = _groups(attributes, images.shape[1])
    if weight.shape[0] != images.shape[1]:
        refuse(f"{images} and the weight {weight} do not fit")
    if len(extra) != len(window.size) or any(
        not 0 <= more < max(step, gap) for more, step, gap in zip(extra, window.stride, window.dilation, strict=True)
    ):
        refuse("extra needs one number for each spatial axis, from 0 to below stride or dilation")
    spatial = window.spread(images.shape[2:], extra)
    if min(spatial) < 1:
        refuse("padding takes everything away")
    return (TensorType(images.dtype, (images.shape[0], weight.shape[1] * groups, *spatial)),)


def _weight_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    images, gradient = inputs
    need_float(images, gradient)
    window = _window(ints(attributes, "size"), attributes)
    _need_images(images, len(window.size))
    _need_images(gradient, len(window.size))
    groups = _groups(attributes, images.shape[1], gradient.shape[1])
    if gradient.shape[0] != images.shape[0] or gradient.shape[2:] != _places(window, images.shape[2:]):
        refuse(f"{gradient} is not a gradient of windows over {images}")
    return (TensorType(images.dtype, (gradient.shape[1], images.shape[1] // groups, *window.size)),)


def _pool_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    (images,) = inputs
    need_float(images)
    window = _window(ints(attributes, "size"), attributes)
    _need_images(images, 2)
    if len(window.size) != 2 or any(2 * pad > size for pad, size in zip(window.padding, window.size, strict=True)):
        refuse("pooling has two spatial axes and pads at most half a window")
    return (TensorType(images.dtype, (*images.shape[:2], *_places(window, images.shape[2:]))),)


def _max_pool_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    (values,) = _pool_types(inputs, attributes)
    return (values, TensorType("int64", values.shape))


def _convolution_flops(inputs: Types, _attributes: Attributes, outputs: Types) -> int:
    return 2 * outputs[0].elements * math.prod(inputs[1].shape[1:])


def _transpose_flops(inputs: Types, _attributes: Attributes, _outputs: Types) -> int:
    return 2 * inputs[0].elements * math.prod(inputs[1].shape[1:])


def _weight_flops(inputs: Types, _attributes: Attributes, outputs: Types) -> int:
    return 2 * inputs[1].elements * math.prod(outputs[0].shape[1:])


def _pool_flops(_inputs: Types, attributes: Attributes, outputs: Types) -> int:
    return outputs[0].elements * math.prod(ints(attributes, "size"))


def _padded_bytes(kind: TensorType, padding: tuple[int, ...]) -> int:
    spatial = math.prod(n + 2 * pad for n, pad in zip(kind.shape[2:], padding, strict=True))
    return math.prod(kind.shape[:2]) * spatial * ITEM_BYTES[kind.dtype]


def _window_bytes(inputs: Types, attributes: Attributes, outputs: Types) -> int:
    """The padded images and one copy of all windows."""
    if "size" in attributes:
        size = ints(attributes, "size")
        places = inputs[1].shape[2:] if len(inputs) > 1 else outputs[0].shape[2:]
    else:
        size, places = inputs[1].shape[2:], outputs[0].shape[2:]
    images = inputs[0]
    windows = math.prod((*images.shape[:2], *places, *size)) * ITEM_BYTES[images.dtype]
    return _padded_bytes(images, ints(attributes, "padding")) + windows


def _spread_bytes(inputs: Types, attributes: Attributes, outputs: Types) -> int:
    images, weight = inputs
    windows = images.elements // images.shape[1] * outputs[0].shape[1] * math.prod(weight.shape[2:])
    return _padded_bytes(outputs[0], ints(attributes, "padding")) + windows * ITEM_BYTES[images.dtype]


def _call_window(call: Call, size: tuple[int, ...]) -> Window:
    return _window(size, call.attributes)


def _batched(array: Array, lead: int) -> Array:
    return array if lead else array[None]


def _convolution(call: Call) -> Array:
    images, weight = call.arrays
    if call.leads[1]:  # a weight for each example
        pairs = zip(call.full(0), weight, strict=True)
        window = _call_window(call, weight.shape[3:])
        return np.stack([convolve(a[None], w, window, call.int("groups"))[0] for a, w in pairs])
    window = _call_window(call, weight.shape[2:])
    result = convolve(_batched(images, call.leads[0]), weight, window, call.int("groups"))
    return result if call.leads[0] else result[0]


def _transpose(call: Call) -> Array:
    images, weight = call.arrays
    groups, extra = call.int("groups"), call.ints("extra")
    if call.leads[1]:
        pairs = zip(call.full(0), weight, strict=True)
        window = _call_window(call, weight.shape[3:])
        return np.stack([convolve_transposed(a[None], w, window, extra, groups)[0] for a, w in pairs])
    window = _call_window(call, weight.shape[2:])
    result = convolve_transposed(_batched(images, call.leads[0]), weight, window, extra, groups)
    return result if call.leads[0] else result[0]


def _weight(call: Call) -> Array:
    images, gradient = call.full(0), call.full(1)
    lead = len(call.lead)
    window = _call_window(call, call.ints("size"))
    result = weight_gradient(_batched(images, lead), _batched(gradient, lead), window, call.int("groups"))
    return result if lead else result[0]


def _average(call: Call) -> Array:
    window = _call_window(call, call.ints("size"))
    (array,) = call.arrays
    return np.asarray(cut(array, window, 0.0).mean(axis=(-2, -1), dtype=array.dtype))


def _largest(call: Call) -> tuple[Array, ...]:
    return largest(call.arrays[0], _call_window(call, call.ints("size")))


CONVOLUTION = (
    Operation(
        "convolution",
        "aten.convolution",
        "window",
        "sums over windows of images (N, C, …) with weights (O, C/groups, …)",
        _SUMS,
        2,
        _convolution_types,
        _convolution,
        _convolution_flops,
        _window_bytes,
        {"stride": "ints", "padding": "ints", "dilation": "ints", "groups": "int"},
    ),
    Operation(
        "convolution_transpose",
        "aten.convolution",
        "window",
        "a convolution backwards: each element spread over a window; also the gradient of a convolution's images",
        _SUMS,
        2,
        _transpose_types,
        _transpose,
        _transpose_flops,
        _spread_bytes,
        {"stride": "ints", "padding": "ints", "dilation": "ints", "groups": "int", "extra": "ints"},
    ),
    Operation(
        "convolution_weight_grad",
        "aten.convolution_backward",
        "window",
        "the gradient of a convolution's weights of this size, from its images and its result's gradient",
        _SUMS,
        2,
        _weight_types,
        _weight,
        _weight_flops,
        _window_bytes,
        {"size": "ints", "stride": "ints", "padding": "ints", "dilation": "ints", "groups": "int"},
    ),
    Operation(
        "avg_pool2d",
        "aten.avg_pool2d",
        "window",
        "the mean of each window, padding counted as zeros",
        _SUMS,
        1,
        _pool_types,
        _average,
        _pool_flops,
        _window_bytes,
        {"size": "ints", "stride": "ints", "padding": "ints"},
    ),
    Operation(
        "max_pool2d_with_indices",
        "aten.max_pool2d_with_indices",
        "window",
        "the largest element of each window, and where in its image (row-major) it stands",
        "NaN counts as the largest; equal ones: the first",
        1,
        _max_pool_types,
        _largest,
        _pool_flops,
        _window_bytes,
        {"size": "ints", "stride": "ints", "padding": "ints", "dilation": "ints"},
    ),
)
"""This family's part of the table."""
