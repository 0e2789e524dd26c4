"""Small sites for the tests of whole nodes: made-up patients, questions, a training without torch, served nodes."""

import contextlib
import dataclasses
import os
import re
import subprocess
import sys

import numpy as np

from stead.cli.demo.hospitals import Hospital, running
from stead.client.sessions import SessionTerms, SitesChannel
from stead.core import codec
from stead.core.clock import SystemClock
from stead.core.entropy import SystemEntropy
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.core.signed import MemoryReplayGuard, nonce_of, seal, unseal
from stead.learn.fleet import Fleet
from stead.learn.header import Header, model_hash
from stead.learn.site import vector_length
from stead.learn.strategy import FedSGD, ModelState
from stead.node.assembly import open_node
from stead.node.home import Home, Settings
from stead.node.services.policy import Budget, Budgets, Joining, PolicyRules, Rule
from stead.plans.builder import ProgramBuilder
from stead.plans.plan import encode_plan, plan_hash
from stead.plans.program import TensorType
from stead.plans.query import Count, Mean, Query
from stead.plans.training import Encoding, Feature, Optimiser, Privacy, Sampler, Training

NAMES = ("north", "lakeside", "valley")
SIZES = {"north": 130, "lakeside": 100, "valley": 70}
PROJECT = "risk"
COLUMNS = (
    Column("patient", "text"),
    Column("age", "integer", bounds=Bounds(0, 100)),
    Column("marker", "real", bounds=Bounds(0, 1_000_000)),
    Column("code", "integer", bounds=Bounds(0, 1_000_000_000)),
    Column("sex", "category", categories=("F", "M")),
    Column("note", "text"),
    Column("ill", "boolean"),
)
FEATURES = (
    Feature("age", "scaled", 0, 100),
    Feature("marker", "scaled", 0, 1_000_000),
    Feature("sex", "onehot"),
)
WIDTH = 4

RULES = PolicyRules(
    rules=(
        Rule(outlet="answer", decision="allow", epsilon=3.0, reason="small questions"),
        Rule(outlet="answer", decision="ask", reason="a person decides", approvers=("data-office",)),
        Rule(outlet="join", decision="allow", reason="agreed"),
    ),
    budgets=Budgets(Budget(epsilon=200.0), Budget(epsilon=200.0), Budget(epsilon=200.0)),
    joining=Joining(least_sites=2, least_colluders=1),
)


def card(at, *, name="heart", population="", people=(50, 200), columns=COLUMNS):
    """The public card of a site's patients."""
    return DatasetCard(
        name=name, schema=Schema(population or f"heart at {at}", "patient", columns, people, person="patient")
    )


def rows(at, size=None):
    """Made-up patients: columns of plain values."""
    size = SIZES[at] if size is None else size
    generator = np.random.default_rng([7, *at.encode()])
    return {
        "patient": [f"{at}-{number}" for number in range(size)],
        "age": generator.integers(20, 95, size).tolist(),
        "marker": generator.uniform(0, 1_000_000, size).round(2).tolist(),
        "code": generator.integers(0, 1_000_000_000, size).tolist(),
        "sex": generator.choice(["F", "M"], size).tolist(),
        "note": ["" for _ in range(size)],
        "ill": generator.choice([True, False], size).tolist(),
    }


def to_csv(path, columns):
    table = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join("" if value is None else str(value) for value in row) for row in table)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def to_toml(card):
    """A card as its owner writes it."""
    schema = card.schema
    lines = [
        f'name = "{card.name}"',
        "[schema]",
        f'population = "{schema.population}"',
        f'unit = "{schema.unit}"',
        f'person = "{schema.person}"',
        f"people = {list(schema.people)}",
    ]
    for column in schema.columns:
        lines += ["[[schema.columns]]", f'name = "{column.name}"', f'kind = "{column.kind}"']
        lines += [f"bounds = {{low = {column.bounds.low}, high = {column.bounds.high}}}"] if column.bounds else []
        lines += [f"categories = {list(column.categories)}"] if column.categories else []
    return "\n".join(lines) + "\n"


def count_query(*, sigma=40.0, dataset="heart"):
    return Query(dataset, (), ("sex",), (Count("patients"),), (sigma,))


def mean_query(sigmas=(4e6, 40.0), *, column="age", dataset="heart"):
    return Query(dataset, (), (), (Mean("mean", column),), sigmas)


def linear_gradient(width=WIDTH, *, trap=None):
    """The gradient of half the squared error of a linear model of one example, as encoded Program.

    ``trap`` wraps x: a function of the builder and x that gives what is used in its place.
    """
    b = ProgramBuilder()
    w = b.input("w", "parameter", TensorType("float32", (width,)))
    x = b.input("x", "x", TensorType("float32", (width,)))
    y = b.input("y", "y", TensorType("int64", ()))
    used = x if trap is None else trap(b, x)
    error = b.add("sub", b.sum(b.add("mul", w, used), (0,), keep=False), b.cast(y, "float32"))
    loss = b.add("mul", b.like(error, 0.5), b.add("mul", error, error))
    return codec.encode(b.build({"loss": loss, "d_w": b.add("mul", error, used)}))


