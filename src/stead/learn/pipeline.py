"""From one person's gradient to what a site adds: clip, quantise toward zero, check again on integers, sum, noise.

Symbols: C = clip, g = lattice step, B = floor((C/g)^2), the bound on the squared L2 norm of one person's integers.
Everything is total: whatever an example does to its gradient, the person's integer vector v has sum(v^2) <= B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stead.core.entropy import Entropy, Keystream
from stead.errors import UsageError
from stead.learn.masks import IntVector
from stead.privacy.mechanisms import GaussianMechanism, noise_share

FloatArray = NDArray[np.floating[Any]]

# Below this, sums of squares of one person stay inside int64 with room for the rounding of the scale.
_LARGEST_BOUND = 1 << 62
# Squares of such numbers are ordinary float64.
_SMALLEST = 2.0**-256
# Where rounding has pushed a person's integers over the bound, they are scaled by this once more.
_SHRINK = 1.0 - 2.0**-20
# Values that are quantised at a time: the scratch stays in the cache.
_TILE = 1 << 16


@dataclass(frozen=True)
class Lattice:
    """Clipping to L2 norm ``clip`` and rounding toward zero to multiples of ``step``.

    Args:
        clip: bound on one person's L2 norm, in the gradient's unit.
        step: distance of two lattice points, in the gradient's unit.

    Raises:
        UsageError: not two ordinary positive numbers, or over 2^31 steps in a norm.
    """

    clip: float
    step: float

    def __post_init__(self) -> None:
        if not _SMALLEST <= self.step <= self.clip <= 1.0 / _SMALLEST:
            raise UsageError(f"a lattice needs 2^-256 <= step <= clip <= 2^256; got {self.step} and {self.clip}.")
        if self.bound >= _LARGEST_BOUND:
            raise UsageError(f"clip {self.clip} is over 2^31 lattice steps of {self.step}; choose a coarser lattice.")

    @property
    def bound(self) -> int:
        """The largest sum of squares of one person's integers: floor((clip / step)^2), exactly."""
        return math.floor((Fraction(self.clip) / Fraction(self.step)) ** 2)

    def quantise(self, gradients: FloatArray) -> NDArray[np.int64]:
        """Each row clipped and rounded toward zero, its norm checked on the integers.

        A row with a NaN, an infinity, or a norm beyond float64 becomes the zero vector.

        Args:
            gradients: shape (people, length).

        Returns:
            int64, the same shape; every row's sum of squares is at most ``bound``.
        """
        integers = np.empty(gradients.shape, dtype=np.int64)
        people = max(1, _TILE // max(1, gradients.shape[1]))
        for start in range(0, len(gradients), people):
            self._fill(integers[start : start + people], gradients[start : start + people])
        return integers

    def _fill(self, integers: NDArray[np.int64], gradients: FloatArray) -> None:
        """Write the integers of a few people, none over the bound."""
        norms = np.sqrt(_sums_of_squares(gradients))
        usable = np.isfinite(norms)
        if not usable.all():
            gradients = np.where(usable[:, None], gradients, 0.0)
            norms = np.where(usable, norms, 0.0)
        scales = np.full(len(norms), 1.0 / self.step)
        np.divide(self.clip / self.step, norms, out=scales, where=norms > self.clip)
        over = _truncate(gradients, scales, integers) > self.bound
        if over.any():
            over = _truncate(gradients, np.where(over, scales * _SHRINK, scales), integers) > self.bound
            integers[over] = 0


def _sums_of_squares(gradients: FloatArray) -> NDArray[np.float64]:
    """Squared norms of the rows, in float64; not finite where a row is not."""
    totals = np.zeros(len(gradients))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, gradients.shape[1], _TILE):
            part = gradients[:, start : start + _TILE].astype(np.float64)
            totals += np.einsum("ij,ij->i", part, part)
    return totals


def _truncate(gradients: FloatArray, scales: NDArray[np.float64], integers: NDArray[np.int64]) -> NDArray[np.int64]:
    """``integers = trunc(gradients * scales)`` row by row; returns the rows' exact sums of squares."""
    totals = np.zeros(len(scales), dtype=np.int64)
    for start in range(0, gradients.shape[1], _TILE):
        part = integers[:, start : start + _TILE]
        scaled = np.multiply(gradients[:, start : start + _TILE], scales[:, None], dtype=np.float64)
        np.copyto(part, scaled, casting="unsafe")
        totals += np.einsum("ij,ij->i", part, part)
    return totals


@dataclass(frozen=True)
class NoiseShare:
    """One site's part of the noise: discrete Gaussians in lattice steps, block by block of the vector.

    Args:
        sigmas: standard deviation of the *whole* noise for each block, in lattice steps.
        lengths: integers in each block.
        sites: sites of the session.
        colluders: sites whose shares are not counted on.
    """

    sigmas: tuple[float, ...]
    lengths: tuple[int, ...]
    sites: int
    colluders: int

    def add(self, values: IntVector, entropy: Entropy) -> IntVector:
        """``values`` plus fresh noise of variance sigma^2 / (sites - colluders) in every place."""
        if len(self.sigmas) != len(self.lengths) or values.shape != (sum(self.lengths),):
            raise UsageError(f"noise for {sum(self.lengths)} integers does not fit a vector of {values.size}.")
        noisy = np.empty_like(values)
        start = 0
        for sigma, length in zip(self.sigmas, self.lengths, strict=True):
            share = GaussianMechanism(noise_share(sigma, self.sites, self.colluders))
            noisy[start : start + length] = share.add(values[start : start + length], entropy)
            start += length
        return noisy


def poisson_sample(people: int, rate: float, entropy: Entropy) -> NDArray[np.bool_]:
    """Which of ``people`` take part: each by itself, with probability floor(rate * 2^64) / 2^64.

    Exact: 64 random bits are compared with an integer. The probability is never above ``rate``.

    Raises:
        UsageError: ``rate`` is outside (0, 1].
    """
    if not 0.0 < rate <= 1.0:
        raise UsageError(f"a sampling rate is above 0 and at most 1; got {rate}.")
    if rate == 1.0:
        return np.ones(people, dtype=np.bool_)
    threshold = np.uint64(math.floor(Fraction(rate) * 2**64))
    draws = np.frombuffer(Keystream.fresh(entropy).take(8 * people), dtype="<u8")
    sampled: NDArray[np.bool_] = draws < threshold
    return sampled


def random_lanes(taking_part: NDArray[np.bool_], lanes: int, entropy: Entropy) -> NDArray[np.int64]:
    """A lane for each person who takes part, drawn independently and uniformly; -1 for the others.

    Args:
        taking_part: shape (people,).
        lanes: a power of two, at most 256.
        entropy: one byte for each person.
    """
    draws = np.frombuffer(Keystream.fresh(entropy).take(len(taking_part)), dtype=np.uint8)
    return np.where(taking_part, (draws & (lanes - 1)).astype(np.int64), -1)
