"""``Ranges``: where the numbers of a Program lie, proven by interval arithmetic or seen in runs in the clear.

A comparison of numbers that are known to be small reads 32 of their 64 bits, and one whose answer is known needs no
secret at all. ``declared`` proves ranges from bounds on the inputs; ``calibrate`` takes them from examples, with a
margin, and then a number outside gives a silently wrong sign: results say which of the two they rest on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

import numpy as np

from stead.errors import UsageError
from stead.mpc.graph import Graph, Node, graph_of
from stead.mpc.shares import WORD
from stead.plans.engine import check_inputs
from stead.plans.ops import OPERATIONS
from stead.plans.ops.operation import Array, Call
from stead.plans.program import Program, TensorType

Basis = Literal["none", "proven", "calibrated"]


class Interval(NamedTuple):
    """All numbers of a value lie in [low, high]."""

    low: float
    high: float

    def __bool__(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(abs(self.low), abs(self.high))


ANYWHERE = Interval(-math.inf, math.inf)
_NARROW_BITS = 32
_STEP = 4
_SLACK = 4.0
"""Units in the last place that truncation and rounding may move a number across a bound, and more."""


def comparison_bits(within: Interval, scale: int) -> int:
    """The fewest bits, in steps of four up to 64, that hold every number of the interval with so many fraction bits."""
    if not within:
        return WORD
    units = int(within.largest * 2.0**scale + _SLACK)
    return min(WORD, -(-(units.bit_length() + 1) // _STEP) * _STEP)


def function_bits(within: Interval, scale: int) -> int:
    """32 where ``comparison_bits`` are no more, else 64: the widths at which the functions' tables are tested."""
    return _NARROW_BITS if comparison_bits(within, scale) <= _NARROW_BITS else WORD


@dataclass(frozen=True)
class Ranges:
    """Where a Program's values lie.

    Attributes:
        intervals: by number of the value.
        basis: what they rest on.
    """

    intervals: Mapping[int, Interval] = field(default_factory=dict)
    basis: Basis = "none"

    def of(self, value: int) -> Interval:
        """The interval of a value; everything where nothing is known."""
        return self.intervals.get(value, ANYWHERE)


def declared(program: Program, bounds: Mapping[str, tuple[float, float]]) -> Ranges:
    """Proven ranges from bounds on inputs.

    Args:
        program: a checked Program.
        bounds: (low, high) by the inputs' names; inputs that are not named may be anything.

    Raises:
        UsageError: a name is no input, or low is not below high.
    """
    names = {item.name: at for at, item in enumerate(program.inputs)}
    start: dict[int, Interval] = {}
    for name, (low, high) in bounds.items():
        if name not in names or not low <= high:
            raise UsageError(f"{name!r} with bounds {low} and {high}: name an input of the program, low before high.")
        start[names[name]] = Interval(float(low), float(high))
    return Ranges(propagated(graph_of(program), start), "proven" if bounds else "none")


def calibrate(program: Program, examples: Sequence[Sequence[Array]], *, margin: float = 2.0) -> Ranges:
    """Ranges seen in runs in the clear, widened.

    Args:
        program: a checked Program.
        examples: inputs of the Program, one list for each run.
        margin: by how much the largest magnitude seen is multiplied.

    Raises:
        UsageError: there are no examples, or they do not fit the Program.
    """
    if not examples or margin < 1.0:
        raise UsageError(f"{len(examples)} examples and a margin of {margin}: give one example or more, and 1 or more.")
    graph, largest = graph_of(program), dict[int, float]()
    for inputs in examples:
        check_inputs(program, inputs, ())
        for number, array in _run(graph, inputs):
            if array.dtype.kind != "b":
                seen = float(np.abs(array.astype(np.float64)).max(initial=0.0))
                largest[number] = max(largest.get(number, 0.0), seen if math.isfinite(seen) else math.inf)
    return Ranges({at: Interval(-margin * top, margin * top) for at, top in largest.items()}, "calibrated")


def _run(graph: Graph, inputs: Sequence[Array]) -> list[tuple[int, Array]]:
    values: dict[int, Array] = {**dict(enumerate(inputs)), **graph.constants}
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            kinds = [graph.types[value] for value in node.inputs]
            arrays = [values[value] for value in node.inputs]
            call = Call(arrays, (0,) * len(arrays), node.attributes, kinds, node.kinds)
            found = OPERATIONS[node.op].kernel(call)
            values.update(zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=True))
    return list(values.items())


def propagated(graph: Graph, start: Mapping[int, Interval]) -> dict[int, Interval]:
    """Interval arithmetic over a graph; operations without a rule give everything."""
    found = dict(start)
    for number, array in graph.constants.items():
        found[number] = _seen(array)
    for node in graph.nodes:
        given = [found.get(value, ANYWHERE) for value in node.inputs]
        kinds = [graph.types[value] for value in node.inputs]
        for at, number in enumerate(node.outputs):
            found[number] = _interval(node, at, given, kinds)
    return found


def _seen(array: Array) -> Interval:
    wide = array.astype(np.float64)
    return Interval(float(wide.min()), float(wide.max())) if np.isfinite(wide).all() else ANYWHERE


def _interval(node: Node, output: int, given: list[Interval], kinds: list[TensorType]) -> Interval:
    if node.kinds[output].dtype == "bool":
        return Interval(0.0, 1.0)
    if node.op in _PASSED:
        return _hull(given[:1])
    rule = _RULES.get(node.op)
    if rule is not None:
        return rule(node, given, kinds) if output == 0 else ANYWHERE
    if node.op in _MONOTONE and given[0]:
        run = _MONOTONE[node.op]
        with np.errstate(all="ignore"):
            low, high = float(run(given[0].low)), float(run(given[0].high))
        return Interval(low, high) if low <= high else ANYWHERE
    return _BOUNDED.get(node.op, ANYWHERE)


