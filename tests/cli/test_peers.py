"""`stead peers`: with whom this node computes."""

import json

from stead.core.entropy import SeededEntropy
from stead.core.keys import Key

CITY, ADA = (Key.generate(SeededEntropy(seed)).public for seed in (1, 2))


def test_trusted_listed_and_revoked(run, made):
    assert "computes alone" in run("peers", "ls").err
    assert CITY.fingerprint() in run("peers", "add", "city", CITY.raw.hex()).err
    assert run("peers", "ls").out.splitlines()[1].split() == ["city", "trusted", CITY.fingerprint()]
    run("peers", "revoke", "city")
    assert json.loads(run("peers", "ls", "--json").out) == [{"name": "city", "key": CITY.raw.hex(), "revoked": True}]
    assert "no peer 'city' is trusted" in run("peers", "revoke", "city", code=2).err
    run("peers", "add", "city", CITY.raw.hex())
    assert "trusted" in run("peers", "ls").out


def test_a_node_gives_the_key_that_its_peers_add(run, made):
    run("init", "city", "--name", "City")
    key = json.loads(run("keys", "node", "--node", "city", "--json").out)
    assert key["fingerprint"] in run("peers", "add", "city", key["key"]).err


def test_a_scientist_is_no_peer(run, made):
    run("people", "add", "ada", ADA.raw.hex(), "--project", "p")
    run("peers", "revoke", ADA.raw.hex(), code=2)
    assert "64 hexadecimal digits" in run("peers", "add", "city", "12", code=2).err
