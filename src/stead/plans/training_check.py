"""Is this Training one that a site may run? Its Program, its numbers, and that its sums fit their ring."""

from __future__ import annotations

import math

from stead.core import codec
from stead.core.schema import Schema
from stead.errors import BadMessage, UsageError
from stead.plans.check import DEFAULT_LIMITS, Limits, check_program
from stead.plans.features import check_encoding, width
from stead.plans.program import Program, TensorType
from stead.plans.training import LocalSteps, Optimiser, Privacy, Training

MAX_ROUNDS = 1 << 20
MAX_SITES = 10_000
_NOISE_DEVIATIONS = 12
"""A discrete Gaussian is beyond 12 standard deviations with probability below 2^-100."""


def gradient_program(training: Training, limits: Limits = DEFAULT_LIMITS) -> Program:
    """The checked Program of a Training.

    Raises:
        BadMessage: it is no Program, or not the gradient of one example with respect to its parameters.
        UnsupportedOperation: it holds a step outside the table.
        TooExpensive: it is above a limit.
    """
    program = codec.decode(training.gradient, Program)
    check_program(program, limits)
    roles = [item.role for item in program.inputs]
    count = roles.count("parameter")
    if roles != ["parameter"] * count + ["x", "y"] or not count:
        raise BadMessage(
            "the gradient takes parameters, then x, then y of one example, and nothing else.",
            hint="buffers become constants with plans.builder.bind",
        )
    types = _types_of_outputs(program)
    wanted = [TensorType("float32", ()), *(item.type for item in program.inputs[:count])]
    if types != wanted or any(kind.dtype != "float32" for kind in wanted):
        raise BadMessage("the gradient gives the loss, then one float32 gradient of each parameter's shape, in order.")
    return program


def _types_of_outputs(program: Program) -> list[TensorType]:
    from stead.plans.check import constant_types
    from stead.plans.cost import value_types

    types = value_types(program, constant_types(program))
    return [types[value] for value in program.outputs]


def check_training(training: Training, limits: Limits = DEFAULT_LIMITS) -> Program:
    """Check what can be checked without a schema.

    Returns:
        The gradient Program, checked.

    Raises:
        BadMessage, UnsupportedOperation, TooExpensive: see ``gradient_program``.
        UsageError: a number is out of range; says which and what it may be.
    """
    program = gradient_program(training, limits)
    _check_example(training, program)
    _need(0.0 < training.sampler.rate <= 1.0, "the sampling rate", training.sampler.rate, "above 0 and at most 1")
    _need(1 <= training.rounds <= MAX_ROUNDS, "rounds", training.rounds, f"1 to {MAX_ROUNDS}")
    if (training.privacy is None) == (training.local is None):
        raise UsageError("a training has either privacy or local steps.", hint="local steps cannot be private")
    if training.privacy is not None:
        _check_privacy(training.privacy, training.rounds)
    if training.local is not None:
        _check_local(training.local)
        _need(is_power_of_two(training.lattice), "the lattice", training.lattice, "a power of two")
    return program


def _need(holds: bool, what: str, found: float, wanted: str) -> None:  # noqa: FBT001  # a condition, not a switch
    if not holds:
        raise UsageError(f"{what} must be {wanted}; got {found}.")


def is_power_of_two(number: float) -> bool:
    """Whether a number is 2^k with -64 <= k <= 64."""
    return math.isfinite(number) and 2.0**-64 <= number <= 2.0**64 and math.frexp(number)[0] == 0.5


def _check_example(training: Training, program: Program) -> None:
    x, y = (item.type for item in program.inputs[-2:])
    wanted = TensorType("int64" if training.encoding.task == "classification" else "float32", ())
    if y != wanted:
        raise UsageError(f"the target of a {training.encoding.task} is {wanted}; the program takes {y}.")
    if x.dtype != "float32" or (training.encoding.shape and x.shape != training.encoding.shape):
        raise UsageError(f"the program takes x as {x}; the encoding gives float32{list(training.encoding.shape)}.")


