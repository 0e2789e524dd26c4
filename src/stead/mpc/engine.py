"""``SharesEngine``: runs Programs on secret shares.

Values that are made from public ones alone are public and computed by the table's NumPy kernels; the others by the
rules of ``stead.mpc.rules``. Products stay at twice the fraction bits until something needs fewer; ReLU's choice
truncates on its way. A Program is checked on shapes (``Costing``) before anything is sent.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import numpy as np

from stead.core.channel import Traffic
from stead.errors import UsageError
from stead.mpc.costing import Costing, costs_of
from stead.mpc.fixed import Secret
from stead.mpc.fusion import fused, summed
from stead.mpc.graph import Graph, Node, graph_of
from stead.mpc.profile import Profile, StepCost, StepRecord, Timer
from stead.mpc.protocol import Protocol
from stead.mpc.ranges import Basis, Ranges
from stead.mpc.rules import RULES
from stead.mpc.rules.call import Call, Held
from stead.mpc.shares import Bits
from stead.mpc.values import Array, Value, is_secret, moved, multiply
from stead.plans.ops import OPERATIONS
from stead.plans.ops.operation import Call as PublicCall
from stead.plans.program import Program

_LOCAL = frozenset({"view", "permute", "expand", "slice", "flip"})
_HELD_NOWHERE = frozenset({"full", "arange", *_LOCAL})

Given: TypeAlias = Value


@dataclass(frozen=True)
class Plan:
    """A Program made ready for one way of running it.

    Attributes:
        program: which.
        graph: what is run.
        leads: for each input 1 if it carries a leading axis of examples, else 0.
        names: for each node, for profiles and errors.
        ends: for each node the values that nothing needs after it.
        way: how it is run.
        same: places of outputs to be summed that are the same for all examples.
    """

    program: Program
    graph: Graph
    leads: tuple[int, ...]
    names: tuple[str, ...]
    ends: tuple[tuple[int, ...], ...]
    way: Way
    same: tuple[int, ...]


@dataclass(frozen=True)
class Way:
    """How a Program is to be run.

    Attributes:
        examples: how many inputs, at the end, carry a leading axis of examples.
        outputs: places of the outputs that are wanted; all of them where none are named.
        summed: places, among those wanted, of the outputs whose sum over the examples is wanted.
        ranges: where the numbers lie.
    """

    examples: int = 0
    outputs: tuple[int, ...] | None = None
    summed: tuple[int, ...] = ()
    ranges: Ranges = field(default_factory=Ranges)


def plan(program: Program, secret: Sequence[bool], way: Way | None = None) -> Plan:
    """Make a Program ready.

    Args:
        program: a checked Program.
        secret: for each input whether it is secret.
        way: how it is to be run.
    """
    how = way or Way()
    graph = graph_of(program, how.outputs)
    public = _public(graph, secret)
    count = graph.count
    leads = tuple(int(at >= count - how.examples) for at in range(count))
    depends = _depending(graph, leads)
    same = tuple(place for place in how.summed if graph.outputs[place] not in depends)
    if how.summed:
        graph = summed(graph, how.summed, depends)
    graph = fused(graph, public)
    return Plan(program, graph, leads, _names(program, graph), _ends(graph), how, same)


def _public(graph: Graph, secret: Sequence[bool]) -> set[int]:
    found = {at for at in range(graph.count) if not secret[at]} | set(graph.constants)
    for node in graph.nodes:
        if found.issuperset(node.inputs):
            found.update(node.outputs)
    return found


def _depending(graph: Graph, leads: tuple[int, ...]) -> set[int]:
    found = {at for at, lead in enumerate(leads) if lead}
    for node in graph.nodes:
        if found.intersection(node.inputs):
            found.update(node.outputs)
    return found


def _names(program: Program, graph: Graph) -> tuple[str, ...]:
    """The operation, its step, and the parameter it reads."""
    labels = {at: item.name for at, item in enumerate(program.inputs) if item.role == "parameter"}
    names = []
    for node in graph.nodes:
        read = [labels[value] for value in node.inputs if value in labels]
        if node.op in _LOCAL and read:
            labels[node.outputs[0]] = read[0]
        names.append(f"{node.op} {read[0]}" if read else f"{node.op} (step {node.step})")
    return tuple(names)


def _ends(graph: Graph) -> tuple[tuple[int, ...], ...]:
    last: dict[int, int] = {}
    for at, node in enumerate(graph.nodes):
        last.update(dict.fromkeys((*node.inputs, *node.outputs), at))
    kept = set(graph.outputs)
    ends: list[list[int]] = [[] for _ in graph.nodes]
    for value, at in last.items():
        if value not in kept:
            ends[at].append(value)
    return tuple(map(tuple, ends))


class Run:
    """One pass over a plan's nodes."""

    def __init__(self, p: Protocol, ready: Plan, inputs: Sequence[Held], timer: Timer) -> None:
        self._p, self._plan, self._timer = p, ready, timer
        graph = ready.graph
        self._values: dict[int, Held] = {**dict(enumerate(inputs)), **graph.constants}
        self._leads: dict[int, int] = {**dict(enumerate(ready.leads)), **dict.fromkeys(graph.constants, 0)}
        self._readers = graph.readers
        self._count = next((value.shape[0] for value, lead in zip(inputs, ready.leads, strict=True) if lead), 1)
        self.records: list[StepRecord] = []
        self.costs: list[StepCost] = []
        self.alive = self.peak = sum(_held_bytes(value) for value in inputs)

    def outputs(self) -> list[Value]:
        """Run everything; what is wanted for each example, or summed, and is the same for all, is repeated."""
        nodes = zip(self._plan.graph.nodes, self._plan.names, self._plan.ends, strict=True)
        with np.errstate(all="ignore"):
            for node, name, ends in nodes:
                self._timed(node, name)
                self._drop(node, ends)
        found = [cast("Value", self._values[value]) for value in self._plan.graph.outputs]
        if not any(self._plan.leads):
            return found
        return [self._repeated(at, value) for at, value in enumerate(found)]

    def _repeated(self, place: int, value: Value) -> Value:
        number, how = self._plan.graph.outputs[place], self._plan.way
        if place not in how.summed:
            count = self._count
            return value if self._leads[number] else moved(value, lambda a: np.broadcast_to(a, (count, *a.shape)))
        if place not in self._plan.same:
            return value
        if not is_secret(value):
            return np.asarray(value) * self._count
        return multiply(self._p, value, np.asarray(self._count))

    def _timed(self, node: Node, name: str) -> None:
        p = self._p
        if isinstance(p, Costing):
            cost, macs = p.total, p.macs
            shape = self._step(node, name)
            self.costs.append(StepCost(name, shape, p.total.since(cost), p.macs - macs))
            return
        before, start = traffic(p), self._timer()
        shape = self._step(node, name)
        seconds, spent = self._timer() - start, traffic(p).since(before)
        sent, received = spent.total_sent_bytes, spent.total_received_bytes
        self.records.append(StepRecord(name, node.step, shape, seconds, spent.rounds, sent, received))

    def _drop(self, node: Node, ends: Sequence[int]) -> None:
        if node.op not in _HELD_NOWHERE:
            self.alive += sum(_held_bytes(self._values[value]) for value in node.outputs)
            self.peak = max(self.peak, self.alive)
            self.alive -= sum(_held_bytes(self._values[value]) for value in ends)
        for value in ends:
            del self._values[value]

    def _step(self, node: Node, name: str) -> tuple[int, ...]:
        given = [self._values[value] for value in node.inputs]
        leads = tuple(self._leads[value] for value in node.inputs)
        found: Any = self._decided(node)
        lead = 0 if found is not None or node.total else int(any(leads))
        if found is None and any(_secret(value) for value in given):
            found = self._on_shares(node, name, given, leads)
        elif found is None:
            found = self._in_the_clear(node, cast("list[Array]", given), leads)
        results = found if isinstance(found, tuple) else (found,)
        for value, result in zip(node.outputs, results, strict=False):
            self._values[value], self._leads[value] = result, lead
        return tuple(results[0].shape)

    def _on_shares(self, node: Node, name: str, given: Sequence[Held], leads: tuple[int, ...]) -> Any:
        if node.op == "total":
            return moved_sum(cast("Value", given[0]), leads[0])
        types, ranges = self._plan.graph.types, self._plan.way.ranges
        intervals = [ranges.of(value) for value in node.inputs]
        needed = tuple(self._readers[value] > 0 for value in node.outputs)
        kinds = [types[value] for value in node.inputs]
        call = Call(self._p, given, leads, node.attributes, kinds, node.kinds, intervals, needed, node.total, name)
        rule = RULES.get(node.op)
        if rule is None:
            raise call.refuse("has no rule for secret values.")
        try:
            return rule(call)
        except ValueError as error:
            raise call.refuse(f"cannot be computed on shares: {error}.") from None

    def _in_the_clear(self, node: Node, given: list[Array], leads: tuple[int, ...]) -> Any:
        if node.op == "total":
            return given[0].sum(axis=0) if leads[0] else given[0]
        kinds = [self._plan.graph.types[value] for value in node.inputs]
        call = PublicCall(given, leads, node.attributes, kinds, node.kinds)
        found = OPERATIONS[node.op].kernel(call)
        return np.asarray(cast("Array", found).sum(axis=0)) if node.total and any(leads) else found

    def _decided(self, node: Node) -> Array | None:
        """A comparison that the proven ranges decide."""
        if self._plan.way.ranges.basis != "proven" or node.op not in ("eq", "ne", "lt", "le"):
            return None
        a, b = (self._plan.way.ranges.of(value) for value in node.inputs)
        apart = a.high < b.low or b.high < a.low
        if node.op in ("eq", "ne") and apart:
            return np.full(node.kinds[0].shape, node.op == "ne")
        if node.op == "lt" and (a.high < b.low or a.low >= b.high):
            return np.full(node.kinds[0].shape, a.high < b.low)
        if node.op == "le" and (a.high <= b.low or a.low > b.high):
            return np.full(node.kinds[0].shape, a.high <= b.low)
        return None


