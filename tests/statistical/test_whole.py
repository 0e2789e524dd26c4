"""Whole questions, a training and the ledger, attacked through real nodes; and the same with one part broken.

The honest ones are audited at the product's error rate (once in 10,000 seeds), with fixed seeds. What is broken is one
function of the real path; everything else runs as it is.
"""

from dataclasses import replace as replace_fields

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats

from stead.cli.privacy import differencing
from stead.cli.privacy.differencing import DELTA, EPSILON, MOST_QUESTIONS, Populations, differencing_trial
from stead.cli.privacy.neighbours import Neighbours
from stead.cli.privacy.questions import JOINT_QUESTIONS, KEY_LEAST, QUESTIONS, one_site, two_sites
from stead.cli.privacy.trainings import training_trial
from stead.core.entropy import SeededEntropy
from stead.core.schema import Bounds
from stead.learn import pipeline
from stead.node.services import ledger, table_load, table_sql, tables, value_sql
from stead.plans import analysis, exact, joining
from stead.plans.query import Mean, Moments, Sum
from stead.privacy.audit.trial import ERROR_RATE, audit
from stead.privacy.events import Composed, DiscreteGaussian
from stead.privacy.keys import ThresholdedGaussianMechanism, ThresholdedLaplaceMechanism
from stead.privacy.meaning import guessed
from stead.privacy.mechanisms import GaussianMechanism, LaplaceMechanism
from stead.privacy.reserve import Price

BY_NAME = {asked.name: asked for asked in QUESTIONS}


@pytest.fixture(scope="module")
def neighbours():
    with Neighbours(11) as made:
        yield made


def run(trial, runs):
    return audit([trial], SeededEntropy(9), share=runs / trial.runs)


def caught(trial, runs):
    return any(verdict.exceeded for verdict in run(trial, runs))


def runs_of(asked, runs):
    """Questions that take long are asked less often."""
    return KEY_LEAST if asked.keys is not None else min(runs, asked.times * 20)


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: asked.name)
def test_no_attack_beats_the_claim_of_a_question(neighbours, asked):
    verdicts = run(one_site(neighbours, asked), runs_of(asked, 640))
    assert not any(verdict.exceeded for verdict in verdicts), verdicts


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: asked.name)
def test_a_question_without_noise_is_caught(neighbours, monkeypatch, asked):
    """So the one person does count in it: an audit of a question that is the same without them would prove nothing."""
    for name in ("GaussianMechanism", "LaplaceMechanism"):
        monkeypatch.setattr(exact, name, lambda _: Silent())
    for name in ("ThresholdedGaussianMechanism", "ThresholdedLaplaceMechanism"):
        monkeypatch.setattr(exact, name, lambda _sigma, _threshold: ShowsAll())
    assert caught(one_site(neighbours, asked), runs_of(asked, 128))


@pytest.mark.parametrize("asked", JOINT_QUESTIONS, ids=lambda asked: asked.name)
def test_no_attack_beats_the_claim_of_a_joint_question(neighbours, asked):
    verdicts = run(two_sites(neighbours, asked), runs_of(asked, 640))
    assert not any(verdict.exceeded for verdict in verdicts), verdicts


def test_a_joint_question_without_noise_is_caught(neighbours, monkeypatch):
    monkeypatch.setattr(pipeline.NoiseShare, "add", lambda _self, values, _entropy: values)
    assert caught(two_sites(neighbours, JOINT_QUESTIONS[0]), 128)


def test_half_the_noise_of_an_answer_is_caught(neighbours, monkeypatch):
    monkeypatch.setattr(exact, "GaussianMechanism", lambda sigma: GaussianMechanism(sigma / 2))
    assert caught(one_site(neighbours, BY_NAME["mean"]), 5120)


def test_half_the_laplace_noise_of_an_answer_is_caught(neighbours, monkeypatch):
    monkeypatch.setattr(exact, "LaplaceMechanism", lambda scale: LaplaceMechanism(scale / 3))
    assert caught(one_site(neighbours, BY_NAME["count with Laplace noise"]), 2560)


def test_rows_of_a_person_that_are_not_bounded_are_caught(monkeypatch):
    """All five of the person's rows are kept when the file is loaded; the price knows of two."""
    keep = table_load._keep
    monkeypatch.setattr(table_load, "_keep", lambda there, schema: keep(there, replace(schema, rows_per_person=15)))
    with Neighbours(15) as unbounded:
        assert caught(one_site(unbounded, BY_NAME["count"]), 2560)


@pytest.mark.parametrize("name", ["sum", "mean", "correlation"])
def test_a_missing_clip_of_the_loaded_values_is_caught(monkeypatch, name):
    """What is stored is as large as the file says, and no step clips it."""
    keep, wide = table_load._keep, Bounds(-1e300, 1e300)

    def unclipped(there, schema):
        columns = tuple(c if c.bounds is None else replace(c, bounds=wide) for c in schema.columns)
        keep(there, replace(schema, columns=columns))

    monkeypatch.setattr(table_load, "_keep", unclipped)
    asked = replace_fields(BY_NAME[name], aggregate=UNCLIPPED[name])
    with Neighbours(16) as neighbours:
        assert caught(one_site(neighbours, asked), runs_of(asked, 640))


UNCLIPPED = {
    "sum": lambda name: Sum(name, "age"),
    "mean": lambda name: Mean(name, "age"),
    "correlation": lambda name: Moments(name, ("age", "rate"), "correlation"),
}


