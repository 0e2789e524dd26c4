"""The secure sum: sites add up integer vectors through a coordinator that learns the sum and nothing else.

Symbols: n sites, m = length of the vector, b = ring_bits, c = declared colluders. Places i < j in the cohort.

The protocol in one screen (docs/theory/secure-sum.md, docs/protocol/secure-sum.md)::

    open    each site: fresh X25519 key, signed by its identity over H(header)       Hello
    agree   coordinator: all hellos to all sites; each site verifies all of them      Roster -> Ready
    round   coordinator: number, model                                                Round
            site i: y_i = x_i + sum_{j>i} PRG(k_ij) - sum_{j<i} PRG(k_ji)  mod 2^b    Masked
            coordinator: sum_i y_i = sum_i x_i  mod 2^b
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from stead.core.channel import Channel
from stead.core.entropy import Entropy
from stead.core.keys import Key, PublicKey
from stead.errors import BadMessage, BadSignature, NodeError, SteadError, TooFewParties
from stead.learn.frames import HELLO_DOMAIN, Hello, Masked, Ready, Roster, Round, hello_body, pack, unpack
from stead.learn.header import Header, model_hash
from stead.learn.masks import (
    IntVector,
    RingVector,
    add_mask,
    centred,
    mask_key,
    pair_secret,
    ring_zeros,
    to_ring,
    unpack_vector,
)


class Work(Protocol):
    """What a site adds: called once for each round number, in order."""

    def vector(self, number: int, payload: bytes) -> IntVector:
        """The site's int64 vector of round ``number``, noise share included, for the model in ``payload``."""
        ...


@dataclass(frozen=True, repr=False)
class Seat:
    """A site's place in a session.

    Attributes:
        header: as ``admit`` returned it.
        key: the site's identity.
        entropy: for the session key, samples and noise.
    """

    header: Header
    key: Key
    entropy: Entropy


class Participant(Protocol):
    """A site's side of a session as a node drives it."""

    @property
    def rounds_sent(self) -> int:
        """Rounds for which this site has computed a masked vector: those stay charged."""
        ...

    def hello(self) -> bytes:
        """The first frame; the same bytes each time."""
        ...

    def on_frame(self, frame: bytes) -> bytes:
        """The reply to a frame of the coordinator."""
        ...

    def close(self) -> None:
        """Erase the session's keys."""
        ...


