"""One connection between two parties: frames over a socket that never blocks."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
import time
from collections.abc import Iterator, Sequence
from typing import Final, final

import msgspec
import numpy as np

from stead.core import codec
from stead.errors import BadMessage, PartyUnreachable, SteadError
from stead.net.frames import (
    FRAME_BYTES,
    HEADER_BYTES,
    PAYLOAD_BYTES,
    Header,
    Kind,
    Reader,
    Writer,
    read_header,
)
from stead.net.noise import TAG_BYTES
from stead.net.rounds import octets, plain, told, wrong_size

BUFFER_BYTES: Final = 4 << 20
"""Asked of the system for each direction of a connection; it may give less."""
_LEAVING_S: Final = 2.0
_READS: Final = 16
"""How often a link is read before the others get their turn."""


class Abort(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Why a party ends the computation: the name of an error of the tree, and its text, which names the culprit."""

    error: str
    text: str


class Ended(Exception):
    """A peer has ended the computation with an error.

    Args:
        error: what this party raises.
        notice: what the peer said, to be passed on as it is.
    """

    def __init__(self, error: SteadError, notice: Abort) -> None:
        super().__init__(str(error))
        self.error, self.notice = error, notice


def read_abort(payload: bytes | bytearray | memoryview) -> Abort:
    """What an ABORT frame says; its text is cut and only printable.

    Raises:
        BadMessage: it says nothing that can be read.
    """
    notice: Abort = codec.decode(bytes(payload), Abort)
    return Abort(plain(notice.error), plain(notice.text))


@final
class Link:
    """A connection to one peer. The caller says what to send and what to expect, and calls ``push`` and ``pull``.

    Args:
        peer: the name of who is there, which the handshake has proven.
        connection: connected; the link owns it from now on.
        writer: makes our frames.
        reader: opens theirs.
    """

    def __init__(self, peer: str, connection: socket.socket, writer: Writer, reader: Reader) -> None:
        self.peer = peer
        self.heard_s = time.monotonic()
        """When bytes moved last, on the monotonic clock."""
        self.finished = False
        """The peer has said goodbye."""
        self.broken = False
        """Nothing can be sent any more; what the peer said before may still be read."""
        self._socket = connection
        self._writer, self._reader = writer, reader
        self._frames: Iterator[memoryview] = iter(())
        self._unsent = memoryview(b"")
        self._telling = False
        self._parted = False  # our last word has been said
        self._staging = memoryview(bytearray(FRAME_BYTES))
        self._filled = 0
        self._header: Header | None = None
        self._message: memoryview | None = None
        self._got = 0
        self._done = memoryview(b"")
        connection.settimeout(0.0)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        """The socket's descriptor, to wait on."""
        return self._socket.fileno()

    @property
    def sending(self) -> bool:
        """Whether something is left to send."""
        return bool(self._unsent) and not self.broken

    @property
    def receiving(self) -> bool:
        """Whether the expected message has not come in full."""
        return self._message is not None

    @property
    def owing(self) -> bool:
        """Whether a message is to come, or has not been sent in full; words do not count."""
        return self.receiving or bool(self._unsent and not self._telling)

    @property
    def readable(self) -> bool:
        """Whether ``pull`` may be called: not while the peer is ahead of us with a message of a later round."""
        if self.finished:
            return False
        return self._message is not None or self._header is None or self._header.kind != Kind.DATA

    def send(self, buffers: Sequence[memoryview]) -> None:
        """Begin to send a message; the one before has been sent in full."""
        self._frames = _cut(self._writer, buffers)
        self._advance()

    def expect(self, size_bytes: int) -> None:
        """Begin to receive a message of this length."""
        room = np.empty(max(1, size_bytes), np.uint8)  # not filled with zeros first
        self._message, self._got = octets(room)[:size_bytes], 0

    def take(self) -> memoryview:
        """The message that has come in full."""
        done, self._done = self._done, memoryview(b"")
        return done

    def push(self) -> None:
        """Send what the system takes without waiting. A broken connection shows in ``pull``."""
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                if not self._telling:  # what fits into the system's buffer shows nothing about the peer
                    self.heard_s = time.monotonic()
                self._unsent = self._unsent[sent:]
                if not self._unsent:
                    self._advance()
        except BlockingIOError:
            return
        except OSError:
            self.broken = True

    def tell(self, kind: Kind, notice: Abort | None = None) -> None:
        """Send a word now, if the peer is there and no frame is on its way, as far as it goes without waiting."""
        if not (self._unsent or self.broken or self.finished or self._parted):
            self._parted = kind in {Kind.ABORT, Kind.BYE}
            self._unsent, self._telling = word(self._writer, kind, notice), True
            self.push()

    def pull(self) -> None:
        """Read what has come, up to the end of the expected message.

        Raises:
            PartyUnreachable: the peer has closed, or the connection broke.
            BadMessage: what came is no frame that the peer made.
            CheaterDetected: a message of another length than the expected one.
            Ended: the peer has ended the computation.
        """
        expecting, reads = self.receiving, 0
        while self.readable and self.receiving == expecting:
            # Whatever is here is opened before more is read: a last word may be all that the peer has left.
            if self._header is not None and self._filled >= self._header.frame_bytes:
                self._open(self._header)
            elif self._header is None and self._filled >= HEADER_BYTES:
                with blamed(self.peer):
                    self._header = read_header(self._staging[:HEADER_BYTES])
            elif reads == _READS or not self._fill(self._wanted()):
                return  # a peer that always has something to say does not keep the round from its bounds
            else:
                reads += 1

    def leave(self, kind: Kind, notice: Abort | None = None) -> None:
        """Say a last word, if it has not been said; wait a short while until the peer's system has it; close."""
        deadline = time.monotonic() + _LEAVING_S
        self._frames = iter(())  # the frame that is on its way is sent to its end, no other
        with contextlib.suppress(OSError):
            self._socket.settimeout(_LEAVING_S)
            if not self.broken:
                self._socket.sendall(self._unsent)
                if not self._parted:
                    self._socket.sendall(word(self._writer, kind, notice))
                self._socket.shutdown(socket.SHUT_WR)
            # Closing with unread bytes resets the connection and drops what the peer's system has not got.
            while not self.broken and _unacknowledged(self._socket) and time.monotonic() < deadline:
                time.sleep(0.0005)
        self.close()

    def close(self) -> None:
        """Close without a word."""
        self.broken = True
        self._socket.close()

    def _advance(self) -> None:
        self._telling = False
        self._unsent = next(self._frames, memoryview(b""))

    def _wanted(self) -> int:
        """How many bytes to have: up to the end of this frame as far as it can be known, never beyond it for long."""
        if self._header is not None:
            return self._header.frame_bytes
        if self._message is None:
            return HEADER_BYTES
        return HEADER_BYTES + min(PAYLOAD_BYTES, len(self._message) - self._got) + TAG_BYTES

    def _fill(self, wanted_bytes: int) -> bool:
        """Read once; false when nothing is there."""
        try:
            count = self._socket.recv_into(self._staging[self._filled : wanted_bytes])
        except BlockingIOError:
            return False
        except OSError as error:
            raise PartyUnreachable(f"the connection to {self.peer} broke: {error.strerror}.") from None
        if not count:
            raise PartyUnreachable(f"{self.peer} has closed the connection without a word.")
        self.heard_s = time.monotonic()
        self._filled += count
        return True

    def _open(self, header: Header) -> None:
        """A whole frame is there."""
        frame = self._staging[: header.frame_bytes]
        if header.kind == Kind.DATA:
            self._open_data(frame, header)
        else:
            payload = memoryview(bytearray(header.size_bytes))
            with blamed(self.peer):
                self._reader.open_into(frame, header, payload)
            self._listen(header.kind, payload)
        rest_bytes = self._filled - header.frame_bytes
        self._staging[:rest_bytes] = self._staging[header.frame_bytes : self._filled]
        self._filled, self._header = rest_bytes, None

    def _open_data(self, frame: memoryview, header: Header) -> None:
        message = self._message
        assert message is not None  # noqa: S101 (a frame of data is not read before it is expected)
        due_bytes = min(PAYLOAD_BYTES, len(message) - self._got)
        fits = header.message_bytes == len(message) and header.size_bytes == due_bytes
        out = message[self._got : self._got + due_bytes] if fits else memoryview(bytearray(header.size_bytes))
        with blamed(self.peer):  # for its bytes first, and then for its length
            self._reader.open_into(frame, header, out)
        if not fits:
            raise wrong_size(self.peer, header.message_bytes, len(message))
        self._got += due_bytes
        if self._got == len(message):
            self._done, self._message = message, None

    def _listen(self, kind: Kind, payload: memoryview) -> None:
        if kind == Kind.ABORT:
            with blamed(self.peer):
                notice = read_abort(payload)
            raise Ended(told(self.peer, notice.error, notice.text), notice)
        if kind == Kind.BYE:
            self.finished = True
        elif kind == Kind.READY:
            raise BadMessage(f"{self.peer} repeats the end of the handshake.")


