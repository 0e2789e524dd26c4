"""Sums of many clients' vectors by a few aggregators: a client's shares, and ``Aggregator``, which adds them up.

Symbols: n aggregators, m = length, b = ring_bits. A client's vector is x = x_0 + ... + x_{n-1} mod 2^b. All x_i but one
are streams of AES-256-CTR under fresh keys and are sent as the keys, 32 bytes each. One aggregator gets the rest,
m*b/8 bytes. A share is a head of 32 bytes and a body::

    magic "STA1" | kind 0 key, 1 rest | b | aggregator's place | n | m, 8 bytes | client's tag, 16 bytes | body

All numbers are little-endian. The tag is random and the same in all shares of one vector.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stead.core.entropy import Entropy
from stead.errors import BadMessage, TooFewParties, UsageError
from stead.mpc.kernels.keystream import Keystream
from stead.mpc.party import KEY_BYTES, Party
from stead.mpc.shares import RingArray

RingBits: TypeAlias = Literal[32, 64]
RingVector: TypeAlias = NDArray[np.unsignedinteger[Any]]

HEAD: Final = struct.Struct("<4sBBBBQ16s")
MAGIC: Final = b"STA1"
KEY, REST = 0, 1
TAG_BYTES: Final = 16
MOST_AGGREGATORS: Final = 255
DIGEST_DOMAIN: Final = b"stead/mpc/aggregation/v1"
_DTYPES: Final[dict[int, np.dtype[np.unsignedinteger[Any]]]] = {32: np.dtype("<u4"), 64: np.dtype("<u8")}
# A block of keystream stays in the second-level cache until it is added.
_BLOCK_BYTES: Final = 1 << 18


def split(values: RingVector, aggregators: int, *, entropy: Entropy, ring_bits: RingBits = 64) -> list[bytearray]:
    """A client's shares of a vector, one for each aggregator, by place.

    Args:
        values: shape (m,), integers of any dtype that fits the ring; signed ones are taken mod 2^ring_bits.
        aggregators: how many, 2 .. 255.
        entropy: for the keys and the tag.
        ring_bits: of the ring.

    Cost:
        m*b/8 + 32 bytes to one aggregator, chosen by the tag; 64 bytes to each other; n - 1 keystreams.

    Security:
        Any n - 1 of the shares are uniform, as far as AES-256 in counter mode is a pseudo-random generator.

    Raises:
        UsageError: fewer than 2 aggregators, more than 255, or not a vector of integers.
    """
    if not 2 <= aggregators <= MOST_AGGREGATORS:
        raise UsageError(f"a vector is shared between 2 .. {MOST_AGGREGATORS} aggregators, not {aggregators}.")
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise UsageError(
            f"what is added up is a vector of integers, not {values.ndim} axes of {values.dtype}.",
            hint="flatten it, and encode real numbers with stead.mpc.fixed.encode",
        )
    dtype, tag = _DTYPES[ring_bits], entropy.take(TAG_BYTES)
    heavy = tag[0] % aggregators
    shares = []
    rest = bytearray(HEAD.size + len(values) * dtype.itemsize)
    body = np.frombuffer(rest, dtype=dtype, offset=HEAD.size)
    np.copyto(body, values, casting="unsafe")
    for place in range(aggregators):
        head = MAGIC, REST if place == heavy else KEY, ring_bits, place, aggregators, len(values), tag
        if place == heavy:
            HEAD.pack_into(rest, 0, *head)
            shares.append(rest)
            continue
        key = entropy.take(KEY_BYTES)
        _add_stream(body, key, subtract=True)
        shares.append(bytearray(HEAD.pack(*head) + key))
    return shares


class Aggregator:
    """One aggregator's running sum of the clients' shares; the sum is opened once.

    Cost:
        add: a keystream or a message of m*b/8 bytes is added to one vector; nothing else is kept. reveal: one round,
        m*b/8 (rounded up to 8) + 32 bytes from each aggregator to each other party that is told.

    Security:
        Semi-honest, n - 1 of n aggregators may collude, with any clients and receivers: they learn the sum of the other
        clients and nothing else (docs/theory/additive-sharing.md). The sum of one client, or two sums that differ by
        one client, tell that client's vector: fewer than ``least`` are not opened, and nothing is opened twice.
        Aggregators that hold different sets of clients open noise, and the receiver is told. A client may send any
        vector; an aggregator that lies changes the sum, and nobody can tell.

    Args:
        party: this aggregator, or a receiver of a place after theirs; needs no keystreams.
        length: m, the same for all clients.
        ring_bits: of the ring.
        aggregators: how many; they have the first places. None: all parties.
        least: how many clients a sum must have.

    Raises:
        UsageError: fewer than two aggregators, or more than there are parties.
    """

    def __init__(
        self,
        party: Party,
        length: int,
        *,
        ring_bits: RingBits = 64,
        aggregators: int | None = None,
        least: int = 2,
    ) -> None:
        count = len(party.names) if aggregators is None else aggregators
        if not 2 <= count <= min(len(party.names), MOST_AGGREGATORS):
            raise UsageError(f"a sum needs 2 aggregators or more among the {len(party.names)} parties, not {count}.")
        self._party, self._length, self._bits = party, length, ring_bits
        self._count, self._least = count, least
        self._dtype = _DTYPES[ring_bits]
        self._words = -(-length * self._dtype.itemsize // 8)
        self._packed: RingArray = np.zeros(self._words, dtype=np.uint64)
        self._clients: dict[str, bytes] = {}
        self._open = True

    @property
    def clients(self) -> tuple[str, ...]:
        """Whose shares are in the sum, in the order in which they came."""
        return tuple(self._clients)

    def add(self, client: str, share: bytes | bytearray | memoryview) -> None:
        """Add a client's share; one that is refused changes nothing.

        Raises:
            BadMessage: not a share, of another length, ring or aggregator, or the client's second; names the client.
            UsageError: the sum is opened already, or this party only receives.
        """
        if not self._open or self._party.place >= self._count:
            raise UsageError(
                f"the share of client {client!r} comes too late or to the wrong party: the sum is opened, "
                f"or place {self._party.place} is no aggregator."
            )
        kind, tag = self._head(client, share)
        if client in self._clients:
            raise BadMessage(f"client {client!r} has sent its share already.")
        body, total = memoryview(share)[HEAD.size :], self._total()
        if kind == KEY:
            _add_stream(total, bytes(body), subtract=False)
        else:
            np.add(total, np.frombuffer(body, dtype=self._dtype), out=total)
        self._clients[client] = tag

    def reveal(self, to: Sequence[int]) -> RingVector | None:
        """Open the sum to these places, once; ``None`` at the others.

        Returns:
            Shape (m,), dtype uint32 or uint64.

        Raises:
            TooFewParties: fewer clients than ``least``.
            BadMessage: the aggregators have not added up the same clients.
            UsageError: the sum is opened already.
            PartyError: an aggregator is gone or silent.
        """
        if not self._open:
            raise UsageError("the sum is opened already: a second one would tell what lies between.")
        place, told = self._party.place, set(to)
        aggregates = place < self._count
        if aggregates and len(self._clients) < self._least:
            raise TooFewParties(
                f"{len(self._clients)} clients have sent shares; the sum is opened for {self._least} or more."
            )
        self._open = False
        digest = self._digest()
        outgoing = dict.fromkeys(sorted(told - {place}), (digest, self._packed)) if aggregates else {}
        others = [at for at in range(self._count) if at != place]
        expected = dict.fromkeys(others, (digest.shape, (self._words,))) if place in told else {}
        received = self._party.exchange(outgoing, expected) if outgoing or expected else {}
        if place not in told:
            return None
        digests = {at: received[at][0].tobytes() for at in others}
        if aggregates:
            digests[place] = digest.tobytes()
        self._agree(digests)
        total = self._total()
        for at in others:
            total += received[at][1].view(self._dtype)[: self._length]
        return total

    def _total(self) -> RingVector:
        return self._packed.view(self._dtype)[: self._length]

    def _head(self, client: str, share: bytes | bytearray | memoryview) -> tuple[int, bytes]:
        if len(share) < HEAD.size:
            raise BadMessage(f"client {client!r} has sent {len(share)} bytes, which are no share.")
        magic, kind, bits, place, count, length, tag = HEAD.unpack_from(share)
        if magic != MAGIC or kind not in {KEY, REST}:
            raise BadMessage(f"client {client!r} has sent bytes that are no share.")
        if (place, count) != (self._party.place, self._count):
            raise BadMessage(
                f"client {client!r} has sent a share for aggregator {place} of {count}; "
                f"this is {self._party.place} of {self._count}."
            )
        if (bits, length) != (self._bits, self._length):
            raise BadMessage(
                f"client {client!r} has sent {length} numbers of {bits} bits; "
                f"the sum has {self._length} of {self._bits}."
            )
        expected = KEY_BYTES if kind == KEY else length * self._dtype.itemsize
        if len(share) - HEAD.size != expected:
            raise BadMessage(
                f"client {client!r} has sent a share with {len(share) - HEAD.size} bytes where {expected} belong."
            )
        return kind, tag

    def _digest(self) -> RingArray:
        """Which vectors are in the sum, as four words."""
        names = sorted((name.encode(), tag) for name, tag in self._clients.items())
        state = hashlib.sha256(DIGEST_DOMAIN + struct.pack("<BQQ", self._bits, self._length, len(names)))
        for name, tag in names:
            state.update(struct.pack("<Q", len(name)) + name + tag)
        return np.frombuffer(state.digest(), dtype=np.uint64)

    def _agree(self, digests: dict[int, bytes]) -> None:
        first, *rest = sorted(digests)
        unlike = [at for at in rest if digests[at] != digests[first]]
        if unlike:
            names = [self._party.names[at] for at in (first, *unlike)]
            raise BadMessage(
                f"the aggregators {', '.join(names)} have not added up the same clients' vectors: there is no sum."
            )

    def __repr__(self) -> str:
        return (
            f"Aggregator(length={self._length}, ring_bits={self._bits}, clients={len(self._clients)}, sum=<redacted>)"
        )

    def __reduce__(self) -> str:
        raise TypeError("a running sum cannot be pickled")


def _add_stream(vector: RingVector, key: bytes, *, subtract: bool) -> None:
    """Add or subtract a keystream in place, in blocks."""
    stream, turn = Keystream(key), np.subtract if subtract else np.add
    block = _BLOCK_BYTES // vector.itemsize
    for start in range(0, len(vector), block):
        part = vector[start : start + block]
        noise = stream.draw(-(-part.nbytes // 8)).view(vector.dtype)[: len(part)]
        turn(part, noise, out=part)
