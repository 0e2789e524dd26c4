"""``stead.compute`` as a notebook uses it: previews, answers, disclosures, waiting, and what is refused."""

import importlib
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

import stead
from stead.client.computing import ComputePending, computation
from stead.client.verify import verify_log_export
from stead.core.leaves import Charged, Helping, Opened, SessionEnded
from stead.errors import BudgetExceeded, PartyTimedOut, PolicyDenied, PurposeMissing, TooFewParties, UsageError
from stead.node.services.export import export_log
from stead.node.services.policy import PolicyRules, Rule
from stead.testing import OPEN_RULES

sys.path.insert(0, str(Path(__file__).parents[1]))
joint = importlib.import_module("joint")

ASKING = PolicyRules(
    rules=(
        Rule(outlet="join", decision="ask", reason="Grace decides", approvers=("grace",)),
        Rule(outlet="disclose", decision="ask", reason="both must agree", approvers=("grace",)),
    ),
    budgets=OPEN_RULES.budgets,
    joining=OPEN_RULES.joining,
)


@pytest.fixture
def network():
    with joint.network() as made:
        yield made


def ages(*names):
    return np.array([age for name in names for age in joint.rows(name)["age"]])


def test_an_answer_with_noise(network):
    owners = network.datasets("heart")
    heart = owners[0]
    question = heart.filter(heart.age > 40).group_by("sex").agg(n=heart.count(), age=heart.age.mean())
    answer = stead.compute(question, owners, helper=network["east"], why="Table 1", within=0.2)
    sexes = np.array([sex for name in joint.SIZES for sex in joint.rows(name)["sex"]])
    known = ages(*joint.SIZES)
    for index, sex in enumerate(("F", "M")):
        chosen = known[(sexes == sex) & (known > 40)]
        assert abs(answer["n"][index] - len(chosen)) <= 3 * answer.errors["n"][index]
        assert abs(answer["age"][index] - chosen.mean()) <= 3 * answer.errors["age"][index]
    assert not answer.disclosed
    leaves = [receipt.verify() for receipt in answer.receipts]
    kinds = [type(leaf) for leaf in leaves]
    assert [kinds.count(kind) for kind in (Charged, Helping, SessionEnded)] == [2, 1, 3]
    assert {leaf.plan_hash for leaf in leaves[:3]} == {leaves[0].plan_hash}
    assert {leaf.outcome for leaf in leaves[3:]} == {"done"}


def test_each_owner_pays_what_the_preview_said_and_the_helper_nothing(network):
    owners = network.datasets("heart")
    asked = computation(owners[0].age.mean(), owners, helper=network["east"])
    preview = asked.preview(within=0.1)
    assert preview.quotes["east"].epsilon == 0
    asked.start(why="Table 1", within=0.1)
    for name in joint.SIZES:
        (account,) = [a for a in network[name].site.view("heart").accounts if a.account.startswith("project/")]
        assert account.epsilon_spent == pytest.approx(preview.quotes[name].epsilon)
    assert "honest majority" in repr(preview)
    assert "4 rounds" in repr(preview)


def test_the_exact_mean(network):
    owners = network.datasets("heart")
    asked = computation(owners[0].age.mean(), owners, helper=network["east"], disclose=True)
    assert "NOT PRIVATE" in repr(asked.preview())
    assert "NOT PRIVATE" in asked.explain()
    answer = asked.start(why="agreed on 3 May")
    assert abs(answer["age_mean"] - ages(*joint.SIZES).mean()) <= answer.errors["age_mean"] < 1e-4
    assert "NOT PRIVATE" in repr(answer)
    assert "NOT PRIVATE" in answer._repr_html_()
    for name in joint.SIZES:
        account = network[name].site.view("heart").accounts[0]
        assert (account.disclosures, account.epsilon_spent) == (1, 0.0)


def test_three_owners_need_no_helper(network):
    network.add(stead.core.schema.DatasetCard("heart", joint.schema("east")), joint.rows("east", 170), at="east")
    owners = network.datasets("heart")
    answer = stead.compute(owners[0].age.mean(), owners, disclose=True, why="Table 1")
    expected = np.concatenate([ages(*joint.SIZES), joint.rows("east", 170)["age"]]).mean()
    assert abs(answer["age_mean"] - expected) <= answer.errors["age_mean"]


