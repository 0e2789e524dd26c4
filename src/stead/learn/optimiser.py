"""SGD with momentum and Adam on one flat weight vector, as ``torch.optim`` defines them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stead.plans.training import Optimiser

Floats = NDArray[np.float64]
Weights = NDArray[np.float32]

_ADAM_EPSILON = 1e-8


@dataclass(frozen=True)
class Moments:
    """What an optimiser remembers between steps: how many there were, and the running means.

    ``first`` is the momentum buffer of SGD or the first moment of Adam, ``second`` the second moment of Adam.
    """

    steps: int
    first: Floats
    second: Floats

    @classmethod
    def zero(cls, length: int) -> Moments:
        """Before the first step."""
        return cls(steps=0, first=np.zeros(length), second=np.zeros(length))


def step(optimiser: Optimiser, weights: Weights, gradient: Floats, moments: Moments) -> tuple[Weights, Moments]:
    """One optimiser step; nothing is changed in place.

    Args:
        optimiser: which, and its constants. ``momentum`` is Adam's beta1.
        weights: float32, shape (length,).
        gradient: float64, shape (length,), of the mean loss.
        moments: from the step before.

    Returns:
        The new weights and moments.

    References: Kingma and Ba 2015 (ICLR), algorithm 1. Weight decay is added to the gradient in both.
    """
    slope = gradient + optimiser.weight_decay * weights if optimiser.weight_decay else gradient
    steps = moments.steps + 1
    if optimiser.name == "adam":
        beta1, beta2 = optimiser.momentum, optimiser.beta2
        first = beta1 * moments.first + (1.0 - beta1) * slope
        second = beta2 * moments.second + (1.0 - beta2) * slope**2
        root = np.sqrt(second / (1.0 - beta2**steps)) + _ADAM_EPSILON
        move = first / (1.0 - beta1**steps) / root
    else:
        first = optimiser.momentum * moments.first + slope
        second = moments.second
        move = first
    moved = (weights - optimiser.rate * move).astype(np.float32)
    return moved, Moments(steps=steps, first=first, second=second)
