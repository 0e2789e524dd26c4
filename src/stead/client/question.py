"""``Question``: a complete question to one dataset. Preview it, try it on mock rows, then ask it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stead.client import render
from stead.client.affordable import saying_what_fits
from stead.client.answer import Answer
from stead.client.mock import MockRows, mock_of
from stead.client.noise import DELTA, WITHIN, NoiseKind, Setting, Wish, calibrated, choose, wish
from stead.client.pending import Pending, send
from stead.client.preview import Preview
from stead.client.records import Record
from stead.client.selection import Selection, Source, bounds_text
from stead.core import messages
from stead.core.schema import Schema
from stead.errors import PurposeMissing
from stead.plans.analysis import Part, parts
from stead.plans.bars import error_bars, people_bar
from stead.plans.decode import decode_answer
from stead.plans.joining import joined_rows
from stead.plans.plan import encode_plan
from stead.plans.query import Aggregate, Query
from stead.plans.sums import run_exact
from stead.plans.words import describe_query

RELEASE_BYTES = 16
MOCK_ROWS = 1000


@dataclass(frozen=True, eq=False)
class Question:
    """What to release about which rows.

    Attributes:
        selection: the dataset, the row steps in order, and the groups.
        aggregates: what is released.
    """

    selection: Selection
    aggregates: tuple[Aggregate, ...]

    @property
    def source(self) -> Source:
        """The dataset."""
        return self.selection.source

    @property
    def title(self) -> str:
        """``heart · North Hospital``."""
        return self.source.title

    @property
    def schema(self) -> Schema:
        """The public schema of the rows that are read, with joined columns."""
        return self.selection.rows_schema

    def plan(self, sigmas: Sequence[float] = ()) -> Query:
        """The question as the plan that travels.

        Args:
            sigmas: standard deviations of Gaussian noise, one for each released part, in lattice steps.
        """
        return self.selection.query(self.aggregates, sigmas)

    def parts(self) -> tuple[Part, ...]:
        """The released parts, in order. Raises what makes the question impossible."""
        return parts(self.plan(), self.schema)

    def setting(self) -> Setting:
        """The public facts that its noise is chosen by."""
        private = self.selection.private
        return Setting(
            self.schema, delta=account_delta(self.source), key_delta=private.delta if private is not None else 0.0
        )

    def noisy(self, wished: Wish) -> Query:
        """The plan with the noise that is wished; for a wished price the node's quotes decide.

        Raises:
            UsageError: no noise is like that.
        """
        bare, setting, price = self.plan(), self.setting(), wished.epsilon
        if price is None:
            return choose(bare, setting, wished)
        return calibrated(
            lambda aimed: choose(bare, setting, Wish(epsilon=aimed, noise=wished.noise)),
            lambda query: max(quote.epsilon for quote in self.quoted(query).values()),
            price,
        )

    def explain(self) -> str:
        """The question in words and steps, and how far one person can move each released part."""
        return "\n".join([self.source.title, *self._words()])

    def preview(
        self,
        *,
        within: float | None = None,
        epsilon: float | None = None,
        sigmas: Sequence[float] | None = None,
        noise: NoiseKind = "auto",
    ) -> Preview:
        """Error bars, cost, what is left and who must approve. Looks at no row, spends nothing.

        Args:
            within: the wished half-width at 95 %, for all cells jointly: a fraction of the declared range for
                means, of the public size for counts.
            epsilon: the wished price instead: the least noise that it pays for.
            sigmas: the noise itself instead, in lattice steps of each part.
            noise: ``gaussian``, ``laplace``, or whichever is cheaper.
        """
        return self._preview(self.noisy(wish(within, epsilon, sigmas, noise)))

    def answer(
        self,
        *,
        why: str = "",
        within: float | None = None,
        epsilon: float | None = None,
        sigmas: Sequence[float] | None = None,
        noise: NoiseKind = "auto",
    ) -> Answer | Pending:
        """Ask it: an ``Answer``, or a ``Pending`` while the owner decides.

        Args:
            why: what the answer is for; recorded in the owner's log.
            within: see ``preview``; 0.05 where neither it nor ``epsilon`` nor ``sigmas`` is given.
            epsilon: see ``preview``.
            sigmas: see ``preview``.
            noise: see ``preview``.

        Raises:
            PurposeMissing: ``why`` is empty.
            Refused: the owner's rules or the budget do not allow it.
        """
        require_purpose(why)
        wished = wish(within, epsilon, sigmas, noise)
        with saying_what_fits(lambda wider: self.preview(within=wider, noise=noise), wished.relative):
            return self.ask(self.noisy(wished), why)

    def quoted(self, query: Query) -> dict[str, messages.Quote]:
        """What the question with its noise costs at its site, and who decides. Spends nothing."""
        site = self.source.site
        message = messages.Preview(project=site.project, plan=encode_plan(query), outlet="answer")
        return {site.name: site.ask(message, messages.Quote)}

    def ask(self, query: Query, why: str) -> Answer | Pending:
        """Send the question with its noise."""
        site = self.source.site
        record = Record(
            release=site.scientist.entropy.take(RELEASE_BYTES),
            plan=encode_plan(query),
            why=why,
            project=site.project,
            asked_at=site.scientist.clock.now(),
        )
        return send(site, record)

    def on_mock(self, rows: MockRows | None = None) -> Answer:
        """The same question on mock rows, without noise: what an answer looks like, for free.

        Args:
            rows: of the question's own dataset; joined datasets have mock rows of their own.
        """
        source, plan, schema = self.source, self.plan(), self.schema
        mock = mock_of(source.name, source.schema, mock_size(source.schema)) if rows is None else rows
        data = mock.data
        if plan.joins:
            data = joined_rows(plan, source.schema, mock.data, lambda name: _mock(Source(source.site, name)))
        exact = run_exact(plan, schema, data)
        keys = None if exact.keys is None else len(exact.keys)
        values = decode_answer(plan, schema, exact.vector, keys=keys)
        errors = {name: np.zeros_like(value, dtype=np.float64) for name, value in values.items()}
        return Answer(
            source.title,
            plan,
            schema,
            values,
            errors,
            mock=True,
            keys=exact.keys,
            people=exact.people,
            vector=exact.vector,
        )

    def _preview(self, query: Query) -> Preview:
        bars = error_bars(query, self.schema)
        return Preview(
            self.source.title,
            bars if query.private_keys is None else {"people": np.array(people_bar(query, self.schema)), **bars},
            self.quoted(query),
            query.sigmas,
            noise_notes(query, self.selection),
            query.noise,
        )

    def _words(self) -> list[str]:
        words = describe_query(self.plan(), self.schema).splitlines()
        return [*words, f"In use: {bounds_text(self.selection.usage, self.schema.unit)}."]

    def __repr__(self) -> str:
        return f"{self.explain()}\nNext  .preview(within=0.05)  .on_mock()  .answer(within=0.05, why=…)"

    def _repr_html_(self) -> str:
        return render.facts_html(self.source.title, [("", line) for line in self._words()])


def account_delta(source: Source) -> float:
    """The least delta of the accounts that pay for questions to a dataset, as far as the node shows them."""
    return min((account.delta for account in source.site.view(source.name).accounts), default=DELTA)


def noise_notes(query: Query, selection: Selection) -> tuple[tuple[str, str], ...]:
    """What else is known of a question with its noise: the kind, the bounds of one person, when a key is shown."""
    notes = [
        ("Noise", "discrete Laplace" if query.noise == "laplace" else "discrete Gaussian"),
        ("In use", bounds_text(selection.usage, selection.source.schema.unit)),
    ]
    if query.private_keys is not None:
        least = query.private_keys.threshold
        notes.append(("Keys", f"values of {query.private_keys.column} that a noisy number of {least} people have"))
    return tuple(notes)


def require_purpose(why: str) -> None:
    """Refuse a spend without a purpose.

    Raises:
        PurposeMissing: ``why`` is empty.
    """
    if not isinstance(why, str) or not why.strip():
        raise PurposeMissing(
            "every spend needs a purpose, which the owner's log keeps.", hint='why="Table 1, baseline characteristics"'
        )


def mock_size(schema: Schema) -> int:
    """How many mock rows stand for a dataset."""
    return min(MOCK_ROWS, schema.people[1])


def _mock(source: Source) -> tuple[Schema, dict[str, np.ndarray]]:
    schema = source.schema
    return schema, dict(mock_of(source.name, schema, mock_size(schema)).data)


__all__ = ["MOCK_ROWS", "RELEASE_BYTES", "WITHIN", "Question", "Source", "mock_size", "require_purpose"]
