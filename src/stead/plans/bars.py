"""Error bars from public facts, and the noise that a wished error bar allows.

Notation: z is the two-sided normal quantile of one event, N a count of rows, h the half of a range in lattice steps.

=============  =====================================================================================================
symbol         meaning
=============  =====================================================================================================
sigma          standard deviation of a part's noise as the plan states it, in lattice steps
sites, c       sites that add noise shares, and the colluders whose shares are not counted: each share has
               sigma^2 / (sites - c), so the sum over sites has sigma^2 * sites / (sites - c)
confidence     all cells of all aggregates jointly; independent cells, so each has confidence^(1 / cells)
=============  =====================================================================================================

A discrete Gaussian Z has P(|Z| > t) <= 2 Q(t / sigma) for integers t >= 0: its density falls, so each term of the tail
is under the integral before it, and its normaliser is at least that of the normal. A sum of shares with sigma >= 2 has
almost the law of one discrete Gaussian (Kairouz, Liu and Steinke 2021: within a factor of 1 + 1e-14); below that the
tail is computed from the exact probabilities.

A mean is released as S' = S + e and N' = N + n, both with noise. Its error is exactly (e - (S / N) n) / N', and
|S / N| <= h. By quantile coupling n and e are within one step of normals, so |e - c n| <= z sqrt(sigma_e^2 + c^2
sigma_n^2) + 1 + c at the event's confidence. Bars of an answer divide by the released N'; bars of a preview suppose
that at least ``people[0]`` rows (spread evenly over the groups) are there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from stead.core.schema import Schema
from stead.errors import UsageError
from stead.plans.analysis import MAX_SIGMA, MIN_SIGMA, Part, group_keys, parts
from stead.plans.decode import cell_names, has_cells
from stead.plans.noise import Noise
from stead.plans.query import Aggregate, Query
from stead.plans.simulation import Simulation

_PROVEN = ("count", "people", "distinct", "sum", "cells")
"""Parts whose bars are proven; those of other kinds come from simulated noise (``stead.plans.simulation``)."""
_NORMAL_FROM = 2.0
_HALVINGS = 64
_ROUNDS = 16
_SIMULATED_PRECISION = 2e-3


def error_bars(  # noqa: PLR0913 - each is a public fact of its own
    query: Query,
    schema: Schema,
    *,
    sites: int = 1,
    colluders: int = 0,
    people: int | None = None,
    confidence: float = 0.95,
    answer: npt.ArrayLike | None = None,
    keys: int | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """Half-widths of intervals that hold for all cells of all aggregates together.

    Looks at no row: at the plan, the schema and, for an answer, at the released integers.

    Args:
        query: the question with its sigmas.
        schema: the public description (of one site).
        sites: how many sites add noise shares.
        colluders: how many of the shares are not counted.
        people: the least number of rows of all sites together; ``sites * schema.people[0]`` unless given.
        confidence: the joint probability.
        answer: the released vector; without it the bars are a preview's.
        keys: with private keys, how many are shown; the answer holds one vector after another, and the confidence is
            for all keys and their numbers of people together (``people_bar``).

    Returns:
        Aggregate name to half-width in natural units, shaped like ``decode_answer``. Rounding onto the lattice is
        inside; a mean's bar is never wider than its range.

    Raises:
        UsageError: the question cannot be asked, or the sites and colluders make no sense.
    """
    layout = parts(query, schema)
    if len(query.sigmas) != len(layout):
        raise UsageError(f"the question releases {len(layout)} parts and carries {len(query.sigmas)} sigmas.")
    noise = _noise(query, layout, schema, (sites, colluders, people), _each(confidence, keys))
    if keys is None:
        return _bars(query, schema, layout, noise, answer)
    vectors = np.asarray(answer, dtype=np.int64)
    if vectors.shape != (keys * sum(part.size for part in layout),):
        raise UsageError(f"the answer has shape {vectors.shape}, the question {keys} keys of as many numbers.")
    if keys == 0:
        return {name: np.zeros((0, *bar.shape)) for name, bar in _bars(query, schema, layout, noise, None).items()}
    each = [_bars(query, schema, layout, noise, vector) for vector in vectors.reshape(keys, -1)]
    return {aggregate.name: np.stack([bars[aggregate.name] for bars in each]) for aggregate in query.aggregates}


def people_bar(query: Query, schema: Schema, *, keys: int | None = None, confidence: float = 0.95) -> float:
    """The half-width of the number of people of each private key that is shown.

    It holds for a key whatever its number is; of keys that few people have, those with noise upwards are shown.

    Args:
        query: with private keys and all of its noise.
        schema: as in ``error_bars``.
        keys: how many are shown.
        confidence: the joint probability, as in ``error_bars``.

    Raises:
        UsageError: the question has no private keys.
    """
    chosen = query.private_keys
    if chosen is None:
        raise UsageError("the question has no private keys.")
    noise = _noise(query, parts(query, schema), schema, (1, 0, None), _each(confidence, keys))
    return float(_reach(chosen.sigma, noise, noise.confidence))


def _each(confidence: float, keys: int | None) -> float:
    """The confidence for each of some keys."""
    return confidence ** (1.0 / max(1, keys or 1)) if 0.0 < confidence < 1.0 else confidence


def _bars(
    query: Query, schema: Schema, layout: tuple[Part, ...], noise: Noise, answer: npt.ArrayLike | None
) -> dict[str, npt.NDArray[np.float64]]:
    sites = noise.sites
    axes = tuple(len(keys) for keys in group_keys(query, schema))
    blocks = _blocks(layout, answer)
    bars: dict[str, npt.NDArray[np.float64]] = {}
    simulated = None
    for group in _grouped(layout):
        first = layout[group[0]]
        shape = axes + ((first.cells,) if first.kind == "cells" else ())
        sigmas = [query.sigmas[index] for index in group]
        if first.kind not in _PROVEN:
            simulated = simulated or Simulation(query, schema, noise, answer)
            bars[first.aggregate] = simulated.bars(first.aggregate).reshape((*axes, -1))
            if not has_cells(_named(query, first.aggregate)):
                bars[first.aggregate] = bars[first.aggregate].reshape(axes)
        elif len(group) == 1:
            rows_most = sites * schema.people[1] * schema.rows_per_person
            bars[first.aggregate] = np.full(shape, _flat_bar(first, sigmas[0], noise, rows_most))
        elif blocks is None:
            bars[first.aggregate] = np.full(shape, _preview_mean_bar(first, sigmas, noise))
        else:
            released = zip(blocks[group[0]].tolist(), blocks[group[1]].tolist(), strict=True)
            widths = [_answer_mean_bar(first, sigmas, noise, pair) for pair in released]
            bars[first.aggregate] = np.array(widths).reshape(shape)
    return bars


def sigmas_for(  # noqa: PLR0913 - each is a public fact of its own
    query: Query,
    schema: Schema,
    within: float,
    *,
    sites: int = 1,
    colluders: int = 0,
    people: int | None = None,
    confidence: float = 0.95,
) -> tuple[float, ...]:
    """The largest noise whose preview bars are all at most ``within``, relative to what is public.

    ``within`` is an absolute half-width, for all cells jointly, as a fraction

    - of the range after clipping, for a mean (over at least ``people`` rows spread evenly over the groups);
    - of the public size ``people``, for counts and histograms;
    - of range x public size, for sums.

    The two parts of a mean get the same noise relative to what one row can add.

    Args:
        query: the question; its sigmas are not looked at.
        schema: the public description (of one site).
        within: the wished half-width, above 0.
        sites: how many sites add noise shares.
        colluders: how many of the shares are not counted.
        people: as in ``error_bars``.
        confidence: the joint probability.

    Returns:
        One sigma for each part, for ``Query.sigmas``: of the whole noise, in lattice steps.

    Raises:
        UsageError: no noise that may be used is that small; the hint names the least ``within``.
    """
    layout = parts(query, schema)
    noise = _noise(query, layout, schema, (sites, colluders, people), confidence)
    if not (math.isfinite(within) and within > 0):
        raise UsageError(f"within is a fraction above 0; got {within}.", hint="within=0.05")
    rows_most = sites * schema.people[1] * schema.rows_per_person
    chosen: list[float] = []
    simulation = None
    for group in _grouped(layout):
        first = layout[group[0]]
        if first.kind not in _PROVEN:
            simulation = simulation or Simulation(query, schema, noise, None)
            bar = functools.partial(simulation.relative_bar, first.aggregate)
            top = MAX_SIGMA / max(layout[index].per_row for index in group)
            sigma = _largest_simulated(bar, within, first.aggregate, top)
            chosen += [sigma * layout[index].per_row for index in group]
        elif len(group) == 1:
            scale = noise.people * (first.high - first.low if first.kind == "sum" else 1.0)
            bar = functools.partial(_relative_flat_bar, first, noise, rows_most, scale)
            chosen.append(_largest(bar, within, first.aggregate, MAX_SIGMA))
        else:
            bar = functools.partial(_relative_mean_bar, first, noise)
            sigma = _largest(bar, within, first.aggregate, MAX_SIGMA / first.per_row)
            chosen += [sigma * first.per_row, sigma]
    return tuple(chosen)


def _noise(
    query: Query, layout: tuple[Part, ...], schema: Schema, public: tuple[int, int, int | None], confidence: float
) -> Noise:
    sites, colluders, people = public
    if not 0 <= colluders < sites:
        raise UsageError(f"{sites} sites cannot hold {colluders} colluders; at least one share must count.")
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"confidence lies between 0 and 1; got {confidence}.")
    cells = sum(_values(query, layout[group[0]], schema) for group in _grouped(layout))
    size = sites * schema.people[0] if people is None else people
    if query.private_keys is not None:
        size = max(1, query.private_keys.threshold)  # a key that is just shown
        cells += 1  # its number of people
    if query.noise == "laplace" and sites > 1:
        raise UsageError("noise that several sites add up is Gaussian.", hint='noise="gaussian"')
    return Noise(sites, colluders, size, confidence ** (1.0 / max(1, cells)), laplace=query.noise == "laplace")


def _values(query: Query, part: Part, schema: Schema) -> int:
    """How many values the answer holds of a part's aggregate."""
    if part.kind in _PROVEN:
        return part.size
    return part.groups * len(cell_names(_named(query, part.aggregate), query, schema))


