"""From ATen calls to steps of the table: arithmetic, comparisons, reductions, shapes, creation.

Each rule takes the builder, the type that torch derived for the call's (first) result and the call's own arguments, in
ATen's order and with ATen's names. What a rule gives is compared with torch's type by the tracer.
"""
# ruff: noqa: FBT001, FBT002, PLR0913, PLR0917, ARG001  # the signatures are ATen's

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from stead.errors import UnsupportedOperation
from stead.plans.builder import ProgramBuilder, Value
from stead.plans.program import DType, TensorType

Number: TypeAlias = bool | int | float
Results: TypeAlias = Value | tuple[Value | None, ...]
Rule: TypeAlias = Callable[..., Results]

_ORDER: tuple[DType, ...] = ("bool", "int64", "float32", "float64")


def axis_of(axis: int, rank: int) -> int:
    """A possibly negative axis as ATen means it."""
    return axis + max(rank, 1) if axis < 0 else axis


def axes_of(axes: Sequence[int] | int | None, rank: int) -> tuple[int, ...]:
    """A list of axes as ATen means it: none given means all."""
    if isinstance(axes, int):
        axes = (axes,)
    return tuple(sorted(axis_of(axis, rank) for axis in axes)) if axes else tuple(range(rank))


def refuse(what: str, hint: str = "") -> UnsupportedOperation:
    """The error for a call that has no steps in the table."""
    return UnsupportedOperation(what, hint=hint)


def operand(b: ProgramBuilder, dtype: DType, value: Value | Number) -> Value:
    """A tensor or a number as a value of that dtype."""
    return b.cast(value, dtype) if isinstance(value, Value) else b.full((), value, dtype)


def _common(first: Value | Number, second: Value | Number) -> DType:
    """The dtype in which torch compares two operands."""
    tensors = [item for item in (first, second) if isinstance(item, Value)]
    if len(tensors) == 2:
        wide = [item for item in tensors if item.shape] or tensors
        kinds = [_ORDER.index(item.dtype) for item in tensors]
        ranked = max(_ORDER.index(item.dtype) for item in wide)
        return _ORDER[max(kinds)] if max(kinds) >= 2 > ranked else _ORDER[ranked]
    number = second if isinstance(first, Value) else first
    kind = "bool" if isinstance(number, bool) else "int64" if isinstance(number, int) else "float32"
    return _ORDER[max(_ORDER.index(tensors[0].dtype), _ORDER.index(kind))]


def _unary(op: str) -> Rule:
    def rule(b: ProgramBuilder, kind: TensorType, x: Value) -> Value:
        return b.add(op, b.cast(x, kind.dtype))

    return rule


def _same(b: ProgramBuilder, kind: TensorType, x: Value, *_: Any, **__: Any) -> Value:
    return x


def _binary(op: str) -> Rule:
    def rule(
        b: ProgramBuilder, kind: TensorType, x: Value | Number, y: Value | Number, alpha: Number = 1, **_: Any
    ) -> Value:
        right = operand(b, kind.dtype, y)
        if alpha != 1:
            right = b.add("mul", right, b.like(right, alpha))
        if kind.dtype == "bool" and op in ("mul", "add"):
            return b.add("logical_and" if op == "mul" else "logical_or", operand(b, "bool", x), right)
        return b.add(op, operand(b, kind.dtype, x), right)

    return rule


def _reversed(rule: Rule) -> Rule:
    def swapped(b: ProgramBuilder, kind: TensorType, x: Value, y: Value | Number, **more: Any) -> Results:
        return rule(b, kind, y, x, **more)

    return swapped


def _compare(op: str, *, swap: bool = False) -> Rule:
    def rule(b: ProgramBuilder, kind: TensorType, x: Value | Number, y: Value | Number) -> Value:
        dtype = _common(x, y)
        left, right = operand(b, dtype, x), operand(b, dtype, y)
        return b.add(op, right, left) if swap else b.add(op, left, right)

    return rule


def _logical(op: str, *, bits: bool = False) -> Rule:
    def rule(b: ProgramBuilder, kind: TensorType, *operands: Value | Number) -> Value:
        if bits and kind.dtype != "bool":
            raise refuse("bitwise operations on integers are not in the table.")
        return b.add(op, *(operand(b, "bool", item) for item in operands))

    return rule


def _div(b: ProgramBuilder, kind: TensorType, x: Value | Number, y: Value | Number, **more: Any) -> Value:
    if more.get("rounding_mode") is not None:
        raise refuse("a division that rounds is not in the table.")
    return b.add("div", operand(b, kind.dtype, x), operand(b, kind.dtype, y))


