"""``stead compute`` from the shell: tables and JSON, previews, and the exit codes of what is refused."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import stead
from stead.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[1]))
joint = importlib.import_module("joint")
OWNERS = ["https://north.example", "https://south.example"]
WITH = ["--helper", "https://east.example", "--dataset", "heart", "--column", "age"]


@pytest.fixture
def network(monkeypatch):
    with joint.network() as made:

        def connect(url, project=None):
            return made[url.removeprefix("https://").removesuffix(".example")]

        monkeypatch.setattr(stead, "connect", connect)
        yield made


def test_the_average_age(network, capsys):
    ages = np.array([age for name in joint.SIZES for age in joint.rows(name)["age"]])
    assert main(["compute", "mean", *OWNERS, *WITH, "--why", "Table 1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["private"] is True
    assert abs(answer["values"]["age_mean"] - ages.mean()) <= 3 * answer["errors"]["age_mean"]
    assert main(["compute", "mean", *OWNERS, *WITH, "--why", "Table 1", "--json", "--disclose"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["private"] is False
    assert abs(answer["values"]["age_mean"] - ages.mean()) <= answer["errors"]["age_mean"]
    assert main(["compute", "mean", *OWNERS, *WITH, "--why", "Table 1", "--disclose"]) == 0
    assert "NOT PRIVATE" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["sum", "count"])
def test_other_numbers(network, capsys, what):
    assert main(["compute", what, *OWNERS, *WITH, "--why", "Table 1", "--disclose", "--json"]) == 0
    ages = [age for name in joint.SIZES for age in joint.rows(name)["age"]]
    (value,) = json.loads(capsys.readouterr().out)["values"].values()
    assert value == (sum(ages) if what == "sum" else len(ages))


def test_a_preview_spends_nothing(network, capsys):
    assert main(["compute", "mean", *OWNERS, *WITH, "--preview", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown["parties"]) == list(joint.NAMES)
    assert "honest majority" in shown["notes"]["Trust"]
    assert main(["compute", "mean", *OWNERS, *WITH, "--preview"]) == 0
    assert "nothing is spent" in capsys.readouterr().out
    for node in network.nodes.values():
        assert not node.requests.all(None)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["mean", *OWNERS, *WITH], 3),  # no purpose
        (["mean", *OWNERS, *WITH, "--why", "x", "--disclose", "--within", "0.1"], 2),
        (["mean", *OWNERS, *WITH[:4], "--why", "x"], 2),  # of which column?
        (["mean", OWNERS[0], *WITH, "--why", "x"], 1),  # too few parties
        (["mean", *OWNERS, OWNERS[0], *WITH, "--why", "x"], 2),  # too many
        (["mean", OWNERS[0], OWNERS[0], *WITH, "--why", "x"], 1),  # one of them twice
        (["median", *OWNERS, *WITH, "--why", "x"], 2),
    ],
)
def test_what_is_refused(network, arguments, code):
    assert main(["compute", *arguments]) == code