def _hull(given: Sequence[Interval]) -> Interval:
    return Interval(min(item.low for item in given), max(item.high for item in given))


def _plus(a: Interval, b: Interval) -> Interval:
    return Interval(a.low + b.low, a.high + b.high) if a and b else ANYWHERE


def _times(a: Interval, b: Interval) -> Interval:
    if not (a and b):
        return ANYWHERE
    corners = [x * y for x in a for y in b]
    return Interval(min(corners), max(corners))


def _repeated(term: Interval, count: int) -> Interval:
    return Interval(term.low * count, term.high * count) if term else ANYWHERE


def _over(a: Interval, b: Interval) -> Interval:
    if not b or b.low <= 0.0 <= b.high:
        return ANYWHERE
    return _times(a, Interval(1.0 / b.high, 1.0 / b.low))


def _sum(node: Node, given: list[Interval], kinds: list[TensorType]) -> Interval:
    axes = cast("tuple[int, ...]", node.attributes["axes"])
    return _repeated(given[0], math.prod(kinds[0].shape[axis] for axis in axes))


def _matrix(_node: Node, given: list[Interval], kinds: list[TensorType]) -> Interval:
    return _repeated(_times(given[0], given[1]), kinds[0].shape[-1])


def _windows(_node: Node, given: list[Interval], kinds: list[TensorType]) -> Interval:
    return _repeated(_with_zero(_times(given[0], given[1])), math.prod(kinds[1].shape[1:]))


def _spread(_node: Node, given: list[Interval], kinds: list[TensorType]) -> Interval:
    fan = kinds[1].shape[0] * math.prod(kinds[1].shape[2:])
    return _repeated(_with_zero(_times(given[0], given[1])), fan)


def _with_zero(within: Interval) -> Interval:
    return Interval(min(within.low, 0.0), max(within.high, 0.0))


def _full(node: Node, _given: list[Interval], _kinds: list[TensorType]) -> Interval:
    number = float(cast("float", node.attributes["value"]))
    return Interval(number, number)


def _arange(node: Node, _given: list[Interval], _kinds: list[TensorType]) -> Interval:
    start, end = (cast("int", node.attributes[name]) for name in ("start", "end"))
    return Interval(min(start, end), max(start, end))


def _pad(node: Node, given: list[Interval], kinds: list[TensorType]) -> Interval:
    return _hull([given[0], _full(node, given, kinds)])


def _absolute(_node: Node, given: list[Interval], _kinds: list[TensorType]) -> Interval:
    low, high = given[0]
    return Interval(0.0 if low <= 0.0 <= high else min(abs(low), abs(high)), given[0].largest)


def _cast(node: Node, given: list[Interval], kinds: list[TensorType]) -> Interval:
    if node.kinds[0].dtype == "int64" and kinds[0].dtype.startswith("float") and given[0]:
        return Interval(math.trunc(given[0].low), math.trunc(given[0].high))
    return given[0]


def _square_or_product(node: Node, given: list[Interval], _kinds: list[TensorType]) -> Interval:
    product = _times(given[0], given[1])
    if product and node.inputs[0] == node.inputs[1]:
        return Interval(max(0.0, product.low), product.high)
    return product


_RULES: Mapping[str, Callable[[Node, list[Interval], list[TensorType]], Interval]] = {
    "full": _full,
    "arange": _arange,
    "neg": lambda _n, g, _k: Interval(-g[0].high, -g[0].low),
    "abs": _absolute,
    "relu": lambda _n, g, _k: Interval(max(g[0].low, 0.0), max(g[0].high, 0.0)),
    "add": lambda _n, g, _k: _plus(g[0], g[1]),
    "sub": lambda _n, g, _k: _plus(g[0], Interval(-g[1].high, -g[1].low)),
    "mul": _square_or_product,
    "div": lambda _n, g, _k: _over(g[0], g[1]),
    "maximum": lambda _n, g, _k: Interval(max(g[0].low, g[1].low), max(g[0].high, g[1].high)),
    "minimum": lambda _n, g, _k: Interval(min(g[0].low, g[1].low), min(g[0].high, g[1].high)),
    "where": lambda _n, g, _k: _hull(g[1:]),
    "to": _cast,
    "sum": _sum,
    "mm": _matrix,
    "bmm": _matrix,
    "convolution": _windows,
    "convolution_transpose": _spread,
    "avg_pool2d": lambda _n, g, _k: _with_zero(g[0]),
    "cat": lambda _n, g, _k: _hull(g),
    "pad": _pad,
    "gather": lambda _n, g, _k: _with_zero(g[0]),
    "index_select": lambda _n, g, _k: _with_zero(g[0]),
    "max_pool2d_with_indices": lambda _n, g, _k: g[0],
    "argmax": lambda n, _g, k: Interval(0.0, float(k[0].shape[cast("int", n.attributes["axis"])] - 1)),
}
_PASSED = frozenset({"view", "permute", "expand", "slice", "flip", "amax"})
_MONOTONE: Mapping[str, Callable[[float], float]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
}
_BOUNDED: Mapping[str, Interval] = {
    "sign": Interval(-1.0, 1.0),
    "sin": Interval(-1.0, 1.0),
    "cos": Interval(-1.0, 1.0),
    "tanh": Interval(-1.0, 1.0),
    "erf": Interval(-1.0, 1.0),
    "sigmoid": Interval(0.0, 1.0),
}
