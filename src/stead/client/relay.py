"""``Relay``: carries the sealed parcels of a joint computation between its parties, which have no way to each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from stead.client.site import Site
from stead.core.messages import SessionFrame
from stead.errors import BadMessage, PartyError, PartyTimedOut, SteadError
from stead.plans.joint import Integers, Joint
from stead.plans.joint_frames import (
    JointFrame,
    JointHello,
    JointRoster,
    Opening,
    Parcel,
    Parcels,
    pack_joint,
    read_opening,
    unpack_joint,
)

TIMEOUT_S: Final = 120.0
"""How long a party may take for one step."""
_STEPS_BEYOND: Final = 8  # for the channels and the opening

Carry = Callable[[str, bytes], bytes]


class Relay:
    """The scientist's side of a session of parties: it sees sealed bytes, and the shares of a result that is for it.

    Args:
        joint: the plan.
        session: its digest with the release.
        carry: sends a frame to the party of this name and returns the reply; may block.
        rounds: how many rounds the plan's computation has, as the parties have quoted it.
        timeout_s: for one step of one party.

    Security: it can refuse to carry, and it sees who sends how much when. What it changes, repeats, swaps or makes up
    ends the computation at the party that gets it. It learns the opened result, which is for it.

    Cost: at most one request to each party for each round, all parties at once.
    """

    def __init__(
        self, joint: Joint, session: bytes, carry: Carry, *, rounds: int, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._joint, self._session, self._carry = joint, session, carry
        self._most_steps = rounds + _STEPS_BEYOND
        self._timeout_s = timeout_s
        self.size_bytes = 0
        self.steps = 0
        self._carried = False

    def run(self, hellos: Sequence[bytes]) -> list[tuple[Integers, Integers]]:
        """Carry parcels until all parties have opened.

        Args:
            hellos: the parties' first frames, by place.

        Returns:
            The two summands that each party opened, by place.

        Raises:
            PartyTimedOut: a party is silent, or the parties wait for each other; names who.
            SteadError: what a party refuses with, or why it cannot be reached.
        """
        names = self._joint.names
        roster = JointRoster(tuple(self._hello(place, frame) for place, frame in enumerate(hellos)))
        replies = self._all(dict.fromkeys(range(len(names)), roster))
        opened: dict[int, Opening] = {}
        while len(opened) < len(names):
            self.steps += 1
            waiting = [place for place in range(len(names)) if place not in opened]
            boxes = self._sorted(replies)
            if self.steps > self._most_steps:
                raise PartyTimedOut(f"{self._named(waiting)} did not end after the plan's {self._most_steps} steps.")
            if self.steps > 1 and not boxes and not self._carried:
                raise PartyTimedOut(f"nobody sends anything, and {self._named(waiting)} opened no result.")
            frames = {place: Parcels(self._session, self.steps, tuple(boxes.get(place, ()))) for place in waiting}
            replies = self._all(frames)
            opened |= {place: reply for place, reply in replies.items() if isinstance(reply, Opening)}
        length = self._joint.layout.opened
        return [read_opening(opened[place], length, names[place]) for place in range(len(names))]

    def _sorted(self, replies: Mapping[int, JointFrame]) -> dict[int, list[Parcel]]:
        """What the replies hold, by the place it goes to, marked with the place that it comes from."""
        boxes: dict[int, list[Parcel]] = {}
        for place, reply in replies.items():
            for item in reply.items if isinstance(reply, Parcels) else ():
                if item.place == place or item.place >= len(self._joint.names):
                    raise BadMessage(f"{self._joint.names[place]} sent a parcel to no other party.")
                boxes.setdefault(item.place, []).append(Parcel(place, item.sealed))
        return boxes

    def _hello(self, place: int, frame: bytes) -> JointHello:
        hello = unpack_joint(frame)
        if not isinstance(hello, JointHello) or hello.place != place:
            raise BadMessage(f"{self._joint.names[place]} did not send its session key.")
        return hello

    def _all(self, frames: Mapping[int, JointFrame]) -> dict[int, JointFrame]:
        """The parties' replies; each is asked in a thread of its own, so that a silent one holds up nobody for ever."""
        self._carried = any(isinstance(frame, Parcels) and frame.items for frame in frames.values())
        asked = {place: _Call(self._carry, self._joint.names[place], pack_joint(f)) for place, f in frames.items()}
        deadline = time.monotonic() + self._timeout_s
        for call in asked.values():
            call.finished.wait(max(0.0, deadline - time.monotonic()))
        failed = [call.error for call in asked.values() if call.error is not None]
        if failed:
            raise failed[0]
        silent = [place for place, call in asked.items() if call.reply is None]
        if silent:
            raise PartyTimedOut(
                f"{self._named(silent)} did not answer within {self._timeout_s:g} s.",
                hint="ask again, or ask the owner",
            )
        replies = {place: self._read(place, call.reply or b"") for place, call in asked.items()}
        self.size_bytes += sum(len(call.frame) + len(call.reply or b"") for call in asked.values())
        return replies

    def _read(self, place: int, data: bytes) -> JointFrame:
        name, frame = self._joint.names[place], unpack_joint(data)
        if not isinstance(frame, Parcels | Opening) or frame.session != self._session:
            raise BadMessage(f"{name} answered with something that is no step of this computation.")
        return frame

    def _named(self, places: Sequence[int]) -> str:
        return ", ".join(self._joint.names[place] for place in places)


class _Call:
    """One request in a thread of its own."""

    def __init__(self, carry: Carry, name: str, frame: bytes) -> None:
        self.frame = frame
        self.reply: bytes | None = None
        self.error: SteadError | None = None
        self.finished = threading.Event()
        threading.Thread(target=self._run, args=(carry, name), daemon=True, name="stead-relay").start()

    def _run(self, carry: Carry, name: str) -> None:
        try:
            self.reply = carry(name, self.frame)
        except SteadError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - a thread's error is raised where the thread is waited for
            self.error = BadMessage(f"what {name} answered cannot be read: {type(error).__name__}.")
        finally:
            self.finished.set()


def carry_over(sites: Mapping[str, Site], release: bytes) -> Carry:
    """The way to a computation's parties over signed messages.

    A frame whose reply was lost may be sent again: a node answers its last frame with the same bytes.
    """

    def carry(name: str, frame: bytes) -> bytes:
        try:
            return sites[name].ask(SessionFrame(release=release, frame=frame), SessionFrame).frame
        except PartyError as error:
            if name in error.what:
                raise
            raise type(error)(f"{name}: {error.what}", hint=error.hint) from None

    return carry
