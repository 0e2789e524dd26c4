"""``stead privacy``: is what is promised kept, and what does it mean?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from stead.cli.owner import node_option, opened
from stead.cli.style import emit_json, emit_table, json_option, say
from stead.errors import UsageError

if TYPE_CHECKING:
    from stead.core.entropy import Entropy
    from stead.core.messages import AccountView
    from stead.node.assembly import Node
    from stead.privacy.audit.trial import Trial, Verdict

QUICK: Final = 0.2
SEED: Final = 20_261_129
FAILED: Final = 1


@click.group(
    epilog="""\b
Examples:
  stead privacy explain heart          what epsilon, delta and the unit mean for a dataset
  stead privacy audit --quick          attack this installation; ends with 1 if a promise is broken
"""
)
def command() -> None:
    """Test what is promised about people, and say what it means."""


@command.command(
    epilog="""\b
Examples:
  stead privacy audit --quick                         about a minute; large faults only
  stead privacy audit --seed-free --json              fresh randomness, for a report
  stead privacy audit --mechanism gaussian            whatever has gaussian in its name
"""
)
@click.option("--quick", is_flag=True, help="A fifth of the runs: sees large faults only.")
@click.option("--mechanism", "names", multiple=True, help="Audit only what has this in its name; repeatable.")
@click.option(
    "--seed-free", is_flag=True, help="The system's randomness; by default a fixed seed, so that a verdict repeats."
)
@json_option
def audit(names: tuple[str, ...], quick: bool, seed_free: bool, as_json: bool) -> int:
    """Attack every mechanism and whole questions, from outside: can neighbouring tables be told apart too well?

    Each mechanism, whole questions and trainings through real nodes in this process, and an adaptive analyst against
    a real ledger run on two tables that differ by one person. What they show proves a lower bound on epsilon; a bound
    above the claim is a broken promise, and the command ends with 1. An honest product is accused in at most one of
    10,000 seed-free audits. No data of yours is touched.
    """
    from stead.core.entropy import SeededEntropy, SystemEntropy
    from stead.privacy.audit import trial

    entropy: Entropy = SystemEntropy() if seed_free else SeededEntropy(SEED)
    with trials(None if seed_free else SEED) as every:
        chosen = _named(every, names)
        verdicts = trial.audit(chosen, entropy, share=QUICK if quick else 1.0, told=_tell)
    broken = any(each.exceeded for each in verdicts)
    if as_json:
        bounds = trial.bounds_of(chosen)
        seeded = {"error_rate": trial.ERROR_RATE, "bounds": bounds, "seeded": not seed_free, "quick": quick}
        emit_json({**seeded, "broken": broken, "verdicts": verdicts})
    else:
        header = ("what", "at delta", "claims epsilon", "has at least", "runs", "told apart by", "verdict")
        emit_table(header, [_row(each) for each in trial.strongest(verdicts)])
        say(_summary(chosen, broken=broken))
    return FAILED if broken else 0


@command.command(
    epilog="""\b
Examples:
  stead privacy explain heart
  stead privacy explain heart --json
"""
)
@click.argument("name", metavar="DATASET")
@node_option
@json_option
def explain(name: str, node: Path, as_json: bool) -> None:
    """Say in plain words what epsilon, delta and the unit mean for DATASET, what is left, and what is not protected.

    Everything is computed from the public card and the accounts; no row is read.
    """
    from stead.plans import privacy_words

    with opened(node) as home:
        card = home.registry.card(name)
        accounts = _accounts(home, card.schema.population)
        delta = home.books.policies.current().rules.budgets.population.delta
    found = privacy_words.explain(card, accounts, delta=accounts[0].delta if accounts else delta)
    if as_json:
        emit_json(found)
        return
    click.echo(str(found))


@contextmanager
def trials(seed: int | None) -> Iterator[tuple[Trial, ...]]:
    """Everything that is audited, and the nodes that it runs on.

    Args:
        seed: of the nodes' noise; ``None`` takes the system's randomness.
    """
    from stead.cli.privacy.differencing import Populations, differencing_trial
    from stead.cli.privacy.neighbours import Neighbours
    from stead.cli.privacy.questions import joint_trials, question_trials
    from stead.cli.privacy.trainings import training_trial
    from stead.privacy.audit.mechanisms import mechanisms

    with Neighbours(seed) as neighbours, Populations(seed) as populations:
        yield (
            *mechanisms(),
            *question_trials(neighbours),
            *joint_trials(neighbours),
            training_trial(neighbours),
            differencing_trial(populations),
        )


def _named(every: Sequence[Trial], names: Sequence[str]) -> tuple[Trial, ...]:
    for name in names:
        if not any(name.lower() in trial.name.lower() for trial in every):
            known = ", ".join(trial.name for trial in every)
            raise UsageError(f"nothing that is audited has {name[:80]!r} in its name.", hint=f"there are: {known}")
    return tuple(trial for trial in every if not names or any(name.lower() in trial.name.lower() for name in names))


def _tell(verdicts: tuple[Verdict, ...]) -> None:
    first = verdicts[0]
    say(f"{first.name}: {first.runs:,} runs {'BROKEN' if any(each.exceeded for each in verdicts) else 'ok'}")


def _row(verdict: Verdict) -> tuple[str, ...]:
    word = "holds"
    if verdict.exceeded:
        word = f"{verdict.off_lattice} off the lattice" if verdict.off_lattice else "BROKEN"
    return (
        verdict.name,
        f"{verdict.delta:.2g}",
        f"{verdict.claimed:.3f}",
        f"{verdict.found:.3f}",
        f"{verdict.runs:,}",
        verdict.attack,
        word,
    )


def _summary(chosen: Sequence[Trial], *, broken: bool) -> str:
    from stead.privacy.audit.trial import ERROR_RATE, bounds_of

    rate = f"{bounds_of(chosen)} bounds, together wrong with probability {ERROR_RATE:g} at most"
    if broken:
        return f"a promise is broken ({rate}): stop answering, and report it (SECURITY.md)"
    return f"no promise was seen to be broken ({rate}); that none can be is what docs/theory proves"


def _accounts(home: Node, population: str) -> tuple[AccountView, ...]:
    """The population's account, as it is or as it would be made, then its projects' and scientists'."""
    from stead.core.messages import AccountView

    mine = f"population/{population}"
    found = {each.account: each for each in home.books.accounts.all()}
    usual = home.books.policies.current().rules.budgets.population
    fresh = AccountView(account=mine, epsilon_limit=usual.epsilon, epsilon_spent=0.0, delta=usual.delta, disclosures=0)
    others = tuple(each for name, each in found.items() if name.endswith(f"@{population}") and name != mine)
    return (found.get(mine, fresh), *others)
