"""``Seat``: a place at the table of three, its keystreams, and the few messages that are ever sent.

Symbols: x = x_0 + x_1 + x_2; P_i holds (x_i, x_{i+1}). Keystream s_i is shared by P_{i-1} and P_i: the two who hold the
summand x_i. P_0, the dealer, knows x_0 + x_1; P_1 and P_2, the openers, both know x_2.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stead.errors import UsageError
from stead.mpc.party import Party, RingStream
from stead.mpc.shares import Planes, RingArray, words

DEALER: Final = 0
FIRST: Final = 1
SECOND: Final = 2
COUNT: Final = 3


class Seat:
    """What a party of three does with the others, whatever the verb.

    Args:
        party: one of three, with the keystreams of ``agree``.

    Raises:
        UsageError: not three parties, or no keystreams.
    """

    def __init__(self, party: Party) -> None:
        if len(party.names) != COUNT:
            raise UsageError(f"replicated sharing has three parties; there are {len(party.names)}.")
        self.place = party.place
        self.before = (party.place - 1) % COUNT
        self.after = (party.place + 1) % COUNT
        if set(party.streams) != {self.before, self.after}:
            raise UsageError(
                f"{party.names[party.place]!r} has no keystream with each of the two others.",
                hint="make the party's streams with stead.mpc.party.agree",
            )
        self._party = party

    def stream(self, summand: int) -> RingStream:
        """s_summand: known to this party and the other one that holds this summand."""
        return self._party.streams[self.before if summand == self.place else self.after]

    def zero(self, shape: tuple[int, ...], *, xor: bool = False) -> RingArray:
        """This party's part of a fresh sharing of zero, by sum or by exclusive or; no message."""
        own, later = self.stream(self.place).ring(shape), self.stream(self.after)
        return later.xored_with(own) if xor else later.taken_from(own)

    def reshare(self, *own: RingArray) -> list[tuple[RingArray, RingArray]]:
        """From summands, one at each party, to replicated parts: each sends its own to the one before. One round."""
        received = self._party.exchange({self.before: own}, {self.after: tuple(part.shape for part in own)})
        return list(zip(own, received[self.after], strict=True))

    def deal(self, *arrays: RingArray) -> None:
        """The dealer's message to the second opener."""
        self._party.exchange({SECOND: arrays}, {})

    def dealt(self, *shapes: tuple[int, ...]) -> list[RingArray]:
        """The second opener takes the dealer's message."""
        return self._party.exchange({}, {DEALER: shapes})[DEALER]

    def swap(self, own: RingArray) -> RingArray:
        """The openers exchange their masked halves. One round."""
        other = FIRST + SECOND - self.place
        return self._party.exchange({other: (own,)}, {other: (own.shape,)})[other][0]

    def planes(self, summand: int, rows: int, shape: tuple[int, ...]) -> Planes:
        """The next packed bits of s_summand."""
        return self.stream(summand).planes(rows, shape)

    def __repr__(self) -> str:
        return f"Seat(place={self.place}, streams=<redacted>)"


class Lanes:
    """Integers mod 2^w for the least w of 16, 32, 64 that holds ``bits`` bits, w/8 bytes each on the wire.

    Args:
        bits: 1 .. 64.
        size: how many integers.
    """

    def __init__(self, bits: int, size: int) -> None:
        self.size = size
        self.bits = bits
        self.width_bytes = next(count for count in (2, 4, 8) if bits <= 8 * count)
        self._dtype: np.dtype[np.unsignedinteger[Any]] = np.dtype(f"u{self.width_bytes}")

    @property
    def words(self) -> int:
        """How many ring elements they are sent as."""
        return -(-self.size * self.width_bytes // 8)

    def draw(self, stream: RingStream) -> npt.NDArray[Any]:
        """Uniform integers from a keystream, padding included."""
        return self.of_words(stream.ring((self.words,)))

    def of_words(self, packed: RingArray) -> npt.NDArray[Any]:
        """The integers of a message, padding included."""
        return packed.view(self._dtype)

    def of_bits(self, bits: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Zeros and ones as such integers, padded."""
        lanes = np.zeros(self.words * (8 // self.width_bytes), dtype=self._dtype)
        lanes[: self.size] = bits.reshape(-1)
        return lanes

    def lifted(self, lanes: npt.NDArray[Any]) -> RingArray:
        """2^(64 - bits) times each integer: well defined mod 2^64, since the integers are wanted mod 2^bits."""
        return lanes[: self.size].astype(np.uint64) << np.uint64(64 - self.bits)


def check_places(*places: int) -> None:
    """Return if there are such places.

    Raises:
        UsageError: there are 0, 1 and 2.
    """
    if unknown := [place for place in places if place not in {DEALER, FIRST, SECOND}]:
        raise UsageError(f"there is no place {unknown[0]}: replicated sharing has 0, 1 and 2.")


def flat_words(shape: tuple[int, ...], rows: int) -> tuple[int, int]:
    """The shape of packed planes."""
    return rows, words(shape)


def flat_size(shape: tuple[int, ...]) -> int:
    """The number of values."""
    return math.prod(shape)
