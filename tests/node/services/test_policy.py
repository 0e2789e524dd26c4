"""The owner's rules: the first that fits decides, and what nobody wrote is denied."""

import math

import msgspec
import pytest
from gate_world import ALICE, FREE, ask, new_world
from hypothesis import given
from hypothesis import strategies as st

from stead.core import codec
from stead.core.leaves import PolicySet
from stead.errors import PolicyDenied, UsageError
from stead.node.services.policy import (
    DEFAULT_RULES,
    Budget,
    Budgets,
    Ceilings,
    Facts,
    Joining,
    Policy,
    PolicyRules,
    Rule,
    read_rules,
)
from stead.privacy.accounts import least_price

TEXT = """
[[rules]]
outlet = "answer"
decision = "allow"
epsilon = 0.5
dataset = "heart"
reason = "agreed with the board"

[[rules]]
outlet = "disclose"
decision = "ask"
plan = "training"
approvers = ["Dr. A", "Dr. B"]
reason = "the board decides"

[budgets.population]
epsilon = 8.0
delta = 1e-7

[ceilings]
rounds = 200

[joining]
least_sites = 4
"""


def facts(**changes):
    known = {
        "outlet": "answer", "dataset": "heart", "project": "risk", "plan": "query", "epsilon": 0.05, "flops": 1,
        "size_bytes": 1, "rounds": 1, "sites": 3, "colluders": 1,
    }  # fmt: skip
    return Facts(**known | changes)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "allow"),
        ({"epsilon": 0.3}, "allow"),
        ({"epsilon": 0.3000001}, "ask"),
        ({"outlet": "join"}, "ask"),
        ({"outlet": "join", "sites": 2}, "deny"),
        ({"outlet": "join", "colluders": 0}, "deny"),
        ({"outlet": "disclose", "epsilon": math.inf}, "deny"),
        ({"flops": 10**15 + 1}, "deny"),
        ({"rounds": 10_001}, "deny"),
    ],
)
def test_the_default_policy_is_conservative(changes, word):
    assert Policy(DEFAULT_RULES).decide(facts(**changes)).decision == word


