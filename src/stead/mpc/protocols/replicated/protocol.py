"""``Replicated``: three parties, two of three summands each, one of them semi-honest and curious."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from stead.mpc.forms import Form
from stead.mpc.party import Party
from stead.mpc.protocol import HEADROOM_BITS, Facts
from stead.mpc.protocols.replicated import adder, truncation
from stead.mpc.protocols.replicated.seat import COUNT, DEALER, FIRST, Seat, check_places
from stead.mpc.shares import WORD, Bits, RingArray, Share

ONE, THREE = np.uint64(1), np.uint64(3)

FACTS = Facts(
    name="replicated",
    parties=COUNT,
    threat="semi-honest",
    corruptions=1,
    references=(
        "Araki, Furukawa, Lindell, Nof, Ohara: High-throughput semi-honest secure three-party computation (CCS 2016)",
        "Mohassel, Rindal: ABY3 (CCS 2018)",
        "Chaudhari, Choudhury, Patra, Suresh: ASTRA (CCSW 2019)",
        "Bogdanov, Laur, Willemson: Sharemind (ESORICS 2008)",
    ),
)


class Replicated:
    """x = x_0 + x_1 + x_2 mod 2^64, where P_i holds (x_i, x_{i+1}); bits in the same way by exclusive or.

    Cost:
        product: one round, 8 bytes from each party for each output; two ring products at P_0, one and a half at each
        other. truncate: two rounds, 14 bytes in all for 16 bits. negative: seven rounds, about 48 bytes in all. select:
        two rounds, 32 bytes in all, 44 with truncation. ``costs.ReplicatedCosts`` is exact.

    Security:
        Semi-honest, one corruption, honest majority: each party's view is simulated from its own parts and what is
        opened to it (docs/theory/replicated-sharing.md). Every summand that is sent is masked by a keystream that its
        receiver does not know; secrecy is computational in AES-256, and in the channel between the two others. No party
        can be stopped from sending something else than it should: results are then wrong, and may betray inputs.
        ``truncate`` and ``select`` with truncation round with a dither made of masks, and every party knows one: such a
        result tells whoever it is opened to which 2^f numbers in a row hold the exact one. A floor tells as much.

    Args:
        party: one of three, with the keystreams of ``stead.mpc.party.agree``.

    References:
        Araki et al. 2016 (CCS), section 2 (products, sharings of 0); Mohassel, Rindal 2018 (CCS), sections 3.2 and 5;
        Chaudhari et al. 2019 (CCSW), for a party that prepares what two others open.
    """

    facts: ClassVar[Facts] = FACTS

    def __init__(self, party: Party) -> None:
        self._party = party
        self._seat = Seat(party)

    @property
    def party(self) -> Party:
        """See ``Protocol.party``."""
        return self._party

    def share(self, values: RingArray | None, shape: tuple[int, ...], owner: int) -> Share:
        """See ``Protocol.share``: the owner's first summand is keystream, the second is sent, the third is zero."""
        check_places(owner)
        seat, zero = self._seat, np.zeros(shape, dtype=np.uint64)
        if seat.place == owner:
            if values is None:
                raise ValueError("the owner gives the values")
            mask = seat.stream(owner).ring(shape)
            rest = np.asarray(values, dtype=np.uint64).reshape(shape) - mask
            self._party.exchange({seat.after: (rest,)}, {})
            return Share((mask, rest))
        if seat.before == owner:
            return Share((self._party.exchange({}, {owner: (shape,)})[owner][0], zero))
        return Share((zero, seat.stream(owner).ring(shape)))

    def public(self, values: RingArray) -> Share:
        """See ``Protocol.public``: x_0 is the value."""
        known = np.asarray(values, dtype=np.uint64)
        zero = np.zeros_like(known)
        return Share(tuple(known if at == 0 else zero for at in (self._seat.place, self._seat.after)))

    def reveal(self, x: Share, to: Sequence[int] | None = None) -> RingArray | None:
        """See ``Protocol.reveal``: each receiver gets its third summand from the party before it."""
        seat, places = self._seat, range(COUNT) if to is None else to
        check_places(*places)
        outgoing = {seat.after: (x.parts[0],)} if seat.after in places else {}
        expected = {seat.before: (x.shape,)} if seat.place in places else {}
        if not outgoing and not expected:
            return None
        received = self._party.exchange(outgoing, expected)
        if not expected:
            return None
        return np.asarray(x.parts[0] + x.parts[1] + received[seat.before][0])

    def add_public(self, x: Share, values: RingArray) -> Share:
        """See ``Protocol.add_public``."""
        return x + self.public(values)

    def product(self, form: Form, x: Share, y: Share) -> Share:
        """See ``Protocol.product``: a summand of the product and of zero at each party, then one reshare."""
        own = summand(self._seat.place, form, x, y, threads=self._party.threads)
        own += self._seat.zero(own.shape)
        return Share(self._seat.reshare(own)[0])

    def truncate(self, x: Share, bits: int) -> Share:
        """See ``Protocol.truncate``."""
        return truncation.truncate(self._seat, x, _shift(bits)) if bits else x

    def negative(self, x: Share, bits: int = WORD) -> Bits:
        """See ``Protocol.negative``."""
        return adder.negative(self._seat, x, _width(bits))

    def zero(self, x: Share) -> Bits:
        """See ``Protocol.zero``."""
        return adder.zero(self._seat, x)

    def select(self, b: Bits, x: Share, truncate: int = 0) -> Share:
        """See ``Protocol.select``."""
        if b.shape != x.shape or b.width != 1:
            raise ValueError(f"{b.width} bits of shape {list(b.shape)} cannot choose from shape {list(x.shape)}")
        return truncation.select(self._seat, b, x, _shift(truncate))

    def decompose(self, x: Share, bits: int = WORD) -> Bits:
        """See ``Protocol.decompose``."""
        return adder.decompose(self._seat, x, _width(bits))

    def conjunction(self, a: Bits, b: Bits) -> Bits:
        """See ``Protocol.conjunction``."""
        if (a.shape, a.width) != (b.shape, b.width):
            raise ValueError(f"{a.width} bits of {list(a.shape)} and {b.width} of {list(b.shape)} have no conjunction")
        (a_0, a_1), (b_0, b_1) = a.parts, b.parts
        return Bits(a.shape, a.width, adder.conjunction(self._seat, ((a_0, a_1), (b_0, b_1), None))[0])

    def invert(self, a: Bits) -> Bits:
        """See ``Protocol.invert``: x_0 is inverted."""
        places = self._seat.place, self._seat.after
        return Bits(a.shape, a.width, tuple(~p if at == 0 else p for at, p in zip(places, a.parts, strict=True)))

    def arithmetic(self, a: Bits) -> Share:
        """See ``Protocol.arithmetic``."""
        return truncation.inject(self._seat, a)


