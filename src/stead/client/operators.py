"""What a notebook writes between columns: comparisons, ``& | ~`` and arithmetic, which end up as parts of a plan.

Nothing here looks at a value. What the words alone can rule out is refused as it is typed; ranges are worked out where
a column is made of them (``RemoteFrame.with_columns``).
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

import numpy as np

from stead.client.texts import predicate_text, value_text
from stead.client.values import plain_number, several, whole_number
from stead.core.dates import day, iso
from stead.core.schema import Bounds
from stead.errors import UnknownColumn, UsageError
from stead.plans.decode import edge_labels
from stead.plans.values import (
    And,
    Arithmetic,
    CompareValues,
    Comparison,
    Cut,
    Not,
    Number,
    Or,
    Predicate,
    Truth,
    Unary,
    Value,
    Within,
)

HIGHEST_POWER: Final = 8
_Sign = Literal["+", "-", "*", "/", "min", "max"]


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


class Operand(ABC):
    """A number of each row, from which others are made by arithmetic."""

    @abstractmethod
    def number(self) -> Value:
        """The number as the plan's value; raises ``UsageError`` where it is none."""

    @property
    @abstractmethod
    def dataset(self) -> str:
        """The dataset whose rows it is of; empty for any."""

    def __add__(self, other: object) -> Expression:
        return _arithmetic("+", self, other)

    def __radd__(self, other: object) -> Expression:
        return _arithmetic("+", other, self)

    def __sub__(self, other: object) -> Expression:
        return _arithmetic("-", self, other)

    def __rsub__(self, other: object) -> Expression:
        return _arithmetic("-", other, self)

    def __mul__(self, other: object) -> Expression:
        return _arithmetic("*", self, other)

    def __rmul__(self, other: object) -> Expression:
        return _arithmetic("*", other, self)

    def __truediv__(self, other: object) -> Expression:
        return _arithmetic("/", self, other)

    def __rtruediv__(self, other: object) -> Expression:
        return _arithmetic("/", other, self)

    def __pow__(self, power: object) -> Expression:
        """A small whole power, by multiplication."""
        times = whole_number(power, "a power")
        if not 1 <= times <= HIGHEST_POWER:
            raise UsageError(f"a power is 1 to {HIGHEST_POWER}; got {times}.", hint=".sqrt() is the root")
        value = self.number()
        # An even power of a number below zero is none: its range says so only if the sign goes first.
        factor = value if times % 2 or not self._may_be_negative() else Unary("absolute", value)
        found: Value = factor
        for _ in range(times - 1):
            found = Arithmetic("*", found, factor)
        return Expression(found, self.dataset)

    def __neg__(self) -> Expression:
        return Expression(Unary("negate", self.number()), self.dataset)

    def __abs__(self) -> Expression:
        return Expression(Unary("absolute", self.number()), self.dataset)

    def floor(self) -> Expression:
        """The whole number at or below it."""
        return Expression(Unary("floor", self.number()), self.dataset)

    def sqrt(self) -> Expression:
        """The root; of a number below zero it is missing."""
        return Expression(Unary("root", self.number()), self.dataset)

    def clip(self, low: object, high: object) -> Expression:
        """The number moved into ``[low, high]``: what gives a quotient its bounds."""
        ends = (as_border(low, "a bound"), as_border(high, "a bound"))
        return Expression(Within(self.number(), Bounds(*ends)), self.dataset)

    def cut(self, edges: Sequence[object], labels: Sequence[str] | None = None) -> Expression:
        """A category by cells: ``labels[i]`` from ``edges[i]`` up to ``edges[i + 1]``.

        Args:
            edges: ascending; the last cell holds both its edges, and a number outside all of them is missing.
            labels: one for each cell; ``"[0, 40)"`` and so on by default.
        """
        listed = several(edges, "the edges of cut", "for example heart.age.cut([0, 40, 65, 120])")
        borders = tuple(as_border(edge, "an edge") for edge in listed)
        named = several(labels, "labels", 'for example labels=["young", "old"]') if labels is not None else None
        if named is not None and not all(isinstance(label, str) for label in named):
            raise UsageError("the labels of cut are texts.", hint='labels=["young", "old"]')
        written = tuple(named) if named is not None else self._cells(borders)
        return Expression(Cut(self.number(), borders, written), self.dataset)

    def _may_be_negative(self) -> bool:
        return True

    def _cells(self, edges: tuple[float, ...]) -> tuple[str, ...]:
        return edge_labels(edges)


