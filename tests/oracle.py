"""What a question's integers are, worked out a third way: row by row in plain Python, and by pandas. Loaded by path.

Nothing of ``stead.plans.evaluate``, ``blocks`` or ``sums`` is used; of the product only the question's structs and the
public layout of the answer, which says on what lattice a value is counted.
"""

import datetime as dt
import math
from fractions import Fraction

import numpy as np
import pandas as pd

from stead.plans.analysis import group_keys, parts
from stead.plans.query import (
    And,
    Clip,
    Compare,
    CompareValues,
    Derive,
    Filter,
    IsIn,
    IsNull,
    Or,
    Survival,
)
from stead.plans.scope import scope_of
from stead.plans.values import Arithmetic, Case, Cut, DatePart, Field, Label, Number, Relabel, Truth, Unary, Within

TESTS = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def missing(value):
    return value is None or (isinstance(value, float) and math.isnan(value))


def readable(column, value):
    """A cell of an owner's file as a question sees it."""
    if missing(value):
        return None
    if column.bounds is not None:
        return min(max(float(value), column.bounds.low), column.bounds.high)
    if column.kind == "text":
        return value.strip(" ")[:256] or None
    return value if column.kind == "boolean" or value in column.categories else None


def value_of(value, row):  # noqa: C901, PLR0911 - one case for each kind
    """One value of one row; ``None`` is missing."""
    match value:
        case Field():
            held = row[value.column]
            return float(held) if isinstance(held, bool) else held
        case Number() | Label():
            return value.value
        case Arithmetic():
            return _arithmetic(value.op, value_of(value.left, row), value_of(value.right, row))
        case Unary():
            return _unary(value.op, value_of(value.value, row))
        case Within():
            held = value_of(value.value, row)
            return None if held is None else min(max(held, value.bounds.low), value.bounds.high)
        case Truth():
            return float(true_for(value.where, row))
        case Case():
            for condition, result in value.branches:
                if true_for(condition, row):
                    return value_of(result, row)
            return None if value.otherwise is None else value_of(value.otherwise, row)
        case DatePart():
            return _date_part(value.part, row[value.column])
        case Cut():
            cell = cell_of(value_of(value.value, row), value.edges)
            return None if cell is None else value.labels[cell]
        case Relabel():
            held = row[value.column]
            if held is None:
                return None
            for key, label in value.table:
                if held == key or (value.how == "prefix" and held[: len(key)] == key):
                    return label
            return value.otherwise


def _arithmetic(op, a, b):
    if a is None or b is None:
        return None
    if op == "/":
        if abs(b) <= 2.0**-100:
            return None
        with np.errstate(all="ignore"):  # IEEE infinities, which Python's own floats refuse
            found = float(np.float64(a) / np.float64(b))
        return None if math.isnan(found) else found
    return {
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "min": lambda: min(a, b),
        "max": lambda: max(a, b),
    }[op]()


def _unary(op, held):
    if held is None or (op == "root" and held < 0):
        return None
    return {"negate": lambda: -held, "absolute": lambda: abs(held), "floor": lambda: float(math.floor(held))}.get(
        op, lambda: math.sqrt(held)
    )()


def _date_part(part, day):
    if day is None:
        return None
    date = dt.date(1970, 1, 1) + dt.timedelta(days=math.floor(day))
    found = {
        "year": date.year,
        "quarter": 1 + (date.month - 1) // 3,
        "month": date.month,
        "day": date.day,
        "weekday": date.isoweekday(),
        "day_of_year": date.timetuple().tm_yday,
    }
    return float(found[part])


def cell_of(held, edges):
    """The cell of a value, or ``None``: cells hold their left edge, the last one both."""
    if held is None or not edges[0] <= held <= edges[-1]:
        return None
    return max(i for i in range(len(edges) - 1) if edges[i] <= held)


def true_for(predicate, row):
    """One condition of one row."""
    if isinstance(predicate, And):
        return all(true_for(part, row) for part in predicate.parts)
    if isinstance(predicate, Or):
        return any(true_for(part, row) for part in predicate.parts)
    if isinstance(predicate, CompareValues):
        left, right = value_of(predicate.left, row), value_of(predicate.right, row)
        return left is not None and right is not None and TESTS[predicate.op](left, right)
    if isinstance(predicate, Compare):
        held = row[predicate.column]
        return held is not None and TESTS[predicate.op](held, predicate.value)
    if isinstance(predicate, IsIn):
        return row[predicate.column] is not None and row[predicate.column] in predicate.values
    if isinstance(predicate, IsNull):
        return row[predicate.column] is None
    return not true_for(predicate.part, row)


