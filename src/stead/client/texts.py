"""Steps, conditions and values of a plan as Python would write them: what a notebook shows of a frame."""

from __future__ import annotations

from typing import Final

from stead.plans.query import Bounding, Clip, Derive, Filter, Join, RowStep, Select
from stead.plans.values import (
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
    Not,
    Number,
    Predicate,
    Relabel,
    Truth,
    Unary,
    Value,
    Within,
)

_CALLS: Final = {"absolute": "abs({})", "negate": "-{}", "floor": "{}.floor()", "root": "{}.sqrt()"}


def predicate_text(predicate: Predicate) -> str:
    """A condition as Python would write it."""
    match predicate:
        case Compare():
            return f"{predicate.column} {predicate.op} {predicate.value!r}"
        case CompareValues():
            return f"{value_text(predicate.left)} {predicate.op} {value_text(predicate.right)}"
        case IsIn():
            return f"{predicate.column}.is_in({list(predicate.values)!r})"
        case IsNull():
            return f"{predicate.column}.is_null()"
        case Not():
            return f"~({predicate_text(predicate.part)})"
        case _:
            if not predicate.parts:
                return "True" if isinstance(predicate, And) else "False"
            sign = " & " if isinstance(predicate, And) else " | "
            return sign.join(f"({predicate_text(part)})" for part in predicate.parts)


def value_text(value: Value) -> str:  # noqa: PLR0911 - one return for each kind of value
    """A value as Python would write it."""
    match value:
        case Field():
            return value.column
        case Number():
            return f"{value.value:g}"
        case Label():
            return repr(value.value)
        case Arithmetic(op="min" | "max"):
            return f"{value_text(value.left)}.{value.op}_of({value_text(value.right)})"
        case Arithmetic():
            return f"({value_text(value.left)} {value.op} {value_text(value.right)})"
        case Unary():
            return _CALLS[value.op].format(value_text(value.value))
        case Within():
            return f"{value_text(value.value)}.clip({value.bounds.low:g}, {value.bounds.high:g})"
        case Truth():
            return f"({predicate_text(value.where)})"
        case _:
            return _category_text(value)


def _category_text(value: Case | DatePart | Cut | Relabel) -> str:
    match value:
        case Case():
            branches = ".".join(
                f"when({predicate_text(where)}).then({value_text(then)})" for where, then in value.branches
            )
            return branches + (f".otherwise({value_text(value.otherwise)})" if value.otherwise is not None else "")
        case DatePart():
            return f"{value.column}.{value.part}()"
        case Cut():
            return f"{value_text(value.value)}.cut({[float(f'{edge:g}') for edge in value.edges]})"
        case Relabel():
            return f"{value.column}.relabel({dict(value.table)!r})"


def step_text(step: RowStep) -> str:
    """A row step in one line."""
    match step:
        case Filter():
            return "filter " + predicate_text(step.where)
        case Select():
            return "select " + ", ".join(step.columns)
        case Clip():
            return f"clip {step.column} {step.bounds.low:g}–{step.bounds.high:g}"
        case Derive():
            return f"{step.name} = {value_text(step.value)}"


def join_text(join: Join) -> str:
    """A join in one line."""
    return f"join {join.dataset} ({join.how}): {', '.join(join.columns)}"


def bounding_text(bounding: Bounding) -> str:
    """The bounds of one person in one line."""
    named = (("rows", bounding.rows), ("groups", bounding.groups), ("rows per group", bounding.rows_per_group))
    return "limit " + ", ".join(f"{name} {most}" for name, most in named if most is not None)
