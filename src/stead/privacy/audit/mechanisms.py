"""Every mechanism on its worst neighbours, as trials. A new mechanism is one more entry of ``mechanisms``.

The functions that make trials take what is drawn apart from what is claimed, so that a test can plant a fault: noise of
half the width under the event of the whole width must be caught by the same code that passes the honest one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stead.core.entropy import Entropy
from stead.privacy.audit.distinguish import Results
from stead.privacy.audit.trial import Trial
from stead.privacy.choices import ExponentialMechanism, NoisyMaxMechanism, PermuteAndFlipMechanism
from stead.privacy.events import PrivacyEvent, Sampled, SumOfDiscreteGaussians
from stead.privacy.keys import (
    PartitionSelectionMechanism,
    ThresholdedGaussianMechanism,
    ThresholdedLaplaceMechanism,
)
from stead.privacy.mechanisms import GaussianMechanism, LaplaceMechanism, noise_share
from stead.privacy.randomised_response import RandomisedResponseMechanism
from stead.privacy.slack import slack
from stead.privacy.sparse_vector import SparseVectorMechanism

MANY = 200_000
SOME = 20_000
NOT_SHOWN = -(2**40)

_DELTAS = (1e-3, 0.05)


class Adding(Protocol):
    """A mechanism that adds noise to numbers."""

    def add(self, values: NDArray[np.int64], entropy: Entropy) -> Results:
        """The values with fresh noise."""
        ...


class Choosing(Protocol):
    """A mechanism that chooses an option by scores."""

    def choose(self, scores: NDArray[np.int64], entropy: Entropy) -> int:
        """The option."""
        ...


class Reporting(Protocol):
    """A mechanism that reports an answer."""

    def report(self, answers: NDArray[np.int64], entropy: Entropy) -> NDArray[np.int64]:
        """A report for each answer."""
        ...


class Showing(Protocol):
    """A mechanism that shows counts of keys, or does not."""

    def release(self, counts: NDArray[np.int64], entropy: Entropy) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which keys are shown, and their noisy counts."""
        ...


def adding(
    name: str,
    mechanism: Adding,
    event: PrivacyEvent,
    moved: int,
    *,
    deltas: tuple[float, ...] = _DELTAS,
    rate: float = 1.0,
) -> Trial:
    """Noise on an integer that the one person moves by ``moved`` steps, in a part ``rate`` of the runs."""

    def draw(runs: int, entropy: Entropy) -> tuple[Results, Results]:
        took_part = np.ones(runs, dtype=np.bool_)
        if rate < 1.0:
            took_part = np.frombuffer(entropy.take(8 * runs), dtype="<u8") < np.uint64(int(rate * 2.0**64))
        present = np.where(took_part, moved, 0).astype(np.int64)
        return mechanism.add(present, entropy), mechanism.add(np.zeros(runs, dtype=np.int64), entropy)

    return Trial(name, event, draw, MANY, deltas)


def choosing(
    name: str,
    mechanism: Choosing,
    event: PrivacyEvent,
    scores: tuple[Sequence[int], Sequence[int]],
    *,
    deltas: tuple[float, ...] = (0.0, 0.1),
) -> Trial:
    """A choice by the scores with, and by those without the person."""

    def draw(runs: int, entropy: Entropy) -> tuple[Results, Results]:
        def world(given: Sequence[int]) -> Results:
            held = np.array(given, dtype=np.int64)
            return np.array([mechanism.choose(held, entropy) for _ in range(runs)])

        return world(scores[0]), world(scores[1])

    return Trial(name, event, draw, SOME, deltas)


def reporting(name: str, mechanism: Reporting, event: PrivacyEvent) -> Trial:
    """One person's report whose answer is the first, or the second of the list."""

    def draw(runs: int, entropy: Entropy) -> tuple[Results, Results]:
        first = mechanism.report(np.zeros(runs, dtype=np.int64), entropy)
        return mechanism.report(np.ones(runs, dtype=np.int64), entropy), first

    return Trial(name, event, draw, MANY, (0.0,))


def streaming(
    name: str,
    mechanism: SparseVectorMechanism,
    event: PrivacyEvent,
    answers: tuple[Sequence[int], Sequence[int]],
    threshold: int,
) -> Trial:
    """Where the first answer above the threshold stands, in the stream with and in that without the person."""

    def place(given: Sequence[int], entropy: Entropy) -> int:
        stream, at = mechanism.start(entropy), 0
        while at < len(given) and not stream.above(given[at], threshold):
            at += 1
        return at

    def draw(runs: int, entropy: Entropy) -> tuple[Results, Results]:
        worlds = [np.array([place(given, entropy) for _ in range(runs)]) for given in answers]
        return worlds[0], worlds[1]

    return Trial(name, event, draw, SOME, (0.0,))