class Answer:
    """Integers of a question, with private keys by key; ``slack`` is how far each may be off by rounding of floats."""

    def __init__(self, vector, slack, keys=None, people=None):
        self.vector, self.slack, self.keys, self.people = vector, slack, keys, people


def read_frame(schema, table):
    """The rows in use, typed, with ``whose`` they are; not yet bounded."""
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in table.items()})
    whose = frame[schema.person].map(lambda who: who or None) if schema.person else pd.Series(frame.index, frame.index)
    for column in schema.columns:
        if column.name != schema.person:
            read = [readable(column, value) for value in frame[column.name]]
            frame[column.name] = pd.Series(read, index=frame.index, dtype=object)
    frame = frame.assign(**{"\0whose": whose})
    frame = frame[whose.notna()]
    return frame[frame.groupby("\0whose").cumcount() < schema.rows_per_person]


def joined_frame(left, right, join):
    """Each row of ``left`` with each of its person's rows of ``right``, in the order of both."""
    names = {name: f"{join.dataset}.{name}" if name in left.columns else name for name in join.columns}
    other = right[["\0whose", *join.columns]].rename(columns=names)
    if join.how == "inner":
        other = other.assign(**{"\0there": True})
    found = left.merge(other, on="\0whose", how=join.how, sort=False)
    found = found.astype(object).where(found.notna(), None)
    return found.drop(columns="\0there", errors="ignore")


def answer(query, schema, frame):
    """The integers of ``query`` over the frame's rows (of ``read_frame``, joined with others or not).

    Args:
        query: the question.
        schema: of the rows; joined, of the joined rows.
        frame: the rows.
    """
    bounding = query.bounding
    if bounding is not None and bounding.rows is not None:
        frame = frame[frame.groupby("\0whose").cumcount() < bounding.rows]
    rows = frame.to_dict("records")
    asked = scope_of(query, schema).schema
    for step in query.steps:
        if isinstance(step, Filter):
            rows = [row for row in rows if true_for(step.where, row)]
        elif isinstance(step, Clip):
            for row in rows:
                held = row[step.column]
                row[step.column] = None if held is None else min(max(held, step.bounds.low), step.bounds.high)
        elif isinstance(step, Derive):
            column = asked.column(step.name)
            for row in rows:
                held = value_of(step.value, row)
                if held is not None and column.bounds is not None:
                    assert column.bounds.low <= held <= column.bounds.high  # the range that was worked out is true
                row[step.name] = bool(held) if column.kind == "boolean" and held is not None else held
    names = list(query.group_by) + ([query.private_keys.column] if query.private_keys else [])
    rows = [row for row in rows if all(row[name] is not None for name in names)]
    if query.private_keys and asked.column(names[-1]).bounds is not None:
        rows = [row | {"\0key": math.floor(row[names[-1]])} for row in rows]
        names[-1] = "\0key"
    rows = bounded([(row["\0whose"], tuple(row[name] for name in names)) for row in rows], rows, bounding)
    place = {key: i for i, key in enumerate(_product(group_keys(query, schema)))}
    if query.private_keys is None:
        return Answer(*_added(query, asked, parts(query, schema), rows, place))
    return _by_key(query, asked, parts(query, schema), rows, place)


def bounded(whose, rows, bounding):
    """Each person's first rows of their first groups."""
    if bounding is None:
        return rows
    numbers = {}
    groups = [numbers.setdefault(group, len(numbers)) for _, group in whose]  # 0.0 and -0.0 are one
    kept = pd.DataFrame({"row": range(len(rows)), "who": [who for who, _ in whose], "group": groups})
    if bounding.groups is not None and len(kept):
        order = kept.groupby("who")["group"].transform(lambda of: pd.factorize(of)[0])
        kept = kept[order < bounding.groups]
    if bounding.rows_per_group is not None and len(kept):
        kept = kept[kept.groupby(["who", "group"]).cumcount() < bounding.rows_per_group]
    return [rows[i] for i in kept["row"]]


def _product(keys):
    found = [()]
    for values in keys:
        found = [(*before, value) for before in found for value in values]
    return found


def _by_key(query, asked, layout, rows, place):
    column = asked.column(query.private_keys.column)
    name = column.name if column.bounds is None else "\0key"
    order = {value: i for i, value in enumerate(column.categories or (False, True))}
    keys = sorted(
        {row[name] for row in rows}, key=lambda key: order.get(key, key) if order and column.kind != "text" else key
    )
    vectors, slacks, people = [], [], []
    for key in keys:
        own = [row for row in rows if row[name] == key]
        vector, slack = _added(query, asked, layout, own, place)
        vectors.append(vector)
        slacks.append(slack)
        people.append(len({row["\0whose"] for row in own}))
    empty = np.zeros(0, dtype=np.int64)
    return Answer(
        np.concatenate([empty, *vectors]).astype(np.int64), np.concatenate([empty, *slacks]), tuple(keys), people
    )


