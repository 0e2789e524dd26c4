"""The guides for scientists run as they stand, page by page, on three real nodes in this process."""

import re
from pathlib import Path

import numpy as np
import pytest

import stead
import stead.testing
from stead.client.fitting import FitOptions
from stead.core.schema import Bounds, Column, DatasetCard, Schema

torch = pytest.importorskip("torch")

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
NAMES = ("north-hospital", "city-hospital", "lake-hospital")
PEOPLE = 400
SCHEMA = Schema(
    population="heart patients",
    unit="patient",
    people=(300, 500),
    columns=(
        Column("age", "integer", Bounds(18, 100)),
        Column("sex", "category", categories=("F", "M")),
        Column("pressure", "real", Bounds(60, 220), missing_rate=0.05),
        Column("disease", "boolean"),
    ),
)


def patients(seed):
    chance = np.random.default_rng(seed)
    age = chance.integers(25, 90, PEOPLE)
    return {
        "age": age.tolist(),
        "sex": chance.choice(["F", "M"], PEOPLE).tolist(),
        "pressure": np.clip(chance.normal(110 + age / 3, 12), 60, 220).round(1).tolist(),
        "disease": ["true" if ill else "false" for ill in chance.random(PEOPLE) < 1 / (1 + np.exp((60 - age) / 8))],
    }


@pytest.fixture
def network(monkeypatch):
    with stead.testing.local_network(NAMES, seed=5) as made:
        for seed, name in enumerate(NAMES):
            made.add(DatasetCard("heart", SCHEMA), patients(seed), at=name)
        monkeypatch.setattr(stead, "connect", lambda url: made[url.removeprefix("https://").removesuffix(".example")])
        yield made


def run(page, notebook):
    text = (GUIDES / page).read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, page, "exec"), notebook)
    return notebook


def test_the_first_ten_minutes(network):
    notebook = run("first-ten-minutes.md", {"urls": [f"https://{name}.example" for name in NAMES]})
    for answer, rows in ((notebook["answer"], 1), (notebook["everywhere"], 3)):
        assert len(answer.receipts) == (1 if rows == 1 else 6)
        over_40 = sum(sum(age > 40 for age in patients(seed)["age"]) for seed in range(rows))
        assert abs(answer["patients"].sum() - over_40) <= 2 * answer.errors["patients"].sum()


def test_training(network):
    torch.manual_seed(1)
    model = torch.nn.Linear(5, 1)
    notebook = run("training.md", {"urls": [f"https://{name}.example" for name in NAMES], "model": model})
    assert notebook["run"].status == "done"
    assert not torch.equal(notebook["trained"].weight, model.weight)


def test_every_option_of_fit_is_in_its_table():
    text = (GUIDES / "training.md").read_text(encoding="utf-8")
    for name in FitOptions.__annotations__:
        assert f"`{name}`" in text, name
