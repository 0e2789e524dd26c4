"""Charges straight to the ledger of a world, each with its release and its leaf, for events of every kind."""

import itertools
import os

from gate_world import ALICE, SCHEMA, StillClock, release_id

from stead.core import codec
from stead.core.leaves import Charged
from stead.core.schema import Column, Schema
from stead.errors import BudgetExceeded
from stead.node.services import releases
from stead.node.services.ledger import Bill
from stead.node.services.payers import Limits, payers
from stead.node.store import tables
from stead.privacy.accounts import Target
from stead.privacy.reserve import Reserved

NOW = StillClock().now()
WARDS = Schema(
    population="heart patients",
    unit="patient",
    columns=(Column(name="ward", kind="category", categories=("a", "b", "c")), Column(name="smoker", kind="boolean")),
    people=(10, 1000),
    partition="ward",
)
_numbers = itertools.count()


def limits(*, epsilon=1e6, delta=1e-6, orders=(24,), reserve=0.0, period=None, **kinds):
    """The same promise for every kind of account, but for those that are named."""
    usual = Reserved(Target(epsilon, delta, orders), reserve)
    of = {"population": usual, "project": usual, "scientist": usual} | kinds
    return Limits(of["population"], of["project"], of["scientist"], period)


def bill(event, limits, *, schema=SCHEMA, cells=(), scientist="Alice", project="risk", at=NOW, release=None):
    release = release or release_id("paying", os.getpid(), next(_numbers))
    accounts = payers(schema, limits, project=project, scientist=scientist, at=at, cells=cells)
    return Bill(release=release, event=event, accounts=accounts, limits=limits, what="query")


def release_row(owed, *, at):
    return {
        "id": owed.release, "requester": ALICE, "project": "risk", "dataset": "heart", "outlet": "answer",
        "plan_hash": bytes(32), "plan": b"", "header": b"", "why": "test", "made_at": at, "state": "charged",
        "reason": "", "approvers": (),
    }  # fmt: skip


def pay(world, owed, *, at=NOW):
    """Charge a bill as the gate does: release, accounts and leaf in one transaction."""
    with world.books.store.write() as write:
        write.connection.execute(tables.releases.insert().values(release_row(owed, at=at)))
        charges = world.books.ledger.charge(write, owed, at=at)
        leaf = Charged(
            at=at, release=owed.release, requester=ALICE, project="risk", dataset="heart", plan_hash=bytes(32),
            outlet="answer", why="test", event=codec.encode(owed.event), charges=charges, approvers=(),
        )  # fmt: skip
        place = world.books.log.append(write, leaf)
        releases.change(write, owed.release, charged_leaf=place)
    return charges


def affords(world, owed, *, at=NOW):
    """Whether it was paid."""
    try:
        pay(world, owed, at=at)
    except BudgetExceeded:
        return False
    return True
