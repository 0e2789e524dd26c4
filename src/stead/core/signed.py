"""Sealed messages: who says it, to whom, in answer to what, until when, and only once.

A sealed message is the canonical encoding of ``Signed``, a msgpack array that begins with the protocol's version, so
that another version can tell before it reads on. The signature is the last 64 bytes; what is signed is everything
before them, under the domain ``stead.signed``. The body stays bytes until all of that has been checked.

Times on the wire are whole milliseconds since the Unix epoch. A message is accepted while
``issued - CLOCK_SKEW_S <= now <= expires + CLOCK_SKEW_S`` and ``0 < expires - issued <= MAX_LIFETIME_S``.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from typing import Final, Protocol, final

import msgspec

from stead.core import codec
from stead.core.clock import Clock
from stead.core.entropy import Entropy
from stead.core.keys import KEY_BYTES, SIGNATURE_BYTES, Key, PublicKey
from stead.core.messages import PROTOCOL, Message
from stead.errors import BadMessage, BadSignature, UsageError, VersionMismatch

DOMAIN: Final = "stead.signed"
NONCE_BYTES: Final = 16
MAX_LIFETIME_S: Final = 600.0
CLOCK_SKEW_S: Final = 60.0
OVERHEAD_BYTES: Final = 256
"""A sealed message is at most this much longer than its body."""

_FIELDS: Final = 9


class Signed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The envelope. ``reply_to`` is the nonce of the message this one answers, empty in a request.

    ``body`` is the canonical encoding of a ``Message``; ``issued_ms`` and ``expires_ms`` count from the Unix epoch.
    """

    version: int
    sender: bytes
    recipient: bytes
    nonce: bytes
    issued_ms: int
    expires_ms: int
    reply_to: bytes
    body: bytes
    signature: bytes


class Opened(msgspec.Struct, frozen=True):
    """What ``unseal`` vouches for: ``message`` is by the known key ``sender``, for us, fresh, and not seen before.

    ``nonce`` is what an answer gives as its ``reply_to``.
    """

    sender: bytes
    nonce: bytes
    message: Message


class ReplayGuard(Protocol):
    """Remembers which messages have been seen, until they would be refused for their age anyway.

    Security: ``claim`` must be atomic over all threads and processes that share the recipient's key; two claims of the
    same message never both succeed.
    """

    def claim(self, sender: bytes, nonce: bytes, expires: float) -> None:
        """Take note of a message that stays acceptable until ``expires`` (seconds since the Unix epoch).

        Raises:
            BadSignature: it was claimed before.
        """
        ...


@final
class MemoryReplayGuard:
    """A guard for one process; forgets everything when it ends, so a node that restarts needs a lasting one.

    Args:
        clock: to forget what has expired.
        capacity: the most messages remembered; more at a time are refused.
    """

    def __init__(self, clock: Clock, *, capacity: int = 1 << 20) -> None:
        self._clock = clock
        self._capacity = capacity
        self._seen: set[tuple[bytes, bytes]] = set()
        self._by_age: list[tuple[float, tuple[bytes, bytes]]] = []
        self._lock = threading.Lock()

    def claim(self, sender: bytes, nonce: bytes, expires: float) -> None:
        """See ``ReplayGuard``.

        Raises:
            BadSignature: claimed before, or the guard is full.
        """
        entry = (sender, nonce)
        with self._lock:
            now = self._clock.now()
            while self._by_age and self._by_age[0][0] < now:
                self._seen.discard(heapq.heappop(self._by_age)[1])
            if entry in self._seen:
                raise BadSignature("this message has been received before.")
            if len(self._seen) >= self._capacity:
                raise BadSignature(f"over {self._capacity} messages within their lifetime; send it again later.")
            self._seen.add(entry)
            heapq.heappush(self._by_age, (expires, entry))


def seal(  # noqa: PLR0913 (each is a part of the envelope)
    message: Message,
    *,
    key: Key,
    recipient: bytes,
    clock: Clock,
    entropy: Entropy,
    reply_to: bytes = b"",
    lifetime_s: float = 120,
) -> bytes:
    """Sign ``message`` for one recipient.

    Args:
        message: what to say.
        key: who says it.
        recipient: the raw public key of who may read it as meant for them.
        clock: gives the time of issue.
        entropy: gives the nonce.
        reply_to: the nonce of the message this answers (``Opened.nonce``); empty for a request.
        lifetime_s: how long it may be accepted, at most ``MAX_LIFETIME_S``.

    Returns:
        The sealed bytes; ``nonce_of`` tells the nonce that an answer must give.

    Raises:
        UsageError: the message cannot be encoded, is too long, or the lifetime is out of range.
    """
    if not 0 < lifetime_s <= MAX_LIFETIME_S:
        raise UsageError(f"a message lives above 0 and up to {MAX_LIFETIME_S:.0f} s, not {lifetime_s}.")
    if len(recipient) != KEY_BYTES or len(reply_to) not in (0, NONCE_BYTES):
        raise UsageError(f"a recipient has {KEY_BYTES} bytes; reply_to has {NONCE_BYTES} or none.")
    issued_ms = int(clock.now() * 1000)
    envelope = Signed(
        version=PROTOCOL,
        sender=key.public.raw,
        recipient=recipient,
        nonce=entropy.take(NONCE_BYTES),
        issued_ms=issued_ms,
        expires_ms=issued_ms + max(1, int(lifetime_s * 1000)),
        reply_to=reply_to,
        body=codec.encode(message),
        signature=bytes(SIGNATURE_BYTES),
    )
    unsigned = codec.encode(envelope, exact=True)[:-SIGNATURE_BYTES]
    if len(unsigned) + SIGNATURE_BYTES > codec.MAX_MESSAGE_BYTES:
        raise UsageError(f"the message is over {codec.MAX_MESSAGE_BYTES} bytes.")
    return unsigned + key.sign(DOMAIN, unsigned)


