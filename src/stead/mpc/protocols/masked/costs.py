"""What each verb of ``Masked`` costs, from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stead.mpc.cost import Cost
from stead.mpc.forms import Form
from stead.mpc.protocol import Facts
from stead.mpc.protocols.masked import verbs
from stead.mpc.protocols.masked.arithmetic import GROUP, narrow_words
from stead.mpc.protocols.masked.comparison import prefix_levels
from stead.mpc.protocols.masked.material import DEALER, FIRST, ID_BYTES, SECOND
from stead.mpc.protocols.masked.protocol import FACTS
from stead.mpc.shares import WORD, words

Shape = tuple[int, ...]


class MaskedCosts:
    """Exact rounds and bytes; see ``Costs``. What is dealt goes from party 0 to party 2; party 1 gets seeds alone."""

    @property
    def facts(self) -> Facts:
        """See ``Costs.facts``."""
        return FACTS

    def start(self) -> Cost:
        """Once, before the first round: both online parties compare the names of their material."""
        return _both(1, ID_BYTES, 0)

    def share(self, shape: Shape, owner: int) -> Cost:
        """See ``Costs.share``."""
        size = 8 * math.prod(shape)
        if owner == DEALER:
            return _both(0, 0, size)
        return Cost(1, (0, size * (owner == FIRST), size * (owner == SECOND)), (0, 0, 0))

    def reveal(self, shape: Shape, to: Sequence[int] | None = None) -> Cost:
        """See ``Costs.reveal``."""
        places, size = verbs.places(to), 8 * math.prod(shape)
        first = size * ((SECOND in places) + (DEALER in places))
        return Cost(int(bool(places)), (0, first, size * (FIRST in places)), (0, 0, 0))

    def product(self, form: Form, a: Shape, b: Shape) -> Cost:
        """See ``Costs.product``."""
        size = 8 * math.prod(form.result(a, b))
        return _both(1, size, size)

    def truncate(self, shape: Shape, bits: int) -> Cost:
        """See ``Costs.truncate``."""
        if not bits:
            return _both(0, 0, 0)
        size = math.prod(shape)
        return _both(1, 8 * size, 8 * (size + narrow_words(size, bits)))

    def negative(self, shape: Shape, bits: int = WORD) -> Cost:
        """See ``Costs.negative``."""
        nodes, dealt = _groups(bits - 1)
        dealt, opened, rounds = dealt + bits, 1, 1
        if nodes > 1:
            opened, rounds = opened + nodes - 1 + nodes // 2, 2
        while nodes > 2:
            pairs, nodes = nodes // 2, nodes - nodes // 2
            dealt, opened, rounds = dealt + 2 * pairs - 1, opened + pairs - 1 + nodes // 2, rounds + 1
        return _bits(shape, rounds, opened, dealt + nodes // 2)

    def zero(self, shape: Shape) -> Cost:
        """See ``Costs.zero``."""
        nodes, dealt = _groups(WORD)
        return _bits(shape, 1 + (nodes - 1).bit_length(), 2 * nodes - 1, WORD + dealt + nodes - 1)

    def select(self, shape: Shape, truncate: int = 0) -> Cost:
        """See ``Costs.select``."""
        size = math.prod(shape)
        dealt = 3 * size + 2 * narrow_words(size, truncate) if truncate else 2 * size
        return _both(1, 8 * size, 8 * dealt)

    def decompose(self, shape: Shape, bits: int = WORD) -> Cost:
        """See ``Costs.decompose``."""
        levels = prefix_levels(bits - 1)
        dealt, opened = bits + _groups(bits - 1)[1], bits
        if levels:
            opened += bits - 1 - GROUP + len(set(levels[0].low))
        for level in levels:
            dealt += len(level.high) + len(level.passing)
            opened += len(level.passing) + len(level.lows)
        return _bits(shape, 1 + len(levels), opened, dealt)

    def conjunction(self, shape: Shape, width: int) -> Cost:
        """See ``Costs.conjunction``."""
        return _bits(shape, 1, width, width)

    def arithmetic(self, shape: Shape, width: int) -> Cost:
        """See ``Costs.arithmetic``."""
        size = 8 * width * math.prod(shape)
        return _both(1, size, size)


def _both(rounds: int, each: int, dealt: int) -> Cost:
    return Cost(rounds, (0, each, each), (dealt, 0, 0))


def _bits(shape: Shape, rounds: int, opened: int, dealt: int) -> Cost:
    row = 8 * words(shape)
    return _both(rounds, row * opened, row * dealt)


def _groups(count: int) -> tuple[int, int]:
    """How many groups hold ``count`` positions, and how many products of their bits are dealt."""
    full, rest = divmod(count, GROUP)
    return full + (rest > 0), full * ((1 << GROUP) - 1 - GROUP) + (1 << rest) - 1 - rest
