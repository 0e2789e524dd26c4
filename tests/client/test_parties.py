"""A user's script as one of three parties: real processes over sealed sockets, and what is refused."""

import importlib.util
import json
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import stead
from stead.client.parties import Terms, prepare
from stead.core.entropy import SeededEntropy, SystemEntropy
from stead.errors import PartyUnreachable, SteadError, UsageError
from stead.mpc.protocols.masked.material import Preprocessing
from stead.net.noise import StaticKey
from stead.net.parties import Parties, Party, VouchedKey, entry, read_parties

SCRIPT = Path(__file__).with_name("party_lines.py")
NAMES = ("north", "south", "east")
EXPECTED = np.array([68.0, 59.5, 91.0]) / np.array([1.71, 1.64, 1.80]) ** 2


def script():
    spec = importlib.util.spec_from_file_location("party_lines", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three parties' keys and list, in the working directory."""
    monkeypatch.chdir(tmp_path)
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in NAMES]
    keys = {name: StaticKey.generate(SystemEntropy()) for name in NAMES}
    members = [
        Party(name=name, host="127.0.0.1", port=found.getsockname()[1], key=keys[name].public)
        for name, found in zip(NAMES, probes, strict=True)
    ]
    for found in probes:
        found.close()
    for name, key in keys.items():
        key.save(f"{name}.key")
    Path("parties.toml").write_text("".join(map(entry, members)))
    return tmp_path


def together(protocol, scenario="right", names=NAMES, material=False):
    """Run the script at each party; what each has printed last."""
    running = {
        name: subprocess.Popen(
            [sys.executable, str(SCRIPT), name, protocol, scenario, *([f"{name}.material"] if material else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    }
    found = {}
    try:
        for name, process in running.items():
            out, err = process.communicate(timeout=120)
            last = [line for line in out.splitlines() if line.startswith("{")]
            found[name] = json.loads(last[-1]) if last else {"died": process.returncode, "err": err}
    finally:
        for process in running.values():
            process.kill()
    return found


def right(found, receiver="east"):
    heavy, index = found[receiver]["found"]
    assert heavy == 1.0
    np.testing.assert_allclose(index, EXPECTED, atol=2e-3)
    assert all(found[name]["found"] == [None, None] for name in found if name != receiver)


@pytest.mark.parametrize("protocol", ["masked", "replicated"])
def test_three_processes(folder, protocol):
    found = together(protocol)
    right(found)
    assert found["south"]["rounds"] > 10


def test_two_processes_with_what_the_third_has_prepared(folder):
    lines = script().lines
    paths = prepare("parties.toml", lambda session: lines(session, "north"))
    assert [path.name for path in paths] == ["south.material", "east.material"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    with pytest.raises(UsageError, match="exists"):
        prepare("parties.toml", lambda session: lines(session, "north"))
    right(together("masked", names=NAMES[1:], material=True))
    assert not any(path.exists() for path in paths)  # used up
    again = together("masked", names=NAMES[1:], material=True)
    assert {found["error"] for found in again.values()} == {"UsageError"}


@pytest.mark.parametrize("protocol", ["masked", "replicated"])
def test_an_error_at_one_party_ends_it_for_all_and_tells_no_value(folder, protocol):
    found = together(protocol, "fails")
    assert found["south"] == {"error": "ValueError", "what": "a private 1.71"}
    for name in ("north", "east"):
        assert found[name]["error"] == "PartyUnreachable"
        assert "south failed: ValueError" in found[name]["what"]


@pytest.mark.parametrize("protocol", ["masked", "replicated"])
def test_a_party_that_dies_is_named(folder, protocol):
    found = together(protocol, "killed")
    assert found["south"]["died"] == -9
    for name in ("north", "east"):
        assert found[name]["error"] == "PartyUnreachable"
    assert any("south" in found[name]["what"] for name in ("north", "east"))


def test_only_parties_of_the_same_computation_are_connected(folder):
    found = together("replicated", "named")
    assert {found[name]["error"] for name in NAMES} <= {"PartyUnreachable", "PartyTimedOut"}


def test_parties_under_different_protocols_are_not_connected(folder):
    errors = {}

    def be(name, protocol):
        try:
            with stead.party("parties.toml", name, protocol=protocol, terms=Terms(timeout_s=3)):
                pass
        except SteadError as error:
            errors[name] = error

    chosen = zip(NAMES, ("masked", "replicated", "replicated"), strict=True)
    threads = [threading.Thread(target=be, args=each) for each in chosen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(errors) == set(NAMES)


def test_an_own_key_in_memory_and_a_seeded_party(folder):
    """Threads in this process; the key comes as an object, and the entropy is passed in."""
    found = {}

    def be(place, name):
        key = VouchedKey(StaticKey.load(f"{name}.key"))
        listed = read_parties(Path("parties.toml").read_text())
        terms = Terms(entropy=SeededEntropy(place), timeout_s=20)
        with stead.party(listed, name, key=key, protocol="replicated", terms=terms) as session:
            x = session.share([1, 2] if name == "north" else None, owner="north", shape=(2,), dtype=np.int64)
            found[name] = (x * 3).reveal()
        with pytest.raises(PartyUnreachable, match="closed"):
            x.reveal()

    threads = [threading.Thread(target=be, args=each) for each in enumerate(NAMES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {name: values.tolist() for name, values in found.items()} == {name: [3, 6] for name in NAMES}


def test_what_is_wrong_is_told_before_anything_is_sent(folder):
    def refused(words, *arguments, **options):
        with pytest.raises(UsageError, match=words), stead.party(*arguments, **options):
            pass

    refused("cannot be read", "nowhere.toml", "north")
    refused("got NoneType", None, "north")
    refused("got NoneType and Terms", "parties.toml", None)
    refused("got str and int", "parties.toml", "north", terms=5)
    refused("no party 'west'", "parties.toml", "west")
    refused("no protocol between parties", "parties.toml", "north", protocol="cleartext")
    refused("nowhere.key", "parties.toml", "north", key="nowhere.key")
    refused("not there", "parties.toml", "south", material="nowhere.material")
    listed = read_parties(Path("parties.toml").read_text())
    refused("has 3 parties; north is one of 2", Parties(listed.members[:2]), "north")
    prepare("parties.toml", lambda session: session.share(owner="south", shape=(2,)).reveal())
    refused("this material is for south", "parties.toml", "east", material="south.material")
    refused("second and third party", "parties.toml", "south", material="south.material", protocol="replicated")
    refused("second and third party", "parties.toml", "north", material="south.material")
    assert Preprocessing.open("south.material").place == 1  # still there


def test_nothing_can_be_revealed_to_the_first_party_when_it_has_prepared(folder):
    with pytest.raises(UsageError):
        prepare("parties.toml", lambda session: session.share(owner="south", shape=(2,)).reveal(to="north"))
    assert not list(folder.glob("*.material"))
