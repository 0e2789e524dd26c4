"""Symmetric matrices with noise: inverses that exist whatever the noise was."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# The floor of a matrix without noise, as a part of its diagonal: below it a direction is told apart by rounding alone.
_ROUNDING_PART = 1e-10
# A diagonal below this is none: its reciprocal times a sum would leave the range of floats.
_NONE = 1e-100


class Inverse(NamedTuple):
    """What ``floored_inverse`` gives.

    Attributes:
        matrix: (..., p, p), symmetric, without negative eigenvalues.
        raised: (...), whether a direction had less than the floor: what is computed from it leans toward zero there.
    """

    matrix: Floats
    raised: Flags


def floored_inverse(matrix: npt.ArrayLike, floor: npt.ArrayLike = 0.0) -> Inverse:
    """The inverse of a symmetric matrix whose eigenvalues are first raised to the noise.

    Each variable is scaled so that its floor is one; eigenvalues below one are set to one. So directions in which the
    matrix is mostly noise count as if they held one floor's worth, whatever the units of the variables; with a floor
    of some standard deviations of the noise, directions well above it are the same as without. A variable with a
    diagonal of at most zero (1e-100) and no floor is constant: its row and column of the inverse are zero.

    Args:
        matrix: (..., p, p), symmetric, perhaps indefinite; entries below 1e60, so that all results are finite.
        floor: the known noise scale of each diagonal entry, broadcast to (..., p); not negative. At least 1e-10 of
            the diagonal, for rounding.

    References:
        Higham, "Computing a nearest symmetric positive semidefinite matrix" (1988): raising eigenvalues is nearest in
        the Frobenius norm.
    """
    given = np.asarray(matrix, dtype=np.float64)
    diagonal = np.diagonal(given, axis1=-2, axis2=-1)
    least = np.broadcast_to(np.maximum(np.asarray(floor, dtype=np.float64), 0.0), diagonal.shape)
    size = np.maximum(diagonal, least)
    live = size > _NONE
    root = np.sqrt(np.where(live, np.maximum(least, _ROUNDING_PART * size), 1.0))
    # Cauchy-Schwarz: noise alone can break it, and a quotient by a small root would make it large.
    size = np.where(live, size, 0.0)
    most = np.sqrt(size)[..., :, None] * np.sqrt(size)[..., None, :]
    scaled = np.clip(given, -most, most) / root[..., :, None] / root[..., None, :]
    values, vectors = np.linalg.eigh(scaled)
    inverse = (vectors / np.maximum(values, 1.0)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    inverse = inverse / root[..., :, None] / root[..., None, :]
    # Dead variables were decoupled by the clip: each has one eigenvalue of zero, which is no direction of the others.
    raised = np.sum(values < 1.0, axis=-1) > np.sum(~live, axis=-1)
    return Inverse(np.where(live[..., :, None] & live[..., None, :], inverse, 0.0), raised)


def pack(matrix: npt.ArrayLike) -> Floats:
    """The upper triangle, row by row: (..., p, p) to (..., p(p+1)/2)."""
    given = np.asarray(matrix, dtype=np.float64)
    rows, columns = np.triu_indices(given.shape[-1])
    packed: Floats = given[..., rows, columns]
    return packed


def unpack(packed: npt.ArrayLike, size: int) -> Floats:
    """The symmetric matrix of an upper triangle: (..., p(p+1)/2) to (..., p, p)."""
    given = np.asarray(packed, dtype=np.float64)
    rows, columns = np.triu_indices(size)
    matrix = np.empty((*given.shape[:-1], size, size))
    matrix[..., rows, columns] = given
    matrix[..., columns, rows] = given
    return matrix
