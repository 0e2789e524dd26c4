"""``RelayedChannel``: a party's sealed way to the others, through somebody who carries the bytes and cannot read them.

The computation runs in a thread of its own and blocks in ``exchange``; the node's thread hands it what was carried in
and takes what is to be carried out, one step at a time. So there is one computation, one step and one thread at work
at any time, and no port is opened for the others.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, final

from stead.core.channel import Buffer, Traffic
from stead.core.entropy import Entropy
from stead.errors import BadMessage, NodeError, PartyUnreachable, SteadError
from stead.net.frames import HEADER_BYTES, Kind, Opener, Sealer, read_header
from stead.net.links import payloads
from stead.net.noise import Handshake, StaticKey
from stead.net.rounds import Counter, check_expected, read_outgoing, wrong_size
from stead.plans.joint_frames import Parcel

LONGEST_STEP_S: Final = 600.0
"""After so long without reaching its next step a computation is given up."""
MAX_PARCELS: Final = 1 << 12


@final
class SealedPair:
    """Two parties' sealed channel over carried bytes: a Noise handshake of pattern KK, then sealed frames.

    Args:
        place: this party's place; the lower of the two begins.
        peer: the other's place.
        static: this party's key of the session.
        remote: the other's, as its identity has signed it.
        session: the session's digest; both sides must hold the same.
        entropy: for the ephemeral key.

    Security: that of ``net.noise`` and ``net.frames``: the relay can drop what it carries; what it changes, repeats,
    moves or makes up does not open. A session key of the other session does not fit, as the session is the prologue.

    Cost: 1 round trip and 96 bytes; then 32 bytes for each frame of up to 1 MiB.
    """

    def __init__(
        self, place: int, peer: int, static: StaticKey, remote: bytes, session: bytes, entropy: Entropy
    ) -> None:
        self.peer = peer
        self._handshake: Handshake | None = Handshake(
            "KK",
            initiator=place < peer,
            static=static,
            ephemeral=StaticKey.generate(entropy),
            prologue=b"stead.joint.pair.v1" + session + bytes(sorted((place, peer))),
            remote=remote,
        )
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None

    @property
    def ready(self) -> bool:
        """Whether frames can be sealed."""
        return self._sealer is not None

    def greet(self) -> bytes:
        """The first message of the handshake, of the party that begins."""
        assert self._handshake is not None  # noqa: S101 - called once, before ``hear``
        return self._handshake.write()

    def hear(self, message: bytes) -> bytes | None:
        """The answer to the other's handshake message; ``None`` where the handshake is over with it.

        Raises:
            BadMessage: it was not made by the other party for this session.
        """
        shake = self._handshake
        if shake is None:
            raise BadMessage("the handshake of two parties is over.")
        shake.read(message)
        answer = None if shake.finished else shake.write()
        ours, theirs = shake.split()
        self._sealer, self._opener, self._handshake = Sealer(ours), Opener(theirs), None
        return answer

    def seal(self, buffers: Sequence[memoryview]) -> bytes:
        """One message as sealed frames."""
        assert self._sealer is not None  # noqa: S101 - a computation starts when all handshakes are over
        total = sum(map(len, buffers))
        parts: Sequence[memoryview] = list(payloads(buffers)) or [memoryview(b"")]
        return b"".join(bytes(self._sealer.pack(Kind.DATA, part, total)) for part in parts)

    def open(self, sealed: bytes, expected_bytes: int, peer: str) -> memoryview:
        """The message in sealed frames.

        Raises:
            BadMessage: changed, repeated, moved, cut short, or sealed by somebody else.
            CheaterDetected: of another length than the round has.
        """
        assert self._opener is not None  # noqa: S101 - as above
        rest, message = memoryview(sealed), bytearray()
        try:
            while rest or not sealed:
                header = read_header(rest[:HEADER_BYTES])
                if header.kind != Kind.DATA or len(rest) < header.frame_bytes:
                    raise BadMessage("a parcel does not hold whole frames.")
                out = memoryview(bytearray(header.size_bytes))
                self._opener.open_into(rest[: header.frame_bytes], header, out)
                if header.message_bytes != expected_bytes:
                    raise wrong_size(peer, header.message_bytes, expected_bytes)
                message += out
                rest = rest[header.frame_bytes :]
        except BadMessage as error:
            raise BadMessage(f"from {peer}: {error.what}", hint=error.hint) from None
        if len(message) != expected_bytes:
            raise wrong_size(peer, len(message), expected_bytes)
        return memoryview(message)

    def __repr__(self) -> str:
        return f"SealedPair(peer={self.peer}, keys=<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("a sealed channel cannot be pickled")


@final
class RelayedChannel:
    """One party's ``PartyChannel`` over carried parcels, and the thread that computes behind it.

    Args:
        place: this party's place.
        names: all parties' names, by place.
        pairs: the sealed channels to the others, by place.
        most_sent_bytes: payload that the plan lets this party send in all; more is a fault of this node.
        most_rounds: rounds that the plan has.
    """

    def __init__(
        self,
        place: int,
        names: Sequence[str],
        pairs: Mapping[int, SealedPair],
        *,
        most_sent_bytes: int,
        most_rounds: int,
    ) -> None:
        self._place, self._names = place, tuple(names)
        self._pairs = {self._names[at]: pair for at, pair in pairs.items()}
        self._counter = Counter(self.peers)
        self._most = (most_sent_bytes, most_rounds)
        self._turn = threading.Condition()
        self._working = False
        self._ended: SteadError | None = None
        self._failed: BaseException | None = None
        self._finished = False
        self._inbox: dict[str, deque[bytes]] = {name: deque() for name in self.peers}
        self._outbox: list[Parcel] = []

    @property
    def name(self) -> str:
        """This party."""
        return self._names[self._place]

    @property
    def peers(self) -> tuple[str, ...]:
        """The others, by place."""
        return tuple(name for at, name in enumerate(self._names) if at != self._place)

    @property
    def traffic(self) -> Traffic:
        """What has been sent and received so far."""
        return self._counter.snapshot()

    # The computing thread.

    def exchange(self, outgoing: Mapping[str, Sequence[Buffer]], expect: Mapping[str, int]) -> dict[str, memoryview]:
        """See ``PartyChannel``; waits until the relay has carried what is expected."""
        messages = read_outgoing(outgoing, self.peers)
        check_expected(expect, self.peers)
        with self._turn:
            self._require_open()
            for name, buffers in messages.items():
                self._outbox.append(Parcel(self._names.index(name), self._pairs[name].seal(buffers)))
            self._counter.add(messages, expect)
            traffic = self._counter.snapshot()
            if traffic.total_sent_bytes > self._most[0] or traffic.rounds > self._most[1]:
                raise NodeError("a computation left the rounds and sizes of its plan.")
            received = {}
            for name, size_bytes in expect.items():
                while not self._inbox[name]:
                    self._park()
                received[name] = self._pairs[name].open(self._inbox[name].popleft(), size_bytes, name)
            return received

    def abort(self, reason: str) -> None:
        """End the computation; the relay tells the others."""
        self._end(PartyUnreachable(reason))

    def close(self) -> None:
        """End the computation. Closing twice does nothing."""
        self._end(PartyUnreachable("this computation was ended."))

    def _park(self) -> None:
        """Wait for the next step; the lock is held."""
        self._working = False
        self._turn.notify_all()
        self._turn.wait_for(lambda: self._working or self._ended is not None)
        self._require_open()

    def _require_open(self) -> None:
        if self._ended is not None:
            raise type(self._ended)(self._ended.what, hint=self._ended.hint)

    def _end(self, error: SteadError) -> None:
        with self._turn:
            if self._ended is None:
                self._ended = error
            self._inbox = {name: deque() for name in self.peers}
            self._outbox = []
            self._turn.notify_all()

    # The node's thread.

    def start(self, work: Callable[[], None]) -> list[Parcel]:
        """Begin ``work``, which talks over this channel; returns what it sends before it has to wait."""
        self._working = True
        threading.Thread(target=self._run, args=(work,), daemon=True, name="stead-joint").start()
        return self._take()

    def carry(self, items: Sequence[Parcel]) -> list[Parcel]:
        """Hand over what the others sent; returns what this party sends before it has to wait again.

        Raises:
            SteadError: what ended the computation.
            BadMessage: more parcels than a computation can be waiting for, or of this party itself.
        """
        with self._turn:
            for item in items:
                if item.place == self._place or item.place >= len(self._names):
                    raise BadMessage("a parcel comes from one of the other parties.")
                queue = self._inbox[self._names[item.place]]
                if len(queue) >= MAX_PARCELS:
                    raise BadMessage(f"over {MAX_PARCELS} parcels wait to be opened.")
                queue.append(item.sealed)
            if not self._finished:
                self._working = True
                self._turn.notify_all()
        return self._take()

    @property
    def finished(self) -> bool:
        """Whether the computation has come to its end."""
        return self._finished

    def _take(self) -> list[Parcel]:
        with self._turn:
            if not self._turn.wait_for(lambda: not self._working or self._finished, timeout=LONGEST_STEP_S):
                raise NodeError(f"a step of a computation took over {LONGEST_STEP_S:g} s.")
            if self._failed is not None:
                raise self._failed
            items, self._outbox = self._outbox, []
            return items

    def _run(self, work: Callable[[], None]) -> None:
        failed: BaseException | None = None
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again in the node's thread
            failed = error
        with self._turn:
            self._failed, self._finished, self._working = failed, True, False
            if self._ended is None:
                self._ended = PartyUnreachable("this computation is over.")
            self._turn.notify_all()

    def __repr__(self) -> str:
        return f"RelayedChannel({self.name!r}, peers {', '.join(self.peers)}, keys=<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("a channel cannot be pickled")
