"""Logistic regression by Newton's method, from released sums of gradients and informations.

=============  =====================================================================================================
symbol         meaning
=============  =====================================================================================================
x, y, theta    a row's predictors (with a one for the intercept), its outcome 0 or 1, and the coefficients
mu             1 / (1 + exp(-x theta)), the probability of the outcome
g, I           sums over rows of (y - mu) x and of mu (1 - mu) x x': gradient and information of the log likelihood
=============  =====================================================================================================

Each round sums g and I at the present coefficients and takes ``newton_step``. A row moves entry j of g by at most |x_j|
and entry ij of I by at most |x_i x_j| / 4, whatever the coefficients are.

References:
    McCullagh, Nelder, "Generalized linear models" (1989), sections 2.5 and 4.4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stead.plans.statistics.matrices import floored_inverse, pack, unpack

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Linear predictors beyond this have a probability of 0 or 1 in floats.
_FAR = 800.0


class ScoreTerms(NamedTuple):
    """What each row adds: to the gradient (n, p), and to the upper triangle of the information (n, p(p+1)/2)."""

    gradient: Floats
    information: Floats


class NewtonStep(NamedTuple):
    """New coefficients and how well the sums fix them.

    Standard errors are those of sampling at the *old* coefficients, which is the same once the steps have become
    small; noise in the sums is not in them.

    Attributes:
        theta: (..., p), new coefficients.
        standard_errors: (..., p), roots of the diagonal of the inverse information.
        halvings: (...), how often the step was halved.
        raised: (...), whether a direction of the information held less than the floor.
    """

    theta: Floats
    standard_errors: Floats
    halvings: npt.NDArray[np.int64]
    raised: Flags


def sigmoid(z: npt.ArrayLike) -> Floats:
    """1 / (1 + exp(-z)), any shape: accurate in both tails, without overflow; NaN gives 1/2."""
    given = np.asarray(z, dtype=np.float64)
    small = np.exp(-np.minimum(np.abs(np.where(np.isnan(given), 0.0, given)), _FAR))
    return np.where(given < 0, small, 1.0) / (1.0 + small)


def score_terms(x: npt.ArrayLike, y: npt.ArrayLike, theta: npt.ArrayLike) -> ScoreTerms:
    """Each row's terms of gradient and information.

    Args:
        x: (n, p), bounded predictors. A one for the intercept is the caller's.
        y: (n,), 0 or 1.
        theta: (p,), finite.
    """
    rows = np.asarray(x, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # inf - inf of huge coefficients: sigmoid(NaN) is declared
        z = rows @ np.asarray(theta, dtype=np.float64)
    mu = sigmoid(z)
    residual = np.asarray(y, dtype=np.float64) - mu
    weight = mu * sigmoid(-z)
    return ScoreTerms(residual[:, None] * rows, weight[:, None] * pack(rows[:, :, None] * rows[:, None, :]))


def newton_step(
    gradient: npt.ArrayLike,
    information: npt.ArrayLike,
    theta: npt.ArrayLike,
    *,
    floor: npt.ArrayLike = 0.0,
    longest: npt.ArrayLike = 4.0,
) -> NewtonStep:
    """One step of Newton's method, from perhaps noisy sums.

    The information's eigenvalues are raised to ``floor`` (``floored_inverse``), so that noise cannot turn the step
    around, and the step is halved until no coefficient moves further than ``longest``: far from the maximum, and where
    the outcome is separated, a full step would leap. A coefficient without information and without floor stays.

    Args:
        gradient: (..., p).
        information: (..., p(p+1)/2), upper triangle row by row.
        theta: (..., p), where the sums were taken.
        floor: broadcast to (..., p): the scale of the noise in the information's diagonal, some standard deviations.
        longest: broadcast to (..., p), positive: the farthest that a coefficient moves, in its units. 4 is a factor
            of 55 in odds for each unit of a predictor.
    """
    old = np.asarray(theta, dtype=np.float64)
    slope = np.asarray(gradient, dtype=np.float64)
    inverse, raised = floored_inverse(unpack(information, slope.shape[-1]), floor)
    step = (inverse @ slope[..., None])[..., 0]
    excess = np.max(np.abs(step) / np.asarray(longest, dtype=np.float64), axis=-1)
    halvings = np.ceil(np.log2(np.maximum(excess, 1.0))).astype(np.int64)
    errors = np.sqrt(np.maximum(np.diagonal(inverse, axis1=-2, axis2=-1), 0.0))
    return NewtonStep(old + np.ldexp(step, -halvings[..., None]), errors, np.asarray(halvings), raised)


def converged(before: npt.ArrayLike, step: NewtonStep, *, part: float = 0.01) -> Flags:
    """Whether no coefficient moved by more than ``part`` of its standard error, (...).

    A change that small cannot be seen beside the sampling error. Under noise steps never end; they then stay about as
    small as the noise is beside the sampling error.

    Args:
        before: (..., p), the coefficients before the step.
        step: the step from there.
        part: a part of a standard error, positive.
    """
    moved = np.abs(step.theta - np.asarray(before, dtype=np.float64))
    still = np.all(moved <= part * step.standard_errors + math.ulp(1.0) * np.abs(step.theta), axis=-1)
    return np.asarray(still & (step.halvings == 0))
