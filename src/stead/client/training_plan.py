"""From what a scientist says (model, target, privacy) to a ``Training``: the plan that owners read, price and run."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

from stead.client.frameworks import Framework, Loss
from stead.client.progress import RoundRecord
from stead.client.values import plain_number, several, whole_number
from stead.core.codec import encode
from stead.core.schema import Schema
from stead.errors import NotYet, UsageError
from stead.plans.check import check_program, constant_types
from stead.plans.cost import value_types
from stead.plans.features import classes, default_encoding, encode_rows
from stead.plans.mock import mock_rows
from stead.plans.program import Program
from stead.plans.training import Encoding, LocalSteps, Optimiser, Privacy, Sampler, Training
from stead.plans.training_check import largest_sum
from stead.privacy.calibrate import sigma_for

Score = tuple[Any, Any] | Mapping[str, Any]


class PrivacyTarget(msgspec.Struct, frozen=True):
    """How much one person may matter to the whole training: (epsilon, delta), for adding or removing that person."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not 0.0 < self.epsilon < math.inf or not 0.0 < self.delta < 1.0:
            raise UsageError(f"privacy needs epsilon > 0 and 0 < delta < 1; got {self.epsilon} and {self.delta}.")

    def __repr__(self) -> str:
        return f"epsilon({self.epsilon:g}, delta={self.delta:g})"


def epsilon(epsilon: float, *, delta: float = 1e-6) -> PrivacyTarget:
    """Differential privacy for a training: ``privacy=stead.epsilon(4, delta=1e-6)``.

    Args:
        epsilon: nats over the whole training; smaller is more private.
        delta: well below one over the number of people.
    """
    return PrivacyTarget(plain_number(epsilon, "epsilon"), plain_number(delta, "delta"))


class FitOptions(TypedDict, total=False):
    """What ``fit`` takes besides its named arguments; each has a default.

    Attributes:
        features: columns to learn from; all that can be learned from, without the target, by default.
        loss: takes the model's result and the target for a batch of one; cross-entropy or squared error by default.
        optimiser: ``"adam"`` (default) or ``"sgd"``, or an ``Optimiser``.
        learning_rate: of the optimiser; 0.15 with privacy, 0.01 for local steps.
        rate: probability that a person takes part in a round; 1.0 by default.
        clip: bound on one person's gradient (L2); 1.0. With privacy only.
        colluders: sites whose noise shares are not counted on; 1. With privacy only.
        local_epochs: passes over a site's rows in each round; 1. Without privacy only.
        batch: rows in a local step; 32. Without privacy only.
        score: rows to score on, as columns or as (x, y) arrays; mock rows by default.
        silent: show no progress.
        on_round: called with a ``RoundRecord`` after each round; returning ``False`` ends the training.
        on_mock: rehearse it here on the sites' mock rows: nothing is sent, nothing is spent; ``False`` by default.
    """

    features: Sequence[str]
    loss: Loss
    optimiser: Literal["adam", "sgd"] | Optimiser
    learning_rate: float
    rate: float
    clip: float
    colluders: int
    local_epochs: int
    batch: int
    score: Score
    silent: bool
    on_round: Callable[[RoundRecord], bool | None]
    on_mock: bool


PRIVATE_ONLY = ("clip", "colluders")
LOCAL_ONLY = ("local_epochs", "batch")
NUMBERS = ("learning_rate", "rate", "clip")
WHOLE_NUMBERS = ("colluders", "local_epochs", "batch")


def check_options(options: FitOptions, *, private: bool) -> None:
    """Refuse an option that does not exist, or that this kind of training has no use for.

    Raises:
        UsageError: with the nearest option that exists.
    """
    known = tuple(FitOptions.__annotations__)
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}=?" if near else "options: " + ", ".join(known)
            raise UsageError(f"fit() has no option {name!r}.", hint=hint)
        if name in (LOCAL_ONLY if private else PRIVATE_ONLY):
            kind = "without" if private else "with"
            raise UsageError(f"{name}= belongs to a training {kind} privacy.")
        if name in NUMBERS:
            plain_number(options[name], f"{name}=")  # type: ignore[literal-required] # one of the names above
        if name in WHOLE_NUMBERS:
            whole_number(options[name], f"{name}=")  # type: ignore[literal-required] # one of the names above
    if "features" in options:
        several(options["features"], "features=", 'for example features=["age", "sex"]')


@dataclass(frozen=True)
class Draft:
    """A training before its privacy is decided.

    Attributes:
        dataset: its name at every site.
        encoding: rows to tensors.
        forward: the model's forward Program.
        gradient: the gradient Program of one example, buffers bound.
        length: the number of trained weights.
    """

    dataset: str
    encoding: Encoding
    forward: Program
    gradient: Program
    length: int


@dataclass(frozen=True)
class Cohort:
    """The public facts of the sites that noise and ring depend on.

    Attributes:
        sites: how many.
        colluders: of them, whose noise shares are not counted.
        people_most: the most people that any one of them may hold.
    """

    sites: int
    colluders: int
    people_most: int


