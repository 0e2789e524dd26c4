"""``local_session`` and ``LocalChannel``: the sites of a session in this process, with the frames of the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stead.core.entropy import Entropy
from stead.core.keys import Key
from stead.errors import PartyUnreachable
from stead.learn.header import Header
from stead.learn.secure_sum import Participant, Seat

Tap = Callable[[str, str, bytes], None]
Cohort = tuple[tuple[str, bytes], ...]


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
        tap: Tap | None = None,
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


def local_session(
    sites: Mapping[str, Callable[[Seat], Participant]],
    header_for: Callable[[Cohort], Header],
    *,
    entropy: Entropy,
    tap: Tap | None = None,
) -> tuple[Header, LocalChannel]:
    """A session of sites with fresh identities in this process.

    Args:
        sites: for each site's name, what makes its participant from its seat.
        header_for: the header, given the cohort.
        entropy: for identities, and whatever the sites draw.
        tap: see ``LocalChannel``.

    Returns:
        The header, and a channel that has not been opened.
    """
    keys = {name: Key.generate(entropy) for name in sites}
    header = header_for(tuple((name, key.public.raw) for name, key in keys.items()))

    def seated(name: str) -> Callable[[Header], Participant]:
        return lambda shown: sites[name](Seat(header=shown, key=keys[name], entropy=entropy))

    return header, LocalChannel({name: seated(name) for name in sites}, tap=tap)
