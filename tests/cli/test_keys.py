"""`stead keys`: a scientist's key is made once; public halves are printed, private ones never."""

import json
import stat

from stead.client.identity import key_path
from stead.core.keys import Key


def test_made_once_and_shown(run):
    assert "`stead keys new` makes one" in run("keys", "show", code=2).err
    made = run("keys", "new").out.strip()
    assert stat.S_IMODE(key_path().stat().st_mode) == 0o600
    public = Key.load(key_path()).public
    assert run("keys", "show").out.strip() == made == public.raw.hex()
    assert json.loads(run("keys", "show", "--json").out) == {"key": made, "fingerprint": public.fingerprint()}
    assert "there is a key already" in run("keys", "new", code=2).err
    assert Key.load(key_path()).public == public


def test_a_key_that_others_can_read_is_refused(run):
    run("keys", "new")
    key_path().chmod(0o640)
    ran = run("keys", "show", code=2)
    assert "is open to others (mode 0640)" in ran.err
    assert "chmod 600" in ran.err


def test_a_node_key_is_not_the_scientist_s(run, made):
    run("keys", "new")
    assert run("keys", "node").out != run("keys", "show").out
    assert "no node at" in run("keys", "node", "--node", "elsewhere", code=2).err
