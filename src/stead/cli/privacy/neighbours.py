"""Two neighbouring tables at real nodes in this process: what whole questions and trainings are audited on.

The one person is the worst whom the declared bounds have to stop: more rows than are used, values far outside the
declared ranges, all of them in one group; and, in a second dataset of the same people, more groups than are used and
texts that nobody else has. Who else is there matters little to noise that does not look at them; what matters is that
the rows are loaded, read, joined, clipped, ranked, summed and released by the code that a hospital runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, final

import msgspec
import numpy as np
from numpy.typing import NDArray

from stead.client.dataset import RemoteDataset
from stead.client.sessions import SessionTerms, SitesChannel
from stead.client.site import Site
from stead.core import messages
from stead.core.clock import SystemClock
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import NodeError, UsageError
from stead.learn.fleet import Fleet
from stead.learn.header import Header, model_hash
from stead.node.services.policy import Budget, Budgets, Ceilings, Joining, PolicyRules
from stead.plans.analysis import parts
from stead.plans.exact import Revealed, read_released
from stead.plans.plan import encode_plan, plan_hash
from stead.plans.query import Query
from stead.testing import OPEN_RULES, LocalNetwork, local_network

WITH: Final = "with"
WITHOUT: Final = "without"
NODES: Final = ("north", "lakeside")
WHY: Final = "an audit of the product itself"
RELEASE_BYTES: Final = 16
ROWS_PER_PERSON: Final = 2
VISITS_PER_PERSON: Final = 12
WARDS: Final = tuple(f"w{number}" for number in range(9))

# Budgets are not what is audited here, so nothing runs out.
_ENDLESS: Final = Budget(epsilon=2.0**21, delta=0.99, reserve=0.9)
RULES: Final = PolicyRules(
    rules=OPEN_RULES.rules,
    budgets=Budgets(_ENDLESS, _ENDLESS, _ENDLESS),
    ceilings=Ceilings(rounds=2**20),
    joining=Joining(least_sites=2, least_colluders=0),
)

COLUMNS: Final = (
    Column("patient", "text"),
    Column("age", "integer", bounds=Bounds(0, 100)),
    Column("dose", "real", bounds=Bounds(-1.0, 3.0)),
    Column("sex", "category", categories=("F", "M")),
    Column("ill", "boolean"),
    Column("rate", "real", bounds=Bounds(0.0, 1.0)),
)
VISIT_COLUMNS: Final = (
    Column("patient", "text"),
    Column("ward", "category", categories=WARDS),
    Column("note", "text"),
    Column("cost", "integer", bounds=Bounds(0, 10)),
)

Rows = Mapping[str, Sequence[Any]]


def schema(name: str) -> Schema:
    """The public description of a table of that name; each is a population of its own."""
    return Schema(f"{name} patients", "patient", COLUMNS, (2, 8), person="patient", rows_per_person=ROWS_PER_PERSON)


def visits(name: str) -> str:
    """The dataset of the visits of the people in the dataset ``name``."""
    return f"{name}-visits"


def visits_schema(name: str) -> Schema:
    """The public description of the visits of the people of ``schema(name)``."""
    return msgspec.structs.replace(schema(name), columns=VISIT_COLUMNS, rows_per_person=VISITS_PER_PERSON)


def rows_of(*, present: bool) -> Rows:
    """Three rows of ordinary patients, and with them or not the one person: five, all extreme, of which two may count.

    The person's ``rate`` is so small that a quotient by it is far outside every range.
    """
    others: dict[str, list[Any]] = {
        "patient": ["a", "b", "b"],
        "age": [40, 55, 56],
        "dose": [0.5, 1.5, None],
        "sex": ["F", "M", "M"],
        "ill": ["true", "false", "false"],
        "rate": [0.5, 1.0, 1.0],
    }
    person = {"patient": "p", "age": 10**9, "dose": "1e300", "sex": "F", "ill": "true", "rate": "1e-9"}
    return {name: values + [person[name]] * (5 if present else 0) for name, values in others.items()}


def visits_of(*, present: bool) -> Rows:
    """Three visits of ordinary patients, and with them or not the one person's: fifteen, of which twelve may count.

    Four of them are in one ward and one in each of the others, so that a bound on wards and a bound on the rows of a
    ward both have something to leave out. The first note is one that others have too, all others are the person's own.
    """
    wards = [*WARDS[:1] * 4, *WARDS[1:], *WARDS[:1] * 3] if present else []
    notes = ["flu", *(f"own {number}" for number in range(1, len(wards)))] if present else []
    return {
        "patient": ["a", "b", "b"] + ["p"] * len(wards),
        "ward": [WARDS[0], WARDS[1], WARDS[1], *wards],
        "note": ["flu", "flu", "cough", *notes],
        "cost": [3, 5, 0] + [10**9] * len(wards),
    }


@final
class Neighbours:
    """Two nodes with two datasets each, ``with`` and ``without``: neighbours at the first node, equal at the second.

    At the first node both have a second dataset of the same people, their ``visits``.

    Args:
        seed: makes the nodes' noise reproducible; ``None`` takes the system's randomness.
    """

    def __init__(self, seed: int | None) -> None:
        self.network: LocalNetwork = local_network(NODES, rules=RULES, seed=seed)
        try:
            for node in NODES:
                for name in (WITH, WITHOUT):
                    rows = rows_of(present=name == WITH and node == NODES[0])
                    self._add(DatasetCard(name, schema(f"{name} at {node}")), rows, node)
            for name in (WITH, WITHOUT):
                card = DatasetCard(visits(name), visits_schema(f"{name} at {NODES[0]}"))
                self._add(card, visits_of(present=name == WITH), NODES[0])
        except BaseException:
            self.close()
            raise

    def _add(self, card: DatasetCard, rows: Rows, node: str) -> None:
        """Add rows; the very same people under two populations would be two budgets for one people."""
        people = [f"{who} {card.schema.population}" for who in rows["patient"]]
        self.network.add(card, {**rows, "patient": people}, at=node)

    def dataset(self, name: str) -> RemoteDataset:
        """``with`` or ``without``, or the visits of one of them, as a scientist has it."""
        return self.network[NODES[0]][name]

    def sites(self, name: str) -> tuple[Site, ...]:
        """Both nodes, to a scientist."""
        return tuple(self.network[node][name].source.site for node in NODES)

    def close(self) -> None:
        """Stop the nodes and remove what they kept."""
        self.network.close()

    def __enter__(self) -> Neighbours:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def released(site: Site, query: Query) -> Revealed:
    """What a node releases for a query, with noise: the flat vector of its parts, and private keys where it has them.

    Raises:
        Refused: the node's rules or budgets do not allow it.
        NodeError: the node asks a person, which a node for testing does not.
    """
    release = site.scientist.entropy.take(RELEASE_BYTES)
    message = messages.AskAnswer(release=release, project=site.project, plan=encode_plan(query), why=WHY)
    reply = site.ask_or_wait(message, messages.Released)
    if not isinstance(reply, messages.Released):
        raise NodeError("a node for testing waits for a person.")
    return read_released(query, reply.body)


@dataclass(frozen=True)
class Joint:
    """A session of both nodes under one plan.

    Attributes:
        sites: in the cohort's order.
        plan: encoded.
        length: of the vector.
        colluders: as the plan says.
    """

    sites: tuple[Site, ...]
    plan: bytes
    length: int
    colluders: int = 0

    def open(self, *, ring_bits: Literal[32, 64] = 64, rounds: int = 1, model: bytes = b"") -> tuple[Header, Fleet]:
        """A fresh session: its header, and the fleet that goes through it."""
        release = self.sites[0].scientist.entropy.take(RELEASE_BYTES)
        header = Header(
            release=release,
            plan_hash=plan_hash(self.plan),
            cohort=tuple((site.name, site.node_key) for site in self.sites),
            length=self.length,
            ring_bits=ring_bits,
            rounds=rounds,
            colluders=self.colluders,
            model_hash=model_hash(model),
            outlet="join",
            minimum=len(self.sites),
        )
        channel = SitesChannel(self.sites, SessionTerms(release, self.plan, "join", WHY), header.to_bytes())
        return header, Fleet(channel, clock=SystemClock())


def released_jointly(sites: tuple[Site, ...], query: Query, asked: Schema) -> NDArray[np.int64]:
    """The integers that both nodes release together for a query, through the masked sum."""
    length = sum(part.size for part in parts(query, asked))
    header, fleet = Joint(sites, encode_plan(query), length).open()
    return fleet.ask(header)


def answers_for(runs: int, each: int) -> int:
    """How many answers give so many runs, if each answer gives ``each`` of them.

    Raises:
        UsageError: there is nothing to ask for.
    """
    if runs < 1 or each < 1:
        raise UsageError(f"an audit asks at least once: {runs} runs, {each} in each answer.")
    return math.ceil(runs / each)
