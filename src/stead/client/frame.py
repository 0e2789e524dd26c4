"""``RemoteFrame``: the verbs of a data frame, kept as steps until an answer is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from stead.client import render
from stead.client.expressions import Aggregation, ColumnExpression, as_condition, predicate_text
from stead.client.question import Question, Source
from stead.client.values import plain_number
from stead.core.schema import Bounds, Schema
from stead.errors import UnknownColumn, UsageError
from stead.plans.query import Clip, Filter, RowStep, Select

# What other data frames call it, and what is meant here.
_OTHER_FRAMES: Final = {
    "head": "real rows never leave; .mock.head() of the dataset shows made-up ones",
    "columns": "the columns are in .schema.columns",
    "dtypes": "the columns' kinds are in .schema.columns",
    "shape": "the public size is .schema.people; .count() asks for a noisy one",
    "describe": "ask for it: .agg(n=heart.count(), age=heart.age.mean())",
}


@dataclass(frozen=True, eq=False)
class RemoteFrame:
    """A remote table and the steps so far. Nothing runs, and nothing is sent, until an answer is asked for.

    Each verb gives a new frame; names follow Polars. ``frame.age`` and ``frame["age"]`` are columns.
    """

    source: Source
    steps: tuple[RowStep, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def schema(self) -> Schema:
        """The public schema of the table."""
        return self.source.schema

    def filter(self, *conditions: object) -> RemoteFrame:
        """Keep the rows for which all ``conditions`` hold: ``heart.filter(heart.age > 40, heart.sex == "F")``."""
        self._before_grouping("filter")
        return replace(self, steps=self.steps + tuple(Filter(as_condition(each).predicate) for each in conditions))

    def select(self, *columns: str | ColumnExpression) -> RemoteFrame:
        """Later steps may name these columns only."""
        self._before_grouping("select")
        return replace(self, steps=(*self.steps, Select(tuple(self._name(column) for column in columns))))

    def clip(self, column: str | ColumnExpression, low: float, high: float) -> RemoteFrame:
        """Move a numeric column's values into ``[low, high]``: a narrower range has less noise in its sum and mean."""
        self._before_grouping("clip")
        bounds = Bounds(plain_number(low, "a bound"), plain_number(high, "a bound"))
        return replace(self, steps=(*self.steps, Clip(self._name(column), bounds)))

    def group_by(self, *columns: str | ColumnExpression) -> RemoteFrame:
        """Answer by group: category or boolean columns, whose declared values make the groups, present or not."""
        self._before_grouping("group_by")
        names = tuple(self._name(column) for column in columns)
        for name in names:
            kind = self.schema.column(name).kind
            if kind not in ("category", "boolean"):
                raise UsageError(
                    f"column {name!r} is {kind}: groups need a category or boolean column, whose values are public.",
                    hint="" if kind == "text" else f"heart.{name}.histogram([...]) counts by cells of a number",
                )
        return replace(self, keys=names)

    def agg(self, **named: Aggregation) -> Question:
        """What to release: ``agg(patients=heart.count(), pressure=heart.pressure.mean())``."""
        if not named:
            raise UsageError("agg() needs at least one aggregate.", hint="for example agg(patients=heart.count())")
        for name, aggregation in named.items():
            if not isinstance(aggregation, Aggregation):
                raise UsageError(
                    f"{name} is {type(aggregation).__name__}, not an aggregate.", hint=f"{name}=heart.count()"
                )
            self._same_table(name, aggregation)
        aggregates = tuple(aggregation.named(name) for name, aggregation in named.items())
        question = Question(self.source, self.steps, self.keys, aggregates)
        question.parts()
        return question

    def count(self) -> Aggregation:
        """How many rows are left."""
        return Aggregation(self, "count")

    def explain(self) -> str:
        """The steps so far, as they would be sent."""
        return "\n".join([self.source.title, *(f"  {line}" for line in self._lines())])

    def __getitem__(self, column: str) -> ColumnExpression:
        if not isinstance(column, str):
            raise UsageError(
                f"remote rows cannot be taken out by {type(column).__name__}: in brackets stands one column's name.",
                hint=".filter(condition) keeps rows, .select(columns) columns; heart.mock has rows to look at",
            )
        return ColumnExpression(self, self.schema.column(column))

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
        lines = [_step_text(step) for step in self.steps]
        if self.keys:
            lines.append("group by " + ", ".join(self.keys))
        return lines or ["all rows"]

    def _before_grouping(self, verb: str) -> None:
        if self.keys:
            raise UsageError(f"{verb}() comes before group_by(): the order of a query is rows, groups, aggregates.")

    def _name(self, column: str | ColumnExpression) -> str:
        return column.name if isinstance(column, ColumnExpression) else self.schema.column(column).name

    def _same_table(self, name: str, aggregation: Aggregation) -> None:
        theirs = aggregation.frame
        if theirs.source.name != self.source.name or theirs.source.schema != self.schema:
            raise UsageError(f"{name} is an aggregate of {theirs.source.title}, not of {self.source.title}.")
        if theirs.steps != self.steps[: len(theirs.steps)]:
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


def _step_text(step: RowStep) -> str:
    if isinstance(step, Filter):
        return "filter " + predicate_text(step.where)
    if isinstance(step, Select):
        return "select " + ", ".join(step.columns)
    return f"clip {step.column} {step.bounds.low:g}–{step.bounds.high:g}"
