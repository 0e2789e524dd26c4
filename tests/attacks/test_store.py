"""An owner or operator who turns back the store, edits it, or hopes that a decision tells about rows."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from stead.core import codec, merkle, notes
from stead.core.leaves import Charged, Leaf, ResultStored
from stead.core.receipts import verify_receipt
from stead.errors import BadProof, SteadError
from stead.node.services.policy import DEFAULT_RULES, Budget, Budgets, PolicyRules
from stead.node.store import open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))
gate_world = importlib.import_module("gate_world")

ALICE, NODE_KEY = gate_world.ALICE, gate_world.NODE_KEY


def spend(directory, times=2, **options):
    world = gate_world.open_world(directory / "stead.db", directory, **options)
    for _ in range(times):
        world.gate.answer(ALICE, gate_world.ask())
    world.close()


def files(directory, *, checkpoint):
    names = ["stead.db", "stead.db-wal", "stead.db-shm", *(["checkpoint.txt"] if checkpoint else [])]
    return [directory / name for name in names]


def save(directory, target, *, checkpoint=False):
    target.mkdir()
    for path in files(directory, checkpoint=checkpoint):
        if path.exists():
            shutil.copy(path, target)


def restore(target, directory, *, checkpoint=False):
    for path in files(directory, checkpoint=checkpoint):
        path.unlink(missing_ok=True)
    for path in target.iterdir():
        shutil.copy(path, directory)


@pytest.fixture
def directory(tmp_path):
    gate_world.new_world(tmp_path / "stead.db", tmp_path).close()
    return tmp_path


def test_a_restored_backup_is_refused(directory, tmp_path):
    spend(directory)
    save(directory, tmp_path / "backup")
    spend(directory)
    restore(tmp_path / "backup", directory)
    with pytest.raises(BadProof, match="older than it was"):
        gate_world.open_world(directory / "stead.db", directory)


def test_a_restored_backup_that_went_on_is_refused(directory, tmp_path):
    """The other branch grows beyond the remembered size under the node's own key: its tree does not begin alike."""
    spend(directory)
    save(directory, tmp_path / "backup")
    spend(directory)
    remembered = (directory / "checkpoint.txt").read_text()
    restore(tmp_path / "backup", directory)
    (directory / "checkpoint.txt").unlink()
    store = open_store(directory / "stead.db")
    log = gate_world.open_books.__globals__["Log"](
        store,
        gate_world.Identity(name="North Hospital", key=NODE_KEY),
        clock=gate_world.StillClock(),
        entropy=gate_world.SystemEntropy(),
        checkpoint=tmp_path / "elsewhere.txt",
    )
    log._compare = lambda *_: 0
    for _ in range(40):
        with store.write() as write:
            log.append(write, ResultStored(at=0.0, release=b"", result_hash=b""))
    store.close()
    (directory / "checkpoint.txt").write_text(remembered)
    with pytest.raises(BadProof):
        gate_world.open_world(directory / "stead.db", directory)


def test_an_empty_store_beside_a_checkpoint_is_refused(directory):
    for path in files(directory, checkpoint=False):
        path.unlink(missing_ok=True)
    with pytest.raises(BadProof, match="empty"):
        gate_world.open_world(directory / "stead.db", directory)


def test_a_backup_restored_with_its_checkpoint_is_found_by_a_client(directory, tmp_path):
    """Nothing on the node's own disk can tell; whoever kept a later head can."""
    spend(directory)
    save(directory, tmp_path / "backup", checkpoint=True)
    spend(directory)
    origin = notes.log_origin(NODE_KEY.public.raw)
    kept = notes.open_checkpoint((directory / "checkpoint.txt").read_text(), origin, NODE_KEY.public)
    restore(tmp_path / "backup", directory, checkpoint=True)
    spend(directory, times=4)
    world = gate_world.open_world(directory / "stead.db", directory)
    proof, text = world.books.log.consistency(kept.size)
    shown = notes.open_checkpoint(text, origin, NODE_KEY.public)
    assert shown.size > kept.size
    with pytest.raises(BadProof):
        merkle.verify_consistency(kept.size, kept.root, shown.size, shown.root, proof)
    world.close()


