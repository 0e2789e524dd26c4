"""Who of the parties can reach whom: every pair tried in both directions, with what the others found.

Each party runs this at about the same time. It listens, connects to every other party, measures, asks each that it
reached for what that one found, and stays until those have asked it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Final, Literal, final

import msgspec

from stead.core import codec
from stead.core.entropy import Entropy
from stead.errors import BadMessage, BadSignature, KeyChanged, SteadError
from stead.net.handshake import Introduction, answer
from stead.net.mesh import MeshChannel, dial, enlarge, listen
from stead.net.parties import Parties, VouchedKey
from stead.net.rounds import plain

SESSION: Final = b"stead mpc doctor"
BULK_BYTES: Final = 4 << 20

_WORD_BYTES: Final = 8
_PING, _BULK, _REPORT = b"ping    ", b"bulk    ", b"report  "
_PINGS: Final = 10
_MAX_REPORT_BYTES: Final = 1 << 16
_ASIDE_S: Final = 10.0  # what measuring may take after the last party has come


class Reach(msgspec.Struct, frozen=True):
    """One direction of one pair.

    Attributes:
        dialer: who connected.
        listener: to whom.
        key: whether the listener holds the key it is known by; ``unknown`` when it was not reached.
        round_trip_ms: of 8 bytes, the fastest of ten; 0 when it was not reached.
        mb_per_s: at which 4 MiB came to the listener.
        problem: what went wrong; empty when nothing did.
    """

    dialer: str
    listener: str
    key: Literal["good", "wrong", "unknown"] = "unknown"
    round_trip_ms: float = 0.0
    mb_per_s: float = 0.0
    problem: str = ""


def probe(parties: Parties, me: str, key: VouchedKey, *, entropy: Entropy, wait_s: float) -> list[Reach]:
    """Try all links of one party, and learn what the others found.

    Args:
        parties: all of them.
        me: which one this is.
        key: its key.
        entropy: for ephemeral keys.
        wait_s: how long to wait for parties that have not started.

    Returns:
        A row for each direction of each pair, in the order of the parties; those that nobody told have a problem.

    Raises:
        UsageError: the key is not that of ``me``, or the port is taken.
    """
    introduction = Introduction(parties, me, key.key, entropy, signature=key.signature, session=SESSION)
    return _Probe(introduction, wait_s).run()


@final
class _Probe:
    def __init__(self, me: Introduction, wait_s: float) -> None:
        self._me, self._name = me, me.me
        self._others = tuple(name for name in me.parties.names if name != me.me)
        self._deadline = time.monotonic() + wait_s
        self._timeout_s = wait_s + _ASIDE_S
        self._found: dict[tuple[str, str], Reach] = {}
        self._lock = threading.Lock()
        self._measured = threading.Event()
        self._asked: set[str] = set()
        self._all_asked = threading.Condition(self._lock)

    def run(self) -> list[Reach]:
        with listen(self._me.parties[self._name]) as listener, contextlib.ExitStack() as channels:
            threading.Thread(target=self._receive, args=(listener,), daemon=True).start()
            reached = self._in_parallel(self._measure)
            for channel in reached.values():
                channels.callback(channel.close)
            self._measured.set()
            self._in_parallel(lambda name: self._ask(reached.get(name)))
            end = max(self._deadline, time.monotonic()) + _ASIDE_S
            with self._lock:  # those that were reached will ask, unless they cannot connect to us
                while not set(reached) <= self._asked and time.monotonic() < end:
                    self._all_asked.wait(max(0.0, end - time.monotonic()))
        names = self._me.parties.names
        untold = "it was not reached, so it could not tell"
        return [
            self._found.get((dialer, other)) or Reach(dialer, other, problem=untold)
            for dialer in names for other in names if dialer != other
        ]  # fmt: skip

    def _in_parallel(self, work: Callable[[str], MeshChannel | None]) -> dict[str, MeshChannel]:
        """``work(name)`` for each other party in a thread of its own; what was made, by name."""
        made: dict[str, MeshChannel] = {}

        def run(name: str) -> None:
            channel = work(name)
            if channel is not None:
                made[name] = channel

        threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in self._others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return made

    def _measure(self, name: str) -> MeshChannel | None:
        try:
            channel = MeshChannel(self._name, [dial(self._me, name, self._deadline)], self._timeout_s)
            trips = []
            for _ in range(_PINGS):
                start = time.monotonic()
                channel.exchange({name: [_PING]}, {name: _WORD_BYTES})
                trips.append(time.monotonic() - start)
            start = time.monotonic()
            channel.exchange({name: [_BULK]}, {})
            channel.exchange({name: [bytes(BULK_BYTES)]}, {name: _WORD_BYTES})
            bulk_s = max(1e-9, time.monotonic() - start - min(trips) / 2)
        except SteadError as error:
            key: Literal["wrong", "unknown"] = "wrong" if isinstance(error, KeyChanged | BadSignature) else "unknown"
            self._note(Reach(self._name, name, key, problem=error.what))
            return None
        self._note(Reach(self._name, name, "good", round(min(trips) * 1e3, 3), round(BULK_BYTES / bulk_s / 1e6, 1)))
        return channel

    def _ask(self, channel: MeshChannel | None) -> None:
        """Fetch what a peer found; it speaks of its own connections only."""
        if channel is None:
            return
        (name,) = channel.peers
        with contextlib.suppress(SteadError):
            size = channel.exchange({name: [_REPORT]}, {name: _WORD_BYTES})[name]
            for reach in read_report(bytes(channel.exchange({}, {name: _checked(size)})[name])):
                if reach.dialer == name and reach.listener in self._me.parties.names:
                    self._note(reach)

    def _receive(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                listener.settimeout(None)
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Answer one party until it leaves."""
        try:
            enlarge(connection)
            link = answer(self._me, connection, time.monotonic() + self._timeout_s, self._others)
        except SteadError:
            connection.close()
            return
        channel = MeshChannel(self._name, [link], self._timeout_s)
        with contextlib.suppress(SteadError):
            while True:
                self._reply(channel, link.peer)

    def _reply(self, channel: MeshChannel, name: str) -> None:
        word = bytes(channel.exchange({}, {name: _WORD_BYTES})[name])
        if word == _BULK:
            channel.exchange({}, {name: BULK_BYTES})
        if word != _REPORT:
            channel.exchange({name: [word]}, {})
            return
        self._measured.wait(self._timeout_s)
        with self._lock:
            report = codec.encode([reach for (dialer, _), reach in self._found.items() if dialer == self._name])
        channel.exchange({name: [len(report).to_bytes(_WORD_BYTES, "big")]}, {})
        channel.exchange({name: [report]}, {})
        with self._lock:
            self._asked.add(name)
            self._all_asked.notify_all()

    def _note(self, reach: Reach) -> None:
        with self._lock:
            self._found[reach.dialer, reach.listener] = reach


def read_report(data: bytes) -> list[Reach]:
    """What a peer says it found; its texts are cut and only printable.

    Raises:
        BadMessage: it is no report.
    """
    rows: list[Reach] = codec.decode(data, list[Reach])
    return [msgspec.structs.replace(row, problem=plain(row.problem)) for row in rows]


def _checked(size: memoryview) -> int:
    size_bytes = int.from_bytes(size, "big")
    if size_bytes > _MAX_REPORT_BYTES:
        raise BadMessage(f"a report of {size_bytes} bytes is over the limit of {_MAX_REPORT_BYTES}.")
    return size_bytes
