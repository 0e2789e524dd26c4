"""``ProgramBuilder``: how adapters write Programs. Types are derived as steps are added, never declared by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from stead.errors import UsageError
from stead.plans.check import load_constants, save_constants, type_of
from stead.plans.ops import operation
from stead.plans.ops.operation import FLOATS, Array
from stead.plans.program import Attribute, DType, Input, Program, Role, Step, TensorType


@dataclass(frozen=True)
class Value:
    """A value of the Program under construction."""

    number: int
    type: TensorType

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its type."""
        return self.type.shape

    @property
    def dtype(self) -> DType:
        """The dtype of its type."""
        return self.type.dtype


@dataclass(frozen=True)
class _Made:
    op: str
    inputs: tuple[int, ...]
    attributes: dict[str, Attribute]
    outputs: tuple[Value, ...]


class ProgramBuilder:
    """Builds a Program step by step.

    The same step on the same values is added once; a view of a view, an order of an order and steps that change
    nothing are folded; steps, constants and buffers that no output needs are left out. So the same calls give the
    same bytes.
    """

    def __init__(self) -> None:
        self._inputs: list[tuple[Input, Value]] = []
        self._constants: list[tuple[Array, Value]] = []
        self._steps: list[_Made] = []
        self._maker: dict[int, _Made] = {}
        self._known: dict[object, tuple[Value, ...]] = {}
        self._count = 0

    def _value(self, kind: TensorType) -> Value:
        self._count += 1
        return Value(self._count - 1, kind)

    def input(self, name: str, role: Role, kind: TensorType) -> Value:
        """Add an input."""
        value = self._value(kind)
        self._inputs.append((Input(name, role, kind), value))
        return value

    def constant(self, array: Array) -> Value:
        """Add a constant; one number everywhere becomes a ``full`` step."""
        kind = type_of(array)
        flat = array.reshape(-1)
        if flat.size and kind.rank <= 1 and bool((flat == flat[0]).all()):
            return self.full(kind.shape, flat[0].item(), kind.dtype)
        value = self._value(kind)
        self._constants.append((array, value))
        return value

    def add(self, op: str, *inputs: Value, **attributes: Attribute) -> Value:
        """Add a step with one output, and give its value."""
        return self.add_all(op, inputs, attributes)[0]

    def add_all(self, op: str, inputs: Sequence[Value], attributes: Mapping[str, Attribute]) -> tuple[Value, ...]:
        """Add a step, and give all its values.

        Raises:
            UnsupportedOperation: the table has no such operation.
            BadMessage: the types of the inputs or the attributes do not fit.
        """
        row = operation(op)
        row.check_attributes(attributes)
        kinds = row.types([value.type for value in inputs], attributes)
        folded = self._fold(op, inputs, attributes, kinds[0])
        if folded is not None:
            return (folded,)
        numbers = tuple(value.number for value in inputs)
        key = (op, numbers, tuple(sorted((name, repr(value)) for name, value in attributes.items())))
        if key not in self._known:
            made = _Made(op, numbers, dict(attributes), tuple(self._value(kind) for kind in kinds))
            self._steps.append(made)
            self._known[key] = made.outputs
            for value in made.outputs:
                self._maker[value.number] = made
        return self._known[key]

    def _fold(
        self, op: str, inputs: Sequence[Value], attributes: Mapping[str, Attribute], kind: TensorType
    ) -> Value | None:
        if not inputs:
            return None
        (value, *rest), made = inputs, self._maker.get(inputs[0].number)
        if op in ("view", "expand", "to") and kind == value.type:
            return value
        if op == "cat" and not rest:
            return value
        if op in ("sum", "amax") and not attributes["axes"]:
            return value
        if op == "permute":
            axes = cast("tuple[int, ...]", attributes["axes"])
            if axes == tuple(range(len(axes))):
                return value
            if made and made.op == "permute":
                inner = cast("tuple[int, ...]", made.attributes["axes"])
                return self.add("permute", self._source(made, value, inner), axes=tuple(inner[axis] for axis in axes))
        if op == "view" and made and made.op == "view":
            return self.add("view", self._find(made.inputs[0]), shape=kind.shape)
        return None

    def _source(self, made: _Made, value: Value, inner: tuple[int, ...]) -> Value:
        shape = [0] * len(inner)
        for axis, size in zip(inner, value.shape, strict=True):
            shape[axis] = size
        return Value(made.inputs[0], TensorType(value.dtype, tuple(shape)))

    def _find(self, number: int) -> Value:
        if number in self._maker:
            return next(value for value in self._maker[number].outputs if value.number == number)
        held = [value for _, value in self._inputs] + [value for _, value in self._constants]
        return next(value for value in held if value.number == number)

    def full(self, shape: tuple[int, ...], number: float, dtype: DType) -> Value:
        """A value holding one number everywhere."""
        kind = bool if dtype == "bool" else float if dtype in FLOATS else int
        return self.add("full", shape=shape, value=kind(number), dtype=dtype)

    def like(self, value: Value, number: float) -> Value:
        """A number as a value without axes, of the dtype of ``value``, to be broadcast."""
        return self.full((), number, value.dtype)

    def view(self, value: Value, shape: Sequence[int]) -> Value:
        """``view`` with these sizes."""
        return self.add("view", value, shape=tuple(shape))

    def cast(self, value: Value, dtype: DType) -> Value:
        """``to`` where the dtype differs."""
        return self.add("to", value, dtype=dtype)

    def sum(self, value: Value, axes: Sequence[int], *, keep: bool) -> Value:
        """``sum`` over axes in any order; booleans count as int64."""
        numbers = self.cast(value, "int64") if value.dtype == "bool" else value
        return self.add("sum", numbers, axes=tuple(sorted(axes)), keep=keep)

    def mean(self, value: Value, axes: Sequence[int], *, keep: bool) -> Value:
        """The mean over axes, as a sum divided by their size."""
        total = self.sum(value, axes, keep=keep)
        count = float(np.prod([value.shape[axis] for axis in axes], dtype=np.int64)) if axes else 1.0
        return self.add("div", total, self.like(total, count))

    def build(self, outputs: Mapping[str, Value]) -> Program:
        """The Program whose outputs these are.

        Raises:
            UsageError: there are none.
        """
        if not outputs:
            raise UsageError("a program needs an output.")
        steps, needed = self._needed([value.number for value in outputs.values()])
        inputs = [(item, value) for item, value in self._inputs if value.number in needed or item.role != "buffer"]
        constants = [(array, value) for array, value in self._constants if value.number in needed]
        order = [value.number for _, value in (*inputs, *constants)]
        order += [value.number for made in steps for value in made.outputs]
        place = {number: at for at, number in enumerate(order)}
        return Program(
            inputs=tuple(item for item, _ in inputs),
            constants=save_constants([array for array, _ in constants]),
            steps=tuple(
                Step(
                    made.op,
                    tuple(place[number] for number in made.inputs),
                    dict(sorted(made.attributes.items())),
                    tuple(value.type for value in made.outputs),
                )
                for made in steps
            ),
            outputs=tuple(place[value.number] for value in outputs.values()),
            output_names=tuple(outputs),
        )

    def _needed(self, numbers: list[int]) -> tuple[list[_Made], set[int]]:
        needed, steps = set(numbers), []
        for made in reversed(self._steps):
            if any(value.number in needed for value in made.outputs):
                steps.append(made)
                needed.update(made.inputs)
        return steps[::-1], needed


