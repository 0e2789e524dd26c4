"""What epsilon and delta let an attacker conclude about one person: the formulas behind every such sentence.

=========== ==============================================================================
symbol      meaning
=========== ==============================================================================
epsilon     nats
delta       the probability with which the promise may fail altogether
prior       how sure the attacker was beforehand, in [0, 1]
FP, TP      how often the attacker raises an alarm without, and with, the person
=========== ==============================================================================

The attacker may know everything but the one person, and may compute without limit.

References: Wasserman, Zhou, "A Statistical Framework for Differential Privacy" (2010), theorem 2.4; Kairouz, Oh,
    Viswanath, "The Composition Theorem for Differential Privacy" (2015), theorem 2.1 and section 3; Dwork, Roth, "The
    Algorithmic Foundations of Differential Privacy" (2014), theorem 2.2; NIST SP 800-226, "Guidelines for Evaluating
    Differential Privacy Guarantees" (2025). ``docs/theory/what-epsilon-means.md``.
"""

from __future__ import annotations

import math

from stead.errors import UsageError

_LARGEST_EXPONENT = 700.0


def posterior(prior: float, epsilon: float) -> float:
    """How sure an attacker can be afterwards, at most: the odds grow at most ``e^epsilon``-fold, but for delta.

    Raises:
        UsageError: a number is out of its range; as all of these functions do.
    """
    _require(epsilon, prior=prior)
    if prior in (0.0, 1.0):
        return prior
    return 1 / (1 + (1 - prior) / prior * math.exp(-epsilon))


def detected(false_alarms: float, epsilon: float, delta: float = 0.0) -> float:
    """How often any test that raises an alarm in ``false_alarms`` of the absent finds who is present, at most.

    ``TP <= min(e^epsilon FP + delta, 1 - e^-epsilon (1 - delta - FP), 1)``.
    """
    _require(epsilon, false_alarms=false_alarms, delta=delta)
    above = math.exp(min(epsilon, _LARGEST_EXPONENT)) * false_alarms + delta
    below = 1 - math.exp(-epsilon) * (1 - delta - false_alarms)
    return min(1.0, above, below)


def guessed(epsilon: float, delta: float = 0.0) -> float:
    """How often the best guess between present and absent is right, at most, where both are equally likely.

    ``1 - (1 - delta) / (1 + e^epsilon)``, from ``FP + FN >= 2 (1 - delta) / (1 + e^epsilon)``.
    """
    _require(epsilon, delta=delta)
    return 1 - (1 - delta) * math.exp(-epsilon) / (1 + math.exp(-epsilon))


def together(size: int, epsilon: float, delta: float = 0.0) -> tuple[float, float]:
    """What a group of ``size`` people is promised: ``(k epsilon, delta (e^(k epsilon) - 1) / (e^epsilon - 1))``.

    Returns:
        Epsilon and delta; a delta of 1 or more, given as 1, promises nothing.
    """
    _require(epsilon, delta=delta)
    if size < 1:
        raise UsageError(f"a group has at least one person, not {size}.")
    if size * epsilon > _LARGEST_EXPONENT:
        return size * epsilon, 1.0 if delta else 0.0
    steps = math.fsum(math.exp(epsilon * step) for step in range(size))
    return size * epsilon, min(1.0, delta * steps)


def exposed(delta: float, people: int) -> float:
    """How many people a release could expose on average while keeping (0, delta): each with probability delta."""
    _require(0.0, delta=delta)
    return delta * people


def _require(epsilon: float, **probabilities: float) -> None:
    if not 0 <= epsilon < math.inf:
        raise UsageError(f"epsilon is a number of nats from 0 on, not {epsilon}.")
    for name, value in probabilities.items():
        if not 0 <= value <= 1:
            raise UsageError(f"{name.replace('_', ' ')} is a probability, not {value}.")
