"""A node's books with a long history, written in batches: every entry, leaf and hash is where a real charge puts it.

A few real questions are admitted first. Their entries and leaves are copied under new release ids with other amounts
(no two alike, so that nothing gains by remembering them), each followed by the leaf of its result and by the leaf of a
refusal: three entries and three leaves for a question. ``Ledger.verify`` and ``Log.verify`` pass on what comes out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from stead.core import codec, leaves
from stead.core.clock import SystemClock
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.core.merkle import SALT_BYTES, MerkleLog, leaf_hash
from stead.core.schema import Column, DatasetCard, Schema
from stead.node.services.admission import Admission
from stead.node.services.appraisal import Appraiser, language
from stead.node.services.books import Books, open_books
from stead.node.services.log import Identity, StoredNodes
from stead.node.services.policy import Budget, Budgets, PolicyRules, Rule
from stead.node.services.releases import Claim
from stead.node.store import open_store, plain, tables
from stead.plans.query import Count, Query

SCIENTISTS, PROJECTS = 32, 8
QUESTIONS_PER_BATCH = 4000
CARD = DatasetCard(
    name="heart",
    schema=Schema(
        population="heart patients", unit="patient", columns=(Column(name="smoker", kind="boolean"),), people=(10, 1000)
    ),
)
# Wide enough for a million questions: what is measured is a charge that is allowed.
WIDE = Budget(epsilon=1e6)


@dataclass(frozen=True)
class World:
    """The books of a node, and what admits questions to them."""

    books: Books
    appraiser: Appraiser
    admission: Admission
    scientists: tuple[bytes, ...]

    def claim(self, asker: int, sigma: float = 1000.0) -> Claim:
        """A new counting question of one of the scientists."""
        query = Query(dataset="heart", steps=(), group_by=(), aggregates=(Count(name="patients"),), sigmas=(sigma,))
        key = self.scientists[asker % SCIENTISTS]
        return Claim(os.urandom(16), key, f"risk-{asker % PROJECTS}", "answer", codec.encode(query), "Table 1")


class Edge:
    """A node store that keeps two hashes a level, all that appending reads, and hands new ones on for writing."""

    def __init__(self, stored: StoredNodes) -> None:
        self._stored = stored
        self._last: dict[int, dict[int, bytes]] = {}
        self.new: list[dict[str, Any]] = []

    def get(self, level: int, index: int) -> bytes:
        """The hash that was put there, here or before."""
        return self._last.get(level, {}).get(index) or self._stored.get(level, index)

    def put(self, level: int, index: int, node_hash: bytes) -> None:
        """Keep a hash, and forget the one before the last."""
        held = self._last.setdefault(level, {})
        held.pop(index - 2, None)
        held[index] = node_hash
        self.new.append({"level": level, "position": index, "hash": node_hash})


def open_world(url: str, directory: Path) -> World:
    """A new node in this database, with its scientists enrolled, who have asked one question each."""
    books = open_books(
        open_store(url),
        Identity(name="North Hospital", key=Key.generate(SystemEntropy())),
        checkpoint=directory / "checkpoint.txt",
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    free = (Rule(outlet="answer", decision="allow", reason="free"),)
    books.policies.set(PolicyRules(rules=free, budgets=Budgets(population=WIDE, project=WIDE, scientist=WIDE)))
    keys = tuple(Key.generate(SystemEntropy()).public.raw for _ in range(SCIENTISTS))
    for number, key in enumerate(keys):
        books.people.enrol(key, f"scientist-{number}", role="scientist", project=f"risk-{number % PROJECTS}")
    appraiser = Appraiser(books, language(), card=lambda _: CARD)
    world = World(books, appraiser, Admission(books, appraiser, at=lambda _: None), keys)
    for asker in range(SCIENTISTS):
        world.admission.admit(world.claim(asker))
    return world


def lengthen(world: World, entries: int) -> None:
    """Add questions until the ledger has at least so many entries."""
    store = world.books.store
    with store.read() as connection:
        models = [_model(connection, row) for row in connection.execute(sa.select(tables.releases)).mappings()]
        held = connection.execute(sa.select(sa.func.count()).select_from(tables.entries)).scalar_one()
    each = len(models[0].entries)
    questions = -(-(entries - held) // each)
    for start in range(0, questions, QUESTIONS_PER_BATCH):
        _write(world, models, range(start, min(start + QUESTIONS_PER_BATCH, questions)))
    if store.engine.dialect.name == "postgresql":
        with store.write() as write:  # what the server's own upkeep does within a minute of such a load
            write.connection.exec_driver_sql("ANALYZE")
    world.books.log.begin()


@dataclass(frozen=True)
class _Model:
    """A question that was admitted, to be copied."""

    release: dict[str, Any]
    entries: tuple[dict[str, Any], ...]
    leaf: leaves.Charged


def _model(connection: sa.Connection, release: sa.RowMapping) -> _Model:
    found = connection.execute(sa.select(tables.entries).where(tables.entries.c.release == release["id"])).mappings()
    entries = tuple({name: value for name, value in row.items() if name != "id"} for row in found)
    query = sa.select(tables.leaves.c.body).where(tables.leaves.c.position == release["charged_leaf"])
    leaf = codec.decode(bytes(connection.execute(query).scalar_one()), leaves.Charged)
    return _Model(plain(release), entries, leaf)


def _write(world: World, models: list[_Model], numbers: range) -> None:
    """One batch of questions, in one transaction."""
    with world.books.store.write() as write:
        connection = write.connection
        accounts = {row["id"]: list(row["spent"]) for row in connection.execute(sa.select(tables.accounts)).mappings()}
        size = write.lock_head()
        edge = Edge(StoredNodes(connection))
        tree = MerkleLog(edge, size)
        releases, entries, kept = [], [], []

        def append(body: bytes) -> int:
            salt = os.urandom(SALT_BYTES)
            hashed = leaf_hash(salt, body)
            kept.append({"position": tree.size, "body": body, "salt": salt, "hash": hashed})
            return tree.append(hashed)

        for number in numbers:
            model, release = models[number % len(models)], os.urandom(16)
            paid = [
                row | {"release": release, "amounts": tuple(amount + number for amount in row["amounts"])}
                for row in model.entries
            ]
            for row in paid:
                accounts[row["account"]] = [
                    a + b for a, b in zip(accounts[row["account"]], row["amounts"], strict=True)
                ]
            charged, *others = _leaves(model, release, number, append)
            row = {"id": release, "state": "stored", "result": bytes(9), "charged_leaf": charged}
            releases.append(model.release | row | {"result_leaf": others[0]})
            entries += paid
        for table, rows in (
            (tables.releases, releases),
            (tables.entries, entries),
            (tables.leaves, kept),
            (tables.log_nodes, edge.new),
        ):
            connection.execute(table.insert(), rows)
        for account, spent in accounts.items():
            where = tables.accounts.c.id == account
            connection.execute(tables.accounts.update().where(where).values(spent=tuple(spent)))
        connection.execute(tables.log_head.update().values(size=tree.size))


def _leaves(model: _Model, release: bytes, number: int, append: Any) -> Iterator[int]:
    """Append a question's three leaves: charged, stored, and another's refusal."""
    charges = tuple(
        msgspec.structs.replace(charge, amounts=tuple(amount + number for amount in charge.amounts))
        for charge in model.leaf.charges
    )
    charged = msgspec.structs.replace(model.leaf, release=release, charges=charges)
    yield append(msgspec.msgpack.encode(charged, order="deterministic"))
    stored = leaves.ResultStored(at=model.leaf.at, release=release, result_hash=os.urandom(32))
    yield append(msgspec.msgpack.encode(stored, order="deterministic"))
    refused = leaves.Refused(
        at=model.leaf.at,
        release=os.urandom(16),
        requester=model.leaf.requester,
        plan_hash=model.leaf.plan_hash,
        outlet="answer",
        error="policy-denied",
        reason="not here",
    )
    yield append(msgspec.msgpack.encode(refused, order="deterministic"))
