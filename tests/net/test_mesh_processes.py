"""Parties in processes of their own, over real sockets: killed, stopped, with a wrong key, on a taken port."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stead.core.entropy import SystemEntropy
from stead.net.noise import StaticKey
from stead.net.parties import Parties, Party, entry

SCRIPT = Path(__file__).with_name("party.py")
NAMES = ("north", "south", "east")


def free_ports(count):
    """Ports that nobody listens on just now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class World:
    """Three parties, their keys and the processes that run them."""

    def __init__(self, folder, hosts=("127.0.0.1",) * 3):
        self.folder = folder
        self.keys = {name: StaticKey.generate(SystemEntropy()) for name in NAMES}
        self.parties = Parties(
            tuple(
                Party(name=name, host=host, port=port, key=self.keys[name].public)
                for name, host, port in zip(NAMES, hosts, free_ports(3), strict=True)
            )
        )
        self.write("parties.toml", self.parties)
        for name, key in self.keys.items():
            key.save(folder / f"{name}.key")
        self.running = {}

    def write(self, file, parties):
        (self.folder / file).write_text("".join(entry(party) for party in parties.members))

    def start(self, name, scenario, *, timeout_s=20, file="parties.toml", key=None, before=()):
        command = [*before, sys.executable, str(SCRIPT), str(self.folder / file), name]
        command += [str(self.folder / (key or f"{name}.key")), scenario, str(timeout_s)]
        self.running[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self.running[name]

    def line(self, name):
        return self.running[name].stdout.readline().strip()

    def result(self, name):
        """The JSON object that a party ended with."""
        out, err = self.running[name].communicate(timeout=120)
        lines = [line for line in out.splitlines() if line.startswith("{")]
        assert lines, err
        return json.loads(lines[-1])

    def stop(self):
        for process in self.running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.communicate()


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.stop()


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]])
def test_parties_start_in_any_order(world, order):
    for name in order:
        world.start(name, "small")
    for name in NAMES:
        assert world.result(name) == {
            "done": {peer: [NAMES.index(peer)] * 2 + [1000] for peer in NAMES if peer != name},
            "rounds": 20,
        }


def test_large_messages_in_both_directions_at_once(world):
    for name in NAMES:
        world.start(name, "big")
    for name in NAMES:
        found = world.result(name)["done"]
        assert found == {peer: [NAMES.index(peer)] * 2 + [200_000_000] for peer in NAMES if peer != name}


def test_a_killed_party_is_named_by_the_others(world):
    for name in NAMES:
        world.start(name, "endless")
    for name in NAMES:
        assert [world.line(name), world.line(name)] == ["ready", "round"]
    world.running["south"].kill()
    for name in ("north", "east"):
        found = world.result(name)
        assert found["error"] == "PartyUnreachable"
        assert "south" in found["text"]


def test_a_stopped_party_is_named_by_the_others(world):
    for name in NAMES:
        world.start(name, "endless", timeout_s=8)
    for name in NAMES:
        assert [world.line(name), world.line(name)] == ["ready", "round"]
    world.running["north"].send_signal(signal.SIGSTOP)
    for name in ("south", "east"):
        found = world.result(name)
        assert found["error"] == "PartyTimedOut"
        assert "north was silent" in found["text"]


def test_a_party_with_another_key_is_named_by_the_others(world):
    wrong = StaticKey.generate(SystemEntropy())
    wrong.save(world.folder / "wrong.key")
    mistaken = [
        Party(name=each.name, host=each.host, port=each.port, key=wrong.public) if each.name == "east" else each
        for each in world.parties.members
    ]
    world.write("mistaken.toml", Parties(tuple(mistaken)))
    world.start("north", "small", timeout_s=3)
    world.start("south", "small", timeout_s=3)
    world.start("east", "small", timeout_s=3, file="mistaken.toml", key="wrong.key")
    assert world.result("east")["error"] == "KeyChanged"
    found = world.result("north")
    assert found["error"] == "KeyChanged"
    assert "east and north" in found["text"]
    assert world.result("south")["error"] in {"KeyChanged", "PartyUnreachable"}


def test_a_key_that_is_not_in_the_file_is_refused_before_anything_is_sent(world):
    world.start("north", "small", key="south.key")
    found = world.result("north")
    assert found["error"] == "UsageError"
    assert "says that the key of north is" in found["text"]


def test_a_taken_port_is_told(world):
    with socket.create_server(("127.0.0.1", world.parties["north"].port)):
        world.start("north", "small")
        found = world.result("north")
    assert found["error"] == "UsageError"
    assert "is taken" in found["text"]


def test_nobody_there_is_told(world):
    world.start("north", "small", timeout_s=1)
    world.start("east", "small", timeout_s=1)
    assert "no connection from" in world.result("north")["text"]
    found = world.result("east")
    assert found["error"] == "PartyUnreachable"
    assert "south" in found["text"] or "north" in found["text"]