@pytest.mark.parametrize("name", ["sum of a clipped column", "sum of a quotient"])
def test_a_missing_clip_of_a_step_is_caught(neighbours, monkeypatch, name):
    for module in (table_sql, value_sql):
        monkeypatch.setattr(module, "clipped", lambda cell, _bounds: (cell, []))
    assert caught(one_site(neighbours, BY_NAME[name]), 640)


def test_products_of_moments_that_are_not_scaled_are_caught(neighbours, monkeypatch):
    monkeypatch.setattr(table_sql, "LATTICE_BITS", 16)
    assert caught(one_site(neighbours, BY_NAME["correlation"]), 320)


@pytest.mark.parametrize(
    ("bound", "name"),
    [
        ("rows", "count of few rows"),
        ("groups", "count by bounded groups"),
        ("rows_per_group", "count by bounded groups"),
        ("groups", "people by bounded groups"),
        ("rows_per_group", "histogram by bounded groups"),
        ("groups", "count by bounded groups of a join"),
    ],
)
def test_a_bound_on_one_person_that_is_ignored_is_caught(neighbours, monkeypatch, bound, name):
    """The table engine, whichever way it takes, does not see one of the bounds that the price counts on."""
    honest = tables.run

    def unbounded(cursor, query, sources):
        return honest(cursor, replace(query, bounding=replace(query.bounding, **{bound: None})), sources)

    monkeypatch.setattr(tables, "run", unbounded)
    assert caught(one_site(neighbours, BY_NAME[name]), 1280)


def test_a_join_whose_rows_are_not_multiplied_is_caught(neighbours, monkeypatch):
    """Two rows of a person meet twelve; the price knows of two."""
    honest = joining._join

    def single(dataset, left, join, right):
        return replace(honest(dataset, left, join, right), rows_per_person=left.rows_per_person)

    monkeypatch.setattr(joining, "_join", single)
    monkeypatch.setattr(table_sql, "usage", lambda query, schema: replace(analysis.usage(query, schema), rows=24))
    assert caught(one_site(neighbours, BY_NAME["count of a join"]), 640)


@pytest.mark.parametrize("name", ["private keys", "private keys with Laplace noise"])
def test_a_threshold_that_is_far_too_low_is_caught(neighbours, monkeypatch, name):
    """The key that only one person has is always shown; the price knows of one time in thousands."""
    for kind in (ThresholdedGaussianMechanism, ThresholdedLaplaceMechanism):
        monkeypatch.setattr(exact, kind.__name__, lambda sigma, _, kind=kind: kind(sigma, -1000))
    assert caught(one_site(neighbours, BY_NAME[name]), KEY_LEAST)


class Silent:
    """No noise."""

    def add(self, values, _):
        return values


class ShowsAll:
    """Every key that occurs, with its number of people."""

    def release(self, counts, _):
        return counts > 0, counts


class OneDraw:
    """The same noise for every number of a part."""

    def __init__(self, sigma):
        self.honest = GaussianMechanism(sigma)

    def add(self, values, entropy):
        return values + self.honest.add(np.zeros(1, np.int64), entropy)[0]


def test_noise_reused_in_every_group_is_caught(neighbours, monkeypatch):
    monkeypatch.setattr(exact, "GaussianMechanism", OneDraw)
    assert caught(one_site(neighbours, BY_NAME["count by group"]), 640)


def test_a_training_keeps_its_claim_and_loses_it_without_the_clip(neighbours, monkeypatch):
    assert not caught(training_trial(neighbours), 300)

    def unclipped(self, integers, gradients):
        integers[:] = np.trunc(gradients / self.step)

    monkeypatch.setattr(pipeline.Lattice, "_fill", unclipped)
    assert caught(training_trial(neighbours), 600)


def test_a_training_without_noise_is_caught(neighbours, monkeypatch):
    monkeypatch.setattr(pipeline.NoiseShare, "add", lambda _self, values, _entropy: values)
    assert caught(training_trial(neighbours), 600)


def test_an_adaptive_analyst_learns_no_more_than_the_account_allows():
    with Populations(12) as populations:
        runs = [populations.attacked(present=number % 2 == 0) for number in range(40)]
    assert all(0 < each.questions < MOST_QUESTIONS for each in runs)  # the budget ended it, nothing else
    right = sum((each.belief > 0) == (number % 2 == 0) for number, each in enumerate(runs))
    # What follows could be seen of an analyst who guesses as well as the promise allows, once in 10,000 repetitions.
    assert stats.binom.sf(right - 1, len(runs), guessed(EPSILON, DELTA)) > ERROR_RATE


def test_a_ledger_that_charges_too_little_is_caught(monkeypatch):
    """Every question is priced as if its noise were twenty times as wide."""
    honest = ledger._price

    def cheap(event, orders):
        wide = tuple(DiscreteGaussian(20 * each.sigma, each.sensitivity) for each in event.events)
        return honest(Composed(wide), orders)

    monkeypatch.setattr(ledger, "_price", cheap)
    monkeypatch.setattr(differencing, "MOST_QUESTIONS", 20)  # enough to know, and less to wait for
    with Populations(13) as populations:
        assert caught(replace_fields(differencing_trial(populations), least=40), 1)


def test_a_ledger_that_forgets_what_was_spent_never_refuses(monkeypatch):
    """An honest one ends every attack before ``MOST_QUESTIONS``: see above."""
    honest = ledger.spent_of
    monkeypatch.setattr(ledger, "spent_of", lambda row: Price((0,) * len(honest(row).amounts), 0))
    with Populations(14) as populations:
        assert populations.attacked(present=True).questions == MOST_QUESTIONS
