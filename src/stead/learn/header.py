"""``Header``: what every site of a secure sum agrees on, byte for byte, before any of them makes a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from stead.core import codec
from stead.errors import BadMessage, BadSignature, TooFewParties, UsageError

Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
IdentityKey = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]

MOST_SITES = 1000
MOST_ROUNDS = 1 << 20
_NAME_LENGTH = 128


def model_hash(payload: bytes) -> bytes:
    """The 32-byte hash of a round's payload (the model's weights; empty for a query), as masks are bound to it."""
    return codec.digest("stead.learn.model", payload)


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="header", tag="sum"):
    """One session of secure sums, in public facts.

    Sites sign their session keys over ``hash()``, and every mask depends on it: two sites that were shown different
    headers have no key in common, and what they send adds up to noise.

    Attributes:
        release: 16 bytes, the same at every site; names the session.
        plan_hash: hash of the plan's canonical bytes.
        cohort: (name, raw Ed25519 identity key) of every site, in the session's fixed order.
        length: integers in the vector that each site adds in each round.
        ring_bits: the sum is taken modulo 2^ring_bits.
        rounds: the rounds at most; each number from 1 is used once, in order.
        colluders: sites whose noise shares are not counted on; fewer than the sites.
        model_hash: ``model_hash`` of the first round's payload.
        outlet: ``join`` (priced noise in the sum) or ``disclose`` (no differential privacy, marked as such).
        minimum: sites without which there is no sum. In this version all of them: a drop-out ends the session.
        version: of this header.

    Raises:
        TooFewParties: fewer than two sites (one is enough with ``disclose``).
        UsageError: the facts contradict each other, or a vector fits no message.
    """

    release: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    plan_hash: Digest
    cohort: tuple[tuple[str, IdentityKey], ...]
    length: int
    ring_bits: Literal[32, 64]
    rounds: int
    colluders: int
    model_hash: Digest
    outlet: Literal["join", "disclose"]
    minimum: int
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        sites = len(self.cohort)
        names = [name for name, _ in self.cohort]
        keys = [key for _, key in self.cohort]
        if sites < (2 if self.outlet == "join" else 1):
            raise TooFewParties(
                f"a joint sum needs at least 2 sites; the header names {sites}.",
                hint="one site alone can answer a query, or disclose a model if its owner allows that",
            )
        if sites > MOST_SITES:
            raise UsageError(f"a session has at most {MOST_SITES} sites; the header names {sites}.")
        if any(not name or len(name) > _NAME_LENGTH or not name.isprintable() for name in names):
            raise UsageError(f"a site's name is 1 to {_NAME_LENGTH} printable characters.")
        if len(set(names)) != sites or len(set(keys)) != sites or any(len(key) != 32 for key in keys):
            raise UsageError("each site of a cohort stands there once, with one name and one key of 32 bytes.")
        if not 0 <= self.colluders < sites:
            raise UsageError(f"colluders must be 0 to {sites - 1} of {sites} sites; got {self.colluders}.")
        if self.minimum != sites:
            raise UsageError(f"this version sums all {sites} sites or none; the header asks for {self.minimum}.")
        if self.length < 1 or self.size_bytes > codec.MAX_MESSAGE_BYTES - (1 << 16):
            raise UsageError(f"a vector of {self.length} integers of {self.ring_bits} bits does not fit a message.")
        if not 1 <= self.rounds <= MOST_ROUNDS:
            raise UsageError(f"rounds must be 1 to {MOST_ROUNDS}; got {self.rounds}.")

    @property
    def size_bytes(self) -> int:
        """Bytes of one packed vector."""
        return self.length * self.ring_bits // 8

    @property
    def names(self) -> tuple[str, ...]:
        """The sites' names, in order."""
        return tuple(name for name, _ in self.cohort)

    def to_bytes(self) -> bytes:
        """The canonical bytes: ``OpenSession.header``."""
        return codec.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Header:
        """The header in ``data``.

        Raises:
            BadMessage: the bytes are not a canonical header, or its facts contradict each other.
        """
        return codec.decode(data, cls)

    def hash(self) -> bytes:
        """The 32 bytes that keys are signed over and masks are bound to."""
        return codec.digest("stead.learn.header", self.to_bytes())

    def index_of(self, key: bytes) -> int:
        """The place of the site with this identity key, from 0.

        Raises:
            BadSignature: the key is not in the cohort.
        """
        for index, (_, member) in enumerate(self.cohort):
            if member == key:
                return index
        raise BadSignature("this site's own key is not in the session's cohort.")


def admit(
    data: bytes,
    *,
    own_key: bytes,
    release: bytes,
    plan_hash: bytes,
    outlet: str,
    enrolled: Callable[[bytes], bool],
) -> Header:
    """Read a header as a site does before it takes part: everything that needs no row is checked here.

    Args:
        data: ``OpenSession.header``.
        own_key: this site's raw Ed25519 public key.
        release: ``OpenSession.release``.
        plan_hash: hash of the plan that was submitted with the header.
        outlet: ``OpenSession.outlet``.
        enrolled: whether this site's owner trusts a peer's identity key as a site. It stops a coordinator that
            fills a cohort with sites of its own making.

    Raises:
        BadMessage: not a canonical header, or its facts contradict each other or the request's plan, release, outlet.
        BadSignature: the own key is absent, or a peer's is not enrolled.
    """
    header = Header.from_bytes(data)
    header.index_of(own_key)
    for name, key in header.cohort:
        if key != own_key and not enrolled(key):
            raise BadSignature(
                f"the cohort names a site {name!r} whose key is not enrolled here.",
                hint="the owner enrols the peer's key first, having compared fingerprints",
            )
    for what, stated, expected in (
        ("release", header.release, release),
        ("plan", header.plan_hash, plan_hash),
        ("outlet", header.outlet, outlet),
    ):
        if stated != expected:
            raise BadMessage(f"the session header is for another {what} than the request.")
    return header
