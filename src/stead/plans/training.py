"""``Training``: the gradient ``Program`` of one example, with everything that its price depends on, as data."""

from __future__ import annotations

from typing import Literal

import msgspec


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one column enters the example vector, from public facts only.

    ``scaled``: a numeric column mapped linearly from ``(low, high)`` to [-1, 1] after clipping (one number);
    ``onehot``: one number for each declared category; ``flag``: a boolean as 0 or 1;
    ``missing``: 1 where the column is NULL or NaN, else 0. NULL gives zeros in the first three.
    """

    column: str
    how: Literal["scaled", "onehot", "flag", "missing"]
    low: float = -1.0
    high: float = 1.0


class Encoding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows to tensors: ``features`` side by side give x (float32, shape (width,)), ``target`` gives y.

    The target of a classifier is the int64 index of the category (or 0/1 for a boolean), of a regression the
    scaled value as float32. A row whose target is NULL (-1 or NaN in y) gives the zero gradient. ``shape`` is the
    shape of x where it is not ``(width,)``.
    """

    features: tuple[Feature, ...]
    target: str
    task: Literal["classification", "regression"]
    shape: tuple[int, ...] = ()
    target_low: float = -1.0
    target_high: float = 1.0


class Sampler(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which people take part in a step: each independently with probability ``rate``; 1.0 takes all."""

    rate: float


class Privacy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The priced part of a private training.

    Attributes:
        clip: bound on the L2 norm of one person's gradient.
        lattice: the step of the integer lattice onto which clipped gradients are quantised toward zero.
        sigma: standard deviation of the *whole* noise, in units of the clip norm (the noise multiplier).
        colluders: sites whose noise shares are not counted; each site adds variance sigma^2 / (sites - colluders).
        sites: the number of sites of the session.
        steps: the number of rounds, each one gradient sum, at most.
    """

    clip: float
    lattice: float
    sigma: float
    colluders: int
    sites: int
    steps: int


class Optimiser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the coordinator (or, for local steps, the site) moves the weights: SGD with momentum, or Adam."""

    name: Literal["sgd", "adam"]
    rate: float
    momentum: float = 0.0
    beta2: float = 0.999
    weight_decay: float = 0.0


class LocalSteps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several local optimiser steps at a site per round (FedAvg): only without differential privacy."""

    epochs: int
    batch: int
    optimiser: Optimiser


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="training"):
    """A federated training as data.

    ``gradient`` is the encoded Program (``plans.plan.encode_plan``) with inputs ``(*parameters, x, y)`` of one example
    and outputs ``(loss, *gradients)``; the engine adds the batch axis by mapping. Buffers are its constants
    (``plans.builder.bind``). Exactly one of ``privacy`` (FedSGD, the outlet ``join``) and ``local`` (FedAvg, the
    outlet ``disclose``) is set. ``ring_bits`` is the width of the masked integers, ``rounds`` the number of rounds at
    most; ``lattice`` quantises updates where ``privacy`` is unset.
    """

    dataset: str
    gradient: bytes
    encoding: Encoding
    sampler: Sampler
    rounds: int
    ring_bits: Literal[32, 64]
    privacy: Privacy | None = None
    local: LocalSteps | None = None
    lattice: float = 2.0**-16
