"""A small node for these tests: it speaks the real messages, signs real replies and keeps a real log.

It has no policy and no ledger of its own: a test says what it decides (``node.decision``). What it computes comes from
the reference meaning of a query, so answers can be compared with plain NumPy.
"""

import hashlib
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from stead.client.site import Scientist
from stead.client.stead import attach
from stead.core import messages
from stead.core.codec import encode
from stead.core.entropy import SeededEntropy
from stead.core.export import LeafRow, LogHead, export_lines
from stead.core.failures import to_failure
from stead.core.keys import Key
from stead.core.leaves import AccountSet, Charge, Charged, NodeMade, ResultStored, SessionEnded
from stead.core.merkle import MemoryNodes, MerkleLog, leaf_hash
from stead.core.notes import Checkpoint, log_origin, sign_checkpoint
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.core.signed import MemoryReplayGuard, open_envelope, seal, unseal
from stead.errors import PolicyDenied, SteadError
from stead.learn.gradients import Examples
from stead.learn.header import admit
from stead.learn.site import QuerySite, Seat, TrainingSite
from stead.net.certificates import make_identity
from stead.plans.analysis import parts
from stead.plans.engine import NumpyEngine
from stead.plans.exact import release
from stead.plans.features import encode_rows
from stead.plans.joining import joined_rows, joined_schema
from stead.plans.plan import decode_plan, plan_hash
from stead.plans.price import price
from stead.plans.query import Query
from stead.plans.sums import run_exact
from stead.privacy import reserve
from stead.privacy.accounts import Target, epsilon_spent
from stead.privacy.slack import slack

TARGET = Target(8.0, 1e-6)


class TickingClock:
    """Moves on by a millisecond each time it is looked at."""

    def __init__(self):
        self.time = 1_800_000_000.0

    def now(self):
        self.time += 0.001
        return self.time


def heart_schema(least=400, most=600):
    return Schema(
        population="heart patients",
        unit="patient",
        people=(least, most),
        columns=(
            Column("age", "integer", bounds=Bounds(18, 100), unit="years"),
            Column("sex", "category", categories=("F", "M")),
            Column("pressure", "real", bounds=Bounds(60, 220), unit="mmHg", missing_rate=0.1),
            Column("disease", "boolean"),
            Column("note", "text"),
        ),
    )


def heart_rows(rows, seed):
    generator = np.random.default_rng(seed)
    age = generator.integers(18, 101, rows).astype(float)
    pressure = np.clip(generator.normal(100 + age / 2, 15), 60, 220)
    disease = generator.random(rows) < 1 / (1 + np.exp(-(age - 60) / 6))
    pressure[generator.random(rows) < 0.1] = np.nan
    return {
        "age": age,
        "sex": np.where(generator.random(rows) < 0.4, "F", "M").astype(object),
        "pressure": pressure,
        "disease": disease.astype(object),
        "note": np.full(rows, "canary-7781", dtype=object),
    }