def _named(query: Query, name: str) -> Aggregate:
    return next(aggregate for aggregate in query.aggregates if aggregate.name == name)


def _grouped(layout: tuple[Part, ...]) -> list[tuple[int, ...]]:
    """The indices of the parts of each aggregate, in order."""
    groups: dict[str, tuple[int, ...]] = {}
    for index, part in enumerate(layout):
        groups[part.aggregate] = (*groups.get(part.aggregate, ()), index)
    return list(groups.values())


def _blocks(layout: tuple[Part, ...], answer: npt.ArrayLike | None) -> list[npt.NDArray[Any]] | None:
    if answer is None:
        return None
    vector = np.asarray(answer, dtype=np.int64)
    if vector.shape != (sum(part.size for part in layout),):
        raise UsageError(f"the answer has shape {vector.shape}, the question {sum(p.size for p in layout)} numbers.")
    return np.split(vector, np.cumsum([part.size for part in layout])[:-1])


def _relative_flat_bar(part: Part, noise: Noise, rows_most: int, scale: float, sigma: float) -> float:
    return _flat_bar(part, sigma, noise, rows_most) / scale


def _relative_mean_bar(part: Part, noise: Noise, sigma: float) -> float:
    return _preview_mean_bar(part, [sigma * part.per_row, sigma], noise) / (part.high - part.low)


