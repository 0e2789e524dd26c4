"""The gate, state by state: what it charges, runs, keeps and sends, on both kinds of store."""

import hashlib

import numpy as np
import pytest
from gate_world import (
    ALICE,
    EXACT,
    FREE,
    MALLORY,
    NODE_KEY,
    SCHEMA,
    FakeRunner,
    StillClock,
    UnreadableRows,
    ask,
    decode_body,
    new_world,
    open_world,
    plan,
    release_id,
)

from stead.core.entropy import SeededEntropy, SystemEntropy
from stead.core.leaves import Asked, Charged, Decided, Refused, ResultStored
from stead.core.messages import Preview, Released, Waiting
from stead.core.notes import log_origin
from stead.core.receipts import verify_receipt
from stead.errors import (
    BadMessage,
    BudgetExceeded,
    NodeError,
    PolicyDenied,
    PurposeMissing,
    TooExpensive,
    UnknownColumn,
    UsageError,
)
from stead.node.services.appraisal import language
from stead.node.services.books import open_books
from stead.node.services.log import Identity
from stead.node.services.policy import DEFAULT_RULES, Budget, Budgets, Ceilings, PolicyRules, Rule
from stead.node.store import open_store
from stead.plans.plan import encode_plan, plan_hash
from stead.plans.query import Compare, Count, Filter, Histogram, Query
from stead.plans.sums import run_exact

STATES = ("received", "decided", "charging", "charged", "running", "ran", "storing", "stored", "sending")


class Stop(BaseException):
    """The process ends here, as far as the gate can tell."""


def stop_at(name):
    def at(state):
        if state == name:
            raise Stop

    return at


def asking(approvers=("Dr. Owner",)):
    rules = (Rule(outlet="answer", decision="ask", reason="a person decides", approvers=approvers),)
    return PolicyRules(rules=rules, budgets=FREE.budgets)


@pytest.fixture
def world(store_url, tmp_path):
    made = new_world(store_url, tmp_path, runner=FakeRunner())
    yield made
    made.close()


def spent(world):
    return {view.account: view.epsilon_spent for view in world.books.accounts.all()}


def test_an_answer_is_charged_to_all_three_accounts_and_proven(world):
    request = ask()
    released = world.gate.answer(ALICE, request)
    assert isinstance(released, Released)
    leaf = verify_receipt(released.receipt, world.books.log.node_key, log_origin(world.books.log.node_key))
    assert leaf == ResultStored(at=leaf.at, release=request.release, result_hash=hashlib.sha256(released.body).digest())
    [(place, charged)] = world.leaves(Charged)
    assert place < released.receipt.index
    assert [charge.account for charge in charged.charges] == [
        "population/heart patients",
        "project/risk@heart patients",
        "scientist/Alice@heart patients",
    ]
    # Rényi divergence of a discrete Gaussian, Canonne, Kamath, Steinke 2020, proposition 5: order / (2 sigma^2).
    nats = charged.charges[0].amounts[0] * 2.0**-40
    assert nats == pytest.approx(24 / (2 * 1000.0**2), rel=1e-6)
    assert charged.charges[0].amounts == charged.charges[1].amounts == charged.charges[2].amounts
    assert (charged.requester, charged.project, charged.dataset, charged.why) == (ALICE, "risk", "heart", "Table 1")
    world.books.ledger.verify()


def test_the_released_integers_carry_the_plans_noise(world):
    values = [int(decode_body(world.gate.answer(ALICE, ask(sigma=1000.0)).body)[0]) - EXACT for _ in range(20)]
    # 20 draws of sigma 1000: a root mean square outside 400 to 1900 has probability below 1e-5 (chi-square).
    assert 400 < np.sqrt(np.mean(np.square(values))) < 1900


@pytest.mark.parametrize("state", STATES)
def test_after_a_stop_in_any_state_a_retry_is_one_release_and_one_charge(store_url, tmp_path, state):
    sent = []
    request = ask(release_id(state))
    first = new_world(store_url, tmp_path, runner=FakeRunner(), at=stop_at(state))
    with pytest.raises(Stop):
        sent.append(first.gate.answer(ALICE, request).body)
    first.close()
    charged_before = state not in ("received", "decided", "charging")
    second = open_world(store_url, tmp_path, runner=FakeRunner())
    assert len(second.leaves(Charged)) == charged_before
    bodies = {second.gate.answer(ALICE, request).body for _ in range(3)}
    assert len(bodies) == 1
    assert [leaf.release for _, leaf in second.leaves(Charged)] == [request.release]
    assert [leaf.release for _, leaf in second.leaves(ResultStored)] == [request.release]
    second.books.ledger.verify()
    second.close()


def test_states_come_in_the_documented_order(store_url, tmp_path):
    seen = []
    world = new_world(store_url, tmp_path, at=seen.append)
    world.gate.answer(ALICE, ask())
    assert tuple(seen) == STATES
    world.close()


