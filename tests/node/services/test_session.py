"""Sessions: charged before their first frame, held to their plan, ended with a leaf."""

import pytest
from gate_world import (
    ALICE,
    FREE,
    MALLORY,
    NODE_KEY,
    NORTH,
    SOUTH,
    EchoParticipant,
    FakeRunner,
    UnreadableRows,
    ask,
    new_world,
    open_world,
    opening,
    plan,
    release_id,
)

from stead.core.leaves import Charged, Refused, SessionEnded
from stead.core.messages import CloseSession, Preview, SessionFrame, Waiting
from stead.core.notes import log_origin
from stead.core.receipts import verify_receipt
from stead.errors import BadMessage, BadSignature, NodeError, PolicyDenied, UsageError
from stead.learn.header import Header
from stead.node.services.policy import DEFAULT_RULES, PolicyRules, Rule
from stead.node.services.session import IDLE_S

ROUND = b"round"


class Echo(EchoParticipant):
    """Remembers the last one made."""

    made = None

    def __init__(self, header):
        super().__init__(header)
        Echo.made = self


@pytest.fixture
def world(store_url, tmp_path):
    made = new_world(store_url, tmp_path, runner=FakeRunner(participant=lambda appraisal: Echo(appraisal.header)))
    yield made
    made.close()


def send(world, release, frame, caller=ALICE):
    return world.sessions.frame(caller, SessionFrame(release=release, frame=frame)).frame


def ended(world):
    return [(leaf.outcome, leaf.rounds, leaf.reason) for _, leaf in world.leaves(SessionEnded)]


def test_a_session_is_charged_before_its_first_frame(world):
    seen = []
    world.gate._at = world.gate._admission._at = lambda state: seen.append((state, len(world.leaves(Charged))))
    opened = world.gate.join(ALICE, opening(rounds=1))
    assert opened.frame == b"hello"
    # inside "charging" the leaf is written and not committed: other readers do not see it yet
    assert seen == [
        ("received", 0), ("decided", 0), ("charging", 0), ("charged", 1), ("running", 1), ("ran", 1), ("sending", 1),
    ]  # fmt: skip
    leaf = verify_receipt(opened.receipt, world.books.log.node_key, log_origin(world.books.log.node_key))
    assert isinstance(leaf, Charged)
    assert (leaf.outlet, len(leaf.charges), leaf.approvers) == ("join", 3, ())


def test_rounds_go_through_and_the_end_is_a_leaf(world):
    opened = world.gate.join(ALICE, opening())
    assert send(world, opened.release, b"roster") == b"ready"
    assert send(world, opened.release, ROUND) == bytes(32)
    closed = world.sessions.close(ALICE, CloseSession(release=opened.release))
    leaf = verify_receipt(closed.receipt, world.books.log.node_key, log_origin(world.books.log.node_key))
    assert (leaf.outcome, leaf.rounds) == ("done", 1)
    again = world.sessions.close(ALICE, CloseSession(release=opened.release, reason="again"))
    assert again.receipt.leaf == closed.receipt.leaf
    assert ended(world) == [("done", 1, "")]
    assert Echo.made.closed


def test_the_same_frame_again_gets_the_same_answer_and_is_not_computed_again(world):
    opened = world.gate.join(ALICE, opening())
    send(world, opened.release, b"roster")
    assert send(world, opened.release, ROUND) == send(world, opened.release, ROUND)
    assert Echo.made.rounds_sent == 1


def test_a_frame_beyond_the_rounds_ends_the_session(world):
    opened = world.gate.join(ALICE, opening())
    for frame in (b"roster", ROUND):
        send(world, opened.release, frame)
    with pytest.raises(BadMessage, match="rounds are over"):
        send(world, opened.release, b"one more")
    assert ended(world) == [("aborted", 1, "refused a frame: bad-message")]
    assert Echo.made.closed
    with pytest.raises(BadMessage, match="no open session"):
        send(world, opened.release, ROUND)


def test_a_frame_too_large_ends_the_session(world):
    opened = world.gate.join(ALICE, opening())
    with pytest.raises(BadMessage, match="at most"):
        send(world, opened.release, bytes(4 << 20))
    assert ended(world)[0][0] == "aborted"


@pytest.mark.parametrize(
    "answer", [bytes(40_000), bytes(32)], ids=["more bytes than the vector", "a vector, its round not counted"]
)
def test_a_participant_that_says_too_much_is_stopped_before_it_leaves(store_url, tmp_path, answer):
    class Talkative(EchoParticipant):
        def on_frame(self, frame):
            self.rounds_sent += len(answer) > 4096 or 2  # counts two rounds at once for the short answer
            return answer

    world = new_world(store_url, tmp_path, runner=FakeRunner(participant=lambda appraisal: Talkative(appraisal.header)))
    opened = world.gate.join(ALICE, opening())
    with pytest.raises(NodeError):
        send(world, opened.release, b"roster")
    assert ended(world)[0][::2] == ("aborted", "a fault of the node")
    world.close()


