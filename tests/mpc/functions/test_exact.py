"""Functions that only compare, choose and move: exact, against NumPy and torch."""

import numpy as np
import pytest
import torch
from clear import clear, on_grid, opened, secret
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from stead.errors import UsageError
from stead.mpc import functions
from stead.mpc.fixed import Secret
from stead.mpc.functions import Pool
from stead.mpc.functions.sorting import layers

UNIT = 2.0**-16
EDGES = [0.0, UNIT, -UNIT, 1.0, -1.0, 2.0**44, -(2.0**44), 3.5, -3.5]


def ties(shape, seed=0):
    """Whole numbers, many of them alike."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(float)


def test_comparisons():
    x, y = (a.reshape(-1) for a in np.meshgrid(EDGES, EDGES))
    p = clear(0)
    for function, expected in [
        (functions.less, x < y),
        (functions.less_equal, x <= y),
        (functions.equal, x == y),
        (functions.not_equal, x != y),
    ]:
        for other in (secret(y), y, secret(y, 17)):
            assert_array_equal(opened(functions.indicator(p, function(p, secret(x), other))), expected)
        assert_array_equal(opened(functions.indicator(p, function(p, x, secret(y)))), expected)


def test_signs_magnitudes_and_clips():
    x, p = np.array(EDGES), clear(0)
    assert_array_equal(opened(functions.sign(p, secret(x))), np.sign(x))
    assert_array_equal(opened(functions.absolute(p, secret(x))), np.abs(x))
    assert_array_equal(opened(functions.clip(p, secret(x), -1, 2.5)), np.clip(x, -1, 2.5))
    assert_array_equal(opened(functions.clip(p, secret(ties(40), 0), -1.5, 2.5)), np.clip(ties(40), -1.5, 2.5))


@pytest.mark.parametrize("scale", [16, 32])
def test_relu_truncates_what_is_above_zero(scale):
    x = np.linspace(-3, 3, 1001)
    value, kept = functions.relu_with_derivative(clear(1), secret(x, scale))
    assert value.scale == 16
    assert np.abs(opened(value) - np.maximum(x, 0)).max() <= 1.5 * UNIT
    assert (opened(value)[x < 0] == 0).all()
    assert_array_equal(opened(functions.indicator(clear(), kept)), on_grid(x, scale) >= 0)


def test_the_larger_and_the_smaller_of_two():
    x, y = ties((3, 1, 5)), ties((4, 5), 1)
    assert_array_equal(opened(functions.maximum(clear(), secret(x, 8), secret(y))), np.maximum(x, y))
    assert_array_equal(opened(functions.minimum(clear(), secret(x, 8), secret(y))), np.minimum(x, y))


@pytest.mark.parametrize("group", [2, 3, 4, 5, 7])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 10, 13, 17])
def test_the_largest_and_the_first_place_of_it(count, group):
    x, p = ties((3, count, 4)), clear(0)
    assert_array_equal(opened(functions.amax(p, secret(x), 1, group=group)), x.max(1))
    assert_array_equal(
        opened(functions.amin(p, secret(x), (0, 1), group=group, keepdims=True)), x.min((0, 1), keepdims=True)
    )
    assert_array_equal(opened(functions.argmax(p, secret(x), 1, group=group)), x.argmax(1))
    assert_array_equal(opened(functions.argmin(p, secret(x), group=group)), x.argmin())


def test_there_is_no_largest_of_nothing():
    with pytest.raises(ValueError, match="no largest"):
        functions.amax(clear(), secret(np.zeros((2, 0))), 1)


@pytest.mark.parametrize("count", range(1, 13))
def test_the_network_sorts_all_zeros_and_ones(count):
    """A network that sorts every sequence of 0 and 1 sorts every sequence (Knuth, volume 3, 5.3.4, theorem Z)."""
    rows = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    for low, high in layers(count):
        assert len(set(low) | set(high)) == 2 * len(low)
        a, b = rows[:, low], rows[:, high]
        rows[:, low], rows[:, high] = np.minimum(a, b), np.maximum(a, b)
    assert (np.diff(rows, axis=1) >= 0).all()
    steps = (count - 1).bit_length()
    assert len(list(layers(count))) == steps * (steps + 1) // 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=40), st.booleans())
def test_sorting(numbers, descending):
    x = np.array(numbers, dtype=float)
    turn = -1 if descending else 1
    assert_array_equal(opened(functions.sort(clear(), secret(x, 0), descending=descending)), turn * np.sort(turn * x))
    found, places = functions.sort_with_places(clear(), secret(x, 0), descending=descending)
    assert_array_equal(opened(places), np.argsort(turn * x, kind="stable"))
    assert_array_equal(opened(found), turn * np.sort(turn * x))


def test_the_largest_few_and_ties():
    x = ties((3, 11, 2))
    values, places = functions.top_k(clear(), secret(x), 4, 1)
    order = np.argsort(-x, 1, kind="stable")[:, :4]
    assert_array_equal(opened(places), order)
    assert_array_equal(opened(values), np.take_along_axis(x, order, 1))
    assert_array_equal(opened(functions.argsort(clear(), secret(x), 1)), np.argsort(x, 1, kind="stable"))


def test_lookups():
    table, index = (
        on_grid(np.random.default_rng(0).normal(size=(9, 5))),
        np.random.default_rng(1).integers(0, 9, (3, 4)),
    )
    for rows in (table, secret(table)):
        assert_array_equal(opened(functions.embedding(clear(), secret(index, 0), rows)), table[index])
        assert not opened(functions.embedding(clear(), secret([9, -1, 2**40], 0), rows)).any()
    assert_array_equal(opened(functions.embedding(clear(), index, secret(table))), table[index])
    x = ties((3, 4, 9))
    found = opened(functions.gather(clear(), secret(x), secret(index, 0)))
    assert_array_equal(found, np.take_along_axis(x, index[..., None], -1)[..., 0])


POOLS = [
    Pool((2, 2), (2, 2)),
    Pool((3, 3), (2, 2), (1, 1)),
    Pool((3, 3), (1, 1), (1, 1)),
    Pool((3, 2), (2, 1), (1, 0), (1, 2)),
    Pool((3, 3), (2, 2), ceil=True),
    Pool((3, 3), (3, 3), (1, 1), (2, 2), ceil=True),
    Pool((2, 3), (3, 2), (1, 1), (2, 1), ceil=True),
    Pool((1, 1), (3, 3)),
]


def torch_pool(pool):
    return pool.kernel, pool.stride, pool.padding


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_pooling_is_torchs(pool):
    x = np.concatenate([ties((1, 3, 11, 10)), on_grid(np.random.default_rng(0).normal(-5, 1, (1, 3, 11, 10)))])
    images = torch.tensor(x, requires_grad=True)
    pooled, flat = torch.nn.functional.max_pool2d(
        images, *torch_pool(pool), pool.dilation, pool.ceil, return_indices=True
    )
    assert_array_equal(opened(functions.max_pool2d(clear(), secret(x, 32), pool)), pooled.detach())
    values, places = functions.max_pool2d_with_places(clear(), secret(x), pool)
    assert_array_equal(opened(values), pooled.detach())
    assert_array_equal(opened(places), flat)
    gradient = ties(pooled.shape, 3)
    pooled.backward(torch.tensor(gradient))
    assert_array_equal(
        opened(functions.max_pool2d_gradient(clear(), secret(gradient), places, pool, (11, 10))), images.grad
    )


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("pool", [pool for pool in POOLS if pool.dilation == (1, 1)], ids=str)
def test_mean_pooling_is_torchs(pool, counted):
    x = on_grid(np.random.default_rng(0).normal(0, 3, (2, 3, 11, 10)))
    expected = torch.nn.functional.avg_pool2d(torch.tensor(x), *torch_pool(pool), pool.ceil, counted).numpy()
    found = opened(functions.avg_pool2d(clear(2), secret(x), pool, count_padding=counted))
    assert np.abs(found - expected).max() <= 1.1 * UNIT


def test_windows_that_hold_nothing_are_refused():
    with pytest.raises(UsageError, match="hold nothing"):
        functions.max_pool2d(clear(), secret(np.zeros((1, 1, 2, 2))), Pool((1, 1), (1, 1), (2, 2)))


def test_a_truth_is_no_factor():
    bits = functions.less(clear(), secret(np.zeros(3)), 1.0)
    with pytest.raises(TypeError, match="truth"):
        functions.batch_norm(clear(), Secret(secret(np.zeros((2, 3))).share, 16), bits, np.zeros(3))
