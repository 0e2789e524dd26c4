"""``RemoteFrame``: a remote table and the steps so far, kept until an answer is asked for; and the verbs it shares."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from stead.client import render
from stead.client.aggregation import Aggregation
from stead.client.cases import column_value
from stead.client.expressions import ColumnExpression
from stead.client.operators import as_border, as_condition, require_one_table
from stead.client.question import Question
from stead.client.rounds import Rounds, logistic_rounds
from stead.client.selection import KEY_DELTA, PrivateGroups, Selection, Source
from stead.client.texts import bounding_text, join_text, step_text
from stead.client.values import plain_number, several, whole_number
from stead.core.schema import Bounds, Schema
from stead.errors import UnknownColumn, UsageError
from stead.plans.query import (
    Bounding,
    Clip,
    Count,
    Curve,
    Derive,
    Filter,
    Join,
    Moments,
    People,
    RowStep,
    Select,
    Survival,
)

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
        names = (*_names(self.frame, features), self.frame.name_of(target))
        return Aggregation(self.frame, Moments("linear", names, "linear"))

    def logistic(
        self, *, target: str | ColumnExpression, features: Sequence[str | ColumnExpression], rounds: int = 5
    ) -> Rounds:
        """A logistic regression of a boolean ``target`` on ``features`` by Newton's method.

        Each round is a release of its own, charged as such; ``preview`` shows the price of all of them.
        """
        return logistic_rounds(self.frame, self.frame.name_of(target), _names(self.frame, features), rounds)

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


@dataclass(frozen=True, eq=False)
class RemoteFrame(Verbs):
    """A remote table and the steps so far. Each verb gives a new frame; ``frame.age`` and ``frame["age"]`` are columns.

    Attributes:
        selection: the dataset, its joins and steps, and the groups.
    """

    selection: Selection

    @property
    def frame(self) -> RemoteFrame:
        """Itself."""
        return self

    @property
    def source(self) -> Source:
        """The dataset."""
        return self.selection.source

    @property
    def schema(self) -> Schema:
        """The public schema of the rows as they are now, with joined and derived columns."""
        return self.selection.schema

    def filtered(self, conditions: Sequence[object]) -> RemoteFrame:
        """See ``filter``."""
        return self._then("filter", *(Filter(as_condition(each).predicate) for each in conditions))

    def selected(self, columns: Sequence[str | ColumnExpression]) -> RemoteFrame:
        """See ``select``."""
        return self._then("select", Select(tuple(self.name_of(column) for column in columns)))

    def clipped(self, column: str | ColumnExpression, low: float, high: float) -> RemoteFrame:
        """See ``clip``."""
        bounds = Bounds(plain_number(low, "a bound"), plain_number(high, "a bound"))
        return self._then("clip", Clip(self.name_of(column), bounds))

    def derived(self, named: Mapping[str, object]) -> RemoteFrame:
        """See ``with_columns``."""
        if not named:
            raise UsageError("with_columns() needs a column.", hint="for example with_columns(old=heart.age > 65)")
        for value in named.values():
            require_one_table(self[self.schema.columns[0].name], value)
        steps = tuple(Derive(name, column_value(name, value)) for name, value in named.items())
        found = self._then("with_columns", *steps)
        _ = found.schema  # whatever has no bounds is told on this line
        return found

    def joined(self, other: Verbs, columns: Sequence[str | ColumnExpression], how: str) -> RemoteFrame:
        """See ``join``."""
        selection = self.selection
        if selection.steps or selection.bounding or selection.keys or selection.private:
            raise UsageError("join() comes first: the order of a query is joins, rows, groups, aggregates.")
        if not isinstance(other, Verbs):
            raise UsageError(
                f"another dataset is joined; got {type(other).__name__}.",
                hint='heart.join(north["lab"], columns=["ldl"])',
            )
        theirs = other.frame.selection
        if theirs != Selection(theirs.source):
            raise UsageError(
                "a dataset is joined as it is, before any step.", hint="join first, then filter the joined rows"
            )
        if theirs.source.site is not selection.source.site:
            raise UsageError(
                f"{theirs.source.title} is at another node than {selection.source.title}.",
                hint="rows of one person are joined at one node; stead.ask(question, sites) asks several nodes",
            )
        if how not in ("inner", "left"):
            raise UsageError(f"how is inner or left; got {how!r}.")
        listed = several(columns, "columns=", 'for example columns=["ldl"]')
        names = tuple(other.frame.name_of(column) for column in listed)
        join = Join(theirs.source.name, names, "left" if how == "left" else "inner")
        found = replace(self, selection=replace(selection, joins=(*selection.joins, join)))
        _ = found.schema
        return found

    def limited(self, rows: int | None, groups: int | None, rows_per_group: int | None) -> RemoteFrame:
        """See ``limit``; what is not given stays as it was."""
        given = {
            name: whole_number(most, f"{name}=")
            for name, most in (("rows", rows), ("groups", groups), ("rows_per_group", rows_per_group))
            if most is not None
        }
        if not given or any(most < 1 for most in given.values()):
            raise UsageError(
                "limit() bounds what is used of one person: numbers of 1 or more.",
                hint="limit(rows=3), limit(groups=1)",
            )
        bounding = msgspec.structs.replace(self.selection.bounding or Bounding(), **given)
        return replace(self, selection=replace(self.selection, bounding=bounding))

    def grouped(self, columns: Sequence[str | ColumnExpression]) -> RemoteFrame:
        """See ``group_by``."""
        _before_grouping(self.selection, "group_by")
        names = tuple(self.name_of(column) for column in columns)
        schema = self.schema
        for name in names:
            kind = schema.column(name).kind
            if kind in ("category", "boolean"):
                continue
            hint = f"heart.{name}.cut([…]) makes categories, heart.{name}.histogram([…]) counts by cells of a number"
            raise UsageError(
                f"column {name!r} is {kind}: groups need a category or boolean column, whose values are public.",
                hint=f"group_by_private({name!r}) shows the values that many people have" if kind == "text" else hint,
            )
        return replace(self, selection=replace(self.selection, keys=names))

    def grouped_privately(self, column: str | ColumnExpression, delta: float) -> RemoteFrame:
        """See ``group_by_private``; public groups may have been made before."""
        if self.selection.private is not None:
            raise UsageError("group_by_private() takes one column, once.")
        part = plain_number(delta, "delta")
        if not 0.0 < part < 1.0:
            raise UsageError(f"delta is a probability above 0; got {part:g}.", hint="delta=1e-8")
        name = self.name_of(column)
        if self.schema.column(name).kind == "real":
            raise UsageError(
                f"column {name!r} is real: keys are texts, whole numbers or dates.",
                hint=f"with_columns(whole=heart.{name}.floor()), then group_by_private('whole')",
            )
        return replace(self, selection=replace(self.selection, private=PrivateGroups(name, part)))

    def asked(self, named: Mapping[str, Aggregation]) -> Question:
        """See ``agg``."""
        if not named and self.selection.private is None:
            raise UsageError("agg() needs at least one aggregate.", hint="for example agg(patients=heart.count())")
        for name, aggregation in named.items():
            if not isinstance(aggregation, Aggregation):
                raise UsageError(
                    f"{name} is {type(aggregation).__name__}, not an aggregate.",
                    hint="ask it by itself: .preview(…), .answer(…), stead.ask(…)"
                    if hasattr(aggregation, "answer")
                    else f"{name}=heart.count()",
                )
            if name == "people" and self.selection.private is not None:
                raise UsageError(
                    "the number of people of each private key comes by itself, and is called people.",
                    hint="give the aggregate another name",
                )
            _require_same_rows(self.selection, name, aggregation)
        aggregates = tuple(aggregation.named(name) for name, aggregation in named.items())
        question = Question(self.selection, aggregates)
        question.parts()
        _ = self.selection.usage
        return question

    def name_of(self, column: str | ColumnExpression) -> str:
        """The name of a column that is there."""
        name = column.name if isinstance(column, ColumnExpression) else column
        if not isinstance(name, str):
            raise UsageError(
                f"a column or its name is meant; got {type(column).__name__}.",
                hint="a value made of columns gets a name first: with_columns(name=…)",
            )
        return self.schema.column(name).name

    def explain(self) -> str:
        """The steps so far, as they would be sent."""
        return "\n".join([self.source.title, *(f"  {line}" for line in self._lines())])

    def __getattr__(self, name: str) -> ColumnExpression:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[column_or_verb(self.schema, name, dir(type(self)))]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(c.name for c in self.schema.columns if c.name.isidentifier())})

    def __repr__(self) -> str:
        return f"{self.explain()}\n  next: .agg(name=heart.count(), …), then .preview(within=0.05)"

    def _repr_html_(self) -> str:
        return render.facts_html(self.source.title, [(str(i), line) for i, line in enumerate(self._lines(), 1)])

    def _lines(self) -> list[str]:
        asked = self.selection
        lines = [join_text(join) for join in asked.joins]
        lines += [step_text(step) for step in asked.steps]
        lines += [bounding_text(asked.bounding)] if asked.bounding is not None else []
        lines += ["group by " + ", ".join(asked.keys)] if asked.keys else []
        lines += [f"group by private {asked.private.column}"] if asked.private is not None else []
        return lines or ["all rows"]

    def _then(self, verb: str, *steps: RowStep) -> RemoteFrame:
        _before_grouping(self.selection, verb)
        return replace(self, selection=replace(self.selection, steps=self.selection.steps + steps))


def _names(frame: RemoteFrame, features: Sequence[str | ColumnExpression]) -> tuple[str, ...]:
    listed = several(features, "features=", 'for example features=["age", "sex"]')
    return tuple(frame.name_of(column) for column in listed)


def _before_grouping(selection: Selection, verb: str) -> None:
    if selection.keys or selection.private is not None:
        raise UsageError(f"{verb}() comes before group_by(): the order of a query is rows, groups, aggregates.")


def _require_same_rows(mine: Selection, name: str, aggregation: Aggregation) -> None:
    theirs = aggregation.frame.selection
    if theirs.source.name != mine.source.name or theirs.source.schema != mine.source.schema:
        raise UsageError(f"{name} is an aggregate of {theirs.source.title}, not of {mine.source.title}.")
    joins, steps = len(theirs.joins), len(theirs.steps)
    begun = theirs.joins == mine.joins[:joins] and theirs.steps == mine.steps[:steps]
    if not begun or theirs.bounding not in (None, mine.bounding):
        raise UsageError(
            f"{name} is an aggregate of other rows: its steps are not the beginning of this frame's steps.",
            hint="filter once, before agg(); ask about other rows in a question of its own",
        )


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
