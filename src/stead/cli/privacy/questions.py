"""Whole questions as trials: loading, joins, steps, clip, bounds, gate, ledger and noise of a real node, from outside.

One answer holds the same aggregate many times, each with noise of its own, which is as many runs for one trip through
the gate. The claim is the price of the question that asks for it once. Where keys are private, the noise that decides
which of them are shown is drawn once for each answer, so that an answer is one run.

``QUESTIONS`` is the list of what is audited: a new aggregate is one more line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np

from stead.cli.privacy.neighbours import (
    NODES,
    WITH,
    WITHOUT,
    Neighbours,
    answers_for,
    released,
    released_jointly,
    visits,
    visits_of,
)
from stead.core.entropy import Entropy
from stead.core.schema import Bounds, Schema
from stead.errors import UsageError
from stead.plans.analysis import Contribution, analyse, parts
from stead.plans.exact import Revealed
from stead.plans.joining import joined_schema
from stead.plans.price import price
from stead.plans.query import (
    Aggregate,
    Bounding,
    Clip,
    Compare,
    Count,
    Derive,
    Distinct,
    Filter,
    Histogram,
    Join,
    LogisticScore,
    Mean,
    Moments,
    People,
    PrivateKeys,
    Quantile,
    Query,
    RowStep,
    Sum,
    Survival,
    TopK,
)
from stead.plans.values import Arithmetic, Constant, Cut, Field, Relabel, Within
from stead.privacy.audit.distinguish import Results
from stead.privacy.audit.trial import Trial
from stead.privacy.events import PrivacyEvent
from stead.privacy.keys import ThresholdedGaussianMechanism, ThresholdedLaplaceMechanism

REPEATS: Final = 64
NOISE: Final = 2.0
RUNS: Final = 5_120
DELTAS: Final = (0.01, 0.1)

FEW: Final = 16
"""Repetitions of an aggregate of many numbers: with more of them an answer takes longer, and a run no less."""
FEW_RUNS: Final = 1_600

KEY_RUNS: Final = 500
KEY_LEAST: Final = 100
"""A key that is always shown exceeds the claim with so many runs, at a whole audit's error rate."""
KEY_SLACK: Final = 4e-4
"""So small that an account can pay for a whole audit: its reserve is below one."""
KEY_NOISE: Final = 16.0
KEYED_NOISE: Final = 8.0
"""Beside private keys there is so much noise that a key which should not be shown says more than all numbers."""


@dataclass(frozen=True)
class Asked:
    """A question that is audited.

    Attributes:
        name: as people call it.
        aggregate: what is released, under a name.
        steps: row steps.
        group_by: public groups.
        visits: asks the visits in place of the patients.
        joined: columns of the visits that are joined to the patients.
        bounding: how much of one person is used.
        noise: the kind.
        keys: the column of private keys.
        times: how often the aggregate stands in one answer.
        runs: in each world, in a whole audit.
        deltas: at which the claim is tested.
    """

    name: str
    aggregate: Callable[[str], Aggregate]
    steps: tuple[RowStep, ...] = ()
    group_by: tuple[str, ...] = ()
    visits: bool = False
    joined: tuple[str, ...] = ()
    bounding: Bounding | None = None
    noise: Literal["gaussian", "laplace"] = "gaussian"
    keys: str | None = None
    times: int = REPEATS
    runs: int = RUNS
    deltas: tuple[float, ...] = DELTAS

    def query(self, world: str, times: int) -> Query:
        """The question that asks for the aggregate so many times, before its noise is chosen.

        Args:
            world: the patients' dataset.
            times: repetitions.
        """
        return Query(
            visits(world) if self.visits else world,
            self.steps,
            self.group_by,
            tuple(self.aggregate(f"n{number}") for number in range(times)),
            (),
            joins=(Join(visits(world), self.joined),) if self.joined else (),
            bounding=self.bounding,
            noise=self.noise,
            private_keys=None if self.keys is None else PrivateKeys(self.keys, KEY_NOISE, 1),
        )


def _quotient(top: str, bottom: str, low: float, high: float) -> Derive:
    return Derive("quotient", Within(Arithmetic("/", Field(top), Field(bottom)), Bounds(low, high)))


_BANDS: Final = Derive("band", Cut(Field("age"), (0.0, 50.0, 90.0, 100.0), ("young", "old", "oldest")))
_KINDS: Final = Derive("kind", Relabel("note", "prefix", (("flu", "known"), ("cough", "known too")), "other"))
_ONE_WARD: Final = Bounding(groups=1, rows_per_group=1)

