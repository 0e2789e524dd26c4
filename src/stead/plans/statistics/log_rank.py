"""The log-rank test of several groups' survival, from noisy counts; symbols as in ``survival``.

For each group, observed less expected is Z_g = sum over k of d_gk - D_k w_gk, with D the events of all groups. Under
the hypothesis that hazards are equal it has mean zero and the hypergeometric covariance

    V_gh = sum over k of D_k (R_k - D_k) / (R_k - 1) w_gk (delta_gh - w_hk).

Noise of known variance in the counts adds its own. To first order an error e in d_hj moves Z_g by e (u_ghj - A_ghj)
and one in c_hj by -e A_ghj, where A_ghj is the sum over k <= j of (D_k / R_k) u_ghk: the events of earlier bins were
compared with too many at risk. The statistic is Z' (V + noise)^- Z.

Noise that small numbers at risk cannot bear would enter w in full. A bin takes part only while those at risk, over all
groups, stand above the noise of that number. Without noise, whether they do is known before the bin's events, which
leaves the test's level as it is; with noise that holds to first order, and ``tests/plans/statistics`` shows the level
by simulation. When noise drowns most bins the test turns conservative. Derivation:
``docs/theory/decoding-statistics.md``.

References:
    Klein, Moeschberger, "Survival analysis" (2003), section 7.3; Fleming, Harrington, "Counting processes and survival
    analysis" (1991), section 3.3, for weights that are known before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stead.errors import UsageError
from stead.plans.statistics.chi_square import chi_square_tail
from stead.plans.statistics.survival import at_risk

Floats = npt.NDArray[np.float64]

# Standard deviations of its own noise that a number at risk must be, to be compared with.
_ABOVE_NOISE = 2.0
# Directions of the covariance below this part of the largest are empty: the groups sum to zero.
_EMPTY_PART = 1e-10


class LogRank(NamedTuple):
    """The outcome of a log-rank test.

    Attributes:
        chi_square: (...), not negative.
        degrees: groups - 1. A group without anybody keeps its degree: its p-value is too large rather than too small.
        p_value: (...), the chi-square tail.
        observed: (..., groups), events in the bins that take part, as released: noise can make them negative.
        expected: (..., groups), what equal hazards would give; the same sum over groups as ``observed``.
    """

    chi_square: Floats
    degrees: int
    p_value: Floats
    observed: Floats
    expected: Floats


def log_rank(
    events: npt.ArrayLike,
    censored: npt.ArrayLike,
    *,
    noise_variance: float | tuple[float, float] = 0.0,
) -> LogRank:
    """Tests whether groups have the same hazard.

    Args:
        events: (..., groups, bins), perhaps noisy.
        censored: (..., groups, bins), perhaps noisy.
        noise_variance: of each number, independently; one for both, or one for events and one for censorings.

    Raises:
        UsageError: fewer than two groups, or counts of different shapes.
    """
    died = np.asarray(events, dtype=np.float64)
    if died.ndim < 2 or died.shape[-2] < 2:
        raise UsageError(f"a log-rank test compares two groups or more; the events have shape {died.shape}.")
    possible = at_risk(events, censored)
    groups, bins = died.shape[-2:]
    of_events, of_censored = noise_variance if isinstance(noise_variance, tuple) else (noise_variance, noise_variance)
    deviation = np.sqrt(groups * np.arange(bins, 0, -1) * max(of_events + of_censored, 0.0))
    risk = np.sum(possible.at_risk, axis=-2)
    used = (risk > 0) & (risk >= _ABOVE_NOISE * deviation)
    safe = np.where(used, risk, 1.0)
    part = np.where(used[..., None, :], possible.at_risk / safe[..., None, :], 0.0)
    observed = np.sum(np.where(used[..., None, :], died, 0.0), axis=-1)
    expected = np.sum(part * np.sum(died, axis=-2, keepdims=True), axis=-1)
    total = np.where(used, np.sum(possible.events, axis=-2), 0.0)
    # u (..., group, group, bins): zero in bins that do not take part.
    unit = np.where(used[..., None, None, :], np.eye(groups)[:, :, None] - part[..., :, None, :], 0.0)
    spread = np.where(safe > 1, total * (safe - total) / np.where(safe > 1, safe - 1.0, 1.0), 0.0)
    variance = np.einsum("...k,...hk,...hgk->...gh", spread, part, np.swapaxes(unit, -2, -3))
    earlier = np.cumsum((total / safe)[..., None, None, :] * unit, axis=-1)
    direct = unit - earlier
    noise = of_events * np.einsum("...ahk,...bhk->...ab", direct, direct)
    noise = noise + of_censored * np.einsum("...ahk,...bhk->...ab", earlier, earlier)
    chi_square = _quadratic(observed - expected, variance + noise)
    return LogRank(chi_square, groups - 1, chi_square_tail(chi_square, groups - 1), observed, expected)


def _quadratic(vector: Floats, covariance: Floats) -> Floats:
    """The quadratic form of the pseudo-inverse, (...): directions that the covariance does not have count nothing."""
    values, vectors = np.linalg.eigh(covariance / 2 + np.swapaxes(covariance, -1, -2) / 2)
    along = (np.swapaxes(vectors, -1, -2) @ vector[..., None])[..., 0]
    there = values > np.maximum(_EMPTY_PART * values[..., -1:], 0.0)
    return np.asarray(np.sum(np.where(there, along**2 / np.where(there, values, 1.0), 0.0), axis=-1))
