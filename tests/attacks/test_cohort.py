"""Who may sit in a cohort: each enrolled site once, whatever keys it holds and whatever the coordinator calls it."""

import importlib
import sys
from pathlib import Path

import pytest

from stead.core.keys import Key
from stead.core.leaves import Charged
from stead.errors import BadSignature, PolicyDenied

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))
gate_world = importlib.import_module("gate_world")
from gate_world import ALICE, MALLORY, NODE_KEY, NORTH, SOUTH, opening  # noqa: E402 - found by the line above

SECOND = Key.from_bytes(b"2" * 32).public.raw


@pytest.fixture
def world(tmp_path):
    world = gate_world.new_world(tmp_path / "stead.db", tmp_path)
    yield world
    world.close()


def cohort(**keys):
    return (("here", NODE_KEY.public.raw), *keys.items())


def test_two_keys_of_one_site_are_not_two_sites(world):
    # North has a new key and the old one was not revoked: with both, north alone would hold two of three noise shares.
    world.books.people.enrol(SECOND, "north", role="site")
    with pytest.raises(PolicyDenied, match="one site, 'north'"):
        world.gate.join(ALICE, opening(cohort=cohort(lake=NORTH, hill=SECOND)))
    assert not world.leaves(Charged)
    world.gate.join(ALICE, opening(cohort=cohort(north=SECOND, south=SOUTH)))


def test_a_stranger_and_a_scientist_are_no_sites(world):
    for key in (MALLORY, ALICE):
        with pytest.raises(BadSignature, match="not enrolled"):
            world.gate.join(ALICE, opening(cohort=cohort(north=NORTH, south=key)))
    assert not world.leaves(Charged)