def moved_sum(value: Value, lead: int) -> Value:
    """The sum over the examples' axis, if there is one; local."""
    if not lead:
        return value
    return moved(value, lambda array: np.asarray(array.sum(axis=0, dtype=array.dtype)))


def _secret(value: Held) -> bool:
    return not isinstance(value, np.ndarray)


def _held_bytes(value: Held) -> int:
    if isinstance(value, Secret):
        return sum(8 * part.size for part in value.share.parts)
    if isinstance(value, Bits):
        return sum(8 * part.size for part in value.parts)
    return value.nbytes if isinstance(value, np.ndarray) else 0


def traffic(p: Protocol) -> Traffic:
    """What this party has sent and received."""
    return p.party.channel.traffic


class SharesEngine:
    """Runs Programs on shares at one party; every party runs the same with its own side of the protocol.

    Cost:
        ``stead.mpc.estimate.cost``.
    Security:
        The protocol's. What all parties learn: the Program, which inputs are secret, all shapes and ranges.

    Args:
        protocol: this party's side.
        timer: for profiles.
    """

    def __init__(self, protocol: Protocol, *, timer: Timer = time.perf_counter) -> None:
        self._p = protocol
        self._timer = timer
        self.profile = Profile()
        self.basis: Basis = "none"

    def run(self, program: Program, inputs: Sequence[Value], *, ranges: Ranges | None = None) -> list[Value]:
        """Run a checked Program once; see ``plans.engine.Engine.run``.

        Args:
            program: a Program that passed ``plans.check.check_program``.
            inputs: secret or public, one for each input, of its shape.
            ranges: where its numbers lie; comparisons are narrower where they are small.

        Returns:
            One value for each output: secret, or public where it is made from public ones alone.

        Raises:
            UsageError: an input is missing or has another shape.
            UnsupportedOperation: a step cannot be computed on shares; nothing has been sent.
            PartyError: another party is gone or silent.
        """
        return self.run_as(program, inputs, Way(ranges=ranges or Ranges()))

    def run_per_example(
        self, program: Program, shared: Sequence[Value], examples: Sequence[Value], *, ranges: Ranges | None = None
    ) -> list[Value]:
        """Run a checked Program for each of n examples; see ``plans.engine.Engine.run_per_example`` and ``run``."""
        if not examples:
            raise UsageError("run_per_example needs an input that the examples differ in.")
        return self.run_as(program, [*shared, *examples], Way(examples=len(examples), ranges=ranges or Ranges()))

    def run_as(self, program: Program, inputs: Sequence[Value], way: Way) -> list[Value]:
        """Run a checked Program in any way; see ``run``."""
        return self.execute(self.prepared(program, inputs, way), inputs)

    def prepared(self, program: Program, inputs: Sequence[Value], way: Way) -> Plan:
        """Check a Program against inputs and make it ready; the plan serves all inputs of these shapes; see ``run``."""
        check_given(program, inputs, way.examples)
        ready = plan(program, [is_secret(value) for value in inputs], way)
        self._check(ready, inputs)
        return ready

    def execute(self, ready: Plan, inputs: Sequence[Value]) -> list[Value]:
        """Run a plan on inputs of the shapes it was made ready for; see ``run``."""
        run = Run(self._p, ready, inputs, self._timer)
        found = run.outputs()
        self.profile, self.basis = Profile(tuple(run.records)), ready.way.ranges.basis
        return found

    def _check(self, ready: Plan, inputs: Sequence[Value]) -> None:
        """Run on shapes alone: what is refused is refused before anything is sent."""
        dry = Costing(costs_of("cleartext"))
        Run(cast("Protocol", dry), ready, [outlined(dry, value) for value in inputs], self._timer).outputs()