def bind(program: Program, values: Mapping[str, Array]) -> Program:
    """Turn inputs into constants: the buffers of a trained network, so that a plan carries them.

    Args:
        program: a checked Program.
        values: an array for each input that becomes a constant, by name.

    Raises:
        UsageError: a name is no input of the Program, or its array is not of the input's type.
    """
    names = {item.name: item for item in program.inputs}
    for name, array in values.items():
        if name not in names or type_of(array) != names[name].type:
            raise UsageError(f"{name[:80]!r} is not an input of the program with that type.")
    kept = [at for at, item in enumerate(program.inputs) if item.name not in values]
    bound = [at for at, item in enumerate(program.inputs) if item.name in values]
    old = load_constants(program)
    first, count = len(program.inputs), len(program.inputs) + len(old)
    order = [*kept, *range(first, count), *bound]
    place = {number: at for at, number in enumerate(order)}

    def renumber(numbers: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(place.get(number, number) for number in numbers)

    return Program(
        inputs=tuple(program.inputs[at] for at in kept),
        constants=save_constants([*old, *(np.asarray(values[program.inputs[at].name]) for at in bound)]),
        steps=tuple(Step(s.op, renumber(s.inputs), s.attributes, s.outputs) for s in program.steps),
        outputs=renumber(program.outputs),
        output_names=program.output_names,
    )
