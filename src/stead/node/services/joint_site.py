"""``JointSite``: this node as a party of a joint computation, driven frame by frame by whoever relays them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from stead.core.codec import MAX_MESSAGE_BYTES
from stead.core.entropy import Entropy
from stead.core.keys import Key
from stead.errors import BadMessage, BadSignature
from stead.mpc.cost import Cost
from stead.mpc.party import Party, agree
from stead.mpc.protocols.replicated.protocol import Replicated
from stead.mpc.shares import Share
from stead.net.noise import StaticKey
from stead.node.services.joint_work import compute
from stead.node.services.relayed import RelayedChannel, SealedPair
from stead.node.services.session import Allowance, OpenedShares
from stead.plans.joint import Joint
from stead.plans.joint_frames import (
    JointRoster,
    Opening,
    Parcel,
    Parcels,
    check_roster,
    make_hello,
    opening_hash,
    pack_joint,
    unpack_joint,
)

HANDSHAKE_STEPS: Final = 2
PARCEL_BYTES: Final = 128
"""What sealing adds to a message, at most: headers, tags and the frame around it."""
_FRAME_BYTES: Final = 4096


@dataclass(frozen=True)
class JointTerms:
    """A plan as one of its parties takes part: its place, and what the computation costs, by place."""

    joint: Joint
    place: int
    cost: Cost

    @property
    def owner(self) -> bool:
        """Whether this party enters something."""
        return self.joint.parties[self.place].owner

    @property
    def allowance(self) -> Allowance:
        """What this party's session lets pass: as many steps, rounds and bytes as the computation has."""
        rounds = self.cost.rounds
        sealing_bytes = PARCEL_BYTES * (2 * rounds + HANDSHAKE_STEPS)
        out_bytes = self.cost.sent[self.place] + sealing_bytes + 2 * 8 * self.joint.layout.opened
        in_bytes = sum(self.cost.sent) + sealing_bytes + _FRAME_BYTES
        return Allowance(
            frames=rounds + HANDSHAKE_STEPS + 2,
            frame_bytes=min(MAX_MESSAGE_BYTES, in_bytes),
            rounds=rounds,
            rounds_at_once=rounds,
            reply_bytes=out_bytes,
            total_bytes=out_bytes,
        )


@dataclass(frozen=True, repr=False)
class JointSeat:
    """This node's place in a computation.

    Attributes:
        terms: the plan, and which of its parties this node is.
        session: ``session_digest`` of the release and the plan.
        identity: this node's key.
        entropy: for the session's keys, masks and summands.
    """

    terms: JointTerms
    session: bytes
    identity: Key
    entropy: Entropy

    @property
    def joint(self) -> Joint:
        """The plan."""
        return self.terms.joint

    @property
    def place(self) -> int:
        """Which of the parties this node is."""
        return self.terms.place


