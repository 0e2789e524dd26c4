"""Choosing one of several options by integer scores: the best one probably, and nobody's presence decides.

Scores count steps of a lattice and are exact. Options are public; their order is too. None of these uses a float: the
exponential mechanism inverts its distribution function in integers, permute-and-flip compares words with
``floor(2^64 exp(-gap / scale))``, noisy max adds integers. Adding Gumbel noise to floats would do the first and adding
exponential noise the second, on paper; in floats neither has the law that is claimed.

=========================== ============================ ======================================================
mechanism                   its price                    take it when
=========================== ============================ ======================================================
``ExponentialMechanism``    bounded range, the cheapest  it is one of many charges: four times less at low orders
``PermuteAndFlipMechanism`` pure                         it is the only charge: its error is the smallest
``NoisyMaxMechanism``       pure                         the list is long: it is a hundred times faster
=========================== ============================ ======================================================

Timing: the arithmetic in integers takes longer for more *different* scores. How many words are drawn depends on the
number of options alone, but for ties of 64 bits and rejected integers. Do not let an adversary time single choices.

References: McSherry, Talwar (2007); McKenna, Sheldon (2020); Ding et al., "The Permute-and-Flip Mechanism Is Identical
    to Report-Noisy-Max with Exponential Noise" (2021); Dwork, Roth (2014), section 3.3. ``docs/theory/choosing.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from stead.errors import UsageError
from stead.privacy.events import ExponentialChoice, NoisyMax, PermuteAndFlip
from stead.privacy.lazy import below_each, exponential_of, uniform_below, weighted_choice, words_of
from stead.privacy.samplers import Sampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stead.core.entropy import Entropy


@dataclass(frozen=True, slots=True)
class ExponentialMechanism:
    """Chooses option r with ``Pr[r] ~ exp(score(r) / scale)``.

    Args:
        scale: in steps of the scores' lattice.
    """

    scale: float

    def event(self, spread: int) -> ExponentialChoice:
        """What a choice is where one person moves the difference of two scores by at most ``spread`` steps."""
        return ExponentialChoice(self.scale, spread)

    def choose(self, scores: NDArray[np.int64], entropy: Entropy) -> int:
        """The index of the chosen option.

        Raises:
            UsageError: no scores, or not a list of 64-bit integers.
        """
        gaps, which, times = np.unique(_gaps(scores), return_inverse=True, return_counts=True)
        scale = Fraction(self.scale)
        weights = [exponential_of(gap / scale) for gap in gaps.tolist()]
        level = weighted_choice(weights, times.tolist(), entropy)
        return _one_of(np.flatnonzero(which == level), entropy)


@dataclass(frozen=True, slots=True)
class PermuteAndFlipMechanism:
    """Goes through the options in random order and takes the first that passes its coin, ``exp(-gap / scale)``.

    A coin is flipped for every option and one of those that passed is drawn uniformly, which is the same law: the
    first of them in a random order is any of them alike. The best option's coin always passes.

    Args:
        scale: in steps of the scores' lattice.
    """

    scale: float

    def event(self, spread: int) -> PermuteAndFlip:
        """What a choice is where one person moves the difference of two scores by at most ``spread`` steps."""
        return PermuteAndFlip(self.scale, spread)

    def choose(self, scores: NDArray[np.int64], entropy: Entropy) -> int:
        """The index of the chosen option.

        Raises:
            UsageError: no scores, or not a list of 64-bit integers.
        """
        gaps, which = np.unique(_gaps(scores), return_inverse=True)
        coins = [exponential_of(gap / Fraction(self.scale)) for gap in gaps.tolist()]
        passed = below_each(words_of(len(which), entropy), which, coins, entropy)
        return _one_of(np.flatnonzero(passed), entropy)


@dataclass(frozen=True)
class NoisyMaxMechanism:
    """Takes the option whose score with discrete Laplace noise is the largest; the first of equal ones.

    Args:
        scale: the noise's, in steps of the scores' lattice.
    """

    scale: float

    def event(self, spread: int) -> NoisyMax:
        """What a choice is where one person moves the difference of two scores by at most ``spread`` steps."""
        return NoisyMax(self.scale, spread)

    def choose(self, scores: NDArray[np.int64], entropy: Entropy) -> int:
        """The index of the chosen option.

        Raises:
            UsageError: no scores, or not a list of 64-bit integers, or the scale is outside the samplers' range.
        """
        gaps = _gaps(scores)
        noise = self._noise.draw(len(gaps), entropy)
        # Far behind the best one nothing wins: noise stays below 2^47 but for a chance below 2^-1000, and a sum that
        # wrapped would be another law than the event's.
        return int(np.argmax(noise - np.minimum(gaps, np.uint64(2**62)).astype(np.int64)))

    @cached_property
    def _noise(self) -> Sampler:
        return Sampler.laplace(self.scale)  # its table takes longer to make than a choice


def _gaps(scores: NDArray[np.int64]) -> NDArray[np.uint64]:
    """How far each score lies below the best; modulo 2^64, where it always fits."""
    if scores.ndim != 1 or not scores.size or scores.dtype != np.int64:
        raise UsageError(f"a choice is made by a list of int64 scores, not by {scores.dtype} of shape {scores.shape}.")
    gaps: NDArray[np.uint64] = scores.max().astype(np.uint64) - scores.astype(np.uint64)
    return gaps


def _one_of(indices: NDArray[np.intp], entropy: Entropy) -> int:
    return int(indices[uniform_below(len(indices), 1, entropy)[0]])
