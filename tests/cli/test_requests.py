"""`stead requests`: what waits is shown with its plan and price; a word is given once, by whom the policy names."""

import json

import pytest

from stead.client.answer import Answer
from stead.client.pending import Pending
from stead.errors import PolicyDenied


@pytest.fixture
def asked(run, north):
    """A question above the policy's limit; gives the request's name at the node."""
    with north() as node:
        heart = node["heart"]
        pending = heart.filter(heart.age > 40).agg(patients=heart.count()).answer(sigmas=[8.0], why="Table 1")
        assert isinstance(pending, Pending)
    (waiting,) = json.loads(run("requests", "ls", "--json").out)
    return waiting["request"]


def again(north, name):
    with north() as node:
        return node.requests[name].refresh()


def test_owner_and_scientist_can_name_the_same_request(run, north, asked):
    with north() as node:
        (theirs,) = [pending.name for pending in node.requests.values()]
        assert node.requests[asked].name == theirs
    shown = run("requests", "show", theirs).out
    assert f"{asked}, for its requester {theirs}" in shown
    assert run("requests", "show", asked).out == shown
    run("requests", "show", theirs[:4], code=2)
    run("requests", "approve", theirs)
    assert isinstance(again(north, theirs), Answer)


def test_listed_and_shown_without_a_result(run, asked):
    (listed,) = json.loads(run("requests", "ls", "--json").out)
    assert (listed["request"], listed["state"], listed["why"], listed["requester"]) == (
        asked,
        "asked",
        "Table 1",
        "ada",
    )
    assert asked in run("requests", "ls").out
    shown = run("requests", "show", asked)
    for text in ("ada, project risk-2026", "Table 1", "epsilon", "above epsilon 0.3 a person decides", "age"):
        assert text in shown.out
    plan = json.loads(run("requests", "show", asked, "--json").out)
    assert plan["plan_hash"] in shown.out
    assert plan["accounts_after"][0]["epsilon_spent"] > plan["accounts"][0]["epsilon_spent"] == 0
    assert [each["account"] for each in plan["accounts"]] == [
        "population/north patients",
        "project/risk-2026@north patients",
        "scientist/ada@north patients",
    ]
    assert f"next: stead requests approve {asked} --plan {plan['plan_hash'][:8]}" in shown.err


def test_approved_it_is_answered_and_stands_in_the_history(run, north, asked):
    run("requests", "approve", asked, "--as", "grace")
    assert isinstance(again(north, asked), Answer)
    (spent,) = json.loads(run("budget", "history", "--json").out)
    shown = json.loads(run("requests", "show", asked, "--json").out)
    assert (spent["why"], spent["requester"]) == ("Table 1", "ada")
    assert spent["epsilon"] == pytest.approx(shown["epsilon"])
    assert "Table 1" in run("budget", "history").out
    assert "next:" not in run("requests", "show", asked).err
    assert json.loads(run("requests", "ls", "--json").out) == []
    assert "nothing waits" in run("requests", "ls").err
    assert asked in run("requests", "ls", "--all").out


def test_denied_it_stays_so_and_the_reason_is_told(run, north, asked):
    run("requests", "deny", asked, code=2)
    run("requests", "deny", asked, "--reason", "finer than the table needs", "--as", "grace")
    with pytest.raises(PolicyDenied, match="finer than the table needs"):
        again(north, asked)
    assert "waits no longer: it is denied" in run("requests", "approve", asked, code=2).err


def test_a_word_is_given_once(run, asked):
    run("requests", "approve", asked, "--as", "grace")
    assert "waits no longer: it is approved" in run("requests", "approve", asked, "--as", "grace", code=2).err


def test_only_whom_the_policy_names(run, made, north):
    text = run("policy", "show", "--toml").out
    text = text.replace(
        'reason = "above epsilon 0.3 a person decides"\n', 'reason = "grace decides"\napprovers = ["grace"]\n'
    )
    (made / "policy.toml").write_text(text)
    run("policy", "set", "policy.toml")
    with north() as node:
        name = node["heart"].agg(patients=node["heart"].count()).answer(sigmas=[8.0], why="Table 1").name
    ran = run("requests", "approve", name, "--as", "mallory", code=3)
    assert "'mallory' cannot decide this request; the policy asks grace" in ran.err
    run("requests", "approve", name, "--as", "grace")


def test_the_word_is_for_the_plan_that_was_shown(run, asked):
    plan = json.loads(run("requests", "show", asked, "--json").out)["plan_hash"]
    other = "0" * 8 if not plan.startswith("0" * 8) else "1" * 8
    assert plan in run("requests", "approve", asked, "--plan", other, code=2).err
    run("requests", "approve", asked, "--plan", plan[:4], code=2)  # too short to say which
    run("requests", "approve", asked, "--plan", plan[:8])


def test_unknown_requests(run, made):
    for command in (["show"], ["approve"], ["deny", "--reason", "x"]):
        ran = run("requests", *command, "0000-0000", code=2)
        assert "there is no request '0000-0000'" in ran.err
        assert "stead requests ls" in ran.err
    assert "nothing was asked or charged yet" in run("requests", "ls", "--all").err
