"""How each operation of the table is computed on shares, one file for each part of the table.

A rule is called only where an input is secret; what all know is computed by the table's own NumPy kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from stead.mpc.rules.call import Rule
from stead.mpc.rules.convolution import CONVOLUTION
from stead.mpc.rules.elementwise import ELEMENTWISE
from stead.mpc.rules.index import INDEX
from stead.mpc.rules.linear import LINEAR
from stead.mpc.rules.reduction import REDUCTION
from stead.mpc.rules.shape import SHAPE

RULES: Mapping[str, Rule] = MappingProxyType({**ELEMENTWISE, **REDUCTION, **SHAPE, **LINEAR, **CONVOLUTION, **INDEX})
"""Name of an operation to its rule. ``full`` and ``arange`` have no inputs, so nothing of theirs is secret."""
