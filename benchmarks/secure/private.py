"""What is released with differential privacy: whose row is protected, how it is bounded, how much noise; NumPy alone.

The same bound and noise stand in the clear (one trusted curator draws the noise) and on shares (each party draws a
part). All noise has ``MULTIPLIER`` times the sensitivity as standard deviation, counting honest parties alone.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from works import FIRST, SECOND, Work, normal

from stead.core.entropy import Entropy
from stead.learn.pipeline import Lattice, NoiseShare
from stead.mpc.fixed import Secret
from stead.mpc.forms import MATMUL
from stead.mpc.noise import NoiseOnShares
from stead.mpc.protocol import Protocol
from stead.mpc.shares import RingArray
from stead.privacy.mechanisms import GaussianMechanism

Array = npt.NDArray[Any]

MULTIPLIER: Final = 1.25

SIDE: Final = 1000
CROSS: Final = "cross-product 1000x1000"
ROW_FRACTION: Final = 14
ROWS: Final = Lattice(36.0, 2.0**-ROW_FRACTION)
"""A person is a row of X and the same row of Y; 1000 standard normal numbers have norm 31.6."""

CLASSES: Final = 1000
LIMIT: Final = 4.0
LOGIT_FRACTION: Final = 16
"""A person is the image: each of its logits, which differ by about one, is held within 4."""

CLIENTS, LENGTH = 10, 1_000_000
UPDATE_FRACTION: Final = 12
UPDATES: Final = Lattice(1000.0, 2.0**-UPDATE_FRACTION)
"""A person is one client's gradient: a million standard normal numbers have norm 1000."""


def sensitivity_of(work: str) -> float:
    """How far one person moves the release, L2 norm, in the numbers' own unit."""
    if work == CROSS:
        return ROWS.clip**2  # the Frobenius norm of one row's outer product with another
    if work == "resnet18":
        return 2 * LIMIT * math.sqrt(CLASSES)  # any two images
    return UPDATES.clip


def noise_of(work: str) -> tuple[NoiseOnShares, float | None]:
    """The noise of an opening on shares, and the limit that values are held within there."""
    sensitivity = sensitivity_of(work)
    return NoiseOnShares(MULTIPLIER * sensitivity, sensitivity), LIMIT if work == "resnet18" else None


def _rows(values: Array) -> RingArray:
    return ROWS.quantise(values).view(np.uint64)


def _cross(p: Protocol, secrets: list[Secret]) -> Secret:
    """X^T Y, exact: a truncation would cost the sensitivity 2 steps in each of a million numbers."""
    x, y = secrets
    return Secret(p.product(MATMUL, x.share.map(np.transpose), y.share), 2 * ROW_FRACTION)


def tables() -> tuple[Array, Array]:
    """What two parties know of the same 1000 people, (people, 1000) each."""
    return np.ascontiguousarray(normal(SIDE, SIDE, seed=1).T), normal(SIDE, SIDE, seed=2)


CROSS_WORK: Final = Work(
    lambda: list(zip((FIRST, SECOND), tables(), strict=True)),
    _cross,
    lambda values: np.asarray(values[0].T @ values[1]),
    encode=_rows,
    fraction=ROW_FRACTION,
)


def cross_integers(x: Array, y: Array) -> Array:
    """X^T Y of the clipped and rounded rows, in lattice steps: below 2^53, so float64 makes no error."""
    left, right = (ROWS.quantise(values).astype(np.float64) for values in (x, y))
    return (left.T @ right).astype(np.int64)


def curator(integers: Array, work: str, fraction: int, entropy: Entropy) -> Array:
    """Integers with the whole noise of one trusted curator, as numbers."""
    sigma = math.ldexp(MULTIPLIER * sensitivity_of(work), fraction)
    return np.ldexp(GaussianMechanism(sigma).add(integers, entropy).astype(np.float64), -fraction)


def logit_integers(logits: Array) -> Array:
    """Logits held within the limit, in lattice steps; what is not a number counts as 0."""
    held = np.clip(np.nan_to_num(logits.astype(np.float64), nan=0.0), -LIMIT, LIMIT)
    return np.trunc(np.ldexp(held, LOGIT_FRACTION)).astype(np.int64)


def client_vectors() -> list[Array]:
    """What ten clients bring."""
    random = np.random.default_rng(8)
    return [random.standard_normal(LENGTH, dtype=np.float32) for _ in range(CLIENTS)]


def update_integers(vector: Array) -> Array:
    """A client's gradient, clipped and rounded, in lattice steps."""
    return UPDATES.quantise(vector[None])[0]


def released(vector: Array, entropy: Entropy) -> Array:
    """The same with the client's part of the noise; one of the ten may take its part off again."""
    sigma = math.ldexp(MULTIPLIER * UPDATES.clip, UPDATE_FRACTION)
    return NoiseShare((sigma,), (vector.size,), CLIENTS, 1).add(update_integers(vector), entropy)
