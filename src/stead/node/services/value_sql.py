"""Values and conditions of a checked query as DuckDB's SQL: fixed words, column numbers and bound parameters.

Each operation becomes a column of its own in one more common table expression, so that an operand is written down once
however often its operation looks at it. What an operation does with missing operands and at the edge of its domain is
what ``stead.plans.evaluate`` does.
"""

# ruff: noqa: S608 - the text is fixed words and numbers of columns; tests/attacks/test_queries.py holds it to that

from __future__ import annotations

import re
from typing import Any

from stead.core.schema import Bounds, Column, Schema
from stead.plans.predicates import constant
from stead.plans.values import (
    LEAST_DIVISOR,
    And,
    Arithmetic,
    Case,
    Compare,
    CompareValues,
    Cut,
    DatePart,
    Field,
    IsIn,
    IsNull,
    Label,
    Number,
    Or,
    Predicate,
    Relabel,
    Truth,
    Unary,
    Value,
    Within,
)

OPERATORS = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_DATE_PARTS = {
    "year": "year",
    "quarter": "quarter",
    "month": "month",
    "day": "day",
    "weekday": "isodow",
    "day_of_year": "dayofyear",
}

_STORED = {"text": "VARCHAR", "category": "INTEGER", "boolean": "BOOLEAN"}
_KEPT = re.compile(r"\bv[0-9]+\b")

Fragment = tuple[str, list[Any]]
"""SQL text, and the parameters of its question marks in their order."""


