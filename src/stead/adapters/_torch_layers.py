"""From ATen calls to steps of the table: products, convolutions, pooling, norms, softmax, indexing."""
# ruff: noqa: FBT001, FBT002, FBT003, PLR0913, PLR0917, ARG001  # the signatures are ATen's

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from stead.adapters._torch_lower import Number, Results, Rule, axis_of, operand, refuse
from stead.plans.builder import ProgramBuilder, Value
from stead.plans.program import TensorType


def _spread(sizes: Sequence[int] | int, axes: int) -> tuple[int, ...]:
    """One size for each axis, where ATen takes one for all."""
    given = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    return given * axes if len(given) == 1 else given


def _product(op: str) -> Rule:
    def rule(b: ProgramBuilder, kind: TensorType, x: Value, y: Value) -> Value:
        return b.add(op, x, y)

    return rule


def _add_product(op: str) -> Rule:
    def rule(
        b: ProgramBuilder, kind: TensorType, bias: Value, x: Value, y: Value, beta: Number = 1, alpha: Number = 1
    ) -> Value:
        product = b.add(op, x, y)
        if alpha != 1:
            product = b.add("mul", product, b.like(product, alpha))
        if beta != 1:
            bias = b.add("mul", bias, b.like(bias, beta))
        return b.add("add", product, bias)

    return rule


def _dot(b: ProgramBuilder, kind: TensorType, x: Value, y: Value) -> Value:
    return b.sum(b.add("mul", x, y), (x.type.rank - 1,), keep=False)


def _convolution(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    extra: Sequence[int],
    groups: int,
) -> Value:
    axes = x.type.rank - 2
    sizes = {"stride": _spread(stride, axes), "padding": _spread(padding, axes), "dilation": _spread(dilation, axes)}
    if transposed:
        result = b.add("convolution_transpose", x, weight, **sizes, groups=groups, extra=_spread(extra, axes))
    else:
        result = b.add("convolution", x, weight, **sizes, groups=groups)
    return result if bias is None else b.add("add", result, b.view(bias, (bias.shape[0], *(1,) * axes)))


def _convolution_backward(
    b: ProgramBuilder,
    kind: TensorType,
    gradient: Value,
    x: Value,
    weight: Value,
    _bias_sizes: object,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    extra: Sequence[int],
    groups: int,
    mask: Sequence[bool],
) -> Results:
    axes = x.type.rank - 2
    sizes = {"stride": _spread(stride, axes), "padding": _spread(padding, axes), "dilation": _spread(dilation, axes)}
    of_x = of_weight = of_bias = None
    if mask[0] and transposed:
        of_x = b.add("convolution", gradient, weight, **sizes, groups=groups)
    elif mask[0]:
        rows = zip(
            x.shape[2:],
            gradient.shape[2:],
            weight.shape[2:],
            sizes["stride"],
            sizes["padding"],
            sizes["dilation"],
            strict=True,
        )
        more = tuple(n - ((out - 1) * step - 2 * pad + gap * (k - 1) + 1) for n, out, k, step, pad, gap in rows)
        of_x = b.add("convolution_transpose", gradient, weight, **sizes, groups=groups, extra=more)
    if mask[1]:
        images, other = (gradient, x) if transposed else (x, gradient)
        of_weight = b.add("convolution_weight_grad", images, other, **sizes, groups=groups, size=weight.shape[2:])
    if mask[2]:
        of_bias = b.sum(gradient, (0, *range(2, axes + 2)), keep=False)
    return of_x, of_weight, of_bias


def _four(b: ProgramBuilder, x: Value) -> Value:
    return x if x.type.rank == 4 else b.view(x, (1, *x.shape))


def _max_pool(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] | int = 0,
    dilation: Sequence[int] | int = 1,
    ceil_mode: bool = False,
) -> Results:
    if ceil_mode:
        raise refuse("pooling with ceil_mode is not in the table.", "use padding instead")
    values, places = b.add_all(
        "max_pool2d_with_indices",
        (_four(b, x),),
        {
            "size": _spread(size, 2),
            "stride": _spread(stride or size, 2),
            "padding": _spread(padding, 2),
            "dilation": _spread(dilation, 2),
        },
    )
    return b.view(values, kind.shape), b.view(places, kind.shape)


