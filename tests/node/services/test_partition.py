"""A declared partition from the file to the ledger: loading, adding, and questions through a whole node."""

import json

import msgspec
import pytest

from stead.core import codec
from stead.core.entropy import SystemEntropy
from stead.core.leaves import Charged, DatasetAdded, Leaf
from stead.core.messages import AskAnswer
from stead.core.schema import Column, DatasetCard, Schema
from stead.errors import UsageError
from stead.node.assembly import open_node
from stead.node.home import Home, Settings
from stead.plans.plan import encode_plan
from stead.plans.query import Compare, Count, Filter, Query
from stead.testing import StillClock

SCHEMA = Schema(
    population="ward patients",
    unit="patient",
    columns=(Column(name="id", kind="text"), Column(name="ward", kind="category", categories=("a", "b"))),
    people=(1, 100),
    person="id",
    rows_per_person=3,
    partition="ward",
)
CARD = DatasetCard(name="wards", schema=SCHEMA)
ALICE = b"\x07" * 32


@pytest.fixture
def node(tmp_path):
    home = Home.create(tmp_path / "node", Settings(name="north"), SystemEntropy())
    opened = open_node(home, clock=StillClock())
    opened.books.people.enrol(ALICE, "Alice", role="scientist", project="risk")
    yield opened
    opened.close()


@pytest.fixture
def rows(tmp_path):
    def written(*lines):
        file = tmp_path / "rows.csv"
        file.write_text("\n".join(("id,ward", *lines)) + "\n")
        return file

    return written


def test_nobody_may_be_in_two_cells(node, rows):
    with pytest.raises(UsageError, match="somebody has more than one value of 'ward'") as caught:
        node.registry.add(rows("ann,a", "bob,b", "ann,b"), CARD)
    assert "ann" not in json.dumps([caught.value.what, caught.value.hint])
    assert node.registry.cards() == ()
    # Missing and undeclared values are in no cell, and one beside a value is no second one.
    node.registry.add(rows("ann,a", "ann,", "bob,b", "bob,b", "cyd,", "ann,elsewhere"), CARD)
    body = [codec.decode(body, Leaf) for body, _, _ in node.books.log.leaves()][-1]
    assert isinstance(body, DatasetAdded)
    assert body.partition == ("ward", "a", "b")


def test_a_partition_is_declared_before_the_first_question_and_stays(node, rows):
    whole = msgspec.structs.replace(CARD, schema=msgspec.structs.replace(SCHEMA, partition=None))
    more = msgspec.structs.replace(SCHEMA.columns[1], categories=("a", "b", "c"))
    wider = msgspec.structs.replace(CARD, schema=msgspec.structs.replace(SCHEMA, columns=(SCHEMA.columns[0], more)))
    node.registry.add(rows("ann,a"), whole)
    node.registry.add(rows("ann,a"), CARD)  # nothing was charged yet
    with pytest.raises(UsageError, match="dataset 'wards' of population 'ward patients' is kept by the 2 values"):
        node.registry.add(rows("bob,a"), msgspec.structs.replace(whole, name="others"))
    ask(node, Filter(Compare("ward", "==", "a")))
    for other in (whole, wider):
        with pytest.raises(UsageError, match="has been charged by the 2 values of 'ward', and this card says"):
            node.registry.add(rows("ann,a"), other)
    node.registry.add(rows("ann,a", "bob,b"), CARD)


def ask(node, *steps):
    """Ask a counting query; the accounts that paid."""
    query = Query("wards", steps, (), (Count("n"),), (500.0,))
    release = bytes([len(node.books.log.leaves())]) * 16
    node.gate.answer(ALICE, AskAnswer(release=release, project="risk", plan=encode_plan(query), why="test"))
    charged = [codec.decode(body, Leaf) for body, _, _ in node.books.log.leaves()]
    last = [leaf for leaf in charged if isinstance(leaf, Charged)][-1]
    return {charge.account for charge in last.charges}


def test_a_question_pays_in_the_cells_that_its_filters_leave(node, rows):
    node.registry.add(rows("ann,a", "bob,b"), CARD)
    wholes = {"population/ward patients", "project/risk@ward patients", "scientist/Alice@ward patients"}
    assert ask(node, Filter(Compare("ward", "==", "b"))) == {f"{whole}#ward=b" for whole in wholes}
    both = {f"{whole}#ward={value}" for whole in wholes for value in "ab"}
    assert ask(node) == both
    assert ask(node, Filter(Compare("ward", "!=", "b"))) == {f"{whole}#ward=a" for whole in wholes}
    node.books.ledger.verify()
    costs = node.books.accounts.costs()
    assert len(costs) == 3
    assert len(set(costs.values())) == 1
