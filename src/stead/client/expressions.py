"""Columns, conditions and aggregations as a notebook writes them: ``heart.age > 40``, ``heart.pressure.mean()``.

Nothing here looks at a value: an expression is a few words that end up in a ``Query``. Whatever the owner's public
schema can rule out is refused as it is typed, with the nearest thing that would be right.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol

import numpy as np

from stead.client.answer import Answer
from stead.client.mock import MockRows
from stead.client.pending import Pending
from stead.client.preview import Preview
from stead.client.question import Question, Source
from stead.client.values import plain_number, several
from stead.core.dates import day, iso
from stead.core.schema import Column
from stead.errors import UsageError
from stead.plans.query import (
    Aggregate,
    And,
    Compare,
    Comparison,
    Constant,
    Count,
    Histogram,
    IsIn,
    IsNull,
    Mean,
    Not,
    Or,
    Predicate,
    RowStep,
    Sum,
)

AggregateKind = Literal["count", "sum", "mean", "histogram"]


class Table(Protocol):
    """The rows that an expression is about: a frame with its steps so far."""

    @property
    def source(self) -> Source:
        """The dataset."""
        ...

    @property
    def steps(self) -> tuple[RowStep, ...]:
        """The row steps so far."""
        ...

    def agg(self, **named: Aggregation) -> Question:
        """A question about these rows."""
        ...


@dataclass(frozen=True)
class Condition:
    """Which rows are kept: comparisons joined with ``&``, ``|`` and ``~``."""

    predicate: Predicate

    def __and__(self, other: object) -> Condition:
        """Both hold."""
        return Condition(And(_parts(self, And) + _parts(as_condition(other), And)))

    def __or__(self, other: object) -> Condition:
        """One of them holds, or both."""
        return Condition(Or(_parts(self, Or) + _parts(as_condition(other), Or)))

    def __invert__(self) -> Condition:
        """It does not hold; a comparison with NULL is false, so its negation is true."""
        return Condition(Not(self.predicate))

    def __bool__(self) -> NoReturn:
        """Refused: a condition on remote rows is neither true nor false here."""
        raise UsageError(
            "a condition on remote rows is neither true nor false here.",
            hint="join conditions with & | ~ and parentheses: (a > 1) & (a < 5), not `and`, `or`, `not`, `1 < a < 5`",
        )

    def __repr__(self) -> str:
        return predicate_text(self.predicate)


@dataclass(frozen=True, eq=False)
class ColumnExpression:
    """A column of a remote table: compare it to a constant, or aggregate it."""

    frame: Table
    declared: Column

    @property
    def name(self) -> str:
        """The column's name."""
        return self.declared.name

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return _compare(self, "==", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return _compare(self, "!=", value)

    def __lt__(self, value: object) -> Condition:
        return _compare(self, "<", value)

    def __le__(self, value: object) -> Condition:
        return _compare(self, "<=", value)

    def __gt__(self, value: object) -> Condition:
        return _compare(self, ">", value)

    def __ge__(self, value: object) -> Condition:
        return _compare(self, ">=", value)

    def __hash__(self) -> int:
        return hash(("column", self.name))

    def __invert__(self) -> Condition:
        """``~heart.disease``: the boolean column is false."""
        as_condition(self)
        return _compare(self, "==", value=False)

    def __and__(self, other: object) -> Condition:
        """Boolean columns join like conditions: ``heart.smoker & (heart.age > 40)``."""
        return as_condition(self) & other

    def __or__(self, other: object) -> Condition:
        """Boolean columns join like conditions."""
        return as_condition(self) | other

    def __rand__(self, other: object) -> Condition:
        """Refused: ``heart.age > 40 & heart.smoker`` without parentheses comes here."""
        return as_condition(other) & self

    def __ror__(self, other: object) -> Condition:
        """Refused, as ``__rand__``."""
        return as_condition(other) | self

    def is_in(self, values: Iterable[Constant]) -> Condition:
        """The value is one of ``values``; NULL is in nothing."""
        listed = several(values, "what is_in looks in", f"for example heart.{self.name}.is_in([{values!r}])")
        return Condition(IsIn(self.name, tuple(_constant(self.declared, value) for value in listed)))

    def is_null(self) -> Condition:
        """The value is missing (NULL or NaN)."""
        return Condition(IsNull(self.name))

    def count(self) -> Aggregation:
        """How many rows hold a value here."""
        return Aggregation(self.frame, "count", self.name)

    def sum(self) -> Aggregation:
        """The sum of the values; NULL counts as nothing."""
        return Aggregation(self.frame, "sum", _numeric(self.declared, "sum"))

    def mean(self) -> Aggregation:
        """The mean of the values that are there."""
        return Aggregation(self.frame, "mean", _numeric(self.declared, "mean"))

    def histogram(self, edges: Sequence[float] = ()) -> Aggregation:
        """Counts by cell.

        Args:
            edges: ascending cell borders in the column's unit; cells are left-closed, the last one closed on both
                sides. Left out for a category column, whose cells are its categories.
        """
        if self.declared.kind == "text":
            raise UsageError(f"column {self.name!r} is text, which can be neither asked about nor trained on.")
        borders = several(edges, "a histogram's edges", f"for example {self.name}.histogram([20, 40, 60])")
        if self.declared.kind == "category" and borders:
            raise UsageError(f"column {self.name!r} holds categories: its histogram takes no edges.")
        if self.declared.kind in ("integer", "real") and len(borders) < 2:
            bounds = self.declared.bounds
            hint = (
                f"for example {self.name}.histogram([{bounds.low:g}, {bounds.middle:g}, {bounds.high:g}])"
                if bounds
                else ""
            )
            raise UsageError(f"a histogram of the numeric column {self.name!r} needs at least two edges.", hint=hint)
        return Aggregation(self.frame, "histogram", self.name, tuple(plain_number(edge, "an edge") for edge in borders))

    def __repr__(self) -> str:
        return f"{self.name} {column_text(self.declared)}"


def _compare(column: ColumnExpression, op: Comparison, value: object) -> Condition:
    if isinstance(value, ColumnExpression):
        raise UsageError(
            f"{column.name!r} is compared to the column {value.name!r}: a column compares to a constant only.",
            hint=f"for example heart.{column.name} {op} 40",
        )
    if column.declared.kind in ("category", "boolean") and op not in ("==", "!="):
        raise UsageError(f"column {column.name!r} is {column.declared.kind}: it has no order to compare by {op}.")
    return Condition(Compare(column.name, op, _constant(column.declared, value)))


def _constant(declared: Column, value: object) -> Constant:
    kind = declared.kind
    plain = value.item() if isinstance(value, np.generic) else value
    if kind == "text":
        raise UsageError(f"column {declared.name!r} is text, which can be neither asked about nor trained on.")
    if kind in ("integer", "real"):
        if isinstance(plain, bool) or not isinstance(plain, int | float) or not math.isfinite(plain):
            raise UsageError(f"column {declared.name!r} is {kind}: compare it to a finite number, not {plain!r}.")
        return plain
    if kind == "date":
        return _day(declared, plain)
    if kind == "boolean":
        if not isinstance(plain, bool):
            raise UsageError(f"column {declared.name!r} is boolean: compare it to True or False, not {plain!r}.")
        return plain
    if not isinstance(plain, str) or plain not in declared.categories:
        near = difflib.get_close_matches(str(plain), declared.categories, n=1, cutoff=0.4)
        first = str(plain)[:1].lower()
        near = near or [c for c in declared.categories if first and c.lower().startswith(first)][:1]
        hint = f'did you mean "{near[0]}"?' if near else "categories: " + ", ".join(declared.categories)
        raise UsageError(f"column {declared.name!r} has no category {plain!r}.", hint=hint)
    return plain


def _day(declared: Column, value: object) -> float:
    """A day as a notebook writes it, as the plan's number of days."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = value.isoformat()
    if not isinstance(value, str):
        raise UsageError(
            f"column {declared.name!r} is date: compare it to a day, not {value!r}.",
            hint=f'for example heart.{declared.name} >= "{iso(declared.bounds.low) if declared.bounds else ""}"',
        )
    return day(value)


def _numeric(declared: Column, what: str) -> str:
    if declared.kind not in ("integer", "real", "boolean"):
        raise UsageError(
            f"column {declared.name!r} is {declared.kind}: it has no {what}.",
            hint=f"{declared.name}.histogram() counts its values" if declared.kind == "category" else "",
        )
    return declared.name


@dataclass(frozen=True)
class Aggregation:
    """What is asked about the rows: a count, sum, mean or histogram; given its name by ``agg``.

    Alone it is a question too: ``heart.age.mean().preview()``.
    """

    frame: Table
    kind: AggregateKind
    column: str | None = None
    edges: tuple[float, ...] = ()

    @property
    def default_name(self) -> str:
        """The name it takes when it is asked alone: ``age_mean``, ``count``."""
        return self.kind if self.column is None else f"{self.column}_{self.kind}"

    def named(self, name: str) -> Aggregate:
        """The aggregate of the plan, under the name of its result."""
        if self.kind == "count":
            return Count(name, self.column)
        column = self.column or ""
        if self.kind == "sum":
            return Sum(name, column)
        return Mean(name, column) if self.kind == "mean" else Histogram(name, column, self.edges)

    def question(self) -> Question:
        """This one aggregate as a complete question."""
        return self.frame.agg(**{self.default_name: self})

    def preview(self, *, within: float | None = None, sigmas: Sequence[float] | None = None) -> Preview:
        """What asking this alone would cost; see ``Question.preview``."""
        return self.question().preview(within=within, sigmas=sigmas)

    def answer(
        self, *, why: str = "", within: float | None = None, sigmas: Sequence[float] | None = None
    ) -> Answer | Pending:
        """Ask this alone; see ``Question.answer``."""
        return self.question().answer(why=why, within=within, sigmas=sigmas)

    def explain(self) -> str:
        """The steps in words; see ``Question.explain``."""
        return self.question().explain()

    def on_mock(self, rows: MockRows | None = None) -> Answer:
        """Evaluate it on mock rows; see ``Question.on_mock``."""
        return self.question().on_mock(rows)

    def __repr__(self) -> str:
        return f"{self.kind}({self.column or ''}{', edges=' + str(list(self.edges)) if self.edges else ''})"


def column_text(column: Column) -> str:
    """A column in a few words: ``int 18–100``, ``{F,M}``, ``float 60–220 mmHg``, ``date 1950-01-01 – 2025-12-31``."""
    if column.kind == "category":
        return "{" + ",".join(column.categories) + "}"
    short = {"integer": "int", "real": "float", "boolean": "bool"}.get(column.kind, column.kind)
    if column.bounds is None:
        return short
    if column.kind == "date":
        return f"{short} {iso(column.bounds.low)} – {iso(column.bounds.high)}"
    return f"{short} {column.bounds.low:g}–{column.bounds.high:g}{' ' + column.unit if column.unit else ''}"


def predicate_text(predicate: Predicate) -> str:
    """A condition as Python would write it."""
    if isinstance(predicate, Compare):
        return f"{predicate.column} {predicate.op} {predicate.value!r}"
    if isinstance(predicate, IsIn):
        return f"{predicate.column}.is_in({list(predicate.values)!r})"
    if isinstance(predicate, IsNull):
        return f"{predicate.column}.is_null()"
    if isinstance(predicate, Not):
        return f"~({predicate_text(predicate.part)})"
    sign = " & " if isinstance(predicate, And) else " | "
    return sign.join(f"({predicate_text(part)})" for part in predicate.parts)


def as_condition(where: object) -> Condition:
    """A condition from what was given to ``filter``: a ``Condition``, or a boolean column itself.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(where, ColumnExpression):
        if where.declared.kind != "boolean":
            raise UsageError(
                f"column {where.name!r} is {where.declared.kind}: only a boolean column is a condition by itself.",
                hint=f"compare it: heart.{where.name} == …",
            )
        return where == True  # noqa: E712 - builds a condition, compares nothing
    return _condition(where)


def _condition(value: object) -> Condition:
    if isinstance(value, Condition):
        return value
    raise UsageError(
        f"expected a condition on columns, got {type(value).__name__}.",
        hint="for example heart.age > 40; put parentheses around each comparison beside & and |",
    )


def _parts(condition: Condition, kind: type[And | Or]) -> tuple[Predicate, ...]:
    predicate = condition.predicate
    return predicate.parts if isinstance(predicate, kind) else (predicate,)
