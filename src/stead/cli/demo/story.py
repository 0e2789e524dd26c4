"""The demonstration's story: what a scientist does with three hospitals, and what it comes to.

Every answer, model and proof in it goes through the nodes' HTTPS, gates, ledgers and logs. The only thing that could
not be done in the world is the centralised reference: here the rows happen to be public, so it can be computed, for
comparison alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from stead.adapters import flchain
from stead.adapters.flchain import FEATURES, TARGET, Patients
from stead.adapters.flchain_model import Schedule, make_model, scores_of, train_centrally
from stead.cli.demo.hospitals import APPROVER, DELTA, PROJECT, Hospital, found_hospitals, running
from stead.client import ask, connect, epsilon, fit
from stead.client.answer import Answer
from stead.client.dataset import RemoteDataset
from stead.client.identity import new_key
from stead.client.preview import Preview
from stead.client.question import Question
from stead.client.run import TrainingRun
from stead.client.scoring import area_under_curve
from stead.client.training_plan import FitOptions
from stead.client.verify import LogReport, verify_log_export
from stead.errors import BudgetExceeded, NodeError
from stead.plans.features import default_encoding, encode_rows, width
from stead.plans.training import Optimiser

Say = Callable[[str], None]

EPSILON: Final = 4.0
PRIVATE_ROUNDS: Final = 40
OPEN_ROUNDS: Final = 8
PRIVATE: Final[FitOptions] = {"rate": 0.2, "clip": 0.5, "optimiser": Optimiser("sgd", rate=1.0, momentum=0.9)}
"""How the private model is trained: a fifth of the patients in each round, gradients clipped to 0.5."""
WITHIN: Final = 0.02


class Findings(msgspec.Struct, frozen=True):
    """What the demonstration found; ``--json`` prints it.

    Attributes:
        sites: how many hospitals.
        rows: training rows at each of them (known here because the rows are public).
        auc: on the scientist's held-out rows: ``alone`` (one for each site), ``federated``, ``private``, ``central``.
        epsilon: what each site has charged the project in all, over its population.
        delta: of all of them.
        bytes: frames between the scientist and all sites, over all trainings and joint questions.
        seconds: of the whole story, from the first node's start to the last proof.
        logs_verified: each node's log, and the receipts, with the nodes stopped.
        refused: the error that a question over budget met.
        answers: the answers' columns with their errors.
    """

    sites: int
    rows: tuple[int, ...]
    auc: dict[str, Any]
    epsilon: tuple[float, ...]
    delta: float
    bytes: int
    seconds: float
    logs_verified: bool
    refused: str
    answers: tuple[dict[str, list[Any]], ...]


@dataclass
class Story:
    """What happened, for the table and the report; filled as it happens."""

    rows: dict[str, int] = field(default_factory=dict)
    previews: list[Preview] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    refusal: BudgetExceeded | None = None
    alone: dict[str, TrainingRun] = field(default_factory=dict)
    federated: TrainingRun | None = None
    private: TrainingRun | None = None
    central: float = 0.0
    spent: dict[str, float] = field(default_factory=dict)
    disclosures: dict[str, int] = field(default_factory=dict)
    reports: dict[str, LogReport] = field(default_factory=dict)
    seconds: float = 0.0

    def trainings(self) -> list[TrainingRun]:
        """All federated runs that there were."""
        return [*self.alone.values(), *filter(None, (self.federated, self.private))]

    def findings(self) -> Findings:
        """As the table and ``--json`` have it.

        Raises:
            NodeError: the story has not come to its end.
        """
        if self.federated is None or self.private is None or self.refusal is None:
            raise NodeError("the demonstration did not come to its end.")
        return Findings(
            sites=len(self.rows),
            rows=tuple(self.rows.values()),
            auc={
                "alone": [round(run.score, 4) for run in self.alone.values()],
                "federated": round(self.federated.score, 4),
                "private": round(self.private.score, 4),
                "central": round(self.central, 4),
            },
            epsilon=tuple(round(spent, 4) for spent in self.spent.values()),
            delta=DELTA,
            bytes=sum(run.size_bytes for run in self.trainings()) + sum(answer.size_bytes for answer in self.answers),
            seconds=round(self.seconds, 1),
            logs_verified=set(self.reports) == set(self.rows),
            refused=type(self.refusal).__name__,
            answers=tuple(answer.to_dict() for answer in self.answers),
        )


@dataclass(frozen=True)
class Stage:
    """Where the story plays: the directory, the hospitals, and the rows that are the scientist's own."""

    directory: Path
    hospitals: list[Hospital]
    patients: dict[str, Patients]
    held_out: Patients

    @property
    def scientist(self) -> Path:
        """The scientist's directory."""
        return self.directory / "scientist"


