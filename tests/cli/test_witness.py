"""`stead witness`, and what `serve`, `doctor` and `audit` say with and without one."""

import json
import signal
import threading

import pytest

from stead.cli import doctor
from stead.node import journal
from stead.node.app import Server
from stead.node.assembly import open_node
from stead.node.home import Home


@pytest.fixture
def city(run, made):
    """A second node, ``./city``, which serves; gives its address and key."""
    run("init", "city", "--name", "City")
    node = open_node(Home.open(made / "city"))
    server = Server(node, port=0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server.url, node.home.key.public.raw.hex()
    server.stop()
    thread.join(30)
    node.close()


@pytest.fixture
def own(run, made):
    return run("keys", "node").out.strip()


def test_added_allowed_synced_checked_and_removed(run, made, city, own):
    url, key = city
    added = run("witness", "add", url, key).err
    assert f"stead peers add NAME {own}" in added
    refused = run("witness", "sync", code=1)
    assert "policy-denied" in refused.out
    assert "no witness of that log" in refused.err
    run("peers", "add", "north", own, "--node", "city")
    assert "as long as it only grows" in run("witness", "allow", "north", "--node", "city").err
    assert "signed" in run("witness", "sync").out
    report = json.loads(run("witness", "check", "--json").out)
    assert [(each["url"], each["size"], each["error"]) for each in report] == [(url, 2, "")]
    listed = json.loads(run("witness", "ls", "--json").out)
    assert [(each["key"], each["size"], each["failures"]) for each in listed["witnesses"]] == [(key, 2, 0)]
    there = json.loads(run("witness", "ls", "--json", "--node", "city").out)
    assert [(each["name"], each["size"], each["allowed"]) for each in there["signs"]] == [("north", 2, True)]
    assert "signed by this node" in run("witness", "ls", "--node", "city").out
    assert "a witness has signed the first 2 entries" in run("audit", "ledger").err
    run("witness", "end", "north", "--node", "city")
    run("witness", "end", "north", "--node", "city", code=2)
    assert "policy-denied" in run("witness", "sync", code=1).out
    run("witness", "remove", url)
    run("witness", "remove", url, code=2)
    assert "no witness signs" in run("witness", "check").err


def test_an_export_is_verified_with_the_witness_s_key(run, made, city, own):
    url, key = city
    run("witness", "add", url, key)
    run("peers", "add", "north", own, "--node", "city")
    run("witness", "allow", "north", "--node", "city")
    run("witness", "sync")
    run("audit", "export", "log.jsonl")
    found = json.loads(run("audit", "verify", "log.jsonl", "--key", own, "--witness", key, "--json").out)
    assert [(each["key"], each["entries"]) for each in found["witnesses"]] == [(key, 2)]
    assert "has signed none" in run("audit", "verify", "log.jsonl", "--key", own, "--witness", own, code=4).err
    assert "64 hexadecimal" in run("audit", "verify", "log.jsonl", "--key", own, "--witness", "12", code=2).err


def test_without_a_witness_it_is_said(run, made, own):
    assert "no witness signs this node's log" in run("witness", "ls").err
    assert "no witness has signed it" in run("audit", "ledger").err
    run("audit", "export", "log.jsonl")
    assert "no witness has signed it" in run("audit", "verify", "log.jsonl", "--key", own).out
    (check,) = [each for each in doctor.examine(made / "stead-node") if each.name.startswith("witness")]
    assert (check.state, check.found) == ("note", "none: a restored backup is not noticed here")


def test_a_silent_witness_is_told_by_doctor(run, made, own):
    run("witness", "add", "https://127.0.0.1:9", "4a" * 32)
    assert "party-unreachable" in run("witness", "check", code=1).out
    (check,) = [each for each in doctor.examine(made / "stead-node") if each.name == "witness"]
    assert check.state == "note"
    assert "has signed 0 of 2 entries; 1 tries failed, the last: party-unreachable" in check.found


def test_doctor_changes_no_store(run, made):
    store = made / "stead-node/store.db"
    for each in (made / "stead-node").glob("store.db*"):
        each.unlink()
    (check,) = [each for each in doctor.examine(made / "stead-node") if each.name == "witnesses"]
    assert (check.state, check.found) == ("note", "not known: there is no store.")
    assert not store.exists()


def test_serve_tells_who_signs(run, made, city, own, monkeypatch):
    url, key = city
    monkeypatch.setattr(Server, "run", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # they stay this process's own, as does its journal
    monkeypatch.setattr(journal, "keep_journal", lambda _: None)
    assert "no witness signs this node's log" in run("serve", "--port", "0").err
    run("witness", "add", url, key)
    ran = run("serve", "--port", "0")
    assert "0 of 1 witnesses agree" in ran.err
    assert f"{url} did not answer" in ran.err
    run("peers", "add", "north", own, "--node", "city")
    run("witness", "allow", "north", "--node", "city")
    assert "1 of 1 witnesses agree with this store" in run("serve", "--port", "0").err


def test_required_without_an_answer_nothing_is_served(run, made, monkeypatch):
    monkeypatch.setenv("STEAD_WITNESS_REQUIRED", "true")
    ran = run("serve", "--port", "0", code=1)
    assert "has no witness, and must have one" in ran.err
    assert ran.out == ""


def test_what_cannot_be(run, made, own):
    assert "no witness of itself" in run("witness", "add", "https://127.0.0.1:9", own, code=2).err
    assert "https://host" in run("witness", "add", "http://127.0.0.1:9", "4a" * 32, code=2).err
    assert "64 hexadecimal" in run("witness", "add", "https://127.0.0.1:9", "4a", code=2).err
    assert "no peer 'north' is trusted" in run("witness", "allow", "north", code=2).err
    assert "no log of 'north'" in run("witness", "end", "north", code=2).err
