"""Replicated sharing gives what the clear gives, for what it says."""

import numpy as np
import pytest
from verbs import Exact, Verbs, entered, small

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


@pytest.mark.parametrize("owner", [0, 7, -1])
def test_an_owner_and_those_who_are_told_are_parties(owner):
    def computation(protocol):
        values = np.zeros(3, dtype=np.uint64)
        share = protocol.share(values if protocol.party.place == owner else None, (3,), owner)
        return protocol.reveal(share, to=[3])

    with pytest.raises(UsageError, match="there is no place 3" if owner == 0 else f"there is no place {owner}"):
        together("replicated", computation)


@pytest.mark.parametrize("bits", [1, 8, 16, 17, 40, 62])
def test_truncation_rounds_with_a_dither_that_each_party_knows(bits):
    """A result tells each party a window of 2^f numbers.

    Party 0 knows r = -(z_0 + z_1), and the result is floor((z + (r mod 2^f)) / 2^f); parties 1 and 2 know z_2, and it
    is floor((z + 2^f - 1 - (z_2 mod 2^f)) / 2^f).
    """
    values = small((5000,), 50 + bits)

    def computation(protocol):
        z = entered(protocol, values, (0, 1, 2))
        b = protocol.invert(protocol.negative(z - z))
        return z.parts, protocol.reveal(protocol.truncate(z, bits)), protocol.reveal(protocol.select(b, z, bits))

    at_0, at_1, at_2 = together("replicated", computation, entropy=SeededEntropy(bits))
    low = np.uint64((1 << bits) - 1)
    dealer, first, second = (
        np.negative(at_0[0][0] + at_0[0][1]) & low,
        low - (at_1[0][1] & low),
        low - (at_2[0][0] & low),
    )
    for dither, (_, *results) in ((dealer, at_0), (first, at_1), (second, at_2)):
        expected = [(int(z) + int(d)) >> bits for z, d in zip(values.view(np.int64), dither, strict=True)]
        for told in results:
            np.testing.assert_array_equal(told.view(np.int64), expected)