def test_a_stored_answer_is_sent_again_without_running(world):
    request = ask()
    body = world.gate.answer(ALICE, request).body
    world.gate._runner = UnreadableRows()
    before = spent(world)
    assert world.gate.answer(ALICE, request).body == body
    assert spent(world) == before


@pytest.mark.parametrize(
    "change",
    [{"sigma": 999.0}, {"why": "Table 9"}, {"data": plan(name="others")}],
    ids=["less noise", "another purpose", "another plan"],
)
def test_a_release_id_belongs_to_its_first_request(world, change):
    request = ask()
    world.gate.answer(ALICE, request)
    with pytest.raises(PolicyDenied, match="another request"):
        world.gate.answer(ALICE, ask(request.release, **change))
    assert len(world.leaves(Charged)) == 1


def test_a_release_id_belongs_to_its_requester(world):
    request = ask()
    world.gate.answer(ALICE, request)
    world.books.people.enrol(MALLORY, "Mallory", role="scientist", project="risk")
    with pytest.raises(PolicyDenied, match="another request"):
        world.gate.answer(MALLORY, request)


def test_a_stranger_to_the_project_is_refused_and_logged(world):
    with pytest.raises(PolicyDenied, match="not enrolled in project 'other'"):
        world.gate.answer(ALICE, ask(project="other"))
    [(_, leaf)] = world.leaves(Refused)
    assert (leaf.requester, leaf.outlet, leaf.error) == (ALICE, "answer", "policy-denied")


def test_a_revoked_key_is_refused(world):
    world.books.people.revoke(ALICE)
    with pytest.raises(PolicyDenied):
        world.gate.answer(ALICE, ask())


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (ask(why="  "), PurposeMissing),
        (ask(why="x" * 2001), UsageError),
        (ask(b"short"), BadMessage),
        (ask(data=b"\x93no plan"), BadMessage),
        (ask(data=plan(dataset="liver")), UsageError),
    ],
    ids=["no purpose", "a novel", "short id", "no plan", "no dataset"],
)
def test_what_is_not_a_question_is_refused_and_logged(world, request_, error):
    with pytest.raises(error):
        world.gate.answer(ALICE, request_)
    assert [leaf.error for _, leaf in world.leaves(Refused)] == [error.code()]
    assert world.gate._runner.runs == 0
    assert spent(world) == {}


def test_over_budget_names_cost_and_what_is_left_of_the_callers_account(store_url, tmp_path):
    limit = Budget(epsilon=1.0, delta=1e-6, orders=(24,))
    budgets = Budgets(population=FREE.budgets.population, project=FREE.budgets.project, scientist=limit)
    world = new_world(store_url, tmp_path, rules=PolicyRules(rules=FREE.rules, budgets=budgets))
    world.gate.answer(ALICE, ask(sigma=10.0))
    with pytest.raises(BudgetExceeded) as caught:
        world.gate.answer(ALICE, ask(sigma=4.0))
    # By hand, order 24: conversion = ln(23/24) - (ln 1e-6 + ln 24)/23 = 0.4199395; 24/(2*10^2) = 0.12 spent,
    # so 0.5399395 of 1.0; the question adds 24/(2*4^2) = 0.75.
    text = 'this query costs epsilon 0.75; scientist "Alice" has epsilon 0.46 left at North Hospital.'
    assert caught.value.what == text
    assert [leaf.reason for _, leaf in world.leaves(Refused)] == [caught.value.what]
    assert len(world.leaves(Charged)) == 1
    world.books.ledger.verify()
    world.close()


def test_a_spent_population_does_not_tell_what_others_spent(store_url, tmp_path):
    limit = Budget(epsilon=1.0, delta=1e-6, orders=(24,))
    budgets = Budgets(population=limit, project=FREE.budgets.project, scientist=FREE.budgets.scientist)
    texts = []
    for others in (5.0, 7.0):
        directory = tmp_path / str(others)
        directory.mkdir()
        world = new_world(str(directory / "stead.db"), directory, rules=PolicyRules(rules=FREE.rules, budgets=budgets))
        world.books.people.enrol(MALLORY, "Mallory", role="scientist", project="other")
        world.gate.answer(MALLORY, ask(sigma=others, project="other"))
        with pytest.raises(BudgetExceeded) as caught:
            world.gate.answer(ALICE, ask(sigma=4.0))
        texts.append(str(caught.value))
        world.close()
    assert texts[0] == texts[1]
    assert 'population "heart patients"' in texts[0]


def test_the_default_policy_allows_small_questions_only(store_url, tmp_path):
    world = new_world(store_url, tmp_path, rules=None)
    assert isinstance(world.gate.answer(ALICE, ask(sigma=1000.0)), Released)
    assert isinstance(world.gate.answer(ALICE, ask(sigma=10.0)), Waiting)
    assert [rule.decision for rule in DEFAULT_RULES.rules] == ["allow", "ask", "ask", "deny"]
    world.close()


