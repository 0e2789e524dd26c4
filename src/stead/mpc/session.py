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
from stead.mpc.inputs import (
    Outline,
    as_secret,
    check_program,
    enter,
    enter_all,
    entered,
    kind_of,
    kind_of_value,
    opened,
    outline,
    output_types,
    place_of,
    value_of,
)
from stead.mpc.local import NAMES
from stead.mpc.local import Kind as Protocols
from stead.mpc.operands import shareable
from stead.mpc.party import Party, agree
from stead.mpc.profile import Profile, StepRecord, Timer
from stead.mpc.protocol import Protocol
from stead.mpc.shares import RingArray
from stead.mpc.training import Schedule, SharesTraining, batches
from stead.mpc.values import Array, Value, is_secret
from stead.net.local import local_mesh
from stead.plans.program import Program

Job: TypeAlias = Callable[[Protocol], Any]

_GRACE_S = 2.0


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
        dtype: npt.DTypeLike | None = None,
    ) -> SecretArray:
        """Enter the owner's array.

        Args:
            values: at the owner.
            owner: the name of the party whose it is.
            shape: at the others, where there are no values.
            dtype: the same at all parties; real numbers (float64) where left out.

        Raises:
            UsageError: the owner is none of the parties, has no values or others than shape and dtype say; another has
                no shape.
        """
        place = place_of(self.parties, owner)
        mine = place == self._place
        if (values is None) if mine else (shape is None and values is None):
            raise UsageError(
                f"{owner!r} gives values=, the other parties give shape=; this is {self.parties[self._place]!r}.",
                hint=f'at {owner}: share(values, owner="{owner}"); elsewhere: share(owner="{owner}", shape=(4,))',
            )
        size, kind = outline(values, shape, dtype)
        ring = entered(values, kind) if mine and values is not None else None
        return self._kept("share", lambda p: enter(p, ring, size, kind, place), size, kind)

    def share_all(
        self,
        arrays: Sequence[npt.ArrayLike] | None = None,
        *,
        owner: str,
        shapes: Sequence[tuple[int, ...]] | None = None,
        dtypes: Sequence[npt.DTypeLike] | None = None,
    ) -> list[SecretArray]:
        """Enter several arrays of one owner in one round: a model's weights, say.

        Args:
            arrays: at the owner.
            owner: the name of the party whose they are.
            shapes: at the others, one for each array.
            dtypes: the same at all parties; real numbers (float64) where left out.

        Raises:
            UsageError: as ``share``; or there is no array.
        """
        place = place_of(self.parties, owner)
        mine = place == self._place
        if (arrays is None) if mine else (shapes is None and arrays is None):
            raise UsageError(
                f"{owner!r} gives arrays=, the other parties give shapes=; this is {self.parties[self._place]!r}."
            )
        count = len(arrays if arrays is not None else shapes or ())
        stated = [list(given) if given is not None else [None] * count for given in (arrays, shapes, dtypes)]
        if any(len(given) != count for given in stated):
            raise UsageError(
                f"{count} arrays, {len(stated[1])} shapes and {len(stated[2])} dtypes: one for each array."
            )
        like = [outline(*each) for each in zip(*stated, strict=True)]
        if not like:
            raise UsageError("share_all() needs an array.")
        rings = [entered(a, kind) for a, (_, kind) in zip(arrays, like, strict=True)] if mine and arrays else None
        return self._all_kept(rings, like, place)

    def _all_kept(self, rings: Sequence[RingArray] | None, like: Sequence[Outline], place: int) -> list[SecretArray]:
        values = self._timed("share", lambda p: enter_all(p, rings, like, place))
        return [SecretArray(self, value, *outline) for value, outline in zip(values, like, strict=True)]

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function on arrays of this session; the same at every party."""
        if not callable(function):
            raise UsageError(f"call() takes a function and its arguments; got {type(function).__name__}.")
        return function(*arguments)

    def train(
        self,
        program: Program,
        weights: Sequence[SecretArray | Array],
        x: SecretArray | Array,
        y: SecretArray | Array,
        schedule: Schedule | None = None,
    ) -> list[SecretArray]:
        """Train a model; see ``SharesTraining``, also for its cost and for what all parties learn.

        Args:
            program: the gradient of one example (``adapters.torch.trace_gradient``).
            weights: to start from, in the order of the Program's parameters; secret or public.
            x: all examples, along the first axis; secret or public.
            y: their targets, likewise.
            schedule: epochs, batch, learning rate.

        Returns:
            The trained weights, secret. Opened they tell something of the rows.
        """
        check_program(program)
        how, values = schedule or Schedule(), [value_of(weight) for weight in weights]
        examples, targets = value_of(x), value_of(y)
        if not examples.shape:
            raise UsageError("x has all examples along its first axis; got one number.")
        training = SharesTraining(self.protocol, program, how.optimiser, bounds=how.bounds)
        rows = batches(examples.shape[0], how.batch, how.epochs, seed=how.seed)
        found = self._untimed(lambda _p: training.train(values, examples, targets, rows))
        self.profile += training.profile
        return [SecretArray(self, value, value.shape, "float64") for value in found]

    def run(
        self, program: Program, inputs: Sequence[SecretArray | Array], way: Way | None = None
    ) -> list[SecretArray | Array]:
        """Run a Program; see ``SharesEngine.run_as``. An output made from public values alone is a NumPy array."""
        check_program(program)
        if way is not None and not isinstance(way, Way):
            raise UsageError(
                f"the way of running is a Way; got {type(way).__name__}.", hint="Way(ranges=..., examples=1)"
            )
        engine = SharesEngine(self.protocol, timer=self._timer)
        found = engine.run_as(program, [value_of(value) for value in inputs], way or Way())
        self.profile += engine.profile
        return [
            SecretArray(self, value, value.shape, kind_of_value(value, dtype))
            if is_secret(value)
            else np.asarray(value)
            for value, dtype in zip(found, output_types(program, way), strict=True)
        ]

    def apply(self, name: str, work: Callable[..., Value], inputs: Sequence[SecretArray | Array]) -> object:
        """Run ``work(p, *values)``; for ``SecretArray``."""
        given = [held(value) if isinstance(value, SecretArray) else value for value in inputs]
        return self._timed(name, lambda p: as_secret(p, work(p, *given)))

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
        found = self._untimed(work)
        spent, seconds = traffic(p).since(before), self._timer() - start
        shape = tuple(getattr(found, "shape", ()))
        record = StepRecord(name, -1, shape, seconds, spent.rounds, spent.total_sent_bytes, spent.total_received_bytes)
        self.profile += Profile((record,))
        return found

    def _untimed(self, work: Job) -> Any:
        with np.errstate(over="ignore"):  # NumPy warns of a single number that wraps, which is what the ring does
            return work(self.protocol)

    @property
    def _place(self) -> int:
        return self.protocol.party.place

    def __repr__(self) -> str:
        return f"PartySession({self.protocol.facts.name}, {self.parties[self.protocol.party.place]!r})"

    def __reduce__(self) -> NoReturn:
        raise UsageError("a session cannot be pickled or copied: it is one party's side.", hint="open another one")


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
        if not isinstance(protocol, str) or protocol not in NAMES:
            raise UsageError(f"{protocol!r} is no protocol.", hint=f"there are: {', '.join(sorted(NAMES))}")
        names = (parties,) if isinstance(parties, str) else tuple(parties) or NAMES[protocol]
        texts = all(isinstance(name, str) and name for name in names)
        if not texts or len(names) != len(NAMES[protocol]) or len(set(names)) != len(names):
            raise UsageError(
                f"{protocol!r} with parties {list(names)}: it has {len(NAMES[protocol])}, each with a name of its own.",
                hint=f'local_session("{protocol}", parties={list(NAMES[protocol])})',
            )
        if not isinstance(threads, int) or threads < 1:
            raise UsageError(f"threads= is a whole number from 1 on; got {threads!r}.")
        self.parties, self.kind = names, protocol
        self._ended = ""
        self._one_at_a_time = threading.Lock()
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
        place, given = place_of(self.parties, name), shareable(values)
        kind, shape = kind_of(given), given.shape
        ring = entered(given, kind)

        def give(session: PartySession) -> SecretArray:
            mine = ring if session.protocol.party.place == place else None
            return session._kept("share", lambda p: enter(p, mine, shape, kind, place), shape, kind)  # noqa: SLF001 - one thing

        return cast("SecretArray", _joined(self, self._each(give)))

    def share_all(self, arrays: Sequence[npt.ArrayLike], *, owner: str = "") -> list[SecretArray]:
        """Enter several arrays of one owner in one round; see ``share``."""
        if isinstance(arrays, (np.ndarray, SecretArray, str)) or not isinstance(arrays, Sequence) or not arrays:
            raise UsageError(
                f"share_all() takes a list of arrays; got {type(arrays).__name__}.", hint="share(array) enters one"
            )
        place = place_of(self.parties, owner or self.parties[min(1, len(self.parties) - 1)])
        given = [shareable(values) for values in arrays]
        like: list[Outline] = [(values.shape, kind_of(values)) for values in given]
        rings = [entered(values, kind) for values, (_, kind) in zip(given, like, strict=True)]

        def give(session: PartySession) -> list[SecretArray]:
            mine = rings if session.protocol.party.place == place else None
            return session._all_kept(mine, like, place)  # noqa: SLF001 - one thing

        return list(_joined(self, self._each(give)))

    def train(
        self,
        program: Program,
        weights: Sequence[SecretArray | Array],
        x: SecretArray | Array,
        y: SecretArray | Array,
        schedule: Schedule | None = None,
    ) -> list[SecretArray]:
        """Train at every party; see ``PartySession.train``."""
        places = self._placed([list(weights), x, y])

        def train(session: PartySession) -> list[SecretArray]:
            own = places[session.protocol.party.place]
            return session.train(program, own[0], own[1], own[2], schedule)

        return list(_joined(self, self._each(train)))

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function at every party, on its own shares; secret arrays go in, in lists and dicts too, and come out.

        Raises:
            SteadError: what the function raised at a party; unless it raised the same at all, the session has ended.
        """
        places = self._placed(arguments)
        return _joined(self, self._each(lambda s: s.call(function, *places[s.protocol.party.place])))

    def run(
        self, program: Program, inputs: Sequence[SecretArray | Array], way: Way | None = None
    ) -> list[SecretArray | Array]:
        """Run a Program at every party; see ``PartySession.run``."""
        places = self._placed(inputs)
        return list(_joined(self, self._each(lambda s: s.run(program, places[s.protocol.party.place], way))))

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
        return [[_at(self, place, value) for value in arguments] for place in range(len(self._sessions))]

    def _each(self, job: Callable[[PartySession], Any]) -> list[Any]:
        if threading.current_thread() in self._workers:
            raise UsageError(
                "a function of call() uses an array of the whole session, and runs at one party.",
                hint="hand the array to call() as an argument: session.call(function, a, b)",
            )
        with self._one_at_a_time:
            if self._ended:
                raise UsageError(f"the session has ended: {self._ended}.", hint="open another one")
            for jobs in self._jobs:
                jobs.put(job)
            try:
                return self._gather()
            except KeyboardInterrupt:  # replies to come would be taken for those of the next job
                self._ended = "it was interrupted"
                for channel in self._channels:
                    channel.abort(self._ended)
                self._stop()
                raise

    def _gather(self) -> list[Any]:
        replies: dict[int, _Reply] = {}
        while len(replies) < len(self.parties):
            failed = [reply for reply in replies.values() if reply.error is not None]
            try:
                reply = self._replies.get(timeout=_GRACE_S if failed else None)
            except queue.Empty:  # the others wait for a party that will not come
                for one in failed:
                    self._channels[one.place].abort(type(one.error).__name__)
                continue
            replies[reply.place] = reply
        errors = [reply.error for reply in replies.values() if reply.error is not None]
        if errors:
            self._raise(errors)
        return [replies[place].result for place in range(len(self.parties))]

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
        raise UsageError("a session cannot be pickled or copied: it is one party's side.", hint="open another one")


