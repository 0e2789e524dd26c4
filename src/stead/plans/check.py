"""Is this Program what it says it is? Every index, attribute and type is derived again; nothing is run or allocated.

A Program that passes can be run on any values without an error. The order matters: sizes and counts first, then
indices, attributes and types step by step, then the whole cost; so a Program of lies is refused before its sizes cost
anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from stead.errors import BadMessage, SteadError, TooExpensive
from stead.plans.cost import Cost, cost
from stead.plans.ops import operation
from stead.plans.ops.operation import DTYPES, Array
from stead.plans.program import Program, Step, TensorType

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,256}")


@dataclass(frozen=True)
class Limits:
    """How large a Program may be, on one example.

    Attributes:
        steps: the most steps.
        values: the most inputs, and the most constants.
        rank: the most axes of a value.
        elements: the most elements of one value.
        constants_bytes: the largest file of constants.
        flops: the most floating point operations.
        peak_bytes: the most memory alive at once.
    """

    steps: int = 20_000
    values: int = 4_096
    rank: int = 8
    elements: int = 1 << 26
    constants_bytes: int = 1 << 26
    flops: int = 10**12
    peak_bytes: int = 1 << 31


DEFAULT_LIMITS = Limits()
"""What an owner allows who has not said otherwise."""


def check_program(program: Program, limits: Limits = DEFAULT_LIMITS) -> Cost:
    """Check a Program from anywhere, and price it.

    Returns:
        Its cost on one example.

    Raises:
        BadMessage: an index, attribute, type, name or constant is not what it must be; names the step.
        UnsupportedOperation: a step is not in the table.
        TooExpensive: it is above a limit.
    """
    _check_counts(program, limits)
    constants = tuple(type_of(array) for array in load_constants(program, limits))
    types = [item.type for item in program.inputs]
    for kind in (*types, *constants):
        check_type(kind, limits)
    types += constants
    for number, step in enumerate(program.steps):
        _check_step(number, step, types, limits)
        types += step.outputs
    if any(not 0 <= value < len(types) for value in program.outputs):
        raise BadMessage(f"an output of the program is not one of its {len(types)} values.")
    found = cost(program, constants)
    _within("flops", found.flops, limits.flops)
    _within("bytes of memory", found.peak_bytes, limits.peak_bytes)
    return found


def _within(what: str, number: int, limit: int) -> None:
    if number > limit:
        raise TooExpensive(f"the program needs {number:,} {what}; the limit is {limit:,}.")


def _check_counts(program: Program, limits: Limits) -> None:
    _within("steps", len(program.steps), limits.steps)
    _within("inputs", len(program.inputs), limits.values)
    _within("outputs", len(program.outputs), limits.values)
    names = [item.name for item in program.inputs]
    if len(program.outputs) != len(program.output_names) or not program.outputs:
        raise BadMessage("a program has one or more outputs, and a name for each.")
    for kind, group in (("input", names), ("output", list(program.output_names))):
        if len(set(group)) != len(group) or not all(_NAME.fullmatch(name) for name in group):
            raise BadMessage(f"{kind} names must be distinct and of letters, digits, dots, dashes and underscores.")


def check_type(kind: TensorType, limits: Limits = DEFAULT_LIMITS) -> None:
    """Check a declared type.

    Raises:
        BadMessage: an unknown dtype, too many axes, or an axis without elements.
        TooExpensive: too many elements.
    """
    if kind.dtype not in DTYPES or kind.rank > limits.rank or any(size < 1 for size in kind.shape):
        raise BadMessage(f"a value has one of the types {', '.join(DTYPES)} and up to {limits.rank} axes of 1 or more.")
    _within("elements in one value", kind.elements, limits.elements)


def _check_step(number: int, step: Step, types: list[TensorType], limits: Limits) -> None:
    row = operation(step.op)
    where = f"step {number} ({step.op})"
    if any(not 0 <= value < len(types) for value in step.inputs):
        raise BadMessage(f"{where}: reads a value that is not among the {len(types)} before it.")
    if len(step.inputs) != row.arity if row.arity is not None else not 1 <= len(step.inputs) <= limits.values:
        raise BadMessage(f"{where}: takes {row.arity or 'one or more'} inputs; got {len(step.inputs)}.")
    try:
        row.check_attributes(step.attributes)
        derived = row.types([types[value] for value in step.inputs], step.attributes)
        for kind in derived:
            check_type(kind, limits)
    except SteadError as error:
        raise type(error)(f"{where}: {error.what}") from None
    if derived != step.outputs:
        said, found = ", ".join(map(str, step.outputs))[:200], ", ".join(map(str, derived))[:200]
        raise BadMessage(f"{where}: declares {said or 'nothing'}; its inputs give {found}.")


def type_of(array: Array) -> TensorType:
    """The type of an array.

    Raises:
        BadMessage: its dtype is none of a Program's.
    """
    if array.dtype.name not in DTYPES:
        raise BadMessage(f"a tensor of dtype {array.dtype.name} is none of {', '.join(DTYPES)}.")
    return TensorType(array.dtype.name, tuple(array.shape))


def save_constants(arrays: list[Array]) -> bytes:
    """Constants as one safetensors file, the same bytes for the same arrays; empty for none."""
    if not arrays:
        return b""
    return save_tensors({f"c{at}": np.ascontiguousarray(array).reshape(array.shape) for at, array in enumerate(arrays)})


def load_constants(program: Program, limits: Limits = DEFAULT_LIMITS) -> list[Array]:
    """A Program's constants, in order.

    Raises:
        BadMessage: the bytes are not exactly the safetensors file of tensors ``c0 … cN`` (a pickle, other names,
            metadata, spare bytes).
        TooExpensive: the file is above the limit.
    """
    data = program.constants
    if not data:
        return []
    _within("bytes of constants", len(data), limits.constants_bytes)
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError):
        raise BadMessage("the constants are not a safetensors file.") from None
    _within("constants", len(tensors), limits.values)
    arrays = [tensors.get(f"c{at}") for at in range(len(tensors))]
    found = [array for array in arrays if array is not None]
    if len(found) != len(tensors):
        raise BadMessage(f"the constants must be named c0 to c{len(tensors) - 1}.")
    for array in found:
        check_type(type_of(array), limits)
    if save_constants(found) != data:
        raise BadMessage("the constants are not the canonical safetensors file of their tensors.")
    return found


def constant_types(program: Program, limits: Limits = DEFAULT_LIMITS) -> tuple[TensorType, ...]:
    """The types of a Program's constants, in order."""
    return tuple(type_of(array) for array in load_constants(program, limits))
