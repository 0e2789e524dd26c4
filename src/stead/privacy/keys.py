"""Which of the keys that occur in private rows may be shown, when nobody listed them beforehand.

A key that one person alone has may appear with probability delta at most. ``PartitionSelectionMechanism`` decides each
key with the largest probability that (epsilon, delta) allows for any number of people; it shows keys and nothing else.
The thresholded mechanisms show noisy counts too, and drop those below a threshold.

Keys come in as counts of *different people*, after each person was bounded to ``keys`` keys. Keys without anybody are
not there: what is shown must not depend on a list that an owner happens to hold.

=========== ==============================================================================
symbol      meaning
=========== ==============================================================================
pi(n)       the probability that a key of n people is shown
E           e^epsilon
=========== ==============================================================================

References: Desfontaines, Voss, Gipson, Mandayam, "Differentially Private Partition Selection" (2022);
    Wilson et al., "Differentially Private SQL with Bounded User Contribution" (2020).
    ``docs/theory/keys.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from stead.errors import UsageError
from stead.privacy.events import PartitionSelection, ThresholdedGaussian, ThresholdedLaplace
from stead.privacy.fixed_point import Interval, exp_minus
from stead.privacy.lazy import Real, below_each, words_of
from stead.privacy.samplers import discrete_gaussian, discrete_laplace
from stead.privacy.slack import slack

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from stead.core.entropy import Entropy
    from stead.privacy.events import PrivacyEvent

_WORD = 64
_MOST_STEPS = 1 << 20
_LARGEST_EPSILON = 1000.0

Table = tuple[int, list[Interval]]
"""A scale in bits, and intervals around pi(0), pi(1), ..., up to the first that is one, as all further ones are."""


@dataclass(frozen=True, slots=True)
class PartitionSelectionMechanism:
    """Shows each key with the largest probability that keeps (epsilon, delta) for that key.

    ``pi(0) = 0``, ``pi(n+1) = min(E pi(n) + delta, 1 - (1 - pi(n) - delta) / E, 1)``.

    Args:
        epsilon: nats, positive, for each key.
        delta: in (0, 1), for each key.
    """

    epsilon: float
    delta: float

    def event(self, keys: int) -> PartitionSelection:
        """What a selection is where one person has at most ``keys`` keys."""
        return PartitionSelection(self.epsilon, self.delta, keys)

    def shown(self, people: NDArray[np.int64], entropy: Entropy) -> NDArray[np.bool_]:
        """Whether each key is shown.

        Args:
            people: how many different people have each key, at least one, shape (keys,).
            entropy: gives all coins.

        Raises:
            UsageError: a count is not positive, or epsilon is so large or so small that there is no table.
        """
        _require_counts(people)
        table = self._table(2 * _WORD)
        levels, which = np.unique(np.minimum(people, len(table[1]) - 1), return_inverse=True)
        chances = [self._chance(level, table) for level in levels.tolist()]
        return below_each(words_of(len(people), entropy), which, chances, entropy)

    def probability(self, people: int) -> float:
        """pi(people), rounded: for forecasts."""
        bits, chances = self._table(2 * _WORD)
        low, high = chances[min(people, len(chances) - 1)]
        return float(Fraction(low + high, 2 << bits))

    def _chance(self, people: int, table: Table) -> Real:
        """pi(people) as a real: from the table as long as that is fine enough, else from a finer one."""

        def real(bits: int) -> Interval:
            scale, chances = table if bits == _WORD else self._table(2 * bits)
            low, high = chances[min(people, len(chances) - 1)]
            return low >> scale - bits, -(-high >> scale - bits)

        return real

    def _table(self, bits: int) -> Table:
        """Intervals at least as fine as ``2^-bits``, but for what a million roundings add."""
        if not self.epsilon <= _LARGEST_EPSILON:
            raise UsageError(f"an epsilon of {self.epsilon} promises nothing; keys are selected up to 1000.")
        # Steps of the first branch multiply an error by E until pi, which begins at delta, is about 1.
        delta = Fraction(self.delta)
        scale = bits + delta.denominator.bit_length() - delta.numerator.bit_length() + int(3 * self.epsilon) + 8
        one = 1 << scale
        least = (delta.numerator << scale) // delta.denominator
        most = -(-(delta.numerator << scale) // delta.denominator)
        inverse = exp_minus(Fraction(self.epsilon), scale)  # 1 / E
        chances: list[Interval] = [(0, 0)]
        low = high = 0
        while low < one:
            if len(chances) > _MOST_STEPS:
                raise UsageError(
                    f"with an epsilon of {self.epsilon} a key would need more than 2^20 people to be shown."
                )
            grown = (low << scale) // inverse[1] + least, -(-(high << scale) // inverse[0]) + most
            rest = max(0, one - high - most), max(0, one - low - least)
            capped = one - (-(-rest[1] * inverse[1] >> scale)), one - (rest[0] * inverse[0] >> scale)
            low, high = min(grown[0], capped[0]), min(grown[1], capped[1])
            chances.append((low, high))
        return scale, chances


@dataclass(frozen=True, slots=True)
class ThresholdedGaussianMechanism:
    """Adds a discrete Gaussian to each key's count and shows the counts from a threshold on.

    Args:
        sigma: the noise's parameter, in steps of the counts' lattice.
        threshold: the smallest noisy count that is shown.
    """

    sigma: float
    threshold: int

    @classmethod
    def of(cls, sigma: float, delta: float, each: int, keys: int) -> ThresholdedGaussianMechanism:
        """The mechanism with the least threshold, from 0 on, whose slack is at most ``delta``."""
        least = _least(lambda threshold: ThresholdedGaussian(sigma, threshold, each, keys), delta)
        return cls(sigma, least)

    def event(self, each: int, keys: int) -> ThresholdedGaussian:
        """What a release is where one person has at most ``keys`` keys and moves each count by ``each`` steps."""
        return ThresholdedGaussian(self.sigma, self.threshold, each, keys)

    def release(self, counts: NDArray[np.int64], entropy: Entropy) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Whether each key is shown, and the noisy counts of those that are.

        Args:
            counts: of the keys that occur, at least one step each, shape (keys,).
            entropy: gives the noise.

        Raises:
            UsageError: a count is not positive.
        """
        _require_counts(counts)
        noisy = counts + discrete_gaussian(counts.size, self.sigma, entropy)
        shown = noisy >= self.threshold
        return shown, noisy[shown]


