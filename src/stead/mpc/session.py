"""Sessions: where secret arrays live. ``LocalSession`` has all parties in this process, ``PartySession`` is one.

::

    with local_session("masked") as session:
        x = session.share(heights, owner="p1")
        y = session.share(weights, owner="p2")
        print(np.mean(x * y).reveal(to="p1"))
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from stead.core.entropy import Entropy, SystemEntropy
from stead.errors import PartyError, SteadError, UsageError
from stead.mpc.array import SecretArray, held
from stead.mpc.dispatch import Kind
from stead.mpc.engine import SharesEngine, Way, traffic
from stead.mpc.fixed import FRACTION, Secret, decode, encode
from stead.mpc.graph import graph_of
from stead.mpc.local import NAMES
from stead.mpc.local import Kind as Protocols
from stead.mpc.party import Party, agree
from stead.mpc.profile import Profile, StepRecord, Timer
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Bits, RingArray
from stead.mpc.values import Array, Value, is_secret, numbers
from stead.net.local import local_mesh
from stead.plans.program import Program

Job: TypeAlias = Callable[[Protocol], Any]

_GRACE_S = 2.0


def kind_of(values: npt.ArrayLike) -> Kind:
    """The kind of secret array that holds such values.

    Raises:
        UsageError: they are neither numbers nor truths.
    """
    code = np.asarray(values).dtype.kind
    kinds: dict[str, Kind] = {"f": "float64", "i": "int64", "u": "int64", "b": "bool"}
    if code not in kinds:
        raise UsageError(f"an array of dtype {np.asarray(values).dtype} cannot be shared: numbers or truths can.")
    return kinds[code]


def entered(values: npt.ArrayLike, kind: Kind) -> RingArray:
    """An owner's values as ring elements."""
    array = np.asarray(values)
    if kind == "float64":
        return encode(array)
    return array.astype(np.int64).view(np.uint64)


def enter(p: Protocol, ring: RingArray | None, shape: tuple[int, ...], kind: Kind, owner: int) -> Value:
    """An owner's input as a value; ``ring`` is read at the owner only."""
    share = p.share(ring, shape, owner)
    if kind == "bool":
        return p.invert(p.zero(share))
    return Secret(share, FRACTION if kind == "float64" else 0)


def opened(p: Protocol, value: Value, kind: Kind, to: Sequence[int] | None) -> Array | None:
    """A value for those places; ``None`` at the others."""
    if not is_secret(value):
        return np.asarray(value)
    x = numbers(p, value)
    found = p.reveal(x.share, to)
    if found is None:
        return None
    ring = found.reshape(x.shape)
    if kind == "float64":
        return decode(ring, x.scale)
    whole = (ring.view(np.int64) >> np.int64(x.scale)) if x.scale else ring.view(np.int64)
    return whole.astype(np.bool_) if kind == "bool" else np.array(whole)


def _kind_of_value(value: Value, dtype: str) -> Kind:
    if isinstance(value, Bits):
        return "bool"
    return "int64" if dtype in {"int64", "bool"} else "float64"


