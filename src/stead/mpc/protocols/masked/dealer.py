"""``Dealer``: party 0 takes the same verbs over masks alone, and deals what the other two need.

Symbols as in ``protocol``. A dealt value v is split as keystream + (v - keystream): the keystream is party 1's part,
the difference goes to party 2. Bits likewise by exclusive or.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from stead.errors import UsageError
from stead.mpc.forms import Form
from stead.mpc.kernels import bits as kernels
from stead.mpc.kernels import masked as fused
from stead.mpc.kernels.masked_reference import products_of
from stead.mpc.party import Party, RingStream
from stead.mpc.protocol import Facts
from stead.mpc.protocols.masked import arithmetic, comparison, verbs
from stead.mpc.protocols.masked.comparison import Leaves, Linear, Pair, Wanted
from stead.mpc.protocols.masked.material import DEALER, FIRST, SECOND, Sink, derive
from stead.mpc.protocols.masked.protocol import FACTS
from stead.mpc.shares import Bits, Planes, RingArray, Share, no_mask, words


class Hand:
    """The dealer's side of a step: draws both parts of masks, deals values.

    Args:
        identity: of the material.
        names: all parties.
        seeds: party 1's and party 2's.
        sink: for party 2's parts.
        threads: at most.
    """

    def __init__(
        self, identity: bytes, names: tuple[str, ...], seeds: tuple[bytes, bytes], *, sink: Sink, threads: int = 1
    ) -> None:
        self._masks = tuple(RingStream(derive(seed, b"masks", identity, names)) for seed in seeds)
        self._parts = RingStream(derive(seeds[0], b"dealt", identity, names))
        self._sink, self._threads = sink, threads

    def mask(self, place: int, shape: tuple[int, ...]) -> RingArray:
        """One party's part of a fresh mask."""
        return self._masks[place - 1].ring(shape)

    def masks(self, shape: tuple[int, ...]) -> Pair:
        """Both parts of a fresh mask."""
        return self.mask(FIRST, shape), self.mask(SECOND, shape)

    def split(self, value: RingArray) -> Pair:
        """A value as both parties' parts, the first a part of a mask."""
        first = self.mask(FIRST, value.shape)
        second = value - first
        self._sink.write(np.ascontiguousarray(second))
        return first, second

    def deal(self, *values: RingArray) -> None:
        """Ring elements, by addition."""
        for value in values:
            self._sink.write(self._parts.taken_from(value))

    def deal_quotients(self, x: Share, bits: int) -> None:
        """What truncation reads: x's mask shifted, and its top bit, of which only ``bits`` bits matter."""
        quotient, wrap = self._parts.ring((x.size,)), self._narrow(x.size, bits)
        parts = quotient, _low(wrap, x.size, bits)
        fused.deal_truncate(_flat(x), parts, bits, threads=self._threads)
        self._write(quotient, wrap)

    def deal_choices(self, b: Bits, x: Share, bits: int) -> None:
        """What selection reads: l_b and l_b l_x; with truncation what it reads, too, and that times l_b."""
        n, chosen = x.size, (b.parts[0][0], b.parts[1][0])
        if not bits:
            bit, product = self._parts.ring((n,)), self._parts.ring((n,))
            fused.deal_select(chosen, _flat(x), (bit, product), 0, threads=self._threads)
            self._write(bit, product)
            return
        quotient, bit, product = (self._parts.ring((n,)) for _ in range(3))
        wrap, bit_wrap = (self._narrow(n, bits) for _ in range(2))
        parts = quotient, _low(wrap, n, bits), bit, product, _low(bit_wrap, n, bits)
        fused.deal_select(chosen, _flat(x), parts, bits, threads=self._threads)
        self._write(quotient, bit, product, wrap, bit_wrap)

    def _narrow(self, count: int, bits: int) -> RingArray:
        return self._parts.ring((arithmetic.narrow_words(count, bits),))

    def _write(self, *parts: RingArray) -> None:
        for part in parts:
            self._sink.write(part)

    def deal_bits(self, planes: Planes) -> None:
        """Packed bits, by exclusive or."""
        self._sink.write(self._parts.xored_with(planes))

    def leaves(self, x: Share, bits: int) -> Leaves:
        """See ``Side``."""
        r = kernels.to_planes(x.parts[0], bits, plus=x.parts[1], threads=self._threads)
        self.deal_bits(r)
        return Leaves(x.shape, r[:, :0], r)

    def digits(self, leaves: Leaves, rows: slice) -> Linear:
        """See ``Side``: the dealer has none."""
        return leaves.r[rows, :0]

    def groups(self, leaves: Leaves, count: int, wanted: Wanted) -> tuple[Linear, Linear]:
        """See ``Side``."""
        size, columns = arithmetic.GROUP, words(leaves.shape)
        full, rest = divmod(count, size)
        for rows, depth in ((slice(0, full * size), size), (slice(full * size, count), rest)):
            if rows.start < rows.stop:
                groups = (rows.stop - rows.start) // depth
                part = self._parts.ring((products_of(depth) * groups, columns))
                self._sink.write(fused.subset_products(leaves.r[rows], depth, part, threads=self._threads))
        none = np.empty((count if wanted.every else full + (rest > 0), 0), dtype=np.uint64)
        return none, none

    def both(self, x: Pair, y: Pair) -> Linear:
        """See ``Side``."""
        product = fused.mask_product(x, y, self._parts.ring(x[0].shape), threads=self._threads)
        self._sink.write(product)
        return product[:, :0]

    def open(self, columns: int, *several: Linear) -> list[Pair]:
        """See ``Side``: both parts of the masks of the opened bits."""
        counts = [len(rows) for rows in several]
        first, second = self.masks((sum(counts), columns))
        cuts = np.cumsum(counts)[:-1]
        return list(zip(np.split(first, cuts), np.split(second, cuts), strict=True))


