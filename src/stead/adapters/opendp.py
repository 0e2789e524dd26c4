"""OpenDP beside our own mechanisms: its samplers as another source of noise, its privacy maps as another opinion.

An owner who trusts OpenDP's proofs more than ours can draw with it; it is 50 to 125 times slower, takes its randomness
from the operating system by itself (no ``Entropy`` can be passed), and its sums stop at the ends of 64 bits. What
accounts pay never comes from here: a claim is compared with ours, in tests and reports.

References: OpenDP library, measurements ``make_gaussian``, ``make_laplace``, ``make_noisy_max``,
    ``make_randomized_response``, ``make_gaussian_threshold``, ``make_laplace_threshold``.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stead.errors import MissingExtra, UnsupportedOperation
from stead.privacy.events import (
    DiscreteGaussian,
    DiscreteLaplace,
    ExponentialChoice,
    PermuteAndFlip,
    PrivacyEvent,
    RandomisedResponse,
    ThresholdedGaussian,
    ThresholdedLaplace,
)

Thresholded = ThresholdedGaussian | ThresholdedLaplace


@dataclass(frozen=True, slots=True)
class Claim:
    """What OpenDP says that an event costs.

    Attributes:
        measure: "pure" for an epsilon, "zero-concentrated" for a rho: a divergence of at most ``rho order``.
        loss: epsilon or rho.
        delta: beside it; 0.0 where none is needed.
    """

    measure: Literal["pure", "zero-concentrated"]
    loss: float
    delta: float = 0.0


def claim(event: PrivacyEvent) -> Claim:
    """What OpenDP's own privacy map says of an event.

    Raises:
        MissingExtra: OpenDP is not installed.
        UnsupportedOperation: an event that OpenDP has no measurement for.
    """
    match event:
        case DiscreteGaussian(_, sensitivity):
            return Claim("zero-concentrated", float(_measurement(event).map(sensitivity)))
        case DiscreteLaplace(_, sensitivity):
            return Claim("pure", float(_measurement(event).map(sensitivity)))
        case ExponentialChoice(_, spread):
            return Claim("zero-concentrated", float(_measurement(event).map(spread)))
        case PermuteAndFlip(_, spread):
            return Claim("pure", float(_measurement(event).map(spread)))
        case RandomisedResponse():
            return Claim("pure", float(_measurement(event).map(1)))
        case ThresholdedGaussian(_, _, each, keys):
            # An integer at least as large as the norm: their distance has the type of the counts.
            loss, delta = _measurement(event).map((keys, math.isqrt(keys * each**2 - 1) + 1, each))
            return Claim("zero-concentrated", float(loss), float(delta))
        case ThresholdedLaplace(_, _, each, keys):
            loss, delta = _measurement(event).map((keys, keys * each, each))
            return Claim("pure", float(loss), float(delta))
        case _:
            raise _unsupported(event)


def add(event: DiscreteGaussian | DiscreteLaplace, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """A vector of integers with OpenDP's noise, held at the ends of 64 bits.

    Raises:
        MissingExtra: OpenDP is not installed.
    """
    noisy = _measurement(event)(values.ravel().tolist())
    return np.array(noisy, np.int64).reshape(values.shape)


def answer_noise() -> Callable[[DiscreteGaussian | DiscreteLaplace, NDArray[np.int64]], NDArray[np.int64]]:
    """``add``, once it is known to be there: the sampler of a node whose owner has set it.

    Raises:
        MissingExtra: OpenDP is not installed.
    """
    _library()
    return add


def choose(event: ExponentialChoice | PermuteAndFlip, scores: NDArray[np.int64]) -> int:
    """The index of the option that OpenDP chooses.

    Raises:
        MissingExtra: OpenDP is not installed.
    """
    return int(_measurement(event)(scores.tolist()))


def report(event: RandomisedResponse, answer: int) -> int:
    """OpenDP's report of one answer.

    Raises:
        MissingExtra: OpenDP is not installed.
    """
    return int(_measurement(event)(answer))


def shown(event: Thresholded, counts: dict[str, int]) -> dict[str, int]:
    """The keys that OpenDP shows, with their noisy counts.

    Raises:
        MissingExtra: OpenDP is not installed.
    """
    return {key: int(count) for key, count in _measurement(event)(counts).items()}


def _measurement(event: PrivacyEvent) -> Any:
    dp = _library()
    vectors = dp.vector_domain(dp.atom_domain(T="i64"))
    counts = dp.map_domain(dp.atom_domain(T="String"), dp.atom_domain(T="i64"))
    steps = dp.absolute_distance(T="i64")
    # Scores that move the same way: the distance is then the spread.
    together = dp.linf_distance(T="i64", monotonic=True)
    match event:
        case DiscreteGaussian(sigma, _):
            return dp.m.make_gaussian(vectors, dp.l2_distance(T="f64"), scale=sigma)
        case DiscreteLaplace(scale, _):
            return dp.m.make_laplace(vectors, dp.l1_distance(T="i64"), scale=scale)
        case ExponentialChoice(scale, _):
            return dp.m.make_noisy_max(vectors, together, dp.zero_concentrated_divergence(), scale=scale)
        case PermuteAndFlip(scale, _):
            return dp.m.make_noisy_max(vectors, together, dp.max_divergence(), scale=scale)
        case RandomisedResponse(epsilon, options):
            truth = 1 / (1 + (options - 1) * math.exp(-epsilon))
            return dp.m.make_randomized_response(list(range(options)), prob=truth)
        case ThresholdedGaussian(sigma, threshold, _, _):
            return dp.m.make_gaussian_threshold(counts, dp.l02inf_distance(steps), scale=sigma, threshold=threshold)
        case ThresholdedLaplace(scale, threshold, _, _):
            return dp.m.make_laplace_threshold(counts, dp.l01inf_distance(steps), scale=scale, threshold=threshold)
        case _:
            raise _unsupported(event)


def _library() -> Any:
    try:
        dp = importlib.import_module("opendp.prelude")
    except ImportError:
        raise MissingExtra(
            "another sampler needs OpenDP, which is not installed.", hint='pip install "stead[opendp]"'
        ) from None
    dp.enable_features("contrib")
    return dp


def _unsupported(event: PrivacyEvent) -> UnsupportedOperation:
    return UnsupportedOperation(f"OpenDP has no measurement that is a {type(event).__name__}.")
