"""What the coordinator does with the sums: ``FedSGD`` and ``FedAvg``, on NumPy alone, state in and state out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stead.errors import UsageError
from stead.learn.gradients import weights_to_payload
from stead.learn.masks import IntVector
from stead.learn.optimiser import Moments, Weights, step
from stead.plans.training import Optimiser, Training


@dataclass(frozen=True)
class ModelState:
    """The model between two rounds.

    Attributes:
        weights: float32, shape (length,): the parameters one after another, each in row-major order.
        moments: what the coordinator's optimiser remembers.
        rounds: how many sums have been folded in.
    """

    weights: Weights
    moments: Moments
    rounds: int = 0

    @classmethod
    def start(cls, parameters: Iterable[NDArray[Any]]) -> ModelState:
        """The state before the first round, from the model's parameters in the Program's order."""
        weights = np.concatenate([np.asarray(part, dtype=np.float32).ravel() for part in parameters])
        return cls(weights=weights, moments=Moments.zero(len(weights)))


class Strategy(Protocol):
    """How a round begins and what its sum does. Implementations hold constants only."""

    def plan_round(self, state: ModelState) -> bytes:
        """The payload that every site receives."""
        ...

    def fold(self, state: ModelState, total: IntVector) -> ModelState:
        """The state after the sum of a round; ``state`` is not changed."""
        ...


def expected_people(rate: float, people: Sequence[tuple[int, int]]) -> float:
    """How many people a round is expected to hold: rate times the middle of each site's *public* size range.

    It is a constant of the plan. A divisor that were counted from rows would tell one row more from one row less.
    """
    return rate * sum((least + most) / 2 for least, most in people)


@dataclass(frozen=True)
class FedSGD:
    """One optimiser step of the coordinator on each noisy sum of clipped gradients.

    Args:
        lattice: the step of the quantiser (``Training.privacy.lattice``).
        expected: people in a round, a public constant (``expected_people``).
        optimiser: the coordinator's optimiser. It sees only what is already priced.

    References:
        Abadi et al. 2016 (CCS), algorithm 1.
    """

    lattice: float
    expected: float
    optimiser: Optimiser

    def __post_init__(self) -> None:
        if not self.expected > 0.0:
            raise UsageError(f"a round needs people; {self.expected} are expected.")

    @classmethod
    def of(cls, training: Training, people: Sequence[tuple[int, int]], optimiser: Optimiser) -> FedSGD:
        """The strategy of a private training over sites with these public size ranges."""
        if training.privacy is None:
            raise UsageError("FedSGD is for a training with privacy; FedAvg for one with local steps.")
        return cls(training.privacy.lattice, expected_people(training.sampler.rate, people), optimiser)

    def plan_round(self, state: ModelState) -> bytes:
        """The weights."""
        return weights_to_payload(state.weights)

    def fold(self, state: ModelState, total: IntVector) -> ModelState:
        """Step against the mean gradient ``total * lattice / expected``."""
        gradient = total.astype(np.float64) * (self.lattice / self.expected)
        weights, moments = step(self.optimiser, state.weights, gradient, state.moments)
        return ModelState(weights=weights, moments=moments, rounds=state.rounds + 1)


@dataclass(frozen=True)
class FedAvg:
    """The mean of the sites' local changes, weighted by rows. Without differential privacy.

    Args:
        lattice: ``Training.lattice``.

    References:
        McMahan et al. 2017 (AISTATS), algorithm 1.
    """

    lattice: float

    def plan_round(self, state: ModelState) -> bytes:
        """The weights."""
        return weights_to_payload(state.weights)

    def fold(self, state: ModelState, total: IntVector) -> ModelState:
        """Add the mean change; no rows, no change."""
        count = int(total[-1])
        change = total[:-1] * (self.lattice / count) if count > 0 else np.zeros(len(state.weights))
        weights = (state.weights + change).astype(np.float32)
        return ModelState(weights=weights, moments=state.moments, rounds=state.rounds + 1)
