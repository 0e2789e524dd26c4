"""Whose accounts pay: reserves, periods and cells, at the level of the ledger."""

import datetime as dt
import math

import msgspec
import pytest
import sqlalchemy as sa
from gate_world import CARD, SCHEMA, new_world, open_world
from paying import NOW, WARDS, affords, bill, limits, pay, release_row

from stead.core import codec
from stead.core.leaves import AccountSet, Charge, Charged, DatasetAdded
from stead.core.schema import Column
from stead.errors import BudgetExceeded, PolicyDenied, UsageError
from stead.node.services.payers import Period
from stead.node.services.policy import Budget, Budgets, PeriodBudget, Policy, PolicyRules, read_rules, rules_text
from stead.node.store import tables
from stead.privacy.accounts import Target
from stead.privacy.events import DiscreteGaussian, PartitionSelection
from stead.privacy.reserve import SLACK_UNIT, Reserved

KEYS = PartitionSelection(0.01, 1e-8, 5)  # a slack of 5e-8
COUNT = DiscreteGaussian(25.5, 1.0)
TIGHT = Reserved(Target(1.0, 1e-6, (24,)), 0.0)  # 31 counts: see test_ledger
DAY = 86_400.0


@pytest.fixture
def world(store_url, tmp_path):
    made = new_world(store_url, tmp_path)
    yield made
    made.close()


def test_keys_that_nobody_listed_are_paid_from_the_reserve_until_it_is_used_up(world):
    terms = limits(reserve=4e-7)
    granted = 0
    while affords(world, bill(KEYS, terms)):
        granted += 1
    assert granted == 7  # of 5e-8 each, rounded up, out of 4e-7
    assert affords(world, bill(COUNT, terms))
    world.books.ledger.verify()
    used, reserve = world.books.accounts.reserves()["population/heart patients"]
    assert (used, reserve) == (pytest.approx(3.5e-7, rel=1e-8), 4e-7)
    [charge] = {leaf.charges[0].slack for _, leaf in world.leaves(Charged)[:7]}
    assert charge * SLACK_UNIT == pytest.approx(5e-8, rel=1e-8)
    assert {leaf.reserve for _, leaf in world.leaves(AccountSet)} == {4e-7}


def test_an_account_without_a_reserve_says_how_it_is_given_one(world):
    with pytest.raises(BudgetExceeded, match='keys that nobody listed, with probability 5e-08; project "risk" has no'
                                             " reserve") as caught:  # fmt: skip
        pay(world, bill(KEYS, limits()))
    assert "stead budget set 'project/risk@heart patients' --epsilon 1e+06 --reserve 1e-07" in caught.value.hint
    assert world.books.accounts.all() == ()


def test_what_is_left_of_a_reserve_is_told_of_the_callers_own_accounts_only(world):
    poor, rich = Reserved(Target(9.0, 1e-6, (24,)), 6e-8), Reserved(Target(9.0, 1e-6, (24,)), 1.2e-7)
    own = limits(reserve=5e-7, scientist=poor, population=rich)
    pay(world, bill(KEYS, own))
    with pytest.raises(BudgetExceeded, match=r'scientist "Alice" has 1e-08 left of its reserve'):
        pay(world, bill(KEYS, own))
    shared = limits(reserve=5e-7, population=rich)
    pay(world, bill(KEYS, shared, scientist="Bob", project="other"))
    with pytest.raises(BudgetExceeded, match=r'the budget of population "heart patients" does not cover it') as caught:
        pay(world, bill(KEYS, shared, scientist="Bob", project="other"))
    assert "left" not in caught.value.what


def test_an_older_accounts_reserve_can_be_given_and_taken(world):
    pay(world, bill(COUNT, limits()))
    for account in ("population/heart patients", "project/risk@heart patients", "scientist/Alice@heart patients"):
        world.books.accounts.set_target(account, Target(1e6, 1e-6, (24,)), reserve=1.8e-7)
    assert affords(world, bill(KEYS, limits()))
    # Moved without a word of the reserve, it keeps it.
    world.books.accounts.set_target("population/heart patients", Target(1e5, 1e-6, (24,)))
    assert affords(world, bill(KEYS, limits()))
    world.books.accounts.set_target("population/heart patients", Target(1e5, 1e-6, (24,)), reserve=0.0)
    assert not affords(world, bill(KEYS, limits()))
    with pytest.raises(UsageError, match="part of delta"):
        world.books.accounts.set_target("population/heart patients", Target(1e5, 1e-6, (24,)), reserve=1e-6)
    world.books.ledger.verify()


