"""How two parties find out that they are who they say, and begin to seal: around the Noise handshake.

The party that comes later in the order connects, and speaks first::

    connects: preamble || length (2) || Noise message 1
    listens:  verdict  || length (2) || Noise message 2        the length and message only when the verdict is 0
    connects: [length (2) || Noise message 3] || frame READY   message 3 in pattern XX only

preamble = "stead-mp" || version (1) || pattern (1: 0 plain, 1 KK, 2 XX) || place of who connects (2) || place of who
listens (2) || digest of session and names (32); verdict = "stead-mp" || version (1) || verdict (1). The preamble is the
prologue of the handshake, so that who changes it makes the handshake fail. READY, the first sealed frame, shows that
who connects holds the keys now; before it nothing follows from a first message, which could be a repeated one.

In pattern XX the payload that comes with a static key is the signature of its owner's identity; a party that the list
knows by its key may leave it out.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, final

from stead.core.entropy import Entropy
from stead.errors import (
    BadMessage,
    BadSignature,
    KeyChanged,
    PartyTimedOut,
    PartyUnreachable,
    SteadError,
    UsageError,
    VersionMismatch,
)
from stead.net.frames import HEADER_BYTES, Kind, Opener, PlainReader, PlainWriter, Reader, Sealer, read_header
from stead.net.links import Link
from stead.net.noise import TAG_BYTES, Handshake, Pattern, StaticKey
from stead.net.parties import Parties, Party, verify_party_key

VERSION: Final = 1
MAGIC: Final = b"stead-mp"

_PREAMBLE: Final = struct.Struct(">8sBBHH32s")
_VERDICT: Final = struct.Struct(">8sBB")
_LENGTH: Final = struct.Struct(">H")
_PATTERNS: Final[dict[int, Pattern | None]] = {0: None, 1: "KK", 2: "XX"}


class Verdict(IntEnum):
    """What the party that listens says to the one that connects."""

    GOOD = 0
    VERSION = 1
    SESSION = 2
    PATTERN = 3
    PLACE = 4
    KEY = 5


@dataclass(frozen=True)
class Preamble:
    """Who wants to speak with whom, about what, and how."""

    version: int
    pattern: Pattern | None
    dialer: int
    listener: int
    digest: bytes

    def to_bytes(self) -> bytes:
        """As it is sent."""
        code = next(code for code, pattern in _PATTERNS.items() if pattern == self.pattern)
        return _PREAMBLE.pack(MAGIC, self.version, code, self.dialer, self.listener, self.digest)


def read_preamble(data: bytes) -> Preamble:
    """The preamble in these bytes.

    Raises:
        BadMessage: they are none.
        VersionMismatch: of another version.
    """
    if len(data) != _PREAMBLE.size or not data.startswith(MAGIC):
        raise BadMessage("somebody connected who speaks something else.")
    _, version, code, dialer, listener, digest = _PREAMBLE.unpack(data)
    if version != VERSION:
        raise VersionMismatch(_other_version("the party that connects", version), hint="upgrade the older side")
    if code not in _PATTERNS:
        raise BadMessage(f"a handshake of the unknown pattern {code}.")
    return Preamble(version, _PATTERNS[code], dialer, listener, digest)


@dataclass(frozen=True)
class Introduction:
    """What one party brings to its handshakes.

    Attributes:
        parties: all of them.
        me: this one.
        key: its key.
        signature: its identity's word for ``key``; needed where others know the identity only.
        entropy: for ephemeral keys.
        session: what this computation is called; parties of another one are refused.
        plain: no keys and no sealing, to measure beside; both sides must ask for it.
    """

    parties: Parties
    me: str
    key: StaticKey
    entropy: Entropy
    signature: bytes = b""
    session: bytes = b""
    plain: bool = False

    def __post_init__(self) -> None:
        known = self.parties[self.me].key
        if known and known != self.key.public and not self.plain:
            raise UsageError(
                f"the file of parties says that the key of {self.me} is {known.hex()}; this one is "
                f"{self.key.public.hex()}.",
                hint="use the key that the others know, or give them the new one",
            )

    def preamble(self, dialer: str, listener: str) -> Preamble:
        """What ``dialer`` says to ``listener``."""
        both = self.parties[dialer].key and self.parties[listener].key
        pattern: Pattern | None = None if self.plain else "KK" if both else "XX"
        place = self.parties.place
        return Preamble(VERSION, pattern, place(dialer), place(listener), self.parties.digest(self.session))

    def handshake(self, preamble: Preamble, peer: Party, *, initiator: bool) -> Handshake:
        """The Noise handshake with ``peer``."""
        assert preamble.pattern is not None  # noqa: S101 (plain channels have no handshake)
        return Handshake(
            preamble.pattern,
            initiator=initiator,
            static=self.key,
            ephemeral=StaticKey.generate(self.entropy),
            prologue=preamble.to_bytes(),
            remote=peer.key if preamble.pattern == "KK" else None,
        )


@final
class Wire:
    """A blocking socket with a deadline.

    Args:
        connection: connected.
        deadline: on the monotonic clock.
        peer: what errors call the other side.
    """

    def __init__(self, connection: socket.socket, deadline: float, peer: str) -> None:
        self.connection, self.peer = connection, peer
        self._deadline = deadline

    def send(self, data: bytes | memoryview) -> None:
        """Send all of it.

        Raises:
            PartyUnreachable: the connection broke.
            PartyTimedOut: the deadline has passed.
        """
        try:
            self._wait()
            self.connection.sendall(data)
        except TimeoutError:
            raise PartyTimedOut(f"{self.peer} did not finish the handshake in time.") from None
        except OSError as error:
            raise PartyUnreachable(f"{self.peer} broke off the handshake: {error.strerror}.") from None

    def receive(self, size_bytes: int) -> bytes:
        """Exactly so many bytes. Raises as ``send`` does."""
        data = bytearray()
        try:
            while len(data) < size_bytes:
                self._wait()
                part = self.connection.recv(size_bytes - len(data))
                if not part:
                    raise PartyUnreachable(f"{self.peer} broke off the handshake.")
                data += part
        except TimeoutError:
            raise PartyTimedOut(f"{self.peer} did not finish the handshake in time.") from None
        except OSError as error:
            raise PartyUnreachable(f"{self.peer} broke off the handshake: {error.strerror}.") from None
        return bytes(data)

    def send_message(self, message: bytes) -> None:
        """Send a handshake message after its length."""
        self.send(_LENGTH.pack(len(message)) + message)

    def receive_message(self) -> bytes:
        """A handshake message."""
        return self.receive(_LENGTH.unpack(self.receive(_LENGTH.size))[0])

    def _wait(self) -> None:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self.connection.settimeout(left_s)


def greet(me: Introduction, name: str, connection: socket.socket, deadline: float) -> Link:
    """The handshake of the party that has connected.

    Args:
        me: this party.
        name: the one that listens.
        connection: connected; the link owns it when this returns.
        deadline: on the monotonic clock.

    Raises:
        KeyChanged: one of the two does not hold the key that the other knows.
        BadSignature: the peer's key is not signed by its identity.
        VersionMismatch: it speaks another version.
        BadMessage: it speaks something else.
        PartyUnreachable: it refuses, or broke off.
        PartyTimedOut: the deadline has passed.
    """
    wire, peer = Wire(connection, deadline, name), me.parties[name]
    preamble = me.preamble(me.me, name)
    if me.plain:
        wire.send(preamble.to_bytes())
        _check_verdict(wire.receive(_VERDICT.size), me, peer)
        return Link(name, connection, PlainWriter(), PlainReader())
    handshake = me.handshake(preamble, peer, initiator=True)
    first = handshake.write()
    wire.send(preamble.to_bytes() + _LENGTH.pack(len(first)) + first)
    _check_verdict(wire.receive(_VERDICT.size), me, peer)
    try:
        payload = handshake.read(wire.receive_message())
    except BadMessage:
        raise _wrong_key(me, peer) from None
    if preamble.pattern == "XX":
        _check_vouched(peer, handshake.remote, payload)
        wire.send_message(handshake.write(_own_signature(me)))
    ours, theirs = handshake.split()
    writer = Sealer(ours)
    wire.send(writer.pack(Kind.READY, b"", 0))
    return Link(name, connection, writer, Opener(theirs))


def answer(me: Introduction, connection: socket.socket, deadline: float, awaited: Collection[str]) -> Link:
    """The handshake of the party that listens, with whoever has connected.

    Args:
        me: this party.
        connection: accepted; the link owns it when this returns.
        deadline: on the monotonic clock.
        awaited: who may connect.

    Raises:
        SteadError: as ``greet``. ``BadMessage`` says that somebody else than a party was there.
    """
    wire = Wire(connection, deadline, "somebody who connected")
    try:
        preamble = read_preamble(wire.receive(_PREAMBLE.size))
    except VersionMismatch:
        wire.send(_verdict(Verdict.VERSION))
        raise
    name = me.parties.names[preamble.dialer] if preamble.dialer < len(me.parties.names) else ""
    verdict, error = _judged(me, preamble, name, awaited)
    if error is not None:
        wire.send(_verdict(verdict))
        raise error
    wire.peer, peer = name, me.parties[name]
    if me.plain:
        wire.send(_verdict(Verdict.GOOD))
        return Link(name, connection, PlainWriter(), PlainReader())
    handshake = me.handshake(preamble, peer, initiator=False)
    try:
        handshake.read(wire.receive_message())
    except BadMessage:
        wire.send(_verdict(Verdict.KEY))
        raise _wrong_key(me, peer) from None
    wire.send(_verdict(Verdict.GOOD))
    wire.send_message(handshake.write(_own_signature(me) if preamble.pattern == "XX" else b""))
    try:
        if preamble.pattern == "XX":
            payload = handshake.read(wire.receive_message())
            _check_vouched(peer, handshake.remote, payload)
        ours, theirs = handshake.split()
        reader = Opener(theirs)
        _receive_ready(wire, reader)
    except BadMessage:
        raise _wrong_key(me, peer) from None
    return Link(name, connection, Sealer(ours), reader)


def _receive_ready(wire: Wire, reader: Reader) -> None:
    data = memoryview(wire.receive(HEADER_BYTES + TAG_BYTES))
    header = read_header(data[:HEADER_BYTES])
    if header.kind != Kind.READY or header.size_bytes:
        raise BadMessage("the handshake does not end as it should.")
    reader.open_into(data, header, memoryview(bytearray()))


def _judged(
    me: Introduction, preamble: Preamble, name: str, awaited: Collection[str]
) -> tuple[Verdict, SteadError | None]:
    """What to say to somebody who wants to be let in as ``name``."""
    if preamble.digest != me.parties.digest(me.session) or preamble.listener != me.parties.place(me.me) or not name:
        words = "is in another computation, or has another list of parties."
        return Verdict.SESSION, PartyUnreachable(f"{name or 'somebody who connected'} {words}")
    if name not in awaited:
        return Verdict.PLACE, PartyUnreachable(f"{name} connected, and was not awaited.")
    if preamble != me.preamble(name, me.me):
        words = "does not know the same of us: a key and an identity, or one of them, in each file of parties."
        return Verdict.PATTERN, PartyUnreachable(f"{name} {words}")
    return Verdict.GOOD, None


def _verdict(verdict: Verdict) -> bytes:
    return _VERDICT.pack(MAGIC, VERSION, verdict)


def _check_verdict(data: bytes, me: Introduction, peer: Party) -> None:
    """Return if the party that listens has said that all is good so far."""
    magic, version, verdict = _VERDICT.unpack(data)
    if magic != MAGIC:
        raise BadMessage(f"{peer.name} does not speak as a party does.", hint=f"is {peer.address} its address?")
    if version != VERSION or verdict == Verdict.VERSION:
        raise VersionMismatch(_other_version(peer.name, version), hint="upgrade the older side")
    if verdict == Verdict.KEY:
        raise _wrong_key(me, peer)
    if verdict != Verdict.GOOD:
        reasons = {
            Verdict.SESSION: "it is in another computation, or has another list of parties.",
            Verdict.PATTERN: "its file of parties knows a key where ours knows an identity, or the other way round.",
            Verdict.PLACE: f"it does not await {me.me}: is another process running as it?",
        }
        reason = reasons.get(verdict, f"verdict {verdict}.")
        raise PartyUnreachable(f"{peer.name} refuses the connection: {reason}")


def _own_signature(me: Introduction) -> bytes:
    """What goes with our key in pattern XX; nothing is asked of a party that is known by its key."""
    if not me.signature and not me.parties[me.me].key:
        raise UsageError(
            f"others know {me.me} by its identity, and its key is not signed by that.", hint="stead mpc keys --node"
        )
    return me.signature


def _check_vouched(peer: Party, key: bytes, signature: bytes) -> None:
    """Return if a key that was shown in the handshake is the peer's."""
    if peer.key and key != peer.key:
        raise KeyChanged(f"{peer.name} shows the key {key.hex()}; known is {peer.key.hex()}.", hint=_ASK)
    if not peer.key:
        try:
            verify_party_key(peer.identity, peer.name, key, signature)
        except BadSignature:
            raise BadSignature(f"the key of {peer.name} is not signed by its identity.", hint=_ASK) from None


_ASK: Final = "ask the party, by another way, whether its key has changed"


def _wrong_key(me: Introduction, peer: Party) -> KeyChanged:
    known = f"{peer.name} by {(peer.key or peer.identity).hex()[:16]}..."
    return KeyChanged(
        f"{peer.name} and {me.me} do not know each other by the keys that they hold: {me.me} has "
        f"{me.key.public.hex()[:16]}... and knows {known}",
        hint="compare the files of parties",
    )


def _other_version(who: str, version: int) -> str:
    return f"{who} speaks version {version} of the parties' protocol; this side speaks {VERSION}."
