"""Thirteen models trace, agree with torch on both engines, and train; what is refused is refused by name.

A stored trace that no longer matches means that torch traces a model differently: look at what changed, then run
docs/reference/make_models.py.
"""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "docs/reference"


def script(name):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(autouse=True)
def _one_thread():
    """Tiny convolutions only wait for each other on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


zoo = script("model_zoo")
maker = script("make_models")


@pytest.mark.parametrize("model", zoo.MODELS, ids=lambda model: model.name)
def test_a_model_traces_agrees_and_trains(model):
    found = maker.examine(model)
    assert found.numpy_agrees
    assert found.gradients_agree
    assert found.trains
    stored = json.loads((maker.TRACES / maker.file_name(model)).read_text())
    now = maker.stored_trace(found)
    assert {name: part["operations"] for name, part in now.items()} == {
        name: part["operations"] for name, part in stored.items()
    }
    assert now == stored
    assert maker.row(model, found) in maker.PAGE.read_text().splitlines()


@pytest.mark.parametrize("model", zoo.REFUSED, ids=lambda model: model.name)
def test_a_refusal_is_on_the_page(model):
    line = maker.refused_row(model)
    assert "UnsupportedOperation: " in line
    assert line in maker.PAGE.read_text().splitlines()


def test_the_page_holds_nothing_else():
    lines = maker.PAGE.read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| model ")]
    assert len(rows) == len(zoo.MODELS) + len(zoo.REFUSED)
    assert maker.PAGE.read_text().startswith(maker.head())


def test_each_stored_trace_belongs_to_a_model():
    assert {path.name for path in maker.TRACES.iterdir()} == {maker.file_name(model) for model in zoo.MODELS}