def _added(query, asked, layout, rows, place):
    groups = {}
    for row in rows:
        groups.setdefault(place[tuple(row[name] for name in query.group_by)], []).append(row)
    vectors, slacks = [], []
    for part in layout:
        aggregate = next(a for a in query.aggregates if a.name == part.aggregate)
        block = np.zeros((part.groups, part.cells), dtype=np.int64)
        slack = np.zeros_like(block)
        for index, members in groups.items():
            block[index], slack[index] = integers(part, aggregate, asked, members)
        vectors.append(block.reshape(-1))
        slacks.append(slack.reshape(-1))
    empty = np.zeros(0, dtype=np.int64)
    return np.concatenate([empty, *vectors]), np.concatenate([empty, *slacks])


def steps_from(value, offset, step):
    return math.trunc(Fraction(float(value) - offset) / Fraction(step))


def integers(part, aggregate, asked, rows):  # noqa: PLR0911 - one case for each kind
    """One group's integers of one part, and how far rounding of floats may move each."""
    names = part.columns or tuple(v.column for v in part.variables) or ((part.column,) if part.column else ())
    used = [row for row in rows if all(row[name] is not None for name in names)]
    held = [row[names[0]] for row in used] if names else []
    match part.kind:
        case "count":
            return [len(used)], 0
        case "people":
            return [len({row["\0whose"] for row in used})], 0
        case "distinct":
            return [pd.Series(held, dtype=object).nunique()], 0
        case "sum":
            return [sum(steps_from(v, part.offset, part.step) for v in held)], 0
        case "moments":
            return _moments(part, used), 0
        case "score":
            return _score(part, aggregate, used), len(used)
        case "tree":
            return _tree(part, held), 0
        case "survival":
            return _survival(part, aggregate, used), 0
    if getattr(aggregate, "edges", ()):
        counts = pd.Series([cell_of(v, aggregate.edges) for v in held], dtype=object).value_counts()
        return [int(counts.get(i, 0)) for i in range(part.cells)], 0
    return [held.count(key) for key in (asked.column(part.column).categories or (False, True))], 0


def _moments(part, rows):
    total = [0] * part.cells
    for row in rows:
        one = [steps_from(row[v.column], v.offset, v.step) for v in part.variables]
        pairs = [math.trunc(Fraction(a * b, 1 << 20)) for i, a in enumerate(one) for b in one[i:]]
        total = [a + b for a, b in zip(total, one + pairs, strict=True)]
    return total


def _score(part, aggregate, rows):
    """McCullagh and Nelder's (y - mu) x and mu (1 - mu) x x', the latter four times, in steps of 2^-20."""
    total = [0] * part.cells
    for row in rows:
        scaled = [(float(row[v.column]) - v.offset) / (v.step * 2**20) for v in part.variables]
        x = [1.0, *(min(max(value, -1.0), 1.0) for value in scaled)]
        eta = math.fsum(a * b for a, b in zip(x, aggregate.theta, strict=True))
        mu = 1 / (1 + math.exp(-eta)) if eta > -700 else math.exp(eta)
        y = float(row[aggregate.target])
        one = [(y - mu) * a for a in x] + [4 * mu * (1 - mu) * a * b for i, a in enumerate(x) for b in x[i:]]
        total = [a + math.trunc(b * 2**20) for a, b in zip(total, one, strict=True)]
    return total


def _tree(part, held):
    """Counts of the leaves, and above them of 16 nodes at a time until 16 are left at most."""
    leaves = [0] * part.leaves
    for value in held:
        leaves[min(max(math.floor((value - part.offset) / part.step), 0), part.leaves - 1)] += 1
    levels = [leaves]
    while len(levels[0]) > 16:
        below = levels[0]
        levels.insert(0, [sum(below[i : i + 16]) for i in range(0, len(below), 16)])
    return [count for level in levels for count in level]


def _survival(part, aggregate, rows):
    assert isinstance(aggregate, Survival)
    bins = len(aggregate.edges) - 1
    counts = [0] * part.cells
    for row in rows:
        time, event = row[aggregate.time], row[aggregate.event]
        inside = cell_of(min(max(time, aggregate.edges[0]), aggregate.edges[-1]), aggregate.edges)
        counts[inside + (0 if event and time <= aggregate.edges[-1] else bins)] += 1
    return counts
