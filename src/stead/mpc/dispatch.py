"""What NumPy's functions and operators mean on secret arrays, in terms of the operations of the plans' table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from stead.errors import BadMessage, UnsupportedOperation, UsageError
from stead.mpc.forms import MATMUL
from stead.mpc.functions.sorting import argsort, sort
from stead.mpc.operands import axes_of, axis_of, called, plain, public, refused
from stead.mpc.protocol import Protocol
from stead.mpc.ranges import ANYWHERE
from stead.mpc.rules import RULES
from stead.mpc.rules.call import Call
from stead.mpc.values import Array, Value, add, bilinear, moved, multiply, numbers, reshaped, subtract
from stead.plans.ops import OPERATIONS
from stead.plans.program import Attribute, DType, TensorType

Kind: TypeAlias = Literal["float64", "int64", "bool"]
Operand: TypeAlias = Any
"""A ``SecretArray`` or what NumPy makes an array of; ``array`` imports this module, so it is not named here."""
_PROGRAM_TYPES: Mapping[str, DType] = {"float64": "float32", "int64": "int64", "bool": "bool"}
_KINDS: Mapping[str, Kind] = {"float32": "float64", "float64": "float64", "int64": "int64", "bool": "bool"}


def method(function: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function as a method."""

    def call(self: Operand, *arguments: Any, **options: Any) -> Any:
        return called(FUNCTIONS[function], function.__name__, (self, *arguments), options)

    call.__name__ = function.__name__
    call.__doc__ = f"``numpy.{function.__name__}`` of it."
    return call


def names() -> list[str]:
    """The NumPy functions that there are."""
    return [function.__name__ for function in FUNCTIONS] + [function.__name__ for function in _UFUNCS]


def _secret(value: Operand) -> bool:
    return hasattr(value, "_held")


def _kind(value: Operand) -> Kind:
    if _secret(value):
        return cast("Kind", value.dtype.name)
    kinds: dict[str, Kind] = {"f": "float64", "i": "int64", "u": "int64", "b": "bool"}
    return kinds[public(value).dtype.kind]


def _run(name: str, work: Callable[..., Value], inputs: Sequence[Operand], shape: Sequence[int], kind: Kind) -> Any:
    """A new secret array: ``work(p, *values)`` at every party."""
    first = next(value for value in inputs if _secret(value))
    for value in inputs:
        if _secret(value) and value.session is not first.session:
            raise UsageError(
                "the arrays belong to different sessions.", hint="share all of them in one session, then compute"
            )
    given = [value if _secret(value) else public(value) for value in inputs]
    made = first.session.apply(name, work, given)
    return type(first)(first.session, made, tuple(shape), kind)


def operate(name: str, *inputs: Operand, **attributes: Attribute) -> Any:
    """One operation of the table on arrays of one type; bool and int64 count as numbers where others are float64."""
    kinds = [_kind(value) for value in inputs]
    mixed = len(set(kinds)) > 1 and name not in ("where", "gather", "index_select")
    types = []
    for value, kind in zip(inputs, kinds, strict=True):
        wanted: Kind = ("float64" if "float64" in kinds else "int64") if mixed else kind
        types.append(TensorType(_PROGRAM_TYPES[wanted], tuple(np.shape(value))))
    if name == "where" and types[1].dtype != types[2].dtype:
        types[1:] = [TensorType("float32", kind.shape) for kind in types[1:]]
    row = OPERATIONS[name]
    try:
        outputs = row.types(types, attributes)
    except BadMessage as error:  # what a Program of strangers would be told
        raise UsageError(f"{name}: {error.what.rstrip('.')}.") from None

    def work(p: Protocol, *values: Value) -> Value:
        leads, needed, total = (0,) * len(values), (True,) * len(outputs), False
        anywhere = [ANYWHERE] * len(values)
        call = Call(p, values, leads, attributes, types, outputs, anywhere, needed, total, name)
        found = RULES[name](call)
        return cast("Value", found[0] if isinstance(found, tuple) else found)

    return _run(name, work, inputs, outputs[0].shape, _KINDS[outputs[0].dtype])


