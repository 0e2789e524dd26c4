"""An owner at a terminal: commands run in this process, in an empty directory, against small data."""

from contextlib import contextmanager
from typing import NamedTuple

import pytest

from stead.cli.main import main
from stead.client.identity import new_key
from stead.client.site import Scientist
from stead.client.stead import attach
from stead.node.assembly import open_node
from stead.node.home import Home
from stead.testing import LocalTransport

ROWS = """age,sex,pressure,disease,note
52,F,121.5,true,canary-in-a-cell
67,M,133,false,
71,F,,true,
45,M,140,false,
38,F,118,no,
"""
CARD = """name = "heart"
purpose = "cardiology research"

[schema]
population = "north patients"
unit = "patient"
people = [4, 50]

[[schema.columns]]
name = "age"
kind = "integer"
bounds = { low = 18, high = 100 }
unit = "years"

[[schema.columns]]
name = "sex"
kind = "category"
categories = ["F", "M"]

[[schema.columns]]
name = "pressure"
kind = "real"
bounds = { low = 60, high = 220 }
missing_rate = 0.05

[[schema.columns]]
name = "disease"
kind = "boolean"
"""


class Ran(NamedTuple):
    """What a command wrote."""

    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """``run("data", "ls")``, or with the exit code that is expected: ``run(..., code=2)``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEAD_NODE", raising=False)

    def call(*arguments, code=0):
        capsys.readouterr()
        ended = main([str(each) for each in arguments])
        ran = Ran(*capsys.readouterr())
        assert ended == code, ran
        assert "Traceback" not in ran.out + ran.err
        assert "canary-in-a-cell" not in ran.out + ran.err
        assert "stopped on a fault of its own" not in ran.err
        return ran

    return call


@pytest.fixture
def made(run, tmp_path):
    """``./stead-node`` without data, and the files ``heart.csv`` and ``card.toml`` beside it; gives the directory."""
    run("init", "--name", "North Hospital")
    (tmp_path / "heart.csv").write_text(ROWS)
    (tmp_path / "card.toml").write_text(CARD)
    return tmp_path


@pytest.fixture
def north(run, made):
    """The node with its dataset, and the scientist ada enrolled in risk-2026."""
    key = new_key()
    run("data", "add", "heart.csv", "--card", "card.toml")
    run("people", "add", "ada", key.public.raw.hex(), "--project", "risk-2026")

    @contextmanager
    def connected():
        node = open_node(Home.open(made / "stead-node"))
        try:
            node.start()
            yield attach(LocalTransport(node), Scientist(key, made / "ada"), url="local://north", project="risk-2026")
        finally:
            node.close()

    return connected
