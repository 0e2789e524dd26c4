"""Training through signed sessions: private and open, one site and three, waiting and failing."""

import math

import numpy as np
import pytest

from stead.client import epsilon, fit
from stead.client.scoring import area_under_curve
from stead.core.leaves import Charged, SessionEnded
from stead.errors import (
    NotYet,
    PartyUnreachable,
    PolicyDenied,
    PurposeMissing,
    TooFewParties,
    UnknownColumn,
    UnsupportedOperation,
    UsageError,
)
from stead.plans.features import default_encoding, encode_rows

torch = pytest.importorskip("torch")

FEATURES = ["age", "sex", "pressure"]
QUIET = {"features": FEATURES, "silent": True}


@pytest.fixture
def model():
    torch.manual_seed(3)
    return torch.nn.Linear(5, 1)


def pooled(nodes):
    """All rows of all nodes as tensors: what nobody but this test sees."""
    schema = nodes[0].schema
    encoding = default_encoding(schema, "disease", FEATURES)
    both = [encode_rows(encoding, schema, node.rows) for node in nodes]
    return np.concatenate([x for x, _ in both]), np.concatenate([y for _, y in both])


def auc_of(model, nodes):
    x, y = pooled(nodes)
    with torch.no_grad():
        return area_under_curve(model(torch.from_numpy(x)).numpy()[:, 0], y)


def test_a_private_training_learns_and_is_charged_as_asked(three, model):
    nodes, sites = three
    before = [parameter.clone() for parameter in model.parameters()]
    run = fit(
        model,
        sites,
        target="disease",
        privacy=epsilon(4, delta=1e-6),
        why="risk model",
        rounds=12,
        learning_rate=0.3,
        score=pooled(nodes),
        **QUIET,
    )
    assert run.status == "done"
    assert auc_of(run.model, nodes) > 0.85
    assert run.score == pytest.approx(auc_of(run.model, nodes))
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert set(run.epsilon) == {"North", "South", "East"}
    for spent in run.epsilon.values():
        assert 3.9 < spent <= 4.0
    assert [record.number for record in run.rounds] == list(range(1, 13))
    assert run.rounds[-1].epsilon == pytest.approx(4.0, abs=0.1)
    assert run.rounds[0].epsilon < run.rounds[-1].epsilon
    assert run.size_bytes > 0


def test_each_site_logs_the_beginning_and_the_end(three, model):
    sites = three[1]
    run = fit(model, sites, target="disease", privacy=epsilon(4), why="risk model", rounds=2, **QUIET)
    kinds = [type(receipt.verify()) for receipt in run.receipts]
    assert kinds == [Charged] * 3 + [SessionEnded] * 3
    ended = [receipt.verify() for receipt in run.receipts[3:]]
    assert {(leaf.outcome, leaf.rounds) for leaf in ended} == {("done", 2)}


def test_without_privacy_the_model_is_disclosed_and_marked_so(three, model):
    nodes, sites = three
    run = fit(model, sites, target="disease", privacy=None, why="risk model", rounds=3, local_epochs=5, **QUIET)
    assert auc_of(run.model, nodes) > 0.85
    assert set(run.epsilon.values()) == {math.inf}
    assert [node.disclosures for node in nodes] == [1, 1, 1]
    assert "no differential privacy" in repr(run)
    assert run.receipts[0].verify().outlet == "disclose"


def test_one_site_alone_without_privacy(three, model):
    nodes, sites = three
    run = fit(model, sites[:1], target="disease", privacy=None, why="baseline", rounds=3, local_epochs=5, **QUIET)
    assert auc_of(run.model, nodes[:1]) > 0.85
    with pytest.raises(NotYet, match="two sites"):
        fit(model, sites[:1], target="disease", privacy=epsilon(4), why="baseline", **QUIET)


def test_it_waits_for_an_owner_before_anybody_else_is_charged(three, model):
    nodes, sites = three
    nodes[1].decision, nodes[1].approvers, nodes[1].reason = "ask", ("Dr Chen",), "training: ask"
    run = fit(model, sites, target="disease", privacy=epsilon(4), why="risk model", rounds=2, **QUIET)
    assert run.status == "waiting"
    assert "Dr Chen" in repr(run)
    assert [len(node.sessions) for node in nodes] == [0, 0, 0]
    assert set(run.epsilon.values()) == {0.0}
    with pytest.raises(NotYet, match="waiting"):
        _ = run.model
    nodes[1].decision = "allow"
    assert run.wait(timeout_s=10).status == "done"
    assert len(run.rounds) == 2


