"""``Masked``: one of the two parties that compute on masked values while the third has already done its part.

Symbols: x = m - l_1 - l_2 mod 2^64. Party 0 knows l_1, l_2; party i = 1, 2 knows m, l_i. Bits likewise by exclusive or.

The protocol in one screen (docs/theory/masked-sharing.md); c_i are dealt parts, u_i of a fresh mask::

    product    P_i -> P_j: c_i + u_i - F(m_x + l_xi, m_y + l_yi), and each 3 F(m_x, m_y) for one half of the result
    truncate   P_i -> P_j: parts of floor((m + 2^62) / 2^f) - 2^(62-f) - floor(l / 2^f) + wrap 2^(64-f) + u
    negative   the borrow of m - l: four bits at a time by dealt products of the bits of l, then by masked ANDs
    select     P_i -> P_j: parts of (m_b xor l_b) x + u, from dealt parts of l_b and l_b l_x
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from stead.errors import UsageError
from stead.mpc.forms import Form
from stead.mpc.kernels import masked as fused
from stead.mpc.party import Party
from stead.mpc.protocol import Facts
from stead.mpc.protocols.masked import arithmetic, comparison, verbs
from stead.mpc.protocols.masked.material import DEALER, FIRST, SECOND, Material, Preprocessing
from stead.mpc.protocols.masked.online import Online
from stead.mpc.shares import Bits, RingArray, Share, no_mask, words

FACTS = Facts(
    "masked",
    3,
    "semi-honest",
    1,
    (
        "Chaudhari, Choudhury, Patra, Suresh 2019, ASTRA (CCSW)",
        "Ben-Efraim, Nielsen, Omri 2019, Turbospeedz (ACNS)",
    ),
)


class Masked:
    """An online party: place 1 or 2.

    Security:
        Semi-honest, one corruption among the three, who follow the protocol and read what they see; channels are
        sealed. Party 0 receives nothing while the others run, but what is revealed to it. Party 1 or 2 sees masked
        values, each hidden by a part of the mask that it does not know, and dealt parts that are uniform to it. Parties
        0 and 1 together (or 0 and 2) learn everything, and so do 1 and 2 together. With two parties and a dealer
        (``TrustedDealer``) the dealer is party 0. A wrong message changes results and is not noticed.
        Masks are AES-256-CTR keystreams, so secrecy is computational.

    Cost:
        ``MaskedCosts``. Both online parties send as much, in the same rounds. Before its first round each sends 16
        bytes to make sure that both hold material of one preparation.

    Args:
        party: at place 1 or 2.
        material: this party's, for this computation; used up.

    Raises:
        UsageError: the material is another party's, or was used.
    """

    facts: ClassVar[Facts] = FACTS

    def __init__(self, party: Party, material: Preprocessing | Material) -> None:
        if isinstance(material, Preprocessing):
            if (material.place, material.names) != (party.place, party.names):
                raise UsageError(
                    f"this material is for place {material.place} of {', '.join(material.names)}; "
                    f"this is place {party.place} of {', '.join(party.names)}."
                )
            material = material.claim()
        if party.place not in {FIRST, SECOND}:
            raise UsageError(f"place {party.place} does not compute online: place 0 prepares.")
        self._side = Online(party, material)
        self._interactive = material.trace is None

    @property
    def party(self) -> Party:
        """See ``Protocol.party``."""
        return self._side.party

    def share(self, values: RingArray | None, shape: tuple[int, ...], owner: int) -> Share:
        """See ``Protocol.share``.

        Cost: one round, 8 bytes per value from an online owner; nothing online for party 0, who deals its inputs.
        """
        side, shape = self._side, tuple(shape)
        side.step(verbs.share(shape, owner))
        if owner == DEALER:
            mine = side.masks(shape) if side.first else side.dealt(shape)
            return Share((no_mask(shape), mine))
        if owner != self.party.place:
            return Share((side.exchange({}, {owner: (shape,)})[owner][0], no_mask(shape)))
        if values is None:
            raise UsageError(f"place {owner} owns this input and must give its values.")
        mask = side.masks(shape)
        masked = np.asarray(values, dtype=np.uint64).reshape(shape) + mask
        side.exchange({side.other: (masked,)}, {})
        return Share((masked, mask))

    def public(self, values: RingArray) -> Share:
        """See ``Protocol.public``: the mask is zero."""
        known = np.asarray(values, dtype=np.uint64)
        return Share((known, no_mask(known.shape)))

    def reveal(self, x: Share, to: Sequence[int] | None = None) -> RingArray | None:
        """See ``Protocol.reveal``. None named: to 1 and 2. Party 0 only where it runs along (a session, not prepared).

        Cost: one round, 8 bytes per value to each that learns it.
        """
        places, side = verbs.places(to), self._side
        side.step(verbs.reveal(x.shape, places))
        verbs.check_online(places, interactive=self._interactive)
        m, mine = (np.ascontiguousarray(part).reshape(x.shape) for part in x.parts)
        outgoing = {side.other: (mine,)} if side.other in places else {}
        if DEALER in places and side.first:
            outgoing[DEALER] = (m,)
        told = self.party.place in places
        received = side.exchange(outgoing, {side.other: (x.shape,)} if told else {})
        return np.asarray(np.subtract(m - mine, received[side.other][0])) if told else None

    def add_public(self, x: Share, values: RingArray) -> Share:
        """See ``Protocol.add_public``: to m only."""
        m = x.parts[0] + np.asarray(values, dtype=np.uint64)
        return Share((m, np.broadcast_to(x.parts[1], m.shape)))

    def product(self, form: Form, x: Share, y: Share) -> Share:
        """See ``Protocol.product``.

        Cost: one round, 8 bytes per result each way, 8 dealt; one and a half forms at each online party, two at party
        0.
        """
        (mx, lx), (my, ly) = x.parts, y.parts
        shape, side, threads = form.result(x.shape, y.shape), self._side, self.party.threads
        side.step(verbs.product(form, x.shape, y.shape))
        mine = np.asarray(form(mx, my, add_a=lx, add_b=ly, threads=threads)).reshape(shape)
        mask = side.masks(shape)  # a form that refuses its operands does so at all three before anything is drawn
        part = arithmetic.product_part(mine, side.dealt(shape), mask)
        at, known = form.half(0 if side.first else 1, mx, my, threads=threads)
        if known.size:
            arithmetic.add_thrice(part, at, known)
        return Share((side.opened(part), mask))

    def truncate(self, x: Share, bits: int) -> Share:
        """See ``Protocol.truncate``. One round, 8 bytes each way, 8 + 2 dealt (up to 16 bits)."""
        verbs.check_shift(bits)
        if bits == 0:
            return x
        side, n = self._side, x.size
        side.step(verbs.truncate(x.shape, bits))
        quotient, wrap, mask = side.dealt((n,)), side.narrow(n, bits), side.masks((n,))
        part = fused.truncate_part(_flat(x.parts[0]), (quotient, wrap), mask, bits, first=side.first)
        return _share(side.opened(part), mask, x.shape)

    def negative(self, x: Share, bits: int = 64) -> Bits:
        """See ``Protocol.negative``. 64 bits: 5 rounds, 5.25 bytes each way, 32.4 dealt; 32 bits: 4, 2.4 and 15.5."""
        verbs.check_bits(bits)
        self._side.step(verbs.negative(x.shape, bits))
        return comparison.negative(self._side, x, bits)

    def zero(self, x: Share) -> Bits:
        """See ``Protocol.zero``. 5 rounds, 3.9 bytes each way, 31.9 dealt."""
        self._side.step(verbs.zero(x.shape))
        return comparison.zero(self._side, x)

    def select(self, b: Bits, x: Share, truncate: int = 0) -> Share:
        """See ``Protocol.select``.

        Cost: one round, 8 bytes each way; 16 dealt, with ``truncate`` (up to 16 bits) 28.
        """
        verbs.check_choice(b, x)
        verbs.check_shift(truncate)
        side, n, (m, mine) = self._side, x.size, x.parts
        side.step(verbs.select(x.shape, truncate))
        if truncate:
            quotient, bit, product = (side.dealt((n,)) for _ in range(3))
            dealt = (quotient, side.narrow(n, truncate), bit, product, side.narrow(n, truncate))
            mask = side.masks((n,))
            part = fused.select_truncate_part(b.parts[0][0], _flat(m), dealt, mask, truncate, first=side.first)
        else:
            bit, product = side.dealt((n,)), side.dealt((n,))
            mask = side.masks((n,))
            part = fused.select_part(b.parts[0][0], (_flat(m), _flat(mine)), (bit, product), mask, first=side.first)
        return _share(side.opened(part), mask, x.shape)

    def decompose(self, x: Share, bits: int = 64) -> Bits:
        """See ``Protocol.decompose``. 64 bits: 5 rounds, 25.4 bytes each way, 53 dealt."""
        verbs.check_bits(bits)
        self._side.step(verbs.decompose(x.shape, bits))
        return comparison.decompose(self._side, x, bits)

    def conjunction(self, a: Bits, b: Bits) -> Bits:
        """See ``Protocol.conjunction``. One round; for each bit one each way and one dealt."""
        verbs.check_same(a, b)
        side = self._side
        side.step(verbs.conjunction(a.shape, a.width))
        (pair,) = side.open(words(a.shape), side.both((a.parts[0], a.parts[1]), (b.parts[0], b.parts[1])))
        return Bits(a.shape, a.width, pair)

    def invert(self, a: Bits) -> Bits:
        """See ``Protocol.invert``: m only."""
        return Bits(a.shape, a.width, (~a.parts[0], a.parts[1]))

    def arithmetic(self, a: Bits) -> Share:
        """See ``Protocol.arithmetic``. One round; for each bit 8 bytes each way and 8 dealt."""
        side, shape = self._side, (a.width, *a.shape)
        side.step(verbs.arithmetic(a.shape, a.width))
        n = int(np.prod(a.shape, dtype=np.int64))
        bit, mask = side.dealt((a.width, n)), side.masks((a.width, n))
        part = np.empty_like(mask)
        for row in range(a.width):
            part[row] = fused.inject_part(a.parts[0][row], bit[row], mask[row], first=side.first)
        return _share(side.opened(part), mask, shape)


def _flat(array: RingArray) -> RingArray:
    return np.ascontiguousarray(array).reshape(-1)


def _share(m: RingArray, mask: RingArray, shape: tuple[int, ...]) -> Share:
    return Share((m.reshape(shape), mask.reshape(shape)))
