"""Whole trainings as trials: two nodes sum clipped gradients of sampled people under masks, and one person stands out.

The model stays where it is, so that every round is one more independent run of the same step: thousands of runs for one
session. The claim is the price of one step, a sampled sum of the sites' noise shares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stead.cli.privacy.neighbours import NODES, WITH, WITHOUT, Joint, Neighbours
from stead.core import codec
from stead.core.entropy import Entropy
from stead.learn.gradients import weights_to_payload
from stead.learn.strategy import ModelState
from stead.plans.builder import ProgramBuilder
from stead.plans.plan import encode_plan
from stead.plans.program import TensorType
from stead.plans.training import Encoding, Feature, Privacy, Sampler, Training
from stead.plans.training_price import training_event
from stead.privacy.audit.distinguish import Results
from stead.privacy.audit.trial import Trial

WIDTH: Final = 3
RATE: Final = 0.8
RUNS: Final = 3_000
DELTAS: Final = (0.01, 0.1)
RING_BITS: Final = 32

_FEATURES: Final = (Feature("age", "scaled", 0, 100), Feature("sex", "onehot"))


@dataclass(frozen=True)
class _Standing:
    """A strategy that learns nothing and keeps every sum (``learn.strategy.Strategy``)."""

    totals: list[NDArray[np.int64]] = field(default_factory=list)

    def plan_round(self, state: ModelState) -> bytes:
        """The weights, always the same."""
        return weights_to_payload(state.weights)

    def fold(self, state: ModelState, total: NDArray[np.int64]) -> ModelState:
        """The same model."""
        self.totals.append(total.copy())
        return state


def gradient() -> bytes:
    """The gradient of half the squared error of a linear model of one example, many times over the clip."""
    b = ProgramBuilder()
    w = b.input("w", "parameter", TensorType("float32", (WIDTH,)))
    x = b.input("x", "x", TensorType("float32", (WIDTH,)))
    y = b.input("y", "y", TensorType("int64", ()))
    error = b.add("sub", b.sum(b.add("mul", w, x), (0,), keep=False), b.cast(y, "float32"))
    wide = b.add("mul", error, b.like(error, 1e6))
    loss = b.add("mul", b.like(error, 0.5), b.add("mul", error, error))
    return codec.encode(b.build({"loss": loss, "d_w": b.add("mul", wide, x)}))


def training(name: str, rounds: int) -> Training:
    """The training that is audited, on the dataset of that name."""
    return Training(
        dataset=name,
        gradient=gradient(),
        encoding=Encoding(features=_FEATURES, target="ill", task="classification"),
        sampler=Sampler(rate=RATE),
        rounds=rounds,
        ring_bits=RING_BITS,
        privacy=Privacy(clip=1.0, lattice=2.0**-10, sigma=1.0, colluders=0, sites=len(NODES), steps=rounds),
    )


def training_trial(neighbours: Neighbours) -> Trial:
    """One round's released sum of gradients."""

    def world(name: str, rounds: int) -> Results:
        joint = Joint(neighbours.sites(name), encode_plan(training(name, rounds)), WIDTH)
        start = ModelState.start([np.zeros(WIDTH, dtype=np.float32)])
        model, standing = weights_to_payload(start.weights), _Standing()
        header, fleet = joint.open(ring_bits=RING_BITS, rounds=rounds, model=model)
        fleet.train(header, standing, start)
        return np.array(standing.totals)

    def draw(runs: int, _: Entropy) -> tuple[Results, Results]:
        return world(WITH, runs), world(WITHOUT, runs)

    privacy = training(WITHOUT, 1).privacy
    assert privacy is not None  # noqa: S101 - written a few lines above
    event = training_event(privacy, rate=RATE, dimension=WIDTH)
    return Trial("training: one round's gradients", event, draw, RUNS, DELTAS)
