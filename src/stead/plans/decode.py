"""Released integers back to answers, in natural units. Every function takes any leading axes, one for each draw."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stead.core.schema import Schema
from stead.errors import UsageError
from stead.plans.analysis import asked_schema, group_keys, parts
from stead.plans.layout import BRANCHING, LATTICE_BITS, Part, key_values
from stead.plans.query import (
    Aggregate,
    Histogram,
    LogisticScore,
    Mean,
    Moments,
    Quantile,
    Query,
    Survival,
    TopK,
)
from stead.plans.statistics.log_rank import log_rank
from stead.plans.statistics.logistic import newton_step
from stead.plans.statistics.matrices import unpack
from stead.plans.statistics.moments import correlation, covariance
from stead.plans.statistics.quantiles import quantiles, rank_spread, tree_levels
from stead.plans.statistics.regression import least_squares
from stead.plans.statistics.survival import kaplan_meier, nelson_aalen

Array = npt.NDArray[Any]
_ONE = float(1 << LATTICE_BITS)
_REACH = 3.0
"""Standard deviations of a rank's noise that keep an extreme away from noise alone."""


def decode_answer(query: Query, schema: Schema, vector: npt.ArrayLike, *, keys: int | None = None) -> dict[str, Array]:
    """Released integers in natural units.

    Args:
        query: the question.
        schema: the public description; over several sites, of any of them (they agree on what is asked).
        vector: int64, the released vector, with its noise; a sum over sites is decoded the same way.
        keys: with private keys, how many are shown; the vector holds one after another.

    Returns:
        Aggregate name to array, one axis for each ``group_by`` column in order (see ``group_keys``), before them one
        for the private keys, and after them one for the cells of aggregates that have several (see ``cell_names``).
        Counts are int64 and may be negative, as noise is; means lie inside the clipped range, and a mean over a noisy
        count below one is what one row would give.

    Raises:
        UsageError: the vector has another length than the question's.
    """
    layout = parts(query, schema)
    integers = np.asarray(vector, dtype=np.int64)
    size = sum(part.size for part in layout)
    if integers.shape != (size * (1 if keys is None else keys),):
        raise UsageError(f"the answer has shape {integers.shape}, the question {size} numbers.")
    axes: tuple[int, ...] = () if keys is None else (keys,)
    axes += tuple(len(values) for values in group_keys(query, schema))
    decoded = decode_draws(query, layout, integers if keys is None else integers.reshape(keys, size))
    return {
        aggregate.name: decoded[aggregate.name].reshape(axes + ((-1,) if has_cells(aggregate) else ()))
        for aggregate in query.aggregates
    }


def decode_draws(query: Query, layout: tuple[Part, ...], vectors: Array) -> dict[str, Array]:
    """Aggregate name to array (..., groups) or (..., groups, cells) of vectors (..., integers of the layout)."""
    blocks = np.split(vectors, np.cumsum([part.size for part in layout])[:-1], axis=-1)
    scale = math.sqrt(2.0) if query.noise == "laplace" else 1.0
    deviations = [scale * sigma for sigma in query.sigmas or (0.0,) * len(layout)]
    found: dict[str, Array] = {}
    for aggregate in query.aggregates:
        own = [
            (part, block.reshape(*block.shape[:-1], part.groups, part.cells))
            for part, block in zip(layout, blocks, strict=True)
            if part.aggregate == aggregate.name
        ]
        noise = next(d for part, d in zip(layout, deviations, strict=True) if part.aggregate == aggregate.name)
        found[aggregate.name] = _decode(aggregate, [p for p, _ in own], [b for _, b in own], noise)
    return found


def has_cells(aggregate: Aggregate) -> bool:
    """Whether an aggregate gives several numbers for each group."""
    return isinstance(aggregate, Histogram | TopK | Quantile | Survival | LogisticScore) or (
        isinstance(aggregate, Moments) and aggregate.show == "linear"
    )


def cell_names(aggregate: Aggregate, query: Query, schema: Schema) -> tuple[str, ...]:
    """What each of an aggregate's numbers is called; one empty name where it gives one."""
    match aggregate:
        case Histogram() | TopK():
            edges = aggregate.edges if isinstance(aggregate, Histogram) else ()
            return _cell_labels(edges) if edges else _values(aggregate.column, query, schema)
        case Quantile():
            return tuple(f"{100 * q:g} %" for q in aggregate.at)
        case Survival():
            if aggregate.show == "log-rank":
                return ("observed", "expected", "chi2", "p")
            return tuple(f"{edge:g}" for edge in aggregate.edges[1:])
        case Moments(show="linear"):
            terms = ("intercept", *aggregate.columns[:-1])
            return (*terms, *(f"{term} se" for term in terms), "R2", "rows")
        case LogisticScore():
            terms = ("intercept", *aggregate.features)
            return (*terms, *(f"{term} se" for term in terms))
        case _:
            return ("",)


