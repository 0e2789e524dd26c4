"""The ledger: all or nothing, exact under concurrency, and equal to the replay of its entries."""

import math
import multiprocessing

import pytest
import sqlalchemy as sa
from gate_world import ALICE, FREE, FakeRunner, ask, new_world, open_world, opening, release_id
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.leaves import AccountSet, Charged
from stead.errors import BadProof, BudgetExceeded, UsageError
from stead.node.services.policy import Budget, Budgets, PolicyRules
from stead.node.services.refusals import shown
from stead.node.store import tables
from stead.privacy.accounts import Target

WRITERS = 8
SIGMA = 25.5
TIGHT = Budget(epsilon=1.0, delta=1e-6, orders=(24,), reserve=0.0)


def rules(**budgets):
    return PolicyRules(
        rules=FREE.rules,
        budgets=Budgets(
            population=budgets.get("population", FREE.budgets.population),
            project=budgets.get("project", FREE.budgets.project),
            scientist=budgets.get("scientist", FREE.budgets.scientist),
        ),
    )


def affordable(sigma, *, order=24, epsilon=1.0, delta=1e-6):
    """How many counts of noise ``sigma`` one account pays: its room at its order over the cost of one.

    Room: Canonne, Kamath, Steinke 2020, proposition 12, solved for the divergence. Cost: proposition 5.
    """
    room = epsilon - math.log((order - 1) / order) + (math.log(delta) + math.log(order)) / (order - 1)
    return math.floor(room / (order / (2 * sigma**2)))


def ask_until_refused(url, directory, writer, results):
    world = open_world(url, directory, runner=FakeRunner())
    granted = 0
    try:
        while True:
            world.gate.answer(ALICE, ask(release_id("writer", writer, granted), sigma=SIGMA))
            granted += 1
    except BudgetExceeded:
        results.put(granted)
    finally:
        world.close()


