"""``Cleartext``: one party that sees everything; what each verb means, and the oracle of the other protocols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from stead.mpc.forms import Form
from stead.mpc.kernels import bits as kernels
from stead.mpc.party import Party
from stead.mpc.protocol import HEADROOM_BITS, Facts
from stead.mpc.shares import WORD, Bits, RingArray, Share

FACTS = Facts("cleartext", 1, "none: the party sees every value", 0, ())


class Cleartext:
    """A share is the value itself.

    Security:
        None: the one party sees every value.

    Cost:
        No rounds, no bytes.

    Args:
        party: the only one.
    """

    facts: ClassVar[Facts] = FACTS

    def __init__(self, party: Party) -> None:
        self._party = party

    @property
    def party(self) -> Party:
        """See ``Protocol.party``."""
        return self._party

    def share(self, values: RingArray | None, shape: tuple[int, ...], owner: int) -> Share:
        """See ``Protocol.share``."""
        if values is None:
            raise ValueError("the only party owns every input")
        return Share((np.array(values, dtype=np.uint64).reshape(shape),))

    def public(self, values: RingArray) -> Share:
        """See ``Protocol.public``."""
        return Share((np.array(values, dtype=np.uint64),))

    def reveal(self, x: Share, to: Sequence[int] | None = None) -> RingArray | None:
        """See ``Protocol.reveal``."""
        return None if to is not None and self._party.place not in to else x.parts[0].copy()

    def add_public(self, x: Share, values: RingArray) -> Share:
        """See ``Protocol.add_public``."""
        return x.map(lambda part: part + values)

    def product(self, form: Form, x: Share, y: Share) -> Share:
        """See ``Protocol.product``."""
        return Share((form(x.parts[0], y.parts[0], threads=self._party.threads),))

    def truncate(self, x: Share, bits: int) -> Share:
        """See ``Protocol.truncate``: the floor."""
        if not 0 <= bits <= HEADROOM_BITS:
            raise ValueError(f"numbers are truncated by 0 .. {HEADROOM_BITS} bits, not {bits}")
        return x.map(lambda part: (part.view(np.int64) >> bits).view(np.uint64))

    def negative(self, x: Share, bits: int = 64) -> Bits:
        """See ``Protocol.negative``."""
        return self.decompose(x, bits).plane(bits - 1)

    def zero(self, x: Share) -> Bits:
        """See ``Protocol.zero``."""
        return Bits(x.shape, 1, (kernels.to_planes((x.parts[0] == 0).astype(np.uint64), 1),))

    def select(self, b: Bits, x: Share, truncate: int = 0) -> Share:
        """See ``Protocol.select``."""
        if b.shape != x.shape or b.width != 1:
            raise ValueError(f"{b.width} bits of shape {list(b.shape)} cannot choose from shape {list(x.shape)}")
        chosen = kernels.unpack(b.parts[0][0], x.size).reshape(x.shape)
        return Share((chosen * (self.truncate(x, truncate) if truncate else x).parts[0],))

    def decompose(self, x: Share, bits: int = 64) -> Bits:
        """See ``Protocol.decompose``."""
        if not 1 <= bits <= WORD:
            raise ValueError(f"a number has 1 .. {WORD} bits, not {bits}")
        return Bits(x.shape, bits, (kernels.to_planes(np.ascontiguousarray(x.parts[0]), bits),))

    def conjunction(self, a: Bits, b: Bits) -> Bits:
        """See ``Protocol.conjunction``."""
        if (a.shape, a.width) != (b.shape, b.width):
            raise ValueError(f"{a.width} bits of {list(a.shape)} and {b.width} of {list(b.shape)} have no conjunction")
        return Bits(a.shape, a.width, (a.parts[0] & b.parts[0],))

    def invert(self, a: Bits) -> Bits:
        """See ``Protocol.invert``."""
        return Bits(a.shape, a.width, (~a.parts[0],))

    def arithmetic(self, a: Bits) -> Share:
        """See ``Protocol.arithmetic``."""
        numbers = np.empty((a.width, *a.shape), dtype=np.uint64)
        for row, plane in enumerate(a.parts[0]):
            numbers[row, ...] = kernels.unpack(plane, numbers[row].size).reshape(a.shape)
        return Share((numbers,))