def _max_pool_backward(b: ProgramBuilder, kind: TensorType, gradient: Value, x: Value, *rest: Any) -> Value:
    indices = rest[-1]
    lead = math.prod(x.shape[:-2])
    zeros = b.full((lead, x.shape[-2] * x.shape[-1]), 0, x.dtype)
    flat = (lead, gradient.type.elements // lead)
    places, source = b.view(indices, flat), b.view(gradient, flat)
    return b.view(b.add("scatter_add", zeros, places, source, axis=1), x.shape)


def _need_plain_average(ceil_mode: bool, divisor: int | None) -> None:
    if ceil_mode or divisor is not None:
        raise refuse("average pooling with ceil_mode or divisor_override is not in the table.", "use padding instead")


def _ones_over(b: ProgramBuilder, x: Value, size: tuple[int, ...], sizes: dict[str, tuple[int, ...]]) -> Value:
    """How many elements of the image itself each window holds."""
    ones, kernel = b.full((1, 1, *x.shape[-2:]), 1, x.dtype), b.full((1, 1, *size), 1, x.dtype)
    return b.add("convolution", ones, kernel, **sizes, dilation=(1, 1), groups=1)


def _average_pool(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] | int = 0,
    ceil_mode: bool = False,
    count_padding: bool = True,
    divisor: int | None = None,
) -> Value:
    _need_plain_average(ceil_mode, divisor)
    kernel = _spread(size, 2)
    sizes = {"stride": _spread(stride or size, 2), "padding": _spread(padding, 2)}
    result = b.add("avg_pool2d", _four(b, x), size=kernel, **sizes)
    if not count_padding and any(sizes["padding"]):
        total = b.add("mul", result, b.like(result, math.prod(kernel)))
        result = b.add("div", total, _ones_over(b, x, kernel, sizes))
    return b.view(result, kind.shape)


def _average_pool_backward(
    b: ProgramBuilder,
    kind: TensorType,
    gradient: Value,
    x: Value,
    size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_padding: bool,
    divisor: int | None,
) -> Value:
    _need_plain_average(ceil_mode, divisor)
    kernel = _spread(size, 2)
    sizes = {"stride": _spread(stride or size, 2), "padding": _spread(padding, 2)}
    counts = b.like(x, math.prod(kernel))
    if not count_padding and any(sizes["padding"]):
        counts = _ones_over(b, x, kernel, sizes)
    images = b.view(gradient, (math.prod(gradient.shape[:-2]), 1, *gradient.shape[-2:]))
    rows = zip(x.shape[-2:], gradient.shape[-2:], kernel, sizes["stride"], sizes["padding"], strict=True)
    more = tuple(n - ((out - 1) * step - 2 * pad + k) for n, out, k, step, pad in rows)
    ones = b.full((1, 1, *kernel), 1, x.dtype)
    spread = b.add(
        "convolution_transpose", b.add("div", images, counts), ones, **sizes, dilation=(1, 1), groups=1, extra=more
    )
    return b.view(spread, x.shape)


