"""From the dealer to the two others over their sealed channels: material that goes into memory and no file."""

from __future__ import annotations

from stead.core.codec import decode, encode
from stead.errors import BadMessage, UsageError
from stead.mpc.party import Party
from stead.mpc.protocols.masked.material import DEALER, FIRST, SECOND, Header, Preprocessing
from stead.mpc.shares import RingArray

MOST_WORDS = 1 << 37
"""A terabyte: what nobody prepares."""


def deliver(party: Party, materials: tuple[Preprocessing, Preprocessing]) -> None:
    """Send both parties their own; the materials are used up.

    Cost:
        Two messages to each: 16 bytes, then the header and the body.

    Raises:
        UsageError: this is not place 0, or a material was used.
        PartyError: a party is gone or silent.
    """
    if party.place != DEALER:
        raise UsageError(f"place {party.place} does not deal: place 0 does.")
    names = party.names
    moved = {names[at]: material.release() for at, material in zip((FIRST, SECOND), materials, strict=True)}
    heads = {name: _padded(encode(header)) for name, (header, _) in moved.items()}
    party.channel.exchange(
        {
            name: [len(heads[name]).to_bytes(8, "little"), header.words.to_bytes(8, "little")]
            for name, (header, _) in moved.items()
        },
        {},
    )
    party.channel.exchange({name: [heads[name], *map(_flat, body)] for name, (_, body) in moved.items()}, {})


def accept(party: Party) -> Preprocessing:
    """This party's material, from the dealer.

    Raises:
        UsageError: this is place 0.
        PartyError: the dealer is gone or silent.
        BadMessage: what came is no material, or another party's.
    """
    if party.place not in {FIRST, SECOND}:
        raise UsageError("place 0 deals and receives nothing.")
    dealer = party.names[DEALER]
    sizes = party.channel.exchange({}, {dealer: 16})[dealer]
    head, words = int.from_bytes(sizes[:8], "little"), int.from_bytes(sizes[8:], "little")
    if head > 1 << 30 or words > MOST_WORDS:
        raise BadMessage(
            f"{dealer} announces material of {words:,} ring elements, which is no size of any computation."
        )
    return read(party.channel.exchange({}, {dealer: head + 8 * words})[dealer], party.names, party.place)


def read(frame: memoryview, names: tuple[str, ...], place: int) -> Preprocessing:
    """The material of one party that a dealer has sent.

    Args:
        frame: the header's length in 8 bytes, the header, zeros up to a multiple of 8, the body.
        names: all parties'.
        place: whose it must be.

    Raises:
        BadMessage: it is no material, or another party's.
    """
    length = int.from_bytes(frame[:8], "little")
    start = 8 + -(-length // 8) * 8
    if len(frame) < start:
        raise BadMessage(f"material of {len(frame):,} bytes ends before its header of {length:,} does.")
    header = decode(bytes(frame[8 : 8 + length]), Header)
    if header.place != place or header.names != names:
        raise BadMessage(f"{names[DEALER]} sent the material of another party or computation.")
    return Preprocessing.received(header, frame[start:])


def _padded(head: bytes) -> bytes:
    """The length, the header, and zeros up to a multiple of 8: the words after it stay aligned."""
    return len(head).to_bytes(8, "little") + head + bytes(-len(head) % 8)


def _flat(part: RingArray) -> memoryview:
    return part.reshape(-1).data.cast("B")
