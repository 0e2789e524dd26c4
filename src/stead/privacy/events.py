"""What was done to private rows, apart from what it costs: a closed tagged union of frozen structs.

An event describes noise on a lattice; ``renyi`` prices it and ``samplers`` draws it. Its meaning never changes once a
log holds it: a new mechanism is a new tag. Neighbouring tables differ by the rows of one person, added or removed.

Lengths (``sigma``, ``scale``, sensitivities) are counted in steps of the release's own lattice, so that every value
and every sensitivity is a statement about integers.
"""

from __future__ import annotations

import math

import msgspec


def _require(ok: bool, what: str) -> None:  # noqa: FBT001 - a condition, not a switch
    if not ok:
        raise ValueError(what)


class _Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Shared configuration of all events."""


class DiscreteGaussian(_Event, frozen=True, tag="discrete-gaussian"):
    """A vector of integers with independent discrete Gaussian noise on each coordinate.

    Attributes:
        sigma: the noise's parameter in lattice steps, the same for each coordinate.
        sensitivity: how far one person moves the vector, L2 norm, in lattice steps.

    References: Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (2020), definition 1.
    """

    sigma: float
    sensitivity: float

    def __post_init__(self) -> None:
        _require(0 < self.sigma < math.inf, f"sigma must be positive and finite, not {self.sigma}")
        _require(0 <= self.sensitivity < math.inf, f"a sensitivity must be finite, not {self.sensitivity}")


class DiscreteLaplace(_Event, frozen=True, tag="discrete-laplace"):
    """A vector of integers with independent discrete Laplace noise, ``Pr[x] ~ exp(-|x| / scale)``.

    Attributes:
        scale: the noise's parameter in lattice steps.
        sensitivity: how far one person moves the vector, L1 norm: an integer number of lattice steps.
    """

    scale: float
    sensitivity: int

    def __post_init__(self) -> None:
        _require(0 < self.scale < math.inf, f"scale must be positive and finite, not {self.scale}")
        _require(0 <= self.sensitivity < 2**63, f"a sensitivity must fit 63 bits, not {self.sensitivity}")


class SumOfDiscreteGaussians(_Event, frozen=True, tag="sum-of-discrete-gaussians"):
    """A vector of integers with the sum of several sites' discrete Gaussian noise.

    Attributes:
        sigma_share: parameter of one site's share, in lattice steps.
        shares: how many honest shares are counted: sites less declared colluders.
        l2: how far one person moves the vector, L2 norm, in lattice steps.
        dimension: coordinates of the vector.

    References: Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning with
        Secure Aggregation" (2021), proposition 14.
    """

    sigma_share: float
    shares: int
    l2: float
    dimension: int

    def __post_init__(self) -> None:
        _require(0 < self.sigma_share < math.inf, f"sigma must be positive and finite, not {self.sigma_share}")
        _require(1 <= self.shares < 2**31, f"a sum needs at least one honest share, not {self.shares}")
        _require(0 <= self.l2 < math.inf, f"a sensitivity must be finite, not {self.l2}")
        _require(1 <= self.dimension < 2**63, f"a vector has at least one coordinate, not {self.dimension}")


class Gaussian(_Event, frozen=True, tag="gaussian"):
    """Continuous Gaussian noise: an idealisation for reports and reference values; nothing is released with it."""

    sigma: float
    sensitivity: float

    def __post_init__(self) -> None:
        _require(0 < self.sigma < math.inf, f"sigma must be positive and finite, not {self.sigma}")
        _require(0 <= self.sensitivity < math.inf, f"a sensitivity must be finite, not {self.sensitivity}")


class Sampled(_Event, frozen=True, tag="sampled"):
    """The event on a random part of the people: each takes part independently with probability ``rate``.

    The inner event is one noisy vector: a basic event, or ``Composed`` basic events drawn at once on the same people.
    """

    rate: float
    event: PrivacyEvent

    def __post_init__(self) -> None:
        _require(0 < self.rate <= 1, f"a sampling rate lies in (0, 1], not {self.rate}")


class Repeated(_Event, frozen=True, tag="repeated"):
    """The same event ``times`` times, each with fresh randomness; later ones may depend on earlier results."""

    event: PrivacyEvent
    times: int

    def __post_init__(self) -> None:
        _require(1 <= self.times < 2**53, f"an event happens at least once, not {self.times} times")


class Composed(_Event, frozen=True, tag="composed"):
    """All of these events on the same people; empty when nothing private was touched."""

    events: tuple[PrivacyEvent, ...]


PrivacyEvent = DiscreteGaussian | DiscreteLaplace | SumOfDiscreteGaussians | Gaussian | Sampled | Repeated | Composed