def _numbers(value: Operand) -> Operand:
    """Truths as 0 and 1."""
    if _kind(value) != "bool":
        return value
    return operate("to", value, dtype="int64") if _secret(value) else np.asarray(value).astype(np.int64)


def _real(value: Operand) -> Operand:
    """As float64."""
    if _kind(value) == "float64":
        return value
    return operate("to", value, dtype="float32") if _secret(value) else np.asarray(value, dtype=np.float64)


def _arithmetic(name: str) -> Callable[..., Any]:
    def call(*inputs: Operand) -> Any:
        return operate(name, *map(_numbers, inputs))

    return call


def _floating(name: str) -> Callable[..., Any]:
    def call(*inputs: Operand) -> Any:
        return operate(name, *map(_real, inputs))

    return call


def _same(name: str) -> Callable[..., Any]:
    def call(a: Operand, b: Operand) -> Any:
        if _kind(a) == _kind(b):
            return operate(name, a, b)
        return operate(name, _numbers(a), _numbers(b))

    return call


def _logical(name: str) -> Callable[..., Any]:
    def call(*inputs: Operand) -> Any:
        return operate(name, *(value if _kind(value) == "bool" else not_equal(value, 0) for value in inputs))

    return call


not_equal = _same("ne")
less, less_equal = _same("lt"), _same("le")


def _negative_of(a: Operand) -> Any:
    return operate("neg", _numbers(a))


def _power(a: Operand, b: Operand) -> Any:
    if not _secret(b) and np.ndim(b) == 0 and float(b) == 2.0:
        value = _numbers(a)
        return operate("mul", value, value)
    result = operate("pow", _real(a), _real(b))
    whole = _kind(a) == "int64" and not _secret(b) and _kind(b) == "int64" and bool((np.asarray(b) >= 0).all())
    return astype(result, np.dtype(np.int64)) if whole else result


def matmul(a: Operand, b: Operand) -> Any:
    """``numpy.matmul``."""
    first, second = _numbers(a), _numbers(b)
    left = np.shape(first) if np.ndim(first) > 1 else (1, *np.shape(first))
    right = np.shape(second) if np.ndim(second) > 1 else (*np.shape(second), 1)
    try:
        whole = MATMUL.result(left, right)
    except ValueError as error:
        raise UsageError(f"{error}.") from None
    shape = list(whole)
    if np.ndim(second) == 1:
        del shape[-1]
    if np.ndim(first) == 1:
        del shape[len(shape) - (np.ndim(second) != 1) - 1]

    def work(p: Protocol, x: Value, y: Value) -> Value:
        x, y = moved(x, lambda part: part.reshape(left)), moved(y, lambda part: part.reshape(right))
        return moved(bilinear(p, MATMUL, x, y), lambda part: part.reshape(shape))

    kind: Kind = "float64" if "float64" in (_kind(first), _kind(second)) else "int64"
    return _run("matmul", work, (first, second), shape, kind)


def _dot(a: Operand, b: Operand) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return operate("mul", _numbers(a), _numbers(b))
    if np.ndim(b) > 2:
        raise UnsupportedOperation("numpy.dot of an array with over two axes; use numpy.matmul.")
    return matmul(a, b)


