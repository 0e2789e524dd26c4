"""``distinguish``: the best event that tells two neighbouring worlds apart, found on one half, counted on the other.

Whatever finds the event, the bound is right: the halves are independent, and the event is fixed before it is counted.
So the finders below may be as clever, or as wrong, as they like. They differ in which faults they see:

=========== ==============================================================================
attack      the event
=========== ==============================================================================
shift       the results along the direction that separates the two worlds best lie beyond
            a cut; the direction uses all coordinates together, so that noise which two of
            them share cancels
outcomes    the result is one of the outcomes (or of the ranges, where there are many) that
            are likelier in one world
lattice     the finest binary digit of a number (its lattice) is one of those that are
            likelier in one world: holes and granularities of floating-point noise
sign        the result is above zero: an event that whoever made the results has fixed
            beforehand, so that every run is counted
=========== ==============================================================================

References: Ding, Wang, Wang, Zhang, Kifer, "Detecting Violations of Differential Privacy" (2018), for events chosen on
    other runs than those they are counted on; Bichsel et al., "DP-Sniper" (2021), for learning them; Mironov, "On
    Significance of the Least Significant Bits for Differential Privacy" (2012), and Haney et al., "Precision-based
    attacks and interval refining" (2022), for the lattice. ``docs/theory/audit.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from stead.errors import UsageError
from stead.privacy.audit.counting import epsilon_at_least

Results = NDArray[Any]
Scores = NDArray[np.float64]
Attack = Literal["shift", "outcomes", "lattice", "sign"]

ATTACKS: tuple[Attack, ...] = ("shift", "outcomes", "lattice")
"""What numbers are examined by."""

BOUNDS = 4
"""Binomial bounds behind each figure of ``distinguish``: two for each direction."""

_MOST_OUTCOMES = 256
_RANGES = 64
_MOST_CUTS = 512
_RIDGE = 1e-9
_MANTISSA_BITS = 53
_ZERO = 4096.0


def distinguish(present: Results, absent: Results, delta: float, *, attack: Attack, miss: float) -> float:
    """A lower bound on epsilon at ``delta``, from what was shown with and without the one person.

    Args:
        present: independent results with the person, shape (runs,) or (runs, numbers), integers or floats.
        absent: as many without.
        delta: of the promise that is tested.
        attack: how to look for an event.
        miss: the probability with which each of ``BOUNDS`` binomial bounds may be wrong.

    Returns:
        Nats: above an honest mechanism's epsilon with probability at most ``BOUNDS * miss``.

    Raises:
        UsageError: the worlds have not the same number of runs, or fewer than four.
    """
    one, other = (np.asarray(world).reshape(len(world), -1) for world in (present, absent))
    if one.shape != other.shape or len(one) < BOUNDS:
        raise UsageError(
            f"an audit compares as many results of one kind, four or more: not {one.shape}, {other.shape}."
        )
    if attack == "sign":
        return _by_sign(one, other, delta, miss)
    even = len(one) // 2 * 2
    score = _FINDERS[attack](one[:even:2], other[:even:2])
    with_person, without = score(one[:even]), score(other[:even])
    return max(
        _one_way(with_person, without, delta, miss),
        _one_way(-without, -with_person, delta, miss),
    )


def _by_sign(present: Results, absent: Results, delta: float, miss: float) -> float:
    runs = len(present)
    here, there = (int(np.count_nonzero(world[:, 0] > 0)) for world in (present, absent))
    return max(
        epsilon_at_least(here, there, runs, delta=delta, miss=miss),
        epsilon_at_least(runs - there, runs - here, runs, delta=delta, miss=miss),
    )


def _one_way(likely: Scores, unlikely: Scores, delta: float, miss: float) -> float:
    """The bound from the event "the score is at least a cut": the cut from even runs, the counts from odd ones."""
    cut = _best_cut(likely[::2], unlikely[::2], delta, miss)
    hits = [int(np.count_nonzero(world[1::2] >= cut)) for world in (likely, unlikely)]
    return epsilon_at_least(hits[0], hits[1], len(likely) // 2, delta=delta, miss=miss)


def _best_cut(likely: Scores, unlikely: Scores, delta: float, miss: float) -> float:
    """The cut that promises the largest bound, by Wilson's approximate intervals, which cost nothing."""
    cuts = np.unique(np.concatenate([likely, unlikely]))
    if len(cuts) > _MOST_CUTS:
        # Rare events prove the most: as many cuts by rank from the top as spread over all.
        spread = np.linspace(0, len(cuts) - 1, _MOST_CUTS).astype(np.intp)
        cuts = cuts[np.union1d(spread, np.arange(len(cuts) - _MOST_CUTS, len(cuts)))]
    runs = len(likely)
    shares = [1 - np.searchsorted(np.sort(world), cuts, side="left") / runs for world in (likely, unlikely)]
    z = -NormalDist().inv_cdf(miss)
    least, most = _wilson(shares[0], runs, -z), _wilson(shares[1], runs, z)
    promised = np.where(least > delta, np.log(np.maximum(least - delta, 1e-300) / most), -np.inf)
    return float(cuts[int(np.argmax(promised))])