def test_one_denial_ends_it_everywhere_before_a_charge(three, model):
    nodes, sites = three
    nodes[2].decision, nodes[2].reason = "deny", "no training here"
    with pytest.raises(PolicyDenied, match="East does not allow it: no training here"):
        fit(model, sites, target="disease", privacy=epsilon(4), why="risk model", rounds=2, **QUIET)
    assert [len(node.sessions) for node in nodes] == [0, 0, 0]


def test_a_site_that_goes_away_ends_the_session_at_the_others(three, model):
    nodes, sites = three

    def gone(message, sender):
        raise PartyUnreachable("the machine is off")

    nodes[0].SessionFrame = gone
    with pytest.raises(PartyUnreachable, match="the machine is off"):
        fit(model, sites, target="disease", privacy=epsilon(4), why="risk model", rounds=2, **QUIET)
    from stead.core.codec import decode
    from stead.core.leaves import Leaf

    last = decode(nodes[1].leaves[-1][0], Leaf)
    assert isinstance(last, SessionEnded)
    assert last.outcome == "aborted"


def test_the_scientist_can_stop_early(three, model):
    _, sites = three
    run = fit(
        model,
        sites,
        target="disease",
        privacy=epsilon(4),
        why="risk model",
        rounds=5,
        on_round=lambda record: record.number < 2,
        **QUIET,
    )
    assert run.status == "stopped"
    assert len(run.rounds) == 2
    assert next(iter(run.epsilon.values())) > 3.9


def test_classes_and_numbers_can_be_targets_too(three):
    sites = three[1]
    torch.manual_seed(0)
    classes = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    run = fit(
        classes,
        sites,
        target="sex",
        privacy=epsilon(4),
        why="w",
        rounds=1,
        silent=True,
        features=["age", "pressure", "disease"],
    )
    assert "AUC on mock rows" in repr(run)
    number = torch.nn.Linear(2, 1)
    run = fit(number, sites, target="age", privacy=None, why="w", rounds=2, features=["pressure"], silent=True)
    assert "R² on mock rows" in repr(run)
    assert run.rounds[-1].score == run.rounds[-1].score


def test_progress_is_narrated_line_by_line_in_a_pipe(three, model, capsys):
    _, sites = three
    fit(model, sites, target="disease", privacy=epsilon(4), why="w", rounds=2, features=FEATURES)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 2
    assert "round 2/2" in lines[1]
    assert "ε" in lines[1]


def test_the_curve_is_drawn_with_and_without_matplotlib(three, model, monkeypatch):
    _, sites = three
    run = fit(model, sites, target="disease", privacy=epsilon(4), why="w", rounds=2, **QUIET)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    picture = run.plot()
    assert picture.svg.startswith("<svg")
    assert "ε so far" in picture.svg


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"why": ""}, PurposeMissing, "purpose"),
        ({"target": "diseas"}, UnknownColumn, 'did you mean "disease"'),
        ({"target": "note"}, UsageError, "text"),
        ({"rounds": 0}, UsageError, "at least one round"),
        ({"colluders": 3}, UsageError, "colluders must be 0 to 2"),
        ({"clipp": 1.0}, UsageError, "did you mean clip="),
        ({"batch": 8}, UsageError, "without privacy"),
        ({"features": ["age"]}, UsageError, "features make 1 numbers"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(three, model, change, error, text):
    nodes, sites = three
    given = {"target": "disease", "privacy": epsilon(4), "why": "w", "features": FEATURES, "silent": True} | change
    with pytest.raises(error) as caught:
        fit(model, sites, **given)
    assert text in str(caught.value)
    assert [node.heard for node in nodes] == [[], [], []]


def test_models_that_do_not_fit_are_refused_by_name(three):
    _, sites = three
    with pytest.raises(UsageError, match="3 outputs"):
        fit(torch.nn.Linear(5, 3), sites, target="disease", privacy=epsilon(4), why="w", features=FEATURES)
    with pytest.raises(UnsupportedOperation, match=r"no adapter takes a model of type builtins\.dict"):
        fit({}, sites, target="disease", privacy=epsilon(4), why="w")
    with pytest.raises(TooFewParties):
        fit(torch.nn.Linear(5, 1), [], target="disease", privacy=epsilon(4), why="w")
    with pytest.raises(UsageError, match="delta"):
        epsilon(4, delta=2)
