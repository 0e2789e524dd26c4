"""A query in words and steps, as the owner who is to approve it reads it. Made from the plan and the schema alone."""

from __future__ import annotations

import msgspec

from stead.core.schema import Schema
from stead.errors import UsageError
from stead.plans.analysis import Contribution, Part, Usage, analyse, asked_schema, key_values, parts
from stead.plans.query import (
    Aggregate,
    Clip,
    Count,
    Derive,
    Distinct,
    Filter,
    Histogram,
    Join,
    LogisticScore,
    Mean,
    Moments,
    People,
    Quantile,
    Query,
    RowStep,
    Select,
    Sum,
    Survival,
    TopK,
)
from stead.plans.values import (
    And,
    Arithmetic,
    Case,
    Compare,
    CompareValues,
    Constant,
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

_ASKED = {"==": "is", "!=": "is not", "<": "is below", "<=": "is at most", ">": "is above", ">=": "is at least"}
_SHOWN = {
    "variance": "variance",
    "deviation": "standard deviation",
    "covariance": "covariance",
    "correlation": "correlation",
}
_CURVES = {
    "kaplan-meier": "the survival curve (Kaplan-Meier)",
    "nelson-aalen": "the cumulative hazard (Nelson-Aalen)",
    "log-rank": "the log-rank test between the groups",
}
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
    layout = parts(query, schema)
    found = analyse(query if query.sigmas else _with_any_noise(query, layout), schema)
    lines = [f"A question to {_quoted(query.dataset)} about each {schema.unit} of {_quoted(schema.population)}."]
    lines += [f"  {number}. {sentence}" for number, sentence in enumerate(_steps(query, schema), start=1)]
    cells = sum(part.size for part in layout)
    each = " for each key that is shown" if query.private_keys is not None else ""
    lines.append(
        f"Released: {cells} {'number' if cells == 1 else 'numbers'}{each}, each with noise. "
        f"{_used(found.usage, schema)}"
    )
    sigmas = query.sigmas or (None,) * len(layout)
    moved = zip(layout, found.l1 if query.noise == "laplace" else found.l2, found.linf, sigmas, strict=True)
    lines += [f"  - {_moved(query, part, norm, most, sigma)}" for part, norm, most, sigma in moved]
    if query.private_keys is not None:
        lines.append(f"  - {_private(query, found)}")
    return "\n".join(lines)


def _with_any_noise(query: Query, layout: tuple[Part, ...]) -> Query:
    return msgspec.structs.replace(query, sigmas=(1.0,) * len(layout))


def _used(used: Usage, schema: Schema) -> str:
    """What is used of one person, as bounded by the owner and by the plan."""
    rows = f"at most {used.rows} {'row' if used.rows == 1 else 'rows'} in use"
    chosen = ""
    if used.chosen:
        chosen = (
            f", in at most {used.groups} {'group' if used.groups == 1 else 'groups'} and at most "
            f"{used.rows_per_group} in each (those that come first)"
        )
    return f"One {schema.unit} has {rows}{chosen} and can move:"


def _private(query: Query, found: Contribution) -> str:
    keys = query.private_keys
    if keys is None:
        return ""
    most = found.usage.groups
    return (
        f"the numbers of people of at most {most} {'key' if most == 1 else 'keys'} by 1 each; the noise has "
        f"{_spread(query)} {keys.sigma:g}, and a key is shown from {keys.threshold} people on, noise included."
    )


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
    if isinstance(predicate, CompareValues):
        left, right = (_value(side, depth - 1) for side in (predicate.left, predicate.right))
        return f"{left} {_ASKED[predicate.op]} {right}"
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
    asked = asked_schema(query, schema)
    sentences = [_join(join) for join in query.joins]
    sentences += [_step(step) for step in query.steps]
    if query.group_by:
        groups = [f"{name} ({len(key_values(asked.column(name)))} values)" for name in query.group_by]
        sentences.append(f"make one group for each of {_joined(groups)};")
    if query.private_keys is not None:
        sentences.append(f"make one group for each value of {query.private_keys.column} that enough people have;")
    grouped = bool(query.group_by) or query.private_keys is not None
    sentences += [f"{_aggregate(aggregate)}{' in each group' if grouped else ''};" for aggregate in query.aggregates]
    sentences[-1] = sentences[-1][:-1] + "."
    return sentences


def _join(join: Join) -> str:
    rest = "leaving out who has none there" if join.how == "inner" else "missing for who has none there"
    return f"put {_listed(list(join.columns))} of the same person in {_quoted(join.dataset)} beside each row, {rest};"


def _step(step: RowStep) -> str:
    if isinstance(step, Filter):
        return f"keep the rows where {describe_predicate(step.where)};"
    if isinstance(step, Select):
        return f"go on with {_listed(list(step.columns))} only;"
    if isinstance(step, Clip):
        return f"move {step.column} into {_number(step.bounds.low)} to {_number(step.bounds.high)};"
    assert isinstance(step, Derive)  # noqa: S101 - the last kind of step
    return f"call {_value(step.value, _DEEPEST)} {_quoted(step.name)};"


def _value(value: Value, depth: int) -> str:  # noqa: PLR0911 - one case for each kind
    if depth == 0:
        raise UsageError("the value is nested too deep to be put in words.")
    match value:
        case Field():
            return value.column
        case Number():
            return _number(value.value)
        case Label():
            return _quoted(value.value)
        case Arithmetic():
            left, right = _value(value.left, depth - 1), _value(value.right, depth - 1)
            if value.op in ("min", "max"):
                return f"the {'smaller' if value.op == 'min' else 'larger'} of {left} and {right}"
            return f"({left} {value.op} {right})"
        case Unary():
            words = {"negate": "-", "absolute": "the absolute of ", "floor": "the floor of ", "root": "the root of "}
            return words[value.op] + _value(value.value, depth - 1)
        case Within():
            ends = f"{_number(value.bounds.low)} to {_number(value.bounds.high)}"
            return f"{_value(value.value, depth - 1)} moved into {ends}"
        case Truth():
            return f"whether {_condition(value.where, depth - 1)}"
        case Case() | Cut() | Relabel() | DatePart():
            return _choice(value, depth - 1)


def _choice(value: Case | Cut | Relabel | DatePart, depth: int) -> str:
    match value:
        case Case():
            branches = [f"{_value(found, depth)} where {_condition(where, depth)}" for where, found in value.branches]
            rest = "missing" if value.otherwise is None else _value(value.otherwise, depth)
            return f"({', else '.join([*branches, rest])})"
        case Cut():
            edges = _listed([_number(edge) for edge in value.edges])
            return f"the cell of {_value(value.value, depth)} among the edges {edges}"
        case Relabel():
            how = "begins with" if value.how == "prefix" else "is"
            entries = [f"{_quoted(label)} where it {how} {_quoted(key)}" for key, label in value.table]
            rest = "missing" if value.otherwise is None else _quoted(value.otherwise)
            return f"{value.column} as {', '.join(entries)}, else {rest}"
        case DatePart():
            return f"the {value.part.replace('_', ' ')} of {value.column}"


def _aggregate(aggregate: Aggregate) -> str:
    name = _quoted(aggregate.name)
    match aggregate:
        case Count():
            of = "rows" if aggregate.column is None else f"rows that hold a value of {aggregate.column}"
            return f"{name}: count the {of}"
        case People():
            of = "a row" if aggregate.column is None else f"a value of {aggregate.column}"
            return f"{name}: count the people who have {of}"
        case Distinct():
            return f"{name}: count the different values of {aggregate.column}"
        case Sum():
            return f"{name}: add up {aggregate.column}"
        case Mean():
            return f"{name}: the mean of {aggregate.column}, as a sum and a count"
        case Histogram() if aggregate.edges:
            return (
                f"{name}: count {aggregate.column} in {len(aggregate.edges) - 1} cells with the edges "
                f"{_listed([_number(edge) for edge in aggregate.edges])}"
            )
        case Histogram():
            return f"{name}: count the rows by {aggregate.column}"
        case _:
            return f"{name}: {_statistic(aggregate)}"


def _statistic(aggregate: Moments | Quantile | TopK | Survival | LogisticScore) -> str:
    match aggregate:
        case Moments(show="linear"):
            features = _joined(list(aggregate.columns[:-1]))
            return f"regress {aggregate.columns[-1]} on {features}, by sums of their products and a count"
        case Moments():
            of = _joined(list(aggregate.columns))
            return f"the {_SHOWN[aggregate.show]} of {of}, by sums of products and a count"
        case Quantile():
            at = _listed([_number(q) for q in aggregate.at])
            return f"the quantiles {at} of {aggregate.column}, by counts in a tree of cells"
        case TopK():
            return f"the {aggregate.k} most frequent values of {aggregate.column}, by counts of all its values"
        case Survival():
            counts = (
                f"events ({aggregate.event}) and censorings in {len(aggregate.edges) - 1} cells of {aggregate.time}"
            )
            return f"{_CURVES[aggregate.show]}, by {counts}"
        case LogisticScore():
            features = _joined(list(aggregate.features))
            return f"one step of a logistic regression of {aggregate.target} on {features}, by gradient and information"


def _moved(query: Query, part: Part, norm: float, most: int, sigma: float | None) -> str:
    name = _quoted(part.aggregate)
    if part.kind == "sum":
        text = f"the sum of {name} by at most {most * part.step:g} ({most} steps of {part.step:g})"
    elif part.kind in ("moments", "score"):
        text = f"the sums of {name} by at most {norm:.0f} steps of their lattices together"
    else:
        text = f"{'the counts' if part.size > 1 else 'the count'} of {name} by at most {most}"
        if norm != most:
            text += f" each and {norm:.6g} together"
    return text + ("." if sigma is None else f"; the noise has {_spread(query)} {sigma * part.step:g}.")


def _spread(query: Query) -> str:
    return "scale" if query.noise == "laplace" else "standard deviation"


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
