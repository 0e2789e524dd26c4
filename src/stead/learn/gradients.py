"""The gradients of many examples from the ``Program`` of one, so that no example's bits depend on another's.

A matrix product may round differently when its number of rows differs. Were batches as long as the sample, one more
person in it could move another person's quantised gradient by a lattice step, and the clip would not bound that. So
every batch has the same shape, from public facts, and is filled up with zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stead.core import codec
from stead.errors import BadMessage, UnsupportedOperation, UsageError
from stead.learn.optimiser import Floats, Weights
from stead.plans.check import check_program
from stead.plans.engine import Engine
from stead.plans.program import Program
from stead.plans.training import Training

# Gradient values of one batch: 16 MB in float32.
_BATCH_VALUES = 1 << 22
_LARGEST_BATCH = 128


@dataclass(frozen=True, repr=False)
class Examples:
    """A site's rows as tensors, and whose they are. Private: prints redacted, cannot be pickled.

    Attributes:
        x: float32, shape (rows, ...): as many numbers in each row as the Program's input x.
        y: int64 or float32, shape (rows,); a negative class or NaN stands for a missing target.
        person: shape (rows,): rows with the same number belong to one person.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64] | NDArray[np.float32]
    person: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not len(self.x) == len(self.y) == len(self.person):
            raise UsageError("examples need as many targets and persons as rows.")

    def __repr__(self) -> str:
        return "Examples(<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("a site's examples cannot be pickled")


def parameter_shapes(training: Training) -> tuple[tuple[int, ...], ...]:
    """The shapes of the model's parameters, in the order in which their numbers stand in the flat weight vector.

    Raises:
        BadMessage: the gradient is no Program.
        UnsupportedOperation: the Program has inputs other than parameters, x and y, or outputs other than the loss
            and one gradient for each parameter.
    """
    return _shapes(gradient_program(training))


def gradient_program(training: Training) -> Program:
    """The checked Program of ``training.gradient``.

    Raises:
        SteadError: it is no Program, or ``plans.check`` refuses it.
    """
    program = codec.decode(training.gradient, Program)
    check_program(program)
    return program


def model_length(training: Training) -> int:
    """The number of weights of the model that ``training`` trains."""
    return sum(_size(shape) for shape in parameter_shapes(training))


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _shapes(program: Program) -> tuple[tuple[int, ...], ...]:
    roles = [given.role for given in program.inputs]
    parameters = tuple(given.type.shape for given in program.inputs if given.role == "parameter")
    if roles != ["parameter"] * len(parameters) + ["x", "y"] or not parameters:
        raise UnsupportedOperation(
            "a gradient Program takes the parameters, then x, then y of one example.",
            hint="buffers become constants of the Program; use a model without dropout",
        )
    if len(program.outputs) != 1 + len(parameters):
        raise UnsupportedOperation(
            f"the Program of {len(parameters)} parameters gives the loss and as many gradients, "
            f"not {len(program.outputs)} outputs.",
        )
    return parameters


