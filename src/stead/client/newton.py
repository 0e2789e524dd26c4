"""``Newton``: logistic regression by one Newton step in each round.

=========  ===========================================================================================================
symbol     meaning
=========  ===========================================================================================================
u, theta   features scaled to [-1, 1] by their ranges, a one before them, and their coefficients: what is released
A          theta to coefficients of the features in their own units: b = A theta
=========  ===========================================================================================================

Standard errors are those of sampling; the error bars are of the noise in the last round. That the rounds before were
noisy too moves where the last step begins, which a Newton step forgives once it is near.

References: McCullagh, Nelder, "Generalized Linear Models" (1989), section 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from stead.client.noise import Setting, Wish, choose
from stead.plans.analysis import LATTICE_BITS, Part, parts
from stead.plans.bars import error_bars
from stead.plans.decode import decode_answer
from stead.plans.noise import Noise
from stead.plans.query import LogisticScore, Query
from stead.plans.simulation import Simulation
from stead.plans.statistics.matrices import floored_inverse, unpack
from stead.plans.statistics.simulate import joint_half_widths

NAME = "logistic"
CONFIDENCE = 0.95
_REACH = 3.0
_ONE = float(1 << LATTICE_BITS)


@dataclass(frozen=True)
class Newton:
    """A logistic regression of ``target`` on ``features``."""

    features: tuple[str, ...]
    target: str

    @property
    def start(self) -> tuple[float, ...]:
        """No feature has an effect."""
        return (0.0,) * (len(self.features) + 1)

    def aggregate(self, state: tuple[float, ...]) -> LogisticScore:
        """Gradient and information at the coefficients ``state``."""
        return LogisticScore(NAME, self.features, self.target, state)

    def advance(
        self, state: tuple[float, ...], setting: Setting, query: Query, vector: np.ndarray
    ) -> tuple[float, ...]:
        """The coefficients after one step."""
        found = decode_answer(query, setting.schema, vector)[NAME]
        return tuple(float(each) for each in found[: len(state)])

    def noisy(self, query: Query, setting: Setting, wished: Wish) -> Query:
        """The noise whose bars on scaled coefficients are ``within``, or whose price for all rounds is ``epsilon``."""
        return choose(query, setting, wished)

    def expected(self, query: Query, setting: Setting) -> dict[str, np.ndarray]:
        """Bars of the coefficients in the features' own units, by name; an upper bound for the intercept's."""
        bars = error_bars(
            query, setting.schema, sites=setting.sites, colluders=setting.colluders, people=setting.people
        )[NAME]
        (part,) = parts(query, setting.schema)
        own = np.abs(_own_units(part)) @ bars[: len(self.start)]
        return dict(zip(("intercept", *self.features), own, strict=True))

    def result(self, setting: Setting, query: Query, vector: np.ndarray) -> tuple[Query, np.ndarray, np.ndarray]:
        """Coefficients and standard errors in the features' own units; the bars of coefficients are of the noise."""
        (part,) = parts(query, setting.schema)
        size, to_own = len(self.start), _own_units(part)
        (sigma,) = query.sigmas or (0.0,)
        noise = Noise(setting.sites, setting.colluders, 1, CONFIDENCE)
        total = noise.total(sigma)
        information = vector[size:] / (4.0 * _ONE)
        inverse, _ = floored_inverse(unpack(information, size), _REACH * total / (4.0 * _ONE))
        spread = np.sqrt(np.maximum(np.diagonal(to_own @ inverse @ to_own.T), 0.0))
        bare = replace(query, sigmas=(sigma,))
        drawn = Simulation(bare, setting.schema, noise, vector).decoded(NAME)[:, 0, :size] @ to_own.T
        widths = joint_half_widths(drawn[0], drawn[1:], CONFIDENCE)
        return query, np.concatenate([drawn[0], spread]), np.concatenate([widths, np.zeros(size)])


def _own_units(part: Part) -> np.ndarray:
    """A: coefficients of scaled features to those in their own units, square over the terms."""
    half = np.array([variable.step * _ONE for variable in part.variables])
    middle = np.array([variable.offset for variable in part.variables])
    found = np.diag(np.concatenate([[1.0], 1.0 / half]))
    found[0, 1:] = -middle / half
    return found
