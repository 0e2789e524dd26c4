"""Linear regression from sums: ordinary least squares with an intercept, and what noise may do to it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stead.plans.statistics.matrices import floored_inverse
from stead.plans.statistics.moments import centred_products, mean

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class LeastSquares(NamedTuple):
    """A linear fit. The intercept comes first, then one coefficient for each of k predictors.

    Standard errors are those of sampling: what is left of the noise in the sums is not in them, and error bars by
    simulated noise stand beside them.

    Attributes:
        coefficients: (..., k + 1).
        standard_errors: (..., k + 1).
        t: (..., k + 1), coefficient by standard error; 0 where the latter is 0, so that noise which swallows the
            residuals does not look like certainty.
        r_squared: (...), inside [0, 1]; 0 for a constant response.
        residual_variance: (...), by n - k - 1 (at least one).
        raised: (...), whether a direction of the predictors held less than the floor.
    """

    coefficients: Floats
    standard_errors: Floats
    t: Floats
    r_squared: Floats
    residual_variance: Floats
    raised: Flags


def least_squares(
    count: npt.ArrayLike,
    totals: npt.ArrayLike,
    products: npt.ArrayLike,
    *,
    offsets: npt.ArrayLike = 0.0,
    floor: npt.ArrayLike = 0.0,
) -> LeastSquares:
    """Ordinary least squares of the last variable on the others.

    The eigenvalues of the predictors' products about the mean are raised to ``floor`` (``floored_inverse``): in a
    direction of which the sums hold less than their noise, coefficients lean toward zero instead of flying off. A
    constant predictor has coefficient and standard error 0; of two equal ones each gets half.

    Args:
        count: (...), rows; with noise.
        totals: (..., k + 1), sums about the offsets, the response last.
        products: (..., k + 1, k + 1), sums of products about the offsets, symmetric.
        offsets: broadcast to (k + 1,).
        floor: broadcast to (..., k): the scale of the noise in each predictor's sum of squares, some standard
            deviations of it.

    References:
        Hastie, Tibshirani, Friedman, "The elements of statistical learning" (2009), section 3.2.
    """
    about_mean = centred_products(count, totals, products)
    predictors = about_mean.shape[-1] - 1
    response = about_mean[..., :-1, -1]
    spread = about_mean[..., -1, -1]
    inverse, raised = floored_inverse(about_mean[..., :-1, :-1], floor)
    slopes = (inverse @ response[..., None])[..., 0]
    n = np.maximum(np.asarray(count, dtype=np.float64), 1.0)
    means = mean(n[..., None], totals, offsets)
    intercept = means[..., -1] - np.sum(slopes * means[..., :-1], axis=-1)
    residual = np.clip(spread - np.sum(slopes * response, axis=-1), 0.0, spread)
    residual_variance = residual / np.maximum(n - predictors - 1.0, 1.0)
    leverage = np.sum(means[..., :-1] * (inverse @ means[..., :-1, None])[..., 0], axis=-1)
    unit = np.concatenate(
        [(1.0 / n + np.maximum(leverage, 0.0))[..., None], np.diagonal(inverse, axis1=-2, axis2=-1)], axis=-1
    )
    coefficients = np.concatenate([intercept[..., None], slopes], axis=-1)
    errors = np.sqrt(residual_variance[..., None] * np.maximum(unit, 0.0))
    t = np.where(errors > 0, coefficients / np.where(errors > 0, errors, 1.0), 0.0)
    explained = 1.0 - residual / np.where(spread > 0, spread, 1.0)
    return LeastSquares(
        coefficients, errors, t, np.where(spread > 0, explained, 0.0), np.asarray(residual_variance), np.asarray(raised)
    )