def test_the_text_of_a_policy_is_read_and_means_what_it_says():
    policy = Policy(read_rules(TEXT))
    assert policy.decide(facts(epsilon=0.5)).decision == "allow"
    assert policy.decide(facts(epsilon=0.51)).decision == "deny"
    assert policy.decide(facts(dataset="liver")).decision == "deny"
    asked = policy.decide(facts(outlet="disclose", plan="training", sites=4, epsilon=math.inf))
    assert (asked.decision, asked.approvers) == ("ask", ("Dr. A", "Dr. B"))
    assert policy.decide(facts(outlet="disclose", plan="query", sites=4)).decision == "deny"
    assert policy.decide(facts(outlet="disclose", plan="training", sites=3)).reason.startswith("3 sites take part")
    assert policy.decide(facts(rounds=201)).expensive
    assert policy.rules.budgets.limits.population.target.epsilon == 8.0
    assert policy.rules.budgets.limits.scientist.target.epsilon == 1.0


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("rules = [", "not TOML"),
        ("", "the key 'rules' is missing"),
        ("rule = []", "no key 'rule'"),
        ("rules = []\nbudget = 3", "no key 'budget'(.|\n)*did you mean \"budgets\""),
        ('[[rules]]\noutlet = "answer"\ndecision = "maybe"\nreason = "x"', "maybe"),
        ('[[rules]]\noutlet = "answer"\ndecision = "deny"\nreason = ""', "reason"),
        ('[[rules]]\noutlet = "disclose"\ndecision = "allow"\nreason = "x"', "approvers"),
        ('[[rules]]\noutlet = "answer"\ndecision = "allow"\nreason = "x"\nepsilon = 0.0', "positive"),
        ('[[rules]]\noutlet = "answer"\ndecision = "allow"\nreason = "x"\nepsilon = nan', "positive"),
        ("rules = []\n[budgets.project]\nepsilon = -1.0", "epsilon > 0"),
        ("rules = []\n[joining]\nleast_sites = 1", "least_sites"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_when_it_is_written(text, match):
    with pytest.raises(UsageError, match=match):
        read_rules(text)


def test_a_disclosure_cannot_be_allowed_without_a_name():
    for decision in ("allow", "ask"):
        with pytest.raises(UsageError, match="approvers"):
            Rule(outlet="disclose", decision=decision, reason="x")


rule = st.builds(
    Rule,
    outlet=st.sampled_from(["answer", "join"]),
    decision=st.sampled_from(["allow", "ask", "deny"]),
    reason=st.just("x"),
    dataset=st.sampled_from(["*", "heart", "liver"]),
    project=st.sampled_from(["*", "risk", "other"]),
    plan=st.sampled_from(["*", "query", "training"]),
    epsilon=st.none() | st.floats(0.3, 10),
)
fact = st.builds(
    facts,
    outlet=st.sampled_from(["answer", "join"]),
    dataset=st.sampled_from(["heart", "liver"]),
    project=st.sampled_from(["risk", "other"]),
    plan=st.sampled_from(["query", "training"]),
    epsilon=st.floats(0.01, 10),
)


@given(st.lists(rule, max_size=5), fact)
def test_the_first_rule_that_fits_decides(rules, given_facts):
    def fits(one):
        named = [(one.dataset, given_facts.dataset), (one.project, given_facts.project), (one.plan, given_facts.plan)]
        limit = math.inf if one.epsilon is None else one.epsilon
        return (
            one.outlet == given_facts.outlet and all(a in {"*", b} for a, b in named) and given_facts.epsilon <= limit
        )

    expected = next((one.decision for one in rules if fits(one)), "deny")
    assert Policy(PolicyRules(rules=tuple(rules))).decide(given_facts).decision == expected


@given(st.lists(rule, max_size=4))
def test_a_policy_survives_its_bytes(rules):
    policy = PolicyRules(rules=tuple(rules), budgets=Budgets(project=Budget(epsilon=3.0)), joining=Joining(5, 2))
    assert codec.decode(codec.encode(policy), PolicyRules) == policy


def test_rules_in_words_say_all_that_is_decided():
    words = "\n".join(Policy(DEFAULT_RULES).rules_in_words())
    for part in ("epsilon 0.3 or less", "waits for a person", "is denied", "3 sites", "10000 rounds", "epsilon 2"):
        assert part in words


def test_a_policy_in_force_is_logged_and_the_last_one_counts(store_url, tmp_path):
    world = new_world(store_url, tmp_path, rules=None)
    assert world.books.policies.current().rules == DEFAULT_RULES
    closed = PolicyRules(rules=(), ceilings=Ceilings(rounds=5))
    world.books.policies.set(FREE)
    world.gate.answer(ALICE, ask())
    world.books.policies.set(closed)
    assert world.books.policies.current().rules == closed
    with pytest.raises(PolicyDenied):
        world.gate.answer(ALICE, ask())
    hashes = [leaf.policy_hash for _, leaf in world.leaves(PolicySet)]
    assert hashes == [codec.digest("stead.policy", codec.encode(rules)) for rules in (FREE, closed)]
    world.close()


def test_a_rule_that_can_fit_no_plan_is_refused():
    """Order 24 at delta 1e-6: log(23/24) + (log(1e6) - log(24)) / 23 = 0.4199 is the floor of the conversion."""
    budgets = Budgets(population=Budget(epsilon=4.0, orders=(24,), reserve=0.0))
    rule = Rule(outlet="answer", decision="allow", epsilon=0.41, reason="small")
    with pytest.raises(UsageError, match=r"can fit none: .* costs 0\.420 at least") as caught:
        PolicyRules(rules=(rule,), budgets=budgets)
    assert "epsilon = 0.45" in caught.value.hint
    PolicyRules(rules=(msgspec.structs.replace(rule, epsilon=0.45),), budgets=budgets)


def test_every_default_rule_can_fit_something():
    least = least_price(DEFAULT_RULES.budgets.population.target)
    assert all(rule.epsilon is None or rule.epsilon > least for rule in DEFAULT_RULES.rules)
