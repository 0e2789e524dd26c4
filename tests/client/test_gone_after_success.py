"""A node that goes away right after its last reply takes nothing from the scientist."""

import pytest

import stead
from stead.core.messages import ListDatasets
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import PartyUnreachable
from stead.testing import local_network

COLUMNS = (Column("age", "integer", bounds=Bounds(18, 100)), Column("ill", "boolean"))
CARD = DatasetCard("heart", Schema("heart patients", "patient", COLUMNS, (900, 1100)))
ROWS = {"age": [20 + row % 70 for row in range(1000)], "ill": [row % 3 == 0 for row in range(1000)]}


@pytest.fixture
def sites(monkeypatch):
    """Two sites whose lists of datasets can be cut off."""
    with local_network(["north", "south"]) as network:
        for name in network:
            network.add(CARD, ROWS, at=name)
        sites = network.datasets("heart")
        for site in sites:
            node = site.source.site
            send = node.send

            def cut(message, *, send=send, **options):
                if isinstance(message, ListDatasets):
                    raise PartyUnreachable("the node is gone.")
                return send(message, **options)

            monkeypatch.setattr(node, "send", cut)
        yield sites


def test_an_answer_is_kept(sites):
    answer = sites[0].agg(patients=sites[0].count()).answer(within=0.05, why="counting")
    assert abs(answer["patients"].item() - 1000) < 200


def test_a_joint_answer_is_kept(sites):
    answer = stead.ask(sites[0].agg(patients=sites[0].count()), sites, within=0.05, why="counting")
    assert abs(answer["patients"].item() - 2000) < 400


def test_a_trained_model_is_kept(sites):
    torch = pytest.importorskip("torch")
    privacy = stead.epsilon(2, delta=1e-6)
    model = torch.nn.Linear(1, 2)
    run = stead.fit(model, sites, target="ill", rounds=1, privacy=privacy, why="a model", silent=True)
    assert run.status == "done"
    assert not torch.equal(run.model.weight, model.weight)