def _wilson(share: Scores, runs: int, z: float) -> Scores:
    """One end of Wilson's interval: the lower one for a negative z."""
    square = z * z / runs
    root = z * np.sqrt(share * (1 - share) / runs + square / (4 * runs))
    ends: Scores = np.clip((share + square / 2 + root) / (1 + square), 1e-12, 1.0)
    return ends


def _shift(present: Results, absent: Results) -> Callable[[Results], Scores]:
    """Scores along Fisher's discriminant, with a ridge where coordinates share their noise."""
    worlds = [world.astype(np.float64) for world in (present, absent)]
    centre = worlds[1].mean(axis=0)
    apart = worlds[0].mean(axis=0) - centre
    spread = np.sqrt(sum(world.var(axis=0) for world in worlds) / 2)
    scale = np.where(spread > 0, spread, 1.0)
    whitened = [(world - world.mean(axis=0)) / scale for world in worlds]
    shared = sum(world.T @ world / len(world) for world in whitened) / 2
    direction = np.linalg.solve(shared + _RIDGE * np.eye(len(scale)), apart / scale)

    def score(results: Results) -> Scores:
        along: Scores = (results.astype(np.float64) - centre) / scale @ direction
        return along

    return score


def _outcomes(present: Results, absent: Results) -> Callable[[Results], Scores]:
    """The log ratio of how often each outcome was seen; where there are many, of ranges of the shift's scores."""
    label = _labels(present, absent)
    return _likelier(label(present), label(absent), label)


def _labels(present: Results, absent: Results) -> Callable[[Results], Scores]:
    if present.shape[1] == 1 and len(np.unique(np.concatenate([present, absent]))) <= _MOST_OUTCOMES:
        return lambda results: results[:, 0].astype(np.float64)
    along = _shift(present, absent)
    edges = np.quantile(np.concatenate([along(present), along(absent)]), np.linspace(0, 1, _RANGES + 1)[1:-1])
    return lambda results: np.searchsorted(edges, along(results), side="right").astype(np.float64)


def _lattice(present: Results, absent: Results) -> Callable[[Results], Scores]:
    """As ``_outcomes``, of the finest binary digit among a result's numbers."""
    return _likelier(_finest(present), _finest(absent), _finest)


def _likelier(present: Scores, absent: Scores, label: Callable[[Results], Scores]) -> Callable[[Results], Scores]:
    seen, codes = np.unique(np.concatenate([present, absent]), return_inverse=True)
    counts = [np.bincount(part, minlength=len(seen)) for part in np.split(codes, [len(present)])]
    ratio = np.log((counts[0] + 1) / (counts[1] + 1))

    def score(results: Results) -> Scores:
        labels = label(results)
        place = np.minimum(np.searchsorted(seen, labels), len(seen) - 1)
        known: Scores = np.where(seen[place] == labels, ratio[place], 0.0)
        return known

    return score


def _finest(results: Results) -> Scores:
    finest: Scores = binary_digit(results).min(axis=1)
    return finest


def binary_digit(numbers: Results) -> Scores:
    """The finest binary digit of each number: v for an odd multiple of ``2^v``; 4096 for zero and what is no number.

    Args:
        numbers: integers below 2^53 or floats, any shape.
    """
    mantissa, exponent = np.frexp(np.asarray(numbers, dtype=np.float64))
    usable = np.isfinite(mantissa) & (mantissa != 0)
    whole = np.where(usable, mantissa * 2.0**_MANTISSA_BITS, 1.0).astype(np.int64)
    lowest = np.log2((whole & -whole).astype(np.float64))
    digit: Scores = np.where(usable, exponent - _MANTISSA_BITS + lowest, _ZERO)
    return digit


def off_lattice(numbers: Results, step: float) -> int:
    """How many numbers are no multiple of ``step``, a power of two."""
    return int(np.count_nonzero(binary_digit(numbers) < np.log2(step)))


_FINDERS: Final[Mapping[Attack, Callable[[Results, Results], Callable[[Results], Scores]]]] = {
    "shift": _shift,
    "outcomes": _outcomes,
    "lattice": _lattice,
}
