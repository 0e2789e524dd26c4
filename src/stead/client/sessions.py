"""``SitesChannel``: a joint session over signed messages, each site in its own thread; and what a run needs of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from stead.client.receipt import Receipt
from stead.client.site import Site
from stead.core.leaves import Charged, Helping, SessionEnded
from stead.core.messages import CloseSession, OpenSession, SessionClosed, SessionFrame, SessionOpened, Waiting
from stead.errors import BadMessage, BadProof, PartyTimedOut, SteadError, UsageError
from stead.learn.header import Header
from stead.learn.secure_sum import SiteChannel
from stead.plans.plan import plan_hash

T = TypeVar("T")

HeaderFor = Callable[[tuple[tuple[str, bytes], ...]], Header]
"""The header of a session, given its cohort: each site's name and identity key."""

LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True)
class SessionTerms:
    """What every site is asked to take part in.

    Attributes:
        release: 16 random bytes, the session's name at every site.
        plan: the encoded plan.
        outlet: ``join`` (priced) or ``disclose`` (without differential privacy).
        why: its purpose, for the owners' logs.
    """

    release: bytes
    plan: bytes
    outlet: Literal["join", "disclose"]
    why: str


class RunChannel(SiteChannel, Protocol):
    """What a ``TrainingRun`` needs of the way to its sites, which may be mock ones in this process.

    Cost: each exchange is one request to each site.

    Security: see the implementation.
    """

    @property
    def waiting(self) -> Mapping[str, Waiting]:
        """The sites where a person still has to decide."""
        ...

    @property
    def opened(self) -> Mapping[str, Receipt]:
        """Each charged site's proof that it logged the beginning."""
        ...

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """All proofs so far."""
        ...

    @property
    def doubts(self) -> Sequence[SteadError]:
        """What went wrong while the session was closed."""
        ...

    @property
    def size_bytes(self) -> int:
        """Frames to and from all sites so far."""
        ...

    def prepare(self) -> Mapping[str, Waiting]:
        """Ask the sites that have not agreed yet to take part; returns those where a person has to decide."""
        ...

    def wait(self, timeout_s: float, *, pause_s: float = 2.0) -> bool:
        """Ask again until all sites take part, or the time is over; returns whether all do."""
        ...