class SumSite:
    """A site's side of one session: a state machine from frame to frame.

    A frame that is refused changes nothing: the session goes on where it stood. Each round number is used once, also
    when the work fails, and the keys are erased after the last round.

    Cost:
        2 + rounds exchanges. Per round and site m*b/8 bytes up (plus under 150), the model down, n - 1 streams of
        m*b/8 bytes AES-256-CTR, n - 1 HKDF. Per session 1 key generation, 1 signature, n - 1 verifications and X25519.

    Security:
        Against a coordinator that reads everything and follows the protocol, together with up to n - 2 sites: the
        masked vectors tell nothing but the sum of the others. Against c colluding sites the *sum* still holds the
        priced noise. A coordinator that deviates cannot swap or invent keys (they are signed by enrolled identities
        over this header), show different models to different sites, or use a round twice: the masks then do not
        cancel, or the site refuses. It can refuse service, choose the cohort and see who takes part. What remains: a
        site may add a wrong vector; with n - 1 colluding sites the last one's vector is exposed, as from any sum.
        Secrecy of the masks is computational (X25519, HKDF-SHA256, AES-256); X25519 is not post-quantum.

    Args:
        seat: the site's place in the session.
        work: what the site adds in each round.

    References:
        Bonawitz et al. 2017 (CCS), section 4.0.1 (masking with one-time pads); the variant without drop-out recovery.
    """

    def __init__(self, seat: Seat, work: Work) -> None:
        self._header = seat.header
        self._session = seat.header.hash()
        self._index = seat.header.index_of(seat.key.public.raw)
        self._work = work
        self._used = 0
        self._sent = 0
        self._peers: dict[int, bytes] | None = None
        self._secret: X25519PrivateKey | None = X25519PrivateKey.from_private_bytes(seat.entropy.take(32))
        public = self._secret.public_key().public_bytes_raw()
        signature = seat.key.sign(HELLO_DOMAIN, hello_body(self._session, self._index, public))
        self._hello = Hello(site=self._index, key=public, signature=signature)

    def __repr__(self) -> str:
        return f"SumSite(site={self._index}, sites={len(self._header.cohort)}, keys=<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("a site's session cannot be pickled")

    @property
    def rounds_sent(self) -> int:
        """Rounds for which a masked vector was computed."""
        return self._sent

    @property
    def closed(self) -> bool:
        """True when the keys are gone: after the last round, or ``close``."""
        return self._secret is None and self._peers is None

    def hello(self) -> bytes:
        """The site's signed session key: the first frame; the same bytes each time."""
        return pack(self._hello)

    def on_frame(self, frame: bytes) -> bytes:
        """The reply to one frame of the coordinator.

        Raises:
            BadMessage: not a frame, or one that the session does not expect now (a replayed or skipped round,
                another session, another model than its hash).
            BadSignature: a peer's session key is not signed by the cohort's identity for this header.
            CheaterDetected: a peer signed a key of small order.
        """
        message = unpack(frame)
        if self.closed:
            raise BadMessage("this session is over; its keys are erased.")
        if isinstance(message, Roster):
            return self._agree(message)
        if isinstance(message, Round):
            return self._round(message)
        raise BadMessage(f"a site does not take a frame of type {type(message).__name__}.")

    def close(self) -> None:
        """Erase the session's keys. Idempotent."""
        self._secret = None
        self._peers = None

    def _agree(self, roster: Roster) -> bytes:
        if self._secret is None:
            raise BadMessage("the sites' keys are already agreed; a roster comes once.")
        cohort = self._header.cohort
        if [hello.site for hello in roster.hellos] != list(range(len(cohort))):
            raise BadMessage(f"a roster holds one key for each of the {len(cohort)} sites, in order.")
        if roster.hellos[self._index] != self._hello:
            raise BadSignature("the roster holds another key for this site than the one it sent.")
        peers = {}
        for hello, (name, identity) in zip(roster.hellos, cohort, strict=True):
            if hello.site == self._index:
                continue
            body = hello_body(self._session, hello.site, hello.key)
            try:
                PublicKey(identity).verify(HELLO_DOMAIN, body, hello.signature)
            except BadSignature:
                raise BadSignature(f"the session key shown for site {name!r} is not signed by it.") from None
            peers[hello.site] = pair_secret(self._secret, hello.key, name=name)
        self._peers = peers
        self._secret = None
        return pack(Ready(session=self._session))

    def _round(self, start: Round) -> bytes:
        peers = self._peers
        if peers is None:
            raise BadMessage("a round comes after the roster.")
        if start.session != self._session:
            raise BadMessage("the round belongs to another session.")
        if start.number != self._used + 1:
            raise BadMessage(f"round {self._used + 1} comes next, not {start.number}: each is used once, in order.")
        # The mask is bound to what arrived here, whatever was stated.
        model = model_hash(start.payload)
        if model != start.model_hash or (start.number == 1 and model != self._header.model_hash):
            raise BadMessage(f"the model of round {start.number} is not the one that its header names.")
        self._used = start.number
        values = self._work.vector(start.number, start.payload)
        if values.dtype != np.int64 or values.shape != (self._header.length,):
            raise NodeError("a site's vector does not have the declared shape.")
        masked = self._mask(values, start.number, model, peers)
        self._sent += 1
        if start.number == self._header.rounds:
            self.close()
        return pack(Masked(session=self._session, number=start.number, vector=masked))

    def _mask(self, values: IntVector, number: int, model: bytes, peers: Mapping[int, bytes]) -> bytes:
        vector = to_ring(values, self._header.ring_bits)
        for peer, secret in peers.items():
            pair = (min(peer, self._index), max(peer, self._index))
            key = mask_key(secret, session=self._session, number=number, model=model, pair=pair)
            add_mask(vector, key, subtract=peer < self._index)
        return vector.tobytes()


class SiteChannel(Channel, Protocol):
    """A ``Channel`` to the sites of a session, which can also begin and end it there."""

    def open(self, header: bytes) -> dict[str, bytes]:
        """Ask every peer to take part under this header; returns each peer's first frame."""
        ...

    def close(self, reason: str) -> None:
        """Tell every peer that can be reached that no frame will follow; raises nothing. Empty reason: done."""
        ...


