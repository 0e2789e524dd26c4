"""Columns as a notebook writes them: ``heart.age > 40``, ``heart.weight / heart.height**2``, ``heart.pressure.mean()``.

Nothing here looks at a value: an expression is a few words that end up in a ``Query``. Whatever the owner's public
schema can rule out is refused as it is typed, with the nearest thing that would be right.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stead.client.aggregation import Aggregation, Table
from stead.client.measures import Measures
from stead.client.operators import (
    Condition,
    Expression,
    Operand,
    as_condition,
    as_number,
    day_labels,
    require_one_table,
)
from stead.client.values import several
from stead.core.dates import day, iso
from stead.core.schema import MAX_TEXT, Column
from stead.errors import UsageError
from stead.plans.decode import edge_labels
from stead.plans.values import (
    Compare,
    CompareValues,
    Comparison,
    Constant,
    DatePart,
    Field,
    IsIn,
    IsNull,
    Relabel,
    Value,
)

_Part = Literal["year", "quarter", "month", "day", "weekday", "day_of_year"]


@dataclass(frozen=True, eq=False)
class ColumnExpression(Measures):
    """A column of a remote table: compare it, reckon with it, or ask about it."""

    frame: Table
    declared: Column

    @property
    def name(self) -> str:
        """The column's name."""
        return self.declared.name

    @property
    def table(self) -> Table:
        """The frame that it is a column of."""
        return self.frame

    @property
    def column(self) -> Column:
        """Its declaration."""
        return self.declared

    @property
    def dataset(self) -> str:
        """The dataset's name."""
        return self.frame.selection.source.name if self.frame is not None else ""

    def number(self) -> Value:
        """The column as a number: of a date its day, of a boolean 0 or 1."""
        if self.declared.kind in ("category", "text"):
            raise UsageError(
                f"column {self.name!r} is {self.declared.kind}: it is no number to reckon with.",
                hint=f"compare it (heart.{self.name} == …), or heart.{self.name}.relabel({{…}}) to other categories",
            )
        return Field(self.name)

    def compare(self, op: Comparison, other: object) -> Condition:
        """The comparison with a constant of the column's kind, or with another number of the row."""
        declared = self.declared
        if isinstance(other, Operand):
            require_one_table(self, other)
            return Condition(CompareValues(self.number(), op, as_number(other)))
        if declared.kind in ("category", "boolean", "text") and op not in ("==", "!="):
            raise UsageError(f"column {self.name!r} is {declared.kind}: it has no order to compare by {op}.")
        return Condition(Compare(self.name, op, _constant(declared, other)))

    def holds(self) -> Condition:
        """The condition that a boolean column is by itself."""
        if self.declared.kind != "boolean":
            raise UsageError(
                f"column {self.name!r} is {self.declared.kind}: only a boolean column is a condition by itself.",
                hint=f"compare it: heart.{self.name} == …",
            )
        return self.compare("==", other=True)

    def is_in(self, values: Iterable[Constant]) -> Condition:
        """The value is one of ``values``; NULL is in nothing."""
        listed = several(values, "what is_in looks in", f"for example heart.{self.name}.is_in([{values!r}])")
        return Condition(IsIn(self.name, tuple(_constant(self.declared, value) for value in listed)))

    def is_null(self) -> Condition:
        """The value is missing (NULL or NaN)."""
        return Condition(IsNull(self.name))

    def relabel(self, table: Mapping[str, str], *, prefix: bool = False, otherwise: str | None = None) -> Expression:
        """A text or category column as another category: the label of the first entry that the value matches.

        Args:
            table: value to label, in the order in which they are tried.
            prefix: a value matches an entry that it begins with, as ``I21`` does ``I21.4``.
            otherwise: the label of a value that matches nothing; missing by default.
        """
        if not isinstance(table, Mapping) or not all(isinstance(text, str) for pair in table.items() for text in pair):
            raise UsageError(
                f"relabel takes a dictionary of texts; got {type(table).__name__}.",
                hint=f'heart.{self.name}.relabel({{"I21": "infarct"}}, prefix=True)',
            )
        if self.declared.kind not in ("text", "category"):
            raise UsageError(
                f"column {self.name!r} is {self.declared.kind}: texts and categories are relabelled.",
                hint=f"heart.{self.name}.cut([…]) makes categories of a number",
            )
        how: Literal["equal", "prefix"] = "prefix" if prefix else "equal"
        return Expression(Relabel(self.name, how, tuple(table.items()), otherwise), self.dataset)

    def year(self) -> Expression:
        """The year of a date."""
        return self._part("year")

    def quarter(self) -> Expression:
        """The quarter of a date's year, 1 to 4."""
        return self._part("quarter")

    def month(self) -> Expression:
        """The month of a date, 1 to 12."""
        return self._part("month")

    def day(self) -> Expression:
        """The day of a date's month, 1 to 31."""
        return self._part("day")

    def weekday(self) -> Expression:
        """The day of a date's week, 1 (Monday) to 7."""
        return self._part("weekday")

    def day_of_year(self) -> Expression:
        """The day of a date's year, 1 to 366."""
        return self._part("day_of_year")

    def _part(self, part: _Part) -> Expression:
        if self.declared.kind != "date":
            raise UsageError(f"column {self.name!r} is {self.declared.kind}: only a date has a {part}.")
        return Expression(DatePart(part, self.name), self.dataset)

    def _may_be_negative(self) -> bool:
        return self.declared.bounds is None or self.declared.bounds.low < 0

    def _cells(self, edges: tuple[float, ...]) -> tuple[str, ...]:
        return day_labels(edges) if self.declared.kind == "date" else edge_labels(edges)

    def __repr__(self) -> str:
        return f"{self.name} {column_text(self.declared)}"


def _constant(declared: Column, value: object) -> Constant:
    plain: Any = value.item() if isinstance(value, np.generic) else value
    match declared.kind:
        case "text":
            if not isinstance(plain, str) or not plain.strip() or len(plain) > MAX_TEXT:
                raise UsageError(
                    f"column {declared.name!r} is text: compare it to a text of 1 to {MAX_TEXT} characters, "
                    f"not {plain!r}."
                )
            return plain
        case "integer" | "real":
            if isinstance(plain, bool) or not isinstance(plain, int | float) or not math.isfinite(plain):
                raise UsageError(
                    f"column {declared.name!r} is {declared.kind}: compare it to a finite number, not {plain!r}."
                )
            return plain
        case "date":
            return _day(declared, plain)
        case "boolean":
            if not isinstance(plain, bool):
                raise UsageError(f"column {declared.name!r} is boolean: compare it to True or False, not {plain!r}.")
            return plain
    return _category(declared, plain)


def _category(declared: Column, value: object) -> str:
    if isinstance(value, str) and value in declared.categories:
        return value
    near = difflib.get_close_matches(str(value), declared.categories, n=1, cutoff=0.4)
    first = str(value)[:1].lower()
    near = near or [c for c in declared.categories if first and c.lower().startswith(first)][:1]
    hint = f'did you mean "{near[0]}"?' if near else "categories: " + ", ".join(declared.categories)
    raise UsageError(f"column {declared.name!r} has no category {value!r}.", hint=hint)


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


__all__ = ["Aggregation", "ColumnExpression", "Condition", "Expression", "as_condition", "column_text"]