def _reciprocal(b: ProgramBuilder, kind: TensorType, x: Value) -> Value:
    value = b.cast(x, kind.dtype)
    return b.add("div", b.like(value, 1), value)


def _pow(b: ProgramBuilder, kind: TensorType, x: Value | Number, power: Value | Number) -> Value:
    base = operand(b, kind.dtype, x)
    if not isinstance(power, Value) and power in (1, 2, 3):
        result = base
        for _ in range(int(power) - 1):
            result = b.add("mul", result, base)
        return result
    if not isinstance(power, Value) and power == 0.5:
        return b.add("sqrt", base)
    return b.add("pow", base, operand(b, kind.dtype, power))


def _log_of(base: float) -> Rule:
    def rule(b: ProgramBuilder, kind: TensorType, x: Value) -> Value:
        natural = b.add("log", b.cast(x, kind.dtype))
        return b.add("mul", natural, b.like(natural, 1 / math.log(base)))

    return rule


def _clamp(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    least: Value | Number | None = None,
    most: Value | Number | None = None,
) -> Value:
    value = b.cast(x, kind.dtype)
    if least is not None:
        value = b.add("maximum", value, operand(b, kind.dtype, least))
    return value if most is None else b.add("minimum", value, operand(b, kind.dtype, most))


def _where(b: ProgramBuilder, kind: TensorType, test: Value, x: Value | Number, y: Value | Number) -> Value:
    return b.add("where", b.cast(test, "bool"), operand(b, kind.dtype, x), operand(b, kind.dtype, y))


def _is_nan(b: ProgramBuilder, kind: TensorType, x: Value) -> Value:
    return b.add("ne", x, x)


def _is_inf(b: ProgramBuilder, kind: TensorType, x: Value) -> Value:
    return b.add("eq", b.add("abs", x), b.like(x, float("inf")))


def _cast(b: ProgramBuilder, kind: TensorType, x: Value, *_: Any, **__: Any) -> Value:
    return b.cast(x, kind.dtype)


def _sum(
    b: ProgramBuilder, kind: TensorType, x: Value, axes: Sequence[int] | None = None, keep: bool = False, **_: Any
) -> Value:
    return b.sum(b.cast(x, kind.dtype), axes_of(axes, x.type.rank), keep=keep)


def _mean(
    b: ProgramBuilder, kind: TensorType, x: Value, axes: Sequence[int] | None = None, keep: bool = False, **_: Any
) -> Value:
    return b.mean(b.cast(x, kind.dtype), axes_of(axes, x.type.rank), keep=keep)


def _amax(
    b: ProgramBuilder, kind: TensorType, x: Value, axes: Sequence[int] | None = None, keep: bool = False
) -> Value:
    return b.add("amax", x, axes=axes_of(axes, x.type.rank), keep=keep)


def _amin(
    b: ProgramBuilder, kind: TensorType, x: Value, axes: Sequence[int] | None = None, keep: bool = False
) -> Value:
    return b.add("neg", _amax(b, kind, b.add("neg", x), axes, keep))


def _any(
    b: ProgramBuilder, kind: TensorType, x: Value, axes: Sequence[int] | int | None = None, keep: bool = False
) -> Value:
    found = b.sum(b.cast(x, "bool"), axes_of(axes, x.type.rank), keep=keep)
    return b.add("ne", found, b.like(found, 0))


def _argmax(b: ProgramBuilder, kind: TensorType, x: Value, axis: int | None = None, keep: bool = False) -> Value:
    if axis is None:
        return b.add("argmax", b.view(x, (x.type.elements,)), axis=0, keep=False)
    return b.add("argmax", x, axis=axis_of(axis, x.type.rank), keep=keep)


def _max_dim(b: ProgramBuilder, kind: TensorType, x: Value, axis: int, keep: bool = False) -> Results:
    return _amax(b, kind, x, [axis], keep), _argmax(b, kind, x, axis, keep)


def _var(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    axes: Sequence[int] | None = None,
    correction: Number | None = 1,
    keepdim: bool = False,
) -> Value:
    spread = axes_of(axes, x.type.rank)
    centred = b.add("sub", x, b.mean(x, spread, keep=True))
    total = b.sum(b.add("mul", centred, centred), spread, keep=keepdim)
    count = 1
    for axis in spread:
        count *= x.shape[axis]
    return b.add("div", total, b.like(total, count - (1 if correction is None else correction)))