def summand(place: int, form: Form, x: Share, y: Share, *, threads: int = 1) -> RingArray:
    """This party's summand of the form of x and y, from its own parts.

    A form that has no halves is cheap for its size: x_i (y_i + y_{i+1}) + x_{i+1} y_i, six forms at the three parties.
    Others take five: (x_0 + 2 x_1) y_1 + (2 x_0 + x_1) y_0 at P_0; (x_j - x_2)(y_2 - y_j) with j = 1 at P_1 and j = 0
    at P_2, each of which adds three times one half of x_2 y_2.
    """
    (a, b), (c, d) = x.parts, y.parts
    if form.halves(a.shape, c.shape) is None:
        own = np.asarray(form(a, c, add_b=d, threads=threads))  # NumPy warns where single numbers wrap
        own += form(b, c, threads=threads)
    elif place == DEALER:
        own = form(a, d, add_a=b << ONE, threads=threads)
        own += form(b, c, add_a=a << ONE, threads=threads)
    else:
        (other, common), (other_y, common_y) = ((a, b), (c, d)) if place == FIRST else ((b, a), (d, c))
        own = form(other, common_y, add_a=np.negative(common), add_b=np.negative(other_y), threads=threads)
        at, half = form.half(0 if place == FIRST else 1, common, common_y, threads=threads)
        half *= THREE
        own[at] += half
    return own


def _shift(bits: int) -> int:
    if not 0 <= bits <= HEADROOM_BITS:
        raise ValueError(f"numbers are truncated by 0 .. {HEADROOM_BITS} bits, not {bits}")
    return bits


def _width(bits: int) -> int:
    if not 1 <= bits <= WORD:
        raise ValueError(f"a number has 1 .. {WORD} bits, not {bits}")
    return bits
