"""Parties on a network: a TCP connection between each two of them, sealed, and the rounds over all of them.

One thread does it all: a round seals and sends a frame where the system takes one, reads and opens where one has come,
and waits for whichever is next. So two parties that send large messages to each other never wait for each other, and
while a frame is being sealed the system sends the one before.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, final

from stead.core.channel import Buffer, Traffic
from stead.core.entropy import Entropy, SystemEntropy
from stead.errors import (
    BadMessage,
    PartyTimedOut,
    PartyUnreachable,
    SteadError,
    Untrusted,
    UsageError,
)
from stead.net.frames import Kind
from stead.net.handshake import Introduction, answer, greet
from stead.net.links import BUFFER_BYTES, Abort, Ended, Link
from stead.net.noise import StaticKey
from stead.net.parties import Parties, Party, VouchedKey
from stead.net.rounds import Counter, check_expected, plain, read_outgoing, silent

TIMEOUT_S: Final = 30.0
LEAST_BYTES_PER_S: Final = 125_000
"""A round may take its timeout for each party, and as long as its bytes take at this rate."""

_STRANGER_S: Final = 5.0  # for one handshake; who does not finish it keeps the others waiting
_READ: Final = select.POLLIN | select.POLLHUP | select.POLLERR


def connect_mesh(
    parties: Parties,
    me: str,
    key: StaticKey | VouchedKey,
    *,
    entropy: Entropy,
    timeout_s: float = TIMEOUT_S,
    session: bytes = b"",
) -> MeshChannel:
    """Connect to all other parties; returns when each connection stands and each key is proven.

    A party connects to those before it in the order and listens for those after it, so the last one needs no port that
    others can reach. Connecting is tried until ``timeout_s`` has passed: the parties may start in any order.

    Args:
        parties: all of them, in the order that each of them has.
        me: which one this is.
        key: its key.
        entropy: for the ephemeral keys.
        timeout_s: for connecting, and afterwards for each silence.
        session: names the computation; only parties that say the same are connected.

    Raises:
        PartyUnreachable: nobody is there, or somebody in another computation; names who.
        PartyTimedOut: somebody is there and does not answer.
        KeyChanged: a party does not hold the key that it is known by.
        BadSignature: a party's key is not signed by its identity.
        VersionMismatch: a party speaks another version.
        UsageError: the key is not that of ``me``, or the port is taken.

    Security: against who reads, changes, repeats or cuts what is sent: the parties are proven by their keys, what they
    say is sealed with forward secrecy, and a change is an error. Who listens sees who talks to whom, when, and how
    much. Anybody who reaches a port can hold up connecting (not a computation that runs) by half a handshake.

    Cost: 1 round trip for each pair (1.5 in pattern XX) after TCP's own; then a frame has 32 bytes more than its
    payload of up to 1 MiB.
    """
    vouched = key if isinstance(key, VouchedKey) else VouchedKey(key)
    return _connect(
        Introduction(parties, me, vouched.key, entropy, signature=vouched.signature, session=session), timeout_s
    )


def insecure_plain_mesh(parties: Parties, me: str, *, timeout_s: float = TIMEOUT_S) -> MeshChannel:
    """The same without keys and without sealing, to measure what these cost. Never for values that matter.

    Security: none at all.
    """
    entropy = SystemEntropy()
    return _connect(Introduction(parties, me, StaticKey.generate(entropy), entropy, plain=True), timeout_s)


@final
class MeshChannel:
    """Sealed connections to all peers; see ``core.channel.PartyChannel``. Made by ``connect_mesh``.

    Args:
        name: this party.
        links: to each peer, in the session's order.
        timeout_s: how long a peer may be silent.

    Security: a party that waits for another says so to its peers, four times in a ``timeout_s``; so it is the silent
    party that is blamed, not the one that waits for it. A party that says so without end is cut off by the bound on a
    round: ``timeout_s`` for each party, and the time of the bytes at ``LEAST_BYTES_PER_S``.
    """

    def __init__(self, name: str, links: Sequence[Link], timeout_s: float = TIMEOUT_S) -> None:
        self._name = name
        self._links = {link.peer: link for link in links}
        self._by_descriptor = {link.fileno(): link for link in links}
        self._timeout_s = timeout_s
        self._counter = Counter(tuple(self._links))
        self._ended: SteadError | None = None

    @property
    def name(self) -> str:
        """This party."""
        return self._name

    @property
    def peers(self) -> tuple[str, ...]:
        """The others, in the session's order."""
        return tuple(self._links)

    @property
    def traffic(self) -> Traffic:
        """What has been sent and received so far."""
        return self._counter.snapshot()

    def exchange(self, outgoing: Mapping[str, Sequence[Buffer]], expect: Mapping[str, int]) -> dict[str, memoryview]:
        """See ``PartyChannel``."""
        messages = read_outgoing(outgoing, self.peers)
        check_expected(expect, self.peers)
        if self._ended is not None:
            raise type(self._ended)(self._ended.what, hint=self._ended.hint)
        try:
            self._round(messages, expect)
        except Ended as ended:
            self._end(ended.error, ended.notice)
            raise ended.error from None
        except SteadError as error:
            self._end(error, Abort(error.code(), plain(error.what)))
            raise
        except BaseException:
            self.abort(f"{self._name} stopped in the middle of a round.")
            raise
        self._counter.add(messages, expect)
        return {name: self._links[name].take() for name in expect}

    def abort(self, reason: str) -> None:
        """See ``PartyChannel``."""
        if self._ended is None:
            self._end(PartyUnreachable("this channel was ended here."), Abort(PartyUnreachable.code(), plain(reason)))

    def close(self) -> None:
        """See ``PartyChannel``."""
        if self._ended is None:
            self._ended = PartyUnreachable("this channel is closed.")
            for link in self._links.values():
                link.leave(Kind.BYE)

    def _round(self, messages: Mapping[str, list[memoryview]], expect: Mapping[str, int]) -> None:
        links = self._links
        start = time.monotonic()
        for name, size_bytes in expect.items():
            links[name].expect(size_bytes)
        for name, buffers in messages.items():
            if links[name].finished:
                raise _parted(name)
            links[name].send(buffers)
            links[name].push()
        size_bytes = sum(expect.values()) + sum(len(buffer) for buffers in messages.values() for buffer in buffers)
        end = start + self._timeout_s * len(links) + size_bytes / LEAST_BYTES_PER_S
        beat_s = self._timeout_s / 4
        next_beat = start + beat_s
        while waiting := self._waiting():
            self._step(next_beat - time.monotonic())
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + beat_s
                self._check_silence(waiting, start, end, now)

    def _waiting(self) -> list[Link]:
        """The links on which this round is not done.

        Raises:
            PartyUnreachable: one on which it can never be done.
            Ended: the peer has said why.
        """
        found = []
        for link in self._links.values():
            if link.broken:
                link.pull()  # what the peer has said last, perhaps goodbye
            if link.finished:
                if link.owing:
                    raise _parted(link.peer)
            elif link.broken:
                raise PartyUnreachable(f"the connection to {link.peer} broke.")
            elif link.sending or link.receiving:
                found.append(link)
        return found

    def _step(self, wait_s: float) -> None:
        """Wait until something can be sent or read, and do that."""
        poll = select.poll()
        for link in self._links.values():
            mask = (select.POLLIN if link.readable else 0) | (select.POLLOUT if link.sending else 0)
            if mask:
                poll.register(link.fileno(), mask)
        for descriptor, events in poll.poll(max(0.0, wait_s) * 1000):
            link = self._by_descriptor[descriptor]
            if events & _READ and link.readable:
                link.pull()
            if events & (select.POLLOUT | select.POLLERR):
                link.push()

    def _check_silence(self, waiting: Sequence[Link], start: float, end: float, now: float) -> None:
        longest = min(waiting, key=lambda link: link.heard_s)
        if now - max(start, longest.heard_s) >= self._timeout_s:
            raise silent(longest.peer, self._timeout_s)
        if now >= end:
            raise PartyTimedOut(f"{longest.peer} did not finish a round in {now - start:.0f} s.")
        for link in self._links.values():
            link.tell(Kind.WAITING)

    def _end(self, error: SteadError, notice: Abort) -> None:
        """Tell everybody and close; those first that hear."""
        self._ended = error
        for link in self._links.values():
            link.tell(Kind.ABORT, notice)
        for link in self._links.values():
            link.leave(Kind.ABORT, notice)

    def __repr__(self) -> str:
        return f"MeshChannel({self._name!r}, peers {', '.join(self._links)})"


