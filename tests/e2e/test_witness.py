"""Two real nodes over TLS, one the other's witness: a node that was turned back is refused."""

import importlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stead.client import connect
from stead.core import cosign
from stead.core.entropy import SystemEntropy
from stead.core.keys import Key

sys.path.insert(0, str(Path(__file__).parents[1]))
sites = importlib.import_module("sites")

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def key():
    return Key.generate(SystemEntropy())


def wait_for(what, *, within_s=60):
    """The first true thing that ``what`` gives."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.2)
    pytest.fail("it did not come about")


def command(*words, node):
    ran = sites.command(*words, "--node", node.home.path)
    assert ran.returncode == 0, ran.stderr
    return ran


def test_turned_back_and_refused(tmp_path, key):
    with sites.serving(tmp_path, key.public.raw, names=("north", "valley")) as nodes:
        north, valley = nodes["north"], nodes["valley"]
        command("witness", "add", valley.url, valley.key.hex(), node=north)
        command("witness", "allow", "north", node=valley)
        scientist = {"key": key, "home": tmp_path / "ines", "pin": north.key, "witnesses": [valley.key]}
        stead = connect(north.url, **scientist)

        def signed():
            state = stead.verify()
            return state.witnesses and state.witnessed == state.size

        wait_for(signed)  # nobody told it to: the running node sends its heads

        heart = stead["heart"]
        heart.count().answer(sigmas=[3.0], why="before")
        north.stop()
        shutil.copytree(north.home.path, tmp_path / "backup")
        north.start()
        north.wait_until_up()
        assert "1 of 1 witnesses agree" in (north.home.path / "serve.err").read_text()
        answer = heart.count().answer(sigmas=[3.0], why="after")
        wait_for(signed)
        newest = stead.verify().size
        note = stead.site.transport.get("/v1/log/witnessed").decode()
        assert cosign.cosignatures(note, [valley.key])
        (tmp_path / "witnessed.txt").write_text(note)
        north.stop()

        exported = tmp_path / "log.jsonl"
        command("audit", "export", exported, node=north)
        words = "--key", north.key.hex(), "--seen", tmp_path / "witnessed.txt", "--witness", valley.key.hex(), "--json"
        found = sites.command("audit", "verify", exported, *words)
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout)["witnesses"][0]["entries"] == newest

        shutil.rmtree(north.home.path)
        shutil.copytree(tmp_path / "backup", north.home.path)
        refused = serve(north)
        assert refused.returncode == 4, refused.stderr
        assert refused.stdout == ""
        assert f"a witness holds a signed head of {newest}" in refused.stderr
        assert "give spent budget back" in refused.stderr
        assert sites.command("witness", "check", "--node", north.home.path).returncode == 4

        valley.stop()  # nobody is left who knows better: it serves, and says who did not answer
        north.start()
        north.wait_until_up()
        assert "0 of 1 witnesses agree" in (north.home.path / "serve.err").read_text()
        valley.start()
        valley.wait_until_up()
        process = north._process
        assert process.wait(90) == 4, "found out while it serves, the node stops"
        assert "a witness holds a signed head" in (north.home.path / "serve.err").read_text()
        assert answer.receipts[0].verify()


def serve(node):
    words = [sys.executable, "-m", "stead.cli.main", "serve", "--node", str(node.home.path), "--port", "0"]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
