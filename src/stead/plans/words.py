"""A query in words and steps, as the owner who is to approve it reads it. Made from the plan and the schema alone."""

from __future__ import annotations

from stead.core.schema import Schema
from stead.errors import UsageError
from stead.plans.analysis import Part, analyse, key_values, parts
from stead.plans.query import (
    Aggregate,
    And,
    Compare,
    Constant,
    Count,
    Filter,
    IsIn,
    IsNull,
    Mean,
    Or,
    Predicate,
    Query,
    RowStep,
    Select,
    Sum,
)

_ASKED = {"==": "is", "!=": "is not", "<": "is below", "<=": "is at most", ">": "is above", ">=": "is at least"}
_DEEPEST = 64
_PLAIN = 1e15


def describe_query(query: Query, schema: Schema) -> str:
    """The question in sentences: which rows, which numbers, and how far one person can move each.

    Args:
        query: the question, with or without its sigmas.
        schema: the public description.

    Returns:
        Several lines of text, without a final newline.

    Raises:
        UsageError: the question cannot be asked (see ``stead.plans.analysis``).
    """
    layout = analyse(query, schema).parts if query.sigmas else parts(query, schema)
    lines = [f"A question to {_quoted(query.dataset)} about each {schema.unit} of {_quoted(schema.population)}."]
    lines += [f"  {number}. {sentence}" for number, sentence in enumerate(_steps(query, schema), start=1)]
    cells = sum(part.size for part in layout)
    rows = schema.rows_per_person
    lines.append(
        f"Released: {cells} {'number' if cells == 1 else 'numbers'}, each with noise. "
        f"One {schema.unit} has at most {rows} {'row' if rows == 1 else 'rows'} in use and can move:"
    )
    sigmas = query.sigmas or (None,) * len(layout)
    lines += [f"  - {_moved(part, rows, sigma)}" for part, sigma in zip(layout, sigmas, strict=True)]
    return "\n".join(lines)


def describe_predicate(predicate: Predicate) -> str:
    """A condition in words; a missing value makes every comparison false."""
    return _condition(predicate, _DEEPEST)


def _condition(predicate: Predicate, depth: int) -> str:
    if depth == 0:
        raise UsageError("the condition is nested too deep to be put in words.")
    if isinstance(predicate, Compare):
        return f"{predicate.column} {_ASKED[predicate.op]} {_constant(predicate.value)}"
    if isinstance(predicate, IsIn):
        return f"{predicate.column} is one of {_listed([_constant(value) for value in predicate.values])}"
    if isinstance(predicate, IsNull):
        return f"{predicate.column} is missing"
    if isinstance(predicate, And | Or):
        if not predicate.parts:
            return "always" if isinstance(predicate, And) else "never"
        word = " and " if isinstance(predicate, And) else " or "
        return word.join(_inner(part, depth - 1) for part in predicate.parts)
    return f"not ({_condition(predicate.part, depth - 1)})"


def _inner(predicate: Predicate, depth: int) -> str:
    text = _condition(predicate, depth)
    return f"({text})" if isinstance(predicate, And | Or) else text


def _steps(query: Query, schema: Schema) -> list[str]:
    sentences = [_step(step) for step in query.steps]
    if query.group_by:
        groups = [f"{name} ({len(key_values(schema.column(name)))} values)" for name in query.group_by]
        sentences.append(f"make one group for each of {_joined(groups)};")
    sentences += [
        f"{_aggregate(aggregate)}{' in each group' if query.group_by else ''};" for aggregate in query.aggregates
    ]
    sentences[-1] = sentences[-1][:-1] + "."
    return sentences


def _step(step: RowStep) -> str:
    if isinstance(step, Filter):
        return f"keep the rows where {describe_predicate(step.where)};"
    if isinstance(step, Select):
        return f"go on with {_listed(list(step.columns))} only;"
    return f"move {step.column} into {_number(step.bounds.low)} to {_number(step.bounds.high)};"


def _aggregate(aggregate: Aggregate) -> str:
    name = _quoted(aggregate.name)
    if isinstance(aggregate, Count):
        of = "rows" if aggregate.column is None else f"rows that hold a value of {aggregate.column}"
        return f"{name}: count the {of}"
    if isinstance(aggregate, Sum):
        return f"{name}: add up {aggregate.column}"
    if isinstance(aggregate, Mean):
        return f"{name}: the mean of {aggregate.column}, as a sum and a count"
    if aggregate.edges:
        return (
            f"{name}: count {aggregate.column} in {len(aggregate.edges) - 1} cells with the edges "
            f"{_listed([_number(edge) for edge in aggregate.edges])}"
        )
    return f"{name}: count the rows by {aggregate.column}"


def _moved(part: Part, rows: int, sigma: float | None) -> str:
    name = _quoted(part.aggregate)
    moves = rows * part.per_row
    if part.kind == "sum":
        text = f"the sum of {name} by at most {moves * part.step:g} ({moves} steps of {part.step:g})"
    else:
        text = f"{'the counts' if part.size > 1 else 'the count'} of {name} by at most {moves}"
    return text + ("." if sigma is None else f"; the noise has standard deviation {sigma * part.step:g}.")


def _constant(value: Constant) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value) if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    """All digits: what the owner reads is what will run."""
    return str(int(value)) if float(value).is_integer() and abs(value) < _PLAIN else repr(value)


def _quoted(text: str) -> str:
    """Text from a plan, with nothing in it that a terminal would act on."""
    return '"' + "".join(c if c.isprintable() and c != '"' else f"\\u{ord(c):04x}" for c in text[:128]) + '"'


def _listed(texts: list[str]) -> str:
    return _joined(texts) if texts else "nothing"


def _joined(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]