EDITS = [
    "UPDATE leaves SET body = (SELECT body FROM leaves WHERE position = 1) WHERE position = 2",
    "UPDATE leaves SET salt = zeroblob(32) WHERE position = 3",
    "UPDATE leaves SET hash = zeroblob(32) WHERE position = 3",
    "DELETE FROM leaves WHERE position = (SELECT max(position) FROM leaves)",
]


@pytest.mark.parametrize("edit", EDITS)
def test_an_owner_who_drops_the_guards_and_edits_the_log_is_found(directory, edit):
    spend(directory)
    world = gate_world.open_world(directory / "stead.db", directory)
    world.books.log.verify()
    with world.books.store.write() as write:
        for name in ("leaves_no_update", "leaves_no_delete"):
            write.connection.exec_driver_sql(f"DROP TRIGGER {name}")
        write.connection.exec_driver_sql(edit)
    with pytest.raises(BadProof):
        world.books.log.verify()
    world.close()


def test_a_forged_leaf_has_no_receipt(directory):
    spend(directory)
    world = gate_world.open_world(directory / "stead.db", directory)
    place, charged = world.leaves(Charged)[0]
    receipt = world.books.log.receipt(place)
    forged = codec.encode(
        type(charged)(**{f: getattr(charged, f) for f in charged.__struct_fields__} | {"charges": ()})
    )
    lying = type(receipt)(**{f: getattr(receipt, f) for f in receipt.__struct_fields__} | {"leaf": forged})
    with pytest.raises(BadProof):
        verify_receipt(lying, NODE_KEY.public.raw, world.books.log.origin)
    world.close()


def decisions(directory, exact, rules):
    """What a fixed series of requests is told, and what the log says, over rows that count ``exact``."""
    directory.mkdir()
    runner = gate_world.FakeRunner(exact=exact, participant=lambda found: gate_world.EchoParticipant(found.header))
    world = gate_world.new_world(directory / "stead.db", directory, rules=rules, runner=runner)
    told = []
    for number, sigma in enumerate((900.0, 12.0, 3.0, 900.0, 0.5)):
        try:
            reply = world.gate.answer(ALICE, gate_world.ask(gate_world.release_id(number), sigma=sigma))
            told.append((type(reply).__name__, len(getattr(reply, "body", b""))))
        except SteadError as error:
            told.append(str(error))
    said = [codec.decode(body, Leaf) for body, _, _ in world.books.log.leaves()]
    facts = [leaf for leaf in said if not isinstance(leaf, ResultStored)]
    spent = world.books.ledger.replay()
    world.close()
    return told, facts, spent


@pytest.mark.parametrize("asking", [False, True])
def test_decisions_texts_sizes_and_the_log_do_not_depend_on_rows(tmp_path, asking):
    tight = Budget(epsilon=1.0, orders=(24,))
    wide = Budget(epsilon=500.0)  # more orders than the world's: the default rules leave room for small questions
    budgets = Budgets(population=wide, project=wide, scientist=tight)
    rules = PolicyRules(rules=DEFAULT_RULES.rules if asking else gate_world.FREE.rules, budgets=budgets)
    few = decisions(tmp_path / "few", 0, rules)
    assert few == decisions(tmp_path / "many", 2**62, rules)
    assert len({str(item) for item in few[0]}) >= 2  # the series meets more than one outcome


def test_an_exact_count_appears_in_no_file_and_no_answer(directory):
    canary = 738_291_465_038
    world = gate_world.open_world(directory / "stead.db", directory, runner=gate_world.FakeRunner(exact=canary))
    # With sigma 1e9 the noise of one of three answers is zero with probability 1.2e-9.
    answers = [world.gate.answer(ALICE, gate_world.ask(sigma=1e9)) for _ in range(3)]
    assert all(gate_world.decode_body(answer.body)[0] != canary for answer in answers)
    stored = b"".join(path.read_bytes() for path in directory.iterdir() if path.is_file())
    world.close()
    for form in (str(canary).encode(), canary.to_bytes(8, "little"), canary.to_bytes(8, "big")):
        assert form not in stored + repr(answers).encode()
