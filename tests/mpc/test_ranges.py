"""How many bits a comparison reads, from where its numbers lie."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.mpc.engine import SharesEngine, Way
from stead.mpc.estimate import cost
from stead.mpc.fixed import Secret, decode, encode
from stead.mpc.local import together
from stead.mpc.ranges import ANYWHERE, Interval, comparison_bits, declared, function_bits
from stead.plans.builder import ProgramBuilder
from stead.plans.program import TensorType


@given(st.floats(0, 2.0**40), st.integers(0, 40))
def test_the_bits_hold_every_number_of_the_interval_and_a_unit_more(largest, scale):
    bits = comparison_bits(Interval(-largest, largest), scale)
    assert bits % 4 == 0
    assert 4 <= bits <= 64
    if bits < 64:
        assert largest * 2.0**scale + 1 < 2 ** (bits - 1)
        assert bits <= math.log2(largest * 2.0**scale + 8) + 6  # and are not many too many


def test_nothing_known_is_64_bits():
    assert comparison_bits(ANYWHERE, 16) == function_bits(ANYWHERE, 16) == 64
    assert comparison_bits(Interval(-(2.0**50), 2.0**50), 32) == 64
    assert (function_bits(Interval(-1, 1), 16), function_bits(Interval(-1, 1), 32)) == (32, 64)


def layer():
    """relu(x @ w): a product at twice the fraction bits goes into the comparison."""
    builder = ProgramBuilder()
    x = builder.input("x", "x", TensorType("float32", (3, 4)))
    w = builder.input("w", "parameter", TensorType("float32", (4, 5)))
    return builder.build({"y": builder.add("relu", builder.add("mm", x, w))})


@pytest.mark.parametrize("protocol", ["masked", "replicated"])
def test_declared_bounds_shorten_the_comparison_of_a_product(protocol):
    program = layer()
    ranges = declared(program, {"x": (-2.0, 2.0), "w": (-3.0, 3.0)})
    chance = np.random.default_rng(1)
    x, w = chance.uniform(-2, 2, (3, 4)), chance.uniform(-3, 3, (4, 5))
    x[0], w[:, 0] = 2.0, -3.0  # the ends of the range
    w[:, 1] = 3.0

    def run(p):
        mine = p.party.place == 1
        given = [Secret(p.share(encode(a) if mine else None, a.shape, 1), 16) for a in (x, w)]
        (found,) = SharesEngine(p).run_as(program, given, Way(ranges=ranges))
        return (
            decode(p.reveal(found.share, [1, 2]), found.scale) if p.party.place == 1 else p.reveal(found.share, [1, 2])
        )

    found = together(protocol, run)[1]
    assert np.abs(found - np.maximum(x @ w, 0)).max() < 2e-3
    assert found[0, 1] == pytest.approx(24, abs=2e-3)
    assert cost(program, protocol, way=Way(ranges=ranges)).cost.total_bytes < cost(program, protocol).cost.total_bytes
