"""``Cost``: what a verb of a protocol takes, known before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Rounds and payload bytes; exact, and held by tests that run the verb and count.

    Attributes:
        rounds: messages that wait for one another, at the parties that are online.
        sent: bytes that each party sends while running, by place.
        dealt: bytes that each party sends while preparing, by place; keystream that two parties share is free.
    """

    rounds: int = 0
    sent: tuple[int, ...] = ()
    dealt: tuple[int, ...] = ()

    def __add__(self, other: Cost) -> Cost:
        """One after the other."""
        return Cost(self.rounds + other.rounds, _added(self.sent, other.sent), _added(self.dealt, other.dealt))

    def since(self, earlier: Cost) -> Cost:
        """What was added after ``earlier``."""
        return Cost(
            self.rounds - earlier.rounds,
            _added(self.sent, tuple(-count for count in earlier.sent)),
            _added(self.dealt, tuple(-count for count in earlier.dealt)),
        )

    @property
    def total_bytes(self) -> int:
        """All bytes of all parties, prepared and online."""
        return sum(self.sent) + sum(self.dealt)

    def __str__(self) -> str:
        online = " + ".join(f"{count:,}" for count in self.sent) or "0"
        dealt = f", {sum(self.dealt):,} bytes prepared" if any(self.dealt) else ""
        return f"{self.rounds} rounds, {online} bytes sent by party{dealt}"


def _added(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    size = max(len(first), len(second))
    pad = [*first, *(0,) * (size - len(first))], [*second, *(0,) * (size - len(second))]
    return tuple(a + b for a, b in zip(*pad, strict=True))
