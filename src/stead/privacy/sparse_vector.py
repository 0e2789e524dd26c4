"""The sparse vector technique: a stream of answers is compared with thresholds; only those above are paid for.

This is algorithm 7 of Lyu, Su and Li (2017) without its third budget (no answer is shown) on integers. Of the six
variants that they compare, four published ones are not private as claimed; each left out one of the things that this
one does: *the thresholds' noise is drawn once and kept* (a fresh one after each positive is a new event), *each answer
has fresh noise*, *that noise grows with the number of positives*, *the stream ends after them*, and *a positive shows
no number*. The tests hold those variants next to this one. ``docs/theory/sparse-vector.md`` has the proof.

Timing: not constant-time, as the samplers are not. Do not let an adversary time single answers.

References: Dwork, Naor, Reingold, Rothblum, Vadhan (2009); Lyu, Su, Li, "Understanding the Sparse Vector Technique for
    Differential Privacy" (2017), algorithms 1 to 7.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from stead.errors import UsageError
from stead.privacy.events import AboveThreshold
from stead.privacy.samplers import Sampler

if TYPE_CHECKING:
    from stead.core.entropy import Entropy


@dataclass(frozen=True)
class SparseVectorMechanism:
    """Says of each answer of a stream whether it lies above its threshold, until enough did.

    Args:
        threshold_scale: the thresholds' noise, in steps of the answers' lattice.
        answer_scale: the answers' noise.
        positives: how many answers above end the stream.
    """

    threshold_scale: float
    answer_scale: float
    positives: int

    @classmethod
    def of(cls, epsilon: float, sensitivity: int, spread: int, positives: int) -> SparseVectorMechanism:
        """The two scales that spend a pure epsilon with the least variance of the noisy difference.

        Args:
            epsilon: nats of the whole stream.
            sensitivity: how far one person moves an answer, in steps.
            spread: twice that, or once if a person moves all answers the same way.
            positives: how many answers above end the stream.

        References: Lyu, Su, Li (2017), section 4.2: with c positives the parts of epsilon are as 1 to (2c)^(2/3), or
            c^(2/3) where the spread is the sensitivity.
        """
        weight = (positives * spread / sensitivity) ** (2 / 3)
        first = epsilon / (1 + weight)
        return cls(sensitivity / first, positives * spread / (epsilon - first), positives)

    def event(self, sensitivity: int, spread: int) -> AboveThreshold:
        """What a whole stream is, charged before its first answer.

        Args:
            sensitivity: how far one person moves an answer, in steps.
            spread: twice that, or once if a person moves all answers the same way.
        """
        return AboveThreshold(self.threshold_scale, self.answer_scale, sensitivity, spread, self.positives)

    def start(self, entropy: Entropy) -> Stream:
        """A new stream, with fresh noise for its thresholds."""
        shift = int(self._noise_of_thresholds.draw(1, entropy)[0])
        return Stream(shift, self._noise_of_answers, self.positives, entropy)

    @cached_property
    def _noise_of_thresholds(self) -> Sampler:
        return Sampler.laplace(self.threshold_scale)

    @cached_property
    def _noise_of_answers(self) -> Sampler:
        return Sampler.laplace(self.answer_scale)


class Stream:
    """One run of the sparse vector technique. It holds a secret: the thresholds' noise.

    Args:
        shift: the thresholds' noise.
        answers: the answers' noise.
        positives: how many may be found.
        entropy: gives the answers' noise.
    """

    def __init__(self, shift: int, answers: Sampler, positives: int, entropy: Entropy) -> None:
        self._shift = shift
        self._answers = answers
        self._left = positives
        self._entropy = entropy
        self._lock = threading.Lock()  # two askers at once must not both be given the last positive

    @property
    def left(self) -> int:
        """How many positives may still be found: public, it follows from what was shown."""
        return self._left

    def above(self, answer: int, threshold: int) -> bool:
        """Whether an answer, with fresh noise, is at least its threshold with the stream's noise.

        Args:
            answer: computed on the private rows, in steps of the lattice; any size, nothing wraps.
            threshold: public.

        Raises:
            UsageError: the stream has ended.
        """
        with self._lock:
            if self._left == 0:
                raise UsageError("this stream has shown all its positives.", hint="start another one, which costs anew")
            found = answer + int(self._answers.draw(1, self._entropy)[0]) >= threshold + self._shift
            self._left -= found
            return found

    def __repr__(self) -> str:
        return f"Stream(<redacted>, left={self._left})"

    def __reduce__(self) -> str:
        raise TypeError("a stream of the sparse vector technique cannot be pickled or copied")
