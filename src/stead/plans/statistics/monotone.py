"""Noisy cumulative counts made monotone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def monotone(values: npt.ArrayLike) -> Floats:
    """The non-decreasing, non-negative sequence nearest in the maximum norm.

    Half-way between the largest value so far and the smallest still to come, and zero where that is negative. It moves
    no value further than the values contradict each other, never amplifies the largest error, and leaves exact
    cumulative counts as they are.

    Args:
        values: (..., n), cumulative counts with noise.

    Returns:
        (..., n), non-decreasing along the last axis.

    References:
        Ubhaya, "Isotone optimization I" (1974): the mean of both envelopes is optimal in the maximum norm.
    """
    given = np.asarray(values, dtype=np.float64)
    upper = np.maximum.accumulate(given, axis=-1)
    lower = np.minimum.accumulate(given[..., ::-1], axis=-1)[..., ::-1]
    return np.maximum(upper / 2 + lower / 2, 0.0)