def _vector_norm(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    order: Number = 2,
    axes: Sequence[int] | None = None,
    keep: bool = False,
    **_: Any,
) -> Value:
    over = axes_of(axes, x.type.rank)
    if order == 2:
        return b.add("sqrt", b.sum(b.add("mul", x, x), over, keep=keep))
    if order == 1:
        return b.sum(b.add("abs", x), over, keep=keep)
    if order == math.inf:
        return b.add("amax", b.add("abs", x), axes=over, keep=keep)
    raise refuse(f"the norm of order {order} is not in the table.", "orders 1, 2 and infinity are")


def _full(b: ProgramBuilder, kind: TensorType, _size: object, number: Number, **__: Any) -> Value:
    return b.full(kind.shape, number, kind.dtype)


def _scalar(b: ProgramBuilder, kind: TensorType, number: Number, **__: Any) -> Value:
    return b.full(kind.shape, number, kind.dtype)


def _constant(number: Number) -> Rule:
    def rule(b: ProgramBuilder, kind: TensorType, *_: Any, **__: Any) -> Value:
        return b.full(kind.shape, number, kind.dtype)

    return rule


def _arange(b: ProgramBuilder, kind: TensorType, start: Number, end: Number, step: Number = 1, **_: Any) -> Value:
    if not all(isinstance(item, int) for item in (start, end, step)):
        raise refuse("arange with broken numbers is not in the table.")
    return b.cast(b.add("arange", start=start, end=end, step=step), kind.dtype)


def _copy(b: ProgramBuilder, kind: TensorType, _old: Value, new: Value, *__: Any) -> Value:
    return b.add("expand", b.cast(new, kind.dtype), shape=kind.shape)


def _view(b: ProgramBuilder, kind: TensorType, x: Value, *_: Any, **__: Any) -> Value:
    return b.view(x, kind.shape)


def _expand(b: ProgramBuilder, kind: TensorType, x: Value, *_: Any, **__: Any) -> Value:
    return b.add("expand", x, shape=kind.shape)


def _permute(b: ProgramBuilder, kind: TensorType, x: Value, axes: Sequence[int]) -> Value:
    return b.add("permute", x, axes=tuple(axis_of(axis, x.type.rank) for axis in axes))


def _transpose(b: ProgramBuilder, kind: TensorType, x: Value, first: int = 0, second: int = 1) -> Value:
    axes = list(range(x.type.rank))
    if len(axes) < 2:
        return x
    one, two = axis_of(first, len(axes)), axis_of(second, len(axes))
    axes[one], axes[two] = axes[two], axes[one]
    return b.add("permute", x, axes=tuple(axes))


def _range(size: int, start: int | None, end: int | None, step: int) -> range:
    return range(*slice(start, end, step).indices(size))


