"""From rows to one part's integers, in NumPy: what every engine adds up for each kind of part."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from stead.plans.evaluate import Floats, Rows, cell_of
from stead.plans.layout import BRANCHING, LATTICE_BITS, Part, key_values
from stead.plans.query import Histogram, Query, Survival
from stead.plans.statistics.logistic import score_terms
from stead.plans.statistics.quantiles import tree_counts

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_ONE = 1 << LATTICE_BITS


def block(part: Part, query: Query, rows: Rows, group: Integers, person: Integers) -> Integers:
    """One part's integers over all ``rows``, row-major (groups, cells).

    Args:
        part: of the query's layout.
        query: the question.
        rows: those that are left after the steps and the bounding.
        group: the group of each row, from 0.
        person: whose row it is: any number for each person.
    """
    used = _used(part, rows)
    if part.kind in ("people", "distinct"):
        of = person if part.kind == "people" else _codes(rows.take(part.column or ""), used)
        pairs = np.unique(np.stack([group[used], of[used]]), axis=1)
        return np.bincount(pairs[0], minlength=part.groups).astype(np.int64)
    if part.kind == "count":
        return np.bincount(group[used], minlength=part.groups).astype(np.int64)
    if part.kind == "sum":
        held = cast("Floats", rows.take(part.column or ""))[used]
        steps = np.trunc((held - part.offset) / part.step).astype(np.int64)
        return _added(group[used], steps[:, None], part.groups)
    if part.kind in ("moments", "score"):
        terms = _moments(part, rows, used) if part.kind == "moments" else _score(part, query, rows, used)
        return _added(group[used], terms, part.groups)
    if part.kind == "tree":
        held = rows.take(part.column or "")[used]
        leaf = np.clip(np.floor((held - part.offset) / part.step), 0, part.leaves - 1).astype(np.int64)
        counts = np.bincount(group[used] * part.leaves + leaf, minlength=part.groups * part.leaves)
        return tree_integers(part, counts)
    cell = _survival_cell(part, query, rows, used) if part.kind == "survival" else _cell(part, query, rows, used)
    inside = cell >= 0
    return np.bincount(group[used][inside] * part.cells + cell[inside], minlength=part.size).astype(np.int64)


def tree_integers(part: Part, leaves: npt.NDArray[np.int64]) -> Integers:
    """A tree's integers, the coarsest level first in each group, from the counts (groups x leaves) of its leaves."""
    levels = tree_counts(leaves.reshape(part.groups, part.leaves), BRANCHING)
    integers: Integers = np.concatenate(levels, axis=1).reshape(-1).astype(np.int64)
    return integers


def score_theta(part: Part, query: Query) -> Floats:
    """The public coefficients at which a score is taken."""
    aggregate = next(a for a in query.aggregates if a.name == part.aggregate)
    return np.array(getattr(aggregate, "theta", ()), dtype=np.float64)


def unit_values(part: Part, held: list[Floats]) -> Floats:
    """Features scaled to [-1, 1] by their ranges, with a first column of ones: shape (rows, features + 1)."""
    scaled = [
        np.clip((column - variable.offset) / (variable.step * _ONE), -1.0, 1.0)
        for variable, column in zip(part.variables, held, strict=True)
    ]
    return np.stack([np.ones(len(held[0])), *scaled], axis=1)


def score_integers(x: Floats, y: Floats, theta: Floats) -> Integers:
    """A score's integers for each row: gradient terms, then four times the information's, in steps of 2^-20."""
    gradient, information = score_terms(x, y, theta)
    terms = np.concatenate([gradient, 4.0 * information], axis=1)
    integers: Integers = np.clip(np.trunc(terms * _ONE), -_ONE, _ONE).astype(np.int64)
    return integers


def _used(part: Part, rows: Rows) -> Flags:
    names = part.columns or tuple(variable.column for variable in part.variables)
    names = names if part.column is None else (part.column,)
    used = np.ones(rows.count, dtype=np.bool_)
    for name in names:
        used &= ~rows.missing(name)
    return used


def _codes(held: npt.NDArray[Any], used: Flags) -> Integers:
    codes = np.zeros(len(held), dtype=np.int64)
    if used.any():
        codes[used] = np.unique(held[used], return_inverse=True)[1]
    return codes


def _added(group: Integers, terms: Integers, groups: int) -> Integers:
    total = np.zeros((groups, terms.shape[1]), dtype=np.int64)
    np.add.at(total, group, terms)
    return total.reshape(-1)


def _moments(part: Part, rows: Rows, used: Flags) -> Integers:
    """Each row's centred integers and their products, of 2^20 steps at most."""
    scaled = [
        np.trunc((rows.take(variable.column)[used] - variable.offset) / variable.step) for variable in part.variables
    ]
    products = [np.trunc(a * b / _ONE) for place, a in enumerate(scaled) for b in scaled[place:]]
    return np.stack([*scaled, *products], axis=1).astype(np.int64)


def _score(part: Part, query: Query, rows: Rows, used: Flags) -> Integers:
    held = [rows.take(variable.column)[used] for variable in part.variables]
    target = rows.take(part.columns[-1])[used]
    return score_integers(unit_values(part, held), target, score_theta(part, query))


def _cell(part: Part, query: Query, rows: Rows, used: Flags) -> Integers:
    """The cell of each value, -1 outside the edges; without edges the value's own index."""
    held = cast("Floats", rows.take(part.column or ""))[used]
    if key_values(rows.schema.column(part.column or "")):
        return held.astype(np.int64)
    aggregate = next(a for a in query.aggregates if a.name == part.aggregate)
    return cell_of(held, aggregate.edges if isinstance(aggregate, Histogram) else ())


def _survival_cell(part: Part, query: Query, rows: Rows, used: Flags) -> Integers:
    """The cell of time, behind them those of the censored. Later than the last edge is censored in the last cell."""
    edges = next(a.edges for a in query.aggregates if a.name == part.aggregate and isinstance(a, Survival))
    time, event = (rows.take(name)[used] for name in part.columns)
    bins = len(edges) - 1
    cell = np.searchsorted(np.array(edges[1:-1]), time, side="right").astype(np.int64)
    censored = (event == 0.0) | (time > edges[-1])
    return np.where(censored, bins + cell, cell)