def draft(framework: Framework, model: Any, schema: Schema, *, dataset: str, target: str, options: FitOptions) -> Draft:
    """Trace a model against a schema.

    Raises:
        UnknownColumn: target or a feature is not declared.
        UnsupportedOperation: the model does what a Program cannot hold; names it.
        UsageError: the model's input does not fit the encoded row.
    """
    features = options.get("features")
    encoding = default_encoding(schema, target, None if features is None else tuple(features))
    x, y = encode_rows(encoding, schema, mock_rows(schema, 1))
    try:
        forward = framework.bind_buffers(framework.trace(model, x[0]), model)
    except (RuntimeError, ValueError, TypeError):
        raise UsageError(
            f"the model cannot run on one encoded row of shape {x[0].shape}.",
            hint=f"{len(encoding.features)} features make {x[0].size} numbers: the first layer must take so many",
        ) from None
    outputs = output_size(forward)
    check_outputs(encoding, schema, outputs)
    loss = options.get("loss") or framework.default_loss(encoding.task, outputs)
    gradient = framework.bind_buffers(framework.trace_gradient(model, loss, x[0], y[0]), model)
    check_program(gradient)
    length = sum(part.size for part in framework.parameters(model))
    return Draft(dataset, encoding, forward, gradient, length)


def private_training(
    plan: Draft, cohort: Cohort, privacy: PrivacyTarget, *, rounds: int, options: FitOptions
) -> Training:
    """The Training with differential privacy: as much noise as the target needs, shared by the sites.

    The lattice is as fine as keeps the rounding of one person's gradient near 1/256 of the clip norm; the ring is 32
    bits wide where the sum of everybody's gradients and the noise fit, else 64.
    """
    if cohort.sites < 2:
        raise NotYet(
            "a private training needs two sites or more in this version: one has nobody to hide its sum among.",
            hint="privacy=None trains at one site and discloses the model, if its owner allows that",
        )
    clip, rate = options.get("clip", 1.0), options.get("rate", 1.0)
    bits = min(max(math.ceil(math.log2(256.0 * math.sqrt(plan.length))), 10), 20)
    lattice = 2.0 ** (math.frexp(clip)[1] - 1 - bits)
    l2_steps = math.ceil(clip / lattice)
    multiplier = sigma_for(
        privacy.epsilon,
        privacy.delta,
        rate=rate,
        steps=rounds,
        shares=cohort.sites - cohort.colluders,
        dimension=plan.length,
        l2_steps=l2_steps,
    )
    priced = Privacy(
        clip=clip,
        lattice=lattice,
        sigma=multiplier * l2_steps / (clip / lattice),
        colluders=cohort.colluders,
        sites=cohort.sites,
        steps=rounds,
    )
    return Training(
        dataset=plan.dataset,
        gradient=encode(plan.gradient),
        encoding=plan.encoding,
        sampler=Sampler(rate),
        rounds=rounds,
        ring_bits=32 if largest_sum(priced, cohort.people_most) < 1 << 31 else 64,
        privacy=priced,
    )


def open_training(plan: Draft, *, rounds: int, options: FitOptions) -> Training:
    """The Training without differential privacy: local steps at each site, their weighted mean disclosed."""
    return Training(
        dataset=plan.dataset,
        gradient=encode(plan.gradient),
        encoding=plan.encoding,
        sampler=Sampler(options.get("rate", 1.0)),
        rounds=rounds,
        ring_bits=64,
        local=LocalSteps(
            epochs=options.get("local_epochs", 1),
            batch=options.get("batch", 32),
            optimiser=optimiser_of(options, learning_rate=0.01),
        ),
    )


def optimiser_of(options: FitOptions, *, learning_rate: float) -> Optimiser:
    """The optimiser that the options name."""
    chosen = options.get("optimiser", "adam")
    if isinstance(chosen, Optimiser):
        return chosen
    rate = options.get("learning_rate", learning_rate)
    return Optimiser(chosen, rate, momentum=0.9 if chosen == "adam" else 0.0)


def output_size(forward: Program) -> int:
    """How many numbers a forward Program's result has.

    Raises:
        UsageError: the model gives several results.
    """
    if len(forward.outputs) != 1:
        raise UsageError(f"the model gives {len(forward.outputs)} results; a training needs one.")
    return value_types(forward, constant_types(forward))[forward.outputs[0]].elements


def check_outputs(encoding: Encoding, schema: Schema, outputs: int) -> None:
    """Refuse a model whose number of outputs does not fit its target.

    Raises:
        UsageError: with the numbers that would.
    """
    if encoding.task == "regression":
        if outputs != 1:
            raise UsageError(f"the model has {outputs} outputs; a regression of {encoding.target!r} needs 1.")
        return
    count = classes(encoding, schema)
    if outputs != count and not (count == 2 and outputs == 1):
        wanted = "1 or 2" if count == 2 else str(count)
        raise UsageError(
            f"the model has {outputs} outputs; {encoding.target!r} has {count} classes and needs {wanted}."
        )


def score_rows(
    encoding: Encoding, schema: Schema, score: Score | None
) -> tuple[NDArray[np.float32], NDArray[Any], bool]:
    """The rows to score on: x, y and whether they are mock rows."""
    if score is None:
        x, y = encode_rows(encoding, schema, mock_rows(schema, 512))
        return x, y, True
    if isinstance(score, tuple):
        x, y = (np.asarray(part) for part in score)
        return x.astype(np.float32), y, False
    columns = {column.name: np.asarray(score[column.name]) for column in schema.columns if column.name in score}
    x, y = encode_rows(encoding, schema, columns)
    return x, y, False