def _check_privacy(privacy: Privacy, rounds: int) -> None:
    _need(math.isfinite(privacy.clip) and privacy.clip > 0, "the clip", privacy.clip, "a positive number")
    _need(is_power_of_two(privacy.lattice), "the lattice", privacy.lattice, "a power of two")
    steps = privacy.clip / privacy.lattice
    _need(1 <= steps < 2**31, "the clip in lattice steps", steps, "from 1 to below 2^31")
    _need(math.isfinite(privacy.sigma) and privacy.sigma > 0, "sigma", privacy.sigma, "a positive number")
    _need(1 <= privacy.sites <= MAX_SITES, "sites", privacy.sites, f"1 to {MAX_SITES}")
    _need(0 <= privacy.colluders < privacy.sites, "colluders", privacy.colluders, "at least 0 and fewer than sites")
    _need(
        rounds <= privacy.steps <= MAX_ROUNDS, "priced steps", privacy.steps, f"{rounds} (the rounds) to {MAX_ROUNDS}"
    )


def _check_local(local: LocalSteps) -> None:
    _need(1 <= local.epochs <= 1000, "epochs", local.epochs, "1 to 1000")
    _need(1 <= local.batch <= 1 << 20, "the batch", local.batch, f"1 to {1 << 20}")
    check_optimiser(local.optimiser)


def check_optimiser(optimiser: Optimiser) -> None:
    """Check an optimiser's numbers.

    Raises:
        UsageError: one is out of range.
    """
    _need(math.isfinite(optimiser.rate) and optimiser.rate > 0, "the learning rate", optimiser.rate, "positive")
    _need(0.0 <= optimiser.momentum < 1.0, "momentum", optimiser.momentum, "from 0 to below 1")
    _need(0.0 <= optimiser.beta2 < 1.0, "beta2", optimiser.beta2, "from 0 to below 1")
    _need(0.0 <= optimiser.weight_decay < math.inf, "weight decay", optimiser.weight_decay, "0 or more")


def check_training_fits(training: Training, schema: Schema, limits: Limits = DEFAULT_LIMITS) -> Program:
    """Check a Training against the table it is to run on.

    Returns:
        The gradient Program, checked.

    Raises:
        UnknownColumn, UsageError: the encoding does not go with the schema or the Program, or sums overflow the ring.
        BadMessage, UnsupportedOperation, TooExpensive: see ``check_training``.
    """
    program = check_training(training, limits)
    check_encoding(training.encoding, schema)
    x = program.inputs[-2].type
    if not training.encoding.shape and x.shape != (width(training.encoding, schema),):
        raise UsageError(f"the encoding gives {width(training.encoding, schema)} numbers; the program takes x as {x}.")
    if training.privacy is not None:
        largest = largest_sum(training.privacy, schema.people[1])
        if largest >= 1 << (training.ring_bits - 1):
            raise UsageError(
                f"sums of up to {largest} steps do not fit into a ring of {training.ring_bits} bits.",
                hint="ring_bits=64, or a coarser lattice",
            )
    return program


def largest_sum(privacy: Privacy, people: int) -> int:
    """The largest magnitude that one coordinate of a round's noisy sum can have.

    Each person moves a coordinate by at most floor(clip / lattice) steps; the noise of all sites together stays below
    12 of its standard deviations.

    Args:
        privacy: the priced part of a training.
        people: the most people of one site.

    Returns:
        Lattice steps, rounded up.
    """
    whole = sigma_steps(privacy) * math.sqrt(privacy.sites / (privacy.sites - privacy.colluders))
    per_person = math.floor(privacy.clip / privacy.lattice)
    return privacy.sites * people * per_person + math.ceil(_NOISE_DEVIATIONS * whole)


def sigma_steps(privacy: Privacy) -> float:
    """The standard deviation of the whole noise, in lattice steps."""
    return privacy.sigma * privacy.clip / privacy.lattice