def _parted(peer: str) -> PartyUnreachable:
    return PartyUnreachable(f"{peer} has ended its part of the computation.")


def listen(party: Party) -> socket.socket:
    """A socket that listens where a party listens.

    Raises:
        UsageError: the port is taken, or the address is not this machine's.
    """
    host, port = party.listen or (party.host, party.port)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError:
        raise UsageError(f"{party.name} cannot listen at {host}: no such address.") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        enlarge(listener)
        listener.bind(address)
        listener.listen(16)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} of {host} is taken by another process.", hint="stop it, or give the party another port"
            ) from None
        raise UsageError(
            f"{party.name} cannot listen at {host}:{port}: {error.strerror}.",
            hint='`listen = "0.0.0.0:PORT"` when others see it under another address',
        ) from None
    return listener


def dial(me: Introduction, name: str, deadline: float) -> Link:
    """Connect to a party that listens, trying again until ``deadline`` when nobody is there yet.

    Raises:
        SteadError: as ``connect_mesh``.
    """
    peer, pause_s = me.parties[name], 0.02
    while True:
        error: SteadError
        try:
            return _dial_once(me, peer, deadline)
        except (PartyTimedOut, PartyUnreachable) as found:
            error = found
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise error
        time.sleep(min(pause_s, left_s))
        pause_s = min(0.5, pause_s * 1.5)