def _at(whole: LocalSession, place: int, value: Any) -> Any:
    """An argument as one party has it; lists, tuples and dicts are looked into."""
    if isinstance(value, SecretArray):
        if value.session is not whole:
            raise UsageError(
                "the array belongs to another session.", hint="share all of them in one session, then compute"
            )
        own = whole._sessions[place]  # noqa: SLF001 - one thing
        return SecretArray(own, held(value)[place], value.shape, cast("Kind", value.dtype.name))
    if type(value) in (list, tuple):
        return type(value)(_at(whole, place, one) for one in value)
    if type(value) is dict:
        return {name: _at(whole, place, one) for name, one in value.items()}
    return value


def _joined(whole: LocalSession, results: Sequence[Any]) -> Any:
    """The parties' results as one: secret arrays of all, containers likewise, else the first that there is.

    Raises:
        UsageError: a secret array stands where other parties gave something else.
    """
    first = results[0]
    if not any(map(_holds_secrets, results)):
        return next((one for one in results if one is not None), None)
    alike = all(type(one) is type(first) for one in results)
    if alike and isinstance(first, SecretArray) and len({one.shape for one in results}) == 1:
        return SecretArray(whole, tuple(held(one) for one in results), first.shape, cast("Kind", first.dtype.name))
    if alike and type(first) in (list, tuple) and len({len(one) for one in results}) == 1:
        return type(first)(_joined(whole, column) for column in zip(*results, strict=True))
    if alike and isinstance(first, dict) and all(one.keys() == first.keys() for one in results):
        return {name: _joined(whole, [one[name] for one in results]) for name in first}
    raise UsageError(
        "the function gave a SecretArray at some parties where others gave something else.",
        hint="it must do the same at all parties; only what reveal() gives differs among them",
    )


def _holds_secrets(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_secrets, value.values()))
    if type(value) in (list, tuple):
        return any(map(_holds_secrets, value))
    return isinstance(value, SecretArray)


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
