"""`stead init` makes a node once, whole or not at all."""

import stat

import pytest


def test_a_node_is_made(run, tmp_path):
    ran = run("init", "--name", "North Hospital")
    node = tmp_path / "stead-node"
    assert ran.out == ""
    assert "North Hospital" in ran.err
    assert "next: stead data draft" in ran.err
    assert stat.S_IMODE(node.stat().st_mode) == 0o700
    for secret in ("node.key", "store.db", "stead.toml"):
        assert stat.S_IMODE((node / secret).stat().st_mode) == 0o600, secret
    assert (node / "checkpoint.txt").read_text().startswith("stead.log/" + run("keys", "node").out.strip() + "\n1\n")


def test_a_node_is_made_once(run):
    run("init", "north", "--name", "North")
    key = run("keys", "node", "--node", "north").out
    assert "there is a node already" in run("init", "north", "--name", "South", code=2).err
    assert run("keys", "node", "--node", "north").out == key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", ""], "1 to 100 printable characters"),
        (["--name", "x", "--port", "65536"], "port is 0 to 65535, not 65536"),
        (["--name", "x", "--host", "a host"], "hosts are names or addresses"),
        (["--name", "x", "--store", "store.db"], "store is the URL of a database"),
        (["--name", "x", "--store", "mysql://a/b"], "SQLite or PostgreSQL, not 'mysql'"),
        ([], "--name"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(run, tmp_path, options, message):
    assert message in run("init", "north", *options, code=2).err
    assert not (tmp_path / "north").exists()


def test_a_database_that_does_not_answer_leaves_nothing_and_shows_no_password(run, tmp_path):
    pytest.importorskip("psycopg")
    ran = run("init", "north", "--name", "x", "--store", "postgresql://stead:pass-word@127.0.0.1:1/stead", code=1)
    assert "NodeError: the node's database cannot be opened" in ran.err
    assert "pass-word" not in ran.err
    assert not (tmp_path / "north").exists()


def test_a_place_that_cannot_hold_a_directory(run, tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be made: Not a directory" in run("init", "file/north", "--name", "x", code=2).err
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thing").touch()
    assert "not empty" in run("init", "full", "--name", "x", code=2).err
    assert (tmp_path / "full/thing").exists()