def _slice(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    axis: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Value:
    axis = axis_of(axis, x.type.rank)
    cut = _range(x.shape[axis], start, end, step)
    if len(cut) == x.shape[axis]:
        return x
    return b.add("slice", x, axis=axis, start=cut.start, end=cut.stop, step=step)


def _slice_backward(
    b: ProgramBuilder, kind: TensorType, x: Value, sizes: Sequence[int], axis: int, start: int, end: int, step: int
) -> Value:
    axis = axis_of(axis, x.type.rank)
    cut, rank = _range(sizes[axis], start, end, step), x.type.rank
    if step > 1:  # each element followed by step - 1 zeros
        shape = x.shape
        split = b.view(x, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
        after = tuple(step - 1 if at == axis + 1 else 0 for at in range(rank + 1))
        wide = b.add("pad", split, before=(0,) * (rank + 1), after=after, value=_zero(x))
        length = shape[axis] * step
        x = b.view(wide, (*shape[:axis], length, *shape[axis + 1 :]))
        x = _slice(b, kind, x, axis, 0, min(length, sizes[axis] - cut.start))
    after_size = sizes[axis] - cut.start - x.shape[axis]
    before = tuple(cut.start if at == axis else 0 for at in range(rank))
    after = tuple(after_size if at == axis else 0 for at in range(rank))
    return b.add("pad", x, before=before, after=after, value=_zero(x))


def _zero(x: Value) -> Number:
    return {"bool": False, "int64": 0}.get(x.dtype, 0.0)


def _slice_scatter(
    b: ProgramBuilder,
    kind: TensorType,
    x: Value,
    source: Value,
    axis: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Value:
    axis = axis_of(axis, x.type.rank)
    cut = _range(x.shape[axis], start, end, step)
    if len(cut) == x.shape[axis]:
        return source
    if step != 1:
        raise refuse("writing every n-th slice of a value is not in the table.")
    parts = [source]
    if cut.start > 0:
        parts.insert(0, _slice(b, kind, x, axis, 0, cut.start))
    if cut.stop < x.shape[axis]:
        parts.append(_slice(b, kind, x, axis, cut.stop, x.shape[axis]))
    return b.add("cat", *parts, axis=axis)


def _select(b: ProgramBuilder, kind: TensorType, x: Value, axis: int, index: int) -> Value:
    axis = axis_of(axis, x.type.rank)
    index += x.shape[axis] if index < 0 else 0
    return b.view(_slice(b, kind, x, axis, index, index + 1), kind.shape)


def _select_backward(
    b: ProgramBuilder, kind: TensorType, x: Value, sizes: Sequence[int], axis: int, index: int
) -> Value:
    axis = axis_of(axis, len(sizes))
    index += sizes[axis] if index < 0 else 0
    thin = b.view(x, tuple(1 if at == axis else size for at, size in enumerate(sizes)))
    return _slice_backward(b, kind, thin, sizes, axis, index, index + 1, 1)


def _select_scatter(b: ProgramBuilder, kind: TensorType, x: Value, source: Value, axis: int, index: int) -> Value:
    axis = axis_of(axis, x.type.rank)
    index += x.shape[axis] if index < 0 else 0
    thin = b.view(source, tuple(1 if at == axis else size for at, size in enumerate(x.shape)))
    return _slice_scatter(b, kind, x, thin, axis, index, index + 1)


def _split_with_sizes(b: ProgramBuilder, kind: TensorType, x: Value, sizes: Sequence[int], axis: int = 0) -> Results:
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    pairs = zip(starts, sizes, strict=True)
    return tuple(_slice(b, kind, x, axis, start, start + size) for start, size in pairs)


def _split(b: ProgramBuilder, kind: TensorType, x: Value, size: int, axis: int = 0) -> Results:
    length = x.shape[axis_of(axis, x.type.rank)]
    return _split_with_sizes(b, kind, x, [min(size, length - at) for at in range(0, length, size)], axis)


def _unbind(b: ProgramBuilder, kind: TensorType, x: Value, axis: int = 0) -> Results:
    return tuple(_select(b, kind, x, axis, at) for at in range(x.shape[axis_of(axis, x.type.rank)]))


def _cat(b: ProgramBuilder, kind: TensorType, parts: Sequence[Value], axis: int = 0) -> Value:
    return b.add("cat", *(b.cast(part, kind.dtype) for part in parts), axis=axis_of(axis, kind.rank))


def _stack(b: ProgramBuilder, kind: TensorType, parts: Sequence[Value], axis: int = 0) -> Value:
    axis = axis_of(axis, kind.rank)
    shape = tuple(1 if at == axis else size for at, size in enumerate(kind.shape))
    return _cat(b, kind, [b.view(part, shape) for part in parts], axis)


def _repeat(b: ProgramBuilder, kind: TensorType, x: Value, times: Sequence[int]) -> Value:
    shape = (1,) * (len(times) - x.type.rank) + x.shape
    split = b.view(x, tuple(size for pair in zip((1,) * len(shape), shape, strict=True) for size in pair))
    wide = b.add("expand", split, shape=tuple(size for pair in zip(times, shape, strict=True) for size in pair))
    return b.view(wide, kind.shape)


def _pad(b: ProgramBuilder, kind: TensorType, x: Value, pads: Sequence[int], number: Number = 0) -> Value:
    rank = x.type.rank
    before, after = [0] * rank, [0] * rank
    for at in range(len(pads) // 2):
        axis = rank - 1 - at
        before[axis], after[axis] = pads[2 * at], pads[2 * at + 1]
    for axis in range(rank):  # a negative size cuts off
        x = _slice(b, kind, x, axis, max(0, -before[axis]), x.shape[axis] - max(0, -after[axis]))
    sizes = {"before": tuple(max(0, size) for size in before), "after": tuple(max(0, size) for size in after)}
    return b.add("pad", x, **sizes, value=type(_zero(x))(number))


def _roll(b: ProgramBuilder, kind: TensorType, x: Value, shifts: Sequence[int], axes: Sequence[int] = ()) -> Value:
    flat = x if axes else b.view(x, (x.type.elements,))
    for shift, axis in zip(shifts, axes or (0,), strict=True):
        place = axis_of(axis, flat.type.rank)
        size = flat.shape[place]
        cut = -shift % size
        if cut:
            parts = _slice(b, kind, flat, place, cut, size), _slice(b, kind, flat, place, 0, cut)
            flat = b.add("cat", *parts, axis=place)
    return b.view(flat, kind.shape)


def _flip(b: ProgramBuilder, kind: TensorType, x: Value, axes: Sequence[int]) -> Value:
    return b.add("flip", x, axes=axes_of(axes, x.type.rank))


_UNARY = (
    "neg",
    "abs",
    "sign",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sqrt",
    "rsqrt",
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "erf",
    "relu",
)
_COMPARISONS: dict[str, Rule] = {
    "eq": _compare("eq"),
    "ne": _compare("ne"),
    "lt": _compare("lt"),
    "le": _compare("le"),
    "gt": _compare("lt", swap=True),
    "ge": _compare("le", swap=True),
}

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **{f"{name}.default": _unary(name) for name in _UNARY},
        **{f"{name}.{kind}": rule for name, rule in _COMPARISONS.items() for kind in ("Scalar", "Tensor")},
        **{f"{name}.{kind}": _binary(name) for name in ("add", "sub", "mul") for kind in ("Scalar", "Tensor")},
        **dict.fromkeys(("div.Tensor", "div.Scalar", "div.Tensor_mode", "div.Scalar_mode", "true_divide.Tensor"), _div),
        **dict.fromkeys(("rsub.Scalar", "rsub.Tensor"), _reversed(_binary("sub"))),
        "maximum.default": _binary("maximum"),
        "minimum.default": _binary("minimum"),
        "logical_not.default": _logical("logical_not"),
        "logical_and.default": _logical("logical_and"),
        "logical_or.default": _logical("logical_or"),
        "bitwise_not.default": _logical("logical_not", bits=True),
        "bitwise_and.Tensor": _logical("logical_and", bits=True),
        "bitwise_or.Tensor": _logical("logical_or", bits=True),
        "reciprocal.default": _reciprocal,
        "log2.default": _log_of(2.0),
        "log10.default": _log_of(10.0),
        **dict.fromkeys(("pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar"), _pow),
        **dict.fromkeys(("clamp.default", "clamp.Tensor", "clamp_min.default"), _clamp),
        "where.self": _where,
        "isnan.default": _is_nan,
        "isinf.default": _is_inf,
        "_to_copy.default": _cast,
        **dict.fromkeys(("sum.default", "sum.dim_IntList"), _sum),
        **dict.fromkeys(("mean.default", "mean.dim"), _mean),
        **dict.fromkeys(("amax.default", "max.default"), _amax),
        **dict.fromkeys(("amin.default", "min.default"), _amin),
        **dict.fromkeys(("any.default", "any.dim", "any.dims"), _any),
        "argmax.default": _argmax,
        "max.dim": _max_dim,
        "var.correction": _var,
        "linalg_vector_norm.default": _vector_norm,
        "full.default": _full,
        "full_like.default": _full,
        "new_full.default": lambda b, kind, _x, _size, number, **__: b.full(kind.shape, number, kind.dtype),
        "scalar_tensor.default": _scalar,
        **dict.fromkeys(("zeros_like.default", "zeros.default", "new_zeros.default"), _constant(0)),
        **dict.fromkeys(("ones_like.default", "ones.default", "new_ones.default"), _constant(1)),
        **dict.fromkeys(("empty.memory_format", "empty_permuted.default", "empty_like.default"), _constant(0)),
        "arange.start_step": _arange,
        "arange.start": _arange,
        "arange.default": lambda b, kind, end, **_: _arange(b, kind, 0, end),
        "copy.default": _copy,
        **dict.fromkeys(("clone.default", "alias.default", "detach.default", "lift_fresh_copy.default"), _same),
        **dict.fromkeys(("view.default", "_unsafe_view.default", "reshape.default", "unsqueeze.default"), _view),
        **dict.fromkeys(("squeeze.default", "squeeze.dim", "squeeze.dims"), _view),
        "expand.default": _expand,
        "permute.default": _permute,
        **dict.fromkeys(("transpose.int", "t.default"), _transpose),
        "slice.Tensor": _slice,
        "slice_backward.default": _slice_backward,
        "slice_scatter.default": _slice_scatter,
        "select.int": _select,
        "select_backward.default": _select_backward,
        "select_scatter.default": _select_scatter,
        "split_with_sizes.default": _split_with_sizes,
        "split.Tensor": _split,
        "unbind.int": _unbind,
        "cat.default": _cat,
        "stack.default": _stack,
        "repeat.default": _repeat,
        "constant_pad_nd.default": _pad,
        "flip.default": _flip,
        "roll.default": _roll,
    }
)
"""ATen overload (without ``aten.``) to rule."""
