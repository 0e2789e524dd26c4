"""Values to bytes and back: one encoding for each value, and no other bytes are read.

The encoding is msgpack, made canonical: struct fields in the order of their class, keys of other maps in ascending
order, shortest form of every integer and length, floats always as 64 bits, no extension types, no NaN (it has many bit
patterns and equals nothing, so it could neither be hashed nor compared). Positive and negative infinity and negative
zero are ordinary values. Bytes that decode but are not the canonical encoding of what they decode to are refused, so
that a hash or signature over bytes is one over a value.

Bytes from outside are walked once before anything is built from them: a header that claims more than the buffer holds,
more than ``MAX_ITEMS`` items or more than ``MAX_DEPTH`` levels is refused at the cost of reading the header.
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import Any, Final, TypeVar, overload

import msgspec

from stead.errors import BadMessage, SteadError, UsageError

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""The most bytes that one message may have."""

MAX_ITEMS: Final = 1 << 20
"""The most values (containers included) that one message may hold; long vectors travel as one ``bin``."""

MAX_DEPTH: Final = 64
"""The most levels of arrays and maps inside each other."""

MAX_DOMAIN_BYTES: Final = 255

T = TypeVar("T")

_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic")
# The only texts of the decoder that hold nothing but type names and field names of our own.
_PUBLIC_TEXT: Final = re.compile(
    r"(Expected `[a-z| ]{1,80}`, got `[a-z]{1,20}`|Object missing required field `[a-z_0-9]{1,40}`)"
    r"( - at `\$[a-z_0-9.\[\]]{0,80}`)?",
)


def encode(value: object, *, exact: bool = False) -> bytes:
    """The canonical bytes of a struct or of plain values.

    A struct is brought to its declared types on the way (an ``int`` in a ``float`` field becomes a float), so that
    whatever this returns, ``decode`` with the struct's type accepts.

    Args:
        value: a ``msgspec.Struct``, or None, bool, int, float, str, bytes, tuples, lists and dicts of them.
        exact: the struct's fields are of their declared types already; saves two copies of a large one.

    Returns:
        Canonical msgpack.

    Raises:
        UsageError: a value does not fit its declared type, is NaN or no 64-bit integer, or is nested too deep.
    """
    try:
        data = _ENCODER.encode(value)
        if isinstance(value, msgspec.Struct) and not exact:
            data = _ENCODER.encode(_decoder(type(value)).decode(data))
    except (ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"a {type(value).__name__} cannot be encoded: {_public_text(error)}.") from None
    try:
        _check_structure(data)
    except BadMessage as error:
        raise UsageError(f"a {type(value).__name__} cannot be encoded: {error.what}") from None
    return data


@overload
def decode(data: bytes, type_: type[T], *, limit_bytes: int = MAX_MESSAGE_BYTES) -> T: ...
@overload
def decode(data: bytes, type_: object, *, limit_bytes: int = MAX_MESSAGE_BYTES) -> Any: ...
def decode(data: bytes, type_: object, *, limit_bytes: int = MAX_MESSAGE_BYTES) -> object:
    """The value of ``type_`` whose canonical encoding is ``data``.

    Args:
        data: bytes from outside.
        type_: a struct type or a union of tagged struct types.
        limit_bytes: the most bytes that are looked at.

    Returns:
        A value of that type.

    Raises:
        BadMessage: too long, not msgpack, not of the type, or not canonical. The text repeats nothing of ``data``.
    """
    if len(data) > limit_bytes:
        raise BadMessage(f"a message of {len(data)} bytes is over the limit of {limit_bytes}.")
    _check_structure(data)
    decoder = _decoder(type_)
    try:
        value = decoder.decode(data)
        canonical = _ENCODER.encode(value)
    except SteadError:
        raise BadMessage("the message holds a value that its type forbids.") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadMessage(f"the bytes are not a message of this protocol: {_public_text(error)}.") from None
    if canonical != data:
        raise BadMessage("the message is not in canonical encoding.")
    return value


def digest(domain: str, data: bytes) -> bytes:
    """SHA-256 of ``data`` under a domain: 32 bytes that no other kind of data of the protocol hashes to.

    Args:
        domain: what kind of data this is, 1 to 255 ASCII characters (``"stead.plan"``).
        data: the bytes.

    Returns:
        ``SHA-256(length of domain (2 bytes, big-endian) || domain || data)``.
    """
    state = hashlib.sha256(domain_prefix(domain))
    state.update(data)
    return state.digest()


def domain_prefix(domain: str) -> bytes:
    """``length (2 bytes, big-endian) || domain``: what stands before all that is hashed or signed under a domain.

    The first byte is always zero, which neither the text of a signed note nor an X.509 certificate begins with.
    """
    raw = domain.encode("ascii")
    if not 1 <= len(raw) <= MAX_DOMAIN_BYTES:
        raise ValueError(f"a domain has 1 to {MAX_DOMAIN_BYTES} ASCII characters, not {len(raw)}")
    return len(raw).to_bytes(2, "big") + raw


@functools.cache
def _decoder(type_: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(type_)


def _public_text(error: Exception) -> str:
    """What went wrong, if the decoder's text names types and fields only; never a value from the bytes."""
    text = str(error)
    return text.replace("`", "") if _PUBLIC_TEXT.fullmatch(text) else "wrong shape, type or tag"


# Heads of msgpack values from 0xc0 on: how many bytes of length or count follow, or how many bytes of value.
_LENGTHS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_COUNTS: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
_SCALARS: Final = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_SIGNED: Final = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_FIXED: Final = _SCALARS | _SIGNED
_FLOAT: Final = 0xCB
_INFINITY_BITS: Final = 0x7FF0000000000000


def _check_structure(data: bytes) -> None:
    """Walk over one msgpack value without building anything; refuse what is cut short, too deep, too much or NaN."""
    end = len(data)
    position, items = 0, 0
    waiting = [1]  # values still to come, for each open container
    while waiting:
        if not waiting[-1]:
            waiting.pop()
            continue
        waiting[-1] -= 1
        items += 1
        if position >= end:
            raise BadMessage("the message is cut short.")
        head = data[position]
        position += 1
        if head < 0x80 or head >= 0xE0:
            continue
        if 0xA0 <= head < 0xC0:
            position += head & 0x1F
        elif head in _LENGTHS:
            width = _LENGTHS[head]
            position += width + int.from_bytes(data[position : position + width], "big")
        elif head in _FIXED:
            if head == _FLOAT and int.from_bytes(data[position : position + 8], "big") & ~(1 << 63) > _INFINITY_BITS:
                raise BadMessage("the message holds a NaN, which has no canonical encoding.")
            position += _FIXED[head]
        else:
            position, count = _container(data, head, position)
            if count > end - position:
                raise BadMessage("the message is cut short.")
            if items + count > MAX_ITEMS or len(waiting) > MAX_DEPTH:
                raise BadMessage(f"the message has over {MAX_ITEMS} values, or over {MAX_DEPTH} levels.")
            waiting.append(count)
        if position > end:
            raise BadMessage("the message is cut short.")
    if position != end:
        raise BadMessage(f"{end - position} bytes follow the message.")


def _container(data: bytes, head: int, position: int) -> tuple[int, int]:
    """Where the contents of an array or map begin, and how many values they are."""
    if head < 0x90:
        return position, 2 * (head & 0x0F)
    if head < 0xA0:
        return position, head & 0x0F
    if head not in _COUNTS:
        raise BadMessage(f"the message holds msgpack type 0x{head:02x}, which the protocol does not use.")
    width, each = _COUNTS[head]
    return position + width, each * int.from_bytes(data[position : position + width], "big")
