"""Survival curves and the log-rank test from events and censorings counted on public edges.

=============  =====================================================================================================
symbol         meaning
=============  =====================================================================================================
d, c           events and censorings in a bin; bin k is from edge k to edge k + 1
R              at risk in a bin: all that leave in it or later, R_k = sum over j >= k of d_j + c_j
S, H           survival and cumulative hazard at the right edge of a bin
w              a group's part of those at risk, R_g / R
u              delta_gh - w_g: how one event in group h moves observed less expected of group g
=============  =====================================================================================================

Times are read as the right edges of their bins: whoever is censored in a bin is at risk for all its events, as R and
lifelines do at ties. So the results are exact for times on the edges; for others the curve is late by up to one bin.

Noise makes counts negative. The *cumulative* counts are made monotone first (``monotone``), and their differences are
the counts that the curves are made of: not negative, at risk never less than those who leave, and without the upward
drift that setting each negative count to zero would have. Exact counts stay as they are.

References:
    Kaplan, Meier, "Nonparametric estimation from incomplete observations" (1958); Klein, Moeschberger, "Survival
    analysis" (2003), sections 4.2 (curves), 4.5 (restricted mean) and 7.3 (log-rank).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stead.errors import UsageError
from stead.plans.statistics.monotone import monotone

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Survival that rounding alone holds above a half is a half.
_ROUNDING = 1e-12


class AtRisk(NamedTuple):
    """Counts made possible: each (..., bins), not negative, ``events <= at_risk``."""

    events: Floats
    censored: Floats
    at_risk: Floats


class Curve(NamedTuple):
    """An estimate at the right edges and its variance by sampling, each (..., bins)."""

    estimate: Floats
    variance: Floats


class RestrictedMean(NamedTuple):
    """Mean time lived up to the last edge and its variance by sampling, each (...)."""

    time: Floats
    variance: Floats


class Median(NamedTuple):
    """Median survival (...), and whether it was reached; if not, the time is the last edge, and it is later."""

    time: Floats
    reached: Flags


def at_risk(events: npt.ArrayLike, censored: npt.ArrayLike) -> AtRisk:
    """Events, censorings and those at risk, from noisy counts (..., bins) each.

    Raises:
        UsageError: events and censorings have different shapes.
    """
    died, left = np.asarray(events, dtype=np.float64), np.asarray(censored, dtype=np.float64)
    if died.shape != left.shape or died.ndim == 0:
        raise UsageError(
            f"events have shape {died.shape} and censorings {left.shape}; both are counted in the same bins."
        )
    died, left = (np.diff(monotone(np.cumsum(one, axis=-1)), prepend=0.0, axis=-1) for one in (died, left))
    return AtRisk(died, left, np.cumsum((died + left)[..., ::-1], axis=-1)[..., ::-1])


def kaplan_meier(events: npt.ArrayLike, censored: npt.ArrayLike) -> Curve:
    """Survival at the right edges, with Greenwood's variance.

    It falls from 1 and stays inside [0, 1]. Where nobody is at risk any more it stays as it is; where all at risk have
    the event, survival and variance are 0.

    Args:
        events: (..., bins), perhaps noisy.
        censored: (..., bins), perhaps noisy.

    Raises:
        UsageError: see ``at_risk``.
    """
    died, _, risk = at_risk(events, censored)
    survival = np.cumprod(1.0 - _quotient(died, risk), axis=-1, dtype=np.float64)
    greenwood = np.cumsum(_quotient(died, risk * (risk - died)), axis=-1)
    return Curve(survival, survival * survival * greenwood)


def nelson_aalen(events: npt.ArrayLike, censored: npt.ArrayLike) -> Curve:
    """Cumulative hazard at the right edges, the sum of d / R, with Aalen's variance, the sum of d / R^2.

    It rises from 0; where nobody is at risk any more it stays as it is.

    Args:
        events: (..., bins), perhaps noisy.
        censored: (..., bins), perhaps noisy.

    Raises:
        UsageError: see ``at_risk``.
    """
    died, _, risk = at_risk(events, censored)
    return Curve(np.cumsum(_quotient(died, risk), axis=-1), np.cumsum(_quotient(died, risk * risk), axis=-1))


def restricted_mean(events: npt.ArrayLike, censored: npt.ArrayLike, edges: npt.ArrayLike) -> RestrictedMean:
    """The area under the survival curve from the first edge to the last, a step function that falls at right edges.

    Args:
        events: (..., bins), perhaps noisy.
        censored: (..., bins), perhaps noisy.
        edges: (bins + 1,), increasing; the first is time zero.

    Raises:
        UsageError: see ``at_risk``; or the edges are not those of the bins.
    """
    died, _, risk = at_risk(events, censored)
    widths = np.diff(_edges(edges, died.shape[-1]))
    survival = np.cumprod(1.0 - _quotient(died, risk), axis=-1, dtype=np.float64)
    before = np.concatenate([np.ones_like(survival[..., :1]), survival[..., :-1]], axis=-1)
    area = before * widths
    # What is still to come after each right edge: an event there moves all of it.
    later = np.cumsum(area[..., ::-1], axis=-1)[..., ::-1] - area
    variance = np.sum(np.maximum(later, 0.0) ** 2 * _quotient(died, risk * (risk - died)), axis=-1)
    return RestrictedMean(np.asarray(np.sum(area, axis=-1)), np.asarray(variance))


def median_survival(survival: npt.ArrayLike, edges: npt.ArrayLike) -> Median:
    """The first right edge at which survival is a half or less.

    Args:
        survival: (..., bins), non-increasing.
        edges: (bins + 1,), increasing.

    Raises:
        UsageError: the edges are not those of the bins.
    """
    curve = np.asarray(survival, dtype=np.float64)
    right = _edges(edges, curve.shape[-1])[1:]
    below = curve <= 0.5 + _ROUNDING
    reached = np.any(below, axis=-1)
    return Median(np.where(reached, right[np.argmax(below, axis=-1)], right[-1]), np.asarray(reached))


def _quotient(above: Floats, below: Floats) -> Floats:
    """The quotient, 0 where nobody is below. Both are not negative."""
    some = below > 0
    return np.where(some, above / np.where(some, below, 1.0), 0.0)


def _edges(edges: npt.ArrayLike, bins: int) -> Floats:
    bounds = np.asarray(edges, dtype=np.float64)
    if bounds.shape != (bins + 1,) or not np.all(np.isfinite(bounds)) or not np.all(bounds[1:] > bounds[:-1]):
        raise UsageError(f"{bins} bins need {bins + 1} increasing edges, not {bounds.tolist()}.")
    return bounds
