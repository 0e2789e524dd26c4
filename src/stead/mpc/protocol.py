"""``Protocol``: the verbs that every way of computing on shares has, one object for each party.

The same straight-line code runs at every party: it never looks at a value, only at shapes, so it takes the same verbs
in the same order everywhere. Local maps stand on ``Share`` and ``Bits``; the verbs here are those that differ by
protocol.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass

from stead.mpc.cost import Cost
from stead.mpc.forms import Form
from stead.mpc.party import Party
from stead.mpc.shares import Bits, RingArray, Share

HEADROOM_BITS = 62
"""A value that is truncated must lie in [-2^62, 2^62)."""


@dataclass(frozen=True)
class Facts:
    """What must be believed to trust a protocol.

    Attributes:
        name: the protocol's name.
        parties: how many there are; 0: any number.
        threat: whom it withstands: ``semi-honest`` parties follow the protocol and read what they see.
        corruptions: how many parties may be read together without learning anything.
        references: papers.
    """

    name: str
    parties: int
    threat: str
    corruptions: int
    references: tuple[str, ...]


class Protocol(typing.Protocol):
    """One party's side.

    Values are integers mod 2^64, read as signed. Arrays that enter or leave are of dtype uint64. A verb that exchanges
    raises ``PartyError`` when a party is gone or silent and ``Untrusted`` when it sends something else.
    """

    facts: typing.ClassVar[Facts]

    @property
    def party(self) -> Party:
        """Who this is."""
        ...

    def share(self, values: RingArray | None, shape: tuple[int, ...], owner: int) -> Share:
        """Enter the owner's secret; ``values`` is read at the owner only."""
        ...

    def public(self, values: RingArray) -> Share:
        """A share of what all know. No rounds."""
        ...

    def reveal(self, x: Share, to: Sequence[int] | None = None) -> RingArray | None:
        """Open a secret to these places (none named: to all that are online); ``None`` at the others."""
        ...

    def add_public(self, x: Share, values: RingArray) -> Share:
        """Add what all know, broadcast as NumPy does. No rounds."""
        ...

    def product(self, form: Form, x: Share, y: Share) -> Share:
        """The form of two secrets, exact mod 2^64: nothing is truncated. One round."""
        ...

    def truncate(self, x: Share, bits: int) -> Share:
        """Divide by 2^bits: x / 2^bits, at most one unit off (floor or floor + 1), for every x in [-2^62, 2^62)."""
        ...

    def negative(self, x: Share, bits: int = 64) -> Bits:
        """One bit: x < 0, right on the whole ring for ``bits = 64``.

        With fewer bits only the low ones are read: right for x in [-2^(bits-1), 2^(bits-1)) and silently wrong outside,
        so only where that range is proven or declared.
        """
        ...

    def zero(self, x: Share) -> Bits:
        """One bit: x == 0 mod 2^64."""
        ...

    def select(self, b: Bits, x: Share, truncate: int = 0) -> Share:
        """Take b * x for one bit b of each value; with ``truncate`` b * (x / 2^truncate), in one opening.

        Raises:
            ValueError: b and x differ in shape, or b has more than one bit.
        """
        ...

    def decompose(self, x: Share, bits: int = 64) -> Bits:
        """The low bits of x in two's complement, lowest first."""
        ...

    def conjunction(self, a: Bits, b: Bits) -> Bits:
        """The AND, bit by bit; widths are the same. One round."""
        ...

    def invert(self, a: Bits) -> Bits:
        """NOT a. No rounds."""
        ...

    def arithmetic(self, a: Bits) -> Share:
        """Each bit as 0 or 1 in Z_2^64, shape (width, *shape)."""
        ...


class Costs(typing.Protocol):
    """What each verb of one protocol costs, from shapes alone; ``tests/mpc`` runs the verbs and compares exactly."""

    @property
    def facts(self) -> Facts:
        """The protocol's facts."""
        ...

    def share(self, shape: tuple[int, ...], owner: int) -> Cost:
        """See ``Protocol.share``."""
        ...

    def reveal(self, shape: tuple[int, ...], to: Sequence[int] | None = None) -> Cost:
        """See ``Protocol.reveal``."""
        ...

    def product(self, form: Form, a: tuple[int, ...], b: tuple[int, ...]) -> Cost:
        """See ``Protocol.product``."""
        ...

    def truncate(self, shape: tuple[int, ...], bits: int) -> Cost:
        """See ``Protocol.truncate``."""
        ...

    def negative(self, shape: tuple[int, ...], bits: int = 64) -> Cost:
        """See ``Protocol.negative``."""
        ...

    def zero(self, shape: tuple[int, ...]) -> Cost:
        """See ``Protocol.zero``."""
        ...

    def select(self, shape: tuple[int, ...], truncate: int = 0) -> Cost:
        """See ``Protocol.select``."""
        ...

    def decompose(self, shape: tuple[int, ...], bits: int = 64) -> Cost:
        """See ``Protocol.decompose``."""
        ...

    def conjunction(self, shape: tuple[int, ...], width: int) -> Cost:
        """See ``Protocol.conjunction``."""
        ...

    def arithmetic(self, shape: tuple[int, ...], width: int) -> Cost:
        """See ``Protocol.arithmetic``."""
        ...