@dataclass(frozen=True, slots=True)
class ThresholdedLaplaceMechanism:
    """Adds a discrete Laplace integer to each key's count and shows the counts from a threshold on.

    Args:
        scale: the noise's parameter, in steps of the counts' lattice.
        threshold: the smallest noisy count that is shown.
    """

    scale: float
    threshold: int

    @classmethod
    def of(cls, scale: float, delta: float, each: int, keys: int) -> ThresholdedLaplaceMechanism:
        """The mechanism with the least threshold, from 0 on, whose slack is at most ``delta``."""
        return cls(scale, _least(lambda threshold: ThresholdedLaplace(scale, threshold, each, keys), delta))

    def event(self, each: int, keys: int) -> ThresholdedLaplace:
        """What a release is where one person has at most ``keys`` keys and moves each count by ``each`` steps."""
        return ThresholdedLaplace(self.scale, self.threshold, each, keys)

    def release(self, counts: NDArray[np.int64], entropy: Entropy) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Whether each key is shown, and the noisy counts of those that are.

        Args:
            counts: of the keys that occur, at least one step each, shape (keys,).
            entropy: gives the noise.

        Raises:
            UsageError: a count is not positive.
        """
        _require_counts(counts)
        noisy = counts + discrete_laplace(counts.size, self.scale, entropy)
        shown = noisy >= self.threshold
        return shown, noisy[shown]


def _require_counts(counts: NDArray[np.int64]) -> None:
    if counts.ndim != 1 or counts.dtype != np.int64 or (counts.size and counts.min() < 1):
        raise UsageError("keys are selected by a list of int64 counts, each at least one: others do not occur.")


def _least(event: Callable[[int], PrivacyEvent], delta: float) -> int:
    """The least threshold from 0 on with a slack of at most delta, by bisection: slack falls as the threshold rises."""
    if not 0 < delta < 1:
        raise UsageError(f"delta lies in (0, 1), not {delta}.")
    high = 1
    while slack(event(high)) > delta:
        high *= 2
    low = high // 2 if high > 1 else -1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if slack(event(middle)) <= delta else (middle, high)
    return high
