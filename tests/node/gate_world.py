"""A node's books and gate around a fake plan language and a fake runner, for the tests of the gate.

The language's prices and the runner's integers are fixed by hand, so that what the gate charges and releases can be
worked out without it.
"""

import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stead.core import codec
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.core.messages import AskAnswer, OpenSession
from stead.core.schema import Column, DatasetCard, Schema
from stead.errors import UsageError
from stead.learn.header import Header
from stead.node.services.appraisal import Appraiser, Language
from stead.node.services.books import Books, open_books
from stead.node.services.gate import ReleaseGate
from stead.node.services.log import Identity
from stead.node.services.policy import Budget, Budgets, Joining, PolicyRules, Rule
from stead.node.services.requests import Requests
from stead.node.services.session import Sessions
from stead.node.store import open_store
from stead.plans.exact import Exact
from stead.plans.price import Price
from stead.plans.query import Count, Query
from stead.plans.training import Training
from stead.privacy.events import DiscreteGaussian
from stead.privacy.mechanisms import GaussianMechanism

NODE_KEY = Key.from_bytes(b"n" * 32)
ALICE, MALLORY = Key.from_bytes(b"a" * 32).public.raw, Key.from_bytes(b"m" * 32).public.raw
NORTH, SOUTH = Key.from_bytes(b"N" * 32).public.raw, Key.from_bytes(b"S" * 32).public.raw
SCHEMA = Schema(
    population="heart patients", unit="patient", columns=(Column(name="smoker", kind="boolean"),), people=(10, 1000)
)
CARD = DatasetCard(name="heart", schema=SCHEMA)
EXACT = 4242  # what the fake runner counts: a canary that must never leave without noise

# One order, so that what an account can pay is one division.
ORDERS = (24,)
WIDE = Budget(epsilon=1e6, orders=ORDERS, reserve=0.0)  # all of delta, so that it is one logarithm
FREE = PolicyRules(
    rules=(
        Rule(outlet="answer", decision="allow", reason="free"),
        Rule(outlet="join", decision="allow", reason="free"),
        Rule(outlet="disclose", decision="allow", reason="agreed", approvers=("Dr. Owner",)),
    ),
    budgets=Budgets(population=WIDE, project=WIDE, scientist=WIDE),
    joining=Joining(least_sites=3, least_colluders=1),
)


class StillClock:
    """A clock that stands until it is moved."""

    def __init__(self, now=1_800_000_000.0):
        self.time = now

    def now(self):
        return self.time


class FakeRunner:
    """Counts how often rows were touched."""

    def __init__(self, *, participant=None, exact=EXACT):
        self.runs = 0
        self.participations = 0
        self._participant = participant
        self._exact = exact

    def run(self, query, dataset):
        self.runs += 1
        return Exact(np.array([self._exact], dtype=np.int64))

    def participate(self, appraisal):
        self.participations += 1
        return self._participant(appraisal)


class UnreadableRows:
    """A runner whose rows cannot be read: whoever decides by looking at them fails."""

    def run(self, query, dataset):
        raise AssertionError("rows were touched")

    def participate(self, appraisal):
        raise AssertionError("rows were touched")


class EchoParticipant:
    """Answers a round with one vector of zeros; a first frame (the roster) with a short word."""

    def __init__(self, header):
        self.header = header
        self.rounds_sent = 0
        self.closed = False

    def hello(self):
        return b"hello"

    def on_frame(self, frame):
        if frame == b"roster":
            return b"ready"
        self.rounds_sent += 1
        return bytes(self.header.size_bytes)

    def close(self):
        self.closed = True


def fake_price(plan, schema, *, sites=1, colluders=0):
    """One discrete Gaussian; a training has as many rounds as it says."""
    if isinstance(plan, Training):
        return Price(event=None, flops=10, size_bytes=8, rounds=plan.rounds)
    return Price(event=DiscreteGaussian(sigma=plan.sigmas[0], sensitivity=1.0), flops=1000, size_bytes=8, rounds=1)