_UFUNCS: Mapping[np.ufunc, Callable[..., Any]] = {
    np.add: _arithmetic("add"),
    np.subtract: _arithmetic("sub"),
    np.multiply: _arithmetic("mul"),
    np.true_divide: _floating("div"),
    np.power: _power,
    np.negative: _negative_of,
    np.positive: lambda a: a,
    np.absolute: lambda a: operate("abs", _numbers(a)),
    np.sign: _floating("sign"),
    np.square: lambda a: _power(a, 2),
    np.reciprocal: lambda a: operate("div", np.asarray(1.0), _real(a)),
    np.maximum: _arithmetic("maximum"),
    np.minimum: _arithmetic("minimum"),
    np.less: less,
    np.less_equal: less_equal,
    np.greater: lambda a, b: less(b, a),
    np.greater_equal: lambda a, b: less_equal(b, a),
    np.equal: _same("eq"),
    np.not_equal: not_equal,
    np.logical_and: _logical("logical_and"),
    np.logical_or: _logical("logical_or"),
    np.logical_not: _logical("logical_not"),
    np.logical_xor: lambda a, b: not_equal(_truth(a), _truth(b)),
    np.exp: _floating("exp"),
    np.expm1: _floating("expm1"),
    np.log: _floating("log"),
    np.log1p: _floating("log1p"),
    np.sqrt: _floating("sqrt"),
    np.sin: _floating("sin"),
    np.cos: _floating("cos"),
    np.tanh: _floating("tanh"),
    np.matmul: matmul,
}
_BITWISE: Mapping[np.ufunc, np.ufunc] = {
    np.bitwise_and: np.logical_and,
    np.bitwise_or: np.logical_or,
    np.bitwise_xor: np.logical_xor,
    np.invert: np.logical_not,
}


def _truth(value: Operand) -> Operand:
    return value if _kind(value) == "bool" else not_equal(value, 0)


def ufunc(function: np.ufunc, kind: str, inputs: Sequence[Operand], options: Mapping[str, Any]) -> Any:
    """A NumPy ufunc, or its reduction, on arrays of which one is secret.

    Raises:
        UnsupportedOperation: there is no counterpart.
    """
    if function in _BITWISE and all(_kind(value) == "bool" for value in inputs):
        function = _BITWISE[function]
    if kind == "reduce" and function in _REDUCTIONS:
        name = f"{function.__name__}.reduce"
        return called(_REDUCTIONS[function], name, inputs[:1], {"axis": 0, **options})
    if "out" in options:
        raise UnsupportedOperation(
            f"numpy.{function.__name__} writes into an array, and a SecretArray is not changed in place.",
            hint="write a = a + b in place of a += b or out=a",
        )
    if kind != "__call__" or function not in _UFUNCS or set(options) - {"casting"}:
        called_as = "" if kind == "__call__" else f".{kind}"
        more = f" with {', '.join(options)}" if options else ""
        raise refused(f"{function.__name__}{called_as}{more}", names())
    return _UFUNCS[function](*(value if _secret(value) else public(value) for value in inputs))


def astype(a: Operand, dtype: np.dtype[Any]) -> Any:
    """As numbers of another kind."""
    target = {"f": "float32", "i": "int64", "u": "int64", "b": "bool"}.get(dtype.kind)
    if target is None:
        raise UnsupportedOperation(f"a secret array has no dtype {dtype}: float64, int64 or bool.")
    return a if _kind(a) == _KINDS[target] else operate("to", a, dtype=target)


def reshape(a: Operand, shape: int | Sequence[int], order: str = "C") -> Any:
    """``numpy.reshape``."""
    if order != "C":
        raise UnsupportedOperation("secret arrays are reshaped in row-major order only.")
    try:
        found = np.broadcast_to(np.zeros(()), a.shape).reshape(cast("Any", shape)).shape
    except (ValueError, TypeError) as error:
        raise UsageError(f"shape {list(a.shape)} as {shape}: {error}.") from None
    return _run("reshape", lambda _p, x: reshaped(x, found), (a,), found, _kind(a))


def _moving(name: str, a: Operand, move: Callable[[Array], Array]) -> Any:
    """Elements put elsewhere: the shape is found on places alone."""
    try:
        shape = move(np.broadcast_to(np.zeros(()), a.shape)).shape
    except (ValueError, IndexError, TypeError) as error:
        raise UsageError(f"{name} of shape {list(a.shape)}: {str(error).rstrip('.')}.") from None
    return _run(name, lambda _p, x: moved(x, move), (a,), shape, _kind(a))


def transpose(a: Operand, axes: Sequence[int] | None = None) -> Any:
    """``numpy.transpose``."""
    return _moving("transpose", a, lambda part: part.transpose(axes))


