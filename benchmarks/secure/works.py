"""What is computed: the same inputs and the same straight-line code for every protocol; a party's process runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stead.mpc.fixed import FRACTION, Secret, encode
from stead.mpc.forms import MATMUL
from stead.mpc.functions.activation import relu
from stead.mpc.functions.softmax import softmax
from stead.mpc.protocol import Protocol
from stead.mpc.shares import RingArray

Array = npt.NDArray[Any]
FIRST, SECOND = 1, 2
"""Who owns what: the model's owner and the input's owner, by place; with two owners place 0 only helps."""


@dataclass(frozen=True)
class Work:
    """One thing that is measured.

    Attributes:
        inputs: a name, an owner and an array for each secret, drawn from a seed.
        compute: from secrets in that order to one secret result.
        plain: the same on float64 arrays.
        encode: an owner's array as ring elements.
        fraction: their fraction bits.
    """

    inputs: Callable[[], list[tuple[int, Array]]]
    compute: Callable[[Protocol, list[Secret]], Secret]
    plain: Callable[[list[Array]], Array]
    encode: Callable[[Array], RingArray] = encode
    fraction: int = FRACTION


def normal(*shape: int, seed: int) -> Array:
    """Standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


def _product(p: Protocol, secrets: list[Secret]) -> Secret:
    x, y = secrets
    whole = p.product(MATMUL, x.share, y.share)
    return Secret(p.truncate(whole, FRACTION), FRACTION)


def _softmax(values: list[Array]) -> Array:
    powers = np.exp(values[0] - values[0].max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


WORKS: dict[str, Work] = {
    "matmul 1000x1000": Work(
        lambda: [(FIRST, normal(1000, 1000, seed=1)), (SECOND, normal(1000, 1000, seed=2))],
        _product,
        lambda values: np.asarray(values[0] @ values[1]),
    ),
    "relu 1M": Work(
        lambda: [(SECOND, normal(1_000_000, seed=3))],
        lambda p, secrets: relu(p, secrets[0]),
        lambda values: np.maximum(values[0], 0),
    ),
    "relu 1M, 32 bits": Work(
        lambda: [(SECOND, normal(1_000_000, seed=3))],
        lambda p, secrets: relu(p, secrets[0], bits=32),
        lambda values: np.maximum(values[0], 0),
    ),
    "softmax 1000x10": Work(
        lambda: [(SECOND, normal(1000, 10, seed=4))],
        lambda p, secrets: softmax(p, secrets[0], axis=1),
        _softmax,
    ),
}


def entered(p: Protocol, work: Work, inputs: list[tuple[int, Array]]) -> list[Secret]:
    """Share the inputs, each by its owner; the others look at its shape alone."""
    secrets = []
    for owner, array in inputs:
        at = owner if p.facts.parties > 1 else 0
        mine = work.encode(array) if p.party.place == at else None
        secrets.append(Secret(p.share(mine, array.shape, at), work.fraction))
    return secrets


def peak_mb() -> float:
    """The most memory that this process has had: Linux's own count, which starts anew with each program."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")