def unseal(
    data: bytes,
    *,
    recipient: Key | bytes,
    known: Callable[[bytes], bool],
    replay: ReplayGuard,
    clock: Clock,
    reply_to: bytes = b"",
) -> Opened:
    """Open a sealed message, or raise; nothing of a message that fails a check is used or remembered.

    The checks, in order: size, version, encoding, recipient, signature, whether the sender is known, ``reply_to``,
    time, the body's encoding, and last the claim of the nonce, so that nobody but the sender can use it up. The
    signature comes before the question who is known, so that a stranger cannot find out which keys are enrolled.

    Args:
        data: sealed bytes from outside.
        recipient: our key, or its raw public half.
        known: whether we take messages from this raw public key.
        replay: where the nonce is claimed.
        clock: our time.
        reply_to: the nonce of the request this must answer; empty where a request is expected.

    Raises:
        BadMessage: too long, or the bytes are not a sealed message.
        VersionMismatch: the message is of a version that this one does not speak.
        BadSignature: for somebody else, not by who it says, by a stranger, no answer to ours, not fresh, or replayed.
    """
    us = recipient if isinstance(recipient, bytes) else recipient.public.raw
    signed = open_envelope(data)
    if signed.recipient != us:
        raise BadSignature("the message is for another recipient.")
    enrolled = known(signed.sender)
    PublicKey(signed.sender).verify(DOMAIN, data[:-SIGNATURE_BYTES], signed.signature)
    if not enrolled:
        raise BadSignature("the message is by a key that is not known here.", hint="have the owner enrol your key")
    if signed.reply_to != reply_to:
        raise BadSignature("the message does not answer the request that was sent.")
    _check_time(signed, clock.now())
    message: Message = codec.decode(signed.body, Message)
    replay.claim(signed.sender, signed.nonce, signed.expires_ms / 1000 + CLOCK_SKEW_S)
    return Opened(sender=signed.sender, nonce=signed.nonce, message=message)


def open_envelope(data: bytes) -> Signed:
    """Read the envelope of a sealed message. Checks its form only: nothing in it is trusted yet.

    Raises:
        BadMessage: too long, or not an envelope.
        VersionMismatch: an envelope of another version.
    """
    if len(data) > codec.MAX_MESSAGE_BYTES:
        raise BadMessage(f"a message of {len(data)} bytes is over the limit of {codec.MAX_MESSAGE_BYTES}.")
    _check_version(data)
    signed = codec.decode(data, Signed)
    if (
        len(signed.sender) != KEY_BYTES
        or len(signed.recipient) != KEY_BYTES
        or len(signed.nonce) != NONCE_BYTES
        or len(signed.reply_to) not in (0, NONCE_BYTES)
        or len(signed.signature) != SIGNATURE_BYTES
    ):
        raise BadMessage("a field of the envelope has the wrong length.")
    return signed


def nonce_of(data: bytes) -> bytes:
    """The nonce of a message that we have sealed ourselves: what its answer must give as ``reply_to``."""
    return open_envelope(data).nonce


def _check_version(data: bytes) -> None:
    """Read the version from the first two bytes, whatever may follow in another version."""
    if len(data) < 2 or not 0x91 <= data[0] <= 0x9F or not 1 <= data[1] <= 0x7F:
        raise BadMessage("the bytes are not a sealed message.")
    if data[1] != PROTOCOL:
        raise VersionMismatch(
            f"the message is of protocol version {data[1]}; this side speaks {PROTOCOL}.",
            hint="upgrade the older side",
        )
    if data[0] != 0x90 + _FIELDS:
        raise BadMessage("the bytes are not a sealed message.")


def _check_time(signed: Signed, now: float) -> None:
    lifetime_s = (signed.expires_ms - signed.issued_ms) / 1000
    if not 0 < lifetime_s <= MAX_LIFETIME_S:
        raise BadSignature(f"the message claims a lifetime outside 0 to {MAX_LIFETIME_S:.0f} s.")
    ahead_s = signed.issued_ms / 1000 - now
    if not ahead_s <= CLOCK_SKEW_S:
        raise BadSignature(f"the message is from the future, by {ahead_s:.0f} s.", hint="set the clocks of both sides")
    late_s = now - signed.expires_ms / 1000
    if not late_s <= CLOCK_SKEW_S:
        raise BadSignature(
            f"the message expired {late_s:.0f} s ago.", hint="send it again; set the clocks of both sides"
        )
