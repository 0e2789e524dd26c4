"""Sums by additive sharing: what they give, what they cost, and what is refused."""

import functools
import threading

import numpy as np
import pytest
from verbs import SHAPES, clear, drawn, entered
from views import MISS, RecordedStream, Repeating, numbers, told_apart, views

from stead.core.entropy import SeededEntropy
from stead.errors import UnsupportedOperation, UsageError
from stead.mpc.cost import Cost
from stead.mpc.forms import MUL
from stead.mpc.party import Party, agree
from stead.mpc.protocols.additive.costs import AdditiveCosts
from stead.mpc.protocols.additive.protocol import Additive
from stead.net.local import local_mesh


def together(count, computation):
    """The computation's results at ``count`` parties, by place."""
    names = tuple(f"p{at}" for at in range(count))
    mesh, results = local_mesh(names), {}

    def one(place):
        channel, entropy = mesh[names[place]], SeededEntropy(place)
        party = Party(place, names, channel, entropy, 1, agree(place, names, channel, entropy))
        results[place] = computation(Additive(party))

    threads = [threading.Thread(target=one, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[place] for place in range(count)]


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_are_those_in_the_clear(count, shape):
    inputs, known = [drawn(shape, seed) for seed in range(count)], drawn(shape, 50)

    def total(protocol):
        shares = [
            protocol.share(inputs[at] if protocol.party.place in {at, -1} else None, shape, at) for at in range(count)
        ]
        x = protocol.add_public(sum(shares[1:], shares[0].scaled(-5)), known)
        return protocol.reveal(x - protocol.public(known).scaled(3))

    expected = sum(inputs[1:], np.uint64(2**64 - 5) * inputs[0]) - known - known
    for told in together(count, total):
        np.testing.assert_array_equal(told, expected)


def test_public_values_broadcast():
    values, known = drawn((3, 1), 1), drawn((4,), 2)
    for told in together(3, lambda p: p.reveal(p.add_public(entered(p, values, (0, 1, 2)), known))):
        np.testing.assert_array_equal(told, values + known)


@pytest.mark.parametrize("to", [[0], [1, 2], [], None])
def test_the_named_are_told_for_what_it_says(to):
    values = drawn((5, 3), 3)

    def computation(protocol):
        before = protocol.party.channel.traffic
        x = protocol.share(values if protocol.party.place == 1 else None, (5, 3), 1)
        middle = protocol.party.channel.traffic
        return protocol.reveal(x, to), middle.since(before), protocol.party.channel.traffic.since(middle)

    results = together(3, computation)
    for at, (told, _, _) in enumerate(results):
        if to is None or at in to:
            np.testing.assert_array_equal(told, values)
        else:
            assert told is None
    costs = AdditiveCosts(3)
    for which, cost in ((1, costs.share((5, 3), 1)), (2, costs.reveal((5, 3), to))):
        traffic = [row[which] for row in results]
        assert Cost(max(t.rounds for t in traffic), tuple(t.total_sent_bytes for t in traffic)) == cost


def test_any_but_all_summands_are_noise():
    """Over 4000 values, shares of two constants by the same keys differ in the owner's summand only."""

    def parts(value):
        known = np.full(4000, value, dtype=np.uint64)
        return together(3, lambda p: p.share(known if p.party.place == 0 else None, (4000,), 0).parts[0])

    ones, others = parts(1), parts(2**63)
    np.testing.assert_array_equal(ones[1], others[1])
    np.testing.assert_array_equal(ones[2], others[2])
    for summand in (*ones, others[0]):
        # 32,000 bytes over 256 values: the statistic has mean 255, deviation 22.6; beyond 420 once in 10^10.
        counts = np.bincount(summand.view(np.uint8), minlength=256)
        assert ((counts - 125.0) ** 2 / 125.0).sum() < 420


def summed(stream=RecordedStream):
    """The views of three parties of a sum told to P_2, for two very different pairs of inputs of one sum."""

    def verb(first, second, protocol):
        place, shape = protocol.party.place, first.shape
        x = protocol.share(first if place == 0 else None, shape, 0)
        protocol.reveal(x + protocol.share(second if place == 1 else None, shape, 1), to=[2])

    pairs = ((5, 7), (1 << 61, 12 - (1 << 61)))
    return [
        views(Additive, functools.partial(verb, *map(numbers, pair)), (), seed, stream)
        for seed, pair in enumerate(pairs)
    ]


def test_the_views_of_a_sum_are_alike():
    """P_2 is told; P_0 and P_1 receive nothing."""
    one, other = summed()
    assert told_apart(one[2], other[2]) > MISS


def test_a_mask_used_twice_is_found():
    one, other = summed(Repeating)
    assert told_apart(one[2], other[2]) < MISS


def test_what_does_not_add_is_refused():
    oracle, costs = clear(), AdditiveCosts(2)
    bits = oracle.decompose(oracle.public(np.arange(3, dtype=np.uint64)), 1)

    def computation(p):
        x = p.public(np.arange(3, dtype=np.uint64))
        for verb in (
            lambda: p.product(MUL, x, x),
            lambda: p.truncate(x, 16),
            lambda: p.negative(x),
            lambda: p.zero(x),
            lambda: p.select(bits, x),
            lambda: p.decompose(x),
            lambda: p.conjunction(bits, bits),
            lambda: p.invert(bits),
            lambda: p.arithmetic(bits),
        ):
            with pytest.raises(UnsupportedOperation, match=r"(?s)only adds.*'replicated'"):
                verb()

    together(2, computation)
    for cost in (
        lambda: costs.product(MUL, (3,), (3,)),
        lambda: costs.truncate((3,), 16),
        lambda: costs.negative((3,)),
        lambda: costs.zero((3,)),
        lambda: costs.select((3,)),
        lambda: costs.decompose((3,)),
        lambda: costs.conjunction((3,), 1),
        lambda: costs.arithmetic((3,), 1),
    ):
        with pytest.raises(UnsupportedOperation, match="only adds"):
            cost()


def test_it_needs_others_and_their_keystreams():
    with pytest.raises(UsageError, match="two parties or more"):
        Additive(Party(0, ("a",), None, SeededEntropy(0)))
    with pytest.raises(UsageError, match="no keystream"):
        Additive(Party(0, ("a", "b"), None, SeededEntropy(0)))


def test_the_facts_are_told():
    assert AdditiveCosts(2).facts is Additive.facts
