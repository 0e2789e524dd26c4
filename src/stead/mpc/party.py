"""``Party``: who computes, with whom it shares keystreams, and over which channel it speaks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from stead.core.channel import PartyChannel
from stead.core.entropy import Entropy
from stead.mpc.kernels import keystream
from stead.mpc.shares import Planes, RingArray, words

KEY_BYTES = keystream.KEY_BYTES
PAIR_DOMAIN = b"stead/mpc/pair/v1"


class RingStream:
    """Pseudo-random ring elements that all who hold the key draw alike, in the same order.

    References: NIST SP 800-38A, section 6.5 (AES-256 in counter mode; the counter starts at zero, a key is used once).
    """

    def __init__(self, key: bytes) -> None:
        self._stream = keystream.Keystream(key)

    def ring(self, shape: tuple[int, ...]) -> RingArray:
        """The next elements of Z_2^64 as an array of ``shape``."""
        return self._stream.draw(math.prod(shape)).reshape(shape)

    def taken_from(self, values: RingArray) -> RingArray:
        """Values minus the next elements, in one pass: the other half of a dealt secret."""
        return self._stream.taken_from(np.ascontiguousarray(values)).reshape(values.shape)

    def xored_with(self, planes: Planes) -> Planes:
        """Packed bits and the next ones, by exclusive or, in one pass."""
        return self._stream.xored_with(np.ascontiguousarray(planes)).reshape(planes.shape)

    def planes(self, width: int, shape: tuple[int, ...]) -> Planes:
        """The next packed bits: ``width`` of them for each value of ``shape``."""
        return self.ring((width, words(shape)))

    def __repr__(self) -> str:
        return "RingStream(<redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a keystream cannot be pickled")


@dataclass(frozen=True, repr=False, eq=False)
class Party:
    """One party of a computation.

    Attributes:
        place: this party's place, 0 .. n - 1, the same at all parties.
        names: all parties' names in the order of their places.
        channel: to the others.
        entropy: this party's own randomness.
        threads: how many threads a ring product may use.
        streams: keystreams shared with one other party, by its place (from ``agree``; empty where none are needed).
    """

    place: int
    names: tuple[str, ...]
    channel: PartyChannel
    entropy: Entropy
    threads: int = 1
    streams: Mapping[int, RingStream] = field(default_factory=dict)

    def exchange(
        self, outgoing: Mapping[int, tuple[RingArray, ...]], expect: Mapping[int, tuple[tuple[int, ...], ...]]
    ) -> dict[int, list[RingArray]]:
        """One round of ring arrays.

        Args:
            outgoing: arrays for each place that is sent to.
            expect: shapes of the arrays that each place sends.

        Returns:
            The arrays that each place has sent, in order.

        Raises:
            PartyError: a party is gone or silent; the text names it.
            Untrusted: a party has sent something else.
        """
        sizes = {self.names[at]: sum(8 * math.prod(shape) for shape in shapes) for at, shapes in expect.items()}
        frames = {
            self.names[at]: [np.ascontiguousarray(array).reshape(-1).data.cast("B") for array in arrays if array.size]
            for at, arrays in outgoing.items()
        }
        received = self.channel.exchange(frames, sizes)
        return {at: _cut(received[self.names[at]], shapes) for at, shapes in expect.items()}

    def __repr__(self) -> str:
        return f"Party({self.names[self.place]!r}, {self.place + 1} of {len(self.names)})"


def _cut(frame: memoryview, shapes: tuple[tuple[int, ...], ...]) -> list[RingArray]:
    whole, at, arrays = np.frombuffer(frame, dtype=np.uint64), 0, []
    for shape in shapes:
        size = math.prod(shape)
        arrays.append(whole[at : at + size].reshape(shape))
        at += size
    return arrays


def agree(place: int, names: tuple[str, ...], channel: PartyChannel, entropy: Entropy) -> dict[int, RingStream]:
    """Draw a key with each other party: the lower place draws it, the channel carries it, HKDF binds it to the names.

    Cost:
        One round; 32 bytes to each party of a higher place.

    Security:
        A keystream is known to its two parties only, as far as the channel between them is sealed.
    """
    drawn = {at: entropy.take(KEY_BYTES) for at in range(place + 1, len(names))}
    received = channel.exchange(
        {names[at]: [seed] for at, seed in drawn.items()}, {names[at]: KEY_BYTES for at in range(place)}
    )
    seeds = drawn | {at: bytes(received[names[at]]) for at in range(place)}
    return {at: RingStream(_pair_key(seed, names, tuple(sorted((place, at))))) for at, seed in seeds.items()}


def _pair_key(seed: bytes, names: tuple[str, ...], pair: tuple[int, ...]) -> bytes:
    bound = b"\0".join(name.encode() for name in (*names, *(str(at) for at in pair)))
    return HKDF(hashes.SHA256(), KEY_BYTES, PAIR_DOMAIN, bound).derive(seed)
