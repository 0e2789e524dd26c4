"""``Noise``: who adds noise to a question, and how sure its error bars shall be."""

from __future__ import annotations

import math

import msgspec


class Noise(msgspec.Struct, frozen=True):
    """Who adds noise, and how sure the bars shall be.

    Attributes:
        sites: how many sites add a share.
        colluders: how many shares are not counted.
        people: the least number of rows over all sites together that a preview supposes.
        confidence: the probability that one cell's bar holds.
        laplace: the noise is discrete Laplace, and ``sigma`` its scale.
    """

    sites: int
    colluders: int
    people: int
    confidence: float
    laplace: bool = False

    def share(self, sigma: float) -> float:
        """The standard deviation of one site's share."""
        return sigma / math.sqrt(self.sites - self.colluders)

    def total(self, sigma: float) -> float:
        """The standard deviation of what all sites add together."""
        return self.share(sigma) * math.sqrt(self.sites)
