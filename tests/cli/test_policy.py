"""`stead policy`: what is shown can be edited and set again; a mistake changes nothing."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.node.services.policy import DEFAULT_RULES, Budget, Budgets, PolicyRules, Rule, read_rules, rules_text
from stead.testing import OPEN_RULES

# Texts that a TOML writer gets wrong, if it gets any wrong: quotes, backslashes, controls, DEL, everything above.
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
rules = st.builds(
    Rule,
    outlet=st.sampled_from(["answer", "join"]),
    decision=st.sampled_from(["allow", "ask", "deny"]),
    reason=texts,
    dataset=texts,
    project=texts,
    epsilon=st.none() | st.floats(0.3, 1e9),
    sites=st.integers(1, 9),
    approvers=st.lists(texts, max_size=3).map(tuple),
)


@settings(max_examples=60)
@given(st.builds(PolicyRules, rules=st.lists(rules, max_size=3).map(tuple)))
def test_any_policy_comes_back_from_its_toml(policy):
    assert read_rules(rules_text(policy)) == policy


@pytest.mark.parametrize(
    "policy",
    [
        DEFAULT_RULES,
        OPEN_RULES,
        PolicyRules(rules=(), budgets=Budgets(project=Budget(epsilon=0.5, delta=1e-3, orders=(16, 64)))),
    ],
)
def test_policies_in_use_come_back(policy):
    assert read_rules(rules_text(policy)) == policy


def test_what_is_shown_can_be_edited_and_set(run, made):
    text = run("policy", "show", "--toml").out
    (made / "policy.toml").write_text(text.replace("epsilon = 0.3\n", "epsilon = 0.25\n"))
    run("policy", "set", "policy.toml", "--dry-run")
    assert "epsilon 0.3 or less" in run("policy", "show").out
    assert "in force from now on" in run("policy", "set", "policy.toml").err
    assert "epsilon 0.25 or less" in run("policy", "show").out
    assert json.loads(run("policy", "show", "--json").out)["rules"][0]["epsilon"] == 0.25


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("rules = [", "policy.toml is not TOML", ""),
        ("", "the key 'rules' is missing", ""),
        ('decison = "allow"', "rules number 1: there is no key 'decison'", 'did you mean "decision"?'),
        ('decision = "alow"', "decision: 'alow' is not possible here", 'did you mean "allow"?'),
        ('decision = "allow"\nepsilon = "much"', "rules number 1 epsilon: expected float", ""),
        ('decision = "allow"\n[budgets.project]\nepsilon = -1', "epsilon > 0", ""),
        ('decision = "allow"\n[joining]\nleast_sites = 1', "joining least_sites", ""),
        ('decision = "allow"\nnothing = 1', "there is no key 'nothing'", "keys: outlet, decision, reason"),
    ],
)
def test_a_mistake_is_named_and_changes_nothing(run, made, text, message, hint):
    before = run("policy", "show", "--json").out
    rule = '[[rules]]\noutlet = "answer"\nreason = "x"\n'
    (made / "policy.toml").write_text(rule + text if text.startswith("dec") else text)
    ran = run("policy", "set", "policy.toml", code=2)
    assert message in ran.err
    assert hint in ran.err
    assert run("policy", "show", "--json").out == before


def test_a_disclosure_needs_approvers(run, made):
    (made / "policy.toml").write_text('[[rules]]\noutlet = "disclose"\ndecision = "allow"\nreason = "x"\n')
    assert "names its approvers" in run("policy", "set", "policy.toml", code=2).err


def test_files_that_cannot_be_read(run, made):
    (made / "bytes.toml").write_bytes(b"\xff")
    assert "not UTF-8" in run("policy", "set", "bytes.toml", code=2).err
    assert "cannot be read: No such file" in run("policy", "set", "nothing.toml", code=2).err
    run("policy", "show", "--toml", "--json", code=2)
