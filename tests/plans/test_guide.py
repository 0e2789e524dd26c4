"""The guide to questions runs as it stands on a real node, line by line of its tables, and its card loads."""

import re
from pathlib import Path

import numpy as np
import pytest

import stead
import stead.testing
from stead.client.aggregation import Aggregation
from stead.client.cases import Then
from stead.client.frame import RemoteFrame
from stead.client.operators import Condition, Expression
from stead.client.rounds import Rounds
from stead.core.dates import iso
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.node.services.datafiles import load_card

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "questions.md"
PATIENTS = 900
CHANCE = np.random.default_rng(4)
VISITS = Schema(
    "heart patients",
    "patient",
    (
        Column("pid", "text"),
        Column("age", "integer", Bounds(18, 100)),
        Column("sex", "category", categories=("F", "M")),
        Column("weight", "real", Bounds(35, 150), missing_rate=0.1),
        Column("height", "real", Bounds(1.2, 2.2)),
        Column("admitted", "date", Bounds(16436, 20088)),
        Column("left", "date", Bounds(16436, 20454)),
        Column("diagnosis", "text"),
        Column("ill", "boolean"),
    ),
    people=(700, 1000),
    person="pid",
    rows_per_person=3,
)
LAB = Schema(
    "heart patients",
    "patient",
    (Column("pid", "text"), Column("ldl", "real", Bounds(0, 10))),
    people=(700, 1000),
    person="pid",
    rows_per_person=2,
)


def visit_rows():
    rows = 2 * PATIENTS
    age, admitted = CHANCE.integers(18, 101, rows), CHANCE.integers(16436, 20088, rows)
    return {
        "pid": [f"p{row % PATIENTS}" for row in range(rows)],
        "age": age.tolist(),
        "sex": CHANCE.choice(["F", "M"], rows).tolist(),
        "weight": CHANCE.normal(80, 10, rows).clip(35, 150).tolist(),
        "height": CHANCE.normal(1.7, 0.1, rows).clip(1.2, 2.2).tolist(),
        "admitted": [iso(day) for day in admitted],
        "left": [iso(day + stay) for day, stay in zip(admitted, CHANCE.integers(0, 366, rows), strict=True)],
        "diagnosis": CHANCE.choice(["I21.0", "I21.4", "I50"], rows).tolist(),
        "ill": ["true" if ill else "false" for ill in CHANCE.random(rows) < 1 / (1 + np.exp((60 - age) / 10))],
    }


@pytest.fixture(scope="module")
def clinic():
    with stead.testing.local_network(["clinic"], seed=5) as network:
        network.add(DatasetCard("visits", VISITS), visit_rows(), at="clinic")
        lab = {"pid": [f"p{row}" for row in range(PATIENTS)], "ldl": CHANCE.uniform(0, 10, PATIENTS).tolist()}
        network.add(DatasetCard("lab", LAB), lab, at="clinic")
        yield network["clinic"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def notebook(clinic, monkeypatch):
    monkeypatch.setattr(stead, "connect", lambda _: clinic)
    names = {}
    for block in blocks("python")[:2]:
        exec(compile(block, str(GUIDE), "exec"), names)
    return names


def test_snippets_run(notebook, capsys):
    pytest.importorskip("polars")
    for block in blocks("python")[2:]:
        exec(compile(block, str(GUIDE), "exec"), notebook)
    said = capsys.readouterr().out
    assert "keep the rows where age is above 40" in said
    assert "standard error" in said
    assert notebook["risk"].rounds == 3


def written():
    """The code in the first column of each table that says what to write."""
    text = GUIDE.read_text(encoding="utf-8").partition("## Ask")[0]
    return re.findall(r"^\| `(.+?)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("code", written())
def test_every_line_of_the_tables_runs(notebook, code):
    found = eval(code, notebook)
    visits = notebook["visits"]
    if isinstance(found, Expression | Condition | Then):
        found = visits.with_columns(made=found)
    if isinstance(found, RemoteFrame):
        found = found.agg(n=found.count())
    assert found.on_mock().mock
    assert found.explain()
    if not isinstance(found, Rounds | Aggregation):
        assert found.preview(epsilon=2.0).epsilon <= 2.0


def test_every_verb_is_in_the_guide():
    text = GUIDE.read_text(encoding="utf-8")
    verbs = [name for kind in (RemoteFrame.__mro__[1],) for name in vars(kind) if not name.startswith("_")]
    assert len(verbs) > 15
    for verb in set(verbs) - {"frame", "schema"}:
        assert re.search(rf"\.{verb}\(", text), verb


def test_card_loads(tmp_path):
    (card,) = blocks("toml")
    (tmp_path / "card.toml").write_text(card, encoding="utf-8")
    assert load_card(tmp_path / "card.toml").schema.column("sex").categories == ("f", "m")
