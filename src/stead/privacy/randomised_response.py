"""Randomised response: each person's answer is replaced by chance, so that no single report can be held against anyone.

The report is the truth with probability ``e^epsilon / (e^epsilon + k - 1)`` and each other of the k options with
probability ``1 / (e^epsilon + k - 1)``, exactly: the coin's threshold is computed in integers. What is drawn does not
depend on the answers.

References: Warner, "Randomized Response" (1965); Kairouz, Oh, Viswanath, "Extremal Mechanisms for Local Differential
    Privacy" (2016): k-ary randomised response; ``docs/theory/randomised-response.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from stead.errors import UsageError
from stead.privacy.events import RandomisedResponse
from stead.privacy.fixed_point import Interval, exp_minus
from stead.privacy.lazy import below, uniform_below, words_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stead.core.entropy import Entropy

_SPARE_BITS = 64


@dataclass(frozen=True, slots=True)
class RandomisedResponseMechanism:
    """Reports an answer out of a public list, or another one.

    Args:
        epsilon: nats, positive.
        options: length of the list, at least two.
    """

    epsilon: float
    options: int

    def event(self) -> RandomisedResponse:
        """What one report of one person is. Reports of several questions are several events."""
        return RandomisedResponse(self.epsilon, self.options)

    def report(self, answers: NDArray[np.int64], entropy: Entropy) -> NDArray[np.int64]:
        """A report for each answer, independent of each other.

        Args:
            answers: of different people, each in 0 .. options - 1, shape (people,).
            entropy: gives all coins.

        Raises:
            UsageError: an answer is outside the list.
        """
        if answers.size and not 0 <= answers.min() <= answers.max() < self.options:
            raise UsageError(f"an answer is one of 0 .. {self.options - 1}.")
        truthful = below(words_of(answers.size, entropy), self._truth, entropy)
        others = uniform_below(self.options - 1, answers.size, entropy)
        return np.where(truthful, answers, (answers + 1 + others) % self.options)

    def estimate(self, reports: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How many people had each answer: an unbiased estimate and the standard deviation of its noise, at most.

        Args:
            reports: as ``report`` gives them, shape (people,).

        Returns:
            Two arrays of shape (options,). The deviation is that of the worst case, a person in doubt everywhere.
        """
        counts = np.bincount(reports, minlength=self.options).astype(np.float64)
        # Divided by e^epsilon throughout, so that a large epsilon does not overflow.
        small = math.exp(-self.epsilon)
        total, gain = 1 + (self.options - 1) * small, -math.expm1(-self.epsilon)
        truth, other = 1 / total, small / total
        estimate = (counts - len(reports) * other) * total / gain
        variance = len(reports) * max(truth * (1 - truth), other * (1 - other)) * (total / gain) ** 2
        return estimate, np.full(self.options, math.sqrt(variance))

    def _truth(self, bits: int) -> Interval:
        """An interval around ``1 / (1 + (k-1) exp(-epsilon))``."""
        work = bits + _SPARE_BITS
        low, high = exp_minus(Fraction(self.epsilon), work)
        one, rest = 1 << work, self.options - 1
        return (1 << work + bits) // (one + rest * high), (1 << work + bits) // (one + rest * low) + 1
