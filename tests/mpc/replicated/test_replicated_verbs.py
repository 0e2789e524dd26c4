"""Replicated sharing gives what the clear gives, for what it says."""

import pytest
from verbs import Exact, Verbs

from stead.core.entropy import SeededEntropy
from stead.errors import UsageError
from stead.mpc.local import together
from stead.mpc.party import Party
from stead.mpc.protocols.replicated.costs import ReplicatedCosts
from stead.mpc.protocols.replicated.protocol import Replicated


class Three:
    owners = (0, 1, 2)
    costs = ReplicatedCosts()

    def run(self, computation):
        return together("replicated", computation, entropy=SeededEntropy(1))


class TestVerbs(Three, Verbs):
    pass


class TestCosts(Three, Exact):
    pass


def test_it_has_three_parties():
    with pytest.raises(UsageError, match="three parties; there are 2"):
        Replicated(Party(0, ("a", "b"), None, SeededEntropy(0)))


def test_it_needs_keystreams():
    with pytest.raises(UsageError, match="no keystream"):
        Replicated(Party(0, ("a", "b", "c"), None, SeededEntropy(0)))


def test_the_facts_are_told():
    assert ReplicatedCosts().facts is Replicated.facts
    assert (Replicated.facts.parties, Replicated.facts.corruptions) == (3, 1)
