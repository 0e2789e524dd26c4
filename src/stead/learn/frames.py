"""The frames inside ``SessionFrame.frame``: a closed tagged union in canonical msgpack.

::

    coordinator            site
                  <-  Hello     (SessionOpened.frame)
    Roster        ->
                  <-  Ready
    Round         ->
                  <-  Masked    (repeated, numbers 1, 2, ... rounds)
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from stead.core import codec
from stead.learn.header import Digest

ExchangeKey = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class _Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="frame"):
    """Shared configuration of the union's members."""


class Hello(_Frame, frozen=True, tag="hello"):
    """A site's X25519 public key of this session, signed by its identity key over ``hello_body``."""

    site: int
    key: ExchangeKey
    signature: Signature


class Roster(_Frame, frozen=True, tag="roster"):
    """All sites' hellos, in the cohort's order."""

    hellos: tuple[Hello, ...]


class Ready(_Frame, frozen=True, tag="ready"):
    """The site has verified every peer's key for the session with this header hash."""

    session: Digest


class Round(_Frame, frozen=True, tag="round"):
    """Start round ``number`` on ``payload`` (the model), whose ``model_hash`` the coordinator states."""

    session: Digest
    number: int
    model_hash: Digest
    payload: bytes


class Masked(_Frame, frozen=True, tag="masked"):
    """A site's masked vector of round ``number``: unsigned little-endian integers of the ring, side by side."""

    session: Digest
    number: int
    vector: bytes


Frame = Hello | Roster | Ready | Round | Masked

HELLO_DOMAIN = "stead.learn.hello"


def hello_body(session: bytes, site: int, key: bytes) -> bytes:
    """What a hello's signature covers: header hash (32 bytes), place in the cohort (4, big-endian), X25519 key (32)."""
    return session + site.to_bytes(4, "big") + key


def pack(frame: Frame) -> bytes:
    """The canonical bytes of a frame."""
    return codec.encode(frame)


def unpack(data: bytes) -> Frame:
    """The frame in ``data``.

    Raises:
        BadMessage: the bytes are not a frame in canonical form.
    """
    frame: Frame = codec.decode(data, Frame)
    return frame
