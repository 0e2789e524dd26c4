"""Whole questions as trials: loading, steps, clip, row bounds, gate, ledger and noise of a real node, from outside.

One answer holds the same aggregate many times, each with noise of its own, which is as many runs for one trip through
the gate. The claim is the price of the question that asks for it once.

``QUESTIONS`` is the list of what is audited: a new aggregate is one more line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from stead.cli.privacy.neighbours import (
    NODES,
    WITH,
    WITHOUT,
    Neighbours,
    answers_for,
    released,
    released_jointly,
)
from stead.client.dataset import RemoteDataset
from stead.client.expressions import Aggregation
from stead.client.frame import RemoteFrame
from stead.client.question import Question
from stead.core.entropy import Entropy
from stead.errors import UsageError
from stead.plans.analysis import analyse
from stead.plans.price import price
from stead.plans.query import Query
from stead.privacy.audit.distinguish import Results
from stead.privacy.audit.trial import Trial
from stead.privacy.events import PrivacyEvent

REPEATS: Final = 64
NOISE: Final = 2.0
RUNS: Final = 19_200
JOINT_RUNS: Final = 9_600
DELTAS: Final = (0.01, 0.1)


@dataclass(frozen=True)
class Asked:
    """A question that is audited.

    Attributes:
        name: as people call it.
        frame: the rows and groups.
        aggregate: what is released of them.
    """

    name: str
    frame: Callable[[RemoteDataset], RemoteFrame]
    aggregate: Callable[[RemoteFrame], Aggregation]

    def question(self, dataset: RemoteDataset, times: int) -> Question:
        """The question that asks for the aggregate so many times."""
        frame = self.frame(dataset)
        ungrouped = RemoteFrame(replace(frame.selection, keys=(), private=None))
        return frame.agg(**{f"n{number}": self.aggregate(ungrouped) for number in range(times)})


QUESTIONS: Final = (
    Asked("count", lambda rows: rows.frame, lambda rows: rows.count()),
    Asked("count of a filter", lambda rows: rows.filter(rows.age > 90), lambda rows: rows.count()),
    Asked("count by group", lambda rows: rows.group_by("sex"), lambda rows: rows.count()),
    Asked("sum", lambda rows: rows.frame, lambda rows: rows["age"].sum()),
    Asked("sum of reals", lambda rows: rows.frame, lambda rows: rows["dose"].sum()),
    Asked("sum of a clipped column", lambda rows: rows.clip("age", 0, 10), lambda rows: rows["age"].sum()),
    Asked("mean", lambda rows: rows.frame, lambda rows: rows["dose"].mean()),
    Asked("mean by group", lambda rows: rows.group_by("sex"), lambda rows: rows["age"].mean()),
    Asked("histogram", lambda rows: rows.frame, lambda rows: rows["age"].histogram([0, 50, 90, 100])),
)

JOINT_QUESTIONS: Final = (
    Asked("count", lambda rows: rows.frame, lambda rows: rows.count()),
    Asked("mean by group", lambda rows: rows.group_by("sex"), lambda rows: rows["dose"].mean()),
)


def noisy_plan(question: Question) -> Query:
    """The question as a plan whose every part has noise of ``NOISE`` times what one person moves it by."""
    unit = question.plan([1.0] * len(question.parts()))
    return question.plan([NOISE * moved for moved in analyse(unit, question.source.schema).l2])


def event_of(plan: Query, dataset: RemoteDataset, *, sites: int = 1) -> PrivacyEvent:
    """What a node's ledger would be charged for a plan.

    Raises:
        UsageError: the plan has no price.
    """
    event = price(plan, dataset.schema, sites=sites).event
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
    dataset = neighbours.dataset(WITHOUT)
    event = event_of(noisy_plan(asked.question(dataset, 1)), dataset)

    def world(name: str, answers: int) -> Results:
        held = neighbours.dataset(name)
        plan, site = noisy_plan(asked.question(held, REPEATS)), held.source.site
        return np.concatenate([released(site, plan).reshape(REPEATS, -1) for _ in range(answers)])

    def draw(runs: int, _: Entropy) -> tuple[Results, Results]:
        answers = answers_for(runs, REPEATS)
        return world(WITH, answers), world(WITHOUT, answers)

    return Trial(f"question: {asked.name}", event, draw, RUNS, DELTAS)


def two_sites(neighbours: Neighbours, asked: Asked) -> Trial:
    """A question to both nodes together."""
    dataset = neighbours.dataset(WITHOUT)
    event = event_of(noisy_plan(asked.question(dataset, 1)), dataset, sites=len(NODES))

    def world(name: str, answers: int) -> Results:
        held, sites = neighbours.dataset(name), neighbours.sites(name)
        plan = noisy_plan(asked.question(held, REPEATS))
        sums = [released_jointly(sites, plan, held.schema).reshape(REPEATS, -1) for _ in range(answers)]
        return np.concatenate(sums)

    def draw(runs: int, _: Entropy) -> tuple[Results, Results]:
        answers = answers_for(runs, REPEATS)
        return world(WITH, answers), world(WITHOUT, answers)

    return Trial(f"joint question: {asked.name}", event, draw, JOINT_RUNS, DELTAS)
