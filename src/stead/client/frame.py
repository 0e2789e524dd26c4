"""``RemoteFrame``: a remote table and the steps so far, kept until an answer is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from stead.client import render
from stead.client.aggregation import Aggregation
from stead.client.cases import column_value
from stead.client.expressions import ColumnExpression
from stead.client.operators import as_condition, require_one_table
from stead.client.question import Question
from stead.client.selection import PrivateGroups, Selection, Source
from stead.client.texts import bounding_text, join_text, step_text
from stead.client.values import plain_number, several, whole_number
from stead.client.verbs import Verbs, column_or_verb
from stead.core.schema import Bounds, Schema
from stead.errors import UsageError
from stead.plans.query import Bounding, Clip, Derive, Filter, Join, RowStep, Select


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
