"""Rules of the operations that work on each element by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.activation import erf, gelu, sigmoid, silu, tanh
from stead.mpc.functions.comparison import absolute, sign
from stead.mpc.functions.division import divide, reciprocal
from stead.mpc.functions.exponential import exp, expm1
from stead.mpc.functions.logarithm import log, log1p
from stead.mpc.functions.power import power
from stead.mpc.functions.root import rsqrt, sqrt
from stead.mpc.functions.trigonometry import cos, sin
from stead.mpc.protocol import Protocol
from stead.mpc.ranges import Interval, comparison_bits, function_bits
from stead.mpc.rules.call import Call, Held, Result, Rule, scale_of, truth
from stead.mpc.shares import Bits
from stead.mpc.values import (
    Array,
    Value,
    add,
    both,
    chosen,
    either,
    equal,
    exclusive_or,
    fractional,
    is_secret,
    multiply,
    negated,
    numbers,
    subtract,
    truths,
    where,
)


def _function(run: Callable[..., Secret]) -> Rule:
    """A function of ``stead.mpc.functions`` on numbers with ``FRACTION`` bits."""

    def rule(call: Call) -> Held:
        return run(call.p, fractional(call.p, call.value(0)), bits=function_bits(call.intervals[0], FRACTION))

    return rule


def _periodic(run: Callable[[Protocol, Secret], Secret]) -> Rule:
    """A function that reads the whole ring whatever the number."""
    return lambda call: run(call.p, fractional(call.p, call.value(0)))


def _neg(call: Call) -> Held:
    return negated(call.p, call.value(0))


def _abs(call: Call) -> Held:
    x = numbers(call.p, call.value(0))
    return absolute(call.p, x, bits=comparison_bits(call.intervals[0], x.scale))


def _sign(call: Call) -> Held:
    x = numbers(call.p, call.value(0))
    return sign(call.p, x, bits=comparison_bits(call.intervals[0], x.scale))


def positive(p: Protocol, x: Secret, within: Interval) -> Bits:
    """Whether x > 0."""
    return p.negative(-x.share, comparison_bits(within, x.scale))


def _relu(call: Call) -> Held:
    return relu_and_sign(call)[0]


def relu_and_sign(call: Call) -> tuple[Secret, Bits]:
    """The fused operation ``relu_with_sign``: x where x > 0 (truncated on the way), else 0; and where that is."""
    x = numbers(call.p, call.value(0))
    above = positive(call.p, x, call.intervals[0])
    return chosen(call.p, above, x, settle=True), above


def _logical_not(call: Call) -> Held:
    return call.p.invert(truths(call.p, call.value(0)))


def _pair(call: Call) -> tuple[Value, Value]:
    rank = call.outputs[0].rank
    return call.aligned(0, rank), call.aligned(1, rank)


def _binary(run: Callable[[Protocol, Value, Value], Value]) -> Rule:
    return lambda call: run(call.p, *_pair(call))


def _mul(call: Call) -> Held:
    a, b = _pair(call)
    if call.given[0] is call.given[1] and isinstance(a, Secret):
        return multiply(call.p, a, a)
    return multiply(call.p, a, b)


def _div(call: Call) -> Held:
    a, b = _pair(call)
    if is_secret(b):
        return _quotient(call.p, a, fractional(call.p, b))
    divisor = np.asarray(b, dtype=np.float64)
    if not bool(divisor.all()):
        raise call.refuse("divides secret numbers by a public 0, which has no result on shares.")
    return multiply(call.p, a, 1.0 / divisor)


def _quotient(p: Protocol, a: Value, b: Secret) -> Secret:
    """A / b; where all know a, b's inverse times a."""
    if is_secret(a):
        return divide(p, fractional(p, a), b)
    return multiply(p, reciprocal(p, b), a)


def _pow(call: Call) -> Held:
    a, b = _pair(call)
    if is_secret(b):
        return _power_of_secret(call, a, b)
    exponents = np.unique(np.asarray(b, dtype=np.float64))
    if len(exponents) != 1:
        raise call.refuse("has public exponents that differ; one exponent for all is supported.")
    number = float(exponents[0])
    base = numbers(call.p, a)
    roots = {0.5: sqrt, -0.5: rsqrt, -1.0: reciprocal}
    if number in roots:
        return roots[number](call.p, fractional(call.p, base))
    if number == 0.0:
        return np.ones(np.broadcast_shapes(a.shape, b.shape))
    if not number.is_integer() or not 0 < number <= 3:
        try:
            return power(call.p, fractional(call.p, base), number)
        except ValueError as error:
            raise call.refuse(f"raises to the power {number:g}: {error}.") from None
    return _whole_power(call.p, base, int(number))


def _whole_power(p: Protocol, base: Secret, exponent: int) -> Secret:
    result: Secret | None = None
    square = base
    while exponent:
        if exponent & 1:
            result = square if result is None else multiply(p, result, square)
        exponent >>= 1
        if exponent:
            square = multiply(p, square, square)
    assert result is not None  # noqa: S101 - the exponent was 1 or more
    return result


def _power_of_secret(call: Call, a: Value, b: Value) -> Held:
    """exp(b log a), for a > 0."""
    if is_secret(a):
        logarithm: Value = log(call.p, fractional(call.p, a))
    else:
        base = np.asarray(a, dtype=np.float64)
        if not bool((base > 0).all()):
            raise call.refuse("raises public numbers that are not above 0 to a secret power.")
        logarithm = np.log(base)
    return exp(call.p, fractional(call.p, multiply(call.p, b, logarithm)))


