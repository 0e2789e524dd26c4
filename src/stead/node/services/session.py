"""Sessions: a site's part in a joint computation, frame by frame, and nothing outside the frames its plan allows.

A session lives in the memory of one process (its keys must not outlive it); what the store keeps is that it runs, how
many rounds have left and how it ended. Its charge was committed before its first frame, and stays.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final, Literal, Protocol, final

import sqlalchemy as sa

from stead.core.codec import MAX_MESSAGE_BYTES
from stead.core.leaves import Opened, SessionEnded
from stead.core.messages import CloseSession, SessionClosed, SessionFrame
from stead.errors import BadMessage, NodeError, PartyError, PolicyDenied, Untrusted
from stead.learn.header import Header
from stead.node.services.books import Books
from stead.node.services.faults import fault
from stead.node.services.releases import Claim, change
from stead.node.store import tables

_ENVELOPE_BYTES = 4096  # what a frame may hold besides its vector: tag, header hash, number, a signed key
_MOST_REASON = 200
IDLE_S: Final = 3600.0
"""After so many seconds without a frame a session is ended."""


@dataclass(frozen=True)
class Allowance:
    """What a session's plan lets pass: frames in, rounds and bytes out.

    Attributes:
        frames: frames that are taken after the first reply.
        frame_bytes: the most bytes of one of them.
        rounds: rounds that may leave in all.
        rounds_at_once: rounds that may leave with one reply.
        reply_bytes: the most bytes of a reply with which a round leaves, without its envelope.
        total_bytes: the most bytes that may leave in all, without envelopes.
    """

    frames: int
    frame_bytes: int
    rounds: int
    rounds_at_once: int
    reply_bytes: int
    total_bytes: int


def sum_allowance(header: Header) -> Allowance:
    """Of a session of secure sums: one vector a round."""
    frame_bytes = min(MAX_MESSAGE_BYTES, 16 * header.length + 512 * len(header.cohort) + (1 << 21))
    size_bytes = header.size_bytes
    return Allowance(header.rounds + 1, frame_bytes, header.rounds, 1, size_bytes, header.rounds * size_bytes)


@dataclass(frozen=True)
class OpenedShares:
    """What a participant of a joint computation has opened: the digest of its shares, and through which outlet."""

    shares_hash: bytes
    opening: Literal["answer", "disclose"]


class Participant(Protocol):
    """A site's side of a protocol, driven by frames (``learn.secure_sum.SumSite``).

    Cost: 2 + rounds exchanges.

    Security: whatever it returns leaves the node; it must hold to the header that it was made with.
    """

    @property
    def rounds_sent(self) -> int:
        """For how many rounds it has made what leaves."""
        ...

    def hello(self) -> bytes:
        """The first frame; the same bytes each time."""
        ...

    def on_frame(self, frame: bytes) -> bytes:
        """The reply to a frame of the coordinator."""
        ...

    def close(self) -> None:
        """Erase the session's keys. Idempotent."""
        ...


