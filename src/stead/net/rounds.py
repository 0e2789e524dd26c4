"""What every channel between parties shares: reading the arguments of a round, counting, and the errors of a peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, cast, final

from stead.core.channel import Buffer, Traffic
from stead.errors import (
    BadMessage,
    CheaterDetected,
    KeyChanged,
    PartyTimedOut,
    PartyUnreachable,
    SteadError,
    UsageError,
    VersionMismatch,
)
from stead.net.frames import MAX_MESSAGE_BYTES

MAX_REASON_CHARS: Final = 300

_TOLD: Final = (PartyUnreachable, PartyTimedOut, CheaterDetected, BadMessage, KeyChanged, VersionMismatch)
"""What one party may tell another; anything else becomes the first."""


def octets(buffer: Buffer) -> memoryview:
    """A buffer as a view of bytes, not copied.

    Raises:
        UsageError: not contiguous, or of a type whose bytes have no plain order.
    """
    try:
        view = memoryview(cast("bytes", buffer))  # the checker does not know that arrays are buffers before 3.12
        if not view.c_contiguous:
            raise UsageError("a message is made of contiguous buffers.", hint="np.ascontiguousarray(...)")
        return view.cast("B") if view.nbytes else memoryview(b"")
    except (TypeError, ValueError):
        raise UsageError(
            f"a message is made of bytes and arrays of numbers, not of {type(buffer).__name__}.",
            hint='array.view("uint8") gives the bytes of an array of any type',
        ) from None


def read_outgoing(outgoing: Mapping[str, Sequence[Buffer]], peers: Sequence[str]) -> dict[str, list[memoryview]]:
    """The messages of a round as views of bytes.

    Raises:
        UsageError: for somebody who is no peer, a buffer that is none, or a message that is too long.
    """
    messages = {}
    for name, buffers in outgoing.items():
        if name not in peers:
            raise UsageError(f"{name[:40]!r} is no peer of this party.", hint="peers: " + ", ".join(peers))
        if isinstance(buffers, bytes | bytearray | memoryview):
            raise UsageError("a message is a list of buffers.", hint="exchange({peer: [buffer]}, ...)")
        messages[name] = [octets(buffer) for buffer in buffers]
        if sum(map(len, messages[name])) > MAX_MESSAGE_BYTES:
            raise UsageError(f"a message has up to {MAX_MESSAGE_BYTES} bytes.")
    return messages


def check_expected(expect: Mapping[str, int], peers: Sequence[str]) -> None:
    """Return if every message of ``expect`` is by a peer and has a possible length.

    Raises:
        UsageError: it is not.
    """
    for name, size_bytes in expect.items():
        if name not in peers:
            raise UsageError(f"{name[:40]!r} is no peer of this party.", hint="peers: " + ", ".join(peers))
        if not 0 <= size_bytes <= MAX_MESSAGE_BYTES:
            raise UsageError(f"a message has 0 to {MAX_MESSAGE_BYTES} bytes, not {size_bytes}.")


def wrong_size(peer: str, size_bytes: int, expected_bytes: int) -> CheaterDetected:
    """The error for a peer that lies about a shape."""
    return CheaterDetected(
        f"{peer} sent a message of {size_bytes} bytes where this round has one of {expected_bytes}.",
        hint="all parties must run the same version, with the same plan",
    )


def silent(peer: str, timeout_s: float) -> PartyTimedOut:
    """The error for a peer from which nothing comes."""
    return PartyTimedOut(
        f"{peer} was silent for {timeout_s:g} s.", hint="a party that computes for longer needs a larger timeout_s"
    )


def told(peer: str, code: str, text: str) -> SteadError:
    """The error that ``peer`` reports; raise it. The text comes from outside: it is cut, and only printable."""
    kind = next((each for each in _TOLD if each.code() == code), PartyUnreachable)
    return kind(f"{peer} ended the computation: {plain(text)}")


def plain(text: str) -> str:
    """A text for a terminal: bounded, printable characters only."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_REASON_CHARS])


@final
class Counter:
    """Counts the traffic of one party.

    Args:
        peers: the others.
    """

    def __init__(self, peers: Sequence[str]) -> None:
        self._rounds = 0
        self._sent = dict.fromkeys(peers, 0)
        self._received = dict.fromkeys(peers, 0)

    def add(self, outgoing: Mapping[str, Sequence[memoryview]], expect: Mapping[str, int]) -> None:
        """One round was done. A round without any message counts for nothing."""
        self._rounds += bool(outgoing or expect)
        for name, buffers in outgoing.items():
            self._sent[name] += sum(map(len, buffers))
        for name, size_bytes in expect.items():
            self._received[name] += size_bytes

    def snapshot(self) -> Traffic:
        """What has been counted so far."""
        return Traffic(self._rounds, MappingProxyType(dict(self._sent)), MappingProxyType(dict(self._received)))
