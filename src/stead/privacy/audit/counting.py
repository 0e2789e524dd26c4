"""What counts of an event in two worlds prove about epsilon: exact binomial bounds.

=========== ==============================================================================
symbol      meaning
=========== ==============================================================================
E           an event, fixed before the runs that it is counted in
p, q        its probability with and without the one person
k, n        how often it happened, in how many independent runs
miss        the probability with which one bound may be wrong
=========== ==============================================================================

(epsilon, delta) promises ``p <= e^epsilon q + delta``. A lower bound on p and an upper bound on q, each right but for
``miss``, prove ``epsilon >= log((p - delta) / q)`` but for ``2 miss``.

References: Clopper, Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial" (1934);
    Jagielski, Ullman, Oprea, "Auditing Differentially Private Machine Learning" (2020), for epsilon from counts;
    Press et al., "Numerical Recipes", section 6.4 (incomplete beta function by Lentz's continued fraction).
"""

from __future__ import annotations

import math

from stead.errors import UsageError

_TINY = 1e-300
_CONVERGED = 1e-15
_MOST_TERMS = 100_000
_HALVINGS = 200
# The continued fraction and lgamma are good to about 1e-9 at a million runs: bounds give that much away.
_SAFETY = 1e-8


def epsilon_at_least(likely: int, unlikely: int, runs: int, *, delta: float, miss: float) -> float:
    """The epsilon that two counts of one event prove at ``delta``.

    Args:
        likely: how often the event happened in the world where it is likelier.
        unlikely: how often it happened in the other.
        runs: independent runs in each world.
        delta: of the promise that is tested, in [0, 1).
        miss: the probability with which each of the two binomial bounds may be wrong.

    Returns:
        Nats, not negative: an honest mechanism of a smaller epsilon gives such counts with probability ``2 miss``.
    """
    most = upper_bound(unlikely, runs, miss)
    least = lower_bound(likely, runs, miss)
    return max(0.0, math.log((least - delta) / most)) if least > delta else 0.0


def lower_bound(hits: int, runs: int, miss: float) -> float:
    """The Clopper-Pearson lower bound on a probability: above the truth with probability at most ``miss``.

    Raises:
        UsageError: counts or ``miss`` make no sense.
    """
    _require(hits, runs, miss)
    if hits == 0:
        return 0.0
    # The least p that has P[X >= hits] above miss; P[X >= k] = I_p(k, n - k + 1) rises with p.
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if incomplete_beta(hits, runs - hits + 1, middle) <= miss else (low, middle)
    return low * (1 - _SAFETY)


def upper_bound(hits: int, runs: int, miss: float) -> float:
    """The Clopper-Pearson upper bound on a probability: below the truth with probability at most ``miss``."""
    _require(hits, runs, miss)
    if hits == runs:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        # P[X <= k] = I_(1-p)(n - k, k + 1) falls with p.
        low, high = (middle, high) if incomplete_beta(runs - hits, hits + 1, 1 - middle) > miss else (low, middle)
    return min(1.0, high * (1 + _SAFETY))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for positive a and b and x in [0, 1]."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    # The fraction converges fast on this side of the mean; the other side follows by symmetry.
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Lentz's evaluation of the continued fraction for the incomplete beta function."""
    c, d = 1.0, 1.0 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            value *= d * c
        if abs(d * c - 1) < _CONVERGED:
            break
    return value


def _away_from_zero(number: float) -> float:
    return number if abs(number) > _TINY else _TINY


def _require(hits: int, runs: int, miss: float) -> None:
    if not 0 <= hits <= runs or runs < 1 or not 0 < miss < 1:
        raise UsageError(f"a bound needs 0 <= hits <= runs and a miss in (0, 1), not {hits} of {runs} at {miss}.")
