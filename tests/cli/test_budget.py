"""`stead budget`: accounts of people who are there, moved on purpose."""

import importlib.util
import json
import sys

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


SCIENTIST = "scientist/ada@north patients"


@pytest.fixture
def asked(north):
    """Three counts of ada's, of which the owner's rules allow each."""
    with north() as node:
        heart = node["heart"]
        for sigma in (60.0, 60.0, 90.0):
            heart.filter(heart.age > 40).agg(patients=heart.count()).answer(sigmas=[sigma], why="Table 1")


def test_the_history_of_an_account_grows_to_what_it_has_spent(run, asked):
    found = json.loads(run("budget", "history", PROJECT, "--json").out)
    running = [each["epsilon_in_all"] for each in found]
    assert len(found) == 3
    assert running == sorted(running)
    assert running[-1] == accounts(run)[PROJECT]["epsilon_spent"]
    assert running[0] == found[0]["epsilon"]
    assert "in all" in run("budget", "history", PROJECT).out
    assert "in all" not in run("budget", "history").out
    assert "epsilon_in_all" not in json.loads(run("budget", "history", "--json").out)[0]
    assert "there is no account" in run("budget", "history", "project/other@north patients", code=2).err


def test_a_forecast_says_what_an_account_still_allows(run, north, asked):
    run("budget", "set", SCIENTIST, "--epsilon", "1")
    (found,) = json.loads(run("budget", "forecast", SCIENTIST, "--sigma", "20", "--json").out)
    assert (found["account"], found["epsilon_limit"], found["window_days"]) == (SCIENTIST, 1, 1)
    assert found["days_left"] > 0
    assert found["runs_out_at"] > 0
    assert found["last_left"] == pytest.approx(found["stated_left"] * (90 / 20) ** 2, rel=0.1)
    (other,) = json.loads(run("budget", "forecast", SCIENTIST, "--epsilon", "0.1", "--json").out)
    assert other["stated_left"] > 0
    text = run("budget", "forecast", "--epsilon", "0.1").out
    assert all(name in text for name in (SCIENTIST, PROJECT, "population/north patients", "like stated", "runs out"))
    assert "like stated" not in run("budget", "forecast").out


def test_what_cannot_be_forecast(run, north):
    assert "nothing has been charged yet" in run("budget", "forecast").err
    assert json.loads(run("budget", "forecast", "--json").out) == []
    assert "there is no account" in run("budget", "forecast", SCIENTIST, code=2).err
    run("budget", "forecast", "--epsilon", "1", "--sigma", "1", code=2)
    run("budget", "set", SCIENTIST, "--epsilon", "1")
    for stated in (("--epsilon", "-1"), ("--sigma", "0"), ("--sigma", "nan")):
        run("budget", "forecast", *stated, code=2)


@pytest.mark.skipif(importlib.util.find_spec("dp_accounting") is None, reason="dp-accounting is not installed")
def test_reports_by_loss_distributions_stand_beside_the_ledgers_and_below_them(run, asked):
    for each in (*json.loads(run("budget", "forecast", "--json").out), *_shown_with_pld(run)):
        assert 0 < each["pld_epsilon"] < each["epsilon_spent"]
    lines = json.loads(run("budget", "history", PROJECT, "--pld", "--json").out)
    assert all(0 < each["pld_epsilon"] < each["epsilon"] for each in lines)
    assert all(each["pld_epsilon"] <= each["pld_epsilon_in_all"] < each["epsilon_in_all"] for each in lines)
    for command in (["show"], ["history"], ["history", PROJECT]):
        ran = run("budget", *command, "--pld")
        assert "by PLD" in ran.out
        assert "the tightest known statement, for reports; it never decides" in ran.err


def _shown_with_pld(run):
    return json.loads(run("budget", "show", "--pld", "--json").out)


def test_without_the_extra_the_column_says_how_to_install_it(run, asked, monkeypatch):
    monkeypatch.setitem(sys.modules, "dp_accounting.pld.privacy_loss_distribution", None)
    for command in (["forecast"], ["show", "--pld"], ["history", "--pld"]):
        assert 'pip install "stead[google-dp]"' in run("budget", *command).out
    (found, *_) = json.loads(run("budget", "forecast", "--json").out)
    assert (found["pld_epsilon"], found["pld"]) == (None, 'pip install "stead[google-dp]"')
    assert found["last_left"] > 0


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
