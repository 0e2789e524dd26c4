"""What a dataset's promise means, in words: from the card and the accounts, with figures computed here again."""

import math

import msgspec
import pytest

from stead.core.messages import AccountView
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.plans.privacy_words import EPSILONS, explain, percent

COLUMNS = (Column("patient", "text"), Column("age", "integer", bounds=Bounds(0, 100)))


def card(*, person="patient", rows=5, people=(100, 5000)):
    return DatasetCard("heart", Schema("north patients", "patient", COLUMNS, people, person, rows))


def account(name="population/north patients", *, limit=4.0, spent=1.5, disclosures=0):
    return AccountView(name, limit, spent, 1e-6, disclosures)


def test_every_figure_follows_from_epsilon():
    found = explain(card(), [account(limit=3.0)], delta=1e-6)
    assert [each.epsilon for each in found.answers] == [0.1, 0.5, 1, 2, 4] == list(EPSILONS)
    for each in (*found.answers, found.accounts[0].at_limit):
        odds = math.exp(each.epsilon)
        assert each.from_half == pytest.approx(odds / (1 + odds))
        assert each.from_tenth == pytest.approx(odds / (9 + odds))
        assert each.from_hundredth == pytest.approx(odds / (99 + odds))
        assert each.detected == pytest.approx(min(odds * 0.05 + 1e-6, 1 - (0.95 - 1e-6) / odds, 1.0))
        assert each.guessed == pytest.approx(1 - (1 - 1e-6) / (1 + odds))
    assert found.exposed == pytest.approx(0.005)
    assert found.accounts[0].epsilon_left == 1.5
    assert found.groups[1].epsilon == 4.0
    assert found.groups[1].delta == pytest.approx(1e-6 * (1 + math.e + math.e**2 + math.e**3))


def test_the_text_holds_the_figures():
    text = str(explain(card(), [account()], delta=1e-6))
    assert "one patient: all of theirs, up to 5 rows" in text
    assert "at most 73.2 %" in text  # e / (1 + e) = 73.106 %, rounded up
    assert "at most 13.6 %" in text  # 5 % e = 13.591 %
    assert "Of 100 to 5,000" in text
    assert "expose 0.005 on average: far below one" in text
    assert "population/north patients  1.500  4   2.500" in text
    assert max(map(len, text.splitlines())) <= 120
    for word in ("groups", "owner", "how long", "as a whole"):
        assert word in text.partition("Not protected")[2]


def test_units_are_said_as_they_are():
    assert "one row of theirs, the only one" in str(explain(card(rows=1), [], delta=1e-6))
    alone = str(explain(card(person=None, rows=1), [], delta=1e-6))
    assert "whoever has several rows is a group" in alone
    assert "(no account)" in alone


def test_a_delta_that_is_too_large_is_said():
    assert "choose a smaller delta" in str(explain(card(people=(100, 10**6)), [account()], delta=1e-6))


def test_disclosures_are_said_once():
    views = [account(disclosures=2), account("project/p@north patients", disclosures=2)]
    assert "2 releases have gone out without differential privacy" in str(explain(card(), views, delta=1e-6))
    assert "1 release has gone out" in str(explain(card(), [account(disclosures=1)], delta=1e-6))
    assert "gone out" not in str(explain(card(), [account()], delta=1e-6))


def test_what_was_overspent_leaves_nothing():
    found = explain(card(), [account(limit=1.0, spent=1.5)], delta=1e-6)
    assert found.accounts[0].epsilon_left == 0.0


def test_it_is_one_document():
    found = explain(card(), [account()], delta=1e-6)
    again = msgspec.json.decode(msgspec.json.encode(found), type=type(found))
    assert again == found
    assert repr(found) == str(found)


@pytest.mark.parametrize(("chance", "text"), [(0.7301, "73.1 %"), (0.731, "73.1 %"), (1.0, "100.0 %"), (0.0, "0.0 %")])
def test_percentages_are_rounded_up(chance, text):
    assert percent(chance) == text
