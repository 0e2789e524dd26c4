"""Forecasts: what they promise is what the ledger then does, to the last question."""

import importlib.util
import math

import pytest
from gate_world import ALICE, FREE, WIDE, StillClock, ask, new_world, opening

from stead.errors import BudgetExceeded, UsageError
from stead.node.services.forecast import DAY_S, Forecasts, Stated
from stead.node.services.policy import Budget, Budgets, PolicyRules
from stead.privacy.events import Composed, DiscreteGaussian, Repeated

SCIENTIST = "scientist/Alice@heart patients"
POPULATION = "population/heart patients"
SIGMA = 25.5
TIGHT = Budget(epsilon=1.0, delta=1e-6, orders=(24,))
RULES = PolicyRules(rules=FREE.rules, budgets=Budgets(population=WIDE, project=WIDE, scientist=TIGHT))
COST = 24 / (2 * SIGMA**2)  # Canonne, Kamath, Steinke 2020, proposition 5
FLOOR = math.log(23 / 24) - (math.log(0.9e-6) + math.log(24)) / 23  # proposition 12; a tenth is reserved
ROOM = (1.0 - FLOOR) / COST  # of TIGHT, in questions of SIGMA: 31.18


class Asking:
    """A node with a clock; Alice's own account is the tight one."""

    def __init__(self, store_url, tmp_path):
        self.clock = StillClock()
        self.world = new_world(store_url, tmp_path, rules=RULES, clock=self.clock)
        self.forecasts = Forecasts(self.world.books.store)

    def ask(self, times=1, *, sigma=SIGMA, every_days=0.0):
        for _ in range(times):
            self.world.gate.answer(ALICE, ask(sigma=sigma))
            self.clock.time += every_days * DAY_S

    def outlook(self, account=SCIENTIST, stated=None):
        (found,) = self.forecasts.outlooks(self.clock.time, account=account, stated=stated)
        return found


@pytest.fixture
def asking(store_url, tmp_path):
    made = Asking(store_url, tmp_path)
    yield made
    made.world.close()


def test_as_many_more_as_the_last_one_are_then_granted(asking):
    asking.ask(10)
    left = asking.outlook().last_left
    assert left == 21
    asking.ask(left)
    assert asking.outlook().last_left == 0
    with pytest.raises(BudgetExceeded):
        asking.ask()


def test_as_many_stated_ones_are_then_granted(asking):
    asking.ask(10)
    left = asking.outlook(stated=Stated(sigma=2 * SIGMA)).stated_left
    assert left == math.floor(4 * (ROOM - 10)) == 84
    asking.ask(left, sigma=2 * SIGMA)
    with pytest.raises(BudgetExceeded):
        asking.ask(sigma=2 * SIGMA)


def test_a_question_stated_by_its_epsilon_is_counted_at_the_accounts_delta(asking):
    asking.ask()
    stated = Stated(epsilon=0.1)
    event = stated.event(TIGHT.delta)
    left = asking.outlook(stated=stated).stated_left
    assert left == math.floor((ROOM - 1) * (event.sigma / SIGMA) ** 2)
    assert asking.outlook(stated=Stated(epsilon=0.2)).stated_left < left


def test_the_end_at_the_rate_of_the_window(asking):
    asking.ask(10, every_days=0.5)
    found = asking.outlook()
    assert found.window_days == pytest.approx(5)
    assert found.days_left == math.floor((ROOM - 10) / 2) == 10
    assert found.runs_out_at == asking.clock.time + 10 * DAY_S
    assert found.epsilon_per_day == pytest.approx(found.account.epsilon_spent / 5)


def test_only_the_last_thirty_days_make_the_rate(asking):
    asking.ask(6)
    asking.clock.time += 40 * DAY_S
    quiet = asking.outlook()
    assert (quiet.days_left, quiet.runs_out_at, quiet.epsilon_per_day) == (None, None, 0)
    assert quiet.last_left == 25
    asking.ask(3)
    found = asking.outlook()
    assert found.window_days == 30
    assert found.days_left == math.floor((ROOM - 9) / 3 * 30) == 221


def test_one_question_of_a_moment_ago_counts_as_one_a_day(asking):
    asking.ask()
    assert (asking.outlook().window_days, asking.outlook().days_left) == (1, 30)


def test_what_lasts_a_hundred_years_does_not_run_out(asking):
    asking.ask()
    assert asking.outlook(POPULATION).days_left is None


def test_a_disclosure_is_counted_and_forecasts_nothing(asking):
    asking.world.gate.disclose(ALICE, opening(outlet="disclose"))
    found = asking.outlook()
    assert (found.account.disclosures, found.last_left, found.days_left) == (1, None, None)
    assert asking.forecasts.history(SCIENTIST) == Composed(())
    [step] = asking.forecasts.steps(SCIENTIST)
    assert (step.event, step.epsilon) == (None, 0)


def test_the_history_is_what_the_log_says_was_priced(asking):
    asking.ask(4)
    asking.ask(2, sigma=50.0)
    one, two = DiscreteGaussian(SIGMA, 1.0), DiscreteGaussian(50.0, 1.0)
    assert asking.forecasts.history(SCIENTIST) == Composed((Repeated(one, 4), Repeated(two, 2)))
    assert sorted(event.sigma for event, _ in asking.forecasts.priced().values()) == [SIGMA] * 4 + [50.0] * 2
    assert {delta for _, delta in asking.forecasts.priced().values()} == {1e-6}


def test_an_account_grows_step_by_step_to_what_it_has_spent(asking):
    asking.ask(3)
    steps = list(asking.forecasts.steps(SCIENTIST))
    assert [step.epsilon for step in steps] == pytest.approx([number * COST + FLOOR for number in (1, 2, 3)], abs=1e-9)
    assert steps[-1].epsilon == asking.outlook().account.epsilon_spent


@pytest.mark.skipif(importlib.util.find_spec("dp_accounting") is None, reason="dp-accounting is not installed")
def test_every_accounts_report_by_losses_is_below_what_it_has_spent(asking):
    from stead.adapters.google_dp import pld_epsilon

    asking.ask(5)
    asking.ask(5, sigma=40.0)
    for each in asking.forecasts.outlooks(asking.clock.time):
        account = each.account
        assert 0 < pld_epsilon(asking.forecasts.history(account.account), account.delta) <= account.epsilon_spent


def test_an_account_that_is_not_there(asking):
    for call in (asking.outlook, asking.forecasts.history, lambda name: list(asking.forecasts.steps(name))):
        with pytest.raises(UsageError, match="no account"):
            call("project/other@heart patients")


@pytest.mark.parametrize("stated", [Stated(), Stated(epsilon=1.0, sigma=1.0), Stated(sigma=0.0), Stated(epsilon=-1.0)])
def test_what_cannot_be_stated(stated):
    with pytest.raises(UsageError):
        stated.event(1e-6)
