"""Everything is rehearsed on mock rows: questions and trainings, with every node's line cut, so nothing can be sent."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stead.client import JointQuestion, epsilon, fit
from stead.client.question import Question
from stead.client.rehearsal import mock_examples
from stead.client.stead import attach
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import NotYet, PartyUnreachable, PurposeMissing, UnsupportedOperation, UsageError
from stead.plans.features import default_encoding, encode_rows, width
from stead.plans.mock import mock_rows
from stead.plans.query import Compare
from stead.plans.training import LocalSteps, Optimiser, Sampler, Training
from stead.testing import local_network

torch = pytest.importorskip("torch")

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
FEATURES = ["age", "sex", "pressure"]
GIVEN = {"target": "disease", "why": "risk model", "features": FEATURES, "silent": True}
NUMBERS = iter(range(10**6))


def cut(node):
    """From now on every request to the node fails."""

    def unreachable(*_):
        raise PartyUnreachable("the line is cut")

    node.post = node.get = unreachable


@pytest.fixture
def cut_off(three):
    nodes, sites = three
    for node in nodes:
        cut(node)
    with pytest.raises(PartyUnreachable):
        sites[0].count().preview()
    return nodes, sites


@pytest.fixture
def model():
    torch.manual_seed(3)
    return torch.nn.Linear(5, 1)


def same(first, other):
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("privacy", [epsilon(4), None])
def test_a_training_is_rehearsed_without_a_message(cut_off, model, privacy):
    nodes, sites = cut_off
    leaves = [len(node.leaves) for node in nodes]
    run = fit(model, sites, privacy=privacy, rounds=3, on_mock=True, **GIVEN)
    assert run.status == "done"
    assert len(run.rounds) == 3
    assert run.epsilon == {"North": 0.0, "South": 0.0, "East": 0.0}
    assert run.receipts == ()
    assert run.wait() is run.refresh() is run
    assert not same(run.model, model)
    assert all(torch.isfinite(part).all() for part in run.model.parameters())
    for shown in (repr(run), run._repr_html_()):
        assert "on mock rows · nothing was sent, nothing is spent" in shown
    assert [node.heard for node in nodes] == [[], [], []]
    assert [len(node.leaves) for node in nodes] == leaves


def test_one_site_alone_is_rehearsed_as_it_would_run(cut_off, model):
    sites = cut_off[1]
    run = fit(model, sites[:1], privacy=None, rounds=2, on_mock=True, **GIVEN)
    assert run.epsilon == {"North": 0.0}
    with pytest.raises(NotYet, match="two sites"):
        fit(model, sites[:1], privacy=epsilon(4), on_mock=True, **GIVEN)


def test_local_nodes_that_are_stopped_can_still_be_rehearsed(model):
    card = DatasetCard(
        "heart", Schema("p", "patient", (Column("age", "real", Bounds(0, 9)), Column("ill", "boolean")), (2, 9))
    )
    with local_network(["alice", "bob"], seed=4) as network:
        for name in network:
            network.add(card, {"age": [1, 2, 3], "ill": [True, False, True]}, at=name)
        sites = network.datasets("heart")
        for transport in network.transports.values():
            transport.reachable = False
        run = fit(
            torch.nn.Linear(1, 1), sites, target="ill", privacy=epsilon(4), why="w", rounds=2, silent=True, on_mock=True
        )
        assert run.status == "done"
        with pytest.raises(PartyUnreachable):
            fit(torch.nn.Linear(1, 1), sites, target="ill", privacy=epsilon(4), why="w", rounds=2, silent=True)


def test_the_rehearsed_plan_is_the_one_that_is_sent(three, model):
    sites = three[1]
    rehearsed = fit(model, sites, privacy=epsilon(4), rounds=2, on_mock=True, **GIVEN)
    real = fit(model, sites, privacy=epsilon(4), rounds=2, **GIVEN)
    mock, sent = rehearsed._parts.header, real._parts.header
    assert (mock.plan_hash, mock.length, mock.rounds, mock.ring_bits, mock.colluders, mock.outlet, mock.model_hash) == (
        sent.plan_hash,
        sent.length,
        sent.rounds,
        sent.ring_bits,
        sent.colluders,
        sent.outlet,
        sent.model_hash,
    )
    assert mock.names == sent.names
    assert rehearsed._parts.strategy == real._parts.strategy
    assert rehearsed.size_bytes == pytest.approx(real.size_bytes, rel=0.01)
    assert [record.epsilon for record in rehearsed.rounds] == [record.epsilon for record in real.rounds]
    price = f"{real.rounds[-1].epsilon:.2f}"
    assert re.search(rf"On real rows +ε {price} at each site", repr(rehearsed))


def test_it_computes_on_the_mock_rows_and_on_nothing_else(three):
    """One full step of plain SGD at one site, against the mean gradient over that site's mock rows by torch itself."""
    nodes, sites = three
    nodes[0].rows = None
    linear = torch.nn.Linear(5, 1)
    options = {**GIVEN, "optimiser": Optimiser("sgd", rate=0.5, momentum=0.0), "batch": 1000}
    run = fit(linear, sites[:1], privacy=None, rounds=1, on_mock=True, **options)
    schema = sites[0].schema
    x, y = encode_rows(default_encoding(schema, "disease", FEATURES), schema, mock_rows(schema, schema.people[0]))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        linear(torch.from_numpy(x))[:, 0], torch.tensor(y * 1.0)
    )
    loss.backward()
    for before, after in zip(linear.parameters(), run.model.parameters(), strict=True):
        torch.testing.assert_close(after, before - 0.5 * before.grad, atol=1e-5, rtol=1e-4)


