"""Whole trainings over three sites in this process, on real data, beside the same data in one place."""

import itertools

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from stead.core.clock import SystemClock
from stead.core.entropy import SeededEntropy
from stead.errors import PartyUnreachable
from stead.learn.fleet import Fleet
from stead.learn.gradients import Examples
from stead.learn.header import Header, model_hash
from stead.learn.simulation import local_session
from stead.learn.site import TrainingSite, vector_length
from stead.learn.strategy import FedAvg, FedSGD, ModelState
from stead.plans.engine import NumpyEngine
from stead.plans.training import LocalSteps, Optimiser, Privacy, Sampler
from stead.privacy.calibrate import sigma_for

SPLIT = (0, 60, 180, 400)


@pytest.fixture(scope="module")
def cancer():
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x = np.clip(StandardScaler().fit_transform(x), -3, 3)[order].astype(np.float32)
    return x[:400], y[order][:400], x[400:], y[order][400:]


@pytest.fixture(scope="module")
def central_auc(cancer):
    x, y, test_x, test_y = cancer
    return roc_auc_score(test_y, LogisticRegression(max_iter=1000).fit(x, y).decision_function(test_x))


def three_sites(training, cancer, payload, *, tap=None):
    x, y = cancer[:2]
    sites = {}
    for number, (start, end) in enumerate(itertools.pairwise(SPLIT)):
        rows = Examples(x=x[start:end], y=y[start:end], person=np.arange(start, end))
        sites[f"hospital-{number}"] = lambda seat, rows=rows: TrainingSite(
            seat, training, engine=NumpyEngine(), examples=rows, rows_at_most=400
        )
    private = training.privacy is not None

    def header_for(cohort):
        return Header(
            release=bytes(16),
            plan_hash=bytes(32),
            cohort=cohort,
            length=vector_length(training),
            ring_bits=training.ring_bits,
            rounds=training.rounds,
            colluders=1 if private else 0,
            model_hash=model_hash(payload),
            outlet="join" if private else "disclose",
            minimum=3,
        )

    return local_session(sites, header_for, entropy=SeededEntropy(1), tap=tap)


def auc(model, state, cancer):
    scores = model.scores(state.weights, cancer[2])
    return roc_auc_score(cancer[3], scores[:, 1] - scores[:, 0])


def private_training(model, rounds=40, rate=0.5):
    sigma = sigma_for(4.0, 1e-5, rate=rate, steps=rounds, shares=2, dimension=model.length, l2_steps=4096.0)
    privacy = Privacy(clip=1.0, lattice=2.0**-12, sigma=sigma, colluders=1, sites=3, steps=rounds)
    return model.training(privacy=privacy, sampler=Sampler(rate=rate), rounds=rounds, ring_bits=32)


def test_private_training_over_three_sites_is_near_the_central_model(make_model, cancer, central_auc):
    """Epsilon 4 at delta 1e-5 on 400 people."""
    model = make_model(30, 4, 2)
    training = private_training(model)
    state = ModelState.start(model.parameters())
    # The owners' declared ranges, not the counts.
    strategy = FedSGD.of(training, [(50, 80), (100, 150), (200, 250)], Optimiser(name="sgd", rate=1.0, momentum=0.5))
    header, channel = three_sites(training, cancer, strategy.plan_round(state))
    seen = []
    final = Fleet(channel, clock=SystemClock()).train(header, strategy, state, on_round=seen.append)
    assert central_auc > 0.98
    assert auc(model, final, cancer) > central_auc - 0.03
    assert [done.number for done in seen] == list(range(1, 41))
    assert seen[-1].state is final
    assert seen[-1].bytes_up > 40 * 3 * 4 * model.length
    assert all(one.bytes_up < two.bytes_up and two.seconds >= 0 for one, two in itertools.pairwise(seen))
    assert channel.closed_with == ""


def test_averages_over_three_sites_are_as_good_as_the_central_model(make_model, cancer, central_auc):
    model = make_model(30, 4, 2)
    local = LocalSteps(epochs=2, batch=16, optimiser=Optimiser(name="sgd", rate=0.2, momentum=0.5))
    training = model.training(private=False, local=local, rounds=8)
    state, strategy = ModelState.start(model.parameters()), FedAvg(training.lattice)
    header, channel = three_sites(training, cancer, strategy.plan_round(state))
    final = Fleet(channel, clock=SystemClock()).train(header, strategy, state)
    assert auc(model, final, cancer) > central_auc - 0.01


def test_a_training_can_end_early_and_is_closed_when_its_owner_breaks_it_off(make_model, cancer):
    model = make_model(30, 4, 2)
    training = private_training(model, rounds=5)
    state = ModelState.start(model.parameters())
    strategy = FedSGD.of(training, [(100, 200)], Optimiser(name="sgd", rate=1.0))
    header, channel = three_sites(training, cancer, strategy.plan_round(state))
    final = Fleet(channel, clock=SystemClock()).train(header, strategy, state, on_round=lambda done: done.number < 2)
    assert final.rounds == 2
    assert channel.closed_with == ""

    def interrupt(done):
        raise KeyboardInterrupt

    header, channel = three_sites(training, cancer, strategy.plan_round(state))
    with pytest.raises(KeyboardInterrupt):
        Fleet(channel, clock=SystemClock()).train(header, strategy, state, on_round=interrupt)
    assert channel.closed_with == "the coordinator stopped"


def test_a_hospital_that_goes_off_ends_the_training_and_the_states_until_then_are_kept(make_model, cancer):
    model = make_model(30, 4, 2)
    training = private_training(model, rounds=5)
    state = ModelState.start(model.parameters())
    strategy = FedSGD.of(training, [(100, 200)], Optimiser(name="sgd", rate=1.0))
    header, channel = three_sites(training, cancer, strategy.plan_round(state))
    kept = []

    def keep(done):
        kept.append(done.state)
        if done.number == 3:
            channel.stop("hospital-1")

    with pytest.raises(PartyUnreachable, match="hospital-1"):
        Fleet(channel, clock=SystemClock()).train(header, strategy, state, on_round=keep)
    assert [state.rounds for state in kept] == [1, 2, 3]
    assert channel.closed_with == "the session ended early: party-unreachable"
