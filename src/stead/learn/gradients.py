"""The gradients of many examples from the ``Program`` of one, so that no person's bits depend on another's presence.

A matrix product may round a row differently when the number of rows differs, or the row's place among them. Were people
simply lined up, one more person would move the others' places; a scientist's Program can make a last bit matter as much
as it likes, and the clip, which bounds what *one* person does, would not bound that. So every batch has the same number
of lanes, fixed by public facts; each person draws a lane at random, without regard to the others; a lane's people come
one after another; empty places are filled with zeros. What a row's gradient depends on is then the row and its lane.
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
# Few lanes leave few empty places (the longest lane decides), many make better use of a matrix product.
LANES = 32


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
        engine: what runs it. The result for a row may depend on the row's lane, not on what is in the others.
        lanes: rows in a batch, at most, a power of two; a long model has fewer.
    """

    def __init__(self, training: Training, engine: Engine, *, lanes: int = LANES) -> None:
        self._program = gradient_program(training)
        self._engine = engine
        self.shapes = _shapes(self._program)
        self.length = sum(_size(shape) for shape in self.shapes)
        fitting = max(1, _BATCH_VALUES // self.length)
        self.lanes = min(lanes, 1 << (fitting.bit_length() - 1))
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

    def batch(self, weights: Weights, examples: Examples, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The gradients of one batch.

        A row without a target has the zero gradient; a gradient that is not finite stays so, for the clip to see.

        Args:
            weights: float32, shape (length,).
            examples: the site's rows.
            rows: shape (lanes,): the row in each lane, -1 where there is none.

        Returns:
            float32, shape (lanes, length); zero where there is no row.
        """
        used = np.flatnonzero(rows >= 0)
        chosen = rows[used]
        targets = examples.y[chosen]
        known = targets >= 0 if targets.dtype.kind in "iu" else ~np.isnan(targets)
        x = np.zeros((self.lanes, *self._x.shape), dtype=self._x.dtype)
        y = np.zeros((self.lanes, *self._y.shape), dtype=self._y.dtype)
        x[used] = examples.x[chosen].reshape(len(chosen), *self._x.shape)
        y[used] = np.where(known, targets, 0).reshape(len(chosen), *self._y.shape)
        outputs = self._engine.run_per_example(self._program, split_weights(weights, self.shapes), [x, y])
        gradients = np.concatenate(
            [np.asarray(output).reshape(self.lanes, -1) for output in outputs[1:]], axis=1, dtype=np.float32
        )
        gradients[rows < 0] = 0.0
        gradients[used[~known]] = 0.0
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
        _, person, counts = np.unique(examples.person, return_inverse=True, return_counts=True)
        self._rows = np.argsort(person, kind="stable")
        self._counts = counts
        self._starts = np.cumsum(counts) - counts
        self.people = len(counts)
        self.lanes = gradients.lanes

    def of(self, weights: Weights, lane: NDArray[np.int64]) -> Iterator[Floats]:
        """The gradients of the people who take part, each person once, a few at a time.

        A person's rows are added one after another, in order: the bits of the sum depend on the person and the lane.

        Args:
            weights: float32, shape (length,).
            lane: shape (people,): each person's lane, from 0, or -1 for one who does not take part.

        Yields:
            float64, shape (people whose last row this batch held, length).
        """
        schedule, ends = self._schedule(lane)
        sums = np.zeros((self.lanes, self._map.length))
        for rows, ending in zip(schedule, ends, strict=True):
            batch = self._map.batch(weights, self._examples, rows)
            with np.errstate(all="ignore"):  # a warning would say what some row holds
                sums += batch
            if ending.any():
                yield sums[ending]
                sums[ending] = 0.0

    def _schedule(self, lane: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Which row each lane holds in each batch (-1: none), and whether it is its person's last."""
        people = np.argsort(lane, kind="stable")
        people = people[lane[people] >= 0]
        counts = self._counts[people]
        lanes = np.repeat(lane[people], counts)
        before = np.cumsum(counts) - counts
        within = np.arange(len(lanes)) - np.repeat(before, counts)
        rows = self._rows[np.repeat(self._starts[people], counts) + within]
        turn = np.arange(len(lanes)) - np.searchsorted(lanes, lanes)
        shape = (int(turn.max()) + 1 if len(turn) else 0, self.lanes)
        schedule = np.full(shape, -1, dtype=np.int64)
        schedule[turn, lanes] = rows
        ends = np.zeros(shape, dtype=np.bool_)
        ends[turn, lanes] = within == np.repeat(counts, counts) - 1
        return schedule, ends