def _flat_bar(part: Part, sigma: float, noise: Noise, rows_most: int) -> float:
    """The bar of a count, a cell or a sum: its noise, and for a sum up to one step of rounding for each row."""
    return (_reach(sigma, noise, noise.confidence) + (0 if part.exact else rows_most)) * part.step


def _preview_mean_bar(part: Part, sigmas: list[float], noise: Noise) -> float:
    """The least H with |e - c n| <= H (N + n) at the event's confidence, for every |c| <= h.

    Both sides of the error are linear in (e, n) with a coefficient of n of at most h + H, so the bound on
    |e - (h + H) n| decides. It is convex in H and exceeds H N at 0, so there is one crossing.
    """
    count = max(1.0, noise.people / part.groups)
    half, width = part.per_row, (part.high - part.low) / part.step
    low, high = 0.0, width
    if _mean_reach(half + width, sigmas, noise) > width * count:
        return part.high - part.low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _mean_reach(half + middle, sigmas, noise) <= middle * count:
            high = middle
        else:
            low = middle
    return _in_units(part, high)


def _answer_mean_bar(part: Part, sigmas: list[float], noise: Noise, released: tuple[int, int]) -> float:
    """The bar of one released mean: what |e - c n| / N' can be, with c no further from the answer than the bar."""
    total, count = released
    if count < 1:
        return part.high - part.low
    error = math.inf
    for _ in range(_ROUNDS):
        centre = min(float(part.per_row), abs(total) / count + error)
        error = min(error, _mean_reach(centre, sigmas, noise) / count)
    return _in_units(part, error)