def test_a_changed_slack_is_found(world):
    pay(world, bill(KEYS, limits(reserve=1e-7)))
    with world.books.store.write() as write:
        write.connection.execute(tables.accounts.update().values(slack=0))
    with pytest.raises(Exception, match="not the sum"):
        world.books.ledger.verify()


def test_new_accounts_reserve_a_tenth_of_delta_unless_the_policy_says_otherwise():
    assert Budget(epsilon=1.0).promise.reserve == pytest.approx(1e-7)
    assert Budget(epsilon=1.0, reserve=0.0).promise.reserve == 0.0
    assert Budget(epsilon=1.0, reserve=3e-7).promise.reserve == 3e-7
    text = "rules = []\n[budgets.project]\nepsilon = 2.0\nreserve = 2e-7\n[budgets.period]\nepsilon = 0.5\ndays = 7\n"
    rules = read_rules(text)
    assert rules.budgets.limits.project.reserve == 2e-7
    assert rules.budgets.limits.period.days == 7
    assert read_rules(rules_text(rules)) == rules
    with pytest.raises(UsageError, match="part of delta"):
        read_rules("rules = []\n[budgets.project]\nepsilon = 2.0\nreserve = 1e-5\n")
    with pytest.raises(UsageError, match="days"):
        read_rules("rules = []\n[budgets.period]\nepsilon = 2.0\ndays = 0\n")


def test_a_policy_without_the_new_words_is_encoded_as_it_was():
    plain = codec.encode(PolicyRules(rules=()))
    assert b"reserve" not in plain
    assert b"period" not in plain
    assert codec.decode(plain, PolicyRules) == PolicyRules(rules=())
    said = PolicyRules(rules=(), budgets=Budgets(period=PeriodBudget(epsilon=0.5), project=Budget(1.0, reserve=0.0)))
    assert codec.decode(codec.encode(said), PolicyRules) == said
    assert (
        "everybody together may spend epsilon 0.5 at delta 1e-06 in each period of 30 days"
        in Policy(said).rules_in_words()
    )


def test_leaves_without_the_new_facts_are_encoded_as_they_were():
    for leaf in (
        AccountSet(at=0.0, account="x", epsilon=1.0, delta=1e-6, orders=(2,)),
        DatasetAdded(at=0.0, dataset="x", population="p", card_hash=bytes(32)),
        Charge(account="x", amounts=(1,)),
    ):
        body = codec.encode(leaf)
        assert not any(word in body for word in (b"reserve", b"partition", b"slack"))
        assert codec.decode(body, type(leaf)) == leaf


@pytest.mark.parametrize(
    ("day", "days", "start"),
    [
        ("1970-01-01", 30, "1970-01-01"),
        ("1970-01-30", 30, "1970-01-01"),
        ("1970-01-31", 30, "1970-01-31"),
        ("1969-12-31", 30, "1969-12-02"),
        ("2026-11-29", 1, "2026-11-29"),
        ("2026-11-29", 7, "2026-11-26"),  # 1970-01-01 was a Thursday, and so is this
    ],
)
def test_windows_are_counted_from_the_first_of_january_1970(day, days, start):
    at = dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC).timestamp()
    period = Period(TIGHT, days)
    for second in (at, at + DAY - 1):
        assert period.start(second).isoformat() == start


def test_a_period_caps_everybody_together_and_the_next_one_is_new(world):
    terms = limits(period=Period(TIGHT, 30))
    names = [("Alice", "risk"), ("Bob", "other")]

    def spend(at):
        count = 0
        while affords(
            world, bill(COUNT, terms, scientist=names[count % 2][0], project=names[count % 2][1], at=at), at=at
        ):
            count += 1
        return count

    assert spend(NOW) == 31
    start = terms.period.start(NOW)
    with pytest.raises(BudgetExceeded, match=f"for the period from {start} at North Hospital does not cover") as caught:
        pay(world, bill(COUNT, terms))
    assert "wait for the next period" in caught.value.hint
    assert "left" not in caught.value.what
    assert spend(NOW + 30 * DAY) == 31
    spent = world.books.ledger.replay()
    one = spent[f"period/{start}@heart patients"].spent[0]
    assert spent["population/heart patients"].spent[0] == 2 * one  # never reset
    world.books.ledger.verify()


def test_a_release_that_was_paid_in_an_earlier_window_stays_paid(world):
    terms = limits(period=Period(TIGHT, 30))
    first = bill(COUNT, terms)
    pay(world, first)
    later = bill(COUNT, terms, at=NOW + 45 * DAY, release=first.release)
    assert later.accounts.ids != first.accounts.ids
    with world.books.store.read() as connection:
        assert world.books.ledger.covers(connection, later)
        dearer = bill(DiscreteGaussian(5.0, 1.0), terms, release=first.release)
        assert not world.books.ledger.covers(connection, dearer)
        keys = bill(KEYS, terms, release=first.release)
        assert not world.books.ledger.covers(connection, keys)


