"""Error bars of what is no plain sum: variances, regressions, quantiles, curves; by simulating the noise's known law.

An answer's bars are simulated around what was released; a preview's around what rows made from the public schema alone
would give (``stead.plans.mock``), as many as the least public size. Neither looks at a private row. What they are worth
is said in ``stead.plans.statistics.simulate``: they are first-order, where those of counts, sums and means are proven.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from stead.core.schema import Schema
from stead.plans.analysis import parts
from stead.plans.decode import cell_names, decode_draws, has_cells
from stead.plans.layout import Part
from stead.plans.mock import mock_rows
from stead.plans.noise import Noise
from stead.plans.query import Aggregate, Filter, LogisticScore, Moments, Quantile, Query, Survival
from stead.plans.sums import run_reference

Floats = npt.NDArray[np.float64]

_DRAWS = 400
_NUMBERS = 20_000_000
_SIMULATED = 0.95
_MOCK_ROWS = 2000


class Simulation:
    """Simulated noise around one vector of integers.

    Args:
        query: the question; its sigmas are those of an answer's bars.
        schema: the public description.
        noise: who adds it, and how sure one value's bar shall be.
        answer: the released vector; ``None`` for a preview.
    """

    def __init__(self, query: Query, schema: Schema, noise: Noise, answer: npt.ArrayLike | None) -> None:
        self._query = query
        self._schema = schema
        self._noise = noise
        self._layout = parts(query, schema)
        self._vector = self._supposed() if answer is None else np.asarray(answer, dtype=np.float64)
        self._units: dict[str, Floats] = {}

    def bars(self, name: str) -> Floats:
        """Half-widths of the aggregate's values, shape (groups,) or (groups, cells)."""
        sigmas = [sigma for part, sigma in zip(self._layout, self._query.sigmas, strict=True) if part.aggregate == name]
        return self._bars(self._aggregate(name), name, sigmas)

    def decoded(self, name: str) -> Floats:
        """The aggregate's values as they are, then under each draw of noise: shape (1 + draws, groups[, cells])."""
        sigmas = [sigma for part, sigma in zip(self._layout, self._query.sigmas, strict=True) if part.aggregate == name]
        return self._decoded(self._aggregate(name), name, sigmas)

    def relative_bar(self, name: str, sigma: float) -> float:
        """The widest half-width as a fraction of the aggregate's scale, with noise of ``sigma`` for what a row adds.

        The scale is the column's range (or what a product or quotient of ranges gives), and 1 for curves,
        correlations and logistic coefficients. A log-rank test is judged by the survival curves beneath it.
        """
        aggregate = self._aggregate(name)
        if isinstance(aggregate, Survival):
            aggregate = replace(aggregate, show="kaplan-meier" if aggregate.show == "log-rank" else aggregate.show)
        own = [part for part in self._layout if part.aggregate == name]
        bars = self._bars(aggregate, name, [sigma * part.per_row for part in own])
        scale = _scale(aggregate, own[0], self._ranges(aggregate))
        wide = bars[..., : len(scale)] if has_cells(aggregate) else bars[..., None]
        return float(np.max(wide / scale))

    def _bars(self, aggregate: Aggregate, name: str, sigmas: list[float]) -> Floats:
        from stead.plans.statistics.simulate import joint_half_widths

        found = self._decoded(aggregate, name, sigmas)
        groups = next(part.groups for part in self._layout if part.aggregate == name)
        values = groups * len(cell_names(aggregate, self._query, self._schema))
        wanted = self._noise.confidence**values
        widths = joint_half_widths(found[0], found[1:], min(wanted, _SIMULATED))
        return widths * max(1.0, _quantile(wanted) / _quantile(_SIMULATED))

    def _decoded(self, aggregate: Aggregate, name: str, sigmas: list[float]) -> Floats:
        own = [index for index, part in enumerate(self._layout) if part.aggregate == name]
        starts = np.cumsum([0] + [part.size for part in self._layout])
        vector = np.concatenate([self._vector[starts[index] : starts[index + 1]] for index in own])
        units = self._unit_noise(name, vector.size)
        layout = tuple(self._layout[index] for index in own)
        scales = np.repeat([self._noise.total(sigma) for sigma in sigmas], [part.size for part in layout])
        query = replace(self._query, aggregates=(aggregate,), sigmas=tuple(sigmas))
        decoded = decode_draws(query, layout, np.concatenate([vector[None, :], vector + scales * units]))
        return np.nan_to_num(decoded[name].astype(np.float64))

    def _unit_noise(self, name: str, size: int) -> Floats:
        """The same noise of unit scale each time, so that bars grow smoothly with sigma."""
        if name not in self._units:
            generator = np.random.default_rng(size)  # no release: what is drawn here is only looked at
            draws = max(60, min(_DRAWS, _NUMBERS // max(1, size)))
            kind = generator.laplace if self._noise.laplace else generator.normal
            self._units[name] = kind(size=(draws, size))
        return self._units[name]

    def _aggregate(self, name: str) -> Aggregate:
        return next(aggregate for aggregate in self._query.aggregates if aggregate.name == name)

    def _supposed(self) -> Floats:
        """What made-up rows would give, scaled to the least public size; filters are left out, as for means."""
        rows = max(1, min(_MOCK_ROWS, self._noise.people))
        steps = tuple(step for step in self._query.steps if not isinstance(step, Filter))
        bare = replace(self._query, steps=steps, private_keys=None, bounding=None, joins=())
        vector = run_reference(bare, self._schema, mock_rows(self._schema, rows))
        return vector.astype(np.float64) * (self._noise.people / rows)

    def _ranges(self, aggregate: Aggregate) -> list[float]:
        from stead.plans.scope import scope_of

        scope = scope_of(self._query, self._schema)
        names = aggregate.columns if isinstance(aggregate, Moments) else ()
        return [scope.range_of(scope.column(name, "aggregate"), "aggregate").width for name in names]


def _scale(aggregate: Aggregate, part: Part, ranges: list[float]) -> Floats:
    """What a fraction is of, for each value that counts: standard errors and the like stand behind and do not."""
    if isinstance(aggregate, Moments):
        if aggregate.show == "linear":
            return np.array([ranges[-1], *(ranges[-1] / width for width in ranges[:-1])])
        if aggregate.show == "deviation":
            return np.array([ranges[0]])
        return np.array([1.0 if aggregate.show == "correlation" else ranges[0] * ranges[-1] / 4.0])
    if isinstance(aggregate, Quantile):
        return np.full(len(aggregate.at), part.high - part.low)
    if isinstance(aggregate, LogisticScore):
        return np.ones(len(aggregate.theta))
    return np.ones(part.cells // 2)


def _quantile(confidence: float) -> float:
    return -NormalDist().inv_cdf(max((1.0 - confidence) / 2, math.ulp(0.5)))
