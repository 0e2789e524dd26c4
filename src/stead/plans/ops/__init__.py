"""The operation table: every step that a Program may hold. Nothing can be added to it at run time."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from stead.errors import UnsupportedOperation
from stead.plans.ops.convolution import CONVOLUTION
from stead.plans.ops.creation import CREATION
from stead.plans.ops.elementwise import ELEMENTWISE
from stead.plans.ops.index import INDEX
from stead.plans.ops.linear import LINEAR
from stead.plans.ops.operation import Operation
from stead.plans.ops.reduction import REDUCTION
from stead.plans.ops.shape import SHAPE

OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {row.name: row for row in (*CREATION, *ELEMENTWISE, *REDUCTION, *SHAPE, *LINEAR, *CONVOLUTION, *INDEX)}
)
"""Name to operation."""


def operation(name: str) -> Operation:
    """The operation of that name.

    Raises:
        UnsupportedOperation: the table has none.
    """
    found = OPERATIONS.get(name)
    if found is None:
        raise UnsupportedOperation(
            f"the operation {name[:80]!r} is not in the table of {len(OPERATIONS)} operations.",
            hint="docs/reference/operations.md lists them",
        )
    return found
