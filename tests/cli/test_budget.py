"""`stead budget`: accounts of people who are there, moved on purpose."""

import json

import pytest

PROJECT = "project/risk-2026@north patients"


def accounts(run):
    return {each["account"]: each for each in json.loads(run("budget", "show", "--json").out)}


def test_a_budget_is_set_and_moved(run, north):
    assert "nothing has been charged yet" in run("budget", "show").err
    run("budget", "set", PROJECT, "--epsilon", "3", "--delta", "1e-7")
    moved = run("budget", "set", PROJECT, "--epsilon", "5")
    assert "it was 3 at delta 1e-07" in moved.err
    assert (accounts(run)[PROJECT]["epsilon_limit"], accounts(run)[PROJECT]["delta"]) == (5, 1e-7)
    assert PROJECT in run("budget", "show").out


def test_a_new_account_takes_its_delta_from_the_policy(run, north, made):
    text = run("policy", "show", "--toml").out.replace(
        "[budgets.project]\nepsilon = 2.0\ndelta = 1e-6", "[budgets.project]\nepsilon = 2.0\ndelta = 1e-9"
    )
    (made / "policy.toml").write_text(text)
    run("policy", "set", "policy.toml")
    run("budget", "set", PROJECT, "--epsilon", "3")
    assert accounts(run)[PROJECT]["delta"] == 1e-9


@pytest.mark.parametrize(
    ("account", "message", "hint"),
    [
        ("risk-2026", "is no account's name", "stead budget show"),
        ("project/", "is no account's name", ""),
        ("project/risk-2026", "names no population", "project/risk-2026@POPULATION"),
        ("project/risk-2025@north patients", "nobody here is enrolled as project", 'did you mean "risk-2026"?'),
        ("scientist/eda@north patients", "nobody here is enrolled as scientist", 'did you mean "ada"?'),
        ("population/north patient", "no dataset here is of population", 'did you mean "north patients"?'),
        ("project/risk-2026@south", "no dataset here is of population", "north patients"),
    ],
)
def test_a_misspelt_account_is_not_made(run, north, account, message, hint):
    ran = run("budget", "set", account, "--epsilon", "3", code=2)
    assert message in ran.err
    assert hint in ran.err
    assert accounts(run) == {}


@pytest.mark.parametrize("target", [["--epsilon", "-1"], ["--epsilon", "nan"], ["--epsilon", "1", "--delta", "2"], []])
def test_what_cannot_be_a_budget(run, north, target):
    run("budget", "set", PROJECT, *target, code=2)
    assert accounts(run) == {}


def test_history_is_empty_at_first(run, made):
    assert json.loads(run("budget", "history", "--json").out) == []
    assert "nothing has been charged yet" in run("budget", "history").err


def test_a_reserve_is_given_kept_and_taken(run, north):
    run("budget", "set", PROJECT, "--epsilon", "3")
    assert accounts(run)[PROJECT]["reserve"] == pytest.approx(1e-7)  # the policy's: a tenth of delta
    run("budget", "set", PROJECT, "--epsilon", "3", "--reserve", "2e-7")
    run("budget", "set", PROJECT, "--epsilon", "4")
    assert accounts(run)[PROJECT]["reserve"] == 2e-7
    assert "0 of 2e-07" in run("budget", "show").out
    run("budget", "set", PROJECT, "--epsilon", "4", "--reserve", "0")
    assert accounts(run)[PROJECT]["reserve"] == 0.0
    refused = run("budget", "set", PROJECT, "--epsilon", "4", "--reserve", "1e-6", code=2)
    assert "a reserve is a part of delta" in refused.err


def test_a_period_is_not_made_by_hand(run, north):
    refused = run("budget", "set", PROJECT.replace("project/risk-2026", "period/2026-11-01"), "--epsilon", "3", code=2)
    assert "there is no period '2026-11-01' yet" in refused.err
