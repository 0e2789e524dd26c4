"""``fold``: what a model's owner does in the clear before the model is shared.

What depends on the model alone is computed, and chains of scales and shifts (batch norm in evaluation mode) go into the
weights before them: the weights stay secret, and no step on shares is spent on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stead.errors import UsageError
from stead.mpc.graph import Graph, Node, graph_of
from stead.plans.builder import ProgramBuilder
from stead.plans.builder import Value as Built
from stead.plans.check import type_of
from stead.plans.ops import OPERATIONS
from stead.plans.ops.operation import Array, Call
from stead.plans.program import Program


@dataclass(frozen=True)
class Folded:
    """A model whose owner has done what needs no secret.

    Attributes:
        program: takes the folded parameters, then what the original took beside parameters and buffers.
        parameters: their values, in the order of the Program's inputs.
    """

    program: Program
    parameters: tuple[Array, ...]


def fold(program: Program, parameters: Mapping[str, Array] | Sequence[Array]) -> Folded:
    """Fold what depends on the model alone into fewer parameters; done by the model's owner, before it is shared.

    Args:
        program: of ``adapters.torch.trace``, in evaluation mode.
        parameters: the values of all parameters and buffers, by name or in the order of the Program's inputs.

    Returns:
        A Program with the same results (up to the rounding of float32) and its parameters.

    Raises:
        UsageError: a parameter or buffer is missing or has another type or shape.
    """
    graph = graph_of(program)
    model = [at for at, item in enumerate(program.inputs) if item.role in ("parameter", "buffer")]
    given = _by_place(program, model, parameters)
    known: dict[int, Array] = {**given, **graph.constants}
    _precompute(graph, known)
    return _Folding(program, graph, known).run()


def _by_place(
    program: Program, model: Sequence[int], parameters: Mapping[str, Array] | Sequence[Array]
) -> dict[int, Array]:
    names = [program.inputs[at].name for at in model]
    if isinstance(parameters, Mapping):
        missing = [name for name in names if name not in parameters]
        if missing:
            raise UsageError(f"{len(missing)} of {len(names)} parameters and buffers have no value: {missing[0]!r}.")
        parameters = [parameters[name] for name in names]
    if len(parameters) != len(model):
        raise UsageError(f"the program has {len(model)} parameters and buffers; got {len(parameters)} values.")
    given = {at: np.asarray(array) for at, array in zip(model, parameters, strict=True)}
    for at, array in given.items():
        if array.shape != program.inputs[at].type.shape or array.dtype.name != program.inputs[at].type.dtype:
            raise UsageError(f"{program.inputs[at].name!r} is {program.inputs[at].type}; got {array.shape}.")
    return given


def _precompute(graph: Graph, known: dict[int, Array]) -> None:
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            if all(value in known for value in node.inputs):
                kinds = [graph.types[value] for value in node.inputs]
                arrays = [known[value] for value in node.inputs]
                call = Call(arrays, (0,) * len(arrays), node.attributes, kinds, node.kinds)
                found = OPERATIONS[node.op].kernel(call)
                known.update(zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=True))


class _Folding:
    """Writes the folded Program."""

    def __init__(self, program: Program, graph: Graph, known: dict[int, Array]) -> None:
        self._program = program
        self._graph = graph
        self._known = known
        self._makers, self._readers = graph.makers, graph.readers
        self._next = {value: node for node in graph.nodes for value in node.inputs if self._readers[value] == 1}
        self._builder = ProgramBuilder()
        self._built: dict[int, Built] = {}
        self._parameters: list[tuple[str, Array]] = []
        self._names: set[str] = {item.name for item in program.inputs}

    def run(self) -> Folded:
        """The Program: first as a list of what is to be written, then written, parameters first."""
        plan = self._plan()
        for node, chain in plan:
            self._collect(node, chain)
        parameters = [self._builder.input(name, "parameter", type_of(array)) for name, array in self._parameters]
        for at, item in enumerate(self._program.inputs):
            if at not in self._known:
                self._built[at] = self._builder.input(item.name, item.role, item.type)
        taken = iter(parameters)
        for node, chain in plan:
            self._write(node, chain, lambda: next(taken))
        outputs = {
            name: self._output(value)
            for name, value in zip(self._program.output_names, self._graph.outputs, strict=True)
        }
        return Folded(self._builder.build(outputs), tuple(array for _, array in self._parameters))

    def _output(self, value: int) -> Built:
        return self._built[value] if value in self._built else self._builder.constant(self._known[value])

    def _plan(self) -> list[tuple[Node, list[Node]]]:
        """The nodes that are left, each with the chain of scales and shifts that goes into it."""
        plan, gone = [], set[int]()
        for node in self._graph.nodes:
            if node.outputs[0] in self._known or node.outputs[0] in gone:
                continue
            chain = self._chain(node) if node.op in ("convolution", "mm") else []
            gone.update(link.outputs[0] for link in chain)
            plan.append((node, chain))
        return plan

    def _chain(self, node: Node) -> list[Node]:
        if node.inputs[1] not in self._known or node.inputs[0] in self._known:
            return []
        chain, value = list[Node](), node.outputs[0]
        while value in self._next and value not in self._graph.outputs:
            link = self._next[value]
            if link.op not in ("add", "sub", "mul", "div") or self._channels(link, value, node) is None:
                break
            chain.append(link)
            value = link.outputs[0]
        return chain

    def _channels(self, link: Node, value: int, node: Node) -> Array | None:
        """The other operand of a link, one number for each channel; none where it is no such thing."""
        other = link.inputs[1] if link.inputs[0] == value else link.inputs[0]
        if other not in self._known or other == value or (link.op == "div" and link.inputs[0] != value):
            return None
        if link.kinds[0].shape != node.kinds[0].shape:
            return None
        array, rank = self._known[other], node.kinds[0].rank
        whole = array.reshape((1,) * (rank - array.ndim) + array.shape).astype(np.float64)
        axis = 1
        if any(size != 1 for at, size in enumerate(whole.shape) if at != axis):
            return None
        return np.broadcast_to(whole.reshape(-1), (node.kinds[0].shape[axis],))

    def _folded(self, node: Node, chain: list[Node]) -> tuple[Array, Array | None]:
        """The weight times all scales, and the shift."""
        weight = self._known[node.inputs[1]].astype(np.float64)
        channels = node.kinds[0].shape[1]
        scale, shift, value = np.ones(channels), np.zeros(channels), node.outputs[0]
        for link in chain:
            number = self._channels(link, value, node)
            assert number is not None  # noqa: S101 - it was in the chain
            turned = link.op == "sub" and link.inputs[0] != value
            if link.op in ("mul", "div"):
                factor = number if link.op == "mul" else 1.0 / number
                scale, shift = scale * factor, shift * factor
            elif turned:
                scale, shift = -scale, number - shift
            else:
                shift = shift + (number if link.op == "add" else -number)
            value = link.outputs[0]
        along = (-1,) + (1,) * (weight.ndim - 1) if node.op == "convolution" else (1, -1)
        dtype = self._known[node.inputs[1]].dtype
        return (weight * scale.reshape(along)).astype(dtype), shift.astype(dtype) if chain else None

    def _collect(self, node: Node, chain: list[Node]) -> None:
        if chain:
            weight, shift = self._folded(node, chain)
            self._parameter(node.inputs[1], weight, "weight")
            if shift is not None:
                self._parameter(chain[0].inputs[1], shift, "bias")
            return
        for value in node.inputs:
            if value in self._known and not self._plain(value):
                self._parameter(value, self._known[value], "value")

    def _plain(self, value: int) -> bool:
        """Whether it holds nothing of the model: made from constants alone."""
        if value < len(self._program.inputs):
            return False
        maker = self._makers.get(value)
        return maker is None or all(self._plain(inner) for inner in maker.inputs)

    def _parameter(self, value: int, array: Array, what: str) -> None:
        base = self._program.inputs[value].name if value < len(self._program.inputs) else f"folded.{value}.{what}"
        name, number = base, 1
        while name in {taken for taken, _ in self._parameters}:
            number += 1
            name = f"{base}.{number}"
        self._parameters.append((name, np.ascontiguousarray(array)))

    def _write(self, node: Node, chain: list[Node], parameter: Callable[[], Built]) -> None:
        attributes = dict(node.attributes)
        if not chain:
            given = [self._given(value, parameter) for value in node.inputs]
            made = self._builder.add_all(node.op, given, attributes)
            self._built.update(zip(node.outputs, made, strict=False))
            return
        result = self._builder.add(node.op, self._built[node.inputs[0]], parameter(), **attributes)
        shift = parameter()
        shaped = shift if node.op == "mm" else self._builder.view(shift, self._column(node))
        self._built[chain[-1].outputs[0]] = self._builder.add("add", result, shaped)

    def _column(self, node: Node) -> tuple[int, ...]:
        return (node.kinds[0].shape[1], *(1,) * (node.kinds[0].rank - 2))

    def _given(self, value: int, parameter: Callable[[], Built]) -> Built:
        if value not in self._known:
            return self._built[value]
        return self._builder.constant(self._known[value]) if self._plain(value) else parameter()
