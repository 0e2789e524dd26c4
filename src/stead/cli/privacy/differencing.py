"""The differencing attack: an analyst who chooses each question after the last answer, until the ledger says no.

The analyst knows everything but one thing: whether the one person is in the table. Each question is a count that holds
that person or one that does not; how much noise the next one has depends on the belief so far, so that budget is spent
where it decides most. What the answers say is added up, exactly, into a log-likelihood ratio, and when the budget
refuses even the noisiest question the analyst guesses.

Every repetition is a fresh population with a fresh account on one real node. The analyst's belief is then audited like
any result: whatever questions were asked, the account promised (epsilon, delta) over all of them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np

from stead.cli.privacy.neighbours import released, rows_of, schema
from stead.client.dataset import RemoteDataset
from stead.core.entropy import Entropy
from stead.core.schema import DatasetCard
from stead.errors import BudgetExceeded
from stead.node.services.policy import Budget, Budgets, Joining, PolicyRules
from stead.privacy.audit.distinguish import Results
from stead.privacy.audit.trial import Trial
from stead.privacy.events import DiscreteLaplace
from stead.testing import OPEN_RULES, LocalNetwork, local_network

NODE: Final = "north"
EPSILON: Final = 0.5
DELTA: Final = 1e-3
RUNS: Final = 150
LEAST: Final = 50
"""An analyst who errs once in each world still exceeds the claim with so many runs, at a whole audit's error rate."""

MOST_QUESTIONS: Final = 30
"""An attack that no budget ends is stopped here; an honest ledger refuses long before."""

# From the clearest to the noisiest question, in multiples of what the person can move the count by.
_NOISES: Final = (1.0, 4.0, 16.0, 32.0, 64.0)
_SURE: Final = 5.0
"""A belief, in nats, from which on the analyst saves budget: what is still to be learnt is little."""


@dataclass(frozen=True)
class Attack:
    """What one run of the attack came to.

    Attributes:
        belief: log-likelihood ratio of "is there" to "is not"; the guess is its sign.
        questions: how many were answered before the budget refused.
    """

    belief: float
    questions: int


def rules(epsilon: float, delta: float) -> PolicyRules:
    """A policy that allows every question, within one budget."""
    budget, ample = Budget(epsilon=epsilon, delta=delta), Budget(epsilon=2.0**20, delta=delta)
    joining = Joining(least_sites=2, least_colluders=0)
    return PolicyRules(rules=OPEN_RULES.rules, budgets=Budgets(budget, ample, ample), joining=joining)


def attack(rows: RemoteDataset) -> Attack:
    """Ask, adaptively, until the budget refuses."""
    belief, questions, level = 0.0, 0, 0
    while level < len(_NOISES) and questions < MOST_QUESTIONS:
        # Counts with the person in turn with counts that every other patient is in too: their difference is one person.
        whole = rows.frame if questions % 2 == 0 else rows.filter(rows.sex == "F")
        others = 3 if questions % 2 == 0 else 1
        moved = rows.schema.rows_per_person
        noise = moved * _NOISES[max(level, 1 if abs(belief) > _SURE else 0)]
        try:
            shown = released(rows.source.site, whole.agg(n=whole.count()).plan([noise]))
        except BudgetExceeded:
            level += 1
            continue
        # log of exp(-(x - others - moved)^2 / 2 s^2) over exp(-(x - others)^2 / 2 s^2)
        belief += moved * (int(shown.vector[0]) - others - moved / 2) / noise**2
        questions += 1
    return Attack(belief, questions)


@final
class Populations:
    """A node on which every repetition is a population of its own.

    Args:
        seed: makes the node's noise reproducible; ``None`` takes the system's randomness.
        epsilon: of each population's account.
        delta: of each population's account.
    """

    def __init__(self, seed: int | None, *, epsilon: float = EPSILON, delta: float = DELTA) -> None:
        self.network: LocalNetwork = local_network([NODE], rules=rules(epsilon, delta), seed=seed)
        self._made = 0

    def attacked(self, *, present: bool) -> Attack:
        """One run of the attack on a new population, in which the person is or is not."""
        self._made += 1
        name = f"ward-{self._made}"
        rows = dict(rows_of(present=present))
        rows["patient"] = [f"{who}{self._made}" for who in rows["patient"]]
        self.network.add(DatasetCard(name, schema(name)), rows, at=NODE)
        site = self.network[NODE].datasets
        self.network[NODE].site.refresh()
        return attack(site[name])

    def close(self) -> None:
        """Stop the node and remove what it kept."""
        self.network.close()

    def __enter__(self) -> Populations:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def differencing_trial(populations: Populations, *, epsilon: float = EPSILON, delta: float = DELTA) -> Trial:
    """The analyst's belief at the end, with and without the person.

    The claim is the account's: one (epsilon, delta), whatever was asked. Accounts have no event of their own; a Laplace
    integer of that epsilon makes the same claim at every delta from the account's on.
    """

    def draw(runs: int, _: Entropy) -> tuple[Results, Results]:
        worlds = [
            np.array([populations.attacked(present=present).belief for _ in range(runs)]) for present in (True, False)
        ]
        return worlds[0], worlds[1]

    claim = DiscreteLaplace(1 / epsilon, 1)
    name = "differencing by an adaptive analyst"
    # A belief is the analyst's own number, on no lattice, and its sign is the guess.
    return Trial(name, claim, draw, RUNS, (delta,), step=0.0, attacks=("sign",), least=LEAST)
