"""What running a Program costs, from its types alone."""

from __future__ import annotations

from dataclasses import dataclass

from stead.plans.ops import operation
from stead.plans.program import Program, TensorType


@dataclass(frozen=True)
class Cost:
    """The cost of running a Program once, on one example.

    Attributes:
        flops: floating point operations (a multiplication and an addition are two).
        size_bytes: bytes of all inputs, constants and outputs.
        peak_bytes: the most bytes alive at once: inputs, constants, values still needed and the step's workspace.
    """

    flops: int
    size_bytes: int
    peak_bytes: int


def value_types(program: Program, constants: tuple[TensorType, ...]) -> list[TensorType]:
    """The declared type of every value, in the order of their numbers."""
    types = [item.type for item in program.inputs]
    types += constants
    for step in program.steps:
        types += step.outputs
    return types


def last_uses(program: Program, first_step_value: int) -> list[list[int]]:
    """For each step the values that nothing needs after it (outputs of the Program and inputs excepted)."""
    last: dict[int, int] = {}
    number = first_step_value
    for at, step in enumerate(program.steps):
        for value in step.inputs:
            last[value] = at
        for _ in step.outputs:
            last[number] = at
            number += 1
    kept = set(program.outputs)
    ends: list[list[int]] = [[] for _ in program.steps]
    for value, at in last.items():
        if value >= first_step_value and value not in kept:
            ends[at].append(value)
    return ends


def cost(program: Program, constants: tuple[TensorType, ...] = ()) -> Cost:
    """Count a Program's flops, bytes and peak memory.

    Args:
        program: a Program whose declared types are right (``plans.check`` makes sure).
        constants: the types of its constants, from ``plans.check.constant_types``.

    Returns:
        Exact integers, whatever the shapes; no array is made.

    Raises:
        UnsupportedOperation: a step is not in the table.
    """
    types = value_types(program, constants)
    number = len(program.inputs) + len(constants)
    alive = peak = sum(kind.size_bytes for kind in types[:number])
    held, flops = alive, 0
    for step, ends in zip(program.steps, last_uses(program, number), strict=True):
        row, inputs = operation(step.op), [types[value] for value in step.inputs]
        flops += row.flops(inputs, step.attributes, step.outputs)
        alive += sum(kind.size_bytes for kind in step.outputs)
        peak = max(peak, alive + row.workspace(inputs, step.attributes, step.outputs))
        alive -= sum(types[value].size_bytes for value in ends)
        number += len(step.outputs)
    results = sum(types[value].size_bytes for value in program.outputs)
    return Cost(flops=flops, size_bytes=held + results, peak_bytes=peak)
