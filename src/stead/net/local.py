"""Parties in one process: a channel between threads, for tests, notebooks and simulation. It knows no socket."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, final

from stead.core.channel import Buffer, PartyChannel, Traffic
from stead.errors import PartyUnreachable, SteadError, UsageError
from stead.net.rounds import Counter, check_expected, read_outgoing, silent, told, wrong_size

TIMEOUT_S: Final = 30.0


def local_mesh(names: Sequence[str], *, timeout_s: float = TIMEOUT_S, copy: bool = True) -> dict[str, PartyChannel]:
    """Channels between the parties of this process; each is then used by a thread of its own.

    Args:
        names: the parties, in the session's order.
        timeout_s: how long a round waits for a party.
        copy: whether a message is copied when it is sent. Without, a message of one buffer is handed over as it lies
            in memory: the sender may not write to it any more, and a receiver that wants to must copy it. A message of
            several buffers is put together, and so copied, in any case.

    Returns:
        The channel of each party.

    Raises:
        UsageError: fewer than two names, or a name twice.

    Security: none; who runs the process sees everything.
    """
    if isinstance(names, str) or len(names) < 2 or len(set(names)) != len(names):
        raise UsageError("a computation needs two parties or more, each name once.")
    room = _Room(tuple(names))
    return {name: LocalChannel(room, name, timeout_s=timeout_s, copy=copy) for name in names}


@final
class _Room:
    """What the channels of one process share, under one lock: messages on their way, who waits, and who has left."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.lock = threading.Lock()
        self.changed = {name: threading.Condition(self.lock) for name in names}
        self.waiting: dict[str, deque[memoryview]] = {}
        self.blocked: dict[str, str] = {}
        self.left: dict[str, SteadError | None] = {}  # by a party that has closed: the error it ended with

    def queue(self, sender: str, receiver: str) -> deque[memoryview]:
        return self.waiting.setdefault(f"{sender}\0{receiver}", deque())

    def leave(self, name: str, error: SteadError | None) -> None:
        with self.lock:
            if name not in self.left:
                self.left[name] = error
                for condition in self.changed.values():
                    condition.notify_all()

    def culprit(self, name: str) -> str:
        """Who keeps ``name`` waiting: the first in the chain that waits for nobody itself."""
        seen = set()
        while name in self.blocked and name not in seen:
            seen.add(name)
            name = self.blocked[name]
        return name


@final
class LocalChannel:
    """One party's end of a ``local_mesh``; see ``core.channel.PartyChannel``."""

    def __init__(self, room: _Room, name: str, *, timeout_s: float, copy: bool) -> None:
        self._room, self._name = room, name
        self._peers = tuple(other for other in room.names if other != name)
        self._timeout_s, self._copy = timeout_s, copy
        self._counter = Counter(self._peers)
        self._ended: SteadError | None = None

    @property
    def name(self) -> str:
        """This party."""
        return self._name

    @property
    def peers(self) -> tuple[str, ...]:
        """The others, in the session's order."""
        return self._peers

    @property
    def traffic(self) -> Traffic:
        """What has been sent and received so far."""
        return self._counter.snapshot()

    def exchange(self, outgoing: Mapping[str, Sequence[Buffer]], expect: Mapping[str, int]) -> dict[str, memoryview]:
        """See ``PartyChannel``."""
        messages = read_outgoing(outgoing, self._peers)
        check_expected(expect, self._peers)
        if self._ended is not None:
            raise type(self._ended)(self._ended.what, hint=self._ended.hint)
        try:
            parcels = {name: self._parcel(buffers) for name, buffers in messages.items()}
            received = self._round(parcels, expect)
        except SteadError as error:
            self._end(error)
            raise
        except BaseException:
            self._end(PartyUnreachable(f"{self._name} stopped in the middle of a round."))
            raise
        self._counter.add(messages, expect)
        return received

    def abort(self, reason: str) -> None:
        """See ``PartyChannel``."""
        if self._ended is None:
            self._end(PartyUnreachable(reason))

    def close(self) -> None:
        """See ``PartyChannel``."""
        if self._ended is None:
            self._ended = PartyUnreachable("this channel is closed.")
            self._room.leave(self._name, None)

    def _parcel(self, buffers: Sequence[memoryview]) -> memoryview:
        if len(buffers) == 1 and (not self._copy or isinstance(buffers[0].obj, bytes)):
            return buffers[0].toreadonly()
        return memoryview(b"".join(buffers))

    def _round(self, parcels: Mapping[str, memoryview], expect: Mapping[str, int]) -> dict[str, memoryview]:
        room, deadline = self._room, time.monotonic() + self._timeout_s
        with room.lock:
            for name, parcel in parcels.items():
                if name in room.left:
                    raise self._gone(name)
                room.queue(self._name, name).append(parcel)
                room.changed[name].notify_all()
            try:
                return {name: self._take(name, size_bytes, deadline) for name, size_bytes in expect.items()}
            finally:
                room.blocked.pop(self._name, None)

    def _take(self, peer: str, size_bytes: int, deadline: float) -> memoryview:
        """The next message of ``peer``; the room's lock is held."""
        room = self._room
        queue = room.queue(peer, self._name)
        while not queue:
            if peer in room.left or any(room.left.values()):
                raise self._gone(peer)
            room.blocked[self._name] = peer
            if not room.changed[self._name].wait(deadline - time.monotonic()) and not queue:
                raise silent(room.culprit(peer), self._timeout_s)
        message = queue.popleft()
        if len(message) != size_bytes:
            raise wrong_size(peer, len(message), size_bytes)
        return message

    def _gone(self, peer: str) -> SteadError:
        """The error of the party that failed first; the others failed because of it."""
        for name, error in self._room.left.items():
            if error is not None:
                return told(name, error.code(), error.what)
        return PartyUnreachable(f"{peer} has ended its part of the computation.")

    def _end(self, error: SteadError) -> None:
        self._ended = error
        self._room.leave(self._name, error)

    def __repr__(self) -> str:
        return f"LocalChannel({self._name!r}, peers {', '.join(self._peers)})"