QUESTIONS: Final = (
    Asked("count", Count),
    Asked("count of a filter", Count, steps=(Filter(Compare("age", ">", 90)),)),
    Asked("count by group", Count, group_by=("sex",)),
    Asked("count of values", lambda name: Count(name, "dose")),
    Asked("sum", lambda name: Sum(name, "age")),
    Asked("sum of reals", lambda name: Sum(name, "dose")),
    Asked("sum of a clipped column", lambda name: Sum(name, "age"), steps=(Clip("age", Bounds(0, 10)),)),
    Asked("mean", lambda name: Mean(name, "dose")),
    Asked("mean by group", lambda name: Mean(name, "age"), group_by=("sex",)),
    Asked("histogram", lambda name: Histogram(name, "age", (0.0, 50.0, 90.0, 100.0)), times=FEW, runs=FEW_RUNS),
    Asked("people", People, visits=True),
    Asked("people by group", People, visits=True, group_by=("ward",)),
    Asked("distinct values", lambda name: Distinct(name, "note"), visits=True),
    Asked("variance", lambda name: Moments(name, ("age",), "variance"), times=FEW, runs=FEW_RUNS),
    Asked("correlation", lambda name: Moments(name, ("age", "dose"), "correlation"), times=FEW, runs=FEW_RUNS),
    Asked("quantile tree", lambda name: Quantile(name, "age", (0.5,), 2), times=FEW, runs=FEW_RUNS),
    Asked(
        "survival",
        lambda name: Survival(name, "age", "ill", (0.0, 50.0, 100.0), "kaplan-meier"),
        times=FEW,
        runs=FEW_RUNS,
    ),
    Asked("logistic score", lambda name: LogisticScore(name, ("age", "dose"), "ill", (0.0, 0.0, 0.0))),
    Asked("top-k", lambda name: TopK(name, "sex", 1), times=FEW, runs=FEW_RUNS),
    Asked("sum of a quotient", lambda name: Sum(name, "quotient"), steps=(_quotient("age", "rate", 0.0, 50.0),)),
    Asked("count by cut", Count, steps=(_BANDS,), group_by=("band",)),
    Asked("count by relabelled text", Count, visits=True, steps=(_KINDS,), group_by=("kind",)),
    Asked("count of a join", Count, joined=("ward",), runs=FEW_RUNS),
    Asked("sum over a join", lambda name: Sum(name, "cost"), joined=("cost",), runs=FEW_RUNS),
    Asked("count by a joined group", Count, joined=("ward",), group_by=("ward",), runs=FEW_RUNS),
    Asked("count of few rows", Count, visits=True, bounding=Bounding(rows=3)),
    Asked("count by bounded groups", Count, visits=True, group_by=("ward",), bounding=_ONE_WARD),
    Asked("sum by bounded groups", lambda name: Sum(name, "cost"), visits=True, group_by=("ward",), bounding=_ONE_WARD),
    Asked(
        "histogram by bounded groups",
        lambda name: Histogram(name, "cost", (0.0, 5.0, 10.0)),
        visits=True,
        group_by=("ward",),
        bounding=_ONE_WARD,
        times=FEW,
        runs=FEW_RUNS,
    ),
    Asked("people by bounded groups", People, visits=True, group_by=("ward",), bounding=_ONE_WARD),
    Asked(
        "count by bounded groups of a join",
        Count,
        joined=("ward",),
        group_by=("ward",),
        bounding=_ONE_WARD,
        runs=FEW_RUNS,
    ),
    Asked("count with Laplace noise", Count, noise="laplace", deltas=(0.0, 0.05)),
    Asked("mean with Laplace noise", lambda name: Mean(name, "dose"), noise="laplace", deltas=(0.0, 0.05)),
    Asked("private keys", Count, visits=True, keys="note", bounding=Bounding(groups=2, rows_per_group=1)),
    Asked(
        "private keys with Laplace noise",
        People,
        visits=True,
        keys="note",
        bounding=Bounding(groups=2, rows_per_group=1),
        noise="laplace",
    ),
)

