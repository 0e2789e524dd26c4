"""Parties on machines of their own, as far as one machine can show it: network namespaces joined by a bridge.

Skipped, with the reason, where namespaces may not be made (an ordinary user, a container without the right).
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stead.core.entropy import SystemEntropy
from stead.net.noise import StaticKey
from stead.net.parties import Parties, Party

SPEC = importlib.util.spec_from_file_location("mesh_processes", Path(__file__).with_name("test_mesh_processes.py"))
PROCESSES = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PROCESSES)
NAMES = PROCESSES.NAMES


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


class Network:
    """A namespace for each party, on one bridge; names hold the process's number, so that two runs do not meet."""

    def __init__(self):
        self.mark = f"s{os.getpid()}"
        self.subnet = f"10.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}"
        self.bridge = f"{self.mark}br"
        self.spaces = {name: f"{self.mark}-{place}" for place, name in enumerate(NAMES)}

    def make(self):
        run("ip", "link", "add", self.bridge, "type", "bridge")
        run("ip", "link", "set", self.bridge, "up")
        for place, space in enumerate(self.spaces.values()):
            outer, inner = f"{self.mark}o{place}", f"{self.mark}i{place}"
            run("ip", "netns", "add", space)
            run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
            run("ip", "link", "set", inner, "netns", space)
            run("ip", "link", "set", outer, "master", self.bridge)
            run("ip", "link", "set", outer, "up")
            run("ip", "-n", space, "addr", "add", f"{self.subnet}.{place + 1}/24", "dev", inner)
            run("ip", "-n", space, "link", "set", inner, "up")
            run("ip", "-n", space, "link", "set", "lo", "up")

    def inside(self, name):
        return ("ip", "netns", "exec", self.spaces[name])

    def part(self, name):
        """The party's machine is cut off from the others."""
        run("ip", "link", "set", f"{self.mark}o{NAMES.index(name)}", "down")

    def remove(self):
        for space in self.spaces.values():
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
        for place in range(len(NAMES)):
            subprocess.run(["ip", "link", "del", f"{self.mark}o{place}"], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)


@pytest.fixture
def network():
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    made = Network()
    try:
        made.make()
    except RuntimeError as error:
        made.remove()
        pytest.skip(f"network namespaces are not permitted here: {error}")
    yield made
    made.remove()


@pytest.fixture
def world(tmp_path, network):
    made = PROCESSES.World(tmp_path, [f"{network.subnet}.{place + 1}" for place in range(len(NAMES))])
    yield made
    made.stop()


def start(world, network, scenario, **named):
    for name in NAMES:
        world.start(name, scenario, before=network.inside(name), **named)


def test_parties_on_machines_of_their_own_compute_together(world, network):
    start(world, network, "small")
    for name in NAMES:
        assert world.result(name)["rounds"] == 20


def test_a_party_behind_a_slow_line_takes_part(world, network):
    """East's connections, which it makes itself, pass a line of 30 ms each way: every round waits for it."""
    east, slow = network.inside("east"), []
    members = list(world.parties.members)
    for place, party in enumerate(members[:2]):
        port = 9400 + place
        slow.append(f"{port}={party.host}:{party.port}")
        members[place] = Party(name=party.name, host="127.0.0.1", port=port, key=party.key)
    world.write("slow.toml", Parties(tuple(members)))
    command = [*east, sys.executable, str(Path(__file__).with_name("slow_line.py")), "0.03", *slow]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as line:
        try:
            assert line.stdout.readline() == "ready\n"
            began = time.monotonic()
            for name in NAMES[:2]:
                world.start(name, "small", before=network.inside(name))
            world.start("east", "small", file="slow.toml", before=east)
            for name in NAMES:
                assert world.result(name)["rounds"] == 20
            assert time.monotonic() - began > 20 * 0.03  # none of the twenty rounds went around the line
        finally:
            line.kill()


def test_a_party_that_is_cut_off_is_named_by_the_others(world, network):
    start(world, network, "endless", timeout_s=4)
    for name in NAMES:
        assert [world.line(name), world.line(name)] == ["ready", "round"]
    network.part("south")
    for name in ("north", "east"):
        found = world.result(name)
        assert found["error"] == "PartyTimedOut"
        assert "south was silent" in found["text"]
    found = world.result("south")
    assert found["error"] == "PartyTimedOut"


def test_a_wrong_key_is_noticed_across_machines(world, network):
    wrong = StaticKey.generate(SystemEntropy())
    wrong.save(world.folder / "wrong.key")
    mistaken = [
        Party(name=each.name, host=each.host, port=each.port, key=wrong.public) if each.name == "south" else each
        for each in world.parties.members
    ]
    world.write("mistaken.toml", Parties(tuple(mistaken)))
    world.start("north", "small", timeout_s=3, before=network.inside("north"))
    world.start("south", "small", timeout_s=3, file="mistaken.toml", key="wrong.key", before=network.inside("south"))
    assert world.result("south")["error"] == "KeyChanged"
    found = world.result("north")
    assert found["error"] == "KeyChanged"
    assert "south and north" in found["text"]


def test_the_doctor_shows_who_is_cut_off(world, network):
    network.part("east")
    script = "import sys; from stead.cli.main import main; sys.exit(main())"
    for name in NAMES:
        command = [*network.inside(name), sys.executable, "-c", script, "mpc", "doctor"]
        command += [str(world.folder / "parties.toml"), "--as", name, "--key", str(world.folder / f"{name}.key")]
        world.running[name] = subprocess.Popen(
            [*command, "--wait", "5", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    import json

    out, _ = world.running["north"].communicate(timeout=60)
    links = {(row["dialer"], row["listener"]): row for row in json.loads(out)["links"]}
    assert links["north", "south"]["problem"] == links["south", "north"]["problem"] == ""
    assert "east" in links["north", "east"]["problem"]
    assert "east" in links["south", "east"]["problem"]
    assert world.running["north"].returncode == 1
