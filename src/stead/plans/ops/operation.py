"""``Operation``: one row of the closed table, and what its rules work with.

An operation is a name, a line of meaning, the attributes it takes, and four rules: types (from types), flops (from
types), a NumPy kernel (the reference) and what it does with values that have no ordinary answer (its totality).
No rule but the kernel sees a value, and no kernel raises because of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from stead.errors import BadMessage
from stead.plans.program import Attribute, DType, TensorType

Array: TypeAlias = npt.NDArray[Any]
Types: TypeAlias = Sequence[TensorType]
Attributes: TypeAlias = Mapping[str, Attribute]
Kind = Literal["int", "ints", "bool", "dtype", "number"]
Family = Literal["creation", "elementwise", "reduction", "shape", "linear", "window", "index"]

LARGEST_INT = 1 << 53
"""Bound on the magnitude of every integer attribute, so that no rule or kernel can overflow on one."""

FLOATS = ("float32", "float64")
DTYPES: tuple[DType, ...] = ("float32", "float64", "int64", "bool")


def refuse(what: str) -> NoReturn:
    """Refuse a step whose types or attributes break the operation's rule.

    Raises:
        BadMessage: always; the checker adds which step it is.
    """
    raise BadMessage(what)


@dataclass(frozen=True)
class Call:
    """What a kernel is called with.

    Attributes:
        arrays: the step's inputs.
        leads: for each input 1 if it carries a leading axis of examples, else 0.
        attributes: the step's attributes, checked.
        inputs: the declared types of the inputs, without the axis of examples.
        outputs: the declared types of the outputs, without the axis of examples.
    """

    arrays: Sequence[Array]
    leads: tuple[int, ...]
    attributes: Attributes
    inputs: Types
    outputs: Types

    @property
    def lead(self) -> tuple[int, ...]:
        """``(examples,)`` if any input carries the axis of examples, else ``()``."""
        for array, lead in zip(self.arrays, self.leads, strict=True):
            if lead:
                return (array.shape[0],)
        return ()

    def aligned(self, position: int, rank: int) -> Array:
        """Input ``position`` with axes of size 1 put after the examples' axis, so that it broadcasts to ``rank``."""
        array, lead = self.arrays[position], self.leads[position]
        missing = rank - (array.ndim - lead)
        if not lead or missing == 0:
            return array
        return array.reshape(array.shape[:1] + (1,) * missing + array.shape[1:])

    def full(self, position: int) -> Array:
        """Input ``position`` with the axis of examples, repeated (not copied) if it carries none."""
        array = self.arrays[position]
        return array if self.leads[position] or not self.lead else np.broadcast_to(array, self.lead + array.shape)

    def ints(self, name: str) -> tuple[int, ...]:
        """An attribute of kind ``ints``."""
        return cast("tuple[int, ...]", self.attributes[name])

    def int(self, name: str) -> int:
        """An attribute of kind ``int``."""
        return cast("int", self.attributes[name])

    def flag(self, name: str) -> bool:
        """An attribute of kind ``bool``."""
        return bool(self.attributes[name])


TypeRule: TypeAlias = Callable[[Types, Attributes], tuple[TensorType, ...]]
CountRule: TypeAlias = Callable[[Types, Attributes, Types], int]
Kernel: TypeAlias = Callable[[Call], Array | tuple[Array, ...]]


def one_per_element(_inputs: Types, _attributes: Attributes, outputs: Types) -> int:
    """Flops: one for each element written."""
    return outputs[0].elements


def no_flops(_inputs: Types, _attributes: Attributes, _outputs: Types) -> int:
    """Flops: none, or memory only: the operation moves values."""
    return 0


@dataclass(frozen=True)
class Operation:
    """One row of the table.

    Attributes:
        name: the name in a Program's steps.
        aten: the ATen operation with this meaning.
        family: the part of the table it stands in.
        meaning: one line.
        totality: what NaN, infinities, overflow, division by zero and bad indices give.
        arity: the number of inputs; ``None``: one or more.
        types: the types of the outputs from those of the inputs; raises ``BadMessage`` where there are none.
        kernel: the NumPy reference.
        flops: floating point operations of one call.
        workspace: bytes that a kernel may need beside its inputs and outputs.
        attributes: name and kind of each attribute; all are needed, no other is taken.
    """

    name: str
    aten: str
    family: Family
    meaning: str
    totality: str
    arity: int | None
    types: TypeRule
    kernel: Kernel
    flops: CountRule = one_per_element
    workspace: CountRule = no_flops
    attributes: Mapping[str, Kind] = field(default_factory=dict)

    def check_attributes(self, attributes: Attributes) -> None:
        """Compare attributes with the operation's list.

        Raises:
            BadMessage: one is missing, unknown, of another kind or out of range.
        """
        if attributes.keys() != self.attributes.keys():
            wanted = ", ".join(sorted(self.attributes)) or "none"
            got = ", ".join(sorted(name[:40] for name in attributes)) or "none"
            refuse(f"attributes must be {wanted}; got {got[:200]}")
        for name, kind in self.attributes.items():
            if not is_kind(attributes[name], kind):
                refuse(f"attribute {name} must be of kind {kind}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_INT


def is_kind(value: Attribute, kind: Kind) -> bool:
    """Whether an attribute's value is of a kind. A NaN is of none."""
    if kind == "int":
        return _is_int(value)
    if kind == "ints":
        return isinstance(value, tuple) and len(value) <= 16 and all(_is_int(item) for item in value)
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "dtype":
        return isinstance(value, str) and value in DTYPES
    return isinstance(value, bool) or _is_int(value) or (isinstance(value, float) and not math.isnan(value))


def ints(attributes: Attributes, name: str) -> tuple[int, ...]:
    """An attribute of kind ``ints`` (already checked to be one)."""
    return cast("tuple[int, ...]", attributes[name])


def integer(attributes: Attributes, name: str) -> int:
    """An attribute of kind ``int`` (already checked to be one)."""
    return cast("int", attributes[name])


def need_float(*types: TensorType) -> None:
    """Refuse types that are not all the same float type.

    Raises:
        BadMessage: they are not.
    """
    if types[0].dtype not in FLOATS or any(item.dtype != types[0].dtype for item in types):
        refuse(f"needs one float type; got {', '.join(item.dtype for item in types)}")


def need_axis(axis: int, rank: int) -> None:
    """Refuse an axis outside ``0 … rank - 1`` (negative axes are written out by the adapters).

    Raises:
        BadMessage: it is outside.
    """
    if not 0 <= axis < rank:
        refuse(f"axis {axis} of a value with {rank} axes")


def need_axes(axes: Sequence[int], rank: int) -> None:
    """Refuse axes that are not ascending, distinct and in range.

    Raises:
        BadMessage: they are not.
    """
    for axis in axes:
        need_axis(axis, rank)
    if list(axes) != sorted(set(axes)):
        refuse("axes must be distinct and ascending")


def broadcast(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape of two, by NumPy's rule.

    Raises:
        BadMessage: there is none.
    """
    rank = max(len(first), len(second))
    left, right = (1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second
    shape = []
    for a, b in zip(left, right, strict=True):
        if a != b and 1 not in (a, b):
            refuse(f"shapes {list(first)} and {list(second)} do not broadcast")
        shape.append(b if a == 1 else a)
    return tuple(shape)