class Rows:
    """The row steps as common table expressions, their parameters in the order of the text.

    Columns that wait for their table are gathered by what they read: as many tables as operations stand one after
    another, and not as many as there are operations. What is written twice is computed once.

    Args:
        schema: of the rows that are read.
        asked: the same with the columns that the query derives.
    """

    def __init__(self, schema: Schema, asked: Schema) -> None:
        self.schema = asked
        self.cells = {column.name: f"c{index}" for index, column in enumerate(schema.columns)}
        self._tables: list[str] = []
        self._parameters: list[Any] = []
        self._names: dict[str, str] = {}
        self._level: dict[str, int] = {}
        self._waiting: list[list[Fragment]] = []

    @property
    def tables(self) -> list[str]:
        """The tables so far, the first of them made by the caller."""
        waiting, self._waiting = self._waiting, []
        for columns in waiting:
            count, kept = len(self._tables), ", ".join(text for text, _ in columns)
            self._tables.append(f"t{count} AS (SELECT *, {kept} FROM t{count - 1})")
            self.parameters += [value for _, values in columns for value in values]
        self._level = {}
        return self._tables

    @property
    def parameters(self) -> list[Any]:
        """Those of ``tables``, in the order of their text, whichever of the two is asked for first."""
        _ = self.tables  # what waits comes first
        return self._parameters

    @parameters.setter
    def parameters(self, parameters: list[Any]) -> None:
        self._parameters = parameters

    @property
    def last(self) -> str:
        """The name of the newest table."""
        return f"t{len(self.tables) - 1}"

    def add(self, select: str, parameters: list[Any]) -> None:
        """One more table that reads the one before it, written ``{before}``."""
        before = self.last  # what waits comes first
        self.tables.append(f"t{len(self.tables)} AS ({select.format(before=before)})")
        self.parameters += parameters

    def keep(self, fragment: Fragment) -> Fragment:
        """Give the fragment's result a column of its own; the column's name stands for it from now on."""
        written = f"{fragment[0]} {fragment[1]!r}"
        if written in self._names:
            return self._names[written], []
        name = self._names[written] = f"v{len(self._names)}"
        level = max((self._level[read] + 1 for read in _KEPT.findall(fragment[0]) if read in self._level), default=0)
        if level == len(self._waiting):
            self._waiting.append([])
        self._waiting[level].append((f"{fragment[0]} AS {name}", fragment[1]))
        self._level[name] = level
        return name, []

    def derive(self, column: Column, value: Value) -> None:
        """The column that a step derives; a number is moved into the range that its analysis gave."""
        found = self.value(value, column)
        if column.bounds is not None:
            found = clipped(self.keep(found)[0], column.bounds)
        elif column.kind == "boolean":
            found = f"CAST({found[0]} AS BOOLEAN)", found[1]
        else:
            found = f"CAST({found[0]} AS INTEGER)", found[1]
        self.cells[column.name] = self.keep(found)[0]

    def value(self, value: Value, column: Column | None = None) -> Fragment:  # noqa: PLR0911 - one for each kind
        """A value as SQL: a DOUBLE, or the index of a label among the categories of ``column``."""
        match value:
            case Field():
                return f"CAST({self.cells[value.column]} AS DOUBLE)", []
            case Number():
                return "CAST(? AS DOUBLE)", [value.value]
            case Label():
                return "CAST(? AS DOUBLE)", [float(_labels(column).index(value.value))]
            case Arithmetic():
                return self._arithmetic(value)
            case Unary():
                return self._unary(value)
            case Within():
                return clipped(self.keep(self.value(value.value))[0], value.bounds)
            case Truth():
                text, parameters = self.truth(value.where)
                return f"CAST({text} AS DOUBLE)", parameters
            case Case():
                return self._case(value, column)
            case DatePart():
                day = f"DATE '1970-01-01' + CAST(floor({self.cells[value.column]}) AS INTEGER)"
                return f"CAST({_DATE_PARTS[value.part]}({day}) AS DOUBLE)", []
            case Cut():
                return self._cut(value)
            case Relabel():
                return self._relabel(value, _labels(column))

    def where(self, predicate: Predicate) -> Fragment:
        """A condition for WHERE, which takes NULL as false: comparisons stay bare, which DuckDB does fastest."""
        if isinstance(predicate, And) and predicate.parts:
            found = [self.where(part) for part in predicate.parts]
            return " AND ".join(text for text, _ in found), [value for _, values in found for value in values]
        if isinstance(predicate, Compare | IsIn):
            return self._constants(predicate)
        return self.truth(predicate)

    def truth(self, predicate: Predicate) -> Fragment:
        """A two-valued condition."""
        if isinstance(predicate, And | Or):
            word, empty = (" AND ", "TRUE") if isinstance(predicate, And) else (" OR ", "FALSE")
            found = [self.truth(part) for part in predicate.parts]
            text = word.join(text for text, _ in found) or empty
            return f"({text})", [parameter for _, parameters in found for parameter in parameters]
        if isinstance(predicate, CompareValues):
            left, right = self.value(predicate.left), self.value(predicate.right)
            return f"COALESCE({left[0]} {OPERATORS[predicate.op]} {right[0]}, FALSE)", [*left[1], *right[1]]
        if isinstance(predicate, IsNull):
            return f"({self.cells[predicate.column]} IS NULL)", []
        if isinstance(predicate, Compare | IsIn):
            text, parameters = self._constants(predicate)
            return f"COALESCE({text}, FALSE)", parameters
        text, parameters = self.truth(predicate.part)
        return f"(NOT {text})", parameters

    def _constants(self, predicate: Compare | IsIn) -> Fragment:
        """A comparison with constants of the stored type; NULL where the cell is."""
        column, cell = self.schema.column(predicate.column), self.cells[predicate.column]
        kind = _STORED.get(column.kind, "DOUBLE")
        values = predicate.values if isinstance(predicate, IsIn) else (predicate.value,)
        parameters = [constant(column, value, "filter") for value in values]
        if isinstance(predicate, Compare):
            return f"{cell} {OPERATORS[predicate.op]} CAST(? AS {kind})", list(parameters)
        listed = ", ".join(f"CAST(? AS {kind})" for _ in values)
        return f"{cell} IN ({listed})" if values else "FALSE", list(parameters)

    def _arithmetic(self, value: Arithmetic) -> Fragment:
        left, right = self.keep(self.value(value.left)), self.keep(self.value(value.right))
        a, b = left[0], right[0]
        if value.op in ("+", "-", "*"):
            return f"({a} {value.op} {b})", []
        if value.op == "/":
            return f"CASE WHEN abs({b}) > CAST(? AS DOUBLE) THEN {a} / {b} END", [LEAST_DIVISOR]
        sign = "<=" if value.op == "min" else ">="
        return f"CASE WHEN {a} IS NULL OR {b} IS NULL THEN NULL WHEN {a} {sign} {b} THEN {a} ELSE {b} END", []

    def _unary(self, value: Unary) -> Fragment:
        cell = self.keep(self.value(value.value))[0]
        words = {"negate": f"(-{cell})", "absolute": f"abs({cell})", "floor": f"floor({cell})"}
        return words.get(value.op, f"CASE WHEN {cell} >= 0 THEN sqrt({cell}) END"), []

    def _case(self, value: Case, column: Column | None) -> Fragment:
        text: list[str] = []
        parameters: list[Any] = []
        for condition, result in value.branches:
            where, found = self.truth(condition), self.value(result, column)
            text.append(f"WHEN {where[0]} THEN {found[0]}")
            parameters += [*where[1], *found[1]]
        rest = ("CAST(NULL AS DOUBLE)", []) if value.otherwise is None else self.value(value.otherwise, column)
        return f"CASE {' '.join(text)} ELSE {rest[0]} END", [*parameters, *rest[1]]

    def _cut(self, value: Cut) -> Fragment:
        cell = self.keep(self.value(value.value))[0]
        parameters: list[Any] = [value.edges[0], value.edges[-1]]
        place = search(cell, value.edges[:-1], parameters)
        return f"CASE WHEN {cell} >= CAST(? AS DOUBLE) AND {cell} <= CAST(? AS DOUBLE) THEN {place} END", parameters

    def _relabel(self, value: Relabel, labels: tuple[str, ...]) -> Fragment:
        cell, source = self.cells[value.column], self.schema.column(value.column)
        places = {label: index for index, label in enumerate(labels)}
        rest = "NULL" if value.otherwise is None else str(places[value.otherwise])
        if source.kind == "category":
            codes = [_relabelled(value, category, places, rest) for category in source.categories]
            branches = " ".join(f"WHEN {cell} = {code} THEN {place}" for code, place in enumerate(codes))
            return f"CASE {branches} END", []
        test = "starts_with({0}, CAST(? AS VARCHAR))" if value.how == "prefix" else "{0} = CAST(? AS VARCHAR)"
        branches = " ".join(f"WHEN {test.format(cell)} THEN {places[label]}" for _, label in value.table)
        return f"CASE WHEN {cell} IS NULL THEN NULL {branches} ELSE {rest} END", [key for key, _ in value.table]


