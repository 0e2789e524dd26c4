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


def _require_choice(scale: float, spread: int) -> None:
    _require(0 < scale < math.inf, f"scale must be positive and finite, not {scale}")
    _require(0 <= spread < 2**63, f"a spread of scores must fit 63 bits, not {spread}")


def _require_thresholded(width: float, threshold: int, each: int, keys: int) -> None:
    _require(0 < width < math.inf, f"noise must be positive and finite, not {width}")
    _require(-(2**63) <= threshold < 2**63, f"a threshold must fit 64 bits, not {threshold}")
    _require(1 <= each < 2**31, f"a person moves a count by at least one step, not {each}")
    _require(1 <= keys < 2**31, f"a person has at least one key, not {keys}")


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


class ExponentialChoice(_Event, frozen=True, tag="exponential-choice"):
    """One of several options, chosen with ``Pr[r] ~ exp(score(r) / scale)``.

    Attributes:
        scale: in steps of the scores' lattice.
        spread: how far one person moves the difference of two options' scores: ``max d - min d`` over the changes d,
            an integer number of steps. It is twice the scores' sensitivity, or once if a person only ever raises them.

    References: McSherry, Talwar, "Mechanism Design via Differential Privacy" (2007); Dong, Durfee, Rogers, "Optimal
        Differential Privacy Composition for Exponential Mechanisms" (2020), for the spread.
    """

    scale: float
    spread: int

    def __post_init__(self) -> None:
        _require_choice(self.scale, self.spread)


class PermuteAndFlip(_Event, frozen=True, tag="permute-and-flip"):
    """One of several options: in random order, the first that passes a coin of ``exp((score - best) / scale)``.

    Attributes: as those of ``ExponentialChoice``.

    References: McKenna, Sheldon, "Permute-and-Flip: A New Mechanism for Differentially Private Selection" (2020).
    """

    scale: float
    spread: int

    def __post_init__(self) -> None:
        _require_choice(self.scale, self.spread)


class NoisyMax(_Event, frozen=True, tag="noisy-max"):
    """The option whose score with discrete Laplace noise is the largest; the first of equal ones. No score is shown.

    Attributes: as those of ``ExponentialChoice``; ``scale`` is the noise's.

    References: Dwork, Roth, "The Algorithmic Foundations of Differential Privacy" (2014), section 3.3.
    """

    scale: float
    spread: int

    def __post_init__(self) -> None:
        _require_choice(self.scale, self.spread)


class AboveThreshold(_Event, frozen=True, tag="above-threshold"):
    """Which of a stream of answers lie above their thresholds, until ``positives`` did: the sparse vector technique.

    One discrete Laplace integer is added to all thresholds, a fresh one to each answer. Answers may be chosen after
    earlier results. Nothing is shown but above or below.

    Attributes:
        threshold_scale: the thresholds' noise, in steps of the answers' lattice.
        answer_scale: the answers' noise.
        sensitivity: how far one person moves an answer, in steps.
        spread: how far one person moves the differences of answers: twice the sensitivity, or once if a person moves
            all answers the same way.
        positives: how many answers above their thresholds end the stream.

    References: Lyu, Su, Li, "Understanding the Sparse Vector Technique for Differential Privacy" (2017), algorithm 7,
        without its third part.
    """

    threshold_scale: float
    answer_scale: float
    sensitivity: int
    spread: int
    positives: int

    def __post_init__(self) -> None:
        _require_choice(self.threshold_scale, self.sensitivity)
        _require_choice(self.answer_scale, self.spread)
        _require(self.spread >= self.sensitivity, f"the spread {self.spread} is below the sensitivity")
        _require(1 <= self.positives < 2**31, f"a stream ends after at least one positive, not {self.positives}")


class RandomisedResponse(_Event, frozen=True, tag="randomised-response"):
    """One person's answer out of a public list: the truth is ``exp(epsilon)`` as likely as each other answer.

    Whoever is absent, or has no answer, counts as the first of the list.

    Attributes:
        epsilon: nats, positive.
        options: length of the list.

    References: Warner, "Randomized Response" (1965); Kairouz, Oh, Viswanath, "Extremal Mechanisms for Local
        Differential Privacy" (2016).
    """

    epsilon: float
    options: int

    def __post_init__(self) -> None:
        _require(0 < self.epsilon < math.inf, f"epsilon must be positive and finite, not {self.epsilon}")
        _require(2 <= self.options < 2**31, f"an answer is one of two or more, not of {self.options}")


class PartitionSelection(_Event, frozen=True, tag="partition-selection"):
    """Which of the keys that occur are shown, each by a coin that depends on how many people have it.

    Attributes:
        epsilon: nats, positive, for each key.
        delta: for each key, in (0, 1): the probability that one person's own key is shown.
        keys: how many keys one person has at most.

    References: Desfontaines, Voss, Gipson, Mandayam, "Differentially Private Partition Selection" (2022).
    """

    epsilon: float
    delta: float
    keys: int

    def __post_init__(self) -> None:
        _require(0 < self.epsilon < math.inf, f"epsilon must be positive and finite, not {self.epsilon}")
        _require(0 < self.delta < 1, f"delta lies in (0, 1), not {self.delta}")
        _require(1 <= self.keys < 2**31, f"a person has at least one key, not {self.keys}")


class ThresholdedGaussian(_Event, frozen=True, tag="thresholded-gaussian"):
    """Counts of the keys that occur, with discrete Gaussian noise, of which those from a threshold on are shown.

    Attributes:
        sigma: the noise's parameter, in steps of the counts' lattice.
        threshold: the smallest noisy count that is shown.
        each: how far one person moves the count of one key, in steps.
        keys: how many keys one person has at most.

    References: Wilson et al., "Differentially Private SQL with Bounded User Contribution" (2020);
        Desfontaines et al. (2022).
    """

    sigma: float
    threshold: int
    each: int
    keys: int

    def __post_init__(self) -> None:
        _require_thresholded(self.sigma, self.threshold, self.each, self.keys)


class ThresholdedLaplace(_Event, frozen=True, tag="thresholded-laplace"):
    """As ``ThresholdedGaussian``, with discrete Laplace noise.

    References: Korolova, Kenthapadi, Mishra, Ntoulas, "Releasing Search Queries and Clicks Privately" (2009).
    """

    scale: float
    threshold: int
    each: int
    keys: int

    def __post_init__(self) -> None:
        _require_thresholded(self.scale, self.threshold, self.each, self.keys)


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


PrivacyEvent = (
    DiscreteGaussian
    | DiscreteLaplace
    | SumOfDiscreteGaussians
    | Gaussian
    | ExponentialChoice
    | PermuteAndFlip
    | NoisyMax
    | AboveThreshold
    | RandomisedResponse
    | PartitionSelection
    | ThresholdedGaussian
    | ThresholdedLaplace
    | Sampled
    | Repeated
    | Composed
)
