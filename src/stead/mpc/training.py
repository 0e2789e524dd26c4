"""Training on shares: secret examples, secret weights, public learning rate; gradients of a whole batch at once.

The gradient Program is that of one example (``adapters.torch.trace_gradient``). Its sums over a batch are moved to
where they cost least: a weight's gradient is one matrix product over the batch's examples, not one for each. The loss
is not computed. Weights are kept with more fraction bits than they are used with, so that small steps are not lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stead.core.entropy import Keystream
from stead.errors import UnsupportedOperation, UsageError
from stead.mpc.engine import Plan, SharesEngine, Way
from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.profile import Profile
from stead.mpc.protocol import Protocol
from stead.mpc.ranges import Ranges, declared
from stead.mpc.shares import Share, concatenate
from stead.mpc.values import Value, moved, multiply, numbers, settled, shifted
from stead.plans.program import Program
from stead.plans.training import Optimiser

SEED_BYTES = 32

KEPT_BITS = 28
"""Fraction bits of the weights between steps."""


@dataclass(frozen=True)
class Schedule:
    """How to train; known to all.

    Attributes:
        epochs: how often each row is drawn (but for rests).
        batch: rows in a step.
        optimiser: SGD, with its learning rate.
        bounds: where inputs lie, by name: ``{"y": (0, 9)}`` for ten classes saves comparisons.
        seed: 32 bytes, the same at all parties, for the order of the rows.
    """

    epochs: int = 1
    batch: int = 32
    optimiser: Optimiser = field(default_factory=lambda: Optimiser("sgd", 0.1))
    bounds: Mapping[str, tuple[float, float]] | None = None
    seed: bytes = bytes(32)

    def __post_init__(self) -> None:
        whole = all(isinstance(count, int) and count >= 1 for count in (self.epochs, self.batch))
        if not whole or not isinstance(self.optimiser, Optimiser):
            raise UsageError(
                f"epochs={self.epochs!r}, batch={self.batch!r}, optimiser={self.optimiser!r}: the first two are whole "
                "numbers from 1 on, the third an Optimiser.",
                hint='Schedule(epochs=5, batch=32, optimiser=Optimiser("sgd", 0.1))',
            )
        if not isinstance(self.seed, bytes) or len(self.seed) != SEED_BYTES:
            raise UsageError(f"seed= is {SEED_BYTES} bytes, the same at all parties.", hint="bytes(32) will do")


def batches(rows: int, size: int, epochs: int, *, seed: bytes) -> Iterator[npt.NDArray[np.int64]]:
    """Row numbers, batch by batch: each epoch in an order of its own; a rest smaller than a batch waits for the next.

    Args:
        rows: how many examples there are.
        size: how many stand in a batch.
        epochs: how often each row is drawn (but for rests).
        seed: 32 public bytes, the same at all parties: the order of the rows is no secret.

    Raises:
        UsageError: a batch holds no row, or more than there are.
    """
    if not 1 <= size <= rows:
        raise UsageError(f"a batch of {size} from {rows} rows: take 1 to {rows}.")
    stream = Keystream(seed)
    for _ in range(epochs):
        order = np.argsort(np.frombuffer(stream.take(8 * rows), dtype="<u8"), kind="stable").astype(np.int64)
        for start in range(0, rows - size + 1, size):
            yield order[start : start + size]


class SharesTraining:
    """Stochastic gradient descent on shares at one party; every party runs the same.

    Cost:
        Each step the gradient Program's for a batch, and three truncations of as many numbers as there are weights.
    Security:
        The protocol's. What all parties learn: the model's Program, shapes, the learning rate, the order of the rows.
        Once the trained weights are opened nothing hides what they tell of the rows: that is for differential privacy.

    Args:
        protocol: this party's side.
        program: the gradient of one example: inputs (*parameters, x, y), outputs (loss, *gradients).
        optimiser: SGD, with momentum where it is not 0.
        bounds: where inputs lie, by name: ``{"y": (0, 9)}`` for ten classes saves comparisons.

    Raises:
        UnsupportedOperation: the Program is no such gradient, or the optimiser is not SGD.
    """

    def __init__(
        self,
        protocol: Protocol,
        program: Program,
        optimiser: Optimiser,
        *,
        bounds: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        count = len(program.of_role("parameter"))
        roles = [item.role for item in program.inputs]
        if roles != ["parameter"] * count + ["x", "y"] or not count or len(program.outputs) != 1 + count:
            raise UnsupportedOperation(
                "training on shares takes the gradient of one example: parameters, x and y in, loss and gradients out.",
                hint="adapters.torch.trace_gradient makes it; bind_buffers turns buffers into constants",
            )
        if optimiser.name != "sgd":
            raise UnsupportedOperation(f"training on shares has the optimiser sgd, not {optimiser.name}.")
        self._p, self._program, self._optimiser = protocol, program, optimiser
        self._shapes = [item.type.shape for item in program.of_role("parameter")]
        ranges = declared(program, bounds) if bounds else Ranges()
        wanted = tuple(range(1, 1 + count))
        self._way = Way(examples=2, outputs=wanted, summed=tuple(range(count)), ranges=ranges)
        self._engine = SharesEngine(protocol)
        self._ready: dict[int, Plan] = {}
        self.profile = Profile()

    def train(
        self, weights: Sequence[Value], x: Value, y: Value, rows: Iterable[npt.NDArray[np.int64]]
    ) -> list[Secret]:
        """Train.

        Args:
            weights: to start from, in the order of the Program's parameters.
            x: all examples, along the first axis; secret or public.
            y: their targets, likewise.
            rows: which examples each step takes; public.

        Returns:
            The weights after the last step.

        Raises:
            UsageError: an array has another shape than the Program's inputs.
            PartyError: another party is gone or silent.
        """
        given = [tuple(value.shape) for value in weights]
        if given != self._shapes:
            raise UsageError(
                f"{len(self._shapes)} parameters of shapes {_listed(self._shapes)} are trained; got {_listed(given)}."
            )
        if not x.shape or not y.shape or x.shape[0] != y.shape[0]:
            raise UsageError(f"examples of shape {list(x.shape)} and targets of shape {list(y.shape)}: one for each.")
        kept = self._flat([numbers(self._p, value) for value in weights])
        kept = shifted(kept, KEPT_BITS) if kept.scale < KEPT_BITS else settled(self._p, kept, KEPT_BITS)
        speed: Secret | None = None
        for chosen in rows:
            kept, speed = self._step(kept, speed, _rows(x, chosen), _rows(y, chosen))
        return self._split(settled(self._p, kept))

    def _step(self, kept: Secret, speed: Secret | None, x: Value, y: Value) -> tuple[Secret, Secret | None]:
        p, how = self._p, self._optimiser
        used = settled(p, kept)
        inputs, size = [*self._split(used), x, y], x.shape[0]
        if size not in self._ready:
            self._ready[size] = self._engine.prepared(self._program, inputs, self._way)
        found = self._engine.execute(self._ready[size], inputs)
        self.profile += self._engine.profile
        slope = settled(p, self._flat([numbers(p, value) for value in found]))
        if how.weight_decay:
            slope = _plus(p, slope, multiply(p, used, np.asarray(how.weight_decay * x.shape[0])))
        if how.momentum:
            speed = slope if speed is None else _plus(p, slope, multiply(p, speed, np.asarray(how.momentum)))
            slope = speed
        move = multiply(p, slope, np.asarray(how.rate / x.shape[0]))
        move = settled(p, move, KEPT_BITS) if move.scale > KEPT_BITS else shifted(move, KEPT_BITS)
        return Secret(kept.share - move.share, KEPT_BITS), speed

    def _flat(self, values: Sequence[Secret]) -> Secret:
        scale = max(value.scale for value in values)
        return Secret(concatenate([shifted(value, scale).share.reshape((-1,)) for value in values]), scale)

    def _split(self, flat: Secret) -> list[Secret]:
        found, start = list[Secret](), 0
        for shape in self._shapes:
            size = math.prod(shape)
            part: Share = flat.share[start : start + size]
            found.append(Secret(part.reshape(shape), flat.scale))
            start += size
        return found


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes) or "none"


def _plus(p: Protocol, a: Secret, b: Secret) -> Secret:
    """The sum with ``FRACTION`` bits."""
    settled_b = settled(p, b)
    return Secret(a.share + shifted(settled_b, FRACTION).share, FRACTION)


def _rows(value: Value, chosen: npt.NDArray[np.int64]) -> Value:
    return moved(value, lambda array: array[chosen])