class SitesChannel:
    """A ``learn`` channel to sites over signed messages.

    Args:
        sites: in the cohort's order.
        terms: what they are asked to take part in.
        header: the session's canonical header.
        ask_first: names of sites where a person decides; they are asked before the others are charged.
        helpers: names of sites that enter nothing: they join whatever the others' outlet is, and are charged nothing.

    Cost: each exchange is one request to each site, at the same time.

    Security: messages are signed by both sides; what travels inside is protected by the session itself.
    """

    def __init__(
        self,
        sites: Sequence[Site],
        terms: SessionTerms,
        header: bytes,
        *,
        ask_first: Iterable[str] = (),
        helpers: Iterable[str] = (),
    ) -> None:
        self._sites = {site.name: site for site in sites}
        if len(self._sites) != len(sites):
            raise UsageError("two of the sites have the same name.")
        self._terms = terms
        self._header = header
        self._ask_first = frozenset(ask_first)
        self._helpers = frozenset(helpers)
        self._hellos: dict[str, bytes] = {}
        self._closed = False
        self.waiting: dict[str, Waiting] = {}
        self.opened: dict[str, Receipt] = {}
        self.ended: dict[str, Receipt] = {}
        self.doubts: list[SteadError] = []
        self.size_bytes = 0

    @property
    def peers(self) -> tuple[str, ...]:
        """The sites' names, in order."""
        return tuple(self._sites)

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """Each site's proof that it logged the beginning, then each one's that it logged the end."""
        return (*self.opened.values(), *self.ended.values())

    def prepare(self) -> Mapping[str, Waiting]:
        """Ask the sites that have not agreed yet to take part.

        Returns:
            The sites where a person still has to decide; empty when all take part.

        Raises:
            Refused: a site does not; those that had agreed are told that the session is over.
        """
        try:
            missing = [name for name in self._sites if name not in self._hellos]
            first = [name for name in missing if name in self._ask_first]
            self.waiting = self._open(first)
            if not self.waiting:
                self.waiting = self._open([name for name in missing if name not in self._ask_first])
        except BaseException:
            self.close("a site does not take part")
            raise
        return self.waiting

    def open(self, header: bytes) -> dict[str, bytes]:
        """The sites' first frames, once ``prepare`` has brought all of them in.

        Raises:
            BadMessage: another header than the one the sites were asked about.
            PartyTimedOut: a person still has to decide at some site.
        """
        if header != self._header:
            raise BadMessage("the sites were asked about another session header.")
        if len(self._hellos) < len(self._sites) and self.prepare():
            raise PartyTimedOut(f"{', '.join(self.waiting)} has not decided yet.", hint="use .wait()")
        return {name: self._hellos[name] for name in self._sites}

    def wait(self, timeout_s: float, *, pause_s: float = 2.0) -> bool:
        """Ask again until all sites take part, or the time is over.

        Returns:
            Whether all take part.
        """
        waited_s = 0.0
        sleep = next(iter(self._sites.values())).scientist.sleep
        while self.prepare():
            if waited_s >= timeout_s:
                return False
            nap_s = min(pause_s, timeout_s - waited_s)
            sleep(nap_s)
            waited_s += nap_s
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        return True

    @property
    def hellos(self) -> Mapping[str, bytes]:
        """The first frames of the sites that take part."""
        return {name: self._hellos[name] for name in self._sites if name in self._hellos}

    def exchange(self, outgoing: dict[str, bytes]) -> dict[str, bytes]:
        """Send each named site its frame; returns their replies."""

        def one(name: str) -> bytes:
            message = SessionFrame(release=self._terms.release, frame=outgoing[name])
            # A frame is never sent twice: the site has moved on once it has seen it.
            return self._sites[name].ask(message, SessionFrame, attempts=1).frame

        replies = self._at_once(one, list(outgoing))
        self.size_bytes += sum(map(len, outgoing.values())) + sum(map(len, replies.values()))
        return replies

    def close(self, reason: str) -> None:
        """Tell every site that takes part that no frame will follow. Raises nothing; see ``doubts``."""
        if self._closed:
            return
        self._closed = True

        def one(name: str) -> None:
            site = self._sites[name]
            try:
                message = CloseSession(release=self._terms.release, reason=reason)
                receipt = site.receipt(site.ask(message, SessionClosed).receipt)
                leaf = receipt.verify()
                if not isinstance(leaf, SessionEnded) or leaf.release != self._terms.release:
                    raise BadProof(f"the closing receipt of {name} proves something else.")
                self.ended[name] = receipt
            except SteadError as error:
                self.doubts.append(error)

        self._at_once(one, list(self._hellos))

    def _open(self, names: Sequence[str]) -> dict[str, Waiting]:
        terms = self._terms

        def one(name: str) -> SessionOpened | Waiting:
            site = self._sites[name]
            message = OpenSession(
                release=terms.release,
                project=site.project,
                plan=terms.plan,
                header=self._header,
                outlet="join" if name in self._helpers else terms.outlet,
                why=terms.why,
            )
            reply = site.ask_or_wait(message, SessionOpened)
            if isinstance(reply, SessionOpened):
                self._hellos[name] = reply.frame
                self.opened[name] = self._checked(name, reply)
            return reply

        replies = self._at_once(one, names)
        self.size_bytes += len(self._header) * len(names)
        return {name: reply for name, reply in replies.items() if isinstance(reply, Waiting)}

    def _checked(self, name: str, reply: SessionOpened) -> Receipt:
        receipt = self._sites[name].receipt(reply.receipt)
        leaf = receipt.verify()
        terms = self._terms
        hashed = plan_hash(terms.plan)
        if name in self._helpers:
            charged = isinstance(leaf, Helping) and (leaf.release, leaf.plan_hash) == (terms.release, hashed)
        else:
            charged = isinstance(leaf, Charged) and (leaf.release, leaf.plan_hash, leaf.outlet) == (
                terms.release,
                hashed,
                terms.outlet,
            )
        if not charged or reply.release != terms.release:
            raise BadProof(f"the receipt of {name} proves another session than the one it opened.")
        return receipt

    def _at_once(self, one: Callable[[str], T], names: Sequence[str]) -> dict[str, T]:
        """Call ``one`` for each name at the same time; raise the first error after all have ended."""
        if not names:
            return {}
        with ThreadPoolExecutor(max_workers=len(names)) as pool:
            futures = {name: pool.submit(one, name) for name in names}
        return {name: future.result() for name, future in futures.items()}
