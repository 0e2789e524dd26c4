"""``Additive``: n parties, each one summand, all but one of them semi-honest and curious; for sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NoReturn

import numpy as np

from stead.errors import UnsupportedOperation, UsageError
from stead.mpc.forms import Form
from stead.mpc.party import Party
from stead.mpc.protocol import Facts
from stead.mpc.shares import WORD, Bits, RingArray, Share

FACTS = Facts(
    name="additive",
    parties=0,
    threat="semi-honest",
    corruptions=1,  # of two parties; of n parties n - 1
    references=("Benaloh: Secret sharing homomorphisms (CRYPTO 1986)",),
)


class Additive:
    """x = x_0 + ... + x_{n-1} mod 2^64, where P_i holds x_i.

    Cost:
        share: nothing is sent; the others' summands are keystream. reveal: one round, 8 bytes for each value from each
        party to each other that is told. Whatever is not linear is refused.

    Security:
        Semi-honest, n - 1 corruptions: all summands but the owner's are keystreams of the owner with one other party
        each, so any n - 1 of them are uniform to those who lack the last; opening shows summands that are uniform
        but for their sum (docs/theory/additive-sharing.md). A party that lies about its summand changes the result, and
        nobody can tell.

    Args:
        party: one of two or more, with the keystreams of ``stead.mpc.party.agree``.

    Raises:
        UsageError: fewer than two parties, or a keystream is missing.

    References:
        Benaloh 1986 (CRYPTO).
    """

    facts: ClassVar[Facts] = FACTS

    def __init__(self, party: Party) -> None:
        others = set(range(len(party.names))) - {party.place}
        if not others:
            raise UsageError("additive sharing needs two parties or more.")
        if set(party.streams) != others:
            raise UsageError(
                f"{party.names[party.place]!r} has no keystream with each of the others.",
                hint="make the party's streams with stead.mpc.party.agree",
            )
        self._party = party
        self._others = tuple(sorted(others))

    @property
    def party(self) -> Party:
        """See ``Protocol.party``."""
        return self._party

    def share(self, values: RingArray | None, shape: tuple[int, ...], owner: int) -> Share:
        """See ``Protocol.share``: no message."""
        if self._party.place != owner:
            return Share((self._party.streams[owner].ring(shape),))
        if values is None:
            raise ValueError("the owner gives the values")
        rest = np.array(values, dtype=np.uint64).reshape(shape)
        for other in self._others:
            rest -= self._party.streams[other].ring(shape)
        return Share((rest,))

    def public(self, values: RingArray) -> Share:
        """See ``Protocol.public``: x_0 is the value."""
        known = np.array(values, dtype=np.uint64)
        return Share((known if self._party.place == 0 else np.zeros_like(known),))

    def reveal(self, x: Share, to: Sequence[int] | None = None) -> RingArray | None:
        """See ``Protocol.reveal``: every summand goes to each that is told."""
        place, told = self._party.place, set(range(len(self._party.names)) if to is None else to)
        outgoing = {other: (x.parts[0],) for other in self._others if other in told}
        expected = dict.fromkeys(self._others, (x.shape,)) if place in told else {}
        if not outgoing and not expected:
            return None
        received = self._party.exchange(outgoing, expected)
        if not expected:
            return None
        total = x.parts[0].copy()
        for other in self._others:
            total += received[other][0]
        return total

    def add_public(self, x: Share, values: RingArray) -> Share:
        """See ``Protocol.add_public``."""
        return x + self.public(values)

    def product(self, form: Form, x: Share, y: Share) -> Share:
        """Refused."""
        refuse(f"the product {form.name!r}")

    def truncate(self, x: Share, bits: int) -> Share:
        """Refused."""
        refuse("truncation")

    def negative(self, x: Share, bits: int = WORD) -> Bits:
        """Refused."""
        refuse("comparison")

    def zero(self, x: Share) -> Bits:
        """Refused."""
        refuse("comparison")

    def select(self, b: Bits, x: Share, truncate: int = 0) -> Share:
        """Refused."""
        refuse("selection")

    def decompose(self, x: Share, bits: int = WORD) -> Bits:
        """Refused."""
        refuse("decomposition into bits")

    def conjunction(self, a: Bits, b: Bits) -> Bits:
        """Refused."""
        refuse("conjunction of bits")

    def invert(self, a: Bits) -> Bits:
        """Refused."""
        refuse("inversion of bits")

    def arithmetic(self, a: Bits) -> Share:
        """Refused."""
        refuse("conversion of bits")


def refuse(what: str) -> NoReturn:
    """Say that additive sharing only adds.

    Raises:
        UnsupportedOperation: always.
    """
    raise UnsupportedOperation(
        f"additive sharing only adds: it has no {what}.",
        hint="the protocols 'replicated' and 'masked' (three parties each) have every verb",
    )
