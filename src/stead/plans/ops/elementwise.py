"""Operations that work on each element by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from stead.plans.ops.operation import (
    FLOATS,
    Array,
    Attributes,
    Call,
    Operation,
    TypeRule,
    Types,
    broadcast,
    need_float,
    no_flops,
    refuse,
)
from stead.plans.program import TensorType

_IEEE = "IEEE 754: NaN gives NaN, overflow an infinity"
_OVERLOADS = {"pow": ".Tensor_Tensor", "maximum": "", "minimum": "", "logical_and": "", "logical_or": ""}
_erf = np.frompyfunc(math.erf, 1, 1)


def _float_types(inputs: Types, _attributes: Attributes) -> tuple[TensorType, ...]:
    need_float(inputs[0])
    return (inputs[0],)


def _number_types(inputs: Types, _attributes: Attributes) -> tuple[TensorType, ...]:
    if inputs[0].dtype == "bool":
        refuse("needs numbers; got bool")
    return (inputs[0],)


def _bool_types(inputs: Types, _attributes: Attributes) -> tuple[TensorType, ...]:
    if any(item.dtype != "bool" for item in inputs):
        refuse("needs bool")
    shape = inputs[0].shape if len(inputs) == 1 else broadcast(inputs[0].shape, inputs[1].shape)
    return (TensorType("bool", shape),)


def _same(inputs: Types) -> tuple[int, ...]:
    first, second = inputs
    if first.dtype != second.dtype:
        refuse(f"needs one type; got {first.dtype} and {second.dtype}")
    return broadcast(first.shape, second.shape)


def _pair_types(inputs: Types, _attributes: Attributes) -> tuple[TensorType, ...]:
    shape = _same(inputs)
    _number_types(inputs, _attributes)
    return (TensorType(inputs[0].dtype, shape),)


def _float_pair_types(inputs: Types, _attributes: Attributes) -> tuple[TensorType, ...]:
    need_float(*inputs)
    return (TensorType(inputs[0].dtype, _same(inputs)),)


def _compare_types(inputs: Types, _attributes: Attributes) -> tuple[TensorType, ...]:
    return (TensorType("bool", _same(inputs)),)


def _where_types(inputs: Types, _attributes: Attributes) -> tuple[TensorType, ...]:
    if inputs[0].dtype != "bool":
        refuse("the condition must be bool")
    return (TensorType(inputs[1].dtype, broadcast(inputs[0].shape, _same(inputs[1:]))),)


def _cast_types(inputs: Types, attributes: Attributes) -> tuple[TensorType, ...]:
    return (TensorType(attributes["dtype"], inputs[0].shape),)  # type: ignore[arg-type]  # checked: kind dtype


def _cast(call: Call) -> Array:
    (array,), target = call.arrays, call.outputs[0].dtype
    if target == "int64" and array.dtype.name in FLOATS:
        # The largest float64 below 2^63: a conversion out of range is undefined in C.
        bounded = np.clip(np.nan_to_num(array.astype(np.float64), nan=0.0), -(2.0**63), 2.0**63 - 1024)
        return bounded.astype(np.int64)
    return np.asarray(array.astype(target))


def _relu(array: Array) -> Array:
    return np.asarray(np.maximum(array, array.dtype.type(0)))


def _sigmoid(array: Array) -> Array:
    one = array.dtype.type(1)
    return np.asarray(one / (one + np.exp(-array)))


def _rsqrt(array: Array) -> Array:
    return np.asarray(array.dtype.type(1) / np.sqrt(array))


def _erf_array(array: Array) -> Array:
    return np.asarray(_erf(array.astype(np.float64))).astype(array.dtype)


def _unary(
    name: str, meaning: str, run: Callable[[Array], Array], totality: str = _IEEE, types: TypeRule = _float_types
) -> Operation:
    def kernel(call: Call) -> Array:
        return np.asarray(run(call.arrays[0]))

    return Operation(name, f"aten.{name}", "elementwise", meaning, totality, 1, types, kernel)


def _binary(
    name: str, meaning: str, run: Callable[[Array, Array], Array], totality: str = _IEEE, types: TypeRule = _pair_types
) -> Operation:
    def kernel(call: Call) -> Array:
        rank = call.outputs[0].rank
        return np.asarray(run(call.aligned(0, rank), call.aligned(1, rank)))

    aten = f"aten.{name}" + _OVERLOADS.get(name, ".Tensor")
    return Operation(name, aten, "elementwise", meaning, totality, 2, types, kernel)


def _where(call: Call) -> Array:
    rank = call.outputs[0].rank
    return np.where(call.aligned(0, rank), call.aligned(1, rank), call.aligned(2, rank))


_WRAPS = f"{_IEEE}; int64 wraps modulo 2^64"
_COMPARES = "a comparison with NaN is false (for ne: true)"

ELEMENTWISE = (
    _unary("neg", "-x", np.negative, _WRAPS, _number_types),
    _unary("abs", "the magnitude of x", np.abs, _WRAPS, _number_types),
    _unary("sign", "-1, 0 or 1 by the sign of x", np.sign, "NaN gives NaN", _float_types),
    _unary("exp", "e to the power x", np.exp),
    _unary("expm1", "exp(x) - 1, exact near 0", np.expm1),
    _unary("log", "the natural logarithm", np.log, "0 gives -infinity, below 0 NaN"),
    _unary("log1p", "log(1 + x), exact near 0", np.log1p, "-1 gives -infinity, below -1 NaN"),
    _unary("sqrt", "the square root", np.sqrt, "below 0 gives NaN"),
    _unary("rsqrt", "1 / sqrt(x)", _rsqrt, "0 gives infinity, below 0 NaN"),
    _unary("sin", "the sine", np.sin, "an infinity gives NaN"),
    _unary("cos", "the cosine", np.cos, "an infinity gives NaN"),
    _unary("tanh", "the hyperbolic tangent", np.tanh, "NaN gives NaN"),
    _unary("sigmoid", "1 / (1 + exp(-x))", _sigmoid, "NaN gives NaN"),
    _unary("erf", "the error function", _erf_array, "NaN gives NaN"),
    _unary("relu", "x where x > 0, else 0", _relu, "NaN gives NaN"),
    _unary("logical_not", "not x", np.logical_not, "nothing can go wrong", _bool_types),
    _binary("add", "a + b", np.add, _WRAPS),
    _binary("sub", "a - b", np.subtract, _WRAPS),
    _binary("mul", "a · b", np.multiply, _WRAPS),
    _binary("div", "a / b", np.divide, "IEEE 754: x / 0 gives an infinity, 0 / 0 NaN", _float_pair_types),
    _binary("pow", "a to the power b", np.power, "below 0 with a broken power gives NaN", _float_pair_types),
    _binary("maximum", "the larger of a and b", np.maximum, "NaN in either gives NaN"),
    _binary("minimum", "the smaller of a and b", np.minimum, "NaN in either gives NaN"),
    _binary("eq", "a = b", np.equal, _COMPARES, _compare_types),
    _binary("ne", "a ≠ b", np.not_equal, _COMPARES, _compare_types),
    _binary("lt", "a < b", np.less, _COMPARES, _compare_types),
    _binary("le", "a ≤ b", np.less_equal, _COMPARES, _compare_types),
    _binary("logical_and", "a and b", np.logical_and, "nothing can go wrong", _bool_types),
    _binary("logical_or", "a or b", np.logical_or, "nothing can go wrong", _bool_types),
    Operation(
        "where",
        "aten.where.self",
        "elementwise",
        "a where the condition holds, else b",
        "passes values on unchanged",
        3,
        _where_types,
        _where,
    ),
    Operation(
        "to",
        "aten._to_copy",
        "elementwise",
        "the same numbers in another type",
        "to int64: NaN gives 0, out of range the nearest end; to bool: NaN gives true",
        1,
        _cast_types,
        _cast,
        no_flops,
        attributes={"dtype": "dtype"},
    ),
)
"""This family's part of the table."""