class PartySession:
    """A session at one party: every party runs the same lines on its own side, in the same order.

    Args:
        protocol: this party's side.
        timer: for the profile.
    """

    def __init__(self, protocol: Protocol, *, timer: Timer = time.perf_counter) -> None:
        self.protocol = protocol
        self.profile = Profile()
        self._timer = timer

    @property
    def parties(self) -> tuple[str, ...]:
        """All parties' names."""
        return self.protocol.party.names

    def share(
        self,
        values: npt.ArrayLike | None = None,
        *,
        owner: str,
        shape: tuple[int, ...] | None = None,
        dtype: npt.DTypeLike = np.float64,
    ) -> SecretArray:
        """Enter the owner's array.

        Args:
            values: at the owner.
            owner: the name of the party whose it is.
            shape: at the others, where there are no values.
            dtype: likewise.

        Raises:
            UsageError: the owner is none of the parties, has no values, or another has no shape.
        """
        place = place_of(self.parties, owner)
        mine = place == self.protocol.party.place
        if (values is None) if mine else (shape is None and values is None):
            raise UsageError(f"{owner!r} gives values=, the other parties give shape=.")
        kind = kind_of(values) if values is not None else kind_of(np.zeros((), dtype=dtype))
        size = tuple(shape) if shape is not None else np.asarray(values).shape
        ring = entered(values, kind) if mine and values is not None else None
        return self._kept("share", lambda p: enter(p, ring, size, kind, place), size, kind)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function on arrays of this session; the same at every party."""
        return function(*arguments)

    def run(
        self, program: Program, inputs: Sequence[SecretArray | Array], way: Way | None = None
    ) -> list[SecretArray | Array]:
        """Run a Program; see ``SharesEngine.run_as``. An output made from public values alone is a NumPy array."""
        engine = SharesEngine(self.protocol, timer=self._timer)
        given = [cast("Value", held(value)) if isinstance(value, SecretArray) else value for value in inputs]
        found = engine.run_as(program, given, way or Way())
        self.profile += engine.profile
        return [
            SecretArray(self, value, value.shape, _kind_of_value(value, dtype))
            if is_secret(value)
            else np.asarray(value)
            for value, dtype in zip(found, output_types(program, way), strict=True)
        ]

    def apply(self, name: str, work: Callable[..., Value], inputs: Sequence[SecretArray | Array]) -> object:
        """Run ``work(p, *values)``; for ``SecretArray``."""
        given = [held(value) if isinstance(value, SecretArray) else value for value in inputs]
        return self._timed(name, lambda p: _as_secret(p, work(p, *given)))

    def opened(self, array: SecretArray, to: Sequence[str] | None) -> Array | None:
        """Open an array; for ``SecretArray``."""
        places = None if to is None else [place_of(self.parties, name) for name in to]
        kind = cast("Kind", array.dtype.name)
        return cast("Array | None", self._timed("reveal", lambda p: opened(p, held(array), kind, places)))

    def _kept(self, name: str, work: Job, shape: tuple[int, ...], kind: Kind) -> SecretArray:
        return SecretArray(self, self._timed(name, work), shape, kind)

    def _timed(self, name: str, work: Job) -> Any:
        p = self.protocol
        before, start = traffic(p), self._timer()
        with np.errstate(over="ignore"):  # NumPy warns of a single number that wraps, which is what the ring does
            found = work(p)
        spent, seconds = traffic(p).since(before), self._timer() - start
        shape = tuple(getattr(found, "shape", ()))
        record = StepRecord(name, -1, shape, seconds, spent.rounds, spent.total_sent_bytes, spent.total_received_bytes)
        self.profile += Profile((record,))
        return found

    def __repr__(self) -> str:
        return f"PartySession({self.protocol.facts.name}, {self.parties[self.protocol.party.place]!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session cannot be pickled")


def _as_secret(p: Protocol, value: Value) -> Value:
    """A result that happens to be public, entered as such: what follows need not tell it apart."""
    if is_secret(value):
        return value
    array = np.asarray(value)
    return numbers(p, array.astype(np.int64) if array.dtype == np.bool_ else array)


def output_types(program: Program, way: Way | None) -> list[str]:
    """The dtypes of the outputs that are wanted."""
    graph = graph_of(program, None if way is None else way.outputs)
    return [graph.types[value].dtype for value in graph.outputs]


def place_of(names: Sequence[str], name: str) -> int:
    """The place of a party.

    Raises:
        UsageError: it is none of them.
    """
    if name not in names:
        raise UsageError(f"{name!r} is none of the parties {', '.join(names)}.")
    return list(names).index(name)


@dataclass(frozen=True)
class _Reply:
    place: int
    result: Any = None
    error: BaseException | None = None


class LocalSession:
    """All parties in this process, each in a thread of its own; what is called runs at all of them at once.

    Security:
        None against this process, which sees every share: for notebooks, tests and simulations. Real parties run
        ``PartySession``, each in its own process.

    Args:
        protocol: ``masked``, ``replicated`` or ``cleartext``.
        parties: their names by place; left out: p0, p1, p2. In ``masked`` the first prepares and the others compute.
        entropy: the operating system's unless a test gives a seeded one.
        threads: for each party's ring products.
    """

    def __init__(
        self,
        protocol: Protocols = "masked",
        *,
        parties: Sequence[str] = (),
        entropy: Entropy | None = None,
        threads: int = 1,
    ) -> None:
        names = tuple(parties) or NAMES.get(protocol, ())
        if protocol not in NAMES or len(names) != len(NAMES[protocol]) or len(set(names)) != len(names):
            raise UsageError(f"{protocol!r} with parties {list(names)}: cleartext has 1, replicated and masked have 3.")
        self.parties, self.kind = names, protocol
        self._ended = ""
        mesh = local_mesh(names if len(names) > 1 else (*names, "nobody"))
        self._channels = [mesh[name] for name in names]
        self._jobs: list[queue.SimpleQueue[Callable[[PartySession], Any] | None]] = [queue.SimpleQueue() for _ in names]
        self._replies: queue.SimpleQueue[_Reply] = queue.SimpleQueue()
        source = entropy or SystemEntropy()
        self._workers = [
            threading.Thread(
                target=self._work,
                args=(place, Party(place, names, channel, source, threads)),
                name=f"stead-party-{name}",
                daemon=True,
            )
            for place, (name, channel) in enumerate(zip(names, self._channels, strict=True))
        ]
        for worker in self._workers:
            worker.start()
        self._sessions = cast("list[PartySession]", self._gather())

    @property
    def profile(self) -> Profile:
        """Of one party that computes: every step so far."""
        return self._sessions[min(1, len(self.parties) - 1)].profile

    def share(self, values: npt.ArrayLike, *, owner: str = "") -> SecretArray:
        """Enter an array; its owner is the party that knows it, the second if none is named."""
        name = owner or self.parties[min(1, len(self.parties) - 1)]
        place, kind, shape = place_of(self.parties, name), kind_of(values), np.shape(values)
        ring = entered(values, kind)

        def give(session: PartySession) -> SecretArray:
            mine = ring if session.protocol.party.place == place else None
            return session._kept("share", lambda p: enter(p, mine, shape, kind, place), shape, kind)  # noqa: SLF001 - one thing

        return cast("SecretArray", self._joined(self._each(give)))

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function at every party, on its own shares; secret arrays go in and come out.

        Raises:
            SteadError: what the function raised at a party; unless it raised the same at all, the session has ended.
        """
        places = self._placed(arguments)
        return self._joined(self._each(lambda s: function(*places[s.protocol.party.place])))

    def run(
        self, program: Program, inputs: Sequence[SecretArray | Array], way: Way | None = None
    ) -> list[SecretArray | Array]:
        """Run a Program at every party; see ``PartySession.run``."""
        places = self._placed(inputs)
        return list(self._joined(self._each(lambda s: s.run(program, places[s.protocol.party.place], way))))

    def apply(self, name: str, work: Callable[..., Value], inputs: Sequence[SecretArray | Array]) -> object:
        """Run ``work(p, *values)`` at every party; for ``SecretArray``."""
        places = self._placed(inputs)
        return tuple(self._each(lambda s: s.apply(name, work, places[s.protocol.party.place])))

    def opened(self, array: SecretArray, to: Sequence[str] | None) -> Array | None:
        """Open an array; for ``SecretArray``. The values come here, as all parties are here."""
        for name in to or ():
            place_of(self.parties, name)
        places = self._placed([array])
        found = self._each(lambda s: s.opened(places[s.protocol.party.place][0], to))
        return next((values for values in found if values is not None), None)

    def _placed(self, arguments: Sequence[Any]) -> list[list[Any]]:
        """The arguments as each party has them."""
        every = []
        for place, session in enumerate(self._sessions):
            row = []
            for value in arguments:
                if isinstance(value, SecretArray):
                    if value.session is not self:
                        raise UsageError("the array belongs to another session.")
                    row.append(SecretArray(session, held(value)[place], value.shape, cast("Kind", value.dtype.name)))
                else:
                    row.append(value)
            every.append(row)
        return every

    def _joined(self, results: Sequence[Any]) -> Any:
        """The parties' results as one: secret arrays of all, containers likewise, else the first that there is."""
        first = results[0]
        if isinstance(first, SecretArray):
            return SecretArray(self, tuple(held(one) for one in results), first.shape, cast("Kind", first.dtype.name))
        if isinstance(first, (list, tuple)):
            return type(first)(self._joined(column) for column in zip(*results, strict=True))
        if isinstance(first, dict):
            return {name: self._joined([one[name] for one in results]) for name in first}
        return next((one for one in results if one is not None), None)

    def _each(self, job: Callable[[PartySession], Any]) -> list[Any]:
        if self._ended:
            raise UsageError(f"the session has ended: {self._ended}.", hint="open another one")
        for jobs in self._jobs:
            jobs.put(job)
        return self._gather()

    def _gather(self) -> list[Any]:
        replies: dict[int, _Reply] = {}
        while len(replies) < len(self.parties):
            failed = [reply for reply in replies.values() if reply.error is not None]
            try:
                reply = self._replies.get(timeout=_GRACE_S if failed else None)
            except queue.Empty:  # the others wait for a party that will not come
                self._abort(failed)
                continue
            replies[reply.place] = reply
        errors = [reply.error for reply in replies.values() if reply.error is not None]
        if errors:
            self._raise(errors)
        return [replies[place].result for place in range(len(self.parties))]

    def _abort(self, failed: Sequence[_Reply]) -> None:
        for reply in failed:
            self._channels[reply.place].abort(type(reply.error).__name__)

    def _raise(self, errors: Sequence[BaseException]) -> NoReturn:
        causes = [error for error in errors if not isinstance(error, PartyError)] or list(errors)
        if len(causes) < len(self.parties) or not all(isinstance(error, UsageError) for error in causes):
            self._ended = f"a party failed with {type(causes[0]).__name__}"
            self._stop()
        raise causes[0]

    def _work(self, place: int, party: Party) -> None:
        jobs = self._jobs[place]
        try:
            session = PartySession(_side(self.kind, party))
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            party.channel.abort(type(error).__name__)
            self._replies.put(_Reply(place, error=error))
            return
        self._replies.put(_Reply(place, session))
        while (job := jobs.get()) is not None:
            try:
                self._replies.put(_Reply(place, job(session)))
            except UsageError as error:  # most often the same at all parties, before anything was sent
                self._replies.put(_Reply(place, error=error))
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                party.channel.abort(str(error) if isinstance(error, SteadError) else type(error).__name__)
                self._replies.put(_Reply(place, error=error))

    def close(self) -> None:
        """End the session; its arrays cannot be used any more."""
        if not self._ended:
            self._ended = "it was closed"
            self._stop()

    def _stop(self) -> None:
        for jobs in self._jobs:
            jobs.put(None)
        for worker in self._workers:
            worker.join(timeout=_GRACE_S)
        for channel in self._channels:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LocalSession({self.kind!r}, parties={list(self.parties)}{', ended' if self._ended else ''})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session cannot be pickled")


def _side(kind: Protocols, party: Party) -> Protocol:
    """One party's side of a protocol, in a session without an end."""
    if kind == "cleartext":
        from stead.mpc.protocols.cleartext.protocol import Cleartext

        return Cleartext(party)
    if kind == "replicated":
        from stead.mpc.protocols.replicated.protocol import Replicated

        streams = agree(party.place, party.names, party.channel, party.entropy)
        return Replicated(Party(party.place, party.names, party.channel, party.entropy, party.threads, streams))
    from stead.mpc.protocols.masked.preparation import along, receive
    from stead.mpc.protocols.masked.protocol import Masked

    if party.place == 0:
        return along(party)
    return Masked(party, receive(party))


def local_session(protocol: Protocols = "masked", *, parties: Sequence[str] = (), threads: int = 1) -> LocalSession:
    """A session with all parties in this process: for notebooks, tests and simulations; see ``LocalSession``."""
    return LocalSession(protocol, parties=parties, threads=threads)
