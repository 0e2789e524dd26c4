"""Error bars of decoded values by simulated noise: one band that holds for all cells together.

The released integers are v + e: exact sums and noise of a known law. A decoder f is no linear function, so that the
error f(v + e) - f(v) has no law of its own. Here the noise is drawn anew around what was released, f(v + e + e') is
decoded for each draw, and its distance from f(v + e) stands for the error. No row is looked at, and no budget spent.

What this is worth. Where f is almost linear over the noise, both errors have the same law, and the band holds as often
as it says. It is a **first-order simulation, not a proof**: where noise is as large as what is measured, f at the
released point may be flatter or steeper than at the exact one. It covers the noise alone, neither sampling nor
quantisation nor clipping, and not the pull of declared limits (a variance cut at 0, a quantile's reach).

References:
    Efron, Tibshirani, "An introduction to the bootstrap" (1993), chapter 6 (parametric bootstrap); Montiel Olea,
    Plagborg-Møller, "Simultaneous confidence bands" (2019), for one factor for all cells.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from stead.errors import UsageError

Floats = npt.NDArray[np.float64]


def least_draws(confidence: float) -> int:
    """The fewest draws with which ``joint_half_widths`` can reach ``confidence``.

    Raises:
        UsageError: the confidence is not strictly between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise UsageError(f"a confidence of {confidence} is not between 0 and 1.")
    draws = max(1, math.ceil(confidence / (1 - confidence)) - 1)
    while _order(draws, confidence) > draws:
        draws += 1
    return draws


def joint_half_widths(values: npt.ArrayLike, draws: npt.ArrayLike, confidence: float) -> Floats:
    """Half-widths such that ``confidence`` of the draws lie within all cells' bars together.

    A cell's half-width is one factor times its spread, the root of its mean square distance between draw and value.
    The factor is the order statistic ceil(confidence (m + 1)) of the draws' largest relative distance: with it, one
    more draw is inside with at least the wished probability (to be exact, if the spreads were known), not the m draws
    only. Several statistics get one band by being flattened and joined before.

    Args:
        values: (...), finite, decoded from what was released.
        draws: (m, ...), finite, decoded from released plus simulated noise, in independent draws.
        confidence: the joint probability.

    Returns:
        (...), not negative; 0 in a cell that no draw moves.

    Raises:
        UsageError: the shapes do not fit, the confidence is none, or the draws are too few for it.
    """
    centre, drawn = np.asarray(values, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    if drawn.shape[1:] != centre.shape or drawn.ndim == 0:
        raise UsageError(f"draws of shape {drawn.shape} are none of values of shape {centre.shape}.")
    least, count = least_draws(confidence), drawn.shape[0]
    if count < least:
        raise UsageError(
            f"{count} draws cannot carry a confidence of {confidence}; {least} can.",
            hint=f"draw at least {least} times, better ten times as often.",
        )
    distance = np.abs(drawn - centre).reshape(count, -1)
    largest = np.max(distance, axis=0)
    moved = largest > 0
    # By the largest distance first: a square of very large or small distances would overflow or vanish.
    relative = distance / np.where(moved, largest, 1.0)
    root = np.where(moved, np.sqrt(np.mean(relative * relative, axis=0)), 1.0)
    farthest = np.max(relative / root, axis=1, initial=0.0)
    factor = np.sort(farthest)[_order(count, confidence) - 1]
    # A bar longer than the largest distance would say nothing more.
    widths: Floats = np.minimum(factor * root, 1.0) * largest
    return widths.reshape(centre.shape)


def _order(draws: int, confidence: float) -> int:
    # 0.95 * 20 is 19.000000000000004 for some floats: a rounding must not ask for one more draw.
    return math.ceil(confidence * (draws + 1) - 1e-9)