def split_weights(weights: Weights, shapes: tuple[tuple[int, ...], ...]) -> list[NDArray[np.float32]]:
    """A flat weight vector as the model's parameters (views)."""
    parts = np.split(weights, np.cumsum([_size(shape) for shape in shapes])[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def weights_to_payload(weights: Weights) -> bytes:
    """The weights as a round carries them: float32, little-endian, side by side."""
    return weights.astype("<f4").tobytes()


def weights_from_payload(payload: bytes, *, length: int) -> Weights:
    """The weights of a round.

    Raises:
        BadMessage: not exactly ``length`` numbers.
    """
    if len(payload) != 4 * length:
        raise BadMessage(f"a model of {length} weights has {4 * length} bytes; the round carries {len(payload)}.")
    return np.frombuffer(payload, dtype="<f4").astype(np.float32)


class GradientMap:
    """The gradients of rows of examples at given weights, in batches of one fixed shape.

    Args:
        training: whose ``gradient`` Program is mapped.
        engine: what runs it.
        batch: rows at a time, at most; the length of the model may make it fewer.
    """

    def __init__(self, training: Training, engine: Engine, *, batch: int = _LARGEST_BATCH) -> None:
        self._program = gradient_program(training)
        self._engine = engine
        self.shapes = _shapes(self._program)
        self.length = sum(_size(shape) for shape in self.shapes)
        fitting = max(1, _BATCH_VALUES // self.length)
        self.batch = min(batch, 1 << (fitting.bit_length() - 1))
        self._x = self._program.inputs[-2].type
        self._y = self._program.inputs[-1].type

    def check(self, examples: Examples) -> None:
        """Whether the examples fit the Program, from their shapes alone.

        Raises:
            UsageError: a row has another number of features than the Program takes.
        """
        width = _size(examples.x.shape[1:])
        if width != _size(self._x.shape):
            raise UsageError(
                f"the model takes {_size(self._x.shape)} numbers for each row; the encoding gives {width}."
            )

    def rows(self, weights: Weights, examples: Examples, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """The gradients of the given rows, in order, ``batch`` at a time (the last time fewer).

        A row without a target has the zero gradient; a gradient that is not finite stays so, for the clip to see.

        Yields:
            float32, shape (rows of this batch, length).
        """
        shared = split_weights(weights, self.shapes)
        for start in range(0, len(rows), self.batch):
            chosen = rows[start : start + self.batch]
            yield self._run(shared, examples, chosen)

    def _run(
        self, shared: list[NDArray[np.float32]], examples: Examples, chosen: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        x = np.zeros((self.batch, *self._x.shape), dtype=self._x.dtype)
        y = np.zeros((self.batch, *self._y.shape), dtype=self._y.dtype)
        targets = examples.y[chosen]
        known = targets >= 0 if targets.dtype.kind in "iu" else ~np.isnan(targets)
        x[: len(chosen)] = examples.x[chosen].reshape(len(chosen), *self._x.shape)
        y[: len(chosen)] = np.where(known, targets, 0).reshape(len(chosen), *self._y.shape)
        with np.errstate(all="ignore"):
            outputs = self._engine.run_per_example(self._program, shared, [x, y])
        gradients = np.concatenate(
            [np.asarray(output).reshape(self.batch, -1) for output in outputs[1:]], axis=1, dtype=np.float32
        )[: len(chosen)]
        gradients[~known] = 0.0
        return gradients


class PersonGradients:
    """A site's people, and the gradient of each: the sum over the person's rows.

    Args:
        gradients: the map over rows.
        examples: the rows; they are put in order of persons once.
    """

    def __init__(self, gradients: GradientMap, examples: Examples) -> None:
        gradients.check(examples)
        self._map = gradients
        self._examples = examples
        _, self._person, counts = np.unique(examples.person, return_inverse=True, return_counts=True)
        self._order = np.argsort(self._person, kind="stable")
        self.people = len(counts)

    def of(self, weights: Weights, taking_part: NDArray[np.bool_]) -> Iterator[Floats]:
        """The gradients of the people who take part, each person once, a few people at a time.

        A person's rows are added one after another, wherever a batch ends: the sum's bits are the person's own.

        Args:
            weights: float32, shape (length,).
            taking_part: shape (people,).

        Yields:
            float64, shape (people of this turn, length).
        """
        rows = self._order[taking_part[self._person[self._order]]]
        owners = self._person[rows]
        open_sum: Floats | None = None
        start = 0
        for batch in self._map.rows(weights, self._examples, rows):
            mine = owners[start : start + len(batch)]
            starts = np.flatnonzero(np.diff(mine, prepend=-1))
            sums = np.zeros((len(starts), self._map.length))
            if open_sum is not None:
                if owners[start - 1] == mine[0]:
                    sums[0] = open_sum
                else:
                    yield open_sum[None]
            place = np.cumsum(np.diff(mine, prepend=mine[0]) != 0)
            rank = np.arange(len(mine)) - starts[place]
            for turn in range(int(rank.max()) + 1):
                sums[place[rank == turn]] += batch[rank == turn]
            if len(sums) > 1:
                yield sums[:-1]
            open_sum = sums[-1].copy()
            start += len(batch)
        if open_sum is not None:
            yield open_sum[None]
