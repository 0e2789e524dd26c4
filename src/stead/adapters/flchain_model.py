"""The demonstration's model, and its reference: the same model trained on all rows in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from stead.errors import MissingExtra

if TYPE_CHECKING:
    import torch

HIDDEN: Final = 16


def make_model(width: int, *, seed: int) -> torch.nn.Module:
    """A small network: ``width`` features, one hidden layer, two classes.

    Args:
        width: numbers in an encoded row.
        seed: of its first weights.

    Raises:
        MissingExtra: torch is not installed.
    """
    torch = _torch()
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(width, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 2))


@dataclass(frozen=True)
class Schedule:
    """How the reference is trained: passes over the rows, rows in a step, learning rate, seed of the rows' order."""

    epochs: int
    batch: int
    rate: float
    seed: int


def train_centrally(
    model: torch.nn.Module, x: NDArray[np.float32], y: NDArray[np.int64], schedule: Schedule
) -> torch.nn.Module:
    """Train ``model`` in place on pooled rows with SGD with momentum, and return it.

    Args:
        model: as ``make_model`` made it.
        x: shape (rows, width).
        y: shape (rows,).
        schedule: for how long, and how fast.
    """
    torch = _torch()
    optimiser = torch.optim.SGD(model.parameters(), lr=schedule.rate, momentum=0.9)
    rows, targets = torch.from_numpy(x), torch.from_numpy(y)
    order = np.random.default_rng(schedule.seed)
    for _ in range(schedule.epochs):
        for chosen in np.array_split(order.permutation(len(x)), max(1, len(x) // schedule.batch)):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(rows[chosen]), targets[chosen]).backward()
            optimiser.step()
    return model


def scores_of(model: torch.nn.Module, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much more each row speaks for the second class, shape (rows,)."""
    torch = _torch()
    with torch.no_grad():
        outputs: NDArray[np.float64] = model(torch.from_numpy(x)).double().numpy()
    return outputs[:, 1] - outputs[:, 0]


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtra("the demonstration trains with PyTorch.", hint="pip install 'stead[torch]'") from None
    return torch