@final
class Session:
    """One open session: counts its frames and bounds their sizes. Any breach ends it.

    Args:
        claim: the request that it was charged for.
        allowance: what its plan lets pass.
        participant: the protocol's state machine.
        charged_leaf: where the log says that it was charged.
    """

    def __init__(self, claim: Claim, allowance: Allowance, participant: Participant, *, charged_leaf: int) -> None:
        self.claim = claim
        self.charged_leaf = charged_leaf
        self.heard_at = 0.0
        self.lock = threading.Lock()
        self.first = participant.hello()
        self.opening_logged = False
        self._allowance = allowance
        self._participant = participant
        self._frames_left = allowance.frames
        self._left_bytes = 0
        self._last: tuple[bytes, bytes] | None = None
        self._check_reply(self.first, rounds_before=0)

    @property
    def rounds_sent(self) -> int:
        """How many rounds have been computed here."""
        return self._participant.rounds_sent

    @property
    def opening(self) -> OpenedShares | None:
        """The shares of a result that this node has opened; ``None`` in sessions of other kinds."""
        found = getattr(self._participant, "opening", None)
        return found if isinstance(found, OpenedShares) else None

    def repeated(self, frame: bytes) -> bytes | None:
        """The reply that the last frame has had already, if this is that frame again: its answer was lost."""
        return self._last[1] if self._last is not None and self._last[0] == frame else None

    def reply(self, frame: bytes) -> bytes:
        """The reply to the next frame.

        Raises:
            BadMessage: a frame too many, or one that is too large.
            SteadError: whatever the protocol refuses it with.
        """
        most_bytes = self._allowance.frame_bytes
        if self._frames_left == 0:
            raise BadMessage(f"the session's {self._allowance.rounds} rounds are over.")
        if len(frame) > most_bytes:
            raise BadMessage(f"a frame of this session has at most {most_bytes} bytes, not {len(frame)}.")
        self._frames_left -= 1
        before = self._participant.rounds_sent
        answer = self._participant.on_frame(frame)
        self._check_reply(answer, rounds_before=before)
        self._last = (frame, answer)
        return answer

    def close(self) -> None:
        """Forget the keys."""
        self._participant.close()

    def _check_reply(self, answer: bytes, *, rounds_before: int) -> None:
        """Nothing larger leaves with a reply than the plan has, and no round too many."""
        plan, sent = self._allowance, self._participant.rounds_sent
        if not rounds_before <= sent <= min(rounds_before + plan.rounds_at_once, plan.rounds):
            raise NodeError("a session's participant left its plan of rounds.")
        beyond_bytes = max(0, len(answer) - _ENVELOPE_BYTES)
        self._left_bytes += beyond_bytes
        if beyond_bytes > (plan.reply_bytes if sent > rounds_before or self.opening else 0):
            raise NodeError("a session's participant answered more than its plan allows.")
        if self._left_bytes > plan.total_bytes:
            raise NodeError("a session's participant answered more than its plan allows in all.")


