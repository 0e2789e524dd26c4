"""The reception: each kind of message to its service, every failure a sealed reply that says nothing of rows."""

import importlib
import logging
import os
import sys
from pathlib import Path

import pytest

from stead.core import codec
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.core.messages import (
    AskAnswer,
    CloseSession,
    Datasets,
    Failure,
    ListDatasets,
    Preview,
    Quote,
    Released,
    SessionFrame,
    Waiting,
)
from stead.core.signed import open_envelope
from stead.errors import BadMessage, VersionMismatch
from stead.node.services.policy import PolicyRules, Rule
from stead.testing import OPEN_RULES, StillClock, local_network

sys.path.insert(0, str(Path(__file__).parents[2]))
sites = importlib.import_module("sites")


@pytest.fixture
def world():
    with local_network(["north"], clock=StillClock()) as network:
        network.add(sites.card("north"), sites.rows("north"), at="north")
        yield network


@pytest.fixture
def post(world):
    node = world.nodes["north"]
    return sites.Post(node.reception.receive, node.home.key.public.raw, world._scientist, world._options.clock)


def ask(**changes):
    fields = {"release": os.urandom(16), "project": "testing", "plan": codec.encode(sites.count_query()), "why": "why"}
    return AskAnswer(**fields | changes)


def test_each_kind_of_request_has_its_reply(post):
    found = post.ask(ListDatasets(project=""))
    assert isinstance(found, Datasets)
    assert (found.node, found.project, [view.card.name for view in found.views]) == ("north", "testing", ["heart"])
    plan = codec.encode(sites.count_query())
    assert isinstance(post.ask(Preview(project="testing", plan=plan, outlet="answer")), Quote)
    assert isinstance(post.ask(ask()), Released)
    assert post.ask(SessionFrame(os.urandom(16), b"frame")).error == "bad-message"
    assert post.ask(CloseSession(os.urandom(16))).error == "bad-message"


def test_a_reply_is_no_request(post):
    for message in (Datasets("north", "", ()), Failure("node-error", "", "", ""), Waiting("r", (), "")):
        found = post.ask(message)
        assert (found.error, "a node takes requests" in found.what) == ("bad-message", True)


def test_asking_waits_where_the_policy_says_so(world, post):
    rules = (Rule(outlet="answer", decision="ask", reason="a person decides"),)
    world.nodes["north"].books.policies.set(PolicyRules(rules=rules, budgets=OPEN_RULES.budgets))
    message = ask()
    assert isinstance(post.ask(message), Waiting)
    assert isinstance(post.ask(message), Waiting)
    assert len(world.nodes["north"].requests.all()) == 1


def test_a_scientist_of_two_projects_says_which(world, post):
    node = world.nodes["north"]
    node.books.people.enrol(post.key.public.raw, "tester", role="scientist", project="other")
    found = post.ask(ListDatasets(project=""))
    assert (found.error, "other, testing" in found.what) == ("policy-denied", True)
    assert post.ask(ListDatasets(project="other")).project == "other"


def test_accounts_are_the_callers_own(world, post):
    """Somebody else's spending is not in the view; the population's account is the owner's."""
    node = world.nodes["north"]
    colleague = Key.generate(SystemEntropy())
    node.books.people.enrol(colleague.public.raw, "colleague", role="scientist", project="other")
    post.ask(ask())
    other = sites.Post(node.reception.receive, post.node_key, colleague, post.clock)
    (view,) = other.ask(ListDatasets(project="")).views
    assert all(account.epsilon_spent == 0 for account in view.accounts)
    assert not any("testing" in account.account or "tester" in account.account for account in view.accounts)


@pytest.mark.parametrize("data", [b"", b"x", b"\x99", b"\xc1" + os.urandom(500), b"\x99\x01" + bytes(400)])
def test_bytes_without_a_sender_have_no_reply(world, data):
    with pytest.raises(BadMessage):
        world.nodes["north"].reception.receive(data)


def test_another_version_is_told_apart(world, post):
    sealed = bytearray(post.seal(ListDatasets(project="")))
    sealed[1] = 2
    with pytest.raises(VersionMismatch):
        world.nodes["north"].reception.receive(bytes(sealed))


def test_a_fault_is_a_reference_and_the_class_of_the_error(world, post, monkeypatch, caplog):
    def fail(*_):
        raise KeyError("canary-7d1f")

    monkeypatch.setattr(world.nodes["north"].registry, "cards", fail)
    with caplog.at_level(logging.DEBUG):
        found = post.ask(ListDatasets(project=""))
    assert (found.error, bool(found.reference)) == ("node-error", True)
    assert "canary" not in repr(found) + caplog.text + repr([vars(record) for record in caplog.records])
    (record,) = caplog.records
    assert (record.reference, record.error) == (found.reference, "KeyError")


def test_a_reply_is_sealed_for_its_request(world, post):
    sealed = post.seal(ListDatasets(project=""))
    envelope = open_envelope(world.nodes["north"].reception.receive(sealed))
    assert envelope.sender == post.node_key
    assert envelope.recipient == post.key.public.raw
    assert envelope.reply_to == open_envelope(sealed).nonce


def test_a_revoked_key_is_a_stranger_at_once(world, post):
    assert isinstance(post.ask(ListDatasets(project="")), Datasets)
    world.nodes["north"].books.people.revoke(post.key.public.raw)
    assert post.ask(ListDatasets(project="")).error == "bad-signature"
