"""Whole questions, a training and the ledger, attacked through real nodes; and the same with one part broken.

The honest ones are audited at the product's error rate (once in 10,000 seeds), with fixed seeds. What is broken is one
function of the real path; everything else runs as it is.
"""

import numpy as np
import pytest
from msgspec.structs import replace

from stead.cli.privacy.differencing import DELTA, EPSILON, Populations, differencing_trial
from stead.cli.privacy.neighbours import Neighbours
from stead.cli.privacy.questions import JOINT_QUESTIONS, QUESTIONS, Asked, one_site, two_sites
from stead.cli.privacy.trainings import training_trial
from stead.core.entropy import SeededEntropy
from stead.learn import pipeline
from stead.node.services import gate, ledger, table_sql, tables
from stead.privacy.audit.trial import audit, strongest
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
    verdicts = run(one_site(neighbours, asked), 1280)
    assert not any(verdict.exceeded for verdict in verdicts), verdicts
    # The one person's rows did count: an audit of a table that ignores them would find nothing, and prove nothing.
    assert strongest(verdicts)[0].found > 0


@pytest.mark.parametrize("asked", JOINT_QUESTIONS, ids=lambda asked: asked.name)
def test_no_attack_beats_the_claim_of_a_joint_question(neighbours, asked):
    verdicts = run(two_sites(neighbours, asked), 1280)
    assert not any(verdict.exceeded for verdict in verdicts), verdicts
    assert strongest(verdicts)[0].found > 0


def test_half_the_noise_of_an_answer_is_caught(neighbours, monkeypatch):
    monkeypatch.setattr(gate, "GaussianMechanism", lambda sigma: GaussianMechanism(sigma / 2))
    assert caught(one_site(neighbours, BY_NAME["mean"]), 2560)


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
    assert not caught(training_trial(neighbours), 600)

    def unclipped(self, integers, gradients):
        integers[:] = np.trunc(gradients / self.step)

    monkeypatch.setattr(pipeline.Lattice, "_fill", unclipped)
    assert caught(training_trial(neighbours), 200)


def test_a_training_without_a_site_s_noise_share_is_caught(neighbours, monkeypatch):
    monkeypatch.setattr(pipeline.NoiseShare, "add", lambda _self, values, _entropy: values)
    assert caught(training_trial(neighbours), 200)


def test_an_adaptive_analyst_learns_no_more_than_the_account_allows():
    with Populations(12) as populations:
        runs = [populations.attacked(present=number % 2 == 0) for number in range(40)]
        verdicts = audit([differencing_trial(populations)], SeededEntropy(10), share=0.01)
    assert not any(verdict.exceeded for verdict in verdicts)
    assert all(0 < each.questions < 40 for each in runs)
    right = sum((each.belief > 0) == (number % 2 == 0) for number, each in enumerate(runs))
    # 40 guesses, each right with probability 0.623 at most: 37 or more would be right once in 10,000 repetitions.
    assert guessed(EPSILON, DELTA) < 0.6232
    assert right < 37


def test_a_ledger_that_forgets_what_was_spent_is_caught(monkeypatch):
    monkeypatch.setattr(ledger, "_plus", lambda spent, _price: spent)
    with Populations(13) as populations:
        assert caught(differencing_trial(populations), 1)