def test_a_plan_over_the_ceilings_is_too_expensive(store_url, tmp_path):
    rules = PolicyRules(rules=FREE.rules, budgets=FREE.budgets, ceilings=Ceilings(flops=999))
    world = new_world(store_url, tmp_path, rules=rules)
    with pytest.raises(TooExpensive, match="1,000 operations; the limit is 999"):
        world.gate.answer(ALICE, ask())
    world.close()


def test_without_a_rule_the_word_is_deny(store_url, tmp_path):
    world = new_world(store_url, tmp_path, rules=PolicyRules(rules=(), budgets=FREE.budgets))
    with pytest.raises(PolicyDenied, match="no rule"):
        world.gate.answer(ALICE, ask())
    world.close()


def test_a_person_decides_and_the_same_request_goes_on(store_url, tmp_path):
    world = new_world(store_url, tmp_path, rules=asking())
    request = ask()
    waiting = world.gate.answer(ALICE, request)
    assert waiting == world.gate.answer(ALICE, request)
    assert waiting.approvers == ("Dr. Owner",)
    assert spent(world) == {}
    [view] = world.requests.all()
    assert (view.request, view.requester, view.claim.plan) == (waiting.request, "Alice", request.plan)
    with pytest.raises(PolicyDenied, match=r"Dr\. Owner"):
        world.requests.approve(waiting.request, "Dr. Nobody")
    world.requests.approve(waiting.request, "Dr. Owner")
    assert isinstance(world.gate.answer(ALICE, request), Released)
    assert len(world.leaves(Asked)) == len(world.leaves(Decided)) == 1
    assert world.leaves(Charged)[0][1].approvers == ("Dr. Owner",)
    assert world.requests.all() == ()
    with pytest.raises(UsageError, match="waits no longer"):
        world.requests.deny(waiting.request, "Dr. Owner", reason="late")
    world.close()


def test_an_approval_is_for_that_plan_only(store_url, tmp_path):
    world = new_world(store_url, tmp_path, rules=asking())
    request = ask()
    world.requests.approve(world.gate.answer(ALICE, request).request, "Dr. Owner")
    with pytest.raises(PolicyDenied, match="another request"):
        world.gate.answer(ALICE, ask(request.release, sigma=1.0))
    world.close()


def test_a_denial_is_for_ever_and_gives_its_reason(store_url, tmp_path):
    world = new_world(store_url, tmp_path, rules=asking())
    request = ask()
    waiting = world.gate.answer(ALICE, request)
    with pytest.raises(UsageError, match="reason"):
        world.requests.deny(waiting.request, "Dr. Owner", reason=" ")
    world.requests.deny(waiting.request, "Dr. Owner", reason="not for marketing")
    world.books.policies.set(FREE)
    with pytest.raises(PolicyDenied, match="not for marketing"):
        world.gate.answer(ALICE, request)
    world.close()


def test_an_approval_by_somebody_who_may_no_longer_is_asked_again(store_url, tmp_path):
    world = new_world(store_url, tmp_path, rules=asking())
    request = ask()
    world.requests.approve(world.gate.answer(ALICE, request).request, "Dr. Owner")
    world.books.policies.set(asking(approvers=("Dr. Successor",)))
    assert world.gate.answer(ALICE, request).approvers == ("Dr. Successor",)
    world.close()


def test_a_policy_that_turned_to_deny_wins_over_an_approval(store_url, tmp_path):
    world = new_world(store_url, tmp_path, rules=asking())
    request = ask()
    world.requests.approve(world.gate.answer(ALICE, request).request, "Dr. Owner")
    world.books.policies.set(PolicyRules(rules=(), budgets=FREE.budgets))
    with pytest.raises(PolicyDenied):
        world.gate.answer(ALICE, request)
    world.close()


def test_nobody_is_asked_for_what_no_budget_can_pay(store_url, tmp_path):
    tight = Budget(epsilon=1.0, orders=(24,))
    rules = PolicyRules(rules=asking().rules, budgets=Budgets(population=tight, project=tight, scientist=tight))
    world = new_world(store_url, tmp_path, rules=rules)
    with pytest.raises(BudgetExceeded):
        world.gate.answer(ALICE, ask(sigma=1.0))
    assert world.requests.all(None) == ()
    world.close()