def demo(*, seed: int = 0, say: Say = lambda _: None) -> Findings:
    """Run the demonstration in a temporary directory and leave nothing behind.

    Args:
        seed: of the split and the models' first weights; noise and keys are the system's.
        say: told what happens.
    """
    with tempfile.TemporaryDirectory(prefix="stead-demo-") as directory:
        began = time.monotonic()
        stage = set_up(Path(directory), seed=seed, say=say)
        story = Story(rows={name: len(rows) for name, rows in stage.patients.items()})
        with running(stage.hospitals):
            play(stage, story, seed=seed, say=say)
            exports = fetch_exports(stage)
        verify(stage, story, exports, say=say)
        story.seconds = time.monotonic() - began
        return story.findings()


def set_up(directory: Path, *, seed: int, say: Say) -> Stage:
    """Split the patients, and make each hospital's node as its owner would."""
    patients, held_out = flchain.split(flchain.load(), seed=seed)
    key = new_key(directory / "scientist")
    hospitals = found_hospitals(directory, patients, key.public.raw)
    counts = ", ".join(f"{hospital.name} {len(patients[hospital.name]):,}" for hospital in hospitals)
    say(f"three hospitals, each a node with its own key, ledger and log: {counts} patients")
    return Stage(directory, hospitals, patients, held_out)


def play(stage: Stage, story: Story, *, seed: int, say: Say) -> None:
    """All that the scientist does while the hospitals are up."""
    sites = connect_all(stage)
    ask_questions(sites, story, say=say)
    train(stage, sites, story, seed=seed, say=say)
    ask_too_much(sites[0], story, say=say)
    for site in sites:
        accounts = site.source.site.refresh()[site.name].accounts
        story.spent[site.source.site.name] = max(account.epsilon_spent for account in accounts)
        story.disclosures[site.source.site.name] = max(account.disclosures for account in accounts)


def connect_all(stage: Stage) -> list[RemoteDataset]:
    """The dataset at each hospital, over HTTPS, its key pinned to what its owner handed out."""
    found = []
    for hospital in stage.hospitals:
        node = connect(hospital.url, project=PROJECT, pin=hospital.key, home=stage.scientist)
        found.append(node["flchain"])
    return found


def ask_questions(sites: Sequence[RemoteDataset], story: Story, *, say: Say) -> None:
    """Look at mock rows, preview and ask a grouped count and mean: at one hospital, and over all three."""
    north = sites[0]
    say(f"\n{north!r}\n\n{north.mock.head(3)!r}")
    question = older_by_sex(north)
    preview = question.preview(within=WITHIN)
    say(f"\n{preview!r}")
    answer = question.answer(within=WITHIN, why="Table 1: patients above 65")
    joint = ask(question, sites, within=WITHIN, why="Table 1: patients above 65, all hospitals")
    if not isinstance(answer, Answer) or not isinstance(joint, Answer):
        raise NodeError("a question waits for a person, which the demonstration's policy does not ask for.")
    say(f"\n{answer!r}\n\n{joint!r}")
    story.previews.append(preview)
    story.answers += [answer, joint]


def older_by_sex(dataset: RemoteDataset) -> Question:
    """Of the patients above 65, by sex: how many there are, and their mean free light chains."""
    return dataset.filter(dataset.age > 65).group_by("sex").agg(patients=dataset.count(), kappa=dataset.kappa.mean())


def ask_too_much(dataset: RemoteDataset, story: Story, *, say: Say) -> None:
    """A question that the budget left cannot pay for, and the whole error."""
    try:
        older_by_sex(dataset).answer(within=0.002, why="the same, to the last patient")
    except BudgetExceeded as error:
        story.refusal = error
        say(f"\n{type(error).__name__}: {error}")