def fake_release(query, schema, exact, entropy):
    """The one integer with a discrete Gaussian, as ``stead.plans.exact.release`` would."""
    return codec.encode(GaussianMechanism(query.sigmas[0]).add(exact.vector, entropy).astype("<i8").tobytes())


FAKE_LANGUAGE = Language(
    decode=lambda data: codec.decode(data, Query | Training),
    hash=lambda data: codec.digest("stead.plan", data),
    price=fake_price,
    release=fake_release,
)


def card(name):
    if name != CARD.name:
        raise UsageError(f"there is no dataset {name!r}.")
    return CARD


@dataclass
class World:
    """A node, opened."""

    books: Books
    gate: ReleaseGate
    appraiser: Appraiser
    sessions: Sessions
    requests: Requests

    def close(self):
        self.books.store.close()

    def leaves(self, kind):
        """The log's leaves of one kind, with their places."""
        bodies = [body for body, _, _ in self.books.log.leaves()]
        decoded = [codec.decode(body, leaf_union()) for body in bodies]
        return [(place, leaf) for place, leaf in enumerate(decoded) if isinstance(leaf, kind)]


def leaf_union():
    from stead.core.leaves import Leaf

    return Leaf


def open_world(url, directory, *, runner=None, at=lambda _: None, rules=None, clock=None, language=FAKE_LANGUAGE):
    """Open (or make) the node over this store; ``rules`` are set when given."""
    books = open_books(
        open_store(url),
        Identity(name="North Hospital", key=NODE_KEY),
        checkpoint=Path(directory) / "checkpoint.txt",
        clock=clock or StillClock(),
        entropy=SystemEntropy(),
    )
    appraiser = Appraiser(books, language, card=card)
    sessions = Sessions(books)
    gate = ReleaseGate(
        books,
        appraiser=appraiser,
        language=language,
        runner=runner or FakeRunner(participant=lambda appraisal: EchoParticipant(appraisal.header)),
        sessions=sessions,
        at=at,
    )
    if rules is not None:
        books.policies.set(rules)
    return World(books, gate, appraiser, sessions, Requests(books))


def new_world(url, directory, *, rules=FREE, **options):
    """A new node with Alice enrolled as a scientist, and two peer sites."""
    world = open_world(url, directory, rules=rules, **options)
    world.books.people.enrol(ALICE, "Alice", role="scientist", project="risk")
    world.books.people.enrol(NORTH, "north", role="site")
    world.books.people.enrol(SOUTH, "south", role="site")
    return world


def plan(sigma=1000.0, *, dataset="heart", name="patients"):
    """The bytes of a counting query."""
    query = Query(dataset=dataset, steps=(), group_by=(), aggregates=(Count(name=name),), sigmas=(sigma,))
    return codec.encode(query)


_numbers = itertools.count()


def release_id(*parts):
    """16 bytes made from ``parts``; from a counter without any."""
    text = repr(parts or ("release", next(_numbers)))
    return hashlib.sha256(text.encode()).digest()[:16]


def ask(release=None, *, sigma=1000.0, project="risk", why="Table 1", data=None):
    return AskAnswer(release=release or release_id(), project=project, plan=data or plan(sigma), why=why)


def opening(release=None, *, outlet="join", rounds=1, cohort=None, colluders=1, data=None, length=4):
    """A request to join a session; the node itself, north and south by default."""
    release = release or release_id()
    data = data or plan()
    if cohort is None:
        cohort = (("here", NODE_KEY.public.raw), ("north", NORTH), ("south", SOUTH))
    header = Header(
        release=release,
        plan_hash=FAKE_LANGUAGE.hash(data),
        cohort=cohort,
        length=length,
        ring_bits=64,
        rounds=rounds,
        colluders=colluders,
        model_hash=bytes(32),
        outlet=outlet,
        minimum=len(cohort),
    )
    return OpenSession(
        release=release, project="risk", plan=data, header=header.to_bytes(), outlet=outlet, why="Table 2"
    )


def decode_body(body):
    """The integers of a released answer."""
    return np.frombuffer(codec.decode(body, bytes), dtype="<i8")
