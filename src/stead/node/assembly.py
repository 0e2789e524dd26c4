"""``Node``: every part of a node, put together over its home."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stead.core.clock import Clock, SystemClock
from stead.core.entropy import Entropy, SystemEntropy
from stead.node.home import Home
from stead.node.services.appraisal import Appraiser, language
from stead.node.services.books import Books, open_books
from stead.node.services.duck import Limits
from stead.node.services.gate import ReleaseGate
from stead.node.services.log import Identity
from stead.node.services.nonces import StoredReplayGuard
from stead.node.services.reception import Reception
from stead.node.services.registry import Registry
from stead.node.services.requests import Requests
from stead.node.services.runner import TableRunner
from stead.node.services.session import Sessions
from stead.node.services.witnesses import Asked, Dial, dial
from stead.node.store import open_store
from stead.plans.engine import Engine, NumpyEngine
from stead.plans.exact import Sampler


@dataclass(frozen=True)
class Node:
    """A node, opened. The owner's commands use the books, the registry and the requests; post goes to the reception."""

    home: Home
    books: Books
    registry: Registry
    requests: Requests
    appraiser: Appraiser
    sessions: Sessions
    gate: ReleaseGate
    reception: Reception

    def start(self) -> None:
        """What a node does when it begins to serve: end what the last process left open."""
        self.sessions.recover()

    def ask_witnesses(self) -> tuple[Asked, ...]:
        """Ask the witnesses, before anything is served, whether this store is the newest.

        Raises:
            BadProof: a witness holds a head that this node signed and its store does not contain.
            PartyUnreachable: the settings want every witness's answer, and one is missing.
        """
        return self.books.witnesses.check(required=self.home.settings.witness_required)

    def close(self) -> None:
        """Give back files and connections."""
        self.registry.close()
        self.books.store.close()


def open_node(
    home: Home,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    engine: Callable[[], Engine] | None = None,
    dial: Dial = dial,
) -> Node:
    """Open the node in ``home``.

    Args:
        home: its directory.
        clock: the machine's by default.
        entropy: the system's by default; a seeded one is refused unless the node was made for testing.
        engine: makes the engine of trainings; torch where it is installed, else NumPy.
        dial: the way to a witness; HTTPS by default.

    Raises:
        BadProof: the store is older than what has been signed.
        KeyChanged: the store belongs to another node.
        VersionMismatch: the store is of a newer version.
        UsageError: seeded entropy in a node that is not for testing.
    """
    clock = clock or SystemClock()
    entropy = entropy or SystemEntropy()
    settings = home.settings
    store = open_store(home.store_url)
    try:
        identity = Identity(settings.name, home.key, settings.testing)
        books = open_books(store, identity, checkpoint=home.checkpoint, clock=clock, entropy=entropy, dial=dial)
    except BaseException:
        store.close()
        raise
    registry = Registry(
        books,
        home.data,
        limits=Limits(threads=settings.threads, memory_mb=settings.memory_mb),
        person_secret=lambda: home.person_secret(entropy),
    )
    words = language(answer_sampler(settings.sampler))
    appraiser = Appraiser(books, words, card=registry.card)
    sessions = Sessions(books)
    runner = TableRunner(books, registry, engine=engine or training_engine)
    gate = ReleaseGate(books, appraiser=appraiser, language=words, runner=runner, sessions=sessions)
    reception = Reception(
        books,
        gate=gate,
        appraiser=appraiser,
        sessions=sessions,
        registry=registry,
        replay=StoredReplayGuard(store, clock),
        clock=clock,
    )
    return Node(home, books, registry, Requests(books), appraiser, sessions, gate, reception)


def answer_sampler(name: str) -> Sampler | None:
    """Who draws the noise of answers: ``None`` for our own mechanisms, OpenDP's (extra ``opendp``) where it was set.

    Raises:
        MissingExtra: OpenDP is set and not installed.
    """
    if name != "opendp":
        return None
    from stead.adapters.opendp import answer_noise

    return answer_noise()


def training_engine() -> Engine:
    """The fastest engine that is installed: torch (extra ``torch``), else NumPy."""
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        return NumpyEngine()
    from stead.adapters.torch import TorchEngine

    return TorchEngine()
