"""What the parties of a ``Joint`` do on shares: straight-line code, the same at each; and what it costs, counted.

Symbols: S = centred sum, N = count, h = largest step of one row, F = shift; see ``stead.plans.joint``.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Sequence
from typing import final

import numpy as np

from stead.mpc.cost import Cost
from stead.mpc.forms import MUL, Form
from stead.mpc.party import KEY_BYTES
from stead.mpc.protocols.replicated.costs import ReplicatedCosts
from stead.mpc.shares import Bits, RingArray, Share, concatenate, stack, words
from stead.plans.joint import PARTIES, QUOTIENT_BITS, Divided, Joint, Layout

DIGIT_BITS: typing.Final = 4
"""A quotient is found four bits at a time: rounds are dear between hospitals, and bytes are not."""


class Verbs(typing.Protocol):
    """The verbs of ``mpc.protocol.Protocol`` that the computation takes."""

    def share(self, values: RingArray | None, shape: tuple[int, ...], owner: int) -> Share:
        """Enter the owner's secret."""
        ...

    def public(self, values: RingArray) -> Share:
        """A share of what all know."""
        ...

    def product(self, form: Form, x: Share, y: Share) -> Share:
        """The form of two secrets."""
        ...

    def negative(self, x: Share, bits: int = 64) -> Bits:
        """One bit: x < 0."""
        ...

    def zero(self, x: Share) -> Bits:
        """One bit: x == 0."""
        ...

    def invert(self, a: Bits) -> Bits:
        """NOT a."""
        ...

    def arithmetic(self, a: Bits) -> Share:
        """Each bit as 0 or 1."""
        ...


def compute(verbs: Verbs, joint: Joint, own: RingArray | None) -> Share:
    """This party's share of what is opened: fresh summands, which tell their receiver the result and nothing else.

    Args:
        verbs: this party's side of the protocol.
        joint: the plan.
        own: this party's integers, if it is an owner.

    Cost:
        Of sums alone 2 rounds and 16 bytes from each owner for each integer, and 8 from each party for each that is
        opened; a division is about 70 rounds more. ``joint_cost`` is exact.

    Security:
        That of the protocol. The last step makes new summands (a product with 1), so that whoever receives all three
        learns their sum only; the inputs' own masks are not in them.
    """
    shape = (joint.layout.entered,)
    entered = [verbs.share(own, shape, place) for place in joint.owners]
    total = functools.reduce(Share.__add__, entered)
    return verbs.product(MUL, _opened(verbs, joint.layout, total), verbs.public(np.ones((), dtype=np.uint64)))


def _opened(verbs: Verbs, layout: Layout, total: Share) -> Share:
    """The opened integers, on shares; all divisions are done at once."""
    divided = [block for block in layout.blocks if isinstance(block, Divided)]
    if not divided:
        return total
    per_row = np.concatenate([np.full(block.size, block.per_row, dtype=np.uint64) for block in divided])
    shift = np.concatenate([np.full(block.size, block.shift, dtype=np.uint64) for block in divided])
    sums = concatenate([total[block.start : block.start + block.size] for block in divided])
    counts = concatenate([total[block.start + block.size : block.start + 2 * block.size] for block in divided])
    found, at, blocks = quotients(verbs, sums, counts, (per_row, shift)), 0, []
    for block in layout.blocks:
        if isinstance(block, Divided):
            blocks.append(found[at : at + block.size])
            at += block.size
        else:
            blocks.append(total[block.start : block.start + block.size])
    return concatenate(blocks)


def quotients(verbs: Verbs, sums: Share, counts: Share, public: tuple[RingArray, RingArray]) -> Share:
    """floor((S + h N) 2^F / N), exactly; h 2^F where N is 0.

    The schoolbook division in base 16: from the highest digit of the quotient down, the digit is how many of N 16^k,
    2 N 16^k, ... are not above the rest, all compared at once; as many N 16^k are taken from it. Comparing and choosing
    is all that it takes, so there is no error to bound.

    Args:
        verbs: this party's side of the protocol.
        sums: S, with abs(S) <= h N.
        counts: N, from 0 to below 2^40.
        public: h and F of each, where h 2^F < 2^20.
    """
    per_row, shift = public
    empty = verbs.arithmetic(verbs.zero(counts))[0]
    divisor = counts + empty
    rest = (sums + divisor.map(lambda part: part * per_row)).map(lambda part: part << shift)
    digits = []
    for place in range((QUOTIENT_BITS - 1) // DIGIT_BITS * DIGIT_BITS, -1, -DIGIT_BITS):
        most = (1 << min(DIGIT_BITS, QUOTIENT_BITS - place)) - 1
        step = divisor.scaled(1 << place)
        fits = verbs.invert(verbs.negative(stack([rest - step.scaled(times) for times in range(1, most + 1)])))
        digit = verbs.arithmetic(fits)[0].map(lambda part: part.sum(axis=0, dtype=np.uint64))
        digits.append(digit.scaled(1 << place))
        if place:
            rest = rest - verbs.product(MUL, digit, step)
    return functools.reduce(Share.__add__, digits)


def joint_cost(joint: Joint) -> Cost:
    """Rounds and bytes of the computation at each party, the agreement on keystreams included: exact, and public."""
    counted = Counted()
    compute(counted, joint, None)
    agreement = Cost(1, tuple(KEY_BYTES * (PARTIES - 1 - place) for place in range(PARTIES)), (0,) * PARTIES)
    return agreement + counted.cost


@final
class Counted:
    """A protocol that computes nothing and counts what the verbs would cost, from shapes alone."""

    def __init__(self) -> None:
        self.cost = Cost()
        self._costs = ReplicatedCosts()

    def share(self, values: RingArray | None, shape: tuple[int, ...], owner: int) -> Share:
        """See ``Protocol.share``."""
        self.cost += self._costs.share(shape, owner)
        return _blank(shape)

    def public(self, values: RingArray) -> Share:
        """See ``Protocol.public``."""
        return _blank(values.shape)

    def product(self, form: Form, x: Share, y: Share) -> Share:
        """See ``Protocol.product``."""
        self.cost += self._costs.product(form, x.shape, y.shape)
        return _blank(form.result(x.shape, y.shape))

    def negative(self, x: Share, bits: int = 64) -> Bits:
        """See ``Protocol.negative``."""
        self.cost += self._costs.negative(x.shape, bits)
        return _blank_bits(x.shape, 1)

    def zero(self, x: Share) -> Bits:
        """See ``Protocol.zero``."""
        self.cost += self._costs.zero(x.shape)
        return _blank_bits(x.shape, 1)

    def invert(self, a: Bits) -> Bits:
        """See ``Protocol.invert``."""
        return a

    def arithmetic(self, a: Bits) -> Share:
        """See ``Protocol.arithmetic``."""
        self.cost += self._costs.arithmetic(a.shape, a.width)
        return _blank((a.width, *a.shape))


def _blank(shape: Sequence[int]) -> Share:
    return Share((np.zeros(tuple(shape), dtype=np.uint64),))


def _blank_bits(shape: tuple[int, ...], width: int) -> Bits:
    return Bits(shape, width, (np.zeros((width, words(shape)), dtype=np.uint64),))
