"""`stead privacy`: an audit ends with 1 when a promise is broken, an explanation reads accounts and no rows."""

import json
import math

import pytest

from stead.privacy import samplers
from stead.privacy.audit import mechanisms as trials


def audit(run, *words, code=0):
    return run("privacy", "audit", "--quick", *words, code=code)


def test_an_honest_mechanism_holds(run):
    ran = audit(run, "--mechanism", "discrete laplace")
    (row,) = [line for line in ran.out.splitlines() if line.startswith("discrete Laplace")]
    assert row.endswith("holds")
    assert "no promise was seen to be broken" in ran.err


def test_verdicts_repeat_unless_they_are_seed_free(run):
    def found(*words):
        return json.loads(audit(run, "--mechanism", "sampled", "--json", *words).out)

    first, again, fresh = found(), found(), found("--seed-free")
    assert first == again
    assert first["seeded"]
    assert not fresh["seeded"]
    assert first["verdicts"] != fresh["verdicts"]
    assert {each["attack"] for each in first["verdicts"]} == {"shift", "outcomes", "lattice"}
    assert first["bounds"] == 4 * len(first["verdicts"])
    assert first["error_rate"] == 1e-4
    assert all(each["found"] <= each["claimed"] for each in first["verdicts"])


def test_a_whole_question_is_audited(run):
    ran = audit(run, "--mechanism", "question: count of a filter")
    assert "question: count of a filter" in ran.out


def test_a_broken_mechanism_is_found_and_ends_with_1(run, monkeypatch):
    honest = trials.LaplaceMechanism.add
    monkeypatch.setattr(
        trials.LaplaceMechanism, "add", lambda self, values, entropy: honest(type(self)(1.0), values, entropy)
    )
    ran = audit(run, "--mechanism", "discrete laplace", code=1)
    assert "BROKEN" in ran.out
    assert "stop answering" in ran.err
    document = json.loads(audit(run, "--mechanism", "discrete laplace", "--json", code=1).out)
    assert document["broken"]
    assert any(each["exceeded"] for each in document["verdicts"])


def test_results_off_the_lattice_are_counted(run, monkeypatch):
    honest = samplers.discrete_laplace
    monkeypatch.setattr(
        "stead.privacy.mechanisms.discrete_laplace", lambda *words, **more: honest(*words, **more) + 0.25
    )
    assert "off the lattice" in audit(run, "--mechanism", "discrete laplace", code=1).out


def test_a_name_that_nothing_has_is_refused(run):
    ran = audit(run, "--mechanism", "snake oil", code=2)
    assert "discrete Gaussian" in ran.err


def test_an_explanation_before_anything_was_asked(run, north):
    text = run("privacy", "explain", "heart").out
    assert "one patient: one row" in text
    assert "population/north patients  0.000  4" in text
    assert "at most 73.2 %" in text


def test_an_explanation_follows_the_accounts(run, north):
    with north() as stead:
        stead["heart"].count().answer(sigmas=[20.0], why="a first look")
        theirs = stead["heart"].privacy()
    found = json.loads(run("privacy", "explain", "heart", "--json").out)
    accounts = {each["account"]: each for each in found["accounts"]}
    assert next(iter(accounts)) == "population/north patients"
    assert "scientist/ada@north patients" in accounts
    spent = {each["account"]: each["epsilon_spent"] for each in json.loads(run("budget", "show", "--json").out)}
    for name, each in accounts.items():
        assert each["epsilon_spent"] == pytest.approx(spent[name])
        assert each["epsilon_left"] == pytest.approx(each["epsilon_limit"] - spent[name])
        odds = math.exp(each["epsilon_limit"])
        assert each["at_limit"]["from_half"] == pytest.approx(odds / (1 + odds))
    # A scientist sees the accounts that are theirs, and not what others spent of the population's.
    assert {each.account for each in theirs.accounts} == {*accounts} - {"population/north patients"}


def test_no_such_dataset(run, north):
    assert "hart" in run("privacy", "explain", "hart", code=2).err
