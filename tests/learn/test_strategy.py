"""Strategies on sums worked out by hand."""

import numpy as np
import pytest

from stead.errors import UsageError
from stead.learn.strategy import FedAvg, FedSGD, ModelState, expected_people
from stead.plans.training import Optimiser, Sampler


def test_the_divisor_is_public():
    assert expected_people(0.5, [(100, 200), (10, 30)]) == 85.0


def test_fedsgd_steps_against_the_mean_gradient():
    strategy = FedSGD(lattice=0.25, expected=10.0, optimiser=Optimiser(name="sgd", rate=2.0))
    state = ModelState.start([np.array([1.0, 2.0]), np.array([[3.0]])])
    assert strategy.plan_round(state) == np.array([1, 2, 3], dtype="<f4").tobytes()
    after = strategy.fold(state, np.array([40, -80, 0]))
    assert after.weights.tolist() == [-1.0, 6.0, 3.0]
    assert after.rounds == 1
    assert state.weights.tolist() == [1.0, 2.0, 3.0]
    assert state.rounds == 0


def test_fedavg_adds_the_weighted_mean_change_and_nothing_for_nobody():
    strategy = FedAvg(lattice=0.5)
    state = ModelState.start([np.array([1.0, 2.0])])
    after = strategy.fold(state, np.array([8, -4, 4]))
    assert after.weights.tolist() == [2.0, 1.5]
    assert strategy.fold(after, np.array([0, 0, 0])).weights.tolist() == [2.0, 1.5]


def test_a_strategy_is_for_its_own_kind_of_training(model):
    optimiser = Optimiser(name="sgd", rate=1.0)
    made = FedSGD.of(model.training(sampler=Sampler(rate=0.5)), [(100, 300)], optimiser)
    assert made == FedSGD(lattice=2.0**-12, expected=100.0, optimiser=optimiser)
    with pytest.raises(UsageError):
        FedSGD.of(model.training(private=False), [(1, 2)], optimiser)
    with pytest.raises(UsageError):
        FedSGD(lattice=1.0, expected=0.0, optimiser=optimiser)
