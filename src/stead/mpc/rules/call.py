"""``Call``: what a rule on shares is called with, as ``plans.ops.operation.Call`` is for a NumPy kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from stead.errors import UnsupportedOperation
from stead.mpc.fixed import Secret
from stead.mpc.protocol import Protocol as SharesProtocol
from stead.mpc.ranges import Interval
from stead.mpc.shares import Bits
from stead.mpc.values import Value, is_secret, moved, reshaped, stretched
from stead.plans.ops.operation import Array, Types
from stead.plans.program import Attribute


class Held(Protocol):
    """Anything that a step of a run may give: a ``Value``, or what only a fused step reads."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value that it stands for."""
        ...


@dataclass(frozen=True)
class Call:
    """One step on shares.

    Attributes:
        p: this party's side of the protocol.
        given: the step's inputs, at least one of them secret.
        leads: for each input 1 if it carries a leading axis of examples, else 0.
        attributes: the step's attributes.
        inputs: the declared types of the inputs, without the axis of examples.
        outputs: the declared types of the outputs, without it.
        intervals: where the inputs' numbers lie.
        needed: for each output, whether something reads it.
        total: whether the sum over examples is asked for, and not the examples.
        name: the step, for errors.
    """

    p: SharesProtocol
    given: Sequence[Held]
    leads: tuple[int, ...]
    attributes: Mapping[str, Attribute]
    inputs: Types
    outputs: Types
    intervals: Sequence[Interval]
    needed: tuple[bool, ...]
    total: bool
    name: str

    def value(self, position: int) -> Value:
        """Input ``position``."""
        return cast("Value", self.given[position])

    @property
    def values(self) -> list[Value]:
        """All inputs."""
        return [self.value(at) for at in range(len(self.given))]

    @property
    def lead(self) -> tuple[int, ...]:
        """``(examples,)`` if any input carries the axis of examples, else ``()``."""
        for value, lead in zip(self.given, self.leads, strict=True):
            if lead:
                return (value.shape[0],)
        return ()

    def aligned(self, position: int, rank: int) -> Value:
        """Input ``position`` with axes of size 1 put after the examples' axis, so that it broadcasts to ``rank``."""
        value, lead = self.value(position), self.leads[position]
        missing = rank - (len(value.shape) - lead)
        if not lead or missing == 0:
            return value
        return reshaped(value, value.shape[:1] + (1,) * missing + value.shape[1:])

    def full(self, position: int) -> Value:
        """Input ``position`` with the axis of examples, repeated if it carries none."""
        value = self.value(position)
        return value if self.leads[position] or not self.lead else stretched(value, self.lead + value.shape)

    def move(self, change: Callable[[Array], Array]) -> Value:
        """The first input with its elements put elsewhere."""
        return moved(self.value(0), change)

    def ints(self, name: str) -> tuple[int, ...]:
        """An attribute of kind ``ints``."""
        return cast("tuple[int, ...]", self.attributes[name])

    def flag(self, name: str) -> bool:
        """An attribute of kind ``bool``."""
        return bool(self.attributes[name])

    def refuse(self, what: str, hint: str = "") -> UnsupportedOperation:
        """The error for what cannot be done on shares; names the step."""
        return UnsupportedOperation(f"{self.name} {what}", hint=hint)

    def int(self, name: str) -> int:
        """An attribute of kind ``int``."""
        return cast("int", self.attributes[name])


Result: TypeAlias = Held | tuple[Held, ...]
Rule: TypeAlias = Callable[[Call], Result]


def scale_of(*values: Value) -> int:
    """The fraction bits that a comparison of these will have."""
    return max((value.scale for value in values if isinstance(value, Secret)), default=0)


def truth(value: Value) -> bool:
    """Whether it holds truths."""
    return isinstance(value, Bits) or (isinstance(value, np.ndarray) and value.dtype == np.bool_)


def public(call: Call, position: int) -> Array:
    """Input ``position``, which must be public.

    Raises:
        UnsupportedOperation: it is secret.
    """
    value: Any = call.value(position)
    if is_secret(value):
        raise call.refuse(f"needs input {position} to be public.")
    return np.asarray(value)
