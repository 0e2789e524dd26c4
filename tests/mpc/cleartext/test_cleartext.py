"""The oracle itself, against Python's integers; and what it costs."""

import numpy as np
import pytest
from verbs import Verbs, clear, drawn

from stead.mpc.forms import MUL
from stead.mpc.protocols.cleartext.costs import CleartextCosts
from stead.mpc.protocols.cleartext.protocol import Cleartext

COSTS = CleartextCosts()


class TestVerbs(Verbs):
    owners = (0,)

    def run(self, computation):
        return [computation(clear())]


def numbers(seed, shift=0):
    values = (drawn((300,), seed).view(np.int64) >> shift).view(np.uint64)
    return values, [int(v) for v in values.view(np.int64)]


def signed(share):
    return [int(v) for v in share.parts[0].reshape(-1).view(np.int64)]


def wrapped(value):
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def test_arithmetic_is_that_of_integers():
    p, (a, x), (b, y) = clear(), numbers(1), numbers(2)
    first, second = p.share(a, a.shape, 0), p.public(b)
    assert signed(first + second) == [wrapped(u + v) for u, v in zip(x, y, strict=True)]
    assert signed(first - second) == [wrapped(u - v) for u, v in zip(x, y, strict=True)]
    assert signed(p.product(MUL, first, second)) == [wrapped(u * v) for u, v in zip(x, y, strict=True)]
    assert signed(p.add_public(first.scaled(-7), b)) == [wrapped(-7 * u + v) for u, v in zip(x, y, strict=True)]


@pytest.mark.parametrize("bits", [0, 1, 16, 62])
def test_truncation_is_the_floor(bits):
    p, (a, x) = clear(), numbers(3, 1)
    assert signed(p.truncate(p.public(a), bits)) == [v >> bits for v in x]
    chosen = p.select(p.negative(p.public(a)), p.public(a), bits)
    assert signed(chosen) == [v >> bits if v < 0 else 0 for v in x]


@pytest.mark.parametrize("width", [1, 5, 63, 64])
def test_bits_are_those_of_two_s_complement(width):
    p, (a, x) = clear(), numbers(4)
    a[::3] = 0
    x = [int(v) for v in a]
    share = p.public(a)
    rows = p.arithmetic(p.decompose(share, width)).parts[0]
    assert rows.tolist() == [[v >> bit & 1 for v in x] for bit in range(width)]
    assert signed(p.arithmetic(p.negative(share, width))) == [v >> (width - 1) & 1 for v in x]
    assert signed(p.arithmetic(p.zero(share))) == [int(v == 0) for v in x]
    both = p.conjunction(p.decompose(share, width), p.invert(p.decompose(p.public(a[::-1].copy()), width)))
    expected = [[u >> bit & ~v >> bit & 1 for u, v in zip(x, x[::-1], strict=True)] for bit in range(width)]
    assert p.arithmetic(both).parts[0].tolist() == expected


def test_what_goes_in_is_not_what_comes_out():
    p, values = clear(), np.arange(5, dtype=np.uint64)
    share = p.share(values, (5,), 0)
    values[:] = 9
    told = p.reveal(share)
    told[:] = 8
    assert p.reveal(share).tolist() == [0, 1, 2, 3, 4]


def test_the_only_party_owns_the_inputs():
    with pytest.raises(ValueError, match="owns every input"):
        clear().share(None, (1,), 0)


def test_everything_is_free():
    assert COSTS.facts is Cleartext.facts
    shape = (3, 5)
    for cost in (
        COSTS.share(shape, 0),
        COSTS.reveal(shape),
        COSTS.product(MUL, shape, shape),
        COSTS.truncate(shape, 16),
        COSTS.negative(shape),
        COSTS.zero(shape),
        COSTS.select(shape, 16),
        COSTS.decompose(shape),
        COSTS.conjunction(shape, 3),
        COSTS.arithmetic(shape, 3),
    ):
        assert (cost.rounds, cost.total_bytes) == (0, 0)


def test_a_form_that_has_no_result_has_no_cost():
    with pytest.raises(ValueError, match="broadcast"):
        COSTS.product(MUL, (2,), (3,))
