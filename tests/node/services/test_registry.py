"""Datasets: public cards in the store, rows in files, one budget for the same people."""

import importlib
import sys
from pathlib import Path

import pytest

from stead.core import codec
from stead.core.entropy import SystemEntropy
from stead.core.leaves import DatasetAdded, Leaf
from stead.errors import UsageError
from stead.node.assembly import open_node
from stead.node.home import Home, Settings
from stead.plans.query import Count, Query
from stead.testing import StillClock

sys.path.insert(0, str(Path(__file__).parents[2]))
sites = importlib.import_module("sites")

COUNT = Query("heart", (), (), (Count("n"),), (1.0,))


@pytest.fixture
def node(tmp_path):
    home = Home.create(tmp_path / "node", Settings(name="north"), SystemEntropy())
    opened = open_node(home, clock=StillClock())  # it stands: nothing may hang on the time being another
    yield opened
    opened.close()


@pytest.fixture
def add(node, tmp_path):
    def adding(size=60, described=None, seed="north"):
        file = sites.to_csv(tmp_path / "rows.csv", sites.rows(seed, size))
        return node.registry.add(file, described or sites.card("north"))

    return adding


def count(node, name="heart"):
    return node.registry.table(name).run(COUNT).vector.tolist()


def added_leaves(node):
    decoded = [codec.decode(body, Leaf) for body, _, _ in node.books.log.leaves()]
    return [leaf for leaf in decoded if isinstance(leaf, DatasetAdded)]


def test_a_dataset_is_a_card_a_table_and_a_leaf(node, add):
    report = add()
    assert report.rows == 60
    assert node.registry.card("heart") == sites.card("north")
    assert node.registry.cards() == (sites.card("north"),)
    assert count(node) == [60]
    (leaf,) = added_leaves(node)
    assert (leaf.dataset, leaf.population) == ("heart", "heart at north")
    assert leaf.card_hash == codec.digest("stead.card", codec.encode(sites.card("north")))


def test_it_is_there_after_a_restart(node, add):
    add()
    again = open_node(Home.open(node.home.path))
    assert count(again) == [60]
    again.close()


def test_new_rows_under_the_same_name_are_answered_from_at_once(node, add):
    """Also where both were added at the same moment, and by another process than the one that answers."""
    add(60)
    assert count(node) == [60]
    add(75)
    assert count(node) == [75]
    other = open_node(Home.open(node.home.path), clock=StillClock())
    assert count(other) == [75]
    add(80)
    assert count(other) == [80]
    other.close()
    assert len(added_leaves(node)) == 3


def test_a_new_card_for_the_same_rows(node, add):
    add()
    count(node)
    add(described=sites.card("north", people=(10, 100)))
    assert node.registry.table("heart").schema.people == (10, 100)
    assert count(node) == [60]


@pytest.mark.parametrize("name", ["", "none", "../heart", "heart'; --", "x" * 500])
def test_a_name_that_is_not_there(node, add, name):
    add()
    with pytest.raises(UsageError, match="there is no dataset") as failed:
        node.registry.table(name)
    assert len(failed.value.what) < 200


def test_rows_that_do_not_fit_leave_all_as_it_was(node, add, tmp_path):
    add()
    leaves = node.books.log.size()
    with pytest.raises(UsageError):
        add(described=sites.card("north", people=(500, 900)))
    with pytest.raises(UsageError):
        node.registry.add(tmp_path / "no-such-file.csv", sites.card("north"))
    assert (count(node), node.registry.cards()) == ([60], (sites.card("north"),))
    assert node.books.log.size() == leaves


def test_the_same_people_have_one_budget(node, add):
    add()
    add(described=sites.card("north", name="again"))
    for other in (sites.card("north", name="other", population="others"), sites.card("north", population="others")):
        with pytest.raises(UsageError, match="the same people have one budget") as failed:
            add(described=other)
        assert 'population = "heart at north"' in failed.value.hint
    add(described=sites.card("north", name="elsewhere", population="others"), seed="valley")
    assert [card.name for card in node.registry.cards()] == ["again", "elsewhere", "heart"]


def test_a_file_is_known_by_a_digest_that_only_this_node_can_make(node, add, tmp_path):
    add()
    file = tmp_path / "rows.csv"
    one = node.registry._fingerprint(file)
    assert one == node.registry._fingerprint(file)
    other = open_node(Home.create(tmp_path / "other", Settings(name="other"), SystemEntropy()))
    assert other.registry._fingerprint(file) != one
    other.close()
    file.write_text(file.read_text() + "\n")
    assert node.registry._fingerprint(file) != one


def test_a_missing_file_of_rows_is_said(node, add):
    add()
    for file in node.home.data.iterdir():
        file.unlink()
    with pytest.raises(UsageError, match="has no rows in this node"):
        node.registry.table("heart")
