"""The README's snippet runs as it stands, on three real nodes in this process, and its answers are right."""

import re
from pathlib import Path

import numpy as np
import pytest

import stead
import stead.testing
from stead.core.schema import Bounds, Column, DatasetCard, Schema

torch = pytest.importorskip("torch")

README = Path(__file__).parents[2] / "README.md"
PEOPLE = 1200
SCHEMA = Schema(
    population="heart patients",
    unit="patient",
    people=(1000, 1500),
    columns=(
        Column("age", "integer", Bounds(18, 100)),
        Column("sex", "category", categories=("F", "M")),
        Column("pressure", "real", Bounds(60, 220)),
        Column("disease", "boolean"),
    ),
)


def patients(seed):
    chance = np.random.default_rng(seed)
    age = chance.integers(25, 90, PEOPLE)
    pressure = np.clip(chance.normal(110 + age / 3, 12), 60, 220)
    disease = chance.random(PEOPLE) < 1 / (1 + np.exp(-(age - 60) / 8))
    return {
        "age": age.tolist(),
        "sex": chance.choice(["F", "M"], PEOPLE).tolist(),
        "pressure": pressure.round(1).tolist(),
        "disease": ["true" if ill else "false" for ill in disease],
    }


def truth(tables):
    """Patients over 40 and their mean pressure, by sex."""
    pooled = {name: np.concatenate([np.array(table[name]) for table in tables]) for name in ("age", "sex", "pressure")}
    groups = [(pooled["age"] > 40) & (pooled["sex"] == sex) for sex in ("F", "M")]
    return [int(group.sum()) for group in groups], [pooled["pressure"][group].mean() for group in groups]


def test_the_snippet_runs_and_is_right(monkeypatch):
    (snippet,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names = ["north-hospital", "city-hospital", "lake-hospital"]
    urls = [f"https://{name}.example" for name in names]
    tables = [patients(seed) for seed in range(3)]
    with stead.testing.local_network(names, seed=5) as network:
        for name, table in zip(names, tables, strict=True):
            network.add(DatasetCard("heart", SCHEMA), table, at=name)
        monkeypatch.setattr(
            stead, "connect", lambda url: network[url.removeprefix("https://").removesuffix(".example")]
        )
        torch.manual_seed(1)
        notebook = {"urls": urls, "model": torch.nn.Linear(4, 1)}
        exec(compile(snippet, "README.md", "exec"), notebook)
        for answer, rows in ((notebook["answer"], tables[:1]), (notebook["everywhere"], tables)):
            counts, means = truth(rows)
            # The bars hold for all at 95 %; twice the bar is five standard deviations, missed once in 200,000 runs.
            assert np.all(np.abs(answer["patients"] - counts) <= 2 * answer.errors["patients"])
            assert np.all(np.abs(answer["pressure"] - means) <= 2 * answer.errors["pressure"])
        assert notebook["run"].model is not notebook["model"]
        for name in names:
            network[name].verify()
