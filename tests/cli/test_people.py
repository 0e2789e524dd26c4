"""`stead people`: who may ask."""

import json

import pytest

from stead.core.entropy import SeededEntropy
from stead.core.keys import Key

ADA, ALSO_ADA, GRACE = (Key.generate(SeededEntropy(seed)).public for seed in (1, 2, 3))


def test_enrolled_listed_and_revoked_by_name(run, made):
    assert "nobody yet" in run("people", "ls").err
    assert ADA.fingerprint() in run("people", "add", "ada", ADA.raw.hex(), "--project", "risk-2026").err
    run("people", "add", "ada", ALSO_ADA.raw.hex(), "--project", "risk-2026")
    run("people", "add", "grace", GRACE.raw.hex(), "--project", "risk-2026")
    assert run("people", "ls").out.count("enrolled") == 3
    run("people", "revoke", "ada")
    found = json.loads(run("people", "ls", "--json").out)
    assert {each["key"] for each in found if each["revoked"]} == {ADA.raw.hex(), ALSO_ADA.raw.hex()}
    run("people", "revoke", GRACE.raw.hex())
    assert "enrolled" not in run("people", "ls").out
    assert "no scientist 'ada' is trusted" in run("people", "revoke", "ada", code=2).err


@pytest.mark.parametrize(
    ("name", "key", "project", "message"),
    [
        ("ada", "abc", "p", "64 hexadecimal digits"),
        ("ada", "zz" * 32, "p", "64 hexadecimal digits"),
        ("ada", "00" * 32, "p", "no usable Ed25519 public key"),
        ("a@b", GRACE.raw.hex(), "p", "without @ and /; got 'a@b'"),
        ("ada", GRACE.raw.hex(), "x/y", "without @ and /; got 'x/y'"),
        ("ada", ADA.raw.hex(), "p", "enrolled under another name"),
    ],
)
def test_mistakes(run, made, name, key, project, message):
    run("people", "add", "taken", ADA.raw.hex(), "--project", "p")
    assert message in run("people", "add", name, key, "--project", project, code=2).err
    assert len(json.loads(run("people", "ls", "--json").out)) == 1


def test_a_peer_is_no_scientist(run, made):
    run("peers", "add", "city", ADA.raw.hex())
    run("people", "revoke", "city", code=2)
    run("people", "revoke", ADA.raw.hex(), code=2)
    assert "trusted" in run("peers", "ls").out
