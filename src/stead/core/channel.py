"""How parties talk, passed in: protocol code sees named peers and bytes, never a socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

Buffer: TypeAlias = "bytes | bytearray | memoryview | NDArray[Any]"
"""Contiguous bytes; a C-contiguous array of numbers goes as it lies in memory, not copied on the way to the wire."""


class Channel(Protocol):
    """Frames between this party and its peers; each frame arrives whole, in order, from the peer that is named.

    Errors: ``PartyUnreachable`` when a peer is gone, ``PartyTimedOut`` when it does not answer in time, and
    ``BadMessage`` for a frame over the channel's size limit.
    """

    @property
    def peers(self) -> tuple[str, ...]:
        """The peers' names, in the session's fixed order."""
        ...

    def exchange(self, outgoing: dict[str, bytes]) -> dict[str, bytes]:
        """One round: send a frame to each named peer, wait for one frame from each of them, return those."""
        ...


@dataclass(frozen=True)
class Traffic:
    """What one party has sent and received so far: payload bytes, without headers and tags.

    Attributes:
        rounds: calls of ``exchange`` that moved or expected a message.
        sent_bytes: by peer, every peer named.
        received_bytes: by peer, every peer named.
    """

    rounds: int = 0
    sent_bytes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    received_bytes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def total_sent_bytes(self) -> int:
        """To all peers together."""
        return sum(self.sent_bytes.values())

    @property
    def total_received_bytes(self) -> int:
        """From all peers together."""
        return sum(self.received_bytes.values())

    def since(self, earlier: Traffic) -> Traffic:
        """What was added after the snapshot ``earlier`` of the same channel."""
        return Traffic(
            self.rounds - earlier.rounds,
            MappingProxyType({name: n - earlier.sent_bytes.get(name, 0) for name, n in self.sent_bytes.items()}),
            MappingProxyType(
                {name: n - earlier.received_bytes.get(name, 0) for name, n in self.received_bytes.items()}
            ),
        )


class PartyChannel(Protocol):
    """Between the parties of one joint computation: one blocking ``exchange`` for each round.

    Every party knows, from the public shapes of the computation, which messages a round has and how long they are; a
    message of another length is an error that names its sender. Empty messages (0 bytes) are messages too.

    A channel is used by one thread at a time. Once a call has raised, the channel is closed and has told the peers
    why; they raise an error that names the same culprit. No call waits longer than the channel's ``timeout_s`` for a
    silent peer, and there is a bound on a round as a whole.

    Errors: ``PartyUnreachable`` (a peer is gone or refuses), ``PartyTimedOut`` (silent for too long),
    ``CheaterDetected`` (a message of another size than the round has), ``BadMessage`` (bytes that are no frame, that
    the peer did not make, or made for another place in the order), ``KeyChanged`` (another key than the known one),
    ``VersionMismatch``; ``UsageError`` for a peer that is none, before anything is sent.
    """

    @property
    def name(self) -> str:
        """This party."""
        ...

    @property
    def peers(self) -> tuple[str, ...]:
        """The others, in the session's fixed order, without this party."""
        ...

    @property
    def traffic(self) -> Traffic:
        """A snapshot of what has been sent and received."""
        ...

    def exchange(self, outgoing: Mapping[str, Sequence[Buffer]], expect: Mapping[str, int]) -> dict[str, memoryview]:
        """One round: send, then wait for what is expected.

        Args:
            outgoing: for each peer that gets a message, the buffers whose concatenation it is. They may be reused as
                soon as the call returns.
            expect: for each peer that sends one, its exact length in bytes.

        Returns:
            The messages by peer, in the order of ``expect``: memoryviews of bytes (format ``B``), which the caller
            owns; ``np.frombuffer`` takes them without a copy. They may be read-only.
        """
        ...

    def abort(self, reason: str) -> None:
        """Tell the peers that this party ends the computation and why, and close. They raise ``PartyUnreachable``."""
        ...

    def close(self) -> None:
        """Say goodbye and close. Closing twice does nothing."""
        ...