def train(stage: Stage, sites: list[RemoteDataset], story: Story, *, seed: int, say: Say) -> None:
    """The four trainings: each hospital alone, federated, federated with privacy, and the reference."""
    encoding = default_encoding(sites[0].schema, TARGET, FEATURES)
    model = make_model(width(encoding, sites[0].schema), seed=seed)
    score = flchain.arrays(stage.held_out)
    for site in sites:
        name = site.source.site.name
        run = _open_training(model, [site], stage, score=score, why=f"what {name} can learn alone")
        story.alone[name] = run
        say(f"{name} alone, no differential privacy (disclosed, approved by {APPROVER}): AUC {run.score:.3f}")
    run = _open_training(model, sites, stage, score=score, why="the hospitals' shared model, not private")
    story.federated = run
    say(f"federated, no differential privacy (disclosed, approved by {APPROVER}): AUC {run.score:.3f}")
    options: FitOptions = {**PRIVATE, "features": FEATURES, "score": score, "silent": True}
    privacy = epsilon(EPSILON, delta=DELTA)
    why = "the hospitals' shared model"
    run = fit(model, sites, target=TARGET, rounds=PRIVATE_ROUNDS, privacy=privacy, why=why, **options)
    story.private = run
    say(f"federated, secure aggregation, epsilon {EPSILON:g} for each patient: AUC {run.score:.3f}")
    story.central = central_auc(stage.patients, stage.held_out, seed=seed)
    say(f"centralised, all rows in one place (for comparison only): AUC {story.central:.3f}")


def central_auc(patients: dict[str, Patients], held_out: Patients, *, seed: int) -> float:
    """The reference: the same model on the pooled rows, which only the public origin of these rows allows."""
    schema = flchain.card("north").schema
    encoding = default_encoding(schema, TARGET, FEATURES)
    pooled = Patients(
        {name: [value for rows in patients.values() for value in rows.columns[name]] for name in held_out.columns}
    )
    x, y = encode_rows(encoding, schema, flchain.arrays(pooled))
    test_x, test_y = encode_rows(encoding, schema, flchain.arrays(held_out))
    model = make_model(width(encoding, schema), seed=seed)
    train_centrally(model, x, y.astype(np.int64), Schedule(epochs=OPEN_ROUNDS, batch=32, rate=0.01, seed=seed))
    return area_under_curve(scores_of(model, test_x), test_y)


def _open_training(
    model: Any, sites: list[RemoteDataset], stage: Stage, *, score: dict[str, Any], why: str
) -> TrainingRun:
    """A training without privacy: asked, approved by each owner, then run."""
    run = fit(
        model,
        sites,
        target=TARGET,
        features=FEATURES,
        rounds=OPEN_ROUNDS,
        privacy=None,
        why=why,
        score=score,
        silent=True,
    )
    asked = {site.source.site.name for site in sites}
    for hospital in stage.hospitals:
        if hospital.name in asked:
            hospital.approve_all()
    return run.wait(60.0, pause_s=0.2)


def fetch_exports(stage: Stage) -> dict[str, bytes]:
    """Each node's public log, as any outsider can fetch it."""
    from stead.net.https import PinnedConnection

    exports = {}
    for hospital in stage.hospitals:
        with PinnedConnection(hospital.url, hospital.key) as connection:
            exports[hospital.name] = connection.get("/v1/log/export")
    return exports


def verify(stage: Stage, story: Story, exports: dict[str, bytes], *, say: Say) -> None:
    """With the nodes stopped: each log against its node's key, with every receipt that the scientist holds of it.

    Raises:
        BadProof: anything does not hold.
    """
    receipts = [receipt for run in story.trainings() for receipt in run.receipts]
    receipts += [receipt for answer in story.answers for receipt in answer.receipts]
    for hospital in stage.hospitals:
        own = [receipt.raw for receipt in receipts if receipt.node == hospital.name]
        report = verify_log_export(exports[hospital.name], hospital.key, receipts=own)
        story.reports[hospital.name] = report
        say(f"{hospital.name} is stopped; its log of {report.size} entries verifies, {report.receipts} receipts in it")
