"""The noise has the distribution that its event names.

Each test computes a p-value and fails below 1e-6; there are about 40 such figures, so a correct sampler would fail one
of them once in 25,000 seeds. The seeds are fixed, so that a pass or a failure is repeatable; the comparisons with
OpenDP draw fresh randomness on its side and keep that error rate.
"""

import numpy as np
import opendp.prelude as dp
import pytest
from scipy import stats

from stead.core.entropy import SeededEntropy
from stead.privacy.samplers import discrete_gaussian, discrete_laplace

ERROR_RATE = 1e-6
DRAWS = 300_000
DRAW = {"gaussian": discrete_gaussian, "laplace": discrete_laplace}
FAMILIES = pytest.mark.parametrize("family", DRAW)


def weights(family, width, reach):
    """The exact probability weights of -reach..reach, far beyond which lies less than 1e-15."""
    z = np.arange(-reach, reach + 1)
    raw = np.exp(-(z**2) / (2 * width**2)) if family == "gaussian" else np.exp(-np.abs(z) / width)
    return z, raw / raw.sum()


def grouped(counts, expected, least=25):
    """Neighbouring cells put together until each expects at least 25."""
    edges, filled = [0], 0.0
    for index, cell in enumerate(expected):
        filled += cell
        if filled >= least:
            edges.append(index + 1)
            filled = 0.0
    edges[-1] = len(expected)
    return np.add.reduceat(counts, edges[:-1]), np.add.reduceat(expected, edges[:-1])


def p_value(drawn, family, width):
    reach = max(int(42 * width), 12)
    z, probability = weights(family, width, reach)
    assert np.abs(drawn).max() <= reach
    observed, expected = grouped(np.bincount(drawn + reach, minlength=len(z)), probability * len(drawn))
    return stats.chisquare(observed, expected * len(drawn) / expected.sum()).pvalue


@FAMILIES
@pytest.mark.parametrize("width", [0.25, 0.3, 0.5, 1.0, np.pi, 20.0, 31.99, 32.0, 47.1, 63.99, 64.0, 1000.0])
def test_the_noise_fits_its_exact_weights(family, width):
    assert p_value(DRAW[family](DRAWS, width, SeededEntropy(11)), family, width) > ERROR_RATE


@FAMILIES
@pytest.mark.parametrize("width", [3.0, 47.1])
def test_a_parameter_two_percent_off_would_be_noticed(family, width):
    """The test above can fail: noise of a slightly other width does."""
    drawn = DRAW[family](DRAWS * 4, width * 1.02, SeededEntropy(12))
    assert p_value(drawn, family, width) < ERROR_RATE


@FAMILIES
@pytest.mark.parametrize("width", [2.0**20, 1e9 / 7, 2.0**40])
def test_moments_at_large_widths(family, width):
    z = DRAW[family](1_000_000, width, SeededEntropy(13)) / width
    moments = {"gaussian": (1, 3, 15, 105), "laplace": (2, 24, 720, 40320)}[family]
    for power, (exact, squared) in {
        1: (0, moments[0]),
        2: (moments[0], moments[1]),
        4: (moments[1], moments[3]),
    }.items():
        deviation = np.sqrt((squared - exact**2) / len(z))
        assert stats.norm.sf(abs((z**power).mean() - exact) / deviation) * 2 > ERROR_RATE


@FAMILIES
@pytest.mark.parametrize("width", [2.0**20, 1e9 / 7])
def test_large_noise_has_the_shape_of_the_continuous_one(family, width):
    """One step is a millionth of the width: Kolmogorov-Smirnov cannot see the lattice in this many draws."""
    law = stats.norm if family == "gaussian" else stats.laplace
    drawn = DRAW[family](DRAWS, width, SeededEntropy(14)) + 0.0
    assert stats.kstest(drawn / width, law.cdf).pvalue > ERROR_RATE


@FAMILIES
@pytest.mark.parametrize("width", [1000.0, 2.0**20, 2.0**40])
@pytest.mark.parametrize("modulus", [2, 16, 255])
def test_every_point_of_the_lattice_is_reached(family, width, modulus):
    """No coarser lattice, no holes: residues are uniform (to 1e-12, at these widths), so are they within one block."""
    drawn = DRAW[family](DRAWS, width, SeededEntropy(15))
    residues = np.bincount(drawn % modulus, minlength=modulus)
    # At width 1000 a modulus of 255 is not yet wide of the Laplace's cusp; the cusp's share is 1e-3.
    if (width, modulus) == (1000.0, 255):
        z, probability = weights(family, width, int(42 * width))
        expected = np.bincount(z % modulus, weights=probability, minlength=modulus) * len(drawn)
    else:
        expected = np.full(modulus, len(drawn) / modulus)
    assert stats.chisquare(residues, expected).pvalue > ERROR_RATE


@FAMILIES
@pytest.mark.parametrize("width", [1.0, 40.0])
def test_neighbouring_draws_are_independent(family, width):
    drawn = DRAW[family](DRAWS, width, SeededEntropy(16))
    cells = np.searchsorted(np.array([-1, 0, 1]) * width, drawn)
    for lag in (1, 2, 3):
        table = np.zeros((4, 4))
        np.add.at(table, (cells[:-lag], cells[lag:]), 1)
        assert stats.chi2_contingency(table).pvalue > ERROR_RATE


def opendp_draws(family, width, size):
    dp.enable_features("contrib")
    vectors = dp.vector_domain(dp.atom_domain(T="i64"))
    if family == "gaussian":
        mechanism = dp.m.make_gaussian(vectors, dp.l2_distance(T="f64"), scale=width)
    else:
        mechanism = dp.m.make_laplace(vectors, dp.l1_distance(T="i64"), scale=width)
    return np.array(mechanism([0] * size))


@FAMILIES
@pytest.mark.parametrize("width", [0.7, 3.0, 50.0])
def test_opendp_draws_the_same_small_noise(family, width):
    theirs = opendp_draws(family, width, 20_000)
    ours = DRAW[family](100_000, width, SeededEntropy(17))
    low = min(theirs.min(), ours.min())
    counts = [
        np.bincount(drawn - low, minlength=int(max(theirs.max(), ours.max()) - low + 1)) for drawn in (theirs, ours)
    ]
    rare, common = grouped(counts[1], counts[0].astype(float), least=15)
    table = np.array([common, rare])
    assert stats.chi2_contingency(table).pvalue > ERROR_RATE


@FAMILIES
def test_opendp_draws_the_same_large_noise(family):
    theirs = opendp_draws(family, 1e6, 20_000)
    ours = DRAW[family](100_000, 1e6, SeededEntropy(18))
    assert stats.ks_2samp(theirs, ours).pvalue > ERROR_RATE