def clipped(cell: str, bounds: Bounds) -> Fragment:
    """The number moved into the bounds; missing stays missing."""
    text = (
        f"CASE WHEN {cell} < CAST(? AS DOUBLE) THEN CAST(? AS DOUBLE) "
        f"WHEN {cell} > CAST(? AS DOUBLE) THEN CAST(? AS DOUBLE) ELSE {cell} END"
    )
    return text, [bounds.low, bounds.low, bounds.high, bounds.high]


def search(cell: str, lefts: tuple[float, ...], parameters: list[Any], first: int = 0) -> str:
    """The index of the last of ``lefts`` that is not above the cell's value, by halving."""
    if len(lefts) == 1:
        return str(first)
    half = len(lefts) // 2
    parameters.append(lefts[half])
    left = search(cell, lefts[:half], parameters, first)
    right = search(cell, lefts[half:], parameters, first + half)
    return f"CASE WHEN {cell} < CAST(? AS DOUBLE) THEN {left} ELSE {right} END"


def _labels(column: Column | None) -> tuple[str, ...]:
    return () if column is None else column.categories


def _relabelled(value: Relabel, category: str, places: dict[str, int], rest: str) -> str:
    for key, label in value.table:
        if category.startswith(key) if value.how == "prefix" else category == key:
            return str(places[label])
    return rest
