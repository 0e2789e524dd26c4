"""A gate that is killed: at each of its states by name and at random moments, under four writer processes.

Each writer notes on disk what it is about to ask and, once it has it, what it was sent. After every kill: the ledger
equals the replay of its entries, whatever was sent stands in the log as charged before it was stored, and asking again
gives the same bytes and no second charge.
"""

import hashlib
import importlib
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from stead.core.leaves import Charged, ResultStored
from stead.node.services.ledger import Balance

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))
gate_world = importlib.import_module("gate_world")

WRITERS = 4
STATES = ("received", "decided", "charging", "charged", "running", "ran", "storing", "stored", "sending")
RANDOM_KILLS = 20
SEED = 20_261_123
FORK = multiprocessing.get_context("fork")


def note(path, *words):
    """Append a line, on disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (" ".join(words) + "\n").encode())
    os.fsync(descriptor)
    os.close(descriptor)


def noted(directory, kind):
    lines = [line for path in directory.glob(f"*.{kind}") for line in path.read_text().splitlines(keepends=True)]
    # A line that the kill cut short was never acknowledged.
    return [line.split() for line in lines if line.endswith("\n")]


def write_until_killed(directory, label, at, signals):
    """A writer process: new releases one after another, and now and then an old one again."""
    world = gate_world.open_world(directory / "stead.db", directory, at=at)
    signals.put(label)
    for number in range(10_000):
        release = gate_world.release_id(label, number - number % 4 // 3)  # every fourth asks for the third again
        note(directory / f"{label}.asked", release.hex())
        released = world.gate.answer(gate_world.ALICE, gate_world.ask(release))
        note(directory / f"{label}.sent", release.hex(), released.body.hex())


def start(directory, labels, hooks):
    signals = FORK.SimpleQueue()
    writers = [
        FORK.Process(target=write_until_killed, args=(directory, label, at, signals))
        for label, at in zip(labels, hooks, strict=True)
    ]
    for writer in writers:
        writer.start()
    for _ in writers:
        signals.get()
    return writers


def killing_at(name, occurrence):
    """A hook that ends its process inside the named state, without any cleaning up."""
    seen = Counter()

    def at(state):
        seen[state] += 1
        if state == name and seen[state] == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    return at


def check(directory):
    """What must hold whatever was killed when. Returns how many releases were asked for."""
    world = gate_world.open_world(directory / "stead.db", directory)
    try:
        world.books.ledger.verify()
        charged = {leaf.release: (place, leaf) for place, leaf in world.leaves(Charged)}
        assert len(charged) == len(world.leaves(Charged)), "a release was charged twice"
        stored = {leaf.release: (place, leaf) for place, leaf in world.leaves(ResultStored)}
        assert len(stored) == len(world.leaves(ResultStored)), "a release was stored twice"
        sent = {}
        for release, body in noted(directory, "sent"):
            assert sent.setdefault(release, body) == body, "a release was sent as two results"
        for release, body in sent.items():
            key = bytes.fromhex(release)
            assert charged[key][0] < stored[key][0]
            assert stored[key][1].result_hash == hashlib.sha256(bytes.fromhex(body)).digest()
        asked = {release for (release,) in noted(directory, "asked")}
        for release in sorted(asked):
            request = gate_world.ask(bytes.fromhex(release))
            bodies = {world.gate.answer(gate_world.ALICE, request).body.hex() for _ in range(2)}
            assert bodies == {sent.get(release, next(iter(bodies)))}
        price = next(leaf.charges[0].amounts[0] for _, leaf in world.leaves(Charged))
        replayed = world.books.ledger.replay()
        assert set(replayed.values()) == {Balance((price * len(asked),), 0)}
        world.books.ledger.verify()
        return len(asked)
    finally:
        world.close()


@pytest.fixture
def directory(tmp_path):
    gate_world.new_world(tmp_path / "stead.db", tmp_path).close()
    return tmp_path


@pytest.mark.parametrize("state", STATES)
def test_killed_inside_a_state_by_name(directory, state):
    hooks = [killing_at(state, occurrence) for occurrence in range(1, WRITERS + 1)]
    writers = start(directory, [f"{state}-{number}" for number in range(WRITERS)], hooks)
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [-signal.SIGKILL] * WRITERS
    assert check(directory) >= WRITERS


def test_killed_at_random_moments(directory):
    chance = random.Random(SEED)
    print(f"seed {SEED}")  # noqa: T201 - shown when the test fails
    for kill in range(RANDOM_KILLS):
        writers = start(directory, [f"{kill}-{number}" for number in range(WRITERS)], [lambda _: None] * WRITERS)
        wait_s = chance.uniform(0.0, 0.12)
        print(f"kill {kill} after {wait_s:.4f} s")  # noqa: T201 - as above
        time.sleep(wait_s)
        for writer in chance.sample(writers, WRITERS):
            os.kill(writer.pid, signal.SIGKILL)
        for writer in writers:
            writer.join()
        assert [writer.exitcode for writer in writers] == [-signal.SIGKILL] * WRITERS
    assert check(directory) >= 1


def test_the_check_finds_a_result_that_nobody_charged(directory):
    """The planted broken gate: it sends first and charges never."""
    release = gate_world.release_id("free").hex()
    gate_world_answer = gate_world.open_world(directory / "stead.db", directory)
    gate_world_answer.gate.answer(gate_world.ALICE, gate_world.ask())
    gate_world_answer.close()
    note(directory / "x.sent", release, b"stolen".hex())
    with pytest.raises(KeyError):
        check(directory)
