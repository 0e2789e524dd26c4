"""The log: leaves in the transaction of what they record, heads that others can check, an older store refused."""

import shutil
import sqlite3

import pytest
import sqlalchemy as sa
from gate_world import ALICE, NODE_KEY, FakeRunner, StillClock, ask, new_world, open_world

from stead.core import codec, merkle, notes
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key
from stead.core.leaves import Leaf, NodeMade
from stead.core.receipts import verify_receipt
from stead.errors import BadProof, KeyChanged, NodeError
from stead.node.services.books import open_books
from stead.node.services.log import Identity, Log
from stead.node.store import open_store


@pytest.fixture
def world(store_url, tmp_path):
    made = new_world(store_url, tmp_path, runner=FakeRunner())
    yield made
    made.close()


def test_the_first_leaf_says_whose_log_it_is(world):
    [(place, leaf)] = world.leaves(NodeMade)
    assert (place, leaf.name, leaf.key, leaf.testing) == (0, "North Hospital", NODE_KEY.public.raw, False)


def test_the_signed_head_is_the_root_of_an_independent_tree(world):
    for _ in range(3):
        world.gate.answer(ALICE, ask())
    head = notes.open_checkpoint(world.books.log.checkpoint(), world.books.log.origin, NODE_KEY.public)
    tree = merkle.MerkleLog(merkle.MemoryNodes())
    for body, salt, hashed in world.books.log.leaves():
        assert merkle.leaf_hash(salt, body) == hashed
        tree.append(hashed)
    assert (head.size, head.root) == (tree.size, tree.root())


def test_every_leaf_has_a_receipt_that_verifies(world):
    world.gate.answer(ALICE, ask())
    for index, (body, _, _) in enumerate(world.books.log.leaves()):
        leaf = verify_receipt(world.books.log.receipt(index), NODE_KEY.public.raw, world.books.log.origin)
        assert leaf == codec.decode(body, Leaf)


def test_salts_differ(world):
    salts = [salt for _, salt, _ in world.books.log.leaves()]
    assert len(set(salts)) == len(salts)
    assert all(len(salt) == 32 for salt in salts)


def test_a_later_log_begins_with_the_earlier_one(world):
    old = notes.open_checkpoint(world.books.log.checkpoint(), world.books.log.origin, NODE_KEY.public)
    world.gate.answer(ALICE, ask())
    proof, text = world.books.log.consistency(old.size)
    new = notes.open_checkpoint(text, world.books.log.origin, NODE_KEY.public)
    assert new.size == old.size + 5  # three accounts, charged, stored
    merkle.verify_consistency(old.size, old.root, new.size, new.root, proof)


def test_a_path_of_hashes_is_one_query_however_long_the_log(world):
    engine, log = world.books.store.engine, world.books.log
    for _ in range(40):
        world.gate.answer(ALICE, ask())
    asked = []
    listen = sa.event.listens_for(engine, "before_cursor_execute")
    listen(lambda _connection, _cursor, statement, *_: asked.append(statement))
    # One for the proof, one for the head that is signed with it.
    for most, read in (
        (1, log.checkpoint),
        (2, lambda: log.receipt(17)),
        (2, lambda: log.consistency(29)),
        (1, lambda: log.growth(29, 77)),
    ):
        asked.clear()
        read()
        assert sum("FROM log_nodes" in statement for statement in asked) == most
    asked.clear()
    world.gate.answer(ALICE, ask())
    # Two leaves, each with the head compared and signed after it, and the receipt.
    assert sum("FROM log_nodes" in statement for statement in asked) <= 8


def test_a_tree_that_lacks_a_hash_says_so(world):
    world.gate.answer(ALICE, ask())
    with world.books.store.write() as write:
        on = " ON log_nodes" if write.connection.dialect.name == "postgresql" else ""
        write.connection.exec_driver_sql(f"DROP TRIGGER log_nodes_no_delete{on}")
        write.connection.exec_driver_sql("DELETE FROM log_nodes WHERE level = 1 AND position = 0")
    with pytest.raises(NodeError, match="node 0 of level 1"):
        world.books.log.receipt(2)


def test_a_leaf_goes_back_with_what_it_records(world):
    before = world.books.log.size()

    def append_and_fail():
        with world.books.store.write() as write:
            world.books.log.append(write, NodeMade(at=0.0, name="x", key=b"", testing=False))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        append_and_fail()
    assert world.books.log.size() == before
    world.gate.answer(ALICE, ask())


def test_the_file_holds_the_last_head_after_every_commit(world, tmp_path):
    for _ in range(2):
        world.gate.answer(ALICE, ask())
        text = (tmp_path / "checkpoint.txt").read_text()
        head = notes.open_checkpoint(text, world.books.log.origin, NODE_KEY.public)
        assert head.size == world.books.log.size()


def test_another_nodes_key_does_not_open_the_store(world, tmp_path):
    other = Identity(name="North Hospital", key=Key.from_bytes(b"o" * 32))
    with pytest.raises(KeyChanged):
        open_books(
            world.books.store,
            other,
            checkpoint=tmp_path / "checkpoint.txt",
            clock=StillClock(),
            entropy=SystemEntropy(),
        )


def test_a_store_ahead_of_its_file_is_opened(tmp_path):
    """A crash between the commit and the file: the store knows more, and that is fine."""
    world = new_world(tmp_path / "stead.db", tmp_path)
    early = (tmp_path / "checkpoint.txt").read_text()
    world.gate.answer(ALICE, ask())
    world.close()
    (tmp_path / "checkpoint.txt").write_text(early)
    again = open_world(tmp_path / "stead.db", tmp_path)
    head = notes.open_checkpoint((tmp_path / "checkpoint.txt").read_text(), again.books.log.origin, NODE_KEY.public)
    assert head.size == again.books.log.size()
    again.close()


def test_a_missing_file_beside_a_log_is_refused(tmp_path):
    new_world(tmp_path / "stead.db", tmp_path).close()
    (tmp_path / "checkpoint.txt").unlink()
    with pytest.raises(BadProof, match="missing"):
        open_world(tmp_path / "stead.db", tmp_path)


def test_a_file_signed_by_somebody_else_is_refused(tmp_path):
    new_world(tmp_path / "stead.db", tmp_path).close()
    forged = notes.Checkpoint(origin=notes.log_origin(NODE_KEY.public.raw), size=1, root=bytes(32))
    (tmp_path / "checkpoint.txt").write_text(notes.sign_checkpoint(forged, Key.from_bytes(b"o" * 32)))
    with pytest.raises(BadProof):
        open_world(tmp_path / "stead.db", tmp_path)


def test_a_store_put_back_under_a_running_node_is_noticed_at_its_next_commit(tmp_path):
    world = new_world(tmp_path / "stead.db", tmp_path)
    backup(tmp_path / "stead.db", tmp_path / "backup.db")
    world.gate.answer(ALICE, ask())
    world.close()
    store = open_store(tmp_path / "backup.db")
    log = Log(
        store, world.books.identity, clock=StillClock(), entropy=SystemEntropy(), checkpoint=tmp_path / "checkpoint.txt"
    )

    def append():
        with store.write() as write:
            log.append(write, NodeMade(at=0.0, name="x", key=b"", testing=False))

    with pytest.raises(BadProof, match="older"):
        append()
    store.close()


def backup(source, target):
    """As SQLite's own backup does it."""
    with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
        old.backup(new)
    shutil.copymode(source, target)
