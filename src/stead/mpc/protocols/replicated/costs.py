"""What each verb of ``Replicated`` costs, from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stead.mpc.cost import Cost
from stead.mpc.forms import Form
from stead.mpc.protocol import Facts
from stead.mpc.protocols.replicated.adder import carry_level, prefix_level, prefix_levels
from stead.mpc.protocols.replicated.protocol import FACTS
from stead.mpc.protocols.replicated.seat import COUNT, SECOND, Lanes
from stead.mpc.shares import WORD, words

Shape = tuple[int, ...]


class ReplicatedCosts:
    """Exact rounds and bytes; see ``Costs``."""

    @property
    def facts(self) -> Facts:
        """See ``Costs.facts``."""
        return FACTS

    def share(self, shape: Shape, owner: int) -> Cost:
        """See ``Costs.share``."""
        return Cost(1, tuple(8 * math.prod(shape) * (at == owner) for at in range(COUNT)))

    def reveal(self, shape: Shape, to: Sequence[int] | None = None) -> Cost:
        """See ``Costs.reveal``."""
        places = set(range(COUNT) if to is None else to)
        return Cost(
            int(bool(places)), tuple(8 * math.prod(shape) * ((at + 1) % COUNT in places) for at in range(COUNT))
        )

    def product(self, form: Form, a: Shape, b: Shape) -> Cost:
        """See ``Costs.product``."""
        return Cost(1, (8 * math.prod(form.result(a, b)),) * COUNT)

    def truncate(self, shape: Shape, bits: int) -> Cost:
        """See ``Costs.truncate``."""
        if not bits:
            return Cost(0, (0,) * COUNT)
        size = math.prod(shape)
        lane = 8 * Lanes(bits, size).words
        return Cost(2, (8 * size + lane, lane, lane))

    def negative(self, shape: Shape, bits: int = WORD) -> Cost:
        """See ``Costs.negative``."""
        level = carry_level(bits - 1)
        later, nodes = [], level.pairs + level.leaves
        while nodes > 1:
            later.append(2 * (nodes // 2) - 1)
            nodes -= nodes // 2
        return _circuit(words(shape), bits + level.pairs, level.rows, later)

    def zero(self, shape: Shape) -> Cost:
        """See ``Costs.zero``."""
        return _circuit(words(shape), WORD + WORD // 2, WORD // 2, [16, 8, 4, 2, 1])

    def select(self, shape: Shape, truncate: int = 0) -> Cost:
        """See ``Costs.select``."""
        size = math.prod(shape)
        dealt = 24 * size + 16 * Lanes(truncate, size).words if truncate else 16 * size
        return Cost(2, (dealt, 8 * size, 8 * size))

    def decompose(self, shape: Shape, bits: int = WORD) -> Cost:
        """See ``Costs.decompose``."""
        level = prefix_level(bits - 1)
        later = [2 * len(high) - final for high, _, final in prefix_levels(bits - 1)]
        return _circuit(words(shape), bits + level.pairs, level.rows, later)

    def conjunction(self, shape: Shape, width: int) -> Cost:
        """See ``Costs.conjunction``."""
        return Cost(1, (8 * width * words(shape),) * COUNT)

    def arithmetic(self, shape: Shape, width: int) -> Cost:
        """See ``Costs.arithmetic``."""
        return Cost(2, (8 * width * math.prod(shape),) * COUNT)


def _circuit(span: int, dealt: int, opened: int, later: list[int]) -> Cost:
    """Planes of ``span`` words: dealt by P_0, opened by the others, then exchanged by all in each later level."""
    first = tuple(8 * span * (dealt if at == 0 else opened) for at in range(SECOND + 1))
    return Cost(1 + bool(opened), first) + Cost(len(later), (8 * span * sum(later),) * COUNT)
