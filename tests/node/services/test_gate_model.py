"""The gate's state machine against a model of it, driven at random: requests, retries, approvals, stops and restarts.

The model is a dictionary from release id to where it stands; it knows nothing of transactions.
"""

import shutil
import tempfile
from pathlib import Path

import pytest
from gate_world import ALICE, FREE, MALLORY, FakeRunner, ask, new_world, open_world, release_id
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stead.core.leaves import Asked, Charged, Decided, Refused, ResultStored
from stead.core.messages import Released, Waiting
from stead.errors import BudgetExceeded, PolicyDenied
from stead.node.services.policy import Budget, Budgets, PolicyRules, Rule
from stead.privacy.accounts import allows, amounts
from stead.privacy.events import DiscreteGaussian

STATES = ("received", "decided", "charging", "charged", "running", "ran", "storing", "stored", "sending")
# Order 24 at delta 1e-6: an epsilon of 0.43 alone is sigma 35 or more; the whole account is worth thirteen of those.
SMALL, LARGE, HUGE = 40.0, 20.0, 1.0
BUDGET = Budget(epsilon=0.52, delta=1e-6, orders=(24,), reserve=0.0)
RULES = PolicyRules(
    rules=(
        Rule(outlet="answer", decision="allow", epsilon=0.43, reason="small"),
        Rule(outlet="answer", decision="ask", reason="a person decides"),
    ),
    budgets=Budgets(population=FREE.budgets.population, project=FREE.budgets.project, scientist=BUDGET),
)
CHARGED = {"charged", "stored"}


class Stop(BaseException):
    """The process ends here, as far as the gate can tell."""


