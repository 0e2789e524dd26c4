"""Three real nodes, each a process that serves HTTPS, compute on shares; one of them is killed in the middle."""

import importlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import stead
from stead.client import connect
from stead.core import codec
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.core.leaves import Charged, Helping, Leaf, Opened, SessionEnded
from stead.errors import PartyError
from stead.node.services.policy import PolicyRules, Rule

sys.path.insert(0, str(Path(__file__).parents[1]))
sites = importlib.import_module("sites")

pytestmark = pytest.mark.timeout(120)
RULES = PolicyRules(
    rules=(*sites.RULES.rules, Rule(outlet="disclose", decision="allow", reason="agreed", approvers=("grace",))),
    budgets=sites.RULES.budgets,
    joining=sites.RULES.joining,
)


@pytest.fixture(scope="module")
def key():
    return Key.generate(SystemEntropy())


@pytest.fixture(scope="module")
def network(tmp_path_factory, key):
    with sites.serving(tmp_path_factory.mktemp("network"), key.public.raw) as nodes:
        for node in nodes.values():
            with sites.owner(node.home) as opened:
                opened.books.policies.set(RULES)
        yield nodes


@pytest.fixture
def steads(network, key, tmp_path):
    return {name: connect(node.url, key=key, home=tmp_path, pin=node.key) for name, node in network.items()}


def leaves(node):
    with sites.owner(node.home) as opened:
        opened.books.log.verify()
        opened.books.ledger.verify()
        return [codec.decode(body, Leaf) for body, _, _ in opened.books.log.leaves()]


def ended_leaves(node, since):
    """The new leaves, once the end of a session is among them; a node that was restarted may still be at it."""
    for _ in range(100):
        new = leaves(node)[since:]
        if any(isinstance(leaf, SessionEnded) for leaf in new):
            return new
        time.sleep(0.2)
    raise AssertionError(f"{node.name} has not logged the end of its session")


def asked(steads):
    owners = [steads[name]["heart"] for name in ("north", "lakeside")]
    return owners[0].age.mean(), owners, steads["valley"]


def test_the_average_age_of_two_hospitals(steads):
    mean, owners, helper = asked(steads)
    ages = np.concatenate([sites.rows(name)["age"] for name in ("north", "lakeside")])
    exact = stead.compute(mean, owners, helper=helper, disclose=True, why="Table 1")
    assert abs(exact["age_mean"] - ages.mean()) <= exact.errors["age_mean"]
    noisy = stead.compute(mean, owners, helper=helper, within=0.2, why="Table 1")
    assert abs(noisy["age_mean"] - ages.mean()) <= 3 * noisy.errors["age_mean"]


@pytest.mark.parametrize("who", ["valley", "north"])
def test_a_node_that_is_killed_ends_it_for_all_and_stays_charged(network, steads, monkeypatch, who):
    mean, owners, helper = asked(steads)
    carry_over = importlib.import_module("stead.client.computing").carry_over
    left = {name: len(leaves(node)) for name, node in network.items()}

    def killing(found, release):
        inner, calls = carry_over(found, release), []

        def carry(name, frame):
            calls.append(name)
            if len(calls) == 100:
                os.kill(network[who].process_id, signal.SIGKILL)
            return inner(name, frame)

        return carry

    monkeypatch.setattr("stead.client.computing.carry_over", killing)
    with pytest.raises(PartyError) as caught:
        stead.compute(mean, owners, helper=helper, disclose=True, why="Table 1")
    assert who in caught.value.what
    network[who].stop()
    network[who].start()
    network[who].wait_until_up()
    for name, node in network.items():
        new = ended_leaves(node, left[name])
        assert sum(isinstance(leaf, Charged | Helping) for leaf in new) == 1
        assert not any(isinstance(leaf, Opened) for leaf in new)
        (ended,) = [leaf for leaf in new if isinstance(leaf, SessionEnded)]
        assert ended.outcome == "aborted"
        assert ended.reason == "the node was restarted" if name == who else "party" in ended.reason