@final
class JointSite:
    """A party's side of one session (``session.Participant``).

    Frames: a roster; the others' handshakes; then, step after step, what the others sent. The last reply is this
    party's opening, for the receiver.

    Args:
        seat: this node's place.
        own: what this node enters, noise included, if it is an owner: int64.

    Cost:
        3 steps for the channels, then at most one for each round of the computation.

    Security:
        The relay sees sealed parcels, their lengths, and the openings that are for it. See ``SealedPair`` and
        ``Replicated``. Nothing is opened but the plan's result, once.
    """

    def __init__(self, seat: JointSeat, own: npt.NDArray[np.int64] | None) -> None:
        self._seat, self._own = seat, own
        self._static: StaticKey | None = StaticKey.generate(seat.entropy)
        self._hello = make_hello(seat.identity, seat.session, seat.place, self._static.public)
        self._pairs: dict[int, SealedPair] = {}
        self._channel: RelayedChannel | None = None
        self._share: Share | None = None
        self._step = 0
        self._opening: OpenedShares | None = None
        self._closed = False

    @property
    def rounds_sent(self) -> int:
        """Rounds of the computation in which this party has sent or taken shares."""
        return 0 if self._channel is None else self._channel.traffic.rounds

    @property
    def opening(self) -> OpenedShares | None:
        """What this party has opened, once it has."""
        return self._opening

    def hello(self) -> bytes:
        """This party's signed key of the session."""
        return pack_joint(self._hello)

    def on_frame(self, frame: bytes) -> bytes:
        """The reply to a frame of the relay.

        Raises:
            BadMessage: no frame, or one that does not come next.
            BadSignature: a session key is not signed by the party in the plan.
            CheaterDetected: a party sent a message of another length than the round has.
        """
        if self._closed or self._opening is not None:
            raise BadMessage("this computation is over.")
        message = unpack_joint(frame)
        if isinstance(message, JointRoster) and self._static is not None:
            return self._greet(message, self._static)
        if not isinstance(message, Parcels) or self._static is not None:
            raise BadMessage("this frame does not come next in a computation.")
        if message.session != self._seat.session or message.step != self._step + 1:
            raise BadMessage(f"step {self._step + 1} of this computation comes next.")
        self._step = message.step
        if self._channel is None:
            return self._parcels(self._shake(message.items))
        return self._reply(self._channel.carry(message.items))

    def close(self) -> None:
        """End the computation and forget its keys, shares and numbers. Idempotent."""
        self._closed = True
        if self._channel is not None:
            self._channel.close()
        self._static, self._own, self._share = None, None, None
        self._pairs = {}

    def _greet(self, roster: JointRoster, static: StaticKey) -> bytes:
        seat = self._seat
        check_roster(roster, seat.joint, seat.session)
        if roster.hellos[seat.place] != self._hello:
            raise BadSignature("the roster holds another key for this party than the one it sent.")
        self._pairs = {
            hello.place: SealedPair(seat.place, hello.place, static, hello.key, seat.session, seat.entropy)
            for hello in roster.hellos
            if hello.place != seat.place
        }
        self._static = None
        first = [Parcel(pair.peer, pair.greet()) for pair in self._pairs.values() if seat.place < pair.peer]
        return self._parcels(first)

    def _shake(self, items: tuple[Parcel, ...]) -> list[Parcel]:
        """Answer handshakes; the computation starts when all channels stand."""
        answers = []
        for item in items:
            pair = self._pairs.get(item.place)
            if pair is None:
                raise BadMessage("a handshake is between two parties of the plan.")
            answer = pair.hear(item.sealed)
            if answer is not None:
                answers.append(Parcel(item.place, answer))
        if all(pair.ready for pair in self._pairs.values()):
            answers += self._start()
        return answers

    def _start(self) -> list[Parcel]:
        seat = self._seat
        self._channel = RelayedChannel(
            seat.place,
            seat.joint.names,
            self._pairs,
            most_sent_bytes=seat.terms.cost.sent[seat.place],
            most_rounds=seat.terms.cost.rounds,
        )
        return self._channel.start(self._compute)

    def _compute(self) -> None:
        """The computation, in its own thread."""
        seat, channel, own = self._seat, self._channel, self._own
        assert channel is not None  # noqa: S101 - the thread is started by the channel
        streams = agree(seat.place, seat.joint.names, channel, seat.entropy)
        party = Party(seat.place, seat.joint.names, channel, seat.entropy, 1, streams)
        self._share = compute(Replicated(party), seat.joint, None if own is None else own.view(np.uint64))

    def _reply(self, items: list[Parcel]) -> bytes:
        """What this party sends; its opening when there is nothing more to send."""
        if items or self._channel is None or not self._channel.finished or self._share is None:
            return self._parcels(items)
        own, after = (part.astype("<u8").tobytes() for part in self._share.parts)
        frame = pack_joint(Opening(self._seat.session, own, after))
        self._opening = OpenedShares(opening_hash(frame), self._seat.joint.opening)
        return frame

    def _parcels(self, items: list[Parcel]) -> bytes:
        return pack_joint(Parcels(self._seat.session, self._step, tuple(items)))

    def __repr__(self) -> str:
        return f"JointSite(place={self._seat.place}, keys=<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("a party's session cannot be pickled")