JOINT_QUESTIONS: Final = (
    Asked("count", Count, runs=RUNS // 2),
    Asked("mean by group", lambda name: Mean(name, "dose"), group_by=("sex",), runs=RUNS // 2),
    Asked("variance", lambda name: Moments(name, ("age",), "variance"), times=FEW, runs=FEW_RUNS),
)


def schema_of(neighbours: Neighbours, query: Query) -> Schema:
    """The public description of the rows that a query reads, as the node that is asked has it."""
    own = neighbours.dataset(query.dataset).schema
    return joined_schema(query, own, lambda name: neighbours.dataset(name).schema)


def noisy(query: Query, schema: Schema) -> Query:
    """The query with noise on every part of ``NOISE`` times what one person moves it by.

    Private keys get the threshold whose slack is ``KEY_SLACK``.
    """
    contribution = analyse(msgspec.structs.replace(query, sigmas=(1.0,) * len(parts(query, schema))), schema)
    moved = contribution.l1 if query.noise == "laplace" else contribution.l2
    times = NOISE if query.private_keys is None else KEYED_NOISE
    chosen = msgspec.structs.replace(query, sigmas=tuple(times * each for each in moved))
    if query.private_keys is None:
        return chosen
    keys = msgspec.structs.replace(query.private_keys, threshold=_threshold(query, contribution))
    return msgspec.structs.replace(chosen, private_keys=keys)


def _threshold(query: Query, contribution: Contribution) -> int:
    most = contribution.usage.groups
    if query.noise == "laplace":
        return ThresholdedLaplaceMechanism.of(KEY_NOISE, KEY_SLACK, 1, most).threshold
    return ThresholdedGaussianMechanism.of(KEY_NOISE, KEY_SLACK, 1, most).threshold


def event_of(query: Query, schema: Schema, *, sites: int = 1) -> PrivacyEvent:
    """What a node's ledger would be charged for a query.

    Args:
        query: with its noise.
        schema: of the rows that it reads.
        sites: how many nodes answer it together.

    Raises:
        UsageError: the query has no price.
    """
    event = price(query, schema, sites=sites).event
    if event is None:
        raise UsageError("a question without noise claims nothing that could be audited.")
    return event


def question_trials(neighbours: Neighbours) -> tuple[Trial, ...]:
    """Every question of ``QUESTIONS`` to one node."""
    return tuple(one_site(neighbours, asked) for asked in QUESTIONS)


def joint_trials(neighbours: Neighbours) -> tuple[Trial, ...]:
    """Every question of ``JOINT_QUESTIONS`` to two nodes, whose sum alone is seen."""
    return tuple(two_sites(neighbours, asked) for asked in JOINT_QUESTIONS)


def one_site(neighbours: Neighbours, asked: Asked) -> Trial:
    """A question to one node."""
    once = asked.query(WITHOUT, 1)
    schema = schema_of(neighbours, once)
    event = event_of(noisy(once, schema), schema)
    times = asked.times if asked.keys is None else 1

    def world(name: str, answers: int) -> Results:
        query = asked.query(name, times)
        plan, site = noisy(query, schema_of(neighbours, query)), neighbours.dataset(name).source.site
        shown = [released(site, plan) for _ in range(answers)]
        if asked.keys is not None:
            return np.stack([_by_key(each, visits_of(present=True)[asked.keys]) for each in shown])
        return np.concatenate([each.vector.reshape(times, -1) for each in shown])

    def draw(runs: int, _: Entropy) -> tuple[Results, Results]:
        answers = answers_for(runs, times)
        return world(WITH, answers), world(WITHOUT, answers)

    name = f"question: {asked.name}"
    if asked.keys is not None:
        return Trial(name, event, draw, KEY_RUNS, DELTAS, least=KEY_LEAST)
    return Trial(name, event, draw, asked.runs, asked.deltas)


def two_sites(neighbours: Neighbours, asked: Asked) -> Trial:
    """A question to both nodes together."""
    once = asked.query(WITHOUT, 1)
    schema = schema_of(neighbours, once)
    event = event_of(noisy(once, schema), schema, sites=len(NODES))

    def world(name: str, answers: int) -> Results:
        sites, query = neighbours.sites(name), asked.query(name, asked.times)
        read = schema_of(neighbours, query)
        plan = noisy(query, read)
        return np.concatenate([released_jointly(sites, plan, read).reshape(asked.times, -1) for _ in range(answers)])

    def draw(runs: int, _: Entropy) -> tuple[Results, Results]:
        answers = answers_for(runs, asked.times)
        return world(WITH, answers), world(WITHOUT, answers)

    return Trial(f"joint question: {asked.name}", event, draw, asked.runs, asked.deltas)


def _by_key(shown: Revealed, known: Sequence[Constant]) -> Results:
    """A release as one row: for each key that there could be whether it is shown, then its numbers, zeros if not."""
    keys = sorted({str(key) for key in known})
    found = np.zeros((len(keys), 3), dtype=np.int64)
    people = np.zeros(0, dtype=np.int64) if shown.people is None else shown.people
    for key, number, value in zip(shown.keys or (), people, shown.vector, strict=True):
        found[keys.index(str(key))] = 1, number, value
    return found.reshape(-1)
