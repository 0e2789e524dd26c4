"""Whole questions, a training and the ledger, attacked through real nodes; and the same with one part broken.

The honest ones are audited at the product's error rate (once in 10,000 seeds), with fixed seeds. What is broken is one
function of the real path; everything else runs as it is.
"""

from dataclasses import replace as replace_fields

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats

from stead.cli.privacy.differencing import DELTA, EPSILON, MOST_QUESTIONS, Populations, differencing_trial
from stead.cli.privacy.neighbours import Neighbours
from stead.cli.privacy.questions import JOINT_QUESTIONS, QUESTIONS, Asked, one_site, two_sites
from stead.cli.privacy.trainings import training_trial
from stead.core.entropy import SeededEntropy
from stead.learn import pipeline
from stead.node.services import gate, ledger, table_sql, tables
from stead.privacy.audit.trial import ERROR_RATE, audit
from stead.privacy.events import Composed, DiscreteGaussian
from stead.privacy.meaning import guessed
from stead.privacy.mechanisms import GaussianMechanism

BY_NAME = {asked.name: asked for asked in QUESTIONS}


@pytest.fixture(scope="module")
def neighbours():
    with Neighbours(11) as made:
        yield made


def run(trial, runs):
    return audit([trial], SeededEntropy(9), share=runs / trial.runs)


def caught(trial, runs):
    return any(verdict.exceeded for verdict in run(trial, runs))


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: asked.name)
def test_no_attack_beats_the_claim_of_a_question(neighbours, asked):
    verdicts = run(one_site(neighbours, asked), 640)
    assert not any(verdict.exceeded for verdict in verdicts), verdicts


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: asked.name)
def test_a_question_without_noise_is_caught(neighbours, monkeypatch, asked):
    """So the one person does count in it: an audit of a question that is the same without them would prove nothing."""
    monkeypatch.setattr(gate, "GaussianMechanism", lambda _: Silent())
    assert caught(one_site(neighbours, asked), 128)


@pytest.mark.parametrize("asked", JOINT_QUESTIONS, ids=lambda asked: asked.name)
def test_no_attack_beats_the_claim_of_a_joint_question(neighbours, asked):
    verdicts = run(two_sites(neighbours, asked), 640)
    assert not any(verdict.exceeded for verdict in verdicts), verdicts


def test_a_joint_question_without_noise_is_caught(neighbours, monkeypatch):
    monkeypatch.setattr(pipeline.NoiseShare, "add", lambda _self, values, _entropy: values)
    assert caught(two_sites(neighbours, JOINT_QUESTIONS[0]), 128)


def test_half_the_noise_of_an_answer_is_caught(neighbours, monkeypatch):
    monkeypatch.setattr(gate, "GaussianMechanism", lambda sigma: GaussianMechanism(sigma / 2))
    assert caught(one_site(neighbours, BY_NAME["mean"]), 6400)


def test_rows_of_a_person_that_are_not_bounded_are_caught(neighbours, monkeypatch):
    """All five of the person's rows are counted; the price knows of two."""

    def unbounded(query, schema, layout):
        return table_sql.statements(query, replace(schema, rows_per_person=5), layout)

    monkeypatch.setattr(tables, "statements", unbounded)
    assert caught(one_site(neighbours, BY_NAME["count"]), 2560)


@pytest.mark.parametrize("name", ["sum", "sum of a clipped column", "mean"])
def test_a_missing_clip_is_caught(neighbours, monkeypatch, name):
    monkeypatch.setattr(table_sql, "_clipped", lambda cell, _low, _high: (cell, []))
    wide = Asked(name, BY_NAME[name].frame, lambda rows: rows["age"].sum() if "sum" in name else rows["age"].mean())
    assert caught(one_site(neighbours, wide), 640)


class Silent:
    """No noise."""

    def add(self, values, _):
        return values


class OneDraw:
    """The same noise for every number of a part."""

    def __init__(self, sigma):
        self.honest = GaussianMechanism(sigma)

    def add(self, values, entropy):
        return values + self.honest.add(np.zeros(1, np.int64), entropy)[0]


def test_noise_reused_in_every_group_is_caught(neighbours, monkeypatch):
    monkeypatch.setattr(gate, "GaussianMechanism", OneDraw)
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
    with Populations(13) as populations:
        assert caught(replace_fields(differencing_trial(populations), least=40), 1)


def test_a_ledger_that_forgets_what_was_spent_never_refuses(monkeypatch):
    """An honest one ends every attack before ``MOST_QUESTIONS``: see above."""
    monkeypatch.setattr(ledger, "_plus", lambda spent, _price: spent)
    with Populations(14) as populations:
        assert populations.attacked(present=True).questions == MOST_QUESTIONS