def test_eight_writer_processes_are_granted_exactly_what_the_account_allows(store_url, tmp_path):
    expected = affordable(SIGMA)
    assert expected == 31  # 31.43 by hand: far from a whole number, so rounding cannot decide
    world = new_world(store_url, tmp_path, rules=rules(population=TIGHT))
    world.close()
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    writers = [
        fork.Process(target=ask_until_refused, args=(store_url, tmp_path, writer, results)) for writer in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    granted = [results.get(timeout=120) for _ in writers]
    for writer in writers:
        writer.join()
    world = open_world(store_url, tmp_path)
    world.books.ledger.verify()
    assert sum(granted) == len(world.leaves(Charged)) == expected
    world.close()


@pytest.mark.parametrize("poor", ["population", "project", "scientist"])
def test_a_charge_holds_all_its_accounts_or_none(store_url, tmp_path, poor):
    world = new_world(store_url, tmp_path, rules=rules(**{poor: TIGHT}))
    with pytest.raises(BudgetExceeded):
        world.gate.answer(ALICE, ask(sigma=1.0))
    assert world.books.accounts.all() == ()
    world.gate.answer(ALICE, ask(sigma=SIGMA))
    before = world.books.ledger.replay()
    with pytest.raises(BudgetExceeded):
        world.gate.answer(ALICE, ask(sigma=1.0))
    assert world.books.ledger.replay() == before
    assert len(before) == 3
    world.close()


def test_accounts_are_of_people_not_of_files(store_url, tmp_path):
    from gate_world import CARD

    world = new_world(store_url, tmp_path)
    world.appraiser._card = lambda name: type(CARD)(name=name, schema=CARD.schema)
    from gate_world import plan

    world.gate.answer(ALICE, ask(data=plan(dataset="heart")))
    world.gate.answer(ALICE, ask(data=plan(dataset="the same people again")))
    [cost] = {leaf.charges[0].amounts for _, leaf in world.leaves(Charged)}
    assert world.books.ledger.replay()["population/heart patients"].spent == (2 * cost[0],)
    world.close()


def test_another_scientist_of_the_project_has_an_own_account_and_shares_the_projects(store_url, tmp_path):
    world = new_world(store_url, tmp_path)
    bob, laptop = b"\x01" * 32, b"\x02" * 32
    world.books.people.enrol(bob, "Bob", role="scientist", project="risk")
    world.books.people.enrol(laptop, "Bob", role="scientist", project="risk")
    for key in (ALICE, bob, laptop):
        world.gate.answer(key, ask())
    one = world.leaves(Charged)[0][1].charges[0].amounts[0]
    spent = {account: balance.spent[0] // one for account, balance in world.books.ledger.replay().items()}
    assert spent == {
        "population/heart patients": 3,
        "project/risk@heart patients": 3,
        "scientist/Alice@heart patients": 1,
        "scientist/Bob@heart patients": 2,
    }
    world.close()


def test_new_accounts_are_logged_before_their_first_charge_and_not_when_it_is_refused(store_url, tmp_path):
    world = new_world(store_url, tmp_path, rules=rules(project=TIGHT))
    with pytest.raises(BudgetExceeded):
        world.gate.answer(ALICE, ask(sigma=1.0))
    assert world.leaves(AccountSet) == []
    world.gate.answer(ALICE, ask(sigma=SIGMA))
    world.gate.answer(ALICE, ask(sigma=SIGMA))
    made = world.leaves(AccountSet)
    assert [leaf.account for _, leaf in made] == [
        "population/heart patients",
        "project/risk@heart patients",
        "scientist/Alice@heart patients",
    ]
    assert max(place for place, _ in made) < world.leaves(Charged)[0][0]
    world.close()


def test_raising_a_limit_lets_the_same_request_through(store_url, tmp_path):
    world = new_world(store_url, tmp_path, rules=rules(scientist=TIGHT))
    request = ask(sigma=4.0)
    world.gate.answer(ALICE, ask(sigma=5.0))
    with pytest.raises(BudgetExceeded):
        world.gate.answer(ALICE, request)
    world.books.accounts.set_target("scientist/Alice@heart patients", Target(3.0, 1e-6, (24,)))
    world.gate.answer(ALICE, request)
    world.books.ledger.verify()
    world.close()


def test_orders_of_an_account_are_fixed_at_registration(store_url, tmp_path):
    world = new_world(store_url, tmp_path)
    world.books.accounts.set_target("population/p", Target(1.0, 1e-6, (24,)))
    with pytest.raises(UsageError, match="fixed"):
        world.books.accounts.set_target("population/p", Target(1.0, 1e-6, (32,)))
    world.close()


@pytest.mark.parametrize("damage", ["UPDATE accounts SET spent = '[0]'", "UPDATE accounts SET disclosures = 7"])
def test_a_changed_account_is_found(store_url, tmp_path, damage):
    world = new_world(store_url, tmp_path)
    world.gate.answer(ALICE, ask())
    world.books.ledger.verify()
    with world.books.store.write() as write:
        write.connection.exec_driver_sql(damage)
    with pytest.raises(BadProof, match="not the sum"):
        world.books.ledger.verify()
    world.close()


def test_an_entry_that_the_log_does_not_know_is_found(store_url, tmp_path):
    world = new_world(store_url, tmp_path)
    request = ask()
    world.gate.answer(ALICE, request)
    rows = tables.accounts
    with world.books.store.write() as write:
        entry = {"release": request.release, "account": "population/heart patients", "kind": "charge"}
        write.connection.execute(tables.entries.insert().values(**entry, amounts=(0,), at=0.0))
        assert write.connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar() == 3
    with pytest.raises(BadProof, match="in the log"):
        world.books.ledger.verify()
    world.close()


def unguarded(write, *names):
    """Drop these guards: what the owner of a database can always do."""
    for name in names:
        table = name.partition("_no_")[0].partition("_facts_")[0]
        on = f" ON {table}" if write.connection.dialect.name == "postgresql" else ""
        write.connection.exec_driver_sql(f"DROP TRIGGER {name}{on}")


def test_two_releases_that_change_their_places_are_found(store_url, tmp_path):
    """Every sum stays right; only what was charged for what is another."""
    world = new_world(store_url, tmp_path)
    cheap, dear = ask(sigma=1000.0), ask(sigma=900.0)
    for request in (cheap, dear):
        world.gate.answer(ALICE, request)
    world.books.ledger.verify()
    other = {cheap.release: dear.release, dear.release: cheap.release}
    columns = tables.entries.c
    with world.books.store.write() as write:
        unguarded(write, "entries_no_update")
        rows = write.connection.execute(sa.select(columns.id, columns.release)).all()
        for number, release in rows:
            change = tables.entries.update().where(columns.id == number)
            write.connection.execute(change.values(release=other[bytes(release)]))
    with pytest.raises(BadProof, match="in the log"):
        world.books.ledger.verify()
    world.close()


def test_a_charge_without_its_leaf_is_found_where_another_stands_twice_in_the_log(store_url, tmp_path):
    """As many charges in the log as in the ledger, and every account the sum of its entries."""
    world = new_world(store_url, tmp_path)
    first, second = ask(), ask()
    for request in (first, second):
        world.gate.answer(ALICE, request)
    one, two = (place for place, _ in world.leaves(Charged))
    nodes, kept = tables.leaves, {}
    with world.books.store.write() as write:
        unguarded(write, "leaves_no_update")
        kept = write.connection.execute(sa.select(nodes).where(nodes.c.position == one)).mappings().one()
        change = nodes.update().where(nodes.c.position == two)
        write.connection.execute(change.values(body=kept["body"]))
    with pytest.raises(BadProof, match="in the log"):
        world.books.ledger.verify()
    world.close()


def test_an_entry_of_other_orders_is_found(store_url, tmp_path):
    world = new_world(store_url, tmp_path)
    world.gate.answer(ALICE, ask())
    with world.books.store.write() as write:
        unguarded(write, "entries_no_update")
        write.connection.execute(tables.entries.update().values(amounts=(1, 2)))
    with pytest.raises(BadProof, match="2 amounts, not 1"):
        world.books.ledger.replay()
    world.close()


def test_books_longer_than_a_batch_are_gone_through_whole(store_url, tmp_path, monkeypatch):
    monkeypatch.setattr("stead.node.services.ledger._RELEASES_AT_ONCE", 2)
    monkeypatch.setattr("stead.node.store.engine.BATCH_ROWS", 3)
    world = new_world(store_url, tmp_path)
    requests = [ask() for _ in range(5)]
    for request in requests:
        world.gate.answer(ALICE, request)
    world.gate.disclose(ALICE, opening(outlet="disclose"))
    world.books.ledger.verify()
    world.books.log.verify()
    [balance] = {each for name, each in world.books.ledger.replay().items() if name.startswith("population/")}
    [one] = {leaf.charges[0].amounts[0] for _, leaf in world.leaves(Charged) if leaf.charges}
    assert (balance.spent, balance.disclosures) == ((5 * one,), 1)
    with world.books.store.write() as write:
        unguarded(write, "entries_no_update")
        last = tables.entries.c.release == requests[-1].release
        write.connection.execute(tables.entries.update().where(last).values(release=requests[0].release))
    with pytest.raises(BadProof, match="in the log"):
        world.books.ledger.verify()
    world.close()


@given(st.floats(1e-9, 1e6))
@settings(max_examples=200)
def test_shown_costs_are_never_low_and_shown_rests_never_high(epsilon):
    up, down = float(shown(epsilon, up=True)), float(shown(epsilon, up=False))
    assert up >= epsilon * (1 - 1e-6) - 1e-9
    assert down <= epsilon * (1 + 1e-6) + 1e-9
    assert up - down <= max(0.0101, 0.2 * epsilon)


def test_numbers_are_shown_with_two_places_or_two_digits():
    assert [shown(x, up=True) for x in (0.801, 0.0123, 12.0, 0.75 * (1 + 2**-30))] == [
        "0.81",
        "0.013",
        "12.00",
        "0.75",
    ]
    assert [shown(x, up=False) for x in (0.319, 0.0129, 0.0)] == ["0.31", "0.012", "0.00"]
    assert shown(math.inf, up=True) == "infinite"