def test_a_scientist_is_not_shown_the_period(world):
    terms = limits(period=Period(TIGHT, 30))
    owed = bill(COUNT, terms)
    kinds = [[view.account.partition("/")[0] for view in world.books.ledger.quote(owed, owner=owner)[0]]
             for owner in (False, True)]  # fmt: skip
    assert kinds == [["project", "scientist"], ["period", "population", "project", "scientist"]]


def test_cells_pay_apart_and_the_worst_one_is_shown_and_refuses(world):
    terms = limits(project=TIGHT)
    for _ in range(20):
        pay(world, bill(COUNT, terms, schema=WARDS, cells=("a",)))
    assert affords(world, bill(COUNT, terms, schema=WARDS, cells=("b",)))
    assert set(world.books.ledger.replay()) == {
        f"{whole}#ward={value}"
        for whole in ("population/heart patients", "project/risk@heart patients", "scientist/Alice@heart patients")
        for value in "ab"
    }
    for _ in range(11):
        pay(world, bill(COUNT, terms, schema=WARDS))
    before = world.books.ledger.replay()
    with pytest.raises(BudgetExceeded, match=r'project "risk" \(ward=a\) has epsilon'):
        pay(world, bill(COUNT, terms, schema=WARDS))
    assert world.books.ledger.replay() == before  # b and c have not paid either
    assert affords(world, bill(COUNT, terms, schema=WARDS, cells=("b", "c")))
    shown, _ = world.books.ledger.quote(bill(COUNT, terms, schema=WARDS))
    assert shown[0].account == "project/risk@heart patients#ward=a"
    shown, _ = world.books.ledger.quote(bill(COUNT, terms, schema=WARDS, cells=("b", "c")))
    assert shown[0].account == "project/risk@heart patients#ward=b"
    world.books.ledger.verify()


@pytest.mark.parametrize("first", [SCHEMA, WARDS])
def test_a_population_is_kept_as_it_was_first_charged(world, first):
    pay(world, bill(COUNT, limits(), schema=first))
    fewer = msgspec.structs.replace(
        WARDS, columns=(Column(name="ward", kind="category", categories=("a", "b")), WARDS.columns[1])
    )
    smokers = msgspec.structs.replace(WARDS, partition="smoker")
    before = world.books.ledger.replay()
    for other in {"whole": SCHEMA, "wards": WARDS, "fewer": fewer, "smokers": smokers}.values():
        if other is not first:
            with pytest.raises(PolicyDenied, match="another partition"):
                pay(world, bill(COUNT, limits(), schema=other))
    assert world.books.ledger.replay() == before
    with pytest.raises(Exception, match="append-only"), world.books.store.write() as write:
        write.connection.execute(tables.populations.update().values(partition=()))


def test_a_store_of_the_first_version_keeps_its_accounts_whole_and_without_a_reserve(tmp_path):
    """A charged store is put back to version 1, and opened."""
    world = new_world(tmp_path / "a.db", tmp_path)
    pay(world, bill(COUNT, limits()))
    with world.books.store.write() as write:
        for statement in (
            "DROP TABLE populations",
            "ALTER TABLE accounts DROP COLUMN reserve",
            "ALTER TABLE accounts DROP COLUMN slack",
            "ALTER TABLE entries DROP COLUMN slack",
            "UPDATE alembic_version SET version_num = '0001'",
        ):
            write.connection.exec_driver_sql(statement)
    world.close()
    world = open_world(tmp_path / "a.db", tmp_path)
    world.books.ledger.verify()
    assert world.books.accounts.kept_by(CARD.schema.population) == ()
    assert set(world.books.accounts.reserves().values()) == {(0.0, 0.0)}
    assert affords(world, bill(COUNT, limits()))
    with pytest.raises(PolicyDenied):
        pay(world, bill(COUNT, limits(), schema=WARDS))
    world.close()


def test_a_disclosure_is_counted_in_the_cells_that_it_reads(world):
    with world.books.store.write() as write:
        owed = bill(None, limits(), schema=WARDS, cells=("c",))
        write.connection.execute(tables.releases.insert().values(release_row(owed, at=NOW)))
        assert world.books.ledger.charge(write, owed, at=NOW) == ()
    with world.books.store.read() as connection:
        counts = connection.execute(sa.select(tables.accounts.c.id, tables.accounts.c.disclosures)).all()
    assert {tuple(count) for count in counts} == {(account, 1) for account in owed.accounts.ids}
    assert world.books.ledger.alone(owed)[0] == math.inf
