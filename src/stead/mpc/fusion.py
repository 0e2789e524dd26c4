"""Rewriting a Program for shares: the same results, with fewer comparisons, rounds and truncations.

``fused`` changes no meaning: max-pool goes before ReLU, the signs that ReLU has found serve its gradient, the winners
of a max-pool serve its gradient, exp(log_softmax) becomes a division. ``summed`` moves sums over examples to where they
cost least. What the model's owner can do in the clear stands in ``stead.mpc.folding``.
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
    for change in (_pool_first, _shared_signs, _shared_winners, _softmax):
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
    """exp(s - log(sum(exp(s)))) is exp(s) / sum(exp(s)): no logarithm, and no second exp."""
    makers = graph.makers
    nodes, changed = [], False
    for node in graph.nodes:
        ratio = None if node.inputs and node.inputs[0] in public else _exp_of_log(makers, node)
        nodes.append(replace(node, op="div", inputs=ratio) if ratio else node)
        changed = changed or ratio is not None
    return graph.with_nodes(nodes) if changed else graph


def _exp_of_log(makers: Mapping[int, Node], node: Node) -> tuple[int, int] | None:
    difference = makers.get(node.inputs[0]) if node.op == "exp" else None
    logarithm = makers.get(difference.inputs[1]) if difference is not None and difference.op == "sub" else None
    total = makers.get(logarithm.inputs[0]) if logarithm is not None and logarithm.op == "log" else None
    top = makers.get(total.inputs[0]) if total is not None and total.op == "sum" else None
    if difference is None or total is None or top is None or top.op != "exp" or top.inputs[0] != difference.inputs[0]:
        return None
    return top.outputs[0], total.outputs[0]


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