def _difference(call: Call, *, turned: bool = False) -> tuple[Value, Value, int]:
    """Both sides, and the bits of their difference."""
    a, b = _pair(call)
    first, second = call.intervals[0], call.intervals[1]
    apart = Interval(first.low - second.high, first.high - second.low) if first and second else Interval(-math.inf, 0.0)
    scale = max(scale_of(a, b), FRACTION if any(kind.dtype.startswith("float") for kind in call.inputs) else 0)
    return (b, a, comparison_bits(apart, scale)) if turned else (a, b, comparison_bits(apart, scale))


def _maximum(call: Call) -> Held:
    a, b, bits = _difference(call)
    gain = subtract(call.p, b, a)
    return add(call.p, chosen(call.p, call.p.negative(-gain.share, bits), gain), a)


def _minimum(call: Call) -> Held:
    a, b, bits = _difference(call)
    gain = subtract(call.p, b, a)
    return add(call.p, chosen(call.p, call.p.negative(gain.share, bits), gain), a)


def _compared(run: np.ufunc, rule: Rule) -> Rule:
    """A comparison; with public infinities, or what is no number, the answer is known: secret numbers are finite."""

    def whole(call: Call) -> Result:
        known = _beyond(call, run)
        return rule(call) if known is None else known

    return whole


def _beyond(call: Call, run: np.ufunc) -> Array | None:
    a, b = _pair(call)
    if is_secret(a) == is_secret(b) or truth(a) or truth(b):
        return None
    other = np.asarray(b if is_secret(a) else a)
    if other.dtype.kind != "f" or bool(np.isfinite(other).any()):
        return None
    given = (np.zeros(()), other) if is_secret(a) else (other, np.zeros(()))
    return np.broadcast_to(run(*given), call.lead + call.outputs[0].shape)


def _less(call: Call) -> Held:
    a, b, bits = _difference(call)
    if truth(a) or truth(b):
        return _truth_less(call.p, a, b)
    return call.p.negative(subtract(call.p, a, b).share, bits)


def _less_or_equal(call: Call) -> Held:
    b, a, bits = _difference(call, turned=True)
    if truth(a) or truth(b):
        return call.p.invert(_truth_less(call.p, b, a))
    return call.p.invert(call.p.negative(subtract(call.p, b, a).share, bits))


def _truth_less(p: Protocol, a: Value, b: Value) -> Bits:
    turned: Value = p.invert(truths(p, a)) if is_secret(a) else np.logical_not(np.asarray(a))
    return both(p, turned, b)


def _differ(p: Protocol, a: Value, b: Value) -> Bits:
    if truth(a) and truth(b):
        return exclusive_or(p, a, b)
    return p.invert(equal(p, a, b))


def _where(call: Call) -> Held:
    rank = call.outputs[0].rank
    return where(call.p, call.aligned(0, rank), call.aligned(1, rank), call.aligned(2, rank))


def _to(call: Call) -> Held:
    value, target, source = call.value(0), call.outputs[0].dtype, call.inputs[0].dtype
    if target == "bool":
        return truths(call.p, value)
    x = numbers(call.p, value)
    if target == "int64" and source.startswith("float"):
        return toward_zero(call.p, x)
    return x


def toward_zero(p: Protocol, x: Secret) -> Secret:
    """The whole part of each number, exactly."""
    if x.scale == 0:
        return x
    below = p.negative(x.share)
    magnitude = Secret(x.share - chosen(p, below, x).share.scaled(2), x.scale)
    bits = p.arithmetic(p.decompose(magnitude.share).slice(x.scale, 63))
    whole = bits.map(_weighed)
    signed = whole - p.select(below, whole).scaled(2)
    return Secret(signed, 0)


def _weighed(planes: Array) -> Array:
    weights = np.uint64(1) << np.arange(len(planes), dtype=np.uint64)
    return np.asanyarray((planes * weights.reshape(-1, *(1,) * (planes.ndim - 1))).sum(axis=0, dtype=np.uint64))


ELEMENTWISE: Mapping[str, Rule] = {
    "neg": _neg,
    "abs": _abs,
    "sign": _sign,
    "exp": _function(exp),
    "expm1": _function(expm1),
    "log": _function(log),
    "log1p": _function(log1p),
    "sqrt": _function(sqrt),
    "rsqrt": _function(rsqrt),
    "sin": _periodic(sin),
    "cos": _periodic(cos),
    "tanh": _function(tanh),
    "sigmoid": _function(sigmoid),
    "erf": _function(erf),
    "relu": _relu,
    "relu_with_sign": relu_and_sign,
    "gelu": _function(gelu),
    "silu": _function(silu),
    "logical_not": _logical_not,
    "add": _binary(add),
    "sub": _binary(subtract),
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "maximum": _maximum,
    "minimum": _minimum,
    "eq": _compared(np.equal, _binary(equal)),
    "ne": _compared(np.not_equal, _binary(_differ)),
    "lt": _compared(np.less, _less),
    "le": _compared(np.less_equal, _less_or_equal),
    "logical_and": _binary(both),
    "logical_or": _binary(either),
    "where": _where,
    "to": _to,
}
"""Name to rule; ``relu_with_sign``, ``gelu`` and ``silu`` are made by ``fusion``."""
