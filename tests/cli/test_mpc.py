"""`stead mpc`: a party's key and its lines; who reaches whom, over real sockets."""

import json
import socket
import stat
import threading
from pathlib import Path

import pytest

from stead.cli.main import main
from stead.core.entropy import SystemEntropy
from stead.net.noise import StaticKey
from stead.net.parties import Parties, Party, VouchedKey, entry, read_parties
from stead.net.probe import Reach, probe, read_report

NAMES = ("north", "south", "east")


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Three parties with keys in an empty directory."""
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
    return Parties(tuple(members)), keys


def others(parties, keys, *, without=(), wait_s=8.0):
    """The other parties' doctors, in threads of this process."""
    found = {}

    def run(name):
        found[name] = probe(parties, name, VouchedKey(keys[name]), entropy=SystemEntropy(), wait_s=wait_s)

    threads = [threading.Thread(target=run, args=(name,)) for name in NAMES[1:] if name not in without]
    for thread in threads:
        thread.start()
    return threads, found


def test_a_key_is_made_once_and_its_lines_can_be_read(run):
    lines = "".join(run("mpc", "keys", name, "--address", f"{name}.example:7301").out for name in ("north", "south"))
    parties = read_parties(lines)
    assert parties.names == ("north", "south")
    assert parties["north"].key == StaticKey.load("north.key").public
    assert stat.S_IMODE(Path("north.key").stat().st_mode) == 0o600
    assert "never overwritten" in run("mpc", "keys", "north", code=2).err
    assert "letters, digits" in run("mpc", "keys", "../north", code=2).err
    assert "host:port" in run("mpc", "keys", "west", "--address", "west", code=2).err
    assert not Path("west.key").exists()


def test_a_node_vouches_for_a_key(run, made):
    lines = run("mpc", "keys", "north", "--node", "stead-node").out + run("mpc", "keys", "south").out
    party = read_parties(lines)["north"]
    assert party.identity.hex() == run("keys", "node", "--node", "stead-node").out.strip()


def test_all_reach_each_other(world, capsys):
    threads, found = others(*world)
    assert main(["mpc", "doctor", "parties.toml", "--as", "north", "--wait", "8", "--json"]) == 0
    for thread in threads:
        thread.join()
    shown = json.loads(capsys.readouterr().out)
    assert shown["healthy"]
    assert [(row["dialer"], row["listener"]) for row in shown["links"]] == [
        (a, b) for a in NAMES for b in NAMES if a != b
    ]
    assert all(row["key"] == "good" and row["round_trip_ms"] > 0 and row["mb_per_s"] > 0 for row in shown["links"])
    assert [reach.problem for reach in found["east"]] == [""] * 6


def test_who_is_missing_is_shown_with_what_the_others_say(world, capsys):
    threads, _ = others(*world, without=("east",), wait_s=1.0)
    assert main(["mpc", "doctor", "parties.toml", "--as", "north", "--wait", "1", "--json"]) == 1
    for thread in threads:
        thread.join()
    links = {(row["dialer"], row["listener"]): row for row in json.loads(capsys.readouterr().out)["links"]}
    assert links["north", "south"]["problem"] == ""
    assert "east at 127.0.0.1" in links["north", "east"]["problem"]
    assert "east at 127.0.0.1" in links["south", "east"]["problem"]
    assert "could not tell" in links["east", "north"]["problem"]


def test_a_wrong_key_is_shown_and_ends_with_4(world, capsys):
    parties, keys = world
    wrong = StaticKey.generate(SystemEntropy())
    mistaken = Parties(
        tuple(
            Party(name=each.name, host=each.host, port=each.port, key=wrong.public) if each.name == "east" else each
            for each in parties.members
        )
    )
    thread = threading.Thread(
        target=probe, args=(mistaken, "east", VouchedKey(wrong)), kwargs={"entropy": SystemEntropy(), "wait_s": 1.0}
    )
    threads, _ = others(parties, keys, without=("east",), wait_s=1.0)
    thread.start()
    assert main(["mpc", "doctor", "parties.toml", "--as", "north", "--wait", "1"]) == 4
    for each in (thread, *threads):
        each.join()
    shown = capsys.readouterr()
    assert "do not know each other by the keys" in shown.out
    assert "something needs attention" in shown.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent.toml", "--as", "north"), "cannot be read"),
        (("parties.toml", "--as", "west"), "no party 'west'"),
        (("parties.toml", "--as", "north", "--key", "absent.key"), "cannot be read"),
        (("parties.toml", "--as", "north", "--key", "south.key"), "says that the key of north"),
    ],
)
def test_a_wrong_call_is_told(world, capsys, arguments, words):
    assert main(["mpc", "doctor", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_what_a_peer_reports_is_made_harmless():
    from stead.core.codec import encode

    (reach,) = read_report(encode([Reach("south", "north", problem="\x1b[31m" + "x" * 1000)]))
    assert "\x1b" not in reach.problem
    assert len(reach.problem) <= 300
