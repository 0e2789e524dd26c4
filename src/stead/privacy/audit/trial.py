"""``Trial``: what is audited, and the ``Verdict`` about it.

An audit of many trials makes many statements, each of which may be wrong by bad luck. The error rate that is asked for
is of the whole audit: it is divided by the number of binomial bounds (Bonferroni), so that an honest product is accused
at most that often, however much is audited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from stead.core.entropy import Entropy
from stead.errors import UsageError
from stead.privacy.audit.claims import claimed
from stead.privacy.audit.distinguish import ATTACKS, BOUNDS, Attack, Results, distinguish, off_lattice
from stead.privacy.events import PrivacyEvent

ERROR_RATE = 1e-4
"""The probability, at most, with which an audit accuses an honest product."""

Draw = Callable[[int, Entropy], tuple[Results, Results]]
"""Results with and without the one person, at least so many runs of each, independent: shape (runs[, numbers])."""


@dataclass(frozen=True)
class Trial:
    """One mechanism, or one way through the product, on two neighbouring tables that are its worst case.

    Attributes:
        name: as people call it.
        event: what is claimed to have been done, as the ledger would be charged.
        draw: does it.
        runs: in each world, in a whole audit.
        deltas: at which the claim is tested.
        step: the declared lattice: what is shown are multiples of it. A power of two; 0 where there is none.
        attacks: how the two worlds are told apart.
        least: runs below which the trial says nothing; a quick audit makes as many.
    """

    name: str
    event: PrivacyEvent
    draw: Draw
    runs: int
    deltas: tuple[float, ...]
    step: float = 1.0
    attacks: tuple[Attack, ...] = ATTACKS
    least: int = BOUNDS


class Verdict(msgspec.Struct, frozen=True):
    """What an audit found about one claim.

    Attributes:
        name: of the trial.
        attack: how the two worlds were told apart.
        delta: at which the claim was tested.
        claimed: epsilon, as priced.
        found: epsilon is at least this, but for the audit's error rate.
        runs: in each world.
        off_lattice: how many of the numbers shown were not on the declared lattice.
        exceeded: whether the claim does not hold.
    """

    name: str
    attack: Attack
    delta: float
    claimed: float
    found: float
    runs: int
    off_lattice: int
    exceeded: bool


def bounds_of(trials: Sequence[Trial]) -> int:
    """How many binomial bounds an audit of these trials rests on."""
    return BOUNDS * sum(len(trial.attacks) * len(trial.deltas) for trial in trials)


def examine(trial: Trial, entropy: Entropy, *, runs: int, miss: float) -> tuple[Verdict, ...]:
    """One trial's verdicts: one for each delta and attack.

    Args:
        trial: what is audited.
        entropy: of the noise.
        runs: in each world.
        miss: the probability with which each binomial bound may be wrong; ``BOUNDS`` of them stand behind a verdict.
    """
    present, absent = trial.draw(runs, entropy)
    # Anything off the lattice is a fault by itself: no probability is needed to say so.
    off = sum(off_lattice(world, trial.step) for world in (present, absent)) if trial.step else 0
    verdicts = []
    for delta in trial.deltas:
        claim = claimed(trial.event, delta)
        for attack in trial.attacks:
            found = distinguish(present, absent, delta, attack=attack, miss=miss)
            exceeded = found > claim or off > 0
            verdicts.append(Verdict(trial.name, attack, delta, claim, found, len(present), off, exceeded))
    return tuple(verdicts)


def audit(
    trials: Sequence[Trial],
    entropy: Entropy,
    *,
    share: float = 1.0,
    error_rate: float = ERROR_RATE,
    told: Callable[[tuple[Verdict, ...]], None] = lambda _: None,
) -> tuple[Verdict, ...]:
    """Audit trials, one after another.

    Args:
        trials: what is audited.
        entropy: of the noise.
        share: of each trial's runs; a small one is quick and sees large faults only.
        error_rate: the probability, at most, with which a product that keeps all its claims is accused.
        told: called with each trial's verdicts as they come.

    Returns:
        All verdicts.

    Raises:
        UsageError: no trials, or a number is out of range.
    """
    if not trials or not 0 < share <= 1 or not 0 < error_rate < 1:
        raise UsageError(
            f"an audit needs trials, a share in (0, 1] and an error rate in (0, 1): {share}, {error_rate}."
        )
    miss = error_rate / bounds_of(trials)
    verdicts: list[Verdict] = []
    for trial in trials:
        found = examine(trial, entropy, runs=max(trial.least, int(trial.runs * share)), miss=miss)
        told(found)
        verdicts += found
    return tuple(verdicts)


def strongest(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """For each trial its most telling verdict: the one nearest to, or furthest above, its claim."""
    best: dict[str, Verdict] = {}
    for each in verdicts:
        other = best.get(each.name)
        if other is None or (each.exceeded, _reached(each)) > (other.exceeded, _reached(other)):
            best[each.name] = each
    return tuple(best.values())


def _reached(verdict: Verdict) -> float:
    return verdict.found / max(verdict.claimed, 1e-9)
