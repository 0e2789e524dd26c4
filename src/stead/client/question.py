"""``Question``: a complete question to one dataset. Preview it, try it on mock rows, then ask it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stead.client import render
from stead.client.affordable import saying_what_fits
from stead.client.answer import Answer
from stead.client.mock import MockRows, mock_of
from stead.client.pending import Pending, send
from stead.client.preview import Preview
from stead.client.records import Record
from stead.client.site import Site
from stead.client.values import plain_number, several
from stead.core import messages
from stead.core.schema import Schema
from stead.errors import PurposeMissing, UsageError
from stead.plans.analysis import Part, parts
from stead.plans.bars import error_bars, sigmas_for
from stead.plans.decode import decode_answer
from stead.plans.plan import encode_plan
from stead.plans.query import Aggregate, Query, RowStep
from stead.plans.sums import run_reference
from stead.plans.words import describe_query

WITHIN = 0.05
RELEASE_BYTES = 16
MOCK_ROWS = 1000


@dataclass(frozen=True)
class Source:
    """A dataset at a site: what every frame and question refers to."""

    site: Site
    name: str

    @property
    def schema(self) -> Schema:
        """The public schema, as last fetched."""
        return self.site.view(self.name).card.schema

    @property
    def title(self) -> str:
        """``heart · North Hospital``."""
        return f"{self.name} · {self.site.name}"


@dataclass(frozen=True, eq=False)
class Question:
    """What to release about which rows of one dataset.

    Attributes:
        source: the dataset.
        steps: the row steps, in order.
        keys: the columns to group by.
        aggregates: what is released.
    """

    source: Source
    steps: tuple[RowStep, ...]
    keys: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]

    def plan(self, sigmas: Sequence[float] = ()) -> Query:
        """The question as the plan that travels.

        Args:
            sigmas: noise standard deviations, one for each released part, in lattice steps.
        """
        return Query(self.source.name, self.steps, self.keys, self.aggregates, tuple(float(s) for s in sigmas))

    def parts(self) -> tuple[Part, ...]:
        """The released parts, in order. Raises what makes the question impossible."""
        return parts(self.plan(), self.source.schema)

    def sigmas(self, within: float | None, sigmas: Sequence[float] | None) -> tuple[float, ...]:
        """The noise for a wished half-width, or the noise itself where it is given.

        Raises:
            UsageError: both are given, or no noise is small enough.
        """
        if sigmas is None:
            wished = WITHIN if within is None else plain_number(within, "within")
            return sigmas_for(self.plan(), self.source.schema, wished)
        if within is not None:
            raise UsageError("give `within` or `sigmas`, not both.")
        given = several(sigmas, "sigmas", "one sigma for each released part; within= chooses them")
        return tuple(plain_number(sigma, "a sigma") for sigma in given)

    def explain(self) -> str:
        """The question in words and steps, and how far one person can move each released part."""
        return f"{self.source.title}\n{describe_query(self.plan(), self.source.schema)}"

    def preview(self, *, within: float | None = None, sigmas: Sequence[float] | None = None) -> Preview:
        """Error bars, cost, what is left and who must approve. Looks at no row, spends nothing.

        Args:
            within: the wished half-width at 95 %, for all cells jointly: a fraction of the declared range for
                means, of the public size for counts.
            sigmas: the noise itself instead, in lattice steps of each part.
        """
        plan, site = self.plan(self.sigmas(within, sigmas)), self.source.site
        message = messages.Preview(project=site.project, plan=encode_plan(plan), outlet="answer")
        quote = site.ask(message, messages.Quote)
        return Preview(self.source.title, error_bars(plan, self.source.schema), {site.name: quote}, plan.sigmas)

    def answer(
        self, *, why: str = "", within: float | None = None, sigmas: Sequence[float] | None = None
    ) -> Answer | Pending:
        """Ask it: an ``Answer``, or a ``Pending`` while the owner decides.

        Args:
            why: what the answer is for; recorded in the owner's log.
            within: see ``preview``; 0.05 where neither it nor ``sigmas`` is given.
            sigmas: see ``preview``.

        Raises:
            PurposeMissing: ``why`` is empty.
            Refused: the owner's rules or the budget do not allow it.
        """
        require_purpose(why)
        site = self.source.site
        record = Record(
            release=site.scientist.entropy.take(RELEASE_BYTES),
            plan=encode_plan(self.plan(self.sigmas(within, sigmas))),
            why=why,
            project=site.project,
            asked_at=site.scientist.clock.now(),
        )
        wished = None if sigmas is not None else WITHIN if within is None else within
        with saying_what_fits(lambda wider: self.preview(within=wider), wished):
            return send(site, record)

    def on_mock(self, rows: MockRows | None = None) -> Answer:
        """The same question on mock rows, without noise: what an answer looks like, for free."""
        schema, plan = self.source.schema, self.plan()
        mock = mock_of(self.source.name, schema, MOCK_ROWS) if rows is None else rows
        values = decode_answer(plan, schema, run_reference(plan, schema, mock.data))
        errors = {name: np.zeros_like(value, dtype=np.float64) for name, value in values.items()}
        return Answer(self.source.title, plan, schema, values, errors, mock=True)

    def __repr__(self) -> str:
        words = describe_query(self.plan(), self.source.schema)
        return f"{self.source.title}\n{words}\nNext  .preview(within=0.05)  .on_mock()  .answer(within=0.05, why=…)"

    def _repr_html_(self) -> str:
        words = describe_query(self.plan(), self.source.schema).splitlines()
        return render.facts_html(self.source.title, [("", line) for line in words])


def require_purpose(why: str) -> None:
    """Refuse a spend without a purpose.

    Raises:
        PurposeMissing: ``why`` is empty.
    """
    if not isinstance(why, str) or not why.strip():
        raise PurposeMissing(
            "every spend needs a purpose, which the owner's log keeps.", hint='why="Table 1, baseline characteristics"'
        )