class Dealer:
    """Party 0.

    Security:
        Knows every mask; sees no masked value, so no value, but its own inputs and what is revealed to it.

    Cost:
        ``MaskedCosts``; two forms for each product.

    Args:
        party: at place 0; its channel is used only by ``reveal`` to place 0.
        hand: where masks come from and dealt parts go.
        interactive: whether the others run at the same time and can reveal to this party.
    """

    facts: ClassVar[Facts] = FACTS

    def __init__(self, party: Party, hand: Hand, *, interactive: bool) -> None:
        self._party, self._hand, self._interactive = party, hand, interactive
        self._trace: list[str] = []

    @property
    def party(self) -> Party:
        """See ``Protocol.party``."""
        return self._party

    @property
    def trace(self) -> tuple[str, ...]:
        """The verbs so far."""
        return tuple(self._trace)

    def share(self, values: RingArray | None, shape: tuple[int, ...], owner: int) -> Share:
        """See ``Protocol.share``: its own inputs have m = 0, so that only party 2 is sent something."""
        shape = tuple(shape)
        self._trace.append(verbs.share(shape, owner))
        nothing = no_mask(shape)
        if owner == FIRST:
            return Share((self._hand.mask(FIRST, shape), nothing))
        if owner == SECOND:
            return Share((nothing, self._hand.mask(SECOND, shape)))
        if values is None:
            raise UsageError("place 0 owns this input and must give its values.")
        return Share(self._hand.split(np.negative(np.asarray(values, dtype=np.uint64).reshape(shape))))

    def public(self, values: RingArray) -> Share:
        """See ``Protocol.public``: no mask."""
        nothing = no_mask(np.shape(values))
        return Share((nothing, nothing))

    def reveal(self, x: Share, to: Sequence[int] | None = None) -> RingArray | None:
        """See ``Protocol.reveal``: party 1 sends m where this party is named and runs along."""
        places = verbs.places(to)
        self._trace.append(verbs.reveal(x.shape, places))
        verbs.check_online(places, interactive=self._interactive)
        if DEALER not in places:
            return None
        m = self._party.exchange({}, {FIRST: (x.shape,)})[FIRST][0]
        return m - x.parts[0] - x.parts[1]

    def add_public(self, x: Share, values: RingArray) -> Share:
        """See ``Protocol.add_public``: the mask stays."""
        shape = np.broadcast_shapes(x.shape, np.shape(values))
        return x.map(lambda part: np.broadcast_to(part, shape))

    def product(self, form: Form, x: Share, y: Share) -> Share:
        """See ``Protocol.product``: deals l_x l_y + l_x1 l_y1 + l_x2 l_y2 by two forms."""
        (x1, x2), (y1, y2) = x.parts, y.parts
        self._trace.append(verbs.product(form, x.shape, y.shape))
        both, threads = x1 + x2, self._party.threads
        dealt = np.asarray(form(both, y1, add_a=x1, threads=threads))  # NumPy warns where single numbers wrap
        np.add(dealt, form(both, y2, add_a=x2, threads=threads), out=dealt)
        self._hand.deal(dealt)
        return Share(self._hand.masks(form.result(x.shape, y.shape)))

    def truncate(self, x: Share, bits: int) -> Share:
        """See ``Protocol.truncate``: deals the mask shifted, and its top bit."""
        verbs.check_shift(bits)
        if bits == 0:
            return x
        self._trace.append(verbs.truncate(x.shape, bits))
        self._hand.deal_quotients(x, bits)
        return self._fresh(x.shape)

    def negative(self, x: Share, bits: int = 64) -> Bits:
        """See ``Protocol.negative``: deals the mask's bits and their products."""
        verbs.check_bits(bits)
        self._trace.append(verbs.negative(x.shape, bits))
        return comparison.negative(self._hand, x, bits)

    def zero(self, x: Share) -> Bits:
        """See ``Protocol.zero``: deals the mask's bits and their products."""
        self._trace.append(verbs.zero(x.shape))
        return comparison.zero(self._hand, x)

    def select(self, b: Bits, x: Share, truncate: int = 0) -> Share:
        """See ``Protocol.select``: deals l_b and l_b l_x, or what ``truncate`` deals, times l_b too."""
        verbs.check_choice(b, x)
        verbs.check_shift(truncate)
        self._trace.append(verbs.select(x.shape, truncate))
        self._hand.deal_choices(b, x, truncate)
        return self._fresh(x.shape)

    def decompose(self, x: Share, bits: int = 64) -> Bits:
        """See ``Protocol.decompose``: deals the mask's bits and their products."""
        verbs.check_bits(bits)
        self._trace.append(verbs.decompose(x.shape, bits))
        return comparison.decompose(self._hand, x, bits)

    def conjunction(self, a: Bits, b: Bits) -> Bits:
        """See ``Protocol.conjunction``: deals l_a AND l_b."""
        verbs.check_same(a, b)
        self._trace.append(verbs.conjunction(a.shape, a.width))
        hand = self._hand
        linear = hand.both((a.parts[0], a.parts[1]), (b.parts[0], b.parts[1]))
        (pair,) = hand.open(words(a.shape), linear)
        return Bits(a.shape, a.width, pair)

    def invert(self, a: Bits) -> Bits:
        """See ``Protocol.invert``: the mask stays."""
        return a

    def arithmetic(self, a: Bits) -> Share:
        """See ``Protocol.arithmetic``: deals l_a in the ring."""
        self._trace.append(verbs.arithmetic(a.shape, a.width))
        n = math.prod(a.shape)
        bits = np.empty((a.width, n), dtype=np.uint64)
        for row, plane in enumerate(a.parts[0] ^ a.parts[1]):
            bits[row] = kernels.unpack(plane, n)
        self._hand.deal(bits)
        return self._fresh((a.width, *a.shape))

    def _fresh(self, shape: tuple[int, ...]) -> Share:
        return Share(self._hand.masks(shape))


def _flat(x: Share) -> Pair:
    first, second = (np.ascontiguousarray(part).reshape(-1) for part in x.parts)
    return first, second


def _low(part: RingArray, count: int, bits: int) -> fused.Narrow:
    return part.view(arithmetic.narrow(bits))[:count]