@dataclass
class Node:
    """One node in this process; ``post`` and ``get`` make it its own transport."""

    name: str
    rows: dict
    schema: Schema
    clock: TickingClock
    entropy: SeededEntropy
    decision: str = "allow"
    reason: str = ""
    approvers: tuple = ()
    enrolled: set = field(default_factory=set)
    heard: list = field(default_factory=list)
    answers: dict = field(default_factory=dict)
    sessions: dict = field(default_factory=dict)
    spent: tuple = (0,) * len(TARGET.orders)
    disclosures: int = 0
    lose_replies: int = 0
    others: dict = field(default_factory=dict)

    def __post_init__(self):
        self.key = Key.generate(self.entropy)
        self.replay = MemoryReplayGuard(self.clock)
        self.leaves = []
        self.tree = MerkleLog(MemoryNodes())
        self.log(NodeMade(at=self.clock.now(), name=self.name, key=self.key.public.raw, testing=True))
        account = AccountSet(at=self.clock.now(), account="project/risk", epsilon=8.0, delta=1e-6, orders=TARGET.orders)
        self.log(account)

    def log(self, leaf):
        body, salt = encode(leaf), self.entropy.take(32)
        self.leaves.append((body, salt, leaf_hash(salt, body)))
        return self.tree.append(self.leaves[-1][2])

    def checkpoint(self, size=None):
        size = self.tree.size if size is None else size
        head = Checkpoint(log_origin(self.key.public.raw), size, self.tree.root(size))
        return sign_checkpoint(head, self.key)

    def receipt(self, index):
        body, salt, _ = self.leaves[index]
        proof = self.tree.inclusion(index)
        return messages.Receipt(body, salt, index, proof, self.checkpoint(), self.key.public.raw)

    def export(self, *, full):
        head = LogHead(self.name, self.key.public.raw, self.checkpoint(), full)
        rows = (LeafRow(i, hashed, salt, body) for i, (body, salt, hashed) in enumerate(self.leaves))
        return b"".join(export_lines(head, rows))

    def get(self, path):
        url = urlsplit(path)
        if url.path == "/v1/identity":
            return make_identity(self.name, self.key)
        if url.path == "/v1/log/checkpoint":
            return self.checkpoint().encode()
        assert url.path == "/v1/log/consistency"
        old, new = (int(parse_qs(url.query)[name][0]) for name in ("old", "new"))
        return "".join(h.hex() + "\n" for h in self.tree.consistency(old, new)).encode()

    def post(self, path, body):
        assert path == "/v1/messages"
        envelope = open_envelope(body)
        try:
            opened = unseal(
                body, recipient=self.key, known=self.enrolled.__contains__, replay=self.replay, clock=self.clock
            )
            reply = getattr(self, type(opened.message).__name__)(opened.message, opened.sender)
        except SteadError as error:
            reply = to_failure(error)
        if self.lose_replies:
            self.lose_replies -= 1
            from stead.errors import PartyTimedOut

            raise PartyTimedOut("lost on the way back")
        return seal(
            reply,
            key=self.key,
            recipient=envelope.sender,
            clock=self.clock,
            entropy=self.entropy,
            reply_to=envelope.nonce,
        )

    def account(self, spent=None, disclosures=0):
        used = epsilon_spent(TARGET, spent or self.spent)
        return messages.AccountView("project/risk", 8.0, used, 1e-6, self.disclosures + disclosures)

    def ListDatasets(self, message, sender):
        card = DatasetCard(
            "heart", self.schema, purpose="cardiac risk research", contact="data@north.example", licence="research"
        )
        cards = [card, *(DatasetCard(name, schema) for name, (schema, _) in self.others.items())]
        rules = ("counts and means: automatic up to epsilon 0.5",)
        views = tuple(messages.DatasetView(each, (self.account(),), rules) for each in cards)
        return messages.Datasets(self.name, message.project or "risk", views)

    def table(self, name):
        return self.others.get(name, (self.schema, self.rows))

    def asked(self, plan):
        """The schema and the rows that a plan reads."""
        if not isinstance(plan, Query):
            return self.schema, self.rows
        schema, rows = self.table(plan.dataset)
        whole = joined_schema(plan, schema, lambda name: self.table(name)[0])
        return whole, joined_rows(plan, schema, rows, self.table)

    def Preview(self, message, sender):
        plan = decode_plan(message.plan)
        event = price(plan, self.asked(plan)[0], sites=message.sites, colluders=message.colluders).event
        cost = reserve.price(event, TARGET.orders).amounts if event else (0,) * len(TARGET.orders)
        alone = epsilon_spent(Target(8.0, 1e-6 - slack(event)), cost) if event else float("inf")
        after = tuple(a + b for a, b in zip(self.spent, cost, strict=True))
        return messages.Quote(
            epsilon=alone,
            delta=1e-6,
            accounts=(self.account(),),
            accounts_after=(self.account(after, disclosures=int(event is None)),),
            decision=self.decision,
            reason=self.reason,
            approvers=self.approvers,
            flops=1,
            size_bytes=1,
            rounds=1,
        )

    def charge(self, message, sender, outlet, *, sites=1, colluders=0):
        plan = decode_plan(message.plan)
        event = price(plan, self.asked(plan)[0], sites=sites, colluders=colluders).event
        charges = ()
        if event is None:
            self.disclosures += 1
        else:
            cost = reserve.price(event, TARGET.orders).amounts
            self.spent = tuple(a + b for a, b in zip(self.spent, cost, strict=True))
            charges = (Charge("project/risk", cost),)
        return self.log(
            Charged(
                at=self.clock.now(),
                release=message.release,
                requester=sender,
                project=message.project,
                dataset=plan.dataset,
                plan_hash=plan_hash(message.plan),
                outlet=outlet,
                why=message.why,
                event=encode(event) if event else b"",
                charges=charges,
                approvers=(),
            )
        )

    def waits(self):
        if self.decision == "deny":
            raise PolicyDenied(self.reason)
        return self.decision == "ask"

    def AskAnswer(self, message, sender):
        self.heard.append(message)
        if message.release not in self.answers:
            if self.waits():
                return messages.Waiting("7f3a-22c1", self.approvers, self.reason)
            self.charge(message, sender, "answer")
            query = decode_plan(message.plan)
            schema, rows = self.asked(query)
            body = release(query, schema, run_exact(query, schema, rows), self.entropy)
            stored = ResultStored(
                at=self.clock.now(), release=message.release, result_hash=hashlib.sha256(body).digest()
            )
            self.answers[message.release] = (body, self.log(stored))
        body, index = self.answers[message.release]
        return messages.Released(message.release, body, self.receipt(index))

    def OpenSession(self, message, sender):
        self.heard.append(message)
        if message.release not in self.sessions:
            if self.waits():
                return messages.Waiting("7f3a-22c1", self.approvers, self.reason)
            header = admit(
                message.header,
                own_key=self.key.public.raw,
                release=message.release,
                plan_hash=plan_hash(message.plan),
                outlet=message.outlet,
                enrolled=lambda _: True,
            )
            plan = decode_plan(message.plan)
            colluders = header.colluders
            index = self.charge(message, sender, message.outlet, sites=len(header.cohort), colluders=colluders)
            self.sessions[message.release] = (self.participant(header, plan), index)
        site, index = self.sessions[message.release]
        return messages.SessionOpened(message.release, site.hello(), self.receipt(index))

    def participant(self, header, plan):
        seat = Seat(header, self.key, self.entropy)
        if isinstance(plan, Query):
            schema, rows = self.asked(plan)
            lengths = tuple(part.size for part in parts(plan, schema))
            return QuerySite(seat, run_exact(plan, schema, rows).vector, sigmas=plan.sigmas, lengths=lengths)
        x, y = encode_rows(plan.encoding, self.schema, self.rows)
        examples = Examples(x, y, np.arange(len(x)))
        return TrainingSite(seat, plan, engine=NumpyEngine(), examples=examples, rows_at_most=self.schema.people[1])

    def SessionFrame(self, message, sender):
        site, _ = self.sessions[message.release]
        return messages.SessionFrame(message.release, site.on_frame(message.frame))

    def CloseSession(self, message, sender):
        site, _ = self.sessions[message.release]
        site.close()
        outcome = "aborted" if message.reason else "done"
        ended = SessionEnded(
            at=self.clock.now(),
            release=message.release,
            outcome=outcome,
            rounds=site.rounds_sent,
            reason=message.reason,
        )
        return messages.SessionClosed(message.release, self.receipt(self.log(ended)))


