"""Means, spreads, quantiles and normalisation, against NumPy and torch."""

import numpy as np
import pytest
import torch
from clear import clear, on_grid, opened, secret

from stead.mpc import functions

UNIT = 2.0**-16
COUNTS = [1, 2, 3, 5, 16, 17, 64, 100, 1000]


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("count", COUNTS)
def test_means_and_spreads(count, chance):
    rng, p = np.random.default_rng(count), clear(count, chance)
    for middle in (0, 50, 1000):
        x = on_grid(rng.normal(middle, 5, (6, count)))
        assert np.abs(opened(functions.mean(p, secret(x), 1)) - x.mean(1)).max() <= 1.5 * UNIT + middle * 2**-23
        spread = opened(functions.variance(p, secret(x), 1))
        # The mean may be off by d: the mean square by d^2, with the products' and the division's rounding.
        assert np.abs(spread - x.var(1)).max() <= 2.5 * UNIT + 2**-20 * x.var(1).max() + (middle * 2**-23 + UNIT) ** 2
    if count > 1:
        unbiased = opened(functions.variance(p, secret(x), 1, correction=1))
        assert np.abs(unbiased - x.var(1, ddof=1)).max() <= 4.5 * UNIT + 2**-20 * x.var(1).max()
        root = opened(functions.standard_deviation(p, secret(x), 1))
        assert np.abs(root - x.std(1)).max() <= 4 * UNIT / x.std(1).min() + 2 * UNIT


@pytest.mark.parametrize("axis", [0, 1, (0, 2)])
def test_the_mean_along_axes(axis):
    x = on_grid(np.random.default_rng(0).normal(size=(3, 4, 5)))
    found = functions.mean(clear(1), secret(x), axis, keepdims=True)
    assert np.abs(opened(found) - x.mean(axis, keepdims=True)).max() <= 1.5 * UNIT


@pytest.mark.parametrize("share", [0, 0.1, 0.25, 0.5, 0.731, 1])
@pytest.mark.parametrize("count", [1, 2, 7, 10])
def test_quantiles(count, share):
    x = on_grid(np.random.default_rng(count).normal(100, 5000, (4, count)))
    found = opened(functions.quantile(clear(3), secret(x), share, 1))
    assert np.abs(found - np.quantile(x, share, axis=1)).max() <= 1.1 * UNIT + 2**-25 * np.ptp(x)
    assert np.abs(opened(functions.median(clear(3), secret(x), 1)) - np.median(x, axis=1)).max() <= UNIT


def test_shares_beyond_all_are_refused():
    with pytest.raises(ValueError, match="share"):
        functions.quantile(clear(), secret(np.zeros(3)), 1.5)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("count", [2, 10, 64, 768])
@pytest.mark.parametrize("spread", [0.001, 0.01, 0.1, 1, 10, 30])
def test_layer_norm(count, spread, chance):
    """A distance is off by 1.5 · 2^-20 at most, so a result by that over the spread, besides its own unit."""
    x = on_grid(np.random.default_rng(count).normal(3, spread, (20, count)))
    found = opened(functions.layer_norm(clear(1, chance), secret(x)))
    expected = torch.nn.functional.layer_norm(torch.tensor(x), (count,)).numpy()
    effective = np.sqrt(x.var(1, keepdims=True) + 1e-5)
    bound = 1.1 * UNIT + 2 * 2.0**-20 / effective + 2.0**-22 * np.abs(expected)
    assert (np.abs(found - expected) <= bound).all()


def test_layer_norm_with_weights_and_over_two_axes():
    rng = np.random.default_rng(0)
    x, weight, bias = (on_grid(rng.normal(size=shape)) for shape in ((5, 4, 6), (4, 6), (4, 6)))
    expected = torch.nn.functional.layer_norm(
        *map(torch.tensor, (x,)), (4, 6), torch.tensor(weight), torch.tensor(bias)
    )
    for given in ((weight, bias), (secret(weight), secret(bias))):
        found = opened(functions.layer_norm(clear(1), secret(x), *given, axes=2))
        assert np.abs(found - expected.numpy()).max() <= 8 * UNIT


def test_batch_norm_and_its_folding():
    rng = np.random.default_rng(0)
    mean, gain, bias = rng.normal(size=(3, 4))
    variance = rng.uniform(0.1, 3, 4)
    factor, offset = functions.folded(mean, variance, gain, bias)
    x = on_grid(rng.normal(size=(2, 4, 3, 3)))
    expected = torch.nn.functional.batch_norm(
        torch.tensor(x), torch.tensor(mean), torch.tensor(variance), torch.tensor(gain), torch.tensor(bias)
    ).numpy()
    found = opened(functions.batch_norm(clear(), secret(x), factor, offset))
    assert np.abs(found - expected).max() <= 8 * UNIT
    found = opened(functions.batch_norm(clear(), secret(x), secret(factor), secret(offset)))
    assert np.abs(found - expected).max() <= 8 * UNIT
    kernel, shift = rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4)
    images = torch.tensor(rng.normal(size=(1, 2, 5, 5)))
    plain = torch.nn.functional.conv2d(images, torch.tensor(kernel), torch.tensor(shift))
    norm = torch.nn.functional.batch_norm(plain, *map(torch.tensor, (mean, variance, gain, bias)))
    folded = torch.nn.functional.conv2d(images, *map(torch.tensor, functions.fold_into(factor, offset, kernel, shift)))
    assert torch.allclose(folded, norm)