def _cut(writer: Writer, buffers: Sequence[memoryview]) -> Iterator[memoryview]:
    """The frames of a message; each is sealed when the one before has been handed to the system."""
    message_bytes = sum(map(len, buffers))
    if not message_bytes:
        yield writer.pack(Kind.DATA, b"", 0)
    for payload in payloads(buffers):
        yield writer.pack(Kind.DATA, payload, message_bytes)


def word(writer: Writer, kind: Kind, notice: Abort | None) -> memoryview:
    """A frame that is no data."""
    payload = b"" if notice is None else codec.encode(notice)
    return writer.pack(kind, payload, len(payload))


@contextlib.contextmanager
def blamed(peer: str) -> Iterator[None]:
    """An error about bytes names who sent them."""
    try:
        yield
    except BadMessage as error:
        raise BadMessage(f"from {peer}: {error.what}", hint=error.hint) from None


def payloads(buffers: Sequence[memoryview]) -> Iterator[memoryview]:
    """A message in parts of 1 MiB: slices of its buffers where a part lies in one, else put together."""
    parts: list[memoryview] = []
    size_bytes = 0
    for buffer in buffers:
        rest = buffer
        while rest:
            part, rest = rest[: PAYLOAD_BYTES - size_bytes], rest[PAYLOAD_BYTES - size_bytes :]
            parts.append(part)
            size_bytes += len(part)
            if size_bytes == PAYLOAD_BYTES:
                yield parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
                parts, size_bytes = [], 0
    if parts:
        yield parts[0] if len(parts) == 1 else memoryview(b"".join(parts))


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes that the peer's system has not confirmed."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    return int(struct.unpack("i", answer)[0])
