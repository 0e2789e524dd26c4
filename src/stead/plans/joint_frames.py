"""The frames of a joint computation inside ``SessionFrame.frame``: a closed tagged union in canonical msgpack.

::

    relay                  party
                      <-  JointHello   (SessionOpened.frame)
    JointRoster       ->
                      <-  Parcels      step 0: handshakes
    Parcels           ->               step 1, 2, ...: what the others sent to this party, as it came
                      <-  Parcels      what this party sends; or
                      <-  Opening      its shares of the result, for the receiver: the last frame

A parcel is sealed between its two parties; who relays it sees its length.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt

from stead.core import codec
from stead.core.keys import Key, PublicKey
from stead.errors import BadMessage, BadSignature
from stead.plans.joint import Joint

HELLO_DOMAIN: Final = "stead.joint.hello"
OPENING_DOMAIN: Final = "stead.joint.opening"
SESSION_DOMAIN: Final = "stead.joint.session"

Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
Place = Annotated[int, msgspec.Meta(ge=0, le=2)]
Step = Annotated[int, msgspec.Meta(ge=0, le=1 << 20)]


class _Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="frame"):
    """Shared configuration of the union's members."""


class JointHello(_Frame, frozen=True, tag="joint-hello"):
    """A party's X25519 key of this session alone, signed by its identity over ``hello_body``."""

    place: Place
    key: Digest
    signature: Signature


class JointRoster(_Frame, frozen=True, tag="joint-roster"):
    """All parties' hellos, in the order of their places."""

    hellos: tuple[JointHello, ...]


class Parcel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message between two parties, sealed; ``place`` is whom it goes to, or whom it came from."""

    place: Place
    sealed: bytes


class Parcels(_Frame, frozen=True, tag="parcels"):
    """What leaves a party at one step, or what reaches it: in the order in which it was sent."""

    session: Digest
    step: Step
    items: tuple[Parcel, ...]


class Opening(_Frame, frozen=True, tag="opening"):
    """A party's two summands of each opened integer, int64 little-endian, one after the other: for the receiver."""

    session: Digest
    own: bytes
    after: bytes


JointFrame = JointHello | JointRoster | Parcels | Opening


def session_digest(release: bytes, plan_hash: bytes) -> bytes:
    """32 bytes that name one computation: everything is bound to them."""
    return codec.digest(SESSION_DOMAIN, release + plan_hash)


def hello_body(session: bytes, place: int, key: bytes) -> bytes:
    """What a hello's signature covers: session (32 bytes), place (4, big-endian), X25519 key (32)."""
    return session + place.to_bytes(4, "big") + key


def make_hello(identity: Key, session: bytes, place: int, key: bytes) -> JointHello:
    """A party's signed hello."""
    return JointHello(place, key, identity.sign(HELLO_DOMAIN, hello_body(session, place, key)))


def check_roster(roster: JointRoster, joint: Joint, session: bytes) -> None:
    """Whether each hello is the party's own for this session.

    Raises:
        BadMessage: not one for each party, in order.
        BadSignature: a key is not signed by the identity in the plan.
    """
    if [hello.place for hello in roster.hellos] != list(range(len(joint.parties))):
        raise BadMessage(f"a roster holds one key for each of the {len(joint.parties)} parties, in order.")
    for hello, party in zip(roster.hellos, joint.parties, strict=True):
        body = hello_body(session, hello.place, hello.key)
        try:
            PublicKey(party.key).verify(HELLO_DOMAIN, body, hello.signature)
        except BadSignature:
            raise BadSignature(f"the session key shown for party {party.name!r} is not signed by it.") from None


def read_opening(opening: Opening, length: int, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The two summands in an opening.

    Raises:
        BadMessage: not so many integers.
    """
    if {len(opening.own), len(opening.after)} != {8 * length}:
        raise BadMessage(f"{name} opened another number of integers than the plan's {length}.")
    return np.frombuffer(opening.own, "<i8").astype(np.int64), np.frombuffer(opening.after, "<i8").astype(np.int64)


def opening_hash(frame: bytes) -> bytes:
    """What the log keeps of an opening that leaves: its digest."""
    return codec.digest(OPENING_DOMAIN, frame)


def pack_joint(frame: JointFrame) -> bytes:
    """The canonical bytes of a frame."""
    return codec.encode(frame)


def unpack_joint(data: bytes) -> JointFrame:
    """The frame in ``data``.

    Raises:
        BadMessage: the bytes are not a frame in canonical form.
    """
    frame: JointFrame = codec.decode(data, JointFrame)
    return frame
