"""Nothing leaves through a session that the log says is over."""

import importlib
import sys
from pathlib import Path

import pytest

from stead.core.leaves import SessionEnded
from stead.core.messages import SessionFrame
from stead.errors import BadMessage, NodeError

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))
gate_world = importlib.import_module("gate_world")
from gate_world import ALICE, opening  # noqa: E402 - found by the line above


@pytest.fixture
def world(tmp_path):
    world = gate_world.new_world(tmp_path / "stead.db", tmp_path)
    yield world
    world.close()


def frame(release, data):
    return SessionFrame(release=release, frame=data)


def test_a_second_process_that_ends_the_sessions_it_finds_ends_them_in_the_first_one_too(world, tmp_path):
    request = opening()
    world.gate.join(ALICE, request)
    world.sessions.frame(ALICE, frame(request.release, b"roster"))
    other = gate_world.open_world(tmp_path / "stead.db", tmp_path)
    assert other.sessions.recover() == 1
    for data in (b"round", b"round", b"roster"):
        with pytest.raises(BadMessage):
            world.sessions.frame(ALICE, frame(request.release, data))
    assert [(leaf.outcome, leaf.rounds) for _, leaf in world.leaves(SessionEnded)] == [("aborted", 0)]
    other.close()


def test_a_round_that_could_not_be_noted_does_not_leave_when_its_frame_is_sent_again(world, monkeypatch):
    request = opening()
    world.gate.join(ALICE, request)
    world.sessions.frame(ALICE, frame(request.release, b"roster"))

    def busy():
        raise NodeError("the node's database was busy.")

    monkeypatch.setattr(type(world.books.store), "write", lambda _: busy())
    for _ in range(2):
        with pytest.raises(NodeError, match="busy"):
            world.sessions.frame(ALICE, frame(request.release, b"round"))
    monkeypatch.undo()
    world.sessions.frame(ALICE, frame(request.release, b"round"))
    assert world.sessions.recover() == 1  # as the next process does: it finds that one round had left
    assert [leaf.rounds for _, leaf in world.leaves(SessionEnded)] == [1]