def accept(me: Introduction, listener: socket.socket, awaited: Collection[str], deadline: float) -> Iterator[Link]:
    """Wait for the parties ``awaited``, in whatever order they come; strangers are sent away.

    Raises:
        SteadError: not all came until ``deadline``: what was wrong with one that did, or that somebody is missing.
    """
    missing = sorted(awaited, key=me.parties.place)
    worst: SteadError | None = None
    while missing:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            nobody = f"no connection from {', '.join(missing)}."
            if worst is not None:
                raise type(worst)(f"{nobody} Before that: {worst.what}", hint=worst.hint)
            raise PartyUnreachable(nobody, hint="have they started, and is this address theirs? `stead mpc doctor`")
        listener.settimeout(left_s)
        try:
            connection, _ = listener.accept()
        except (TimeoutError, ConnectionError):
            continue
        try:
            link = answer(me, connection, min(deadline, time.monotonic() + _STRANGER_S), missing)
        except BadMessage:  # somebody else than a party
            connection.close()
        except (Untrusted, PartyUnreachable, PartyTimedOut) as error:
            connection.close()
            worst = error if isinstance(error, Untrusted) or worst is None else worst
        except BaseException:
            connection.close()
            raise
        else:
            missing.remove(link.peer)
            yield link


def enlarge(connection: socket.socket) -> None:
    """Ask for large buffers, where the system would give them; else its own way of choosing is better."""
    for name, option in (("wmem_max", socket.SO_SNDBUF), ("rmem_max", socket.SO_RCVBUF)):
        with contextlib.suppress(OSError, ValueError):
            if int(Path("/proc/sys/net/core", name).read_text(encoding="ascii")) >= BUFFER_BYTES:
                connection.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)


def _connect(me: Introduction, timeout_s: float) -> MeshChannel:
    deadline = time.monotonic() + timeout_s
    place, names = me.parties.place(me.me), me.parties.names
    links: dict[str, Link] = {}
    with contextlib.ExitStack() as stack:
        if place < len(names) - 1:
            listener = stack.enter_context(listen(me.parties[me.me]))
        try:
            for name in names[:place]:
                links[name] = dial(me, name, deadline)
            if place < len(names) - 1:
                for link in accept(me, listener, names[place + 1 :], deadline):
                    links[link.peer] = link
        except SteadError as error:
            for link in links.values():
                link.leave(Kind.ABORT, Abort(error.code(), plain(error.what)))
            raise
        except BaseException:
            for link in links.values():
                link.close()
            raise
    return MeshChannel(me.me, [links[name] for name in names if name != me.me], timeout_s)


def _dial_once(me: Introduction, peer: Party, deadline: float) -> Link:
    left_s = max(0.001, deadline - time.monotonic())
    try:
        connection = socket.create_connection((peer.host, peer.port), timeout=left_s)
    except TimeoutError:
        raise PartyUnreachable(f"{peer.name} at {peer.address} does not answer.") from None
    except OSError as error:
        raise PartyUnreachable(f"{peer.name} at {peer.address} cannot be reached: {error.strerror}.") from None
    try:
        enlarge(connection)
        return greet(me, peer.name, connection, deadline)
    except BaseException:
        connection.close()
        raise
