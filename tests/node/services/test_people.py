"""Whom the owner trusts, and under which names."""

import pytest
from gate_world import ALICE, MALLORY, NORTH, new_world

from stead.core.leaves import PersonEnrolled, PersonRevoked
from stead.errors import BadMessage, PolicyDenied, UsageError


@pytest.fixture
def world(store_url, tmp_path):
    made = new_world(store_url, tmp_path)
    yield made
    made.close()


def test_roles_are_kept_apart(world):
    people = world.books.people
    assert people.scientist(ALICE, "risk") == "Alice"
    assert (people.is_site(NORTH), people.is_site(ALICE)) == (True, False)
    with pytest.raises(PolicyDenied):
        people.scientist(NORTH, "risk")
    assert (people.known(ALICE), people.known(NORTH), people.known(MALLORY)) == (True, True, False)


def test_enrolling_and_revoking_are_leaves_and_can_be_repeated(world):
    people = world.books.people
    people.revoke(ALICE)
    assert not people.known(ALICE)
    with pytest.raises(UsageError, match="not enrolled"):
        people.revoke(ALICE)
    people.enrol(ALICE, "Alice", role="scientist", project="risk")
    assert people.scientist(ALICE, "risk") == "Alice"
    assert [leaf.name for _, leaf in world.leaves(PersonEnrolled)] == ["Alice", "north", "south", "Alice"]
    assert [leaf.key for _, leaf in world.leaves(PersonRevoked)] == [ALICE]


def test_revoking_a_key_revokes_it_in_all_projects(world):
    people = world.books.people
    people.enrol(ALICE, "Alice", role="scientist", project="other")
    people.revoke(ALICE)
    assert not people.known(ALICE)
    people.enrol(ALICE, "Alice", role="scientist", project="other")
    with pytest.raises(PolicyDenied):
        people.scientist(ALICE, "risk")


def test_a_key_has_one_name(world):
    with pytest.raises(UsageError, match="another name"):
        world.books.people.enrol(ALICE, "Alice II", role="scientist", project="other")


@pytest.mark.parametrize("name", ["", " x", "a@b", "a/b", "line\nbreak", "x" * 129])
def test_names_that_could_be_mistaken_in_an_account_are_refused(world, name):
    with pytest.raises(UsageError):
        world.books.people.enrol(MALLORY, name, role="site")
    with pytest.raises(UsageError):
        world.books.people.enrol(MALLORY, "Mallory", role="scientist", project=name)


def test_a_scientist_has_a_project_and_a_site_has_none(world):
    with pytest.raises(UsageError, match="project"):
        world.books.people.enrol(MALLORY, "Mallory", role="scientist")
    with pytest.raises(UsageError, match="project"):
        world.books.people.enrol(MALLORY, "Mallory", role="site", project="risk")


def test_a_key_that_proves_nothing_is_refused(world):
    with pytest.raises(BadMessage):
        world.books.people.enrol(bytes(32), "nobody", role="site")
