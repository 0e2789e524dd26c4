"""`stead audit`, and what every command says of a node that is damaged, restored or not its own."""

import json
import shutil
import sqlite3
import stat

import pytest

DAMAGED = ["data", "ls"], ["policy", "show"], ["requests", "ls"], ["audit", "ledger"], ["budget", "show"]


@pytest.fixture
def key(run, made):
    return run("keys", "node").out.strip()


def test_exported_and_verified_with_the_node_gone(run, made, key):
    earlier = shutil.copy(made / "stead-node/checkpoint.txt", made / "seen.txt")
    run("peers", "add", "city", "4a" * 32)
    assert "wrote 2 entries to log.jsonl" in run("audit", "export", "log.jsonl").err
    run("audit", "export", "full.jsonl", "--full")
    shutil.rmtree(made / "stead-node")
    report = json.loads(run("audit", "verify", "log.jsonl", "--key", key, "--seen", earlier, "--json").out)
    assert (report["verified"], report["entries"], report["seen"]) == (True, 2, [1])
    assert report["disclosures"] is None
    full = json.loads(run("audit", "verify", "full.jsonl", "--key", key, "--json").out)
    assert (full["disclosures"], full["testing"], full["root"]) == (0, False, report["root"])
    assert "verified" in run("audit", "verify", "full.jsonl", "--key", key).out


def test_a_full_export_is_its_owner_s_alone(run, made, key):
    run("people", "add", "grace-hopper", "4a" * 32, "--project", "risk-2026")
    run("audit", "export", "full.jsonl", "--full")
    run("audit", "export", "log.jsonl")
    assert stat.S_IMODE((made / "full.jsonl").stat().st_mode) == 0o600
    for line in (made / "log.jsonl").read_text().splitlines()[1:]:
        assert set(json.loads(line)) == {"index", "hash"}


def test_an_export_is_never_overwritten(run, made):
    assert "heart.csv exists" in run("audit", "export", "heart.csv", code=2).err
    assert "cannot be written" in run("audit", "export", "nowhere/log.jsonl", code=2).err


def test_what_is_not_proven_ends_with_4(run, made, key):
    run("audit", "export", "log.jsonl")
    run("peers", "add", "city", "4a" * 32)
    later = made / "stead-node/checkpoint.txt"
    assert (
        "had signed a log of 2 entries"
        in run("audit", "verify", "log.jsonl", "--key", key, "--seen", later, code=4).err
    )
    assert "another node" in run("audit", "verify", "log.jsonl", "--key", "4a" * 32, code=4).err
    lines = (made / "log.jsonl").read_text().splitlines()
    (made / "cut.jsonl").write_text(lines[0] + "\n")
    assert "do not add up" in run("audit", "verify", "cut.jsonl", "--key", key, code=4).err
    assert "BadProof" in run("audit", "verify", "heart.csv", "--key", key, code=4).err
    assert "no receipt" in run("audit", "verify", "log.jsonl", "--key", key, "--receipt", "heart.csv", code=4).err
    run("audit", "verify", "nothing.jsonl", "--key", key, code=2)
    run("audit", "verify", "log.jsonl", "--key", key, "--seen", "nothing.txt", code=2)


def test_the_books_are_checked(run, made):
    run("peers", "add", "city", "4a" * 32)
    found = json.loads(run("audit", "ledger", "--json").out)
    assert found == {"verified": True, "entries": 2, "accounts": [], "witnessed": 0}
    assert "no witness has signed it" in run("audit", "ledger").err
    assert "2 entries are those that were signed" in run("audit", "ledger").err


def test_an_entry_that_was_edited_is_found(run, made):
    run("peers", "add", "city", "4a" * 32)
    store = sqlite3.connect(made / "stead-node/store.db")
    for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        store.execute(f'DROP TRIGGER "{name}"')
    (body,) = store.execute("SELECT body FROM leaves WHERE position = 1").fetchone()
    assert b"city" in body
    store.execute("UPDATE leaves SET body = ? WHERE position = 1", [body.replace(b"city", b"kity")])
    store.commit()
    store.close()
    assert "leaf 1 of the log was changed" in run("audit", "ledger", code=4).err


@pytest.mark.parametrize("command", DAMAGED, ids=" ".join)
def test_a_restored_store_is_refused(run, made, command):
    backup = shutil.copytree(made / "stead-node", made / "backup")
    run("peers", "add", "city", "4a" * 32)
    for file in (made / "stead-node").glob("store.db*"):
        file.unlink()
    for file in backup.glob("store.db*"):
        shutil.copy(file, made / "stead-node")
    ran = run(*command, code=4)
    assert "older than it was: 1 leaves, and 2 have been signed" in ran.err
    assert "give spent budget back" in ran.err


def test_a_checkpoint_that_is_missing_empty_or_noise(run, made):
    run("peers", "add", "city", "4a" * 32)
    checkpoint = made / "stead-node/checkpoint.txt"
    checkpoint.write_bytes(b"")
    assert "checkpoint.txt is no head of this node's log" in run("peers", "ls", code=4).err
    checkpoint.write_bytes(b"\xff\xfe" * 9)
    assert "checkpoint.txt cannot be read" in run("peers", "ls", code=4).err
    checkpoint.unlink()
    assert "checkpoint.txt is missing beside a log of 2 leaves" in run("peers", "ls", code=4).err


def test_a_store_of_another_node(run, made):
    run("init", "other", "--name", "Other")
    for file in (made / "stead-node").glob("store.db*"):
        file.unlink()
    shutil.copy(made / "other/store.db", made / "stead-node")
    assert "belongs to a node with another key" in run("data", "ls", code=4).err


def test_a_store_that_is_noise(run, made):
    for file in (made / "stead-node").glob("store.db*"):
        file.unlink()
    (made / "stead-node/store.db").write_bytes(bytes(range(256)) * 40)
    assert "it is not a database, or locked" in run("data", "ls", code=1).err


def test_a_store_with_a_broken_table(run, made):
    store = sqlite3.connect(made / "stead-node/store.db")
    (page,) = store.execute("SELECT rootpage FROM sqlite_master WHERE name = 'people'").fetchone()
    (size,) = store.execute("PRAGMA page_size").fetchone()
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    with (made / "stead-node/store.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    ran = run("people", "ls", code=1)
    assert "NodeError: the node's database failed (DatabaseError)" in ran.err
    assert "docs/guides/operator.md" in ran.err


def test_settings_and_keys_that_are_wrong(run, made):
    settings = made / "stead-node/stead.toml"
    good = settings.read_text()
    for text, message in (
        (good + "nam = 3\n", "there is no key 'nam'"),
        (good.replace("8440", '"many"'), "port: expected int, got str"),
        (good.replace("8440", "["), "is not TOML"),
    ):
        settings.write_text(text)
        assert message in run("data", "ls", code=2).err
    settings.write_bytes(b"\xff")
    assert "not UTF-8" in run("data", "ls", code=2).err
    settings.write_text(good)
    (made / "stead-node/node.key").chmod(0o644)
    assert "open to others (mode 0644)" in run("data", "ls", code=2).err
    (made / "stead-node/node.key").unlink()
    assert "cannot be read: No such file" in run("data", "ls", code=2).err


def test_no_node(run):
    for command in DAMAGED:
        ran = run(*command, code=2)
        assert "no node at stead-node" in ran.err
        assert "stead init" in ran.err
