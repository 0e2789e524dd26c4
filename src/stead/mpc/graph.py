"""``Graph``: a Program opened for rewriting: nodes with numbered values, in an order in which they can run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stead.plans.check import load_constants, type_of
from stead.plans.ops.operation import Array
from stead.plans.program import Attribute, Program, TensorType


@dataclass(frozen=True)
class Node:
    """One operation of the table, or a fused one.

    Attributes:
        op: the operation.
        inputs: the values read.
        attributes: the operation's attributes.
        kinds: the types of the values written.
        outputs: their numbers.
        step: the Program's step that it came from.
        total: whether it gives the sum over the examples.
    """

    op: str
    inputs: tuple[int, ...]
    attributes: Mapping[str, Attribute]
    kinds: tuple[TensorType, ...]
    outputs: tuple[int, ...]
    step: int
    total: bool = False


@dataclass(frozen=True)
class Graph:
    """A Program's nodes.

    Attributes:
        count: how many inputs; they are the values 0 .. count - 1.
        constants: by number of the value.
        nodes: each after those that it reads.
        types: of every value, without an axis of examples.
        outputs: the values asked for.
    """

    count: int
    constants: Mapping[int, Array]
    nodes: tuple[Node, ...]
    types: Mapping[int, TensorType]
    outputs: tuple[int, ...]

    @property
    def makers(self) -> dict[int, Node]:
        """The node that writes each value."""
        return {value: node for node in self.nodes for value in node.outputs}

    @property
    def readers(self) -> Counter[int]:
        """How many nodes and outputs read each value."""
        return Counter([*self.outputs, *(value for node in self.nodes for value in node.inputs)])

    def fresh(self) -> int:
        """A number that no value has."""
        return max(self.types) + 1

    def with_nodes(self, nodes: Sequence[Node], outputs: Sequence[int] | None = None) -> Graph:
        """With other nodes; what nobody reads is left out."""
        types = dict(self.types)
        types.update((value, kind) for node in nodes for value, kind in zip(node.outputs, node.kinds, strict=True))
        return pruned(replace(self, nodes=tuple(nodes), types=types, outputs=tuple(outputs or self.outputs)))


def graph_of(program: Program, outputs: Sequence[int] | None = None) -> Graph:
    """A Program's graph; with ``outputs`` (places among the Program's) only what these need."""
    types = {at: item.type for at, item in enumerate(program.inputs)}
    constants: dict[int, Array] = {}
    for array in load_constants(program):
        number = len(types)
        types[number], constants[number] = type_of(array), array
    nodes = []
    for at, step in enumerate(program.steps):
        numbers = tuple(range(len(types), len(types) + len(step.outputs)))
        types.update(zip(numbers, step.outputs, strict=True))
        nodes.append(Node(step.op, step.inputs, step.attributes, step.outputs, numbers, at))
    wanted = program.outputs if outputs is None else tuple(program.outputs[at] for at in outputs)
    return pruned(Graph(len(program.inputs), constants, tuple(nodes), types, wanted))


def pruned(graph: Graph) -> Graph:
    """Without the nodes that no output needs."""
    needed, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    return replace(graph, nodes=tuple(kept[::-1]))


def renamed(node: Node, names: Mapping[int, int]) -> Node:
    """The node reading other values."""
    return replace(node, inputs=tuple(names.get(value, value) for value in node.inputs))