def _adaptive_sizes(spatial: Sequence[int], places: Sequence[int]) -> tuple[int, ...]:
    if any(size % count for size, count in zip(spatial, places, strict=True)):
        raise refuse("adaptive pooling to a size that does not divide the image is not in the table.")
    return tuple(size // count for size, count in zip(spatial, places, strict=True))


def _adaptive_pool(b: ProgramBuilder, kind: TensorType, x: Value, places: Sequence[int]) -> Value:
    return _average_pool(b, kind, x, _adaptive_sizes(x.shape[-2:], _spread(places, 2)))


def _adaptive_pool_backward(b: ProgramBuilder, kind: TensorType, gradient: Value, x: Value) -> Value:
    sizes = _adaptive_sizes(x.shape[-2:], gradient.shape[-2:])
    return _average_pool_backward(b, kind, gradient, x, sizes, sizes, (0, 0), False, True, None)


def _scale(b: ProgramBuilder, x: Value, weight: Value | None, bias: Value | None, shape: tuple[int, ...]) -> Value:
    if weight is not None:
        x = b.add("mul", x, b.view(weight, shape))
    return x if bias is None else b.add("add", x, b.view(bias, shape))


def _normal(b: ProgramBuilder, x: Value, axes: tuple[int, ...], epsilon: float) -> tuple[Value, Value, Value]:
    """Give x with mean 0 and variance 1 over axes, the mean and 1 / the deviation."""
    mean = b.mean(x, axes, keep=True)
    centred = b.add("sub", x, mean)
    variance = b.mean(b.add("mul", centred, centred), axes, keep=True)
    inverse = b.add("rsqrt", b.add("add", variance, b.like(variance, epsilon)))
    return b.add("mul", centred, inverse), mean, inverse


def _layer_norm(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    shape: Sequence[int],
    weight: Value | None,
    bias: Value | None,
    epsilon: float,
) -> Results:
    rank = x.type.rank
    result, mean, inverse = _normal(b, x, tuple(range(rank - len(shape), rank)), epsilon)
    return _scale(b, result, weight, bias, tuple(shape)), mean, inverse


def _group_norm(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    count: int,
    channels: int,
    _size: int,
    groups: int,
    epsilon: float,
) -> Results:
    split = b.view(x, (count, groups, x.type.elements // (count * groups)))
    result, mean, inverse = _normal(b, split, (2,), epsilon)
    shape = (channels, *(1,) * (x.type.rank - 2))
    scaled = _scale(b, b.view(result, x.shape), weight, bias, shape)
    return scaled, b.view(mean, (count, groups)), b.view(inverse, (count, groups))


def _batch_norm(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value | None,
    variance: Value | None,
    _momentum: float,
    epsilon: float,
) -> Results:
    if mean is None or variance is None:
        raise refuse("batch norm without running statistics mixes examples.", "use group norm or layer norm")
    shape = (x.shape[1], *(1,) * (x.type.rank - 2))
    inverse = b.add("rsqrt", b.add("add", variance, b.like(variance, epsilon)))
    centred = b.add("sub", x, b.view(mean, shape))
    scaled = b.add("mul", centred, b.view(inverse, shape))
    return _scale(b, scaled, weight, bias, shape), None, None


def _native_batch_norm(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value | None,
    variance: Value | None,
    training: bool,
    momentum: float,
    epsilon: float,
) -> Results:
    if training:
        raise refuse(
            "batch norm in training mode mixes examples.",
            "trace after module.eval(), or use GroupNorm (one group for each channel: instance norm)",
        )
    return _batch_norm(b, kind, x, weight, bias, mean, variance, momentum, epsilon)


def _log_softmax(b: ProgramBuilder, kind: TensorType, x: Value, axis: int, _half: bool = False) -> Value:
    if not x.type.rank:
        return b.add("sub", x, x)
    axes = (axis_of(axis, x.type.rank),)
    shifted = b.add("sub", x, b.add("amax", x, axes=axes, keep=True))
    return b.add("sub", shifted, b.add("log", b.sum(b.add("exp", shifted), axes, keep=True)))


def _softmax(b: ProgramBuilder, kind: TensorType, x: Value, axis: int, _half: bool = False) -> Value:
    axes = (axis_of(axis, x.type.rank),)
    powers = b.add("exp", b.add("sub", x, b.add("amax", x, axes=axes, keep=True)))
    return b.add("div", powers, b.sum(powers, axes, keep=True))


def _gelu(b: ProgramBuilder, kind: TensorType, x: Value, approximate: str = "none") -> Value:
    half = b.add("mul", x, b.like(x, 0.5))
    if approximate == "tanh":
        cube = b.add("mul", b.add("mul", x, x), x)
        inner = b.add("add", x, b.add("mul", cube, b.like(x, 0.044715)))
        curve = b.add("tanh", b.add("mul", inner, b.like(x, math.sqrt(2 / math.pi))))
    else:
        curve = b.add("erf", b.add("mul", x, b.like(x, math.sqrt(0.5))))
    return b.add("mul", half, b.add("add", curve, b.like(x, 1)))


def _wrapped(b: ProgramBuilder, index: Value, size: int) -> Value:
    """An index that may count from the end, as one from the start."""
    below = b.add("lt", index, b.like(index, 0))
    return b.add("where", below, b.add("add", index, b.like(index, size)), index)


def _flat(b: ProgramBuilder, index: Value) -> Value:
    return b.view(b.cast(index, "int64"), (index.type.elements,))


def _embedding(b: ProgramBuilder, kind: TensorType, weight: Value, index: Value, *_: Any) -> Value:
    return b.view(b.add("index_select", weight, _flat(b, index), axis=0), kind.shape)


def _embedding_backward(
    b: ProgramBuilder, kind: TensorType, gradient: Value, index: Value, rows: int, padding: int, by_frequency: bool
) -> Value:
    if by_frequency:
        raise refuse("an embedding with scale_grad_by_freq is not in the table.")
    flat = _flat(b, index)
    if padding >= 0:  # a row outside is dropped
        flat = b.add("where", b.add("eq", flat, b.like(flat, padding)), b.like(flat, -1), flat)
    width = gradient.shape[-1]
    source = b.view(gradient, (flat.shape[0], width))
    return b.add("index_add", b.full((rows, width), 0, gradient.dtype), flat, source, axis=0)


def _one_index(indices: Sequence[Value | None]) -> tuple[int, Value]:
    found = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if len(found) != 1 or found[0][1].dtype != "int64":
        raise refuse("indexing with several tensors, or with a mask, is not in the table.", "use gather or where")
    return found[0]


def _index(b: ProgramBuilder, kind: TensorType, x: Value, indices: Sequence[Value | None]) -> Value:
    axis, index = _one_index(indices)
    flat = _wrapped(b, _flat(b, index), x.shape[axis])
    return b.view(b.add("index_select", x, flat, axis=axis), kind.shape)


def _index_put(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    indices: Sequence[Value | None],
    source: Value,
    accumulate: bool = False,
    *_: Any,
) -> Value:
    axis, index = _one_index(indices)
    if not accumulate:
        raise refuse("writing to places given by a tensor is not in the table.", "use scatter_add or where")
    flat = _wrapped(b, _flat(b, index), x.shape[axis])
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    whole = b.view(b.add("expand", source, shape=shape), (*x.shape[:axis], flat.shape[0], *x.shape[axis + 1 :]))
    return b.add("index_add", x, flat, whole, axis=axis)


def _index_select(b: ProgramBuilder, kind: TensorType, x: Value, axis: int, index: Value) -> Value:
    return b.add("index_select", x, _flat(b, index), axis=axis_of(axis, x.type.rank))


def _index_add(
    b: ProgramBuilder, kind: TensorType, x: Value, axis: int, index: Value, source: Value, alpha: Number = 1
) -> Value:
    if alpha != 1:
        source = b.add("mul", source, b.like(source, alpha))
    return b.add("index_add", x, _flat(b, index), source, axis=axis_of(axis, x.type.rank))


def _gather(b: ProgramBuilder, kind: TensorType, x: Value, axis: int, index: Value, *_: Any, **__: Any) -> Value:
    return b.add("gather", x, index, axis=axis_of(axis, x.type.rank))


def _scatter_add(b: ProgramBuilder, kind: TensorType, x: Value, axis: int, index: Value, source: Value) -> Value:
    return b.add("scatter_add", x, index, source, axis=axis_of(axis, x.type.rank))


def _scatter(b: ProgramBuilder, kind: TensorType, x: Value, axis: int, index: Value, source: Value | Number) -> Value:
    """One place written for each row: the axis' positions compared with the index."""
    axis, rank = axis_of(axis, x.type.rank), x.type.rank
    if index.shape != tuple(1 if at == axis else size for at, size in enumerate(x.shape)):
        raise refuse("writing to several places of a row is not in the table.", "use scatter_add")
    places = b.add("arange", start=0, end=x.shape[axis], step=1)
    along = b.view(places, tuple(x.shape[axis] if at == axis else 1 for at in range(rank)))
    return b.add("where", b.add("eq", along, index), operand(b, x.dtype, source), x)


LAYERS: Mapping[str, Rule] = MappingProxyType(
    {
        "mm.default": _product("mm"),
        "bmm.default": _product("bmm"),
        "addmm.default": _add_product("mm"),
        "baddbmm.default": _add_product("bmm"),
        "dot.default": _dot,
        "mv.default": _dot,
        "convolution.default": _convolution,
        "convolution_backward.default": _convolution_backward,
        "max_pool2d_with_indices.default": _max_pool,
        "max_pool2d_with_indices_backward.default": _max_pool_backward,
        "avg_pool2d.default": _average_pool,
        "avg_pool2d_backward.default": _average_pool_backward,
        "_adaptive_avg_pool2d.default": _adaptive_pool,
        "_adaptive_avg_pool2d_backward.default": _adaptive_pool_backward,
        "native_layer_norm.default": _layer_norm,
        "native_group_norm.default": _group_norm,
        "native_batch_norm.default": _native_batch_norm,
        "_native_batch_norm_legit_no_training.default": _batch_norm,
        "_log_softmax.default": _log_softmax,
        "_softmax.default": _softmax,
        "gelu.default": _gelu,
        "embedding.default": _embedding,
        "embedding_dense_backward.default": _embedding_backward,
        "index.Tensor": _index,
        "index_put.default": _index_put,
        "_unsafe_index_put.default": _index_put,
        "_unsafe_index.Tensor": _index,
        "index_select.default": _index_select,
        "index_add.default": _index_add,
        "gather.default": _gather,
        "scatter_add.default": _scatter_add,
        "scatter.value": _scatter,
        "scatter.src": _scatter,
    }
)
"""ATen overload (without ``aten.``) to rule."""
