"""A refused question says what could be afforded, and that is true."""

import re

import pytest

import stead
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import BudgetExceeded
from stead.node.services.policy import Budget, Budgets, Joining, PolicyRules, Rule
from stead.testing import local_network

CARD = DatasetCard(
    "heart",
    Schema(
        "heart patients",
        "patient",
        (Column("age", "integer", bounds=Bounds(18, 100)), Column("ill", "boolean")),
        (900, 1100),
    ),
)
ROWS = {"age": [20 + row % 70 for row in range(1000)], "ill": [row % 3 == 0 for row in range(1000)]}


def rules(epsilon):
    budget = Budget(epsilon=epsilon)
    return PolicyRules(
        rules=(
            Rule(outlet="answer", decision="allow", reason="free"),
            Rule(outlet="join", decision="allow", reason="free"),
        ),
        budgets=Budgets(population=Budget(epsilon=50.0), project=budget, scientist=budget),
        joining=Joining(least_sites=2),
    )


@pytest.fixture
def network():
    with local_network(["north", "south"], rules=rules(1.0)) as network:
        for name in network:
            network.add(CARD, ROWS, at=name)
        yield network


def refused(ask):
    with pytest.raises(BudgetExceeded) as caught:
        ask()
    found = re.fullmatch(r"`within=([\d.]+)` costs epsilon ([\d.]+)", caught.value.hint)
    assert found, caught.value.hint
    return float(found[1]), float(found[2])


def test_the_hint_of_a_refused_question_can_be_paid_and_costs_what_it_says(network):
    heart = network["north"]["heart"]
    question = heart.group_by("ill").agg(patients=heart.count(), age=heart.age.mean())
    within, cost = refused(lambda: question.answer(within=0.01, why="too exact"))
    assert within > 0.01
    question.answer(within=within, why="as hinted")
    spent = max(account.epsilon_spent for account in network["north"]["heart"].budget)
    assert spent == pytest.approx(cost, abs=0.006)  # the hint has two digits


def test_the_hint_of_a_joint_question_can_be_paid_at_every_site(network):
    sites = network.datasets("heart")
    question = sites[0].agg(patients=sites[0].count())
    within, _ = refused(lambda: stead.ask(question, sites, within=0.005, why="too exact"))
    stead.ask(question, sites, within=within, why="as hinted")


def test_nothing_fits_an_empty_purse(network):
    heart = network["north"]["heart"]
    question = heart.agg(patients=heart.count())
    within, _ = refused(lambda: question.answer(within=0.002, why="too exact"))
    while True:
        try:
            question.answer(within=within, why="spending all of it")
        except BudgetExceeded as error:
            hint = error.hint
            if "no wider" in hint:
                break
            within = float(re.search(r"within=([\d.]+)", hint)[1])
    with pytest.raises(BudgetExceeded, match="no wider `within` fits"):
        question.answer(within=0.05, why="nothing is left")