def outlined(p: Costing, value: Value) -> Value:
    """The outline of a secret; a public value as it is."""
    if isinstance(value, Secret):
        return Secret(p.outline_of(value.shape), value.scale)
    if isinstance(value, Bits):
        return p.bits_of(value.shape)
    return value


def check_given(program: Program, inputs: Sequence[Value], examples: int) -> int:
    """Compare inputs with a Program's shapes.

    Returns:
        The number of examples (0 where no input carries them).

    Raises:
        UsageError: one is missing or has another shape or number of examples.
    """
    if len(inputs) != len(program.inputs):
        raise UsageError(f"the program has {len(program.inputs)} inputs; got {len(inputs)}.")
    first = len(inputs) - examples
    count = inputs[first].shape[0] if examples and inputs[first].shape else 0
    for at, (item, value) in enumerate(zip(program.inputs, inputs, strict=True)):
        shape = item.type.shape if at < first else (count, *item.type.shape)
        if tuple(value.shape) != shape or (examples and count < 1):
            more = " where the first axis counts the examples" if at >= first else ""
            raise UsageError(f"input {item.name!r} has shape {list(item.type.shape)}{more}; got {list(value.shape)}.")
        if isinstance(value, Bits) != (item.type.dtype == "bool") and is_secret(value):
            raise UsageError(
                f"input {item.name!r} is {item.type}; got {'truths' if isinstance(value, Bits) else 'numbers'}."
            )
    return count
