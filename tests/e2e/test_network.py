"""Three real nodes, each a process that serves HTTPS, as a scientist and an auditor meet them."""

import hashlib
import importlib
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import stead
from stead.client import connect
from stead.client.answer import Answer
from stead.client.pending import Pending
from stead.core import codec
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.core.leaves import Charged, Leaf, SessionEnded
from stead.core.messages import AskAnswer, Released
from stead.errors import BadMessage, BadSignature, KeyChanged, PartyError, PartyUnreachable
from stead.learn.secure_sum import SumCoordinator
from stead.plans.plan import encode_plan

sys.path.insert(0, str(Path(__file__).parents[1]))
sites = importlib.import_module("sites")

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def key():
    return Key.generate(SystemEntropy())


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("scientist")


@pytest.fixture(scope="module")
def network(tmp_path_factory, key):
    with sites.serving(tmp_path_factory.mktemp("network"), key.public.raw) as nodes:
        yield nodes


@pytest.fixture
def steads(network, key, home):
    """Connected anew for each test, with what the scientist remembers from the tests before."""
    return {name: connect(node.url, key=key, home=home, pin=node.key) for name, node in network.items()}


def leaves(node):
    with sites.owner(node.home) as opened:
        opened.books.log.verify()
        opened.books.ledger.verify()
        return [codec.decode(body, Leaf) for body, _, _ in opened.books.log.leaves()]


def of_release(node, release):
    return [leaf for leaf in leaves(node) if getattr(leaf, "release", b"") == release]


def truth(sex):
    columns = [sites.rows(name) for name in sites.NAMES]
    return sum(one["sex"].count(sex) for one in columns)


def test_a_wrong_pin_is_refused_before_anything_is_said(network, key, tmp_path):
    node = network["north"]
    for pin in (network["valley"].key, network["valley"].home.key.public.fingerprint()):
        with pytest.raises(KeyChanged):
            connect(node.url, key=key, home=tmp_path, pin=pin)
    assert not sites.every_byte(tmp_path)
    assert connect(node.url, key=key, home=tmp_path, pin=node.home.key.public.fingerprint()).name == "north"


def test_another_node_at_a_known_address_is_refused(network, key, tmp_path):
    """The address moves: the scientist knows ``north`` there, and ``valley`` answers."""
    stranger = tmp_path / "home"
    connect(network["north"].url, key=key, home=stranger)
    known = next((stranger / "known_nodes").iterdir())
    moved = network["valley"].url
    text = known.read_text().replace(network["north"].url, moved)
    (known.parent / f"{hashlib.sha256(moved.encode()).hexdigest()[:24]}.json").write_text(text)
    with pytest.raises(KeyChanged, match="expected"):
        connect(moved, key=key, home=stranger)


def test_an_unknown_scientist_is_told_what_the_owner_types(network, tmp_path):
    stranger = Key.generate(SystemEntropy())
    with pytest.raises(BadSignature) as refused:
        connect(network["north"].url, key=stranger, home=tmp_path, project="risk")
    assert f"stead people add NAME {stranger.public.raw.hex()} --project risk" in str(refused.value)
    assert not (tmp_path / "known_nodes").exists(), "a node that has proven nothing was pinned"
    words = refused.value.hint.rpartition("stead ")[2].replace("NAME", "visitor").split()
    assert sites.command(*words, "--node", network["north"].home.path).returncode == 0
    assert connect(network["north"].url, key=stranger, home=tmp_path).site.project == "risk"


def test_a_question_to_one_node(steads):
    heart = steads["north"]["heart"]
    before = [account.epsilon_spent for account in heart.budget]
    answer = heart.count().answer(sigmas=[3.0], why="how many")
    assert isinstance(answer, Answer)
    value = float(next(iter(answer.values.values())))
    # Eight standard deviations: 1e-15.
    assert abs(value - sites.SIZES["north"]) <= 8 * 3
    assert all(now.epsilon_spent > then for now, then in zip(heart.budget, before, strict=True))
    assert steads["north"].verify().seen_before


def test_a_joint_question(steads, network):
    datasets = [node["heart"] for node in steads.values()]
    heart = datasets[0]
    answer = stead.ask(heart.group_by("sex").agg(patients=heart.count()), datasets, within=0.2, why="Table 1")
    for row, sex in enumerate(("F", "M")):
        # Bars hold in 95 of 100 runs; thrice their width in all but one of 10^8.
        assert abs(answer["patients"][row] - truth(sex)) <= 3 * answer.errors["patients"][row]
    for node, receipt in zip(network.values(), answer.receipts, strict=False):
        told = of_release(node, receipt.verify().release)
        assert [type(leaf) for leaf in told] == [Charged, SessionEnded]
        assert told[1].outcome == "done"