def test_a_participant_that_fails_says_nothing(store_url, tmp_path, caplog):
    class Failing(EchoParticipant):
        def on_frame(self, frame):
            raise ValueError("patient 4711")

    world = new_world(store_url, tmp_path, runner=FakeRunner(participant=lambda appraisal: Failing(appraisal.header)))
    opened = world.gate.join(ALICE, opening())
    with pytest.raises(NodeError) as caught:
        send(world, opened.release, b"roster")
    assert "4711" not in str(caught.value) + caplog.text
    assert caught.value.__context__ is None
    assert len(world.leaves(Charged)) == 1
    world.close()


def test_a_participant_that_cannot_start_leaves_the_charge_and_an_aborted_leaf(store_url, tmp_path):
    world = new_world(store_url, tmp_path, runner=UnreadableRows())
    request = opening()
    with pytest.raises(NodeError):
        world.gate.join(ALICE, request)
    assert ended(world) == [("aborted", 0, "the node could not take part")]
    with pytest.raises(PolicyDenied, match="begun before"):
        world.gate.join(ALICE, request)
    assert len(world.leaves(Charged)) == 1
    world.books.ledger.verify()
    world.close()


def test_only_its_requester_drives_a_session(world):
    opened = world.gate.join(ALICE, opening())
    world.books.people.enrol(MALLORY, "Mallory", role="scientist", project="risk")
    with pytest.raises(BadMessage):
        send(world, opened.release, b"roster", caller=MALLORY)
    with pytest.raises(BadMessage):
        world.sessions.close(MALLORY, CloseSession(release=opened.release))
    assert send(world, opened.release, b"roster") == b"ready"


def test_opening_again_is_the_same_session_and_one_charge(world):
    request = opening()
    first = world.gate.join(ALICE, request)
    assert world.gate.join(ALICE, request).frame == first.frame
    assert world.gate._runner.participations == 1
    assert len(world.leaves(Charged)) == 1


def test_opening_again_with_another_header_is_refused(world):
    request = opening()
    world.gate.join(ALICE, request)
    with pytest.raises(PolicyDenied, match="another request"):
        world.gate.join(ALICE, opening(request.release, length=5))


def test_a_restart_aborts_what_was_running_and_the_charge_stays(store_url, tmp_path):
    first = new_world(store_url, tmp_path)
    request = opening()
    first.gate.join(ALICE, request)
    send(first, request.release, b"roster")
    send(first, request.release, ROUND)
    first.close()
    second = open_world(store_url, tmp_path)
    assert second.sessions.recover() == 1
    assert second.sessions.recover() == 0
    assert ended(second) == [("aborted", 1, "the node was restarted")]
    with pytest.raises(PolicyDenied, match="begun before"):
        second.gate.join(ALICE, request)
    assert len(second.leaves(Charged)) == 1
    second.books.ledger.verify()
    second.close()


def test_a_session_charged_and_not_begun_begins_after_a_restart(store_url, tmp_path):
    class Stop(BaseException):
        pass

    def at(state):
        if state == "charged":
            raise Stop

    first = new_world(store_url, tmp_path, at=at)
    request = opening()
    with pytest.raises(Stop):
        first.gate.join(ALICE, request)
    first.close()
    second = open_world(store_url, tmp_path)
    assert second.sessions.recover() == 0
    assert second.gate.join(ALICE, request).frame == b"hello"
    assert len(second.leaves(Charged)) == 1
    second.close()


def refused(world, request, error, match, outlet="join"):
    with pytest.raises(error, match=match):
        getattr(world.gate, outlet)(ALICE, request)
    assert [leaf.error for _, leaf in world.leaves(Refused)] == [error.code()]
    assert world.gate._runner.participations == 0
    assert world.books.accounts.all() == ()


STRANGER = b"\x07" * 32


def test_a_cohort_of_strangers_is_refused(world):
    cohort = (("here", NODE_KEY.public.raw), ("north", NORTH), ("x", STRANGER))
    refused(world, opening(cohort=cohort), BadSignature, "not enrolled")


def test_a_cohort_with_a_scientists_key_as_a_site_is_refused(world):
    cohort = (("here", NODE_KEY.public.raw), ("north", NORTH), ("alice", ALICE))
    refused(world, opening(cohort=cohort), BadSignature, "not enrolled")


def test_a_revoked_site_is_a_stranger(world):
    world.books.people.revoke(SOUTH)
    refused(world, opening(), BadSignature, "not enrolled")


def test_a_cohort_without_this_node_is_refused(world):
    world.books.people.enrol(STRANGER, "west", role="site")
    cohort = (("west", STRANGER), ("north", NORTH), ("south", SOUTH))
    refused(world, opening(cohort=cohort), BadSignature, "own key")


def test_a_cohort_that_names_a_key_twice_is_refused(world):
    request = opening()
    twice = Header.from_bytes(request.header)
    data = request.header.replace(SOUTH, NORTH)
    assert data != twice.to_bytes()
    refused(world, type(request)(**{f: getattr(request, f) for f in request.__struct_fields__} | {"header": data}),
            BadMessage, "forbids")  # fmt: skip


