"""How parties talk, passed in: protocol code sees named peers and bytes, never a socket."""

from __future__ import annotations

from typing import Protocol


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
