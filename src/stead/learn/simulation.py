"""``LocalChannel``: the sites of a session in this process, with the same frames as over the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stead.errors import PartyUnreachable
from stead.learn.header import Header
from stead.learn.secure_sum import Participant


class LocalChannel:
    """A ``SiteChannel`` to participants in this process: for simulation, tests and benchmarks.

    Args:
        sites: for each site's name, in the cohort's order, what makes its participant from the header.
        tap: called with (site, direction "up" or "down", frame) for every frame that passes.
    """

    def __init__(
        self,
        sites: Mapping[str, Callable[[Header], Participant]],
        *,
        tap: Callable[[str, str, bytes], None] | None = None,
    ) -> None:
        self._make = dict(sites)
        self._tap = tap
        self._running: dict[str, Participant] = {}
        self.closed_with: str | None = None

    @property
    def peers(self) -> tuple[str, ...]:
        """The sites' names, in order."""
        return tuple(self._make)

    def open(self, header: bytes) -> dict[str, bytes]:
        """Make every site's participant under ``header``; returns their first frames."""
        hellos = {}
        for name, make in self._make.items():
            self._note(name, "down", header)
            self._running[name] = make(Header.from_bytes(header))
            hellos[name] = self._note(name, "up", self._running[name].hello())
        return hellos

    def exchange(self, outgoing: dict[str, bytes]) -> dict[str, bytes]:
        """Hand each named site its frame, one site after another; returns their replies.

        Raises:
            PartyUnreachable: a site has been stopped.
        """
        replies = {}
        for name, frame in outgoing.items():
            if name not in self._running:
                raise PartyUnreachable(f"site {name!r} cannot be reached.")
            self._note(name, "down", frame)
            replies[name] = self._note(name, "up", self._running[name].on_frame(frame))
        return replies

    def stop(self, name: str) -> None:
        """Take one site away, as if its machine went off."""
        self._running.pop(name).close()

    def close(self, reason: str) -> None:
        """End the session at every site that is left."""
        for participant in self._running.values():
            participant.close()
        self.closed_with = reason

    def _note(self, name: str, direction: str, frame: bytes) -> bytes:
        if self._tap is not None:
            self._tap(name, direction, frame)
        return frame
