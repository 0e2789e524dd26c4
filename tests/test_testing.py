"""``stead.testing``: nodes in one process that are nodes in everything but their sockets."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

import stead
from stead import testing
from stead.client.pending import Pending
from stead.core import codec
from stead.core.leaves import Leaf, NodeMade
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import BudgetExceeded, PartyUnreachable, PolicyDenied, UsageError
from stead.node.services.policy import Budget, Budgets, Joining, PolicyRules, Rule
from stead.testing import SeededEntropy, StillClock, local_network

sys.path.insert(0, str(Path(__file__).parent))
sites = importlib.import_module("sites")


def filled(names=("alice", "bob", "carol"), **options):
    network = local_network(list(names), **options)
    for size, name in zip((130, 100, 70), network, strict=False):
        network.add(sites.card(name), sites.rows("north", size), at=name)
    return network


def test_a_notebook():
    """As in the module's own words."""
    schema = Schema(
        "heart patients",
        "patient",
        (Column("age", "integer", bounds=Bounds(18, 100)), Column("sex", "category", categories=("F", "M"))),
        (50, 200),
    )
    card = DatasetCard("heart", schema)
    with local_network(["alice", "bob", "carol"]) as network:
        for name in network:
            network.add(card, {"age": [52, 67, 71, None] * 30, "sex": ["F", "M", "F", None] * 30}, at=name)
        alice = network["alice"]
        heart = alice["heart"]
        assert len(heart.mock) > 0
        assert heart.age.mean().preview(within=0.4).epsilon > 0
        answer = heart.age.mean().answer(within=0.4, why="trying it out")
        assert 18 <= float(next(iter(answer.values.values()))) <= 100
        joint = stead.ask(heart.count(), network.datasets("heart"), within=0.9, why="together")
        assert len(joint.receipts) == 6
        assert alice.verify().node == "alice"


def answers(seed):
    """One node's answer, a joint one and a trained model."""
    with filled(seed=seed) as network:
        heart = network["alice"]["heart"]
        one = heart.group_by("sex").agg(patients=heart.count()).answer(sigmas=[50.0], why="one")
        joint = stead.ask(heart.count(), network.datasets("heart"), within=0.5, why="joint")
        parties = [network[name].site for name in network]
        run = sites.session(parties, sites.training(), release=bytes(16))
        weights = run.train([(50, 200)] * 3).weights
        keys = [node.home.key.public.raw for node in network.nodes.values()]
    return [one["patients"].tolist(), float(next(iter(joint.values.values()))), weights.tolist(), keys]


def test_the_same_seed_gives_the_same_keys_noise_and_model():
    """Although the sites of a session are called from several threads at once."""
    first = answers(5)
    assert answers(5) == first
    other = answers(6)
    assert all(one != two for one, two in zip(first, other, strict=True))


def test_without_a_seed_nothing_repeats():
    first, second = answers(None), answers(None)
    assert first[0] != second[0]
    assert first[3] != second[3]


def test_the_parties_of_a_seed_share_no_randomness():
    with filled(seed=1) as network:
        taken = [network._entropy, *(node.books.entropy for node in network.nodes.values())]
        assert all(isinstance(one, SeededEntropy) for one in taken)
        assert len({id(one) for one in taken}) == len({one.take(32) for one in taken}) == len(taken)


def test_each_log_says_testing_in_its_first_leaf():
    for seed in (None, 3):
        with filled(seed=seed) as network:
            for name, node in network.nodes.items():
                first = codec.decode(node.books.log.leaves(0, 1)[0][0], Leaf)
                assert isinstance(first, NodeMade)
                assert (first.name, first.testing) == (name, True)


def test_directories_are_gone_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(testing.tempfile, "tempdir", str(tmp_path))
    with filled() as network:
        network["alice"]["heart"].count().answer(sigmas=[5.0], why="try")
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []
    network.close()
    failing = filled()
    with pytest.raises(RuntimeError, match="in the notebook"), failing:
        raise RuntimeError("in the notebook")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_ones_own_stays_and_holds_no_rows_outside_its_data(tmp_path):
    with filled(["alice"], directory=tmp_path):
        pass
    assert (tmp_path / "alice" / "store.db").exists()
    outside = sites.every_byte(tmp_path, but=("data",))
    row = str(sites.rows("north", 130)["marker"][0]).encode()
    assert not [name for name, data in outside.items() if row in data]