def test_a_cohort_smaller_than_the_policy_wants_is_refused(world):
    cohort = (("here", NODE_KEY.public.raw), ("north", NORTH))
    refused(world, opening(cohort=cohort), PolicyDenied, "at least 3")


def test_noise_that_counts_on_too_few_colluders_is_refused(world):
    refused(world, opening(colluders=0), PolicyDenied, "0 colluders")


def test_more_rounds_than_were_priced_are_refused(world):
    refused(world, opening(rounds=2), UsageError, "2 rounds; its plan was priced for 1")


@pytest.mark.parametrize("field", ["release", "plan_hash", "outlet"])
def test_a_header_of_another_request_is_refused(world, field):
    request = opening()
    other = {
        "release": opening(release_id("another")).header,
        "plan_hash": opening(request.release, data=plan(1.0)).header,
        "outlet": opening(request.release, outlet="disclose").header,
    }[field]
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    refused(world, type(request)(**fields | {"header": other}), BadMessage, "another")


def test_a_request_for_one_outlet_does_not_leave_through_another(world):
    with pytest.raises(UsageError, match="outlet"):
        world.gate.join(ALICE, opening(outlet="disclose"))
    with pytest.raises(UsageError, match="outlet"):
        world.gate.disclose(ALICE, opening())


def test_a_disclosure_is_free_of_epsilon_and_counted_for_ever(world):
    assert world.gate.disclose(ALICE, opening(outlet="disclose")).frame == b"hello"
    [(_, leaf)] = world.leaves(Charged)
    assert (leaf.outlet, leaf.charges, leaf.event, leaf.approvers) == ("disclose", (), b"", ("Dr. Owner",))
    world.gate.answer(ALICE, ask())
    for view in world.books.accounts.all():
        assert view.disclosures == 1
        # order 24 at delta 1e-6 (see test_gate): the disclosure adds nothing to 0.4199395 + 24/(2*1000^2)
        assert view.epsilon_spent == pytest.approx(0.4199515, abs=1e-6)
    world.books.ledger.verify()


def test_a_previewed_disclosure_costs_infinite_epsilon(world):
    quote = world.appraiser.quote(ALICE, Preview(project="risk", plan=plan(), outlet="disclose", sites=3))
    assert quote.epsilon == float("inf")
    assert [view.disclosures for view in quote.accounts_after] == [1, 1]
    assert [view.epsilon_spent for view in quote.accounts_after] == [0.0, 0.0]


def test_disclosing_is_off_by_default(world):
    world.books.policies.set(DEFAULT_RULES)
    refused(world, opening(outlet="disclose"), PolicyDenied, "without differential privacy", outlet="disclose")


def test_joining_asks_by_default_and_goes_on_after_approval(world):
    rules = tuple(rule for rule in DEFAULT_RULES.rules if rule.outlet != "answer")
    world.books.policies.set(PolicyRules(rules=rules, budgets=FREE.budgets))
    request = opening()
    waiting = world.gate.join(ALICE, request)
    assert isinstance(waiting, Waiting)
    world.requests.approve(waiting.request, "Dr. Owner")
    assert world.gate.join(ALICE, request).frame == b"hello"


def test_an_asked_disclosure_names_who_approved(world):
    rule = Rule(outlet="disclose", decision="ask", reason="two may say yes", approvers=("Dr. A", "Dr. B"))
    world.books.policies.set(PolicyRules(rules=(rule,), budgets=FREE.budgets))
    request = opening(outlet="disclose")
    world.requests.approve(world.gate.disclose(ALICE, request).request, "Dr. B")
    world.gate.disclose(ALICE, request)
    assert world.leaves(Charged)[0][1].approvers == ("Dr. B",)


def test_a_silent_coordinator_loses_its_session_and_the_charge_stays(world):
    release = release_id()
    world.gate.join(ALICE, opening(release))
    send(world, release, b"roster")
    world.books.log._clock.time += IDLE_S
    assert world.sessions.end_idle() == 0
    send(world, release, ROUND)  # heard again
    world.books.log._clock.time += IDLE_S
    assert world.sessions.end_idle() == 0
    world.books.log._clock.time += 1
    assert world.sessions.end_idle() == 1
    assert Echo.made.closed
    assert ended(world) == [("aborted", 1, f"its coordinator was silent for {IDLE_S:g} s")]
    assert len(world.leaves(Charged)) == 1
    with pytest.raises(BadMessage):
        send(world, release, ROUND)
    assert world.sessions.end_idle() == 0


def test_a_session_at_work_is_not_idle(world):
    release = release_id()
    world.gate.join(ALICE, opening(release))
    world.books.log._clock.time += IDLE_S + 1
    session = world.sessions._open[release]
    with session.lock:
        assert world.sessions.end_idle() == 0
    assert world.sessions.end_idle() == 1
