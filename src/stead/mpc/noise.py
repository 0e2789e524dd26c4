"""Noise inside the shares: each party enters its own, they are added up, and only the noisy value is ever opened.

Symbols: n parties, c colluders, s = scale; one lattice step is 2^-s. The whole noise has standard deviation sigma, each
party's part sigma / sqrt(n - c), so that the parts of the n - c others alone are enough
(docs/theory/noise-on-shares.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from stead.errors import UsageError
from stead.mpc.array import SecretArray
from stead.mpc.dispatch import Kind
from stead.mpc.fixed import Secret
from stead.mpc.protocol import Protocol
from stead.mpc.shares import RingArray
from stead.mpc.values import Array, Value, numbers
from stead.privacy.events import SumOfDiscreteGaussians
from stead.privacy.mechanisms import GaussianMechanism, noise_share


@dataclass(frozen=True)
class NoiseOnShares:
    """The noise of one opening, and how far one person moves what is opened. Lengths are in the array's own unit.

    The sensitivity is a statement about the integers that the parties hold: a value that was truncated on shares is a
    step off at most, so two runs differ by up to two steps in each value more than the numbers say. Sums and products
    of clipped integers that were not truncated are exact.

    Args:
        sigma: standard deviation of the noise that is counted: that of all parties but the colluders.
        sensitivity: how far one person moves the array, L2 norm.
        colluders: parties whose noise is not counted on; left out: as many as the protocol withstands.

    Raises:
        UsageError: not a positive sigma and a finite sensitivity, or a negative number of colluders.
    """

    sigma: float
    sensitivity: float
    colluders: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf or not 0 <= self.sensitivity < math.inf:
            raise UsageError(
                f"noise needs a positive sigma and a finite sensitivity; got {self.sigma} and {self.sensitivity}.",
                hint="bound each person's part before it is shared, or give limit= to bound what is opened",
            )
        if self.colluders is not None and self.colluders < 0:
            raise UsageError(f"colluders= is a number of parties, 0 or more; got {self.colluders}.")

    def part(self, p: Protocol, scale: int) -> GaussianMechanism:
        """One party's part, in steps of 2^-scale.

        Raises:
            TooFewParties: all parties would be colluders.
        """
        return GaussianMechanism(noise_share(math.ldexp(self.sigma, scale), len(p.party.names), self._uncounted(p)))

    def event(self, p: Protocol, x: Secret) -> SumOfDiscreteGaussians:
        """What the opening of x with this noise is, for an account.

        Raises:
            TooFewParties: all parties would be colluders.
        """
        return SumOfDiscreteGaussians(
            sigma_share=self.part(p, x.scale).sigma,
            shares=len(p.party.names) - self._uncounted(p),
            l2=math.ldexp(self.sensitivity, x.scale),
            dimension=max(1, math.prod(x.shape)),
        )

    def _uncounted(self, p: Protocol) -> int:
        return p.facts.corruptions if self.colluders is None else self.colluders


@dataclass(frozen=True)
class NoisyOpening:
    """What was opened, and what it costs.

    Attributes:
        values: the noisy values.
        event: what their opening was, for ``privacy.accounts.amounts``; lengths in lattice steps.
    """

    values: Array
    event: SumOfDiscreteGaussians


def with_noise(p: Protocol, x: Secret, noise: NoiseOnShares) -> Secret:
    """``x`` plus discrete Gaussian noise of every party, as a secret: what is revealed of it is the noisy value alone.

    Args:
        p: this party's side; every party, those that only prepare too, draws its part from its own entropy.
        x: integers at scale s, one lattice step each.
        noise: how much.

    Cost:
        One input of x's shape by each party: ``share`` n times, n - 1 additions.

    Security:
        That of the protocol: the sum is opened and nothing else of it is. A corrupted party knows its own part and can
        take it off, or never added it: the parts of the n - c others are left, independent of all that it sees, of
        variance sigma^2 together. Parties that do not follow the protocol in anything else are not withstood.

    Raises:
        UsageError: a part is below 0.25 or above 2^40 lattice steps.
        TooFewParties: all parties would be colluders.

    References: Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure
        Aggregation" (2021); Dwork, Kenthapadi, McSherry, Mironov, Naor, "Our Data, Ourselves" (2006).
    """
    part = noise.part(p, x.scale)
    mine = _ring(part.add(np.zeros(x.shape, dtype=np.int64), p.party.entropy))
    total = x.share
    for owner in range(len(p.party.names)):
        total = total + p.share(mine if owner == p.party.place else None, x.shape, owner)
    return Secret(total, x.scale)


def clamp(p: Protocol, x: Secret, bound: int) -> Secret:
    """Hold the integers of x within [-bound, bound]: whatever ring element is there, the result is.

    A comparison by subtraction wraps near the ends of the ring; here it is taken twice, one after the other, so that a
    value that has overflowed gives some number within the bounds (``clip`` compares at once, and may not).

    Args:
        p: this party's side.
        x: any ring elements.
        bound: in lattice steps, from 0 to 2^61.

    Cost:
        Twice: ``negative`` of 64 bits, and ``select``.

    Raises:
        UsageError: the bound is outside its range.
    """
    if not 0 <= bound <= 1 << 61:
        raise UsageError(f"a bound lies between 0 and 2^61 lattice steps; got {bound}.")
    end = np.asarray(bound, dtype=np.uint64)
    over = p.add_public(x.share, np.negative(end))
    least = p.add_public(p.select(p.negative(over), over), end)
    under = p.add_public(least, end)
    held = p.select(p.invert(p.negative(under)), under)
    return Secret(p.add_public(held, np.negative(end)), x.scale)


def reveal_noisy(
    array: SecretArray, noise: NoiseOnShares, *, limit: float | None = None, to: str | Sequence[str] | None = None
) -> NoisyOpening | None:
    """Open an array with noise of every party on it; see ``with_noise`` for what it costs and who is withstood.

    ::

        noise = NoiseOnShares(sigma=4.0, sensitivity=2.0)
        opening = reveal_noisy(np.sum(ages), noise, to="clinic")

    Args:
        array: numbers; truths count as 0 and 1.
        noise: how much, for which sensitivity.
        limit: if given, each value is first held within [-limit, limit], in the array's unit (``clamp``): then no
            person, whatever happens to the values, moves the array by more than 2 limit sqrt(size).
        to: as ``SecretArray.reveal``.

    Returns:
        The noisy values and their event where this process is told; else ``None``.

    Raises:
        UsageError: as ``with_noise``, ``clamp`` and ``SecretArray.reveal``; or this is no array of a session.
        TooFewParties: all parties would be colluders.
    """
    if not isinstance(array, SecretArray) or not isinstance(noise, NoiseOnShares):
        raise UsageError(
            f"a SecretArray is opened with NoiseOnShares; got {type(array).__name__} and {type(noise).__name__}.",
            hint="reveal_noisy(array, NoiseOnShares(sigma=4.0, sensitivity=2.0))",
        )
    return cast("NoisyOpening | None", array.session.call(_opened_at_a_party, array, noise, limit, to))


def _opened_at_a_party(
    array: SecretArray, noise: NoiseOnShares, limit: float | None, to: str | Sequence[str] | None
) -> NoisyOpening | None:
    session = array.session
    events: list[SumOfDiscreteGaussians] = []

    def noisy(p: Protocol, value: Value) -> Value:
        x = numbers(p, value)
        events.append(noise.event(p, x))
        held = x if limit is None else clamp(p, x, _steps(limit, x.scale))
        return with_noise(p, held, noise)

    kind: Kind = "float64" if array.dtype == np.float64 else "int64"
    values = SecretArray(session, session.apply("noise", noisy, [array]), array.shape, kind).reveal(to=to)
    return None if values is None else NoisyOpening(values, events[0])


def _steps(limit: float, scale: int) -> int:
    if not 0 <= limit < math.inf:
        raise UsageError(f"limit= is a finite number, 0 or more; got {limit}.")
    return math.floor(math.ldexp(limit, scale))


def _ring(values: Array) -> RingArray:
    return np.asarray(values).view(np.uint64)