def test_the_log_of_every_party_is_accepted_by_an_auditor(network):
    owners = network.datasets("heart")
    for disclose in (False, True):
        stead.compute(owners[0].age.mean(), owners, helper=network["east"], disclose=disclose, why="Table 1")
    for name, node in network.nodes.items():
        report = verify_log_export(export_log(node.books, full=True), network[name].key)
        assert report.disclosures == (1 if name in joint.SIZES else 0)
        opened = [leaf.opening for leaf in report.leaves if isinstance(leaf, Opened)]
        assert opened == ["answer", "disclose"]


@pytest.mark.parametrize("disclose", [False, True])
def test_owners_and_the_helper_decide(network, disclose):
    for node in network.nodes.values():
        node.books.policies.set(ASKING)
    owners = network.datasets("heart")
    pending = stead.compute(owners[0].age.mean(), owners, helper=network["east"], disclose=disclose, why="Table 1")
    assert isinstance(pending, ComputePending)
    assert pending.waiting == joint.NAMES
    with pytest.raises(PartyTimedOut, match="north, south, east has not decided"):
        pending.wait(0.0)
    for name, node in network.nodes.items():
        (request,) = node.requests.all()
        assert request.sites == joint.NAMES
        assert request.dataset == ("heart" if name in joint.SIZES else "")
        node.requests.approve(request.request, "grace")
    answer = pending.refresh()
    assert answer.disclosed == disclose
    begun = [receipt.verify() for receipt in answer.receipts if isinstance(receipt.verify(), Charged | Helping)]
    assert [leaf.approvers for leaf in begun] == [("grace",)] * 3


def test_a_denial_ends_it_for_all(network):
    network.nodes["south"].books.policies.set(ASKING)
    owners = network.datasets("heart")
    pending = stead.compute(owners[0].age.mean(), owners, helper=network["east"], why="Table 1")
    assert pending.waiting == ("south",)
    (request,) = network.nodes["south"].requests.all()
    network.nodes["south"].requests.deny(request.request, "grace", reason="not this table")
    with pytest.raises(PolicyDenied, match="not this table"):
        pending.refresh()


def test_a_budget_that_does_not_cover_it(network):
    owners = network.datasets("heart")
    with pytest.raises(BudgetExceeded, match="joint computation costs") as caught:
        stead.compute(owners[0].age.mean(), owners, helper=network["east"], within=0.003, why="Table 1")
    assert "within" in caught.value.hint


def test_what_is_wrong_is_said_before_anything_is_sent(network):
    owners = network.datasets("heart")
    mean = owners[0].age.mean()
    with pytest.raises(TooFewParties, match="2 owners and 0 helpers"):
        stead.compute(mean, owners, why="x")
    with pytest.raises(TooFewParties, match="1 owners and 1 helpers"):
        stead.compute(mean, owners[:1], helper=network["east"], why="x")
    with pytest.raises(UsageError, match="twice"):
        stead.compute(mean, owners, helper=network["north"], why="x")
    with pytest.raises(UsageError, match="helper is a stead"):
        stead.compute(mean, owners, helper="https://east.example", why="x")
    with pytest.raises(UsageError, match="question is built"):
        stead.compute("age", owners, helper=network["east"], why="x")
    with pytest.raises(PurposeMissing):
        stead.compute(mean, owners, helper=network["east"], why=" ")
    with pytest.raises(UsageError, match="colluders"):
        stead.compute(mean, owners, helper=network["east"], colluders=2, why="x")


def test_two_hospitals_alone_are_too_few_for_the_default_rules(network):
    rules = msgspec.structs.replace(OPEN_RULES, joining=PolicyRules(rules=()).joining)
    network.nodes["north"].books.policies.set(rules)
    owners = network.datasets("heart")
    with pytest.raises(PolicyDenied, match="wants at least 3"):
        stead.compute(owners[0].age.mean(), owners, helper=network["east"], why="x")
