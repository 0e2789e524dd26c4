"""Rewriting a Program for shares: the same results, with fewer comparisons, rounds and truncations.

``fused`` changes no meaning: max-pool goes before ReLU, the signs that ReLU found serve its gradient, the winners of
a max-pool serve its gradient, softmax and GELU become one function each. ``summed`` moves sums over examples to where
they cost least. What the model's owner can do in the clear stands in ``stead.mpc.folding``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import cast

from stead.mpc.graph import Graph, Node
from stead.plans.program import TensorType

_RELU, _POOL = "relu", "max_pool2d_with_indices"


def fused(graph: Graph, public: AbstractSet[int] = frozenset()) -> Graph:
    """The graph with fused operations; rules for them stand in ``stead.mpc.rules``.

    Args:
        graph: of a Program.
        public: values that all know: what reads them alone stays as it is.
    """
    for change in (_pool_first, _shared_signs, _shared_winners, _softmax, _gated):
        graph = change(graph, public)
    return graph


def _pool_first(graph: Graph, public: AbstractSet[int]) -> Graph:
    """Relu then max-pool: the other way round, on a quarter of the elements or fewer."""
    makers, readers = graph.makers, graph.readers
    swapped: dict[int, Node] = {}
    for node in graph.nodes:
        maker = makers.get(node.inputs[0]) if node.op == _POOL and node.inputs[0] not in public else None
        if maker is None or maker.op != _RELU or readers[node.inputs[0]] != 1 or readers[node.outputs[1]]:
            continue
        swapped[node.outputs[0]] = maker
    fresh, nodes = graph.fresh(), []
    for node in graph.nodes:
        if node.op != _POOL or node.outputs[0] not in swapped:
            nodes.append(node)
            continue
        relu = swapped[node.outputs[0]]
        before = replace(node, inputs=relu.inputs, outputs=(fresh, fresh + 1))
        nodes += [before, replace(relu, inputs=(fresh,), outputs=node.outputs[:1], kinds=node.kinds[:1])]
        fresh += 2
    return graph.with_nodes(nodes) if swapped else graph


def _number(makers: Mapping[int, Node], value: int) -> float | None:
    """The number that a value holds everywhere, if a ``full`` step says so."""
    maker = makers.get(value)
    while maker is not None and maker.op in ("view", "expand"):
        maker = makers.get(maker.inputs[0])
    return float(cast("float", maker.attributes["value"])) if maker is not None and maker.op == "full" else None


def _shared_signs(graph: Graph, public: AbstractSet[int]) -> Graph:
    """relu(x) <= 0 is where relu found no positive number: ask for its signs, and compare nothing again."""
    makers, fresh = graph.makers, graph.fresh()
    signs: dict[int, int] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        maker = makers.get(node.inputs[0]) if node.op == "le" and node.inputs[0] not in public else None
        if maker is None or maker.op != _RELU or _number(makers, node.inputs[1]) != 0.0:
            nodes.append(node)
            continue
        if node.kinds[0].shape != maker.kinds[0].shape:
            nodes.append(node)
            continue
        sign = signs.setdefault(maker.outputs[0], fresh)
        fresh += sign == fresh
        nodes.append(replace(node, op="logical_not", inputs=(sign,)))
    if not signs:
        return graph
    with_signs = [_with_sign(node, signs[node.outputs[0]]) if node.outputs[0] in signs else node for node in nodes]
    return graph.with_nodes(with_signs)


def _with_sign(relu: Node, sign: int) -> Node:
    kind = relu.kinds[0]
    kinds = (kind, TensorType("bool", kind.shape))
    return replace(relu, op="relu_with_sign", outputs=(relu.outputs[0], sign), kinds=kinds)


def _shared_winners(graph: Graph, public: AbstractSet[int]) -> Graph:
    """A gradient scattered to where a max-pool found its largest: given back along the games that were played."""
    makers = graph.makers
    nodes, changed = list[Node](), set[int]()
    for node in graph.nodes:
        pool = _scattered_pool(graph, makers, node)
        if pool is None or pool.inputs[0] in public:
            nodes.append(node)
            continue
        changed.add(pool.outputs[1])
        images = graph.types[pool.inputs[0]]
        number = max(graph.fresh(), *(value + 1 for made in nodes for value in made.outputs))
        shaped = replace(
            node, op="max_pool_grad", inputs=(node.inputs[2], pool.outputs[1]), outputs=(number,), kinds=(images,)
        )
        nodes += [shaped, replace(node, op="view", inputs=(number,), attributes={"shape": node.kinds[0].shape})]
    if not changed:
        return graph
    shared = graph.with_nodes(nodes)
    unread = changed - {value for node in shared.nodes if node.op != "max_pool_grad" for value in node.inputs}
    if changed - unread or changed.intersection(graph.outputs):
        return graph  # the indices themselves are wanted too
    return shared.with_nodes(
        [
            replace(node, op="max_pool_with_winners") if node.op == _POOL and node.outputs[1] in changed else node
            for node in shared.nodes
        ]
    )


def _scattered_pool(graph: Graph, makers: Mapping[int, Node], node: Node) -> Node | None:
    """The max-pool whose indices place what a scatter_add writes, where it writes whole images of zeros."""
    if node.op != "scatter_add" or _number(makers, node.inputs[0]) != 0.0:
        return None
    value = node.inputs[1]
    while (maker := makers.get(value)) is not None and maker.op == "view":
        value = maker.inputs[0]
    if maker is None or maker.op != _POOL or value != maker.outputs[1]:
        return None
    images, places = graph.types[maker.inputs[0]].shape, maker.kinds[0].shape
    target, index = graph.types[node.inputs[0]].shape, graph.types[node.inputs[1]].shape
    flat = node.attributes["axis"] == len(target) - 1 and target[-1] == math.prod(images[-2:])
    return maker if flat and index == (*target[:-1], math.prod(places[-2:])) else None


def _softmax(graph: Graph, public: AbstractSet[int]) -> Graph:
    """exp(x - max) / sum and x - max - log(sum), and exp of that, as one operation each."""
    makers = graph.makers
    nodes, logarithms, changed = list[Node](), dict[int, tuple[int, int]](), False
    for node in graph.nodes:
        found = _softmax_of(makers, node, logarithms)
        if found is None or found[1] in public:
            nodes.append(node)
            continue
        name, value, axis = found
        if name == "log_softmax":
            logarithms[node.outputs[0]] = (value, axis)
        nodes.append(replace(node, op=name, inputs=(value,), attributes={"axis": axis}))
        changed = True
    return graph.with_nodes(nodes) if changed else graph


def _softmax_of(
    makers: Mapping[int, Node], node: Node, logarithms: Mapping[int, tuple[int, int]]
) -> tuple[str, int, int] | None:
    """The operation that a node ends, what it is of, and along which axis."""
    if node.op == "exp" and node.inputs[0] in logarithms:
        return ("softmax", *logarithms[node.inputs[0]])
    if node.op == "div":
        top, total = makers.get(node.inputs[0]), makers.get(node.inputs[1])
        found = _shifted_sum(makers, total)
        return ("softmax", *found[1:]) if found is not None and top is not None and top.outputs[0] == found[0] else None
    logarithm = makers.get(node.inputs[1]) if node.op == "sub" else None
    if logarithm is None or logarithm.op != "log":
        return None
    found = _shifted_sum(makers, makers.get(logarithm.inputs[0]))
    return ("log_softmax", *found[1:]) if found is not None and makers[found[0]].inputs[0] == node.inputs[0] else None


def _shifted_sum(makers: Mapping[int, Node], total: Node | None) -> tuple[int, int, int] | None:
    """For sum(exp(x - amax(x))), kept, along one axis: the exponential, x and the axis."""
    exponential = makers.get(total.inputs[0]) if total is not None and total.op == "sum" else None
    shifted = makers.get(exponential.inputs[0]) if exponential is not None and exponential.op == "exp" else None
    top = makers.get(shifted.inputs[1]) if shifted is not None and shifted.op == "sub" else None
    if total is None or exponential is None or shifted is None or top is None or top.op != "amax":
        return None
    axes = cast("tuple[int, ...]", total.attributes["axes"])
    kept = total.attributes["keep"] and top.attributes["keep"] and top.attributes["axes"] == axes and len(axes) == 1
    return (exponential.outputs[0], shifted.inputs[0], axes[0]) if kept and top.inputs[0] == shifted.inputs[0] else None


def _gated(graph: Graph, public: AbstractSet[int]) -> Graph:
    """X sigmoid(x), and x / 2 (1 + erf(x / sqrt 2)), as one function each."""
    makers, nodes, changed = graph.makers, list[Node](), False
    for node in graph.nodes:
        found = _gate(makers, node)
        if found is None or found[1] in public:
            nodes.append(node)
            continue
        nodes.append(replace(node, op=found[0], inputs=(found[1],), attributes={}))
        changed = True
    return graph.with_nodes(nodes) if changed else graph


def _gate(makers: Mapping[int, Node], node: Node) -> tuple[str, int] | None:
    if node.op != "mul":
        return None
    for first, second in (node.inputs, node.inputs[::-1]):
        maker = makers.get(second)
        if maker is not None and maker.op == "sigmoid" and maker.inputs[0] == first:
            return "silu", first
        half = _scaled(makers, first, 0.5)
        inner = _added(makers, maker, 1.0)
        error = makers.get(inner) if inner is not None else None
        if half is None or error is None or error.op != "erf":
            continue
        if _scaled(makers, error.inputs[0], math.sqrt(0.5)) == half:
            return "gelu", half
    return None


def _scaled(makers: Mapping[int, Node], value: int, factor: float) -> int | None:
    """X where the value is x times that number."""
    maker = makers.get(value)
    return _beside(makers, maker, factor) if maker is not None and maker.op == "mul" else None


def _added(makers: Mapping[int, Node], maker: Node | None, number: float) -> int | None:
    return _beside(makers, maker, number) if maker is not None and maker.op == "add" else None


def _beside(makers: Mapping[int, Node], maker: Node, number: float) -> int | None:
    for first, second in (maker.inputs, maker.inputs[::-1]):
        found = _number(makers, second)
        if found is not None and math.isclose(found, number, rel_tol=1e-6):
            return first
    return None


def summed(graph: Graph, outputs: Sequence[int], depends: set[int]) -> Graph:
    """With sums over the examples instead of some outputs: moved to where they cost least.

    Args:
        graph: of one example.
        outputs: the places, among the graph's outputs, of those to be summed.
        depends: the values that differ by example.
    """
    makers = graph.makers
    nodes, totals, counter = list(graph.nodes), dict[int, int](), [graph.fresh()]

    def total(value: int) -> int:
        if value in totals:
            return totals[value]
        node = makers.get(value) or Node("input", (), {}, (graph.types[value],), (value,), -1)
        inside = node.inputs
        if node.op in ("view", "permute", "neg", "flip", "slice", "expand"):
            inside = (total(node.inputs[0]),)
        merged = not (node.op in _MERGING and all(value in depends for value in node.inputs))
        moved = inside != node.inputs
        totals[value] = number = counter[0]
        counter[0] += 1
        if moved:
            nodes.append(replace(node, inputs=inside, outputs=(number,)))
        elif not merged or node.op == "sum":
            nodes.append(replace(node, outputs=(number,), total=True))
        else:
            nodes.append(Node("total", (value,), {}, node.kinds[:1], (number,), node.step, total=True))
        return number

    wanted = list(graph.outputs)
    for place in outputs:
        if wanted[place] in depends:
            wanted[place] = total(wanted[place])
    return graph.with_nodes(nodes, wanted)


_MERGING = frozenset({"mm", "bmm", "convolution_weight_grad"})