class Comparable(Operand, ABC):
    """An operand that conditions are made of as well."""

    @abstractmethod
    def compare(self, op: Comparison, other: object) -> Condition:
        """The comparison with a constant or with another number of the row."""

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return self.compare("==", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return self.compare("!=", value)

    def __lt__(self, value: object) -> Condition:
        return self.compare("<", value)

    def __le__(self, value: object) -> Condition:
        return self.compare("<=", value)

    def __gt__(self, value: object) -> Condition:
        return self.compare(">", value)

    def __ge__(self, value: object) -> Condition:
        return self.compare(">=", value)

    def __hash__(self) -> int:
        return hash(("operand", repr(self)))

    def min_of(self, other: object) -> Expression:
        """The smaller of a row's two numbers; missing where one of them is."""
        return _arithmetic("min", self, other)

    def max_of(self, other: object) -> Expression:
        """The larger of a row's two numbers; missing where one of them is."""
        return _arithmetic("max", self, other)

    def __invert__(self) -> Condition:
        """``~heart.disease``: the boolean column is false."""
        as_condition(self)
        return self.compare("==", other=False)

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

    def holds(self) -> Condition:
        """The condition that it is by itself: a boolean column only."""
        raise UsageError(
            "a number made of columns is no condition by itself.", hint="compare it: (heart.weight / 2) > 40"
        )


@dataclass(frozen=True, eq=False)
class Expression(Comparable):
    """A value made of a row's columns; ``with_columns`` gives it its name.

    Attributes:
        value: of the plan.
        dataset: whose columns it is made of.
    """

    value: Value
    dataset: str = ""

    def number(self) -> Value:
        """The value: a category among them is refused where its range is worked out."""
        return self.value

    def compare(self, op: Comparison, other: object) -> Condition:
        """The comparison with a number, or with another number of the row."""
        require_one_table(self, other)
        return Condition(CompareValues(self.number(), op, as_number(other)))

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnknownColumn(
            f"a value made of columns has no {name!r} before it has a name.",
            hint=f"frame = heart.with_columns(x={value_text(self.value)}), then frame.x.{name}",
        )

    def __repr__(self) -> str:
        return value_text(self.value)


def as_condition(where: object) -> Condition:
    """A condition from what was given to ``filter``: a ``Condition``, or a boolean column itself.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(where, Comparable):
        return where.holds()
    if isinstance(where, Condition):
        return where
    raise UsageError(
        f"expected a condition on columns, got {type(where).__name__}.",
        hint="for example heart.age > 40; put parentheses around each comparison beside & and |",
    )


def as_number(other: object) -> Value:
    """What stands on the other side of an operation, as a number of the plan.

    Raises:
        UsageError: it is neither a column, a value made of columns, a condition, a number nor a day.
    """
    if isinstance(other, Operand):
        return other.number()
    if isinstance(other, Condition):
        return Truth(other.predicate)
    plain = other.item() if isinstance(other, np.generic) else other
    if isinstance(plain, dt.date) and not isinstance(plain, dt.datetime):
        return Number(day(plain.isoformat()))
    if isinstance(plain, bool | str | bytes) or plain is None:
        raise UsageError(
            f"a number made of columns is not reckoned with {plain!r}.",
            hint="numbers, days (datetime.date) and other columns can stand there",
        )
    number = plain_number(plain, "what a column is reckoned with")
    if not math.isfinite(number):
        raise UsageError(f"a constant must be a finite number; got {number:g}.")
    return Number(number)


def require_one_table(*operands: object) -> None:
    """Refuse columns of different datasets in one expression.

    Raises:
        UsageError: they are of two datasets.
    """
    names = dict.fromkeys(each.dataset for each in operands if isinstance(each, Operand) and each.dataset)
    if len(names) > 1:
        first, other = list(names)[:2]
        raise UsageError(
            f"columns of {first!r} and of {other!r} stand in one expression.",
            hint=f"join them first: frame = {first}.join({other}, columns=[…]), then take both from the frame",
        )


def day_labels(edges: tuple[float, ...]) -> tuple[str, ...]:
    """What the cells between days are called: ``[2020-01-01, 2021-01-01)``."""
    days = [iso(edge) for edge in edges]
    last = len(days) - 2
    return tuple(f"[{low}, {high}{']' if i == last else ')'}" for i, (low, high) in enumerate(itertools.pairwise(days)))


def _arithmetic(op: _Sign, left: object, right: object) -> Expression:
    require_one_table(left, right)
    dataset = next((each.dataset for each in (left, right) if isinstance(each, Operand) and each.dataset), "")
    return Expression(Arithmetic(op, as_number(left), as_number(right)), dataset)


def as_border(value: object, what: str) -> float:
    """A bound or edge: a number, or a day."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return day(value.isoformat())
    if isinstance(value, str) and value[:1].isdigit() and value.count("-") == 2:
        return day(value)
    return plain_number(value, what)


def _parts(condition: Condition, kind: type[And | Or]) -> tuple[Predicate, ...]:
    predicate = condition.predicate
    return predicate.parts if isinstance(predicate, kind) else (predicate,)