def visits_schema(rows_per_person=3):
    return Schema(
        population="heart patients",
        unit="patient",
        people=(300, 500),
        person="pid",
        rows_per_person=rows_per_person,
        columns=(
            Column("pid", "text"),
            Column("age", "integer", bounds=Bounds(18, 100), unit="years"),
            Column("sex", "category", categories=("F", "M")),
            Column("weight", "real", bounds=Bounds(35, 150), unit="kg", missing_rate=0.1),
            Column("height", "real", bounds=Bounds(1.2, 2.2), unit="m"),
            Column("admitted", "date", bounds=Bounds(16436, 20088)),
            Column("left", "date", bounds=Bounds(16436, 20454)),
            Column("diagnosis", "text"),
            Column("ill", "boolean", missing_rate=0.05),
        ),
    )


def visits_rows(rows, seed):
    generator = np.random.default_rng(seed)
    people = generator.integers(0, rows // 2, rows)
    age = generator.integers(18, 101, rows).astype(float)
    height = generator.normal(1.7, 0.1, rows).clip(1.2, 2.2)
    weight = (24 * height**2 + generator.normal(0, 8, rows)).clip(35, 150)
    weight[generator.random(rows) < 0.1] = np.nan
    admitted = generator.integers(16436, 20089, rows).astype(float)
    ill = (generator.random(rows) < 1 / (1 + np.exp(-(age - 60) / 10))).astype(object)
    ill[generator.random(rows) < 0.05] = None
    return {
        "pid": np.array([f"p{who}" for who in people], dtype=object),
        "age": age,
        "sex": np.where(generator.random(rows) < 0.4, "F", "M").astype(object),
        "weight": weight,
        "height": height,
        "admitted": admitted,
        "left": admitted + generator.integers(0, 366, rows),
        "diagnosis": generator.choice(["I21.0", "I21.4", "I50", "J18"], rows, p=[0.4, 0.3, 0.25, 0.05]).astype(object),
        "ill": ill,
    }


def lab_schema():
    return Schema(
        population="heart patients",
        unit="patient",
        people=(300, 500),
        person="who",
        rows_per_person=2,
        columns=(
            Column("who", "text"),
            Column("ldl", "real", bounds=Bounds(0, 10), unit="mmol/l"),
            Column("age", "integer", bounds=Bounds(0, 120)),
        ),
    )


def lab_rows(rows, seed):
    generator = np.random.default_rng(seed)
    return {
        "who": np.array([f"p{who}" for who in generator.integers(0, rows, rows)], dtype=object),
        "ldl": generator.uniform(0, 10, rows),
        "age": generator.integers(0, 121, rows).astype(float),
    }


@pytest.fixture
def clock():
    return TickingClock()


@pytest.fixture
def scientist(tmp_path, clock):
    entropy = SeededEntropy(1)
    naps = []
    found = Scientist(Key.generate(entropy), tmp_path / "home", entropy, clock, naps.append)
    object.__setattr__(found, "naps", naps)
    return found


@pytest.fixture
def make_node(clock, scientist):
    """Make a node that has enrolled the scientist."""

    def make(name="North Hospital", *, rows=500, seed=7, least=400, most=600):
        node = Node(name, heart_rows(rows, seed), heart_schema(least, most), clock, SeededEntropy(seed))
        node.enrolled.add(scientist.key.public.raw)
        return node

    return make


@pytest.fixture
def node(make_node):
    return make_node()


@pytest.fixture
def clinic(make_node, scientist):
    """A node with dates, texts, several rows of a person, and a second dataset of the same people."""
    node = make_node("Clinic", seed=21)
    node.others = {"visits": (visits_schema(), visits_rows(800, 5)), "lab": (lab_schema(), lab_rows(300, 6))}
    return node, attach(node, scientist, url="local://clinic", project="risk")


@pytest.fixture
def clinics(make_node, scientist):
    """Three nodes, each with visits and laboratory values of its own patients."""
    nodes, sites = [], []
    for seed, name in enumerate(("North", "South", "East")):
        node = make_node(name, seed=40 + seed)
        node.others = {"visits": (visits_schema(), visits_rows(600, seed)), "lab": (lab_schema(), lab_rows(300, seed))}
        nodes.append(node)
        sites.append(attach(node, scientist, url=f"local://{name}", project="risk"))
    return nodes, sites


@pytest.fixture
def visits(clinic):
    return clinic[1]["visits"]


@pytest.fixture
def north(node, scientist):
    return attach(node, scientist, url="local://north", project="risk")


@pytest.fixture
def heart(north):
    return north["heart"]


@pytest.fixture
def three(make_node, scientist):
    """Three nodes of different sizes, and their datasets."""
    nodes = [
        make_node("North", rows=400, seed=11, least=300, most=600),
        make_node("South", rows=700, seed=12, least=500, most=900),
        make_node("East", rows=300, seed=13, least=200, most=400),
    ]
    sites = [attach(n, scientist, url=f"local://{n.name}", project="risk")["heart"] for n in nodes]
    return nodes, sites
