"""``Program``: tensor steps with static shapes, in single assignment, with ATen names.

A Program holds no code. Each step names an operation of the closed table ``plans.ops.OPERATIONS``, the earlier values
that it reads, its attributes and the types of the new values it writes. ``plans.check`` derives each type again before
anything runs.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

DType = Literal["float32", "float64", "int64", "bool"]
Attribute = bool | int | float | str | tuple[int | float, ...] | None
Role = Literal["parameter", "buffer", "x", "y", "mask"]

ITEM_BYTES: dict[str, int] = {"float32": 4, "float64": 8, "int64": 8, "bool": 1}


class TensorType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The type and static shape of a value."""

    dtype: DType
    shape: tuple[int, ...]

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def elements(self) -> int:
        """The number of elements, exact whatever the shape."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """The size in memory."""
        return self.elements * ITEM_BYTES[self.dtype]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One operation: reads earlier values by index, writes one or more new ones, whose types are declared.

    Values are numbered: first the program's inputs, then its constants, then each step's outputs in order.
    """

    op: str
    inputs: tuple[int, ...]
    attributes: dict[str, Attribute]
    outputs: tuple[TensorType, ...]


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named input: a parameter, a buffer, the example's x or y, or a dropout mask."""

    name: str
    role: Role
    type: TensorType


class Program(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="program"):
    """Tensor steps over static shapes.

    ``constants`` is a safetensors file whose tensors ``c0 … cN`` are the constants in order (empty: none).
    ``outputs`` are value indices, ``output_names`` their names.
    """

    inputs: tuple[Input, ...]
    constants: bytes
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    output_names: tuple[str, ...]

    def of_role(self, role: Role) -> tuple[Input, ...]:
        """The inputs with that role, in order."""
        return tuple(item for item in self.inputs if item.role == role)