class SumCoordinator:
    """The coordinator's side: relays signed keys, hands out the model, adds up masked vectors.

    Whatever goes wrong ends the session at every site that can be reached, and is raised: there is no partial sum.

    Cost:
        2 + rounds exchanges; n*m additions per round; no cryptography.

    Security:
        It holds no secret and learns the sums. See ``SumSite``.
    """

    def __init__(self, header: Header, channel: SiteChannel) -> None:
        if channel.peers != header.names:
            raise BadMessage("the channel's peers are not the header's cohort, in its order.")
        self._header = header
        self._session = header.hash()
        self._channel = channel
        self._done = 0
        self._open = False
        self.bytes_up = 0
        self.bytes_down = 0

    def open(self) -> None:
        """Let every site make, sign and verify the session's keys.

        Raises:
            PartyError: a site is gone, late or missing.
            SteadError: whatever a site refuses with.
        """
        try:
            hellos = tuple(self._hello(name, frame) for name, frame in self._all(self._begin()))
            roster = pack(Roster(hellos=hellos))
            for name, frame in self._exchange(roster):
                ready = unpack(frame)
                if not isinstance(ready, Ready) or ready.session != self._session:
                    raise BadMessage(f"site {name!r} did not confirm the session's keys.")
        except SteadError as error:
            self._abort(error)
            raise
        self._open = True

    def round(self, number: int, payload: bytes = b"") -> IntVector:
        """One sum.

        Args:
            number: 1, 2, ... in order.
            payload: the model, the same bytes for every site.

        Returns:
            The sum of the sites' vectors, shape (length,), centred in the ring.

        Raises:
            PartyError: a site is gone, late or missing; the other sites are told, and there is no sum.
            SteadError: whatever a site refuses with.
        """
        if not self._open or number != self._done + 1:
            raise BadMessage(f"the session is not open for round {number}; {self._done} rounds are done.")
        start = Round(session=self._session, number=number, model_hash=model_hash(payload), payload=payload)
        try:
            total = ring_zeros(self._header.length, self._header.ring_bits)
            for name, frame in self._exchange(pack(start)):
                total += self._masked(name, frame, number)
        except SteadError as error:
            self._abort(error)
            raise
        self._done = number
        return centred(total, self._header.ring_bits)

    def close(self, reason: str = "") -> None:
        """End the session at the sites. Idempotent; an empty reason says that all went well."""
        if self._open:
            self._open = False
            self._channel.close(reason)

    def _begin(self) -> dict[str, bytes]:
        header = self._header.to_bytes()
        self.bytes_down += len(header) * len(self._header.cohort)
        return self._channel.open(header)

    def _exchange(self, frame: bytes) -> list[tuple[str, bytes]]:
        self.bytes_down += len(frame) * len(self._header.cohort)
        return self._all(self._channel.exchange(dict.fromkeys(self._header.names, frame)))

    def _all(self, replies: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
        missing = [name for name in self._header.names if name not in replies]
        if missing:
            raise TooFewParties(
                f"{len(missing)} of {len(self._header.cohort)} sites sent nothing: {', '.join(missing)}.",
                hint="this version sums all sites or none: start again with the sites that are there",
            )
        self.bytes_up += sum(len(replies[name]) for name in self._header.names)
        return [(name, replies[name]) for name in self._header.names]

    def _hello(self, name: str, frame: bytes) -> Hello:
        hello = unpack(frame)
        if not isinstance(hello, Hello) or hello.site != self._header.names.index(name):
            raise BadMessage(f"site {name!r} did not send its session key.")
        return hello

    def _masked(self, name: str, frame: bytes, number: int) -> RingVector:
        masked = unpack(frame)
        if not isinstance(masked, Masked) or (masked.session, masked.number) != (self._session, number):
            raise BadMessage(f"site {name!r} did not send its masked vector of round {number}.")
        return unpack_vector(masked.vector, length=self._header.length, ring_bits=self._header.ring_bits)

    def _abort(self, error: SteadError) -> None:
        self._open = False
        self._channel.close(f"the session ended early: {type(error).code()}")
