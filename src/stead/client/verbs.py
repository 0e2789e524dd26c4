"""``Verbs``: what a data frame can be asked to do. A dataset and a frame have the same ones."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from stead.client.aggregation import Aggregation
from stead.client.expressions import ColumnExpression
from stead.client.operators import as_border
from stead.client.question import Question
from stead.client.selection import KEY_DELTA
from stead.client.values import several
from stead.core.schema import Schema
from stead.errors import UnknownColumn, UsageError
from stead.plans.query import Count, Curve, Moments, People, Survival

if TYPE_CHECKING:
    from stead.client.frame import RemoteFrame
    from stead.client.rounds import Rounds

# What other data frames call it, and what is meant here.
_OTHER_FRAMES: Final = {
    "head": "real rows never leave; .mock.head() of the dataset shows made-up ones",
    "columns": "the columns are in .schema.columns",
    "dtypes": "the columns' kinds are in .schema.columns",
    "shape": "the public size is .schema.people; .count() asks for a noisy one",
    "describe": "ask for it: .agg(n=heart.count(), age=heart.age.mean())",
    "merge": ".join(other, columns=[…]) joins on the person",
    "groupby": ".group_by(…); .group_by_private(…) where the values are not public",
    "assign": ".with_columns(name=…)",
}


class Verbs(ABC):
    """The verbs of a data frame, named as in Polars. Nothing runs, nothing is sent, until an answer is asked for."""

    @property
    @abstractmethod
    def frame(self) -> RemoteFrame:
        """The rows that the verbs are about."""

    @property
    @abstractmethod
    def schema(self) -> Schema:
        """The public schema of those rows."""

    def filter(self, *conditions: object) -> RemoteFrame:
        """Keep the rows for which all ``conditions`` hold: ``heart.filter(heart.age > 40, heart.sex == "F")``."""
        return self.frame.filtered(conditions)

    def select(self, *columns: str | ColumnExpression) -> RemoteFrame:
        """Later steps may name these columns only."""
        return self.frame.selected(columns)

    def clip(self, column: str | ColumnExpression, low: float, high: float) -> RemoteFrame:
        """Move a numeric column's values into ``[low, high]``: a narrower range has less noise in its sum and mean."""
        return self.frame.clipped(column, low, high)

    def with_columns(self, **named: object) -> RemoteFrame:
        """New columns, made of a row's own values: ``with_columns(bmi=(heart.weight / heart.height**2).clip(10, 60))``.

        Their kinds, bounds and categories follow from what they are made of; one may be made of an earlier one only
        in a later call. ``frame.bmi`` is the new column.

        Raises:
            UnboundedContribution: a value without bounds, such as a quotient whose divisor may be zero.
            UsageError: it is no value of a row, or the name is taken.
        """
        return self.frame.derived(named)

    def join(self, other: Verbs, columns: Sequence[str | ColumnExpression], how: str = "inner") -> RemoteFrame:
        """Columns of another dataset of the same node and population, joined on the person.

        A person with L rows here and R there has L x R. Joins come first: rows, then steps, groups and aggregates.

        Args:
            other: the dataset.
            columns: those that are taken; one whose name is taken already is called ``dataset.column``.
            how: ``inner`` keeps rows whose person is there, ``left`` keeps all.
        """
        return self.frame.joined(other, columns, how)

    def limit(
        self, *, rows: int | None = None, groups: int | None = None, rows_per_group: int | None = None
    ) -> RemoteFrame:
        """How much of one person is used: less of it takes less noise.

        Args:
            rows: the first so many rows, before any step.
            groups: rows of the first so many groups, after all steps.
            rows_per_group: the first so many rows of each group, after all steps.
        """
        return self.frame.limited(rows, groups, rows_per_group)

    def group_by(self, *columns: str | ColumnExpression) -> RemoteFrame:
        """Answer by group: category or boolean columns, whose declared values make the groups, present or not."""
        return self.frame.grouped(columns)

    def group_by_private(self, column: str | ColumnExpression, *, delta: float = KEY_DELTA) -> RemoteFrame:
        """Answer by the values that occur in a column, which are not public: those that enough people have are shown.

        Args:
            column: a text, whole number, date, category or boolean.
            delta: the probability with which a value that one person alone has is shown; a part of the account's.
        """
        return self.frame.grouped_privately(column, delta)

    def agg(self, **named: Aggregation) -> Question:
        """What to release: ``agg(patients=heart.count(), pressure=heart.pressure.mean())``."""
        return self.frame.asked(named)

    def count(self) -> Aggregation:
        """How many rows are left."""
        return Aggregation(self.frame, Count("count"))

    def people(self) -> Aggregation:
        """How many people have a row left."""
        return Aggregation(self.frame, People("people"))

    def linear(self, *, target: str | ColumnExpression, features: Sequence[str | ColumnExpression]) -> Aggregation:
        """A linear regression of ``target`` on ``features`` by least squares, from sums: one release.

        Coefficients come with their standard errors by sampling, and ± of the noise.
        """
        names = (*self._names(features, "features"), self.frame.name_of(target))
        return Aggregation(self.frame, Moments("linear", names, "linear"))

    def logistic(
        self, *, target: str | ColumnExpression, features: Sequence[str | ColumnExpression], rounds: int = 5
    ) -> Rounds:
        """A logistic regression of a boolean ``target`` on ``features`` by Newton's method.

        Each round is a release of its own, charged as such; ``preview`` shows the price of all of them.
        """
        from stead.client.rounds import logistic_rounds

        return logistic_rounds(self.frame, self.frame.name_of(target), self._names(features, "features"), rounds)

    def kaplan_meier(
        self, *, time: str | ColumnExpression, event: str | ColumnExpression, edges: Sequence[float]
    ) -> Aggregation:
        """The survival curve: the part that is without the event, at each of the ``edges`` of time but the first."""
        return self._survival("kaplan-meier", (time, event), edges)

    def nelson_aalen(
        self, *, time: str | ColumnExpression, event: str | ColumnExpression, edges: Sequence[float]
    ) -> Aggregation:
        """The cumulative hazard at each of the ``edges`` of time but the first."""
        return self._survival("nelson-aalen", (time, event), edges)

    def log_rank(
        self, *, time: str | ColumnExpression, event: str | ColumnExpression, edges: Sequence[float]
    ) -> Aggregation:
        """Whether the groups have the same hazard: the log-rank test, with the noise as part of it."""
        return self._survival("log-rank", (time, event), edges)

    def __getitem__(self, column: str) -> ColumnExpression:
        if not isinstance(column, str):
            raise UsageError(
                f"remote rows cannot be taken out by {type(column).__name__}: in brackets stands one column's name.",
                hint=".filter(condition) keeps rows, .select(columns) columns; heart.mock has rows to look at",
            )
        return ColumnExpression(self.frame, self.frame.schema.column(column))

    def _survival(
        self, show: Curve, columns: tuple[str | ColumnExpression, str | ColumnExpression], edges: Sequence[float]
    ) -> Aggregation:
        time, event = (self.frame.name_of(column) for column in columns)
        listed = several(edges, "the edges of time", "for example edges=[0, 90, 180, 365]")
        cells = tuple(as_border(edge, "an edge") for edge in listed)
        return Aggregation(self.frame, Survival(show.replace("-", "_"), time, event, cells, show))

    def _names(self, columns: Sequence[str | ColumnExpression], what: str) -> tuple[str, ...]:
        listed = several(columns, f"{what}=", f'for example {what}=["age", "sex"]')
        return tuple(self.frame.name_of(column) for column in listed)


def column_or_verb(schema: Schema, name: str, verbs: Iterable[str]) -> str:
    """``name``, if it is a column.

    Args:
        schema: the table's.
        name: an attribute that was asked for.
        verbs: what else the object has; the nearest is offered where nothing has that name.

    Raises:
        UnknownColumn: it is no column.
    """
    try:
        return schema.column(name).name
    except UnknownColumn as error:
        known = _OTHER_FRAMES.get(name)
        near = difflib.get_close_matches(name, [verb for verb in verbs if not verb.startswith("_")], n=1, cutoff=0.7)
        if known or near:
            error.hint = known or f"did you mean .{near[0]}?"
        raise
