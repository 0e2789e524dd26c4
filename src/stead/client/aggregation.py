"""``Aggregation``: what is asked about the rows of a frame, before it has its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import asdict, replace

from stead.client.answer import Answer
from stead.client.mock import MockRows
from stead.client.noise import NoiseKind
from stead.client.pending import Pending
from stead.client.preview import Preview
from stead.client.question import Question
from stead.client.selection import Selection
from stead.plans.query import Aggregate


class Table(Protocol):
    """The rows that an expression is about: a frame with its steps so far.

    Cost: none.
    Security: knows the public schema only.
    """

    @property
    def selection(self) -> Selection:
        """The dataset and the steps so far."""
        ...

    def agg(self, **named: Aggregation) -> Question:
        """A question about these rows."""
        ...


@dataclass(frozen=True)
class Aggregation:
    """What is asked about the rows: a count, a mean, a curve; given its name by ``agg``.

    Alone it is a question too: ``heart.age.mean().preview()``.

    Attributes:
        frame: the rows.
        aggregate: of the plan, under the name that it takes when it is asked alone: ``age_mean``, ``count``.
    """

    frame: Table
    aggregate: Aggregate

    @property
    def default_name(self) -> str:
        """The name it takes when it is asked alone."""
        return self.aggregate.name

    def named(self, name: str) -> Aggregate:
        """The aggregate of the plan, under the name of its result."""
        return replace(self.aggregate, name=name)

    def question(self) -> Question:
        """This one aggregate as a complete question."""
        return self.frame.agg(**{self.default_name: self})

    def preview(
        self,
        *,
        within: float | None = None,
        epsilon: float | None = None,
        sigmas: Sequence[float] | None = None,
        noise: NoiseKind = "auto",
    ) -> Preview:
        """What asking this alone would cost; see ``Question.preview``."""
        return self.question().preview(within=within, epsilon=epsilon, sigmas=sigmas, noise=noise)

    def answer(
        self,
        *,
        why: str = "",
        within: float | None = None,
        epsilon: float | None = None,
        sigmas: Sequence[float] | None = None,
        noise: NoiseKind = "auto",
    ) -> Answer | Pending:
        """Ask this alone; see ``Question.answer``."""
        return self.question().answer(why=why, within=within, epsilon=epsilon, sigmas=sigmas, noise=noise)

    def explain(self) -> str:
        """The steps in words; see ``Question.explain``."""
        return self.question().explain()

    def on_mock(self, rows: MockRows | None = None) -> Answer:
        """Evaluate it on mock rows; see ``Question.on_mock``."""
        return self.question().on_mock(rows)

    def __repr__(self) -> str:
        kind = self.aggregate.__struct_config__.tag
        given = {name: value for name, value in asdict(self.aggregate).items() if name != "name" and value}
        return f"{kind}({', '.join(f'{name}={value!r}' for name, value in given.items())})"
