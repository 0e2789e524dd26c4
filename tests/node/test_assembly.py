"""A node is opened over its home as a whole, or not at all."""

import sys

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

from stead.core.entropy import SystemEntropy
from stead.core.schema import Bounds, Column, Schema
from stead.errors import BadProof, KeyChanged, SteadError
from stead.node import assembly
from stead.node.assembly import answer_sampler, open_node, training_engine
from stead.node.home import Home, Settings
from stead.node.services.appraisal import language
from stead.plans.engine import NumpyEngine
from stead.plans.exact import Exact, read_released
from stead.plans.query import Count, PrivateKeys, Query, Sum


@pytest.fixture
def home(tmp_path):
    return Home.create(tmp_path / "node", Settings(name="north"), SystemEntropy())


def test_a_new_node_has_a_log_of_one_leaf_and_no_dataset(home):
    node = open_node(home)
    assert node.books.log.size() == 1
    assert node.registry.cards() == ()
    assert node.requests.all() == ()
    node.close()


def test_what_was_written_is_there_when_it_is_opened_again(home):
    node = open_node(home)
    node.books.people.enrol(home.key.public.raw, "ines", role="scientist", project="risk")
    node.close()
    again = open_node(home)
    assert [person.name for person in again.books.people.all()] == ["ines"]
    assert again.books.log.size() == 2
    again.close()


def test_two_openings_write_to_one_log(home):
    """The owner's command beside the serving process."""
    one, other = open_node(home), open_node(home)
    one.books.people.enrol(home.key.public.raw, "ines", role="scientist", project="risk")
    assert other.books.people.known(home.key.public.raw)
    other.books.people.revoke(home.key.public.raw)
    assert one.books.log.size() == other.books.log.size() == 3
    one.books.log.verify()
    one.close()
    other.close()


class Watched:
    def __init__(self, store):
        self.closed, self._close = False, store.close

    def close(self):
        self.closed = True
        self._close()


@pytest.mark.parametrize("spoil", ["key", "checkpoint", "store"])
def test_a_node_that_cannot_be_opened_holds_no_connection(home, spoil, monkeypatch, tmp_path):
    open_node(home).close()
    opened = []
    really = assembly.open_store

    def noted(url):
        store = really(url)
        opened.append(Watched(store))
        monkeypatch.setattr(store, "close", opened[-1].close)
        return store

    monkeypatch.setattr(assembly, "open_store", noted)
    if spoil == "key":
        other = Home.create(tmp_path / "other", Settings(name="other"), SystemEntropy())
        home, error = Home(home.path, home.settings, other.key), KeyChanged
    elif spoil == "checkpoint":
        home.checkpoint.unlink()
        engine = sa.create_engine(home.store_url)
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE log_head SET size = 5"))
        engine.dispose()
        error = BadProof
    else:
        (home.path / "store.db").write_bytes(b"this is no database" * 100)
        for leftover in home.path.glob("store.db-*"):
            leftover.unlink()
        error = SteadError
    with pytest.raises(error):
        open_node(home)
    assert all(store.closed for store in opened)


def test_without_torch_the_numpy_engine_trains(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert isinstance(training_engine(), NumpyEngine)


def test_closing_twice_is_closing(home):
    node = open_node(home)
    node.close()
    node.close()


def test_an_owner_can_have_answers_drawn_by_opendp():
    """The same integers with OpenDP's noise: five standard deviations away with probability below 1e-6 each."""
    pytest.importorskip("opendp")
    schema = Schema(
        "p", "patient", (Column("age", "integer", Bounds(0, 100)), Column("note", "text")), people=(1, 1000)
    )
    query = Query("d", (), (), (Count("n"), Sum("s", "age")), (3.0, 40.0))
    release = language(answer_sampler("opendp")).release
    for noise, width in (("gaussian", 5.0), ("laplace", 15.0)):
        asked = msgspec.structs.replace(query, noise=noise)
        vectors = [
            read_released(asked, release(asked, schema, Exact(np.array([500, 9000])), SystemEntropy())).vector
            for _ in range(20)
        ]
        assert all(abs(n - 500) < 3 * width and abs(s - 9000) < 40 * width for n, s in vectors)
        assert len({tuple(vector) for vector in vectors}) > 1
    keyed = msgspec.structs.replace(query, private_keys=PrivateKeys("note", 3.0, 50))
    exact = Exact(np.array([100, 9000, 2, 90]), keys=("common", "rare"), people=np.array([100, 2]))
    assert read_released(keyed, release(keyed, schema, exact, SystemEntropy())).keys == ("common",)
    assert answer_sampler("stead") is None
