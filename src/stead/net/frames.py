"""Frames between parties: what a message is cut into, sealed, and put together from.

A frame is ``header (16 bytes) || sealed payload (up to 1 MiB) || tag (16 bytes)``. The header is ``kind (1) || three
zero bytes || payload length (4) || length of the whole message (8)``, big-endian, and is authenticated with the
payload. A message of n bytes is cut into frames of 1 MiB, the last one shorter; a message of no bytes is one frame. The
nonce is the number of the frame in its direction, which is not sent: a frame that is lost, repeated or moved does not
open.

References: NIST SP 800-38D (GCM), section 8.2.1 (deterministic nonces).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple, Protocol, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stead.errors import BadMessage, UsageError
from stead.net.noise import KEY_BYTES, TAG_BYTES, nonce

HEADER_BYTES: Final = 16
PAYLOAD_BYTES: Final = 1 << 20
FRAME_BYTES: Final = HEADER_BYTES + PAYLOAD_BYTES + TAG_BYTES
MAX_WORDS_BYTES: Final = 4096
"""The longest payload of a frame that is no data."""
MAX_MESSAGE_BYTES: Final = 1 << 48
MAX_FRAMES: Final = 1 << 32
"""Frames under one key: 2^48 blocks, with which somebody who sees them all has an advantage below 2^-32."""

_HEADER: Final = struct.Struct(">B3xIQ")


class Kind(IntEnum):
    """What a frame is. ``READY`` ends the handshake, ``WAITING`` says that its sender is alive and waits too."""

    DATA = 1
    ABORT = 2
    BYE = 3
    READY = 4
    WAITING = 5


class Header(NamedTuple):
    """A frame's header: its kind, the bytes of its payload, and those of the message that it is a part of."""

    kind: Kind
    size_bytes: int
    message_bytes: int

    @property
    def frame_bytes(self) -> int:
        """The length of the whole frame."""
        return HEADER_BYTES + self.size_bytes + TAG_BYTES


def read_header(data: bytes | bytearray | memoryview) -> Header:
    """The header in the first 16 bytes.

    Raises:
        BadMessage: of no known kind, zeros that are not zero, a payload over the limit or longer than its message.
    """
    if len(data) < HEADER_BYTES:
        raise BadMessage(f"a frame's header has {HEADER_BYTES} bytes, not {len(data)}.")
    kind, size_bytes, message_bytes = _HEADER.unpack_from(data)
    if not Kind.DATA <= kind <= Kind.WAITING or any(data[1:4]):
        raise BadMessage("the bytes are no frame.")
    limit_bytes = PAYLOAD_BYTES if kind == Kind.DATA else MAX_WORDS_BYTES
    if size_bytes > limit_bytes:
        raise BadMessage(f"a frame announces a payload of {size_bytes} bytes; the limit is {limit_bytes}.")
    if not size_bytes <= message_bytes <= MAX_MESSAGE_BYTES or (kind != Kind.DATA and message_bytes != size_bytes):
        raise BadMessage(f"a frame of {size_bytes} bytes says that its message has {message_bytes}.")
    if kind == Kind.DATA and not size_bytes and message_bytes:
        raise BadMessage(f"an empty frame says that its message has {message_bytes} bytes.")
    return Header(Kind(kind), size_bytes, message_bytes)


class Writer(Protocol):
    """Makes the frames of one direction."""

    def pack(self, kind: Kind, payload: bytes | bytearray | memoryview, message_bytes: int) -> memoryview:
        """The next frame; valid until the next call."""
        ...


class Reader(Protocol):
    """Opens the frames of one direction, in their order."""

    def open_into(self, frame: memoryview, header: Header, out: memoryview) -> None:
        """Write the payload of a whole frame to ``out``, which has its length.

        Raises:
            BadMessage: not the next frame that the other side made.
        """
        ...


@final
class Sealer:
    """Seals the frames of one direction under AES-256-GCM.

    Args:
        key: 32 bytes, used for nothing else and for one ``Sealer``.
        first: the number of the next frame.

    Security: two frames are never sealed under one nonce; after ``MAX_FRAMES`` it refuses.

    Cost: one pass of GCM over the payload, into a buffer that is made once.
    """

    def __init__(self, key: bytes, first: int = 0) -> None:
        self._cipher = _cipher(key)
        self._next = first
        self._buffer = memoryview(bytearray(FRAME_BYTES))

    def pack(self, kind: Kind, payload: bytes | bytearray | memoryview, message_bytes: int) -> memoryview:
        """See ``Writer``.

        Raises:
            UsageError: the payload is over the limit, or the key has sealed all the frames it may.
        """
        size_bytes = len(payload)
        if size_bytes > PAYLOAD_BYTES:
            raise UsageError(f"a frame holds up to {PAYLOAD_BYTES} bytes, not {size_bytes}.")
        if self._next >= MAX_FRAMES:
            raise UsageError(f"a channel seals {MAX_FRAMES} frames under one key.", hint="open a new channel")
        number, self._next = self._next, self._next + 1
        frame = self._buffer[: HEADER_BYTES + size_bytes + TAG_BYTES]
        _HEADER.pack_into(frame, 0, kind, size_bytes, message_bytes)
        self._cipher.encrypt_into(nonce(number), payload, frame[:HEADER_BYTES], frame[HEADER_BYTES:])
        return frame

    def __repr__(self) -> str:
        return "Sealer(<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("a sealer cannot be pickled or copied")


@final
class Opener:
    """Opens what the ``Sealer`` of the other side made with the same key.

    Args:
        key: 32 bytes.
        first: the number of the next frame.
    """

    def __init__(self, key: bytes, first: int = 0) -> None:
        self._cipher = _cipher(key)
        self._next = first

    def open_into(self, frame: memoryview, header: Header, out: memoryview) -> None:
        """See ``Reader``."""
        if len(frame) != header.frame_bytes:
            raise BadMessage(f"a frame of {header.frame_bytes} bytes came with {len(frame)}.")
        if self._next >= MAX_FRAMES:
            raise BadMessage(f"over {MAX_FRAMES} frames under one key.")
        try:
            self._cipher.decrypt_into(nonce(self._next), frame[HEADER_BYTES:], frame[:HEADER_BYTES], out)
        except InvalidTag:
            raise BadMessage("a frame was changed on its way, repeated, moved, or sealed by somebody else.") from None
        self._next += 1

    def __repr__(self) -> str:
        return "Opener(<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("an opener cannot be pickled or copied")


@final
class PlainWriter:
    """Frames that are not sealed, to measure beside those that are; the tag is zeros."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(FRAME_BYTES))

    def pack(self, kind: Kind, payload: bytes | bytearray | memoryview, message_bytes: int) -> memoryview:
        """See ``Writer``."""
        end = HEADER_BYTES + len(payload)
        _HEADER.pack_into(self._buffer, 0, kind, len(payload), message_bytes)
        self._buffer[HEADER_BYTES:end] = payload
        self._buffer[end : end + TAG_BYTES] = bytes(TAG_BYTES)
        return self._buffer[: end + TAG_BYTES]


@final
class PlainReader:
    """Opens the frames of a ``PlainWriter``."""

    def open_into(self, frame: memoryview, header: Header, out: memoryview) -> None:
        """See ``Reader``."""
        if len(frame) != header.frame_bytes or any(frame[-TAG_BYTES:]):
            raise BadMessage("a plain frame ends with zeros.")
        out[:] = frame[HEADER_BYTES:-TAG_BYTES]


def _cipher(key: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:
        raise UsageError(f"frames are sealed under a key of {KEY_BYTES} bytes, not {len(key)}.")
    return AESGCM(key)
