"""Who may sit in a cohort: each enrolled site once, whatever keys it holds and whatever the coordinator calls it."""

import importlib
import sys
from pathlib import Path

import pytest

from stead.core.keys import Key
from stead.core.leaves import Charged
from stead.errors import BadSignature, PolicyDenied
from stead.node.services.policy import Rule

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))
gate_world = importlib.import_module("gate_world")
from gate_world import ALICE, MALLORY, NODE_KEY, NORTH, SOUTH, opening  # noqa: E402 - found by the line above

SECOND = Key.from_bytes(b"2" * 32).public.raw


@pytest.fixture
def world(tmp_path):
    world = gate_world.new_world(tmp_path / "stead.db", tmp_path)
    yield world
    world.close()


def cohort(**keys):
    return (("here", NODE_KEY.public.raw), *keys.items())


def test_two_keys_of_one_site_are_not_two_sites(world):
    # North has a new key and the old one was not revoked: with both, north alone would hold two of three noise shares.
    world.books.people.enrol(SECOND, "north", role="site")
    with pytest.raises(PolicyDenied, match="one site, 'north'"):
        world.gate.join(ALICE, opening(cohort=cohort(lake=NORTH, hill=SECOND)))
    assert not world.leaves(Charged)
    world.gate.join(ALICE, opening(cohort=cohort(north=SECOND, south=SOUTH)))


def test_a_stranger_and_a_scientist_are_no_sites(world):
    for key in (MALLORY, ALICE):
        with pytest.raises(BadSignature, match="not enrolled"):
            world.gate.join(ALICE, opening(cohort=cohort(north=NORTH, south=key)))
    assert not world.leaves(Charged)


def alone(world, outlet="disclose"):
    return world.gate.disclose(ALICE, opening(outlet=outlet, cohort=cohort()[:1], colluders=0))


def test_a_rule_for_sums_of_several_sites_discloses_none_of_one_site_alone(tmp_path):
    rule = Rule(outlet="disclose", decision="allow", reason="federated models", approvers=("Dr. Owner",), sites=3)
    rules = gate_world.PolicyRules(rules=(rule,), budgets=gate_world.FREE.budgets)
    world = gate_world.new_world(tmp_path / "stead.db", tmp_path, rules=rules)
    with pytest.raises(PolicyDenied, match="no rule"):
        alone(world)
    world.gate.disclose(ALICE, opening(outlet="disclose", colluders=0))
    assert [leaf.approvers for _, leaf in world.leaves(Charged)] == [("Dr. Owner",)]
    world.close()


def test_a_rule_that_discloses_of_one_site_alone_says_so(world):
    alone(world)  # the rule of this world does not name a number of sites
    words = world.books.policies.current().rules_in_words()
    assert [line for line in words if line.startswith("disclose") and "of this site alone too" in line]


def test_an_approver_sees_the_sites_under_the_owners_names(tmp_path):
    rules = gate_world.PolicyRules(rules=(Rule(outlet="join", decision="ask", reason="a person decides"),))
    world = gate_world.new_world(tmp_path / "stead.db", tmp_path, rules=rules)
    waiting = world.gate.join(ALICE, opening(cohort=cohort(university=NORTH, ministry=SOUTH)))
    assert world.requests.show(waiting.request).sites == ("North Hospital", "north", "south")
    assert world.requests.all()[0].sites == ("North Hospital", "north", "south")
    world.close()
