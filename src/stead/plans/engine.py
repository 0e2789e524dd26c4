"""``Engine``: what runs a Program; ``NumpyEngine``: the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from stead.errors import UsageError
from stead.plans.check import constant_types, load_constants, type_of
from stead.plans.cost import cost, last_uses
from stead.plans.ops import operation
from stead.plans.ops.operation import Array, Call
from stead.plans.program import Program, Step, TensorType


class Engine(Protocol):
    """Runs checked Programs on arrays.

    Cost: ``plans.cost.cost`` of the Program for each example. No rounds.
    Security: runs in the clear; whoever runs it sees the inputs. Nothing it does fails because of a value, and the
        result for one example depends on that example and the shared inputs only.
    """

    def run(self, program: Program, inputs: Sequence[Array]) -> list[Array]:
        """Run a checked Program once.

        Args:
            program: a Program that passed ``plans.check.check_program``.
            inputs: one array for each input, of its type and shape.

        Returns:
            One array for each output.

        Raises:
            UsageError: an input is missing or has another type or shape.
        """
        ...

    def run_per_example(self, program: Program, shared: Sequence[Array], examples: Sequence[Array]) -> list[Array]:
        """Run a checked Program for each of n examples.

        Args:
            program: a Program that passed ``plans.check.check_program``.
            shared: the first inputs, the same for all examples.
            examples: the other inputs, each with a leading axis of size n (1 or more).

        Returns:
            One array for each output, with a leading axis of size n, whether it depends on the examples or not.

        Raises:
            UsageError: an input is missing or has another type or shape.
        """
        ...


def check_inputs(program: Program, shared: Sequence[Array], examples: Sequence[Array]) -> int:
    """Compare inputs with a Program's types.

    Returns:
        The number of examples (0 where ``examples`` is empty).

    Raises:
        UsageError: one is missing or has another type, shape or number of examples.
    """
    if len(shared) + len(examples) != len(program.inputs):
        raise UsageError(f"the program has {len(program.inputs)} inputs; got {len(shared) + len(examples)}.")
    count = examples[0].shape[0] if examples and examples[0].ndim else 0
    for at, (item, array) in enumerate(zip(program.inputs, (*shared, *examples), strict=True)):
        shape = item.type.shape if at < len(shared) else (count, *item.type.shape)
        if array.dtype.name != item.type.dtype or array.shape != shape or (examples and count < 1):
            raise UsageError(
                f"input {item.name!r} is {item.type}; got {array.dtype.name}{list(array.shape)}"
                + (" where the first axis counts the examples." if at >= len(shared) else ".")
            )
    return count


def fitting_examples(program: Program, memory_bytes: int) -> int:
    """How many examples fit into a memory by the Program's price, from its types alone; at least one."""
    return max(1, memory_bytes // max(1, cost(program, constant_types(program)).peak_bytes))


class NumpyEngine:
    """The reference: each step is one call of its operation's NumPy kernel.

    Examples are mapped by the kernels themselves, which take a leading axis of examples on any of their inputs.

    Args:
        chunk: the most examples that are mapped at once.
        memory_bytes: what to stay below, roughly, by the Program's price; one example is always run.
    """

    def __init__(self, chunk: int = 1024, *, memory_bytes: int = 1 << 29) -> None:
        self._chunk = chunk
        self._memory_bytes = memory_bytes

    def run(self, program: Program, inputs: Sequence[Array]) -> list[Array]:
        """See ``Engine.run``."""
        check_inputs(program, inputs, ())
        return [array for array, _ in _run(program, [(array, 0) for array in inputs])]

    def run_per_example(self, program: Program, shared: Sequence[Array], examples: Sequence[Array]) -> list[Array]:
        """See ``Engine.run_per_example``."""
        count = check_inputs(program, shared, examples)
        if not examples:
            raise UsageError("run_per_example needs an input that the examples differ in.")
        parts: list[list[Array]] = []
        chunk = min(self._chunk, fitting_examples(program, self._memory_bytes))
        for start in range(0, count, chunk):
            cut = [array[start : start + chunk] for array in examples]
            values = [(array, 0) for array in shared] + [(array, 1) for array in cut]
            size = len(cut[0])
            parts.append(
                [
                    array if lead else np.broadcast_to(array, (size, *array.shape))
                    for array, lead in _run(program, values)
                ]
            )
        return [np.concatenate(column) for column in zip(*parts, strict=True)]


_Value = tuple[Array, int]


def _run(program: Program, inputs: list[_Value]) -> list[_Value]:
    """Run the steps on values that may carry (1) or lack (0) the axis of examples."""
    values: dict[int, _Value] = dict(enumerate(inputs))
    types: dict[int, TensorType] = {at: item.type for at, item in enumerate(program.inputs)}
    for constant in load_constants(program):
        types[len(values)] = type_of(constant)
        values[len(values)] = (constant, 0)
    number = len(values)
    with np.errstate(all="ignore"):
        for step, ends in zip(program.steps, last_uses(program, number), strict=True):
            kinds = [types[value] for value in step.inputs]
            for kind, result in zip(step.outputs, _step(step, kinds, [values[v] for v in step.inputs]), strict=True):
                values[number], types[number] = result, kind
                number += 1
            for value in ends:
                del values[value]
    return [values[value] for value in program.outputs]


def _step(step: Step, kinds: list[TensorType], inputs: list[_Value]) -> list[_Value]:
    arrays, leads = [array for array, _ in inputs], tuple(lead for _, lead in inputs)
    call = Call(arrays, leads, step.attributes, kinds, step.outputs)
    found = operation(step.op).kernel(call)
    results = found if isinstance(found, tuple) else (found,)
    return [(result, int(any(leads))) for result in results]