class GateModel(RuleBasedStateMachine):
    """``self.model``: release id to [sigma, state]; states as in ``releases``, without ``new``."""

    def __init__(self):
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="stead-model-"))
        self.stop_at = None
        self.world = new_world(
            self.directory / "stead.db", self.directory, rules=RULES, runner=FakeRunner(), at=self.at
        )
        self.world.books.people.enrol(MALLORY, "Mallory", role="scientist", project="risk")
        self.model = {}
        self.bodies = {}
        self.refusals = self.asked = self.decided = 0
        self.spent = 0

    def teardown(self):
        self.world.close()
        shutil.rmtree(self.directory)

    def at(self, state):
        if state == self.stop_at:
            self.stop_at = None
            raise Stop

    def price(self, sigma):
        return amounts(DiscreteGaussian(sigma=sigma, sensitivity=1.0), (24,))[0]

    def payable(self, sigma):
        return allows(BUDGET.target, (self.spent,), (self.price(sigma),))

    def expected(self, release):
        """What the gate will say, and the state it leaves behind."""
        sigma, state = self.model[release]
        if state in CHARGED:
            return Released, "stored"
        if state == "denied":
            return PolicyDenied, state
        asks = sigma != SMALL
        if asks and state != "approved":
            return (Waiting, "asked") if self.payable(sigma) else (BudgetExceeded, state)
        return (Released, "stored") if self.payable(sigma) else (BudgetExceeded, state)

    def settle(self, release, outcome, state):
        """Bring the model to where the request has left the node."""
        sigma, before = self.model[release]
        if outcome is Waiting and before == "none":
            self.asked += 1
        if state in CHARGED and before not in CHARGED:
            self.spent += self.price(sigma)
        if outcome in (PolicyDenied, BudgetExceeded):
            self.refusals += 1
        self.model[release][1] = state

    def send(self, release):
        sigma, _ = self.model[release]
        outcome, state = self.expected(release)
        request = ask(release, sigma=sigma)
        if outcome in (PolicyDenied, BudgetExceeded):
            with pytest.raises(outcome):
                self.world.gate.answer(ALICE, request)
        else:
            reply = self.world.gate.answer(ALICE, request)
            assert type(reply) is outcome
            if outcome is Released:
                assert self.bodies.setdefault(release, reply.body) == reply.body
        self.settle(release, outcome, state)

    @rule(sigma=st.sampled_from([SMALL, SMALL, LARGE, HUGE]))
    def ask_something_new(self, sigma):
        release = release_id("model", len(self.model))
        self.model[release] = [sigma, "none"]
        self.send(release)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def ask_again(self, data):
        self.send(data.draw(st.sampled_from(sorted(self.model))))

    @precondition(lambda self: self.model)
    @rule(data=st.data(), whose=st.sampled_from(["another plan", "another person"]))
    def ask_under_a_taken_id(self, data, whose):
        release = data.draw(st.sampled_from(sorted(self.model)))
        sigma, state = self.model[release]
        if state == "none":
            return
        changed = ask(release, sigma=sigma + (whose == "another plan"))
        with pytest.raises(PolicyDenied, match="another request"):
            self.world.gate.answer(MALLORY if whose == "another person" else ALICE, changed)
        self.refusals += 1

    @rule(data=st.data(), state=st.sampled_from(STATES), retry=st.booleans())
    def stop_inside_a_state_and_start_again(self, data, state, retry):
        release = data.draw(st.sampled_from([release_id("model", len(self.model)), *sorted(self.model)]))
        self.model.setdefault(release, [SMALL, "none"])
        sigma, before = self.model[release]
        outcome, after = self.expected(release)
        if outcome is not Released:
            return
        self.stop_at = state
        stopped = False
        try:
            reply = self.world.gate.answer(ALICE, ask(release, sigma=sigma))
        except Stop:
            stopped = True
        else:
            assert self.bodies.setdefault(release, reply.body) == reply.body
        self.stop_at = None
        reached = {"received", "decided", "charging"}
        if not stopped:
            self.settle(release, outcome, after)
        elif before not in CHARGED and state in reached:
            self.model[release][1] = before
        else:
            done = state in {"stored", "sending"} or before == "stored"
            self.settle(release, outcome, "stored" if done else "charged")
        self.restart()
        if retry:
            self.send(release)

    @rule()
    def restart(self):
        self.world.close()
        self.world = open_world(self.directory / "stead.db", self.directory, runner=FakeRunner(), at=self.at)

    @precondition(lambda self: any(state == "asked" for _, state in self.model.values()))
    @rule(data=st.data(), yes=st.booleans())
    def decide(self, data, yes):
        waiting = sorted(release for release, (_, state) in self.model.items() if state == "asked")
        release = data.draw(st.sampled_from(waiting))
        request = next(view.request for view in self.world.requests.all() if view.claim.release == release)
        if yes:
            self.world.requests.approve(request, "Dr. Owner")
        else:
            self.world.requests.deny(request, "Dr. Owner", reason="no")
        self.model[release][1] = "approved" if yes else "denied"
        self.decided += 1

    @invariant()
    def the_books_say_what_the_model_says(self):
        self.world.books.ledger.verify()
        balances = self.world.books.ledger.replay()
        paid = [release for release, (_, state) in self.model.items() if state in CHARGED]
        kept = [release for release, (_, state) in self.model.items() if state == "stored"]
        if paid:
            assert balances["scientist/Alice@heart patients"].spent == (self.spent,)
        assert "scientist/Mallory@heart patients" not in balances
        assert sorted(leaf.release for _, leaf in self.world.leaves(Charged)) == sorted(paid)
        assert sorted(leaf.release for _, leaf in self.world.leaves(ResultStored)) == sorted(kept)
        for kind, count in ((Refused, self.refusals), (Asked, self.asked), (Decided, self.decided)):
            assert len(self.world.leaves(kind)) == count
        standing = {view.claim.release: view.state for view in self.world.requests.all(None)}
        assert standing == {release: state for release, (_, state) in self.model.items() if state != "none"}
        assert allows(BUDGET.target, (self.spent,), (0,))


TestGateModel = GateModel.TestCase
TestGateModel.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