def selecting(
    name: str,
    shown: Callable[[NDArray[np.int64], Entropy], NDArray[np.bool_]],
    event: PrivacyEvent,
    people: int,
    *,
    rows: int = 1,
) -> Trial:
    """Whether a key is shown that ``people`` others have, and the person with ``rows`` rows, counted as one."""

    def world(count: int, runs: int, entropy: Entropy) -> Results:
        # A key that nobody has is not there, and so is not shown.
        return shown(np.full(runs, count), entropy).astype(np.int64) if count else np.zeros(runs, dtype=np.int64)

    def draw(runs: int, entropy: Entropy) -> tuple[Results, Results]:
        return world(people + rows, runs, entropy), world(people, runs, entropy)

    return Trial(name, event, draw, MANY, (slack(event),))


def showing(name: str, mechanism: Showing, event: PrivacyEvent, people: int) -> Trial:
    """A key's noisy count, or that it is not shown; ``people`` others have it."""

    def world(count: int, runs: int, entropy: Entropy) -> Results:
        out = np.full(runs, NOT_SHOWN)
        if count:
            visible, noisy = mechanism.release(np.full(runs, count), entropy)
            out[visible] = noisy
        return out

    def draw(runs: int, entropy: Entropy) -> tuple[Results, Results]:
        return world(people + 1, runs, entropy), world(people, runs, entropy)

    return Trial(name, event, draw, MANY, (2 * slack(event), 0.05))


class SharedNoise:
    """The noise of several sites' shares, of which ``counted`` were added honestly.

    Args:
        share: one site's.
        counted: sites less colluders.
    """

    def __init__(self, share: Adding, counted: int) -> None:
        self._share = share
        self._counted = counted

    def add(self, values: NDArray[np.int64], entropy: Entropy) -> Results:
        """The values with each counted site's share."""
        for _ in range(self._counted):
            values = self._share.add(values, entropy)
        return values


def mechanisms() -> tuple[Trial, ...]:
    """All mechanisms of the product."""
    return (*_noises(), *_choices(), *_streams(), *_reports(), *_keys())


def _noises() -> tuple[Trial, ...]:
    gaussian, laplace, sampled = GaussianMechanism(2.0), LaplaceMechanism(3.0), GaussianMechanism(1.0)
    # Three sites, one of which colludes: its share is not counted, and not added here.
    share = noise_share(60.0, 3, 1)
    shares = SumOfDiscreteGaussians(share, 2, 40.0, 1)
    return (
        adding("discrete Gaussian", gaussian, gaussian.event(1.0), 1),
        adding("discrete Laplace", laplace, laplace.event(3), 3, deltas=(0.0, 0.05)),
        adding("sum of discrete Gaussians", SharedNoise(GaussianMechanism(share), 2), shares, 40),
        adding("sampled discrete Gaussian", sampled, Sampled(0.3, sampled.event(1.0)), 1, rate=0.3),
    )


def _choices() -> tuple[Trial, ...]:
    # One person moves two options apart by 2 steps: epsilon 1 at scale 2. Which pair is worst differs by mechanism.
    even, uneven = ((0, 0), (1, -1)), ((2, 0), (3, -1))
    made = (
        ("exponential choice", ExponentialMechanism(2.0)),
        ("permute-and-flip", PermuteAndFlipMechanism(2.0)),
        ("report noisy max", NoisyMaxMechanism(2.0)),
    )
    return tuple(
        choosing(f"{name}, {how}", mechanism, mechanism.event(2), scores)
        for name, mechanism in made
        for how, scores in (("even scores", even), ("one ahead", uneven))
    )


def _streams() -> tuple[Trial, ...]:
    # Epsilon 1: 0.1 for the thresholds, 0.9 for one positive.
    stream = SparseVectorMechanism(10.0, 2 / 0.9, 1)
    rising, crossing = ((0,) * 10, (1,) * 10), ((0, 0, 0, 0, 1), (1, 1, 1, 1, 0))
    return (
        streaming("sparse vector, all answers move", stream, stream.event(1, 2), rising, 2),
        streaming("sparse vector, one moves back", stream, stream.event(1, 2), crossing, 2),
    )


def _reports() -> tuple[Trial, ...]:
    made = [RandomisedResponseMechanism(epsilon, options) for epsilon, options in ((0.3, 2), (1.0, 5))]
    return tuple(reporting(f"randomised response, {each.options} options", each, each.event()) for each in made)


def _keys() -> tuple[Trial, ...]:
    selection, delta = PartitionSelectionMechanism(1.0, 1e-3), 1e-3
    gaussian = ThresholdedGaussianMechanism.of(4.0, delta / 2, 1, 1)
    laplace = ThresholdedLaplaceMechanism.of(2.0, delta / 2, 1, 1)
    return (
        *(
            selecting(f"partition selection, {people} others", selection.shown, selection.event(1), people)
            for people in (0, 3, 6)
        ),
        *(
            showing(f"thresholded Gaussian counts, {people} others", gaussian, gaussian.event(1, 1), people)
            for people in (0, gaussian.threshold)
        ),
        *(
            showing(f"thresholded Laplace counts, {people} others", laplace, laplace.event(1, 1), people)
            for people in (0, laplace.threshold)
        ),
    )