@pytest.mark.parametrize("names", [["alice", "alice"], [], "alice", ["../alice"], ["a/b"], [""], ["scientist"], [".x"]])
def test_names_that_cannot_be(tmp_path, monkeypatch, names):
    monkeypatch.setattr(testing.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(UsageError):
        local_network(names)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(testing.tempfile, "tempdir", str(tmp_path))
    really, opened = testing.open_node, []

    def second_fails(*words, **options):
        if opened:
            raise UsageError("no more")
        opened.append(really(*words, **options))
        return opened[-1]

    monkeypatch.setattr(testing, "open_node", second_fails)
    with pytest.raises(UsageError, match="no more"):
        local_network(["alice", "bob"])
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_node(monkeypatch):
    with filled() as network:
        steads = [network[name] for name in network]
        monkeypatch.setattr("stead.client.site.PAUSE_S", 0.0)
        datasets = network.datasets("heart")
        network.transports["carol"].reachable = False
        with pytest.raises(PartyUnreachable, match="carol is stopped"):
            steads[2].verify()
        with pytest.raises(PartyUnreachable):
            stead.ask(datasets[0].count(), datasets, within=0.5, why="joint")
        assert datasets[0].budget[0].epsilon_spent == 0, "nobody was charged for what could not begin"
        network.transports["carol"].reachable = True
        assert steads[2].verify().size


def test_a_node_that_drops_out_ends_the_session_for_all(monkeypatch):
    monkeypatch.setattr("stead.client.site.PAUSE_S", 0.0)
    with filled() as network:
        run = sites.session([network[name].site for name in network], sites.training(rounds=3))

        def stop(done):
            network.transports["bob"].reachable = done.number < 2

        with pytest.raises(PartyUnreachable, match="bob is stopped"):
            run.train([(50, 200)] * 3, on_round=stop)
        for name in ("alice", "carol"):
            last = codec.decode(network.nodes[name].books.log.leaves()[-1][0], Leaf)
            assert (last.outcome, last.rounds) == ("aborted", 3)
        assert network.nodes["bob"].sessions.recover() == 1


def test_real_policies_hold():
    rules = PolicyRules(
        rules=(
            Rule(outlet="answer", decision="allow", epsilon=0.5, reason="small"),
            Rule(outlet="answer", decision="ask", reason="a person", approvers=("eve",)),
        ),
        budgets=Budgets(Budget(epsilon=1.0), Budget(epsilon=1.0), Budget(epsilon=1.0)),
        joining=Joining(least_sites=3, least_colluders=1),
    )
    with filled(rules=rules, project="risk") as network:
        alice = network["alice"]
        assert alice.site.project == "risk"
        heart = alice["heart"]
        heart.count().answer(sigmas=[20.0], why="small")
        pending = heart.count().answer(sigmas=[8.0], why="more")
        assert isinstance(pending, Pending)
        network.nodes["alice"].requests.approve(pending._record.request, "eve")
        assert pending.refresh().receipt
        with pytest.raises(BudgetExceeded):
            heart.count().answer(sigmas=[1.0], why="large")
        with pytest.raises(PolicyDenied):
            stead.ask(heart.count(), network.datasets("heart"), within=0.5, why="no rule for joining")


def test_a_clock_of_ones_own():
    clock = StillClock(1_000_000.0)
    with filled(["alice"], clock=clock) as network:
        clock.move(86_400)
        network["alice"]["heart"].count().answer(sigmas=[5.0], why="tomorrow")
        last = codec.decode(network.nodes["alice"].books.log.leaves()[-1][0], Leaf)
        assert last.at == 1_086_400.0


def test_rows_that_do_not_fit_are_left_nowhere(tmp_path):
    with local_network(["alice"], directory=tmp_path) as network:
        columns = sites.rows("north", 60)
        with pytest.raises(UsageError, match="one length"):
            network.add(sites.card("alice"), columns | {"age": [3]}, at="alice")
        with pytest.raises(UsageError):
            network.add(sites.card("alice"), columns | {"age": ["old"] * 60}, at="alice")
        with pytest.raises(UsageError, match="no node 'dave'"):
            network.add(sites.card("alice"), columns, at="dave")
        assert not list(tmp_path.glob("*.csv"))
        with pytest.raises(KeyError):
            network["dave"]
        assert "dave" not in network
        assert list(network) == ["alice"]


def test_cells_are_what_was_given():
    """Missing, quotes, commas and line ends in the columns that are kept."""
    columns = (
        Column("group", "category", categories=('a "b"', "c,d", "e\nf")),
        Column("value", "real", bounds=Bounds(-1, 1)),
    )
    card = DatasetCard("odd", Schema("odd people", "person", columns, (1, 50)))
    values = {"group": ['a "b"', "c,d", "e\nf", None] * 5, "value": [0.5, None, -1.0, 1e-9] * 5}
    with local_network(["alice"]) as network:
        network.add(card, values, at="alice")
        rows = network.nodes["alice"].registry.table("odd").columns(["group", "value"]).columns
    assert rows["group"].tolist() == values["group"]
    assert np.isnan(rows["value"][1::4]).all()
    assert rows["value"][0] == 0.5
    assert rows["value"][3] == 1e-9