def _in_units(part: Part, error_steps: float) -> float:
    return min(part.high - part.low, (error_steps + (0 if part.exact else 1)) * part.step)


def _mean_reach(coefficient: float, sigmas: list[float], noise: Noise) -> float:
    """What ``|e - coefficient * n|`` stays under at the event's confidence, in steps of the sum."""
    if noise.laplace or min(noise.share(sigma) for sigma in sigmas) < _NORMAL_FROM:
        each = math.sqrt(noise.confidence)
        return _reach(sigmas[0], noise, each) + coefficient * _reach(sigmas[1], noise, each)
    spread = math.hypot(noise.total(sigmas[0]), coefficient * noise.total(sigmas[1]))
    return _quantile(noise.confidence) * spread + 1 + coefficient


def _reach(sigma: float, noise: Noise, confidence: float) -> int:
    """The least integer t that the noise of one cell exceeds with probability at most ``1 - confidence``."""
    if noise.laplace:  # P(|Z| > t) = 2 r^(t + 1) / (1 + r) with r = exp(-1 / scale)
        ratio = math.exp(-1.0 / sigma)
        return max(0, math.ceil(-sigma * math.log((1.0 - confidence) * (1.0 + ratio) / 2)) - 1)
    share = noise.share(sigma)
    if share >= _NORMAL_FROM:
        return math.ceil(_quantile(confidence) * noise.total(sigma))
    reach = math.ceil(12 * share) + 2
    weights = np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2 * share**2))
    law = np.ones(1)
    for _ in range(noise.sites):
        law = np.convolve(law, weights / weights.sum())
    centre = len(law) // 2
    outside = 2 * np.cumsum(law[::-1])[: centre + 1][::-1]  # outside[t] = P(|Z| >= t) for t >= 1
    for reached in range(centre):
        if outside[reached + 1] <= 1.0 - confidence:
            return reached
    return centre


def _quantile(confidence: float) -> float:
    return -NormalDist().inv_cdf((1.0 - confidence) / 2)


def _largest(bar: Callable[[float], float], within: float, aggregate: str, top: float) -> float:
    """The largest sigma whose bar is at most ``within``; bars grow with sigma."""
    _require_reached(bar(MIN_SIGMA), within, aggregate)
    if bar(top) <= within:
        return top
    low, high = MIN_SIGMA, top
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        if bar(middle) <= within:
            low = middle
        else:
            high = middle
    return low


def _largest_simulated(bar: Callable[[float], float], within: float, aggregate: str, top: float) -> float:
    """As ``_largest``, to a part in 500 and with few looks: a simulated bar takes a while.

    Simulated bars grow about as sigma does until they saturate, so the next place to look is where a straight line
    through the last two would reach ``within``, a little inside the bracket.
    """
    low, at_low = MIN_SIGMA, bar(MIN_SIGMA)
    _require_reached(at_low, within, aggregate)
    high = at_high = math.inf
    for _ in range(_HALVINGS):
        guess = low * min(max(within / at_low, 1.002), 64.0) if at_low > 0.0 else 16.0 * low
        if high < math.inf:
            share = (within - at_low) / (at_high - at_low) if at_high > at_low else 0.5
            guess = low + min(max(share, 0.02), 0.98) * (high - low)
        if guess >= top:
            return top if bar(top) <= within else low
        found = bar(guess)
        if found <= within:
            low, at_low = guess, found
        else:
            high, at_high = guess, found
        if high <= (1.0 + _SIMULATED_PRECISION) * low:
            break
        if within * (1.0 - _SIMULATED_PRECISION) <= at_low:
            break
    return low


def _require_reached(least: float, within: float, aggregate: str) -> None:
    if least > within:
        digits = 10.0 ** (math.floor(math.log10(least)) - 1)
        raise UsageError(
            f"aggregate {aggregate!r}: within={within:g} cannot be reached from what the schema says is there.",
            hint=f"within={math.ceil(least / digits) * digits:.2g} is the least",
        )