@final
class Sessions:
    """The sessions that are open in this process."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._open: dict[bytes, Session] = {}

    def recover(self) -> int:
        """At the start of a node: end the sessions that the last process left running. Returns how many."""
        columns = tables.sessions.c
        with self._books.store.read() as connection:
            query = sa.select(columns.release, columns.rounds).where(columns.state == "running")
            left = [(bytes(release), int(rounds)) for release, rounds in connection.execute(query)]
        for release, rounds in left:
            self._record_end(release, rounds=rounds, outcome="aborted", reason="the node was restarted")
        return len(left)

    def find(self, claim: Claim) -> Session | None:
        """The open session of exactly this request."""
        session = self._open.get(claim.release)
        return session if session is not None and session.claim == claim else None

    def begin(self, release: bytes) -> int:
        """Mark a charged session as running; returns the leaf that charged it. Each begins once.

        Raises:
            PolicyDenied: it has begun before; its keys are gone with the process or the end of that.
        """
        columns = tables.sessions.c
        with self._books.store.write() as write:
            row = write.lock_release(release)
            change_state = tables.sessions.update().where(columns.release == release, columns.state == "charged")
            begun = write.connection.execute(change_state.values(state="running")).rowcount
            if row is None or not begun:
                raise PolicyDenied("this session has begun before.", hint="open a new one, under a new release id")
            return int(row["charged_leaf"])

    def add(self, session: Session) -> None:
        """Take frames for this session from now on."""
        session.heard_at = self._books.log.now()
        self._open[session.claim.release] = session

    def end_idle(self) -> int:
        """End the sessions whose coordinator has not been heard for ``IDLE_S``, and forget their keys and examples.

        Returns:
            How many there were. One that is at work on a frame just now is none of them.
        """
        now, ended = self._books.log.now(), 0
        for session in list(self._open.values()):
            if now - session.heard_at > IDLE_S and session.lock.acquire(blocking=False):
                try:
                    self.end(session, outcome="aborted", reason=f"its coordinator was silent for {IDLE_S:g} s")
                    ended += 1
                finally:
                    session.lock.release()
        return ended

    def frame(self, caller: bytes, message: SessionFrame) -> SessionFrame:
        """Answer the next frame; the same frame again gets the same answer.

        Raises:
            BadMessage: no such session, or a frame outside its plan; that ends the session.
            Untrusted: the protocol refused the frame; that ends the session.
            NodeError: a fault here; that ends the session.
        """
        session = self._session(caller, message.release)
        with session.lock:
            answer = session.repeated(message.frame)
            if answer is None:
                answer = self._reply(session, message.frame)
            self._note_rounds(session)
            session.heard_at = self._books.log.now()
            return SessionFrame(release=message.release, frame=answer)

    def close(self, caller: bytes, message: CloseSession) -> SessionClosed:
        """End the session, or say how it has ended. Idempotent.

        Raises:
            BadMessage: no such session of this caller.
        """
        session = self._open.get(message.release)
        if session is not None and session.claim.requester == caller:
            with session.lock:
                outcome = "aborted" if message.reason else "done"
                self.end(session, outcome=outcome, reason=_printable(message.reason))
        leaf = self._ended_leaf(caller, message.release)
        return SessionClosed(release=message.release, receipt=self._books.log.receipt(leaf))

    def end(self, session: Session, *, outcome: str, reason: str) -> None:
        """Forget the session's keys and log how it ended."""
        self._open.pop(session.claim.release, None)
        session.close()
        self._record_end(session.claim.release, rounds=session.rounds_sent, outcome=outcome, reason=reason)

    def abort(self, release: bytes) -> None:
        """Log that a session never came to its first frame."""
        self._record_end(release, rounds=0, outcome="aborted", reason="the node could not take part")

    def _session(self, caller: bytes, release: bytes) -> Session:
        session = self._open.get(release)
        if session is None or session.claim.requester != caller:
            raise BadMessage("there is no open session of this release.")
        return session

    def _reply(self, session: Session, frame: bytes) -> bytes:
        failed = ""
        try:
            answer = session.reply(frame)
        except (Untrusted, PartyError) as error:
            self.end(session, outcome="aborted", reason=f"refused a frame: {type(error).code()}")
            raise
        except Exception as error:  # noqa: BLE001 - its text may hold what rows held, so only its class is kept
            failed = type(error).__name__
        if failed:
            self.end(session, outcome="aborted", reason="a fault of the node")
            raise fault(self._books.entropy, "session", failed)
        return answer

    def _note_rounds(self, session: Session) -> None:
        """Before a round leaves, the store knows that it has; what another process has ended is ended here too."""
        columns = tables.sessions.c
        noted = tables.sessions.update().where(columns.release == session.claim.release, columns.state == "running")
        with self._books.store.write() as write:
            running = write.connection.execute(noted.values(rounds=session.rounds_sent)).rowcount
            opening = session.opening if running and not session.opening_logged else None
            if opening is not None:
                self._books.log.append(write, self._opened(session.claim, opening))
        session.opening_logged = session.opening_logged or opening is not None
        if not running:
            self._open.pop(session.claim.release, None)
            session.close()
            raise BadMessage("there is no open session of this release.")

    def _opened(self, claim: Claim, shares: OpenedShares) -> Opened:
        """The leaf that stands in the log before shares of a result leave."""
        return Opened(
            at=self._books.log.now(),
            release=claim.release,
            receiver=claim.requester,
            opening=shares.opening,
            shares_hash=shares.shares_hash,
        )

    def _record_end(self, release: bytes, *, rounds: int, outcome: str, reason: str) -> None:
        columns = tables.sessions.c
        with self._books.store.write() as write:
            write.lock_release(release)
            ended = tables.sessions.update().where(columns.release == release, columns.state != "ended")
            if not write.connection.execute(ended.values(state="ended", rounds=rounds)).rowcount:
                return
            done = outcome == "done"
            leaf = SessionEnded(
                at=self._books.log.now(),
                release=release,
                outcome="done" if done else "aborted",
                rounds=rounds,
                reason=reason,
            )
            position = self._books.log.append(write, leaf)
            change(write, release, state="ended")
            write.connection.execute(
                tables.sessions.update().where(columns.release == release).values(ended_leaf=position)
            )

    def _ended_leaf(self, caller: bytes, release: bytes) -> int:
        sessions, releases = tables.sessions.c, tables.releases.c
        query = (
            sa.select(sessions.ended_leaf)
            .join(tables.releases, releases.id == sessions.release)
            .where(sessions.release == release, releases.requester == caller)
        )
        with self._books.store.read() as connection:
            leaf = connection.execute(query).scalar()
        if leaf is None:
            raise BadMessage("there is no session of this release.")
        return int(leaf)


def _printable(reason: str) -> str:
    return "".join(c for c in reason if c.isprintable())[:_MOST_REASON]
