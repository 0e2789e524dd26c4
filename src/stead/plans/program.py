"""``Program``: tensor steps with static shapes, in single assignment, with ATen names."""

from __future__ import annotations

from typing import Literal

import msgspec

DType = Literal["float32", "float64", "int64", "bool"]
Attribute = bool | int | float | str | tuple[int | float, ...] | None


class TensorType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The type and static shape of a value."""

    dtype: DType
    shape: tuple[int, ...]


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
    role: Literal["parameter", "buffer", "x", "y", "mask"]
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