def test_a_tiny_private_training(steads, network):
    parties = [node.site for node in steads.values()]
    for site in parties:
        site.refresh()
    run = sites.session(parties, sites.training(rounds=3))
    done = []
    state = run.train([(50, 200)] * 3, on_round=done.append)
    assert state.rounds == 3
    assert np.isfinite(state.weights).all()
    assert np.abs(state.weights).max() > 0
    assert [one.number for one in done] == [1, 2, 3]
    assert not run.channel.doubts
    for node in network.values():
        charged, ended = of_release(node, run.header.release)
        assert charged.charges
        assert (ended.outcome, ended.rounds) == ("done", 3)


def test_ask_wait_approve_answer(steads, network):
    """The owner decides in a process of its own, while the node serves."""
    heart = steads["lakeside"]["heart"]
    pending = heart.count().answer(sigmas=[0.3], why="a precise count")
    assert isinstance(pending, Pending)
    assert isinstance(pending.refresh(), Pending)
    request = pending._record.request
    node = network["lakeside"]
    wrong = sites.command("requests", "approve", request, "--as", "somebody", "--node", node.home.path)
    assert wrong.returncode == 3
    assert isinstance(pending.refresh(), Pending)
    right = sites.command("requests", "approve", request, "--as", "data-office", "--node", node.home.path)
    assert right.returncode == 0, right.stderr
    answer = pending.refresh()
    assert isinstance(answer, Answer)
    assert abs(float(next(iter(answer.values.values()))) - sites.SIZES["lakeside"]) <= 8
    kinds = [type(leaf).__name__ for leaf in of_release(node, pending._record.release)]
    assert kinds == ["Asked", "Decided", "Charged", "ResultStored"]


def test_a_node_killed_in_the_middle_of_a_session(steads, network):
    """An error for the scientist, an ordered end at the others; and the same node, log and answers when it is back."""
    victim = network["valley"]
    asked = AskAnswer(os.urandom(16), "risk", encode_plan(sites.count_query()), "before the crash")
    site = steads["valley"].site
    before = site.ask(asked, Released)
    spent = {name: node["heart"].budget[0].epsilon_spent for name, node in steads.items()}

    run = sites.session([node.site for node in steads.values()], sites.training(rounds=3))
    assert not run.channel.prepare()
    coordinator = SumCoordinator(run.header, run.channel)
    coordinator.open()
    model = bytes(4 * sites.WIDTH)
    coordinator.round(1, model)
    os.kill(victim.process_id, signal.SIGKILL)
    with pytest.raises(PartyError):
        coordinator.round(2, model)
    assert [type(doubt) for doubt in run.channel.doubts] == [PartyUnreachable]
    with pytest.raises(BadMessage):
        coordinator.round(2, model)
    for name in ("north", "lakeside"):
        charged, ended = of_release(network[name], run.header.release)
        assert charged.charges
        assert (ended.outcome, ended.rounds) == ("aborted", 2)
        assert steads[name]["heart"].budget[0].epsilon_spent > spent[name], "the site that sent stays charged"

    head = len(leaves(victim))
    victim.stop()
    victim.start()
    victim.wait_until_up()
    state = steads["valley"].verify()
    assert state.seen_before
    assert state.size == head + 1
    charged, ended = of_release(victim, run.header.release)
    assert charged.charges
    assert (ended.outcome, ended.rounds, ended.reason) == ("aborted", 1, "the node was restarted")
    assert steads["valley"]["heart"].budget[0].epsilon_spent > spent["valley"]

    again = site.ask(asked, Released)
    assert again.body == before.body
    assert again.receipt.leaf == before.receipt.leaf
    assert steads["valley"]["heart"].budget[0].epsilon_spent > spent["valley"]
    assert len([leaf for leaf in of_release(victim, asked.release) if isinstance(leaf, Charged)]) == 1


def test_a_log_is_verified_from_outside_with_the_node_stopped(network, steads, tmp_path):
    node = network["north"]
    exported = tmp_path / "log.jsonl"
    exported.write_bytes(steads["north"].site.transport.get("/v1/log/export"))
    size = steads["north"].verify().size
    node.stop()
    found = sites.command("audit", "verify", exported, "--key", node.key.hex(), "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["entries"] == size
    assert sites.command("audit", "verify", exported, "--key", network["valley"].key.hex()).returncode == 4
    with pytest.raises(PartyUnreachable):
        connect(node.url, key=Key.generate(SystemEntropy()), home=tmp_path)
