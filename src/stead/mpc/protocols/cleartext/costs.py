"""What each verb of ``Cleartext`` costs: nothing."""

from __future__ import annotations

from collections.abc import Sequence

from stead.mpc.cost import Cost
from stead.mpc.forms import Form
from stead.mpc.protocol import Facts
from stead.mpc.protocols.cleartext.protocol import FACTS
from stead.mpc.shares import WORD

Shape = tuple[int, ...]
FREE = Cost(0, (0,))


class CleartextCosts:
    """No rounds and no bytes; see ``Costs``."""

    @property
    def facts(self) -> Facts:
        """See ``Costs.facts``."""
        return FACTS

    def share(self, shape: Shape, owner: int) -> Cost:
        """See ``Costs.share``."""
        return FREE

    def reveal(self, shape: Shape, to: Sequence[int] | None = None) -> Cost:
        """See ``Costs.reveal``."""
        return FREE

    def product(self, form: Form, a: Shape, b: Shape) -> Cost:
        """See ``Costs.product``."""
        form.result(a, b)
        return FREE

    def truncate(self, shape: Shape, bits: int) -> Cost:
        """See ``Costs.truncate``."""
        return FREE

    def negative(self, shape: Shape, bits: int = WORD) -> Cost:
        """See ``Costs.negative``."""
        return FREE

    def zero(self, shape: Shape) -> Cost:
        """See ``Costs.zero``."""
        return FREE

    def select(self, shape: Shape, truncate: int = 0) -> Cost:
        """See ``Costs.select``."""
        return FREE

    def decompose(self, shape: Shape, bits: int = WORD) -> Cost:
        """See ``Costs.decompose``."""
        return FREE

    def conjunction(self, shape: Shape, width: int) -> Cost:
        """See ``Costs.conjunction``."""
        return FREE

    def arithmetic(self, shape: Shape, width: int) -> Cost:
        """See ``Costs.arithmetic``."""
        return FREE
