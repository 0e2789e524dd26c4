"""Quantiles from a tree of counts: a histogram at several resolutions, each with its own noise.

=============  =====================================================================================================
symbol         meaning
=============  =====================================================================================================
b, L           branching, and the number of released levels; the whole range, which would be level 0, is not released
level l        its node j counts the rows of leaves j b^(L-l) up to (j+1) b^(L-l)
y, z, h        a node's released count; its best estimate from the subtree below; its best estimate from all nodes
V              variance of z in units of one released count's variance, which is the same on all levels
C(k)           rows in the first k cells
=============  =====================================================================================================

A cell alone would do for exact counts. With noise, C(k) summed over cells has the noise of k counts; from the tree it
has that of at most (b - 1) L counts. ``consistent_cells`` is the estimate of least variance: every node of the tree
takes part in it.

References:
    Hay, Rastogi, Miklau, Suciu, "Boosting the accuracy of differentially private histograms through consistency"
    (2010), section 4 for the two passes; ``docs/theory/decoding-statistics.md`` for trees that are cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stead.errors import UsageError
from stead.plans.statistics.monotone import monotone

Floats = npt.NDArray[np.float64]

# A rank this near to a cumulative count (in rows, and as a part of all rows) has reached it: the tree's sums round.
_NEAR_ROWS = 1e-9
_NEAR_PART = 1e-11


def tree_levels(cells: int, branching: int) -> tuple[int, ...]:
    """How many nodes each level has, the coarsest first.

    Args:
        cells: how many leaves, at least one.
        branching: children of a node, at least two.

    Returns:
        L = ceil(log_b(cells)) numbers (one, for one cell). Level l has the nodes that hold a leaf, so the last has
        ``cells``; nodes beyond the range would be publicly empty and only bring noise.

    Raises:
        UsageError: no cell, or a branching below two.
    """
    if cells < 1 or branching < 2:
        raise UsageError(
            f"a tree of {cells} cells with branching {branching} cannot be made.",
            hint="take at least one cell, and a branching of two or more (16 suits most ranges).",
        )
    widths = [cells]
    while widths[0] > branching:
        widths.insert(0, -(-widths[0] // branching))
    return tuple(widths)


def tree_counts(cells: npt.ArrayLike, branching: int) -> list[npt.NDArray[np.int64]]:
    """Exact counts of all levels from those of the leaves, the coarsest level first.

    Args:
        cells: (..., cells) whole numbers.
        branching: children of a node.

    Returns:
        One array (..., width) for each width of ``tree_levels``.

    Raises:
        UsageError: see ``tree_levels``.
    """
    leaves = np.asarray(cells, dtype=np.int64)
    widths = tree_levels(leaves.shape[-1], branching)
    levels = [leaves]
    for _ in widths[:-1]:
        levels.insert(0, _sum_children(levels[0], branching))
    return levels


def rank_spread(cells: int, branching: int) -> float:
    """A bound on the standard deviation of any C(k), in units of one released count's.

    C(k) is a sum of as many nodes as k has digits to the base b summed up; the estimate of least variance is no worse
    (Gauss and Markov). Times a normal quantile and sigma it is a natural ``reach`` for ``quantiles``.

    Raises:
        UsageError: see ``tree_levels``.
    """
    rest = np.arange(cells + 1)
    nodes = np.zeros(cells + 1, dtype=np.int64)
    for _ in tree_levels(cells, branching)[1:]:
        nodes += rest % branching
        rest //= branching
    return math.sqrt(int(np.max(nodes + rest)))


def consistent_cells(levels: Sequence[npt.ArrayLike], *, branching: int) -> Floats:
    """The estimate of least variance of the leaves' counts.

    Linear and unbiased: it may be negative where noise is larger than the count.

    Args:
        levels: one array (..., width) for each level, the coarsest first, released with noise of one variance. A
            level may have all its ``branching**l`` nodes; those beyond the last leaf are publicly empty and are cut.
        branching: children of a node.

    Returns:
        (..., cells).

    Raises:
        UsageError: the levels are not those of a tree.
    """
    given = [np.asarray(level, dtype=np.float64) for level in levels]
    widths = tree_levels(given[-1].shape[-1] if given else 0, branching)
    if len(widths) != len(given) or any(y.shape[-1] < width for y, width in zip(given, widths, strict=True)):
        raise UsageError(
            f"levels of {[y.shape[-1] for y in given]} nodes are no tree of branching {branching}; "
            f"{widths[-1]} cells have levels of {list(widths)}.",
            hint="release one count for each node that `tree_levels` lists.",
        )
    given = [y[..., :width] for y, width in zip(given, widths, strict=True)]
    estimates, variances = [given[-1]], [np.ones(widths[-1])]
    for y in reversed(given[:-1]):
        below = _sum_children(variances[0], branching)
        estimates.insert(0, (y * below + _sum_children(estimates[0], branching)) / (below + 1.0))
        variances.insert(0, below / (below + 1.0))
    held = estimates[0]
    for z, variance in zip(estimates[1:], variances[1:], strict=True):
        parent = np.arange(z.shape[-1]) // branching
        missing = held - _sum_children(z, branching)
        share = variance / _sum_children(variance, branching)[parent]
        held = z + share * missing[..., parent]
    return held


def quantiles(
    levels: Sequence[npt.ArrayLike],
    edges: npt.ArrayLike,
    at: npt.ArrayLike,
    *,
    branching: int,
    whole: bool = False,
    reach: npt.ArrayLike = 0.0,
) -> Floats:
    """Quantiles by the inverted distribution function of a tree of counts.

    The quantile at q is in the first cell k with C(k + 1) >= q N, N = C(cells). For exact counts that is the cell of
    ``numpy.quantile(rows, q, method="inverted_cdf")``. With noise, C is made monotone first (``monotone``), and N is
    the tree's own. Where N is not positive nothing is known, and the answer is the middle of the range.

    Args:
        levels: as ``consistent_cells`` takes them.
        edges: (cells + 1,), increasing and finite. Cell k is from edge k to edge k + 1.
        at: (q,), each from 0 to 1. 0 and 1 are the extremes.
        branching: children of a node.
        whole: the column holds whole numbers and each cell one of them: the answer is the cell's left edge. Otherwise
            the rows of a cell are taken to lie evenly in it.
        reach: rows, not negative; broadcast to (..., q). Ranks are moved at least so far from either end (at most to
            the median), so that an extreme is where ``reach`` rows are, not where noise alone is.

    Returns:
        (..., q), from ``edges[0]`` to ``edges[-1]``; not decreasing in q for one ``reach``.

    Raises:
        UsageError: the levels are not those of a tree over these edges, or ``at`` holds something else than 0 to 1.
    """
    bounds = np.asarray(edges, dtype=np.float64)
    wanted = np.asarray(at, dtype=np.float64)
    leaves = consistent_cells(levels, branching=branching)
    cells = int(leaves.shape[-1])
    if bounds.shape != (cells + 1,) or not np.all(np.isfinite(bounds)) or not np.all(bounds[1:] > bounds[:-1]):
        raise UsageError(f"{cells} cells need {cells + 1} increasing edges, not {bounds.tolist()}.")
    if wanted.ndim != 1 or not np.all((wanted >= 0) & (wanted <= 1)):
        raise UsageError(f"quantiles are asked at a list of numbers from 0 to 1, not at {wanted.tolist()}.")
    cumulative = monotone(np.cumsum(leaves, axis=-1))
    total = cumulative[..., -1:]
    far = np.minimum(np.maximum(np.asarray(reach, dtype=np.float64), 0.0), total / 2)
    # No rank is below the first row's, so that q = 0 is where the first row is and not an empty cell before it.
    rank = np.clip(np.maximum(wanted * total, np.minimum(1.0, total / 2)), far, total - far)
    near = _NEAR_ROWS + _NEAR_PART * total
    answers = [_invert(cumulative, rank[..., q : q + 1], near, bounds, whole=whole) for q in range(wanted.size)]
    return np.concatenate(answers, axis=-1) if answers else np.zeros((*leaves.shape[:-1], 0))


def _invert(cumulative: Floats, rank: Floats, near: Floats, edges: Floats, *, whole: bool) -> Floats:
    """The values (..., 1) of one rank (..., 1) each."""
    cells = cumulative.shape[-1]
    known = cumulative[..., -1:] > near
    cell = np.minimum(np.sum(cumulative < rank - near, axis=-1, keepdims=True), cells - 1)
    cell = np.where(known, cell, cells // 2)
    left: Floats = edges[cell]
    right: Floats = edges[cell + 1]
    if whole:
        return left
    upto = np.take_along_axis(cumulative, cell, axis=-1)
    before = np.where(cell > 0, np.take_along_axis(cumulative, np.maximum(cell - 1, 0), axis=-1), 0.0)
    rows = upto - before
    part = np.where(rows > 0, np.clip((rank - before) / np.where(rows > 0, rows, 1.0), 0.0, 1.0), 0.5)
    middle = edges[0] / 2 + edges[-1] / 2
    answer: Floats = np.where(known, np.clip((1 - part) * left + part * right, left, right), middle)
    return answer


def _sum_children(values: npt.NDArray[Any], branching: int) -> npt.NDArray[Any]:
    """(..., n) to (..., ceil(n / branching)): the sums of each node's children."""
    return np.add.reduceat(values, np.arange(0, values.shape[-1], branching), axis=-1)
