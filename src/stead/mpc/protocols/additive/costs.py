"""What each verb of ``Additive`` costs, from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stead.mpc.cost import Cost
from stead.mpc.forms import Form
from stead.mpc.protocol import Facts
from stead.mpc.protocols.additive.protocol import FACTS, refuse
from stead.mpc.shares import WORD

Shape = tuple[int, ...]


class AdditiveCosts:
    """Exact rounds and bytes; see ``Costs``. What the protocol refuses has no cost: ``UnsupportedOperation``.

    Args:
        parties: how many there are.
    """

    def __init__(self, parties: int) -> None:
        self._parties = parties

    @property
    def facts(self) -> Facts:
        """See ``Costs.facts``."""
        return FACTS

    def share(self, shape: Shape, owner: int) -> Cost:
        """See ``Costs.share``."""
        return Cost(0, (0,) * self._parties)

    def reveal(self, shape: Shape, to: Sequence[int] | None = None) -> Cost:
        """See ``Costs.reveal``."""
        told = set(range(self._parties) if to is None else to)
        each = 8 * math.prod(shape)
        return Cost(int(bool(told)), tuple(each * len(told - {at}) for at in range(self._parties)))

    def product(self, form: Form, a: Shape, b: Shape) -> Cost:
        """Refused."""
        refuse(f"the product {form.name!r}")

    def truncate(self, shape: Shape, bits: int) -> Cost:
        """Refused."""
        refuse("truncation")

    def negative(self, shape: Shape, bits: int = WORD) -> Cost:
        """Refused."""
        refuse("comparison")

    def zero(self, shape: Shape) -> Cost:
        """Refused."""
        refuse("comparison")

    def select(self, shape: Shape, truncate: int = 0) -> Cost:
        """Refused."""
        refuse("selection")

    def decompose(self, shape: Shape, bits: int = WORD) -> Cost:
        """Refused."""
        refuse("decomposition into bits")

    def conjunction(self, shape: Shape, width: int) -> Cost:
        """Refused."""
        refuse("conjunction of bits")

    def arithmetic(self, shape: Shape, width: int) -> Cost:
        """Refused."""
        refuse("conversion of bits")