def test_what_goes_wrong_goes_wrong_in_the_rehearsal(cut_off, model):
    sites = cut_off[1]
    for change, error in (
        ({"why": " "}, PurposeMissing),
        ({"features": ["age"]}, UsageError),
        ({"rounds": 0}, UsageError),
        ({"batch": 3}, UsageError),
        ({"rounds": 1 << 21}, UsageError),
    ):
        with pytest.raises(error):
            fit(model, sites, privacy=epsilon(4), on_mock=True, **({"rounds": 2} | GIVEN | change))
    dropping = torch.nn.Sequential(torch.nn.Linear(5, 1), torch.nn.Dropout())
    with pytest.raises(UnsupportedOperation):
        fit(dropping, sites, privacy=epsilon(4), on_mock=True, **GIVEN)


def test_the_rest_of_a_run_is_there_too(cut_off, model, capsys, monkeypatch):
    sites = cut_off[1]
    given = {**GIVEN, "silent": False}
    run = fit(model, sites, privacy=epsilon(4), rounds=5, on_mock=True, on_round=lambda r: r.number < 2, **given)
    assert run.status == "stopped"
    assert [record.number for record in run.rounds] == [1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("on mock rows" in line for line in lines)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    picture = run.plot().svg
    assert "on mock rows" in picture
    assert "ε of real rounds" in picture
    assert "ε so far" not in picture


@st.composite
def tables(draw):
    """A schema of one target and one to four features of all kinds; with a person column, or a row a person."""

    def missing():
        return draw(st.sampled_from((0.0, 0.3, 1.0)))

    columns = [
        Column("flag", "boolean", missing_rate=missing()),
        Column("stage", "category", categories=("i", "ii", "iii")[: draw(st.integers(1, 3))], missing_rate=missing()),
        Column(
            "years",
            "integer",
            Bounds(*draw(st.sampled_from(((0, 120), (-3, 7), (17.5, 99.5))))),
            missing_rate=missing(),
        ),
        Column(
            "level",
            "real",
            Bounds(*draw(st.sampled_from(((0.0, 1e-9), (-1e6, 1e6), (60, 220))))),
            missing_rate=missing(),
        ),
        Column("note", "text"),
    ]
    target = draw(st.sampled_from((Column("ill", "boolean"), Column("score", "real", Bounds(-2, 2), missing_rate=0.2))))
    people = (draw(st.integers(1, 60)), 70)
    chosen = [*draw(st.lists(st.sampled_from(columns), min_size=1, unique_by=lambda column: column.name)), target]
    if all(column.kind == "text" for column in chosen[:-1]):
        chosen.append(columns[0])
    person = draw(st.sampled_from((None, Column("who", "text"), Column("who", "integer", Bounds(1, 80)))))
    if person is None:
        return target.name, Schema("p", "patient", tuple(chosen), people)
    return target.name, Schema("p", "patient", (person, *chosen), people, "who", draw(st.integers(1, 4)))


@pytest.fixture
def attached(make_node, scientist):
    """A dataset with any schema, at a node that is cut off as soon as it has shown it."""

    def make(schema):
        number = next(NUMBERS)
        node = make_node(f"site-{number}", rows=1, seed=1000 + number)
        node.schema, node.rows = schema, None
        dataset = attach(node, scientist, url=f"local://{number}", project="risk")["heart"]
        cut(node)
        return dataset

    return make


QUIET = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUIET
@given(table=tables(), sites=st.integers(1, 3), private=st.booleans())
def test_any_schema_can_be_trained_on_unseen(attached, table, sites, private):
    target, schema = table
    inputs = width(default_encoding(schema, target), schema)
    datasets = [attached(schema) for _ in range(max(sites, 2) if private else sites)]
    privacy = epsilon(2) if private else None
    run = fit(
        torch.nn.Linear(inputs, 1),
        datasets,
        target=target,
        privacy=privacy,
        why="w",
        rounds=1,
        silent=True,
        on_mock=True,
    )
    assert run.status == "done"
    assert set(run.epsilon.values()) == {0.0}
    assert len(run.epsilon) == len(datasets)
    assert all(torch.isfinite(part).all() for part in run.model.parameters())


@settings(QUIET, max_examples=25)
@given(table=tables())
def test_any_schema_can_be_asked_about_unseen(attached, table):
    _, schema = table
    dataset = attached(schema)
    usable = [column for column in schema.columns if column.kind != "text" and column.name != schema.person]
    keys = [column.name for column in usable if column.bounds is None]
    for frame in (dataset.frame, dataset.group_by(*keys[:2]) if keys else dataset.frame):
        asked = {"rows": dataset.count()}
        for column in usable:
            name, bounds = column.name, column.bounds
            asked[f"{name} known"] = dataset[name].count()
            if bounds is not None:
                asked[f"{name} mean"] = dataset[name].mean()
                asked[f"{name} cells"] = dataset[name].histogram([bounds.low, bounds.middle, bounds.high])
        answer = frame.agg(**asked).on_mock()
        assert answer.mock
        assert answer.receipts == ()
        for column in usable:
            if column.bounds is not None:
                means = answer[f"{column.name} mean"]
                assert np.all((means >= column.bounds.low) & (means <= column.bounds.high))
    with pytest.raises(PartyUnreachable):
        dataset.count().preview()


@settings(max_examples=60, deadline=None)
@given(table=tables(), seed=st.none() | st.integers(0, 99))
def test_the_twin_keeps_to_its_schema(table, seed):
    _, schema = table
    rows = mock_rows(schema, 400, seed)
    assert list(rows) == [column.name for column in schema.columns]
    for column in schema.columns:
        values = rows[column.name]
        assert len(values) == 400
        missing = np.array([value is None or value != value for value in values.tolist()])  # noqa: PLR0124  # NaN
        if column.name == schema.person:
            assert not missing.any()
            continue
        # A share 10 standard deviations off happens once in 10^20 seeds or more.
        spread = math.sqrt(column.missing_rate * (1 - column.missing_rate) / 400)
        assert abs(missing.mean() - column.missing_rate) <= 10 * spread
        known = values[~missing].tolist()
        if column.bounds is not None:
            assert all(column.bounds.low <= value <= column.bounds.high for value in known)
            assert column.kind == "real" or all(value == int(value) for value in known)
        else:
            allowed = {"boolean": {True, False}, "category": set(column.categories)}.get(column.kind)
            assert allowed is None or set(known) <= allowed


@settings(max_examples=30, deadline=None)
@given(table=tables())
def test_a_mock_site_is_as_small_as_the_public_size_and_nobody_has_too_many_rows(table):
    target, schema = table
    training = Training(
        dataset="heart",
        gradient=b"",
        encoding=default_encoding(schema, target),
        sampler=Sampler(1.0),
        rounds=1,
        ring_bits=64,
        local=LocalSteps(1, 1, Optimiser("sgd", 0.1, 0.0)),
    )
    found = mock_examples(training, schema)
    assert len(found.x) == schema.people[0]
    assert max(np.unique(found.person, return_counts=True)[1]) <= schema.rows_per_person


def test_a_large_site_has_500_mock_rows():
    schema = Schema("p", "patient", (Column("x", "boolean"), Column("y", "boolean")), (10**6, 10**7))
    training = Training("d", b"", default_encoding(schema, "y"), Sampler(1.0), 1, 64)
    assert len(mock_examples(training, schema).x) == 500


def explore_for_free():
    """The part of the first guide that promises to cost nothing."""
    text = (GUIDES / "first-ten-minutes.md").read_text(encoding="utf-8")
    return text.split("## Explore for free")[1].split("\n## ")[0]


def test_the_free_snippets_of_the_first_ten_minutes_run_on_the_twin(cut_off):
    heart = cut_off[1][0]
    notebook = {"heart": heart}
    for snippet in re.findall(r"^```python\n(.*?)^```", explore_for_free(), re.DOTALL | re.MULTILINE):
        exec(compile(snippet, "first-ten-minutes.md", "exec"), notebook)
    answer, rows = notebook["by_sex"].on_mock(), mock_rows(heart.schema, len(heart.mock))
    assert answer["patients"].tolist() == [((rows["age"] > 40) & (rows["sex"] == sex)).sum() for sex in ("F", "M")]
    everywhere = JointQuestion(notebook["by_sex"], tuple(cut_off[1])).question.on_mock()
    np.testing.assert_array_equal(everywhere["patients"], answer["patients"])


# What the first guide's table offers, and how it is tried: in a condition, after a frame, or after a column.
OFFERED = {
    "heart.age > 40": "heart.filter({})",
    **{sign: f"heart.filter(heart.age {sign} 40)" for sign in ("==", "!=", "<", "<=", ">=")},
    'heart.sex.is_in(["F"])': "heart.filter({})",
    "heart.pressure.is_null()": "heart.filter({})",
    "heart.disease": "heart.filter({})",
    "~heart.disease": "heart.filter({})",
    ".filter": "heart{}(heart.age > 40)",
    ".select": "heart{}('age')",
    '.clip("pressure", 80, 200)': "heart{}",
    '.group_by("sex")': "heart{}",
    "heart.count()": "heart.agg(n={})",
    ".mean()": "heart.agg(n=heart.pressure{})",
    ".sum()": "heart.agg(n=heart.pressure{})",
    ".count()": "heart.agg(n=heart.pressure{})",
    ".histogram(edges)": "heart.agg(n=heart.pressure{})",
    "agg(name=…)": "heart.agg(name=heart.count())",
}


def test_the_guides_table_offers_what_is_tried_here():
    table = "\n".join(line for line in explore_for_free().splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`([^`]+)`", table)) == set(OFFERED)


@pytest.mark.parametrize("code", OFFERED)
def test_all_that_the_first_guide_offers_runs_on_the_twin(cut_off, code):
    names = {"heart": cut_off[1][0], "edges": [60, 100, 220]}
    made = eval(OFFERED[code].format(code), names)
    question = made if isinstance(made, Question) else made.agg(n=names["heart"].count())
    (values,) = question.on_mock().values.values()
    assert np.any(values != 0)


CONDITION = Compare("age", ">", 40)
