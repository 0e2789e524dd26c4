"""``Books``: all that a node writes down, opened together over one store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stead.core.clock import Clock
from stead.core.entropy import Entropy
from stead.node.services.accounts import Accounts
from stead.node.services.cosigner import Cosigner
from stead.node.services.ledger import Ledger
from stead.node.services.log import Identity, Log
from stead.node.services.people import People
from stead.node.services.policy import Policies
from stead.node.services.witnesses import Dial, Witnesses, dial
from stead.node.store import Store


@dataclass(frozen=True)
class Books:
    """The services that keep records, over one store."""

    store: Store
    identity: Identity
    log: Log
    people: People
    accounts: Accounts
    ledger: Ledger
    policies: Policies
    entropy: Entropy
    witnesses: Witnesses
    cosigner: Cosigner


def open_books(
    store: Store, identity: Identity, *, checkpoint: Path, clock: Clock, entropy: Entropy, dial: Dial = dial
) -> Books:
    """Open the books of a node; begins the log of a new one.

    Args:
        store: the node's database.
        identity: the node's name and key.
        checkpoint: the file beside the store that remembers the log's last head.
        clock: the node's time.
        entropy: the node's randomness.
        dial: the way to a witness.

    Raises:
        BadProof: the store is older than the checkpoint, or another one.
        KeyChanged: the store belongs to another node.
        UsageError: seeded entropy in a node that is not for testing.
    """
    log = Log(store, identity, clock=clock, entropy=entropy, checkpoint=checkpoint)
    log.begin()
    accounts = Accounts(store, log)
    people = People(store, log)
    return Books(
        store=store,
        identity=identity,
        log=log,
        people=people,
        accounts=accounts,
        ledger=Ledger(store, accounts, node_name=identity.name),
        policies=Policies(store, log),
        entropy=entropy,
        witnesses=Witnesses(store, log, dial=dial),
        cosigner=Cosigner(store, log, people, identity),
    )
