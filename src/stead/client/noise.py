"""The noise of a question, chosen from what the scientist wishes: an error, a price, or the noise itself.

=========  ===========================================================================================================
symbol     meaning
=========  ===========================================================================================================
s          noise in units of what one row adds to a part, so that all aggregates err alike: sigma = s x per_row
alone      the epsilon of a question alone, at an account's delta and orders: what a node's quote says
=========  ===========================================================================================================

Laplace noise pays for the sum of what one person moves, Gaussian noise for the root of its squares. Where a row moves
one integer of each part both are tried, and the cheaper is taken; where it moves several, Gaussian noise is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from msgspec.structs import replace

from stead.client.values import plain_number, several
from stead.core.schema import Schema
from stead.errors import UsageError
from stead.plans.analysis import MAX_SIGMA, MIN_SIGMA, Contribution, analyse, parts, usage
from stead.plans.bars import error_bars, people_bar, sigmas_for
from stead.plans.query import People, PrivateKeys, Query
from stead.plans.query_price import query_event, require_additive
from stead.privacy.accounts import DEFAULT_ORDERS
from stead.privacy.events import PrivacyEvent, Repeated
from stead.privacy.keys import ThresholdedGaussianMechanism, ThresholdedLaplaceMechanism
from stead.privacy.reserve import epsilon_at

NoiseKind = Literal["auto", "gaussian", "laplace"]
Drawn = Literal["gaussian", "laplace"]

WITHIN: Final = 0.05
DELTA: Final = 1e-6
CLOSE: Final = 0.98
"""A price at most this part below the wished one is close enough."""
_KINDS: Final = ("auto", "gaussian", "laplace")
_HALVINGS: Final = 48
_TRIES: Final = 8


@dataclass(frozen=True)
class Wish:
    """What the noise shall be: one of ``within``, ``epsilon`` and ``sigmas``, and its kind."""

    within: float | None = None
    epsilon: float | None = None
    sigmas: tuple[float, ...] | None = None
    noise: NoiseKind = "auto"

    @property
    def relative(self) -> float | None:
        """The wished half-width; ``None`` where a price or the noise itself was given."""
        return self.within


@dataclass(frozen=True)
class Setting:
    """The public facts that noise is chosen by.

    Attributes:
        schema: of the rows that are read (at one site).
        sites: how many sites add noise shares.
        colluders: how many of the shares are not counted.
        people: the least number of people of all sites together; of the schema unless given.
        delta: of the accounts that pay.
        orders: of the accounts that pay.
        key_delta: what private keys may add to delta.
        rounds: how often the question is asked; ``epsilon`` is the price of all of them.
    """

    schema: Schema
    sites: int = 1
    colluders: int = 0
    people: int | None = None
    delta: float = DELTA
    orders: tuple[int, ...] = DEFAULT_ORDERS
    key_delta: float = 0.0
    rounds: int = 1


def wish(within: float | None, epsilon: float | None, sigmas: Sequence[float] | None, noise: str = "auto") -> Wish:
    """The wish in what a notebook gave; an error of 0.05 where it gave nothing.

    Raises:
        UsageError: more than one of them was given, or one is none of its kind.
    """
    given = [
        name for name, value in (("within", within), ("epsilon", epsilon), ("sigmas", sigmas)) if value is not None
    ]
    if len(given) > 1:
        raise UsageError(f"give `{given[0]}` or `{given[1]}`, not both.")
    if noise not in _KINDS:
        raise UsageError(f"noise is one of {', '.join(_KINDS)}; got {noise!r}.", hint='noise="auto"')
    kind: NoiseKind = "laplace" if noise == "laplace" else "gaussian" if noise == "gaussian" else "auto"
    if sigmas is not None:
        listed = several(sigmas, "sigmas", "one sigma for each released part; within= chooses them")
        return Wish(sigmas=tuple(plain_number(sigma, "a sigma") for sigma in listed), noise=kind)
    if epsilon is not None:
        price = plain_number(epsilon, "epsilon")
        if not 0.0 < price < math.inf:
            raise UsageError(f"epsilon is a price above 0; got {price:g}.", hint="epsilon=0.5")
        return Wish(epsilon=price, noise=kind)
    return Wish(within=WITHIN if within is None else plain_number(within, "within"), noise=kind)


def choose(query: Query, setting: Setting, wished: Wish) -> Query:
    """``query`` with the noise that is wished.

    Args:
        query: the question; its noise is not looked at.
        setting: the public facts.
        wished: an error, a price, or the noise itself. ``epsilon`` is met by our own reckoning; see ``calibrated``.

    Raises:
        UsageError: no noise is like that; the hint says which could be.
        UnboundedContribution: the question cannot be bounded.
    """
    if setting.sites > 1:
        require_additive(replace(query, noise="laplace" if wished.noise == "laplace" else "gaussian"))
    if wished.sigmas is not None:
        return _given(query, setting, wished.sigmas, "laplace" if wished.noise == "laplace" else "gaussian")
    found: list[Query] = []
    refusal: UsageError | None = None
    for kind in _kinds(query, setting, wished.noise):
        try:
            found.append(
                _for_epsilon(query, setting, wished.epsilon, kind)
                if wished.epsilon is not None
                else _for_within(query, setting, WITHIN if wished.within is None else wished.within, kind)
            )
        except UsageError as error:
            refusal = refusal or error
    if not found and refusal is not None:
        raise refusal
    if len(found) == 1:
        return found[0]
    if wished.epsilon is None:
        return min(found, key=lambda noisy: alone(noisy, setting))
    return min(found, key=lambda noisy: _width(noisy, setting))


def alone(query: Query, setting: Setting) -> float:
    """The epsilon that the question with its noise comes to by itself, in all its rounds, as an account reckons it."""
    return _epsilon(query, analyse(query, setting.schema), setting)


def calibrated(chosen: Callable[[float], Query], quoted: Callable[[Query], float], epsilon: float) -> Query:
    """The question whose quoted price is ``epsilon`` at most, and hardly less.

    A node reckons by its own accounts, which this side may not know to the last digit: its quotes decide.

    Args:
        chosen: a question of about that price, by our own reckoning.
        quoted: what the sites say it costs; free.
        epsilon: the wished price.

    Raises:
        UsageError: no noise is that cheap.
    """
    aimed, best, paid = epsilon, None, math.inf
    for _ in range(_TRIES):
        query = chosen(aimed)
        paid = quoted(query)
        if not math.isfinite(paid):
            raise UsageError(
                "the accounts of a site pay for no such release: a part of their delta must be set aside for it.",
                hint="ask the owner for a reserve, or group by public categories",
            )
        if paid <= epsilon:
            best = query
            if paid > CLOSE * epsilon:
                break
        aimed *= (1.0 + CLOSE) / 2 * epsilon / paid if paid > 0 else 2.0
    if best is None:
        raise UsageError(
            f"epsilon={epsilon:g} cannot be reached: the sites would charge {paid:.3g} at least.",
            hint=f"epsilon={1.1 * paid:.2g}, or within= for a wished error",
        )
    return best


def _kinds(query: Query, setting: Setting, noise: NoiseKind) -> tuple[Drawn, ...]:
    if noise == "laplace":
        return ("laplace",)
    one_each = all(part.row_l1 == part.per_row for part in parts(query, setting.schema))
    return ("gaussian", "laplace") if noise == "auto" and setting.sites == 1 and one_each else ("gaussian",)


def _given(query: Query, setting: Setting, sigmas: tuple[float, ...], kind: Drawn) -> Query:
    if query.private_keys is None:
        return replace(query, sigmas=sigmas, noise=kind)
    wanted = len(parts(query, setting.schema)) + 1
    if len(sigmas) != wanted:
        raise UsageError(
            f"the question releases {wanted - 1} parts and the people of each key; got {len(sigmas)} sigmas.",
            hint="one sigma for each part, and one more, the last, for the keys",
        )
    return _keyed(replace(query, sigmas=sigmas[:-1], noise=kind), setting, sigmas[-1])


def _for_within(query: Query, setting: Setting, within: float, kind: Drawn) -> Query:
    query = replace(query, noise=kind)
    allowed = functools.partial(
        sigmas_for,
        schema=setting.schema,
        within=within,
        sites=setting.sites,
        colluders=setting.colluders,
        people=setting.people,
    )
    if query.private_keys is not None:
        people = replace(query, aggregates=(People("people"),), private_keys=None, sigmas=())
        (sigma,) = allowed(people)
        query = _keyed(query, setting, sigma)
    return replace(query, sigmas=allowed(query))


def _for_epsilon(query: Query, setting: Setting, epsilon: float, kind: Drawn) -> Query:
    """The question with the least s whose price is at most ``epsilon``, by bisection: more noise never costs more."""
    contribution = analyse(_scaled(replace(query, noise=kind), setting, 1.0), setting.schema)
    weights = [part.per_row for part in contribution.parts] + ([1] if query.private_keys else [])
    low, high = MIN_SIGMA / max(weights), MAX_SIGMA / max(weights)

    def noisy(s: float) -> Query:
        return _scaled(replace(query, noise=kind), setting, s)

    def price(s: float) -> float:
        return _epsilon(noisy(s), contribution, setting)

    least = price(high)
    if least > epsilon:
        raise UsageError(
            f"epsilon={epsilon:g} cannot be reached: at delta {setting.delta:g} even the largest noise comes to "
            f"{least:.3g}.",
            hint=f"epsilon={1.1 * least:.2g}, or within= for a wished error",
        )
    if price(low) <= epsilon:
        return noisy(low)
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if price(middle) <= epsilon else (middle, high)
    return noisy(high)


def _scaled(query: Query, setting: Setting, s: float) -> Query:
    """Noise of s for each unit that one row adds."""
    sigmas = tuple(max(MIN_SIGMA, s * part.per_row) for part in parts(query, setting.schema))
    query = replace(query, sigmas=sigmas)
    return query if query.private_keys is None else _keyed(query, setting, max(MIN_SIGMA, s))


def _keyed(query: Query, setting: Setting, sigma: float) -> Query:
    """Private keys with noise of ``sigma``, and the least threshold that keeps their delta."""
    keys = query.private_keys
    if keys is None:
        return query
    most = usage(query, setting.schema).groups
    kind = ThresholdedLaplaceMechanism if query.noise == "laplace" else ThresholdedGaussianMechanism
    threshold = kind.of(sigma, setting.key_delta, each=1, keys=most).threshold
    return replace(query, private_keys=PrivateKeys(keys.column, sigma, threshold))


def _epsilon(query: Query, contribution: Contribution, setting: Setting) -> float:
    event: PrivacyEvent = query_event(query, contribution, sites=setting.sites, colluders=setting.colluders)
    if setting.rounds > 1:
        event = Repeated(event, setting.rounds)
    # An account splits what slack leaves of its delta among its orders.
    spent = setting.key_delta * setting.rounds if query.private_keys is not None else 0.0
    if spent >= setting.delta:
        return math.inf
    return epsilon_at(event, spent + (setting.delta - spent) / len(setting.orders), setting.orders)


def _width(query: Query, setting: Setting) -> float:
    """How wide the error bars are, over all aggregates alike: the mean of their logarithms."""
    bars = error_bars(query, setting.schema, sites=setting.sites, colluders=setting.colluders, people=setting.people)
    widths = [float(np.max(each)) for each in bars.values()]
    if query.private_keys is not None:
        widths.append(people_bar(query, setting.schema))
    return float(np.mean(np.log(np.maximum(widths, 1e-300))))
