"""``when(condition).then(value)…otherwise(value)``: a column by cases, as in Polars."""

from __future__ import annotations

from dataclasses import dataclass

from stead.client.operators import Condition, Expression, Operand, as_condition, as_number
from stead.errors import UsageError
from stead.plans.values import And, Case, Label, Or, Predicate, Truth, Value

Branches = tuple[tuple[Predicate, Value], ...]


@dataclass(frozen=True)
class When:
    """A condition that waits for its value."""

    branches: Branches
    where: Predicate
    dataset: str = ""

    def then(self, value: object) -> Then:
        """The value of the rows where the condition holds (and no earlier one): a number, a truth or a label."""
        dataset = self.dataset or (value.dataset if isinstance(value, Operand) else "")
        return Then((*self.branches, (self.where, branch_value(value))), dataset)

    def __repr__(self) -> str:
        return "when(…): .then(value) is missing"


@dataclass(frozen=True)
class Then:
    """Cases so far; the rows that none of them holds for are missing."""

    branches: Branches
    dataset: str = ""

    def when(self, condition: object) -> When:
        """A further case, for the rows that no earlier one holds for."""
        return When(self.branches, as_condition(condition).predicate, self.dataset)

    def otherwise(self, value: object) -> Expression:
        """The value of all other rows."""
        return Expression(Case(self.branches, branch_value(value)), self.dataset)

    @property
    def expression(self) -> Expression:
        """The cases as they are: missing where none holds."""
        return Expression(Case(self.branches), self.dataset)


def when(condition: object) -> When:
    """Begin a column by cases: ``stead.when(heart.age > 65).then("old").otherwise("young")``.

    Args:
        condition: on columns.

    Raises:
        UsageError: it is no condition.
    """
    return When((), as_condition(condition).predicate)


def branch_value(value: object) -> Value:
    """What a case gives its rows: a label for a text, else a number or a truth.

    Raises:
        UsageError: it is nothing of these.
    """
    if isinstance(value, str):
        return Label(value)
    if isinstance(value, bool):
        return Truth(And(()) if value else Or(()))
    return as_number(value)


def column_value(name: str, value: object) -> Value:
    """What ``with_columns(name=value)`` makes a column of.

    Raises:
        UsageError: it is no value of a row.
    """
    if isinstance(value, Then):
        return value.expression.value
    if isinstance(value, When):
        raise UsageError(f"{name}: when(…) has no value yet.", hint="when(condition).then(value).otherwise(value)")
    if isinstance(value, Condition | Operand | int | float) and not isinstance(value, bool):
        return as_number(value)
    raise UsageError(
        f"{name} is {type(value).__name__}; a column is made of columns.",
        hint=f"for example {name}=heart.weight / 2, or {name}=stead.when(heart.age > 65).then(1).otherwise(0)",
    )