def training(*, sites=3, rounds=2, gradient=None, ring_bits=32, sigma=20.0, **changes):
    """A private training of a linear model on four features."""
    fields = {
        "dataset": "heart",
        "gradient": gradient or linear_gradient(),
        "encoding": Encoding(features=FEATURES, target="ill", task="classification"),
        "sampler": Sampler(rate=1.0),
        "rounds": rounds,
        "ring_bits": ring_bits,
        "privacy": Privacy(clip=1.0, lattice=2.0**-10, sigma=sigma, colluders=1, sites=sites, steps=rounds),
    }
    return Training(**fields | changes)


@dataclasses.dataclass
class Shown:
    """A strategy whose sums somebody looks at."""

    strategy: FedSGD
    on_total: object

    def plan_round(self, state):
        return self.strategy.plan_round(state)

    def fold(self, state, total):
        self.on_total(total.copy())
        return self.strategy.fold(state, total)


@dataclasses.dataclass
class Run:
    """A session that a test drives."""

    plan: object
    header: Header
    channel: SitesChannel

    def ask(self):
        """The sum of a joint question."""
        return Fleet(self.channel, clock=SystemClock()).ask(self.header)

    def train(self, people, *, on_round=lambda _: None, on_total=lambda _: None):
        """All rounds, from a model of zeros; ``on_total`` is shown the sums."""
        strategy = Shown(FedSGD.of(self.plan, people, Optimiser("sgd", 0.5)), on_total)
        start = ModelState.start([np.zeros(self.header.length, dtype=np.float32)])
        return Fleet(self.channel, clock=SystemClock()).train(self.header, strategy, start, on_round=on_round)


def session(sites, plan, *, release=None, why="a test", weights=WIDTH, **changes):
    """A session of a plan over these client sites (``client.site.Site``); nothing is sent yet."""
    encoded = encode_plan(plan)
    terms = SessionTerms(release or os.urandom(16), encoded, "join", why)
    first = bytes(4 * weights) if isinstance(plan, Training) else b""
    fields = {
        "release": terms.release,
        "plan_hash": plan_hash(encoded),
        "cohort": tuple((site.name, site.node_key) for site in sites),
        "length": vector_length(plan) if isinstance(plan, Training) else 0,
        "ring_bits": 32 if isinstance(plan, Training) else 64,
        "rounds": plan.rounds if isinstance(plan, Training) else 1,
        "colluders": 1,
        "model_hash": model_hash(first),
        "outlet": "join",
        "minimum": len(sites),
    }
    header = Header(**fields | changes)
    return Run(plan, header, SitesChannel(sites, terms, header.to_bytes()))


class Post:
    """Sealed messages by hand: what a scientist, or somebody who is none, can put on the wire to one node."""

    def __init__(self, send, node_key, key, clock):
        self.send, self.node_key, self.key, self.clock = send, node_key, key, clock

    def seal(self, message, **changes):
        words = {"key": self.key, "recipient": self.node_key, "clock": self.clock, "entropy": SystemEntropy()}
        return seal(message, **words | changes)

    def ask(self, message, **changes):
        """The opened reply to a message."""
        sealed = self.seal(message, **changes)
        return self.open(self.send(sealed), sealed)

    def open(self, reply, sealed):
        return unseal(
            reply,
            recipient=self.key,
            known=lambda sender: sender == self.node_key,
            replay=MemoryReplayGuard(self.clock),
            clock=self.clock,
            reply_to=nonce_of(sealed),
        ).message


def found(directory, name, scientist, *, columns=None, described=None):
    """A node's home with rows and one scientist, and the process that can serve it."""
    home = Home.create(directory / name, Settings(name=name, port=0, threads=1), SystemEntropy())
    file = to_csv(directory / f"{name}.csv", columns or rows(name))
    with owner(home) as node:
        node.registry.add(file, described or card(name))
        node.books.policies.set(RULES)
        node.books.people.enrol(scientist, "ines", role="scientist", project=PROJECT)
    file.unlink()
    return Hospital(name, home)


@contextlib.contextmanager
def owner(home):
    """The node opened by its owner, who may do so while it serves."""
    node = open_node(home)
    try:
        yield node
    finally:
        node.close()


@contextlib.contextmanager
def serving(directory, scientist, names=NAMES):
    """Real nodes in processes of their own, who know one another; all down at the end."""
    nodes = [found(directory, name, scientist) for name in names]
    for one in nodes:
        with owner(one.home) as opened:
            for other in nodes:
                if other is not one:
                    opened.books.people.enrol(other.key, other.name, role="site")
    with running(nodes):
        yield dict(zip(names, nodes, strict=True))


def command(*words, **environment):
    """``stead`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "stead.cli.main", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def every_byte(directory, *, but=()):
    """The contents of every file below a directory, but for those below the named directories."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not any(part in path.relative_to(directory).parts for part in but):
            found[str(path.relative_to(directory))] = path.read_bytes()
    return found


def texts_of(error):
    """Everything that an error says, with all that hangs on it."""
    seen, waiting = [], [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        waiting += [one.__cause__, one.__context__]
    parts = [text for one in seen for text in (str(one), repr(one), repr(one.args), repr(vars(one)))]
    return re.sub(r"\s+", " ", " ".join(parts))