def item(a: Operand, index: Any) -> Any:
    """``a[index]``; the index is public.

    Raises:
        UsageError: the index is secret or does not fit.
    """
    parts = index if isinstance(index, tuple) else (index,)
    if any(_secret(part) for part in parts):
        if len(parts) == 1 and _kind(parts[0]) == "int64" and parts[0].ndim == 1:
            return operate("index_select", a, parts[0], axis=0)
        raise UsageError(
            "a secret index: which elements it takes would show.",
            hint="numpy.where(mask, a, 0) keeps the shape; a[i] works for a secret 1-d array i of whole numbers",
        )
    return _moving("index", a, lambda part: np.asanyarray(part[index]))


def _axes(a: Operand, axis: Any) -> tuple[int, ...]:
    return axes_of(axis, np.ndim(a))


def _axis(a: Operand, axis: Any) -> int:
    return axis_of(axis, np.ndim(a))


def _some(a: Operand, axis: Any, what: str) -> Operand:
    """The array, if there is something along these axes.

    Raises:
        UsageError: there is not.
    """
    if not _count(a, axis):
        raise UsageError(f"{what} of no elements: the shape is {list(a.shape)}.")
    return a


def _sum(a: Operand, axis: Any = None, *, keepdims: bool = False) -> Any:
    axes = _axes(a, axis)
    value = _numbers(a)
    return operate("sum", value, axes=axes, keep=bool(keepdims)) if axes else value


def _count(a: Operand, axis: Any) -> int:
    return math.prod(a.shape[at] for at in _axes(a, axis))


def _mean(a: Operand, axis: Any = None, *, keepdims: bool = False) -> Any:
    total = _real(_sum(_some(a, axis, "the mean"), axis, keepdims=keepdims))
    return operate("div", total, np.asarray(float(_count(a, axis))))


