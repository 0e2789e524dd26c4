"""Channels in one process, and the simulated network."""

import threading

import numpy as np
import pytest

from stead.core.channel import Traffic
from stead.errors import CheaterDetected, PartyTimedOut, PartyUnreachable, UsageError
from stead.net.local import local_mesh
from stead.net.simulated import LAN, WAN, Network, SimulatedChannel


def together(channels, work):
    """Run ``work(channel)`` for each party in a thread; what each returned or raised, by name."""
    found = {}

    def run(name):
        try:
            found[name] = work(channels[name])
        except Exception as error:  # noqa: BLE001 (handed to the test)
            found[name] = error

    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return found


def test_a_round_is_delivered_and_counted():
    def work(channel):
        values = np.arange(6, dtype=np.uint64).reshape(2, 3)
        got = channel.exchange(
            {peer: [values, channel.name.encode()] for peer in channel.peers}, dict.fromkeys(channel.peers, 49)
        )
        assert list(got) == list(channel.peers)
        for peer, message in got.items():
            assert np.array_equal(np.frombuffer(message, np.uint64, 6), values.ravel())
            assert bytes(message[48:]) == peer.encode()
        return channel.traffic

    found = together(local_mesh(["a", "b", "c"]), work)
    assert found["a"].rounds == 1
    assert dict(found["a"].sent_bytes) == {"b": 49, "c": 49}
    assert found["b"].total_received_bytes == 98


def test_a_sender_may_write_to_its_buffer_again():
    mesh = local_mesh(["a", "b"])
    values = np.zeros(4, np.uint8)
    mesh["a"].exchange({"b": [values]}, {})
    values[:] = 9
    assert bytes(mesh["b"].exchange({}, {"a": 4})["a"]) == bytes(4)


def test_without_a_copy_the_memory_is_handed_over():
    mesh = local_mesh(["a", "b"], copy=False)
    values = np.zeros(4, np.uint8)
    mesh["a"].exchange({"b": [values]}, {})
    values[:] = 9
    got = mesh["b"].exchange({}, {"a": 4})["a"]
    assert bytes(got) == b"\x09" * 4
    assert got.readonly


def test_messages_of_no_bytes_are_messages():
    mesh = local_mesh(["a", "b"])
    mesh["a"].exchange({"b": []}, {})
    mesh["a"].exchange({"b": [b"", np.empty((0, 3))]}, {})
    assert mesh["b"].exchange({}, {"a": 0})["a"] == b""
    assert mesh["b"].exchange({}, {"a": 0})["a"] == b""


def test_a_lie_about_a_shape_names_the_liar_to_all():
    def work(channel):
        size_bytes = 7 if channel.name == "c" else 8
        return channel.exchange({peer: [bytes(size_bytes)] for peer in channel.peers}, dict.fromkeys(channel.peers, 8))

    found = together(local_mesh(["a", "b", "c"]), work)
    assert isinstance(found["a"], CheaterDetected)
    assert isinstance(found["b"], CheaterDetected)
    assert "c sent a message of 7 bytes" in str(found["a"])
    assert "c sent a message of 7 bytes" in str(found["b"])


def test_the_silent_one_is_blamed_not_the_one_that_waits_for_it():
    mesh = local_mesh(["a", "b", "c"], timeout_s=0.3)
    waits_for = {"a": "b", "b": "c"}

    def work(channel):
        if channel.name == "c":
            return None
        return channel.exchange({}, {waits_for[channel.name]: 1})

    found = together(mesh, work)
    for name in "ab":
        assert isinstance(found[name], PartyTimedOut)
        assert "c was silent" in str(found[name])
    with pytest.raises(PartyTimedOut):
        mesh["a"].exchange({}, {})


def test_an_abort_reaches_everybody_and_stays():
    mesh = local_mesh(["a", "b", "c"])
    mesh["c"].abort("out of \x1b[31mmemory " + "x" * 1000)
    for name in "ab":
        with pytest.raises(PartyUnreachable, match="c ended the computation: out of  ") as caught:
            mesh[name].exchange({}, {"a" if name == "b" else "b": 1})
        assert len(str(caught.value)) < 400
        with pytest.raises(PartyUnreachable):
            mesh[name].exchange({}, {})


def test_a_party_that_is_done_is_missed_only_when_needed():
    mesh = local_mesh(["a", "b", "c"])
    mesh["c"].exchange({"a": [b"last"]}, {})
    mesh["c"].close()
    mesh["b"].exchange({"a": [b"hi"]}, {})
    assert bytes(mesh["a"].exchange({}, {"c": 4, "b": 2})["c"]) == b"last"
    with pytest.raises(PartyUnreachable, match="c has ended its part"):
        mesh["a"].exchange({"c": [b"x"]}, {})


@pytest.mark.parametrize(
    ("outgoing", "expect"),
    [
        ({"x": [b""]}, {}),
        ({"a": [b""]}, {}),
        ({}, {"x": 1}),
        ({}, {"b": -1}),
        ({"b": b"bytes"}, {}),
        ({"b": ["text"]}, {}),
        ({"b": [np.zeros((4, 4))[:, 1]]}, {}),
        ({"b": [np.zeros(2, "datetime64[s]")]}, {}),
    ],
)
def test_a_wrong_call_is_told_and_harms_nothing(outgoing, expect):
    mesh = local_mesh(["a", "b"])
    with pytest.raises(UsageError):
        mesh["a"].exchange(outgoing, expect)
    mesh["a"].exchange({"b": [b"still here"]}, {})


@pytest.mark.parametrize("names", [["a"], ["a", "a"], "ab"])
def test_names_that_make_no_mesh(names):
    with pytest.raises(UsageError):
        local_mesh(names)


def test_the_simulated_time_is_that_of_the_slowest_message():
    network = Network("test", latency_s=0.5, bytes_per_s=100.0)
    slept = []
    mesh = local_mesh(["a", "b", "c"])
    a = SimulatedChannel(mesh["a"], network, sleep=slept.append)
    mesh["b"].exchange({"a": [bytes(20)]}, {})
    mesh["c"].exchange({"a": [bytes(200)]}, {})
    a.exchange({"b": [bytes(50)]}, {"b": 20, "c": 200})
    assert a.simulated_s == pytest.approx(0.5 + 200 / 100)
    a.exchange({}, {})
    a.exchange({"b": [b""]}, {})
    assert a.simulated_s == pytest.approx(3.0)
    assert 0 < sum(slept) <= 3.0
    assert a.traffic.rounds == 2
    assert network.run_s(a.traffic) == pytest.approx(2 * 0.5 + 2.0)


def test_the_profiles_are_those_documented():
    traffic = Traffic(10, {"b": 1_000_000}, {"b": 0})
    assert LAN.run_s(traffic) == pytest.approx(10 * 0.001 + 8e6 / 1e9)
    assert WAN.run_s(traffic) == pytest.approx(10 * 0.040 + 8e6 / 1e8)
