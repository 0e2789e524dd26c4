"""A mechanism: the event that it is and the noise that it adds, in one object."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stead.errors import TooFewParties
from stead.privacy.events import DiscreteGaussian, DiscreteLaplace
from stead.privacy.samplers import discrete_gaussian, discrete_laplace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stead.core.entropy import Entropy


@dataclass(frozen=True, slots=True)
class GaussianMechanism:
    """Independent discrete Gaussian noise on each integer of a vector.

    Args:
        sigma: the noise's parameter, in lattice steps.
    """

    sigma: float

    def event(self, sensitivity: float) -> DiscreteGaussian:
        """What a release of a vector is that one person moves by at most ``sensitivity`` (L2, lattice steps)."""
        return DiscreteGaussian(self.sigma, sensitivity)

    def add(self, values: NDArray[np.int64], entropy: Entropy) -> NDArray[np.int64]:
        """``values`` plus fresh noise, modulo 2^64: whether a sum wraps depends on public bounds and noise alone."""
        return values + discrete_gaussian(values.size, self.sigma, entropy).reshape(values.shape)


@dataclass(frozen=True, slots=True)
class LaplaceMechanism:
    """Independent discrete Laplace noise on each integer of a vector.

    Args:
        scale: the noise's parameter, in lattice steps.
    """

    scale: float

    def event(self, sensitivity: int) -> DiscreteLaplace:
        """What a release of a vector is that one person moves by at most ``sensitivity`` (L1, lattice steps)."""
        return DiscreteLaplace(self.scale, sensitivity)

    def add(self, values: NDArray[np.int64], entropy: Entropy) -> NDArray[np.int64]:
        """``values`` plus fresh noise, modulo 2^64."""
        return values + discrete_laplace(values.size, self.scale, entropy).reshape(values.shape)


def noise_share(sigma_total: float, sites: int, colluders: int) -> float:
    """The parameter of one site's noise share, so that the shares of the honest sites alone have the whole variance.

    Args:
        sigma_total: standard deviation of the whole noise, in lattice steps.
        sites: sites of the session.
        colluders: sites whose shares are not counted.

    Raises:
        TooFewParties: no site would be left to count on.
    """
    if not 0 <= colluders < sites:
        raise TooFewParties(f"{sites} sites with {colluders} colluders leave nobody whose noise counts.")
    return math.sqrt(sigma_total**2 / (sites - colluders))
