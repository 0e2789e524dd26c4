"""``Narrowing``: quantiles by histograms whose cells narrow around them, round by round.

In each round the cells between the places where a quantile surely lies are cut anew, and everything outside is two
more cells, so that ranks are known. ``within`` is of the rank: 0.01 says that the median lies between the quantiles
0.49 and 0.51.

=========  ===========================================================================================================
symbol     meaning
=========  ===========================================================================================================
C_j        how many lie below edge j, made monotone; N all of them
sd         the standard deviation of the noise of one cell
reach      3 sd sqrt(cells), at least what the noise of a rank is
=========  ===========================================================================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from msgspec.structs import replace

from stead.client.noise import WITHIN, Setting, Wish, choose
from stead.errors import UsageError
from stead.plans.analysis import MAX_SIGMA, MIN_SIGMA
from stead.plans.noise import Noise
from stead.plans.query import Histogram, Quantile, Query
from stead.plans.simulation import Simulation
from stead.plans.statistics.monotone import monotone
from stead.plans.statistics.simulate import joint_half_widths

CONFIDENCE = 0.95
CELLS = 32
MOST_CELLS = 1000
_REACH = 3.0


@dataclass(frozen=True)
class Narrowing:
    """The quantiles ``at`` of a column whose values lie between ``low`` and ``high``, whole numbers if ``whole``."""

    column: str
    at: tuple[float, ...]
    low: float
    high: float
    whole: bool

    @property
    def name(self) -> str:
        """What the result is called."""
        return f"{self.column}_quantile"

    @property
    def start(self) -> tuple[float, ...]:
        """Equal cells over the whole range."""
        return self._edges([(self.low, self._top)])

    def aggregate(self, state: tuple[float, ...]) -> Histogram:
        """Counts between the edges ``state``."""
        return Histogram(self.name, self.column, state)

    def advance(
        self, state: tuple[float, ...], setting: Setting, query: Query, vector: np.ndarray
    ) -> tuple[float, ...]:
        """Edges that cut anew where the quantiles surely lie."""
        edges = np.array(state)
        below = _below(vector)
        reach = self._reach(setting, query, len(vector))
        spans: list[tuple[float, float]] = []
        for rank in self._ranks(below[-1], reach):
            first = int(np.searchsorted(below, rank - reach, side="right")) - 1
            last = int(np.searchsorted(below, rank + reach, side="left"))
            spans.append((edges[max(first, 0)], edges[min(last, len(edges) - 1)]))
        return self._edges(spans)

    def noisy(self, query: Query, setting: Setting, wished: Wish) -> Query:
        """The noise whose ranks err by ``within`` of the public size, or whose price for all rounds is ``epsilon``."""
        if wished.epsilon is not None:
            return choose(query, setting, wished)
        within = WITHIN if wished.within is None else wished.within
        if not (math.isfinite(within) and within > 0):
            raise UsageError(f"within is a fraction above 0; got {within}.", hint="within=0.05")
        sigma = within / float(self._rank_bar(replace(query, sigmas=(1.0,)), setting))
        if sigma < MIN_SIGMA:
            raise UsageError(
                f"within={within:g} cannot be reached from what the schema says is there.",
                hint=f"within={1.05 * within * MIN_SIGMA / sigma:.2g} is the least",
            )
        return replace(query, sigmas=(min(sigma, MAX_SIGMA),))

    def expected(self, query: Query, setting: Setting) -> dict[str, np.ndarray]:
        """The bar of a rank, as a fraction of the public size."""
        return {f"rank of {self.name}": np.array(self._rank_bar(query, setting))}

    def result(self, setting: Setting, query: Query, vector: np.ndarray) -> tuple[Query, np.ndarray, np.ndarray]:
        """The quantiles and their bars: those of the noise, and the width of the cell that each lies in."""
        (histogram,) = query.aggregates
        edges = np.array(histogram.edges if isinstance(histogram, Histogram) else ())
        noise = Noise(setting.sites, setting.colluders, 1, CONFIDENCE)
        bare = replace(query, sigmas=query.sigmas or (0.0,))
        counts = Simulation(bare, setting.schema, noise, vector).decoded(self.name)[:, 0, :]
        reach = self._reach(setting, query, len(vector))
        drawn = np.stack([self._quantiles(edges, row, reach) for row in counts])
        widths = joint_half_widths(drawn[0], drawn[1:], CONFIDENCE)
        cell = np.clip(np.searchsorted(edges, drawn[0], side="right") - 1, 0, len(edges) - 2)
        grain = np.diff(edges)[cell]
        grain = np.where(grain <= 1.0, 0.0, grain) if self.whole else grain
        shown = replace(query, aggregates=(Quantile(self.name, self.column, self.at),), sigmas=())
        return shown, drawn[0], widths + grain

    @property
    def _top(self) -> float:
        """Behind the largest value: whole numbers have cells of their own."""
        return math.floor(self.high) + 1.0 if self.whole else self.high

    def _edges(self, spans: list[tuple[float, float]]) -> tuple[float, ...]:
        each = max(2, min(CELLS, MOST_CELLS // len(spans)))
        borders = [np.array([math.floor(self.low) if self.whole else self.low, self._top])]
        borders += [np.linspace(low, high, each + 1) for low, high in spans]
        found = np.concatenate(borders)
        return tuple(np.unique(np.floor(found) if self.whole else found).tolist())

    def _ranks(self, people: float, reach: float) -> list[float]:
        """Each quantile's rank; an extreme is kept away from what may be noise alone."""
        near = min(reach, people / 2)
        return [min(max(q * people, near), people - near) for q in self.at]

    def _quantiles(self, edges: np.ndarray, counts: np.ndarray, reach: float) -> np.ndarray:
        below = _below(counts)
        found = []
        for rank in self._ranks(below[-1], reach):
            place = min(max(int(np.searchsorted(below, rank, side="left")) - 1, 0), len(edges) - 2)
            inside = below[place + 1] - below[place]
            share = (rank - below[place]) / inside if inside > 0 else 0.0
            width = edges[place + 1] - edges[place]
            alone = self.whole and width <= 1.0
            found.append(edges[place] if alone else edges[place] + min(max(share, 0.0), 1.0) * width)
        values = np.clip(np.array(found, dtype=np.float64), self.low, self.high)
        return np.asarray(np.floor(values) if self.whole else values)

    def _reach(self, setting: Setting, query: Query, cells: int) -> float:
        (sigma,) = query.sigmas or (0.0,)
        return _REACH * Noise(setting.sites, setting.colluders, 1, CONFIDENCE).total(sigma) * math.sqrt(cells)

    def _rank_bar(self, query: Query, setting: Setting) -> float:
        """The half-width of a rank, of all quantiles jointly, in the round with the most cells."""
        people = setting.sites * setting.schema.people[0] if setting.people is None else setting.people
        cells = len(self._edges([(self.low, self._top)] * len(self.at))) + 1
        cells = max(cells, len(self.at) * max(2, min(CELLS, MOST_CELLS // len(self.at))) + 2)
        each = CONFIDENCE ** (1.0 / len(self.at))
        spread = self._reach(setting, query, cells) / _REACH
        return -NormalDist().inv_cdf((1.0 - each) / 2) * spread / people


def _below(counts: np.ndarray) -> np.ndarray:
    """How many lie below each edge: 0 first, all last; rising, whatever noise did."""
    held = np.concatenate([[0.0], np.cumsum(np.asarray(counts, dtype=np.float64))])
    return np.maximum(monotone(held), 0.0)