def _var(a: Operand, axis: Any = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
    if _count(a, axis) <= ddof:
        raise UsageError(f"the variance of {_count(a, axis)} elements with ddof={ddof}: there must be more than that.")
    away = operate("sub", _real(a), _mean(a, axis, keepdims=True))
    total = _sum(operate("mul", away, away), axis, keepdims=keepdims)
    return operate("div", total, np.asarray(float(_count(a, axis) - ddof)))


def _max(a: Operand, axis: Any = None, *, keepdims: bool = False) -> Any:
    return operate("amax", _numbers(_some(a, axis, "the largest")), axes=_axes(a, axis), keep=bool(keepdims))


def _min(a: Operand, axis: Any = None, *, keepdims: bool = False) -> Any:
    return operate("neg", _max(operate("neg", _numbers(a)), axis, keepdims=keepdims))


def _argmax(a: Operand, axis: int | None = None, *, keepdims: bool = False) -> Any:
    value = _numbers(_some(a, axis, "the place of the largest"))
    if axis is None:
        return operate("argmax", reshape(value, -1), axis=0, keep=False)
    return operate("argmax", value, axis=_axis(a, axis), keep=bool(keepdims))


def _std(a: Operand, axis: Any = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
    return np.sqrt(_var(a, axis, ddof=ddof, keepdims=keepdims))


def _argmin(a: Operand, axis: int | None = None, *, keepdims: bool = False) -> Any:
    return _argmax(operate("neg", _numbers(a)), axis, keepdims=keepdims)


def _median(a: Operand, axis: int | None = None, *, keepdims: bool = False) -> Any:
    return _quantile(a, 0.5, axis, keepdims=keepdims)


def _percentile(a: Operand, q: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    return _quantile(a, plain(q, "percentiles are numbers from 0 to 100") / 100, axis, keepdims=keepdims)


def _filled(a: Operand, fill_value: Any, dtype: Any = None) -> Array:
    """A public array of the same shape."""
    return np.full(a.shape, fill_value, dtype=a.dtype if dtype is None else dtype)


def _any(a: Operand, axis: Any = None, *, keepdims: bool = False) -> Any:
    return less(0, _sum(_truth(a), axis, keepdims=keepdims))


def _all(a: Operand, axis: Any = None, *, keepdims: bool = False) -> Any:
    return less(_count(a, axis) - 1, _sum(_truth(a), axis, keepdims=keepdims))


def _joined(arrays: Iterable[Operand], axis: int | None = 0) -> Any:
    parts = list(arrays)
    if axis is None:
        parts, axis = [np.reshape(part, -1) for part in parts], 0
    if any(not np.ndim(part) for part in parts):
        raise UsageError("numbers without axes are not joined along one.", hint="numpy.stack puts them side by side")
    kinds = {_kind(part) for part in parts}
    if len(kinds) > 1:
        parts = [_real(part) if "float64" in kinds else _numbers(part) for part in parts]
    return operate("cat", *parts, axis=_axis(parts[0], axis))


def _stack(arrays: Iterable[Operand], axis: int = 0) -> Any:
    parts = [np.expand_dims(part, axis) for part in arrays]
    return _joined(parts, _axis(parts[0], axis))


def _where(truth: Operand, a: Operand = None, b: Operand = None) -> Any:
    if a is None or b is None:
        raise UsageError(
            "numpy.where(mask) would show where the mask holds.", hint="numpy.where(mask, a, b) keeps the shape"
        )
    if _kind(a) == _kind(b):
        return operate("where", _truth(truth), a, b)
    return operate("where", _truth(truth), _real(a), _real(b))


def _clip(a: Operand, a_min: Operand = None, a_max: Operand = None, *, min: Operand = None, max: Operand = None) -> Any:  # noqa: A002 - NumPy's names
    low, high = a_min if min is None else min, a_max if max is None else max
    bounded = a if _boundless(low, -np.inf) else np.maximum(a, low)
    return bounded if _boundless(high, np.inf) else np.minimum(bounded, high)


def _boundless(bound: Operand, infinity: float) -> bool:
    return bound is None or (isinstance(bound, float) and bound == infinity)


def _sort(a: Operand, axis: int | None = -1) -> Any:
    value = _numbers(a)
    if axis is None:
        value, axis = reshape(value, -1), 0
    at = _axis(value, axis)
    return _run("sort", lambda p, x: sort(p, numbers(p, x), at), (value,), value.shape, _kind(value))


def _argsort(a: Operand, axis: int | None = -1) -> Any:
    value = _numbers(a)
    if axis is None:
        value, axis = reshape(value, -1), 0
    at = _axis(value, axis)
    return _run("argsort", lambda p, x: argsort(p, numbers(p, x), at), (value,), value.shape, "int64")


def _quantile(a: Operand, q: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    levels = plain(q, "quantiles are numbers from 0 to 1").astype(np.float64)
    if levels.ndim > 1 or not bool(((levels >= 0) & (levels <= 1)).all()):
        raise UsageError("quantiles are public numbers from 0 to 1.")
    value = _real(_some(a, axis, "the quantile"))
    if axis is None:
        value, axis = reshape(value, -1), 0
    at = _axis(value, axis)
    sorted_values = _sort(value, at)
    places = levels * (value.shape[at] - 1)
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, value.shape[at] - 1)
    weight = np.asarray(places - low)

    def between(p: Protocol, x: Value) -> Value:
        first = moved(x, lambda part: np.moveaxis(np.take(part, low, axis=at), _spread(at, levels), _front(levels)))
        second = moved(x, lambda part: np.moveaxis(np.take(part, high, axis=at), _spread(at, levels), _front(levels)))
        shaped = weight.reshape(weight.shape + (1,) * (len(first.shape) - weight.ndim))
        return add(p, first, multiply(p, subtract(p, second, first), shaped))

    shape = levels.shape + tuple(size for axis_at, size in enumerate(value.shape) if axis_at != at)
    found = _run("quantile", between, (sorted_values,), shape, "float64")
    return np.expand_dims(found, at + levels.ndim) if keepdims else found


def _spread(at: int, levels: Array) -> list[int]:
    return [at] if levels.ndim else []


def _front(levels: Array) -> list[int]:
    return [0] if levels.ndim else []


def _cumsum(a: Operand, axis: int | None = None) -> Any:
    value = reshape(_numbers(a), -1) if axis is None else _numbers(a)
    at = 0 if axis is None else _axis(value, axis)
    return _moving("cumsum", value, lambda part: np.cumsum(part, axis=at, dtype=part.dtype))


def _expand_dims(a: Operand, axis: Any) -> Any:
    return _moving("expand_dims", a, lambda part: np.expand_dims(part, axis))


_REDUCTIONS: Mapping[np.ufunc, Callable[..., Any]] = {
    np.add: _sum,
    np.maximum: _max,
    np.minimum: _min,
    np.logical_or: _any,
    np.logical_and: _all,
}

FUNCTIONS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    np.sum: _sum,
    np.mean: _mean,
    np.average: _mean,
    np.var: _var,
    np.std: _std,
    np.max: _max,
    np.amax: _max,
    np.min: _min,
    np.amin: _min,
    np.argmax: _argmax,
    np.argmin: _argmin,
    np.any: _any,
    np.all: _all,
    np.sort: _sort,
    np.argsort: _argsort,
    np.quantile: _quantile,
    np.median: _median,
    np.percentile: _percentile,
    np.count_nonzero: lambda a, axis=None, *, keepdims=False: _sum(_truth(a), axis, keepdims=keepdims),
    np.ptp: lambda a, axis=None, *, keepdims=False: _max(a, axis, keepdims=keepdims) - _min(a, axis, keepdims=keepdims),
    np.copy: lambda a: a,
    np.zeros_like: lambda a, dtype=None: _filled(a, 0, dtype),
    np.ones_like: lambda a, dtype=None: _filled(a, 1, dtype),
    np.full_like: _filled,
    np.cumsum: _cumsum,
    np.dot: _dot,
    np.inner: lambda a, b: matmul(a, np.swapaxes(b, -1, -2) if np.ndim(b) > 1 else b),
    np.outer: lambda a, b: matmul(np.reshape(a, (-1, 1)), np.reshape(b, (1, -1))),
    np.concatenate: _joined,
    np.stack: _stack,
    np.vstack: lambda arrays: _joined([part if np.ndim(part) > 1 else np.expand_dims(part, 0) for part in arrays]),
    np.hstack: lambda arrays: _joined(arrays := list(arrays), 0 if np.ndim(arrays[0]) == 1 else 1),
    np.where: _where,
    np.clip: _clip,
    np.reshape: reshape,
    np.ravel: lambda a: reshape(a, -1),
    np.transpose: transpose,
    np.swapaxes: lambda a, one, two: _moving("swapaxes", a, lambda part: part.swapaxes(one, two)),
    np.moveaxis: lambda a, source, target: _moving("moveaxis", a, lambda part: np.moveaxis(part, source, target)),
    np.expand_dims: _expand_dims,
    np.squeeze: lambda a, axis=None: _moving("squeeze", a, lambda part: part.squeeze(axis)),
    np.broadcast_to: lambda a, shape: _moving("broadcast_to", a, lambda part: np.broadcast_to(part, shape)),
    np.repeat: lambda a, count, axis=None: _moving("repeat", a, lambda part: np.repeat(part, count, axis)),
    np.tile: lambda a, counts: _moving("tile", a, lambda part: np.tile(part, counts)),
    np.flip: lambda a, axis=None: _moving("flip", a, lambda part: np.flip(part, axis)),
    np.roll: lambda a, shift, axis=None: _moving("roll", a, lambda part: np.roll(part, shift, axis)),
    np.diff: lambda a, axis=-1: operate("sub", *_neighbours(_numbers(a), axis)),
    np.take: lambda a, indices, axis=None: _moving("take", a, lambda part: np.take(part, indices, axis)),
    np.trace: lambda a, offset=0: _sum(_moving("trace", a, lambda part: np.diagonal(part, offset))),
    np.diagonal: lambda a, offset=0: _moving("diagonal", a, lambda part: np.diagonal(part, offset)),
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a: a.size,
}
"""NumPy's functions that there are, beside its ufuncs."""


def _neighbours(a: Operand, axis: int) -> tuple[Any, Any]:
    at = _axis(a, axis)
    every = (slice(None),) * at
    return a[(*every, slice(1, None))], a[(*every, slice(None, -1))]