def top_order(aggregate: TopK, counts: Array) -> Array:
    """The places of the ``k`` largest of (..., values), the largest first; equal ones in their public order."""
    return np.argsort(-np.asarray(counts), axis=-1, kind="stable")[..., : aggregate.k]


def _cell_labels(edges: tuple[float, ...]) -> tuple[str, ...]:
    last = len(edges) - 2
    pairs = itertools.pairwise(edges)
    return tuple(f"[{low:g}, {high:g}{']' if i == last else ')'}" for i, (low, high) in enumerate(pairs))


def _values(name: str, query: Query, schema: Schema) -> tuple[str, ...]:
    return tuple(str(value) for value in key_values(asked_schema(query, schema).column(name)))


def _decode(aggregate: Aggregate, own: list[Part], blocks: list[Array], noise: float) -> Array:
    part, block = own[0], blocks[0]
    match aggregate:
        case Mean():
            mean = block[..., 0] * part.step / np.maximum(blocks[1][..., 0], 1) + part.offset
            return np.clip(mean, part.low, part.high)
        case Moments():
            return _moments(aggregate, part, block, blocks[1][..., 0], noise)
        case Quantile():
            return _quantiles(aggregate, part, block, noise)
        case Survival():
            return _survival(aggregate, block, noise)
        case LogisticScore():
            return _logistic(aggregate, block, noise)
        case Histogram() | TopK():
            return block
        case _:
            return block[..., 0] * part.step if part.kind == "sum" else block[..., 0]


def _moments(aggregate: Moments, part: Part, block: Array, count: Array, noise: float) -> Array:
    steps = np.array([variable.step for variable in part.variables])
    size = len(steps)
    totals = block[..., :size] * steps
    products = unpack(block[..., size:] * _ONE, size) * np.outer(steps, steps)
    if aggregate.show == "linear":
        offsets = np.array([variable.offset for variable in part.variables])
        floor = _REACH * noise * _ONE * steps[:-1] ** 2
        fit = least_squares(count, totals, products, offsets=offsets, floor=floor)
        more = np.stack([fit.r_squared, np.broadcast_to(count, fit.r_squared.shape)], axis=-1)
        return np.concatenate([fit.coefficients, fit.standard_errors, more], axis=-1)
    if aggregate.show == "correlation":
        return correlation(count, totals, products)[..., 0, 1]
    spread = covariance(count, totals, products)[..., 0, -1]
    return np.sqrt(np.maximum(spread, 0.0)) if aggregate.show == "deviation" else spread


def _quantiles(aggregate: Quantile, part: Part, block: Array, noise: float) -> Array:
    levels: Sequence[Array] = np.split(block, np.cumsum(tree_levels(part.leaves, BRANCHING))[:-1], axis=-1)
    edges = part.offset + part.step * np.arange(part.leaves + 1)
    reach = _REACH * noise * rank_spread(part.leaves, BRANCHING)
    found = quantiles(levels, edges, np.array(aggregate.at), branching=BRANCHING, whole=part.exact, reach=reach)
    return np.clip(found, part.low, part.high)


def _survival(aggregate: Survival, block: Array, noise: float) -> Array:
    events, censored = np.split(block, 2, axis=-1)
    if aggregate.show == "kaplan-meier":
        return kaplan_meier(events, censored).estimate
    if aggregate.show == "nelson-aalen":
        return nelson_aalen(events, censored).estimate
    test = log_rank(events, censored, noise_variance=noise**2)
    both = (np.broadcast_to(x[..., None], test.observed.shape) for x in (test.chi_square, test.p_value))
    return np.stack([test.observed, test.expected, *both], axis=-1)


def _logistic(aggregate: LogisticScore, block: Array, noise: float) -> Array:
    size = len(aggregate.theta)
    gradient, information = block[..., :size] / _ONE, block[..., size:] / (4.0 * _ONE)
    step = newton_step(gradient, information, np.array(aggregate.theta), floor=_REACH * noise / (4.0 * _ONE))
    return np.concatenate([step.theta, step.standard_errors], axis=-1)
