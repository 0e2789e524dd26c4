"""A second opinion on what events cost: privacy loss distributions, by Google's dp-accounting.

For reports and forecasts only. A distribution of losses is composed for mechanisms that are fixed in advance; accounts
answer questions chosen after earlier answers, and decide by Rényi divergence (``docs/theory/renyi-account.md``).

=========================== ================================================================================
event                       distribution
=========================== ================================================================================
discrete Gaussians, sums    the continuous Gaussian's of the same variance: an idealisation, fine from 2 steps on
discrete Laplace            its own, for one coordinate that moves by the whole sensitivity
choices, streams            that of any pure mechanism of their epsilon; an exponential choice may cost less by Rényi
randomised response         its own
keys                        the noise of all of a person's keys, and the slack as a delta
many of the above           all Gaussians as one of their joint strength, which is exact; equal events in one power
=========================== ================================================================================

References: Koskela, Jälkö, Honkela, "Computing Tight Differential Privacy Guarantees Using FFT" (2020); Doroshenko et
    al., "Connect the Dots: Tighter Discrete Approximations of Privacy Loss Distributions" (2022).
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stead.errors import MissingExtra, UnsupportedOperation, UsageError
from stead.privacy.events import (
    AboveThreshold,
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    ExponentialChoice,
    Gaussian,
    NoisyMax,
    PartitionSelection,
    PermuteAndFlip,
    PrivacyEvent,
    RandomisedResponse,
    Repeated,
    Sampled,
    SumOfDiscreteGaussians,
    ThresholdedGaussian,
    ThresholdedLaplace,
)
from stead.privacy.slack import slack

_Gaussians = DiscreteGaussian | SumOfDiscreteGaussians | Gaussian


def pld_epsilon(event: PrivacyEvent, delta: float, *, grid_nats: float = 1e-4) -> float:
    """The epsilon of an event at ``delta``, by its privacy loss distribution.

    Args:
        event: what was done, or would be.
        delta: in (0, 1).
        grid_nats: the grid of losses, rounded against the asker.

    Returns:
        Nats; ``inf`` where delta is no more than the event's slack.

    Raises:
        MissingExtra: dp-accounting is not installed.
        UnsupportedOperation: sampling around something that is neither Gaussian nor Laplace noise.
        UsageError: delta is not in (0, 1).
    """
    if not 0 < delta < 1:
        raise UsageError(f"an epsilon is reported at a delta in (0, 1), not {delta}.")
    whole = _Composer(_distributions(), grid_nats).of(event)
    return 0.0 if whole is None else float(whole.get_epsilon_for_delta(delta))


def _distributions() -> Any:
    try:
        return importlib.import_module("dp_accounting.pld.privacy_loss_distribution")
    except ImportError:
        raise MissingExtra(
            "privacy loss distributions need dp-accounting, which is not installed.",
            hint='pip install "stead[google-dp]"',
        ) from None


@dataclass(frozen=True, slots=True)
class _Composer:
    """Makes distributions with one library and one grid; None stands for nothing touched."""

    library: Any
    grid_nats: float

    def of(self, event: PrivacyEvent) -> Any:
        match event:
            case Composed() | Repeated():
                return self._history(event)
            case Sampled(rate, inner):
                return self._noise(inner, rate)
            case ExponentialChoice(scale, spread) | PermuteAndFlip(scale, spread) | NoisyMax(scale, spread):
                return self._pure(spread / scale)
            case AboveThreshold(threshold_scale, answer_scale, sensitivity, spread, positives):
                return self._pure(sensitivity / threshold_scale + positives * (spread / answer_scale))
            case RandomisedResponse(epsilon, options):
                # Their parameter is the chance of a uniform answer in place of the truth.
                uniform = options / (math.exp(epsilon) + options - 1)
                return self.library.from_randomized_response(
                    uniform, options, value_discretization_interval=self.grid_nats
                )
            case PartitionSelection() | ThresholdedGaussian() | ThresholdedLaplace():
                return self._keys(event)
            case _:
                return self._noise(event, 1.0)

    def _history(self, event: PrivacyEvent) -> Any:
        """A whole history: as few distributions as it has different events, so that rounding does not add up."""
        strengths: list[float] = []
        others: dict[PrivacyEvent, int] = {}
        for part, times in _flat(event, 1):
            if isinstance(part, _Gaussians):
                strengths.append(times * _strength(part))
            else:
                others[part] = others.get(part, 0) + times
        parts = [self._gaussian(math.fsum(strengths), 1.0)]
        for part, times in others.items():
            once = self.of(part)
            parts.append(once if once is None or times == 1 else once.self_compose(times))
        return self._together(parts)

    def _keys(self, event: PartitionSelection | ThresholdedGaussian | ThresholdedLaplace) -> Any:
        match event:
            case PartitionSelection(epsilon, delta, keys):
                once = self._approximate(epsilon, delta)
                return once if keys == 1 else once.self_compose(keys)
            case ThresholdedGaussian(sigma, _, each, keys):
                beside: PrivacyEvent = Gaussian(sigma, each * math.sqrt(keys))
            case ThresholdedLaplace(scale, _, each, keys):
                beside = Repeated(DiscreteLaplace(scale, each), keys)
        return self._together([self.of(beside), self._approximate(0.0, slack(event))])

    def _noise(self, event: PrivacyEvent, rate: float) -> Any:
        parts = event.events if isinstance(event, Composed) else (event,)
        if all(isinstance(part, _Gaussians) for part in parts):
            return self._gaussian(math.fsum(_strength(part) for part in parts if isinstance(part, _Gaussians)), rate)
        if isinstance(event, DiscreteLaplace):
            if event.sensitivity == 0:
                return None
            return self.library.from_discrete_laplace_mechanism(
                1 / event.scale, event.sensitivity, sampling_prob=rate, value_discretization_interval=self.grid_nats
            )
        raise UnsupportedOperation("a loss distribution is sampled around Gaussian noise or one discrete Laplace only.")

    def _gaussian(self, strength: float, rate: float) -> Any:
        if strength == 0:
            return None
        return self.library.from_gaussian_mechanism(
            1 / math.sqrt(strength), sampling_prob=rate, value_discretization_interval=self.grid_nats
        )

    def _pure(self, epsilon: float) -> Any:
        return self._approximate(epsilon, 0.0) if epsilon else None

    def _approximate(self, epsilon: float, delta: float) -> Any:
        parameters = importlib.import_module("dp_accounting.pld.common").DifferentialPrivacyParameters(epsilon, delta)
        return self.library.from_privacy_parameters(parameters, value_discretization_interval=self.grid_nats)

    def _together(self, parts: list[Any]) -> Any:
        whole = None
        for part in parts:
            if part is not None:
                whole = part if whole is None else whole.compose(part)
        return whole


def _flat(event: PrivacyEvent, times: int) -> Iterator[tuple[PrivacyEvent, int]]:
    """The events inside sums and repetitions, each with how often it happens."""
    match event:
        case Composed(events):
            for inner in events:
                yield from _flat(inner, times)
        case Repeated(inner, again):
            yield from _flat(inner, times * again)
        case _:
            yield event, times


def _strength(event: _Gaussians) -> float:
    """The squared shift in standard deviations."""
    match event:
        case SumOfDiscreteGaussians(sigma_share, shares, l2, _):
            return (l2 / sigma_share) ** 2 / shares
        case DiscreteGaussian(sigma, sensitivity) | Gaussian(sigma, sensitivity):
            return (sensitivity / sigma) ** 2
