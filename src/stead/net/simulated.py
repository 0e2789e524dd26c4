"""A network that is not there: what the rounds of a computation would take over a given latency and bandwidth."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from stead.core.channel import Buffer, PartyChannel, Traffic
from stead.errors import UsageError


@dataclass(frozen=True)
class Network:
    """Links between parties: each pair has its own, with the same speed in both directions at once.

    Attributes:
        name: how it is called in tables.
        latency_s: from one party to another, one way.
        bytes_per_s: of each link and direction.
    """

    name: str
    latency_s: float
    bytes_per_s: float

    def __post_init__(self) -> None:
        if not (0 <= self.latency_s < 3600 and self.bytes_per_s > 0):
            raise UsageError(f"no network has a latency of {self.latency_s} s and {self.bytes_per_s} bytes/s.")

    def round_s(self, sent_bytes: Mapping[str, int], received_bytes: Mapping[str, int]) -> float:
        """The time of one round: that of its slowest message."""
        sizes = [*sent_bytes.values(), *received_bytes.values()]
        return self.latency_s + max(sizes) / self.bytes_per_s if sizes else 0.0

    def run_s(self, traffic: Traffic) -> float:
        """The least time of a whole run, as if each round had the same slowest link: latency of all rounds + bytes.

        ``SimulatedChannel`` adds up round by round, and is never below this.
        """
        sizes = [*traffic.sent_bytes.values(), *traffic.received_bytes.values()]
        return traffic.rounds * self.latency_s + max(sizes, default=0) / self.bytes_per_s


LAN: Final = Network("LAN", 0.001, 1e9 / 8)
"""1 ms, 1 Gbit/s."""
WAN: Final = Network("WAN", 0.040, 100e6 / 8)
"""40 ms, 100 Mbit/s."""


@final
class SimulatedChannel:
    """A channel that passes everything on and adds up what it would have taken; see ``core.channel.PartyChannel``.

    Only the network's time is counted, not that of computing. A party's rounds are taken one after another: the time is
    that of this party, and the run's is the largest of all parties.

    Args:
        channel: the real one.
        network: the one to simulate.
        sleep: called with the seconds by which a round was faster than the simulated one; ``time.sleep`` makes the
            computation as slow as there. Without, the time is only added up.
    """

    def __init__(
        self, channel: PartyChannel, network: Network, *, sleep: Callable[[float], None] | None = None
    ) -> None:
        self._channel, self._network, self._sleep = channel, network, sleep
        self._simulated_s = 0.0

    @property
    def name(self) -> str:
        """This party."""
        return self._channel.name

    @property
    def peers(self) -> tuple[str, ...]:
        """The others, in the session's order."""
        return self._channel.peers

    @property
    def traffic(self) -> Traffic:
        """What has been sent and received so far."""
        return self._channel.traffic

    @property
    def simulated_s(self) -> float:
        """The time that all rounds so far would have taken on the network."""
        return self._simulated_s

    def exchange(self, outgoing: Mapping[str, Sequence[Buffer]], expect: Mapping[str, int]) -> dict[str, memoryview]:
        """See ``PartyChannel``."""
        before, start = self._channel.traffic, time.monotonic()
        received = self._channel.exchange(outgoing, expect)
        done = self._channel.traffic.since(before)
        round_s = self._network.round_s(
            {name: done.sent_bytes[name] for name in outgoing}, {name: done.received_bytes[name] for name in expect}
        )
        self._simulated_s += round_s
        left_s = round_s - (time.monotonic() - start)
        if self._sleep is not None and left_s > 0:
            self._sleep(left_s)
        return received

    def abort(self, reason: str) -> None:
        """See ``PartyChannel``."""
        self._channel.abort(reason)

    def close(self) -> None:
        """See ``PartyChannel``."""
        self._channel.close()

    def __repr__(self) -> str:
        return f"SimulatedChannel({self._network.name}, {self._channel!r})"