def test_whoever_stores_first_wins_and_both_send_the_same(store_url, tmp_path):
    request = ask()
    inner = open_world(store_url, tmp_path, runner=FakeRunner(exact=1))
    inner.books.policies.set(FREE)
    inner.books.people.enrol(ALICE, "Alice", role="scientist", project="risk")
    got = []

    def at(state):
        if state == "ran" and not got:
            got.append(inner.gate.answer(ALICE, request).body)

    outer = open_world(store_url, tmp_path, runner=FakeRunner(exact=2), at=at)
    assert outer.gate.answer(ALICE, request).body == got[0]
    assert len(outer.leaves(Charged)) == len(outer.leaves(ResultStored)) == 1
    inner.close()
    outer.close()


def test_a_preview_spends_and_logs_nothing_and_touches_no_row(store_url, tmp_path):
    world = new_world(store_url, tmp_path, runner=UnreadableRows())
    size = world.books.log.size()
    quote = world.appraiser.quote(ALICE, Preview(project="risk", plan=plan(10.0), outlet="answer"))
    # Order 24 at delta 1e-6, as above: 0.4199395 + 24/(2*10^2).
    assert quote.epsilon == pytest.approx(0.5399395, abs=1e-6)
    assert [view.account for view in quote.accounts] == [
        "project/risk@heart patients",
        "scientist/Alice@heart patients",
    ]
    assert [view.epsilon_spent for view in quote.accounts] == [0.0, 0.0]
    assert quote.accounts_after[0].epsilon_spent == pytest.approx(0.5399395, abs=1e-6)
    assert (quote.decision, quote.reason, quote.rounds) == ("allow", "free", 1)
    assert world.books.log.size() == size
    assert spent(world) == {}
    world.close()


class Failing:
    def run(self, query, dataset):
        raise ValueError("patient 4711 has value 1e400")


@pytest.mark.parametrize("broken", ["raises", "shape", "kind"])
def test_a_runner_that_fails_says_nothing_and_the_charge_stays(store_url, tmp_path, caplog, broken):
    runner = Failing() if broken == "raises" else FakeRunner()
    if broken != "raises":
        wrong = np.zeros(2, dtype=np.int64) if broken == "shape" else np.zeros(1)
        runner.run = lambda *_: wrong
    world = new_world(store_url, tmp_path, runner=runner)
    request = ask()
    with pytest.raises(NodeError) as caught:
        world.gate.answer(ALICE, request)
    assert caught.value.reference
    assert caught.value.__context__ is None
    assert "4711" not in str(caught.value) + caplog.text
    assert len(world.leaves(Charged)) == 1
    world.gate._runner = FakeRunner()
    assert isinstance(world.gate.answer(ALICE, request), Released)
    assert len(world.leaves(Charged)) == 1
    world.close()


def test_seeded_entropy_is_refused_outside_of_testing(store_url, tmp_path):
    store = open_store(store_url)
    options = {"checkpoint": tmp_path / "checkpoint.txt", "clock": StillClock(), "entropy": SeededEntropy(1)}
    with pytest.raises(UsageError, match="randomness"):
        open_books(store, Identity("n", NODE_KEY), **options)
    books = open_books(store, Identity("n", NODE_KEY, testing=True), **options)
    assert books.log.size() == 1
    with pytest.raises(UsageError, match="testing"):
        open_books(store, Identity("n", NODE_KEY), **(options | {"entropy": SystemEntropy()}))
    store.close()


def test_a_real_query_in_the_language_of_plans_is_priced_run_and_released(store_url, tmp_path):
    query = Query(
        dataset="heart",
        steps=(Filter(where=Compare(column="smoker", op="==", value=True)),),
        group_by=("smoker",),
        aggregates=(Count(name="patients"), Histogram(name="again", column="smoker")),
        sigmas=(50.0, 80.0),
    )
    rows = {"smoker": np.array([True] * 300 + [False] * 100, dtype=object)}

    class Rows:
        def run(self, query, dataset):
            return run_exact(query, SCHEMA, rows)

    world = new_world(store_url, tmp_path, runner=Rows(), language=language())
    request = ask(data=encode_plan(query))
    values = decode_body(world.gate.answer(ALICE, request).body)
    # Two groups of a count, then two groups of two cells; 300 smokers. Nine sigmas: probability below 1e-17 each.
    assert np.all(np.abs(values - [0, 300, 0, 0, 0, 300]) < 9 * np.array([50, 50, 80, 80, 80, 80]))
    [(_, leaf)] = world.leaves(Charged)
    assert leaf.plan_hash == plan_hash(request.plan)
    # Both parts move by one person's one row: 24/2 * (1/50^2 + 1/80^2).
    assert leaf.charges[0].amounts[0] * 2.0**-40 == pytest.approx(12 * (1 / 50**2 + 1 / 80**2), rel=1e-6)
    wrong = Query("heart", (), (), (Count(name="n", column="wealth"),), (50.0,))
    with pytest.raises(UnknownColumn, match="wealth"):
        world.gate.answer(ALICE, ask(data=encode_plan(wrong)))
    assert [found.error for _, found in world.leaves(Refused)] == ["unknown-column"]
    world.close()
