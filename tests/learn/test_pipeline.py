"""Clipping on the lattice against exact fractions; samples and noise against their distributions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stead.core.entropy import SeededEntropy
from stead.errors import UsageError
from stead.learn import pipeline
from stead.learn.pipeline import Lattice, NoiseShare, poisson_sample, random_lanes

ANY_FLOAT = st.floats(width=32, allow_nan=True, allow_infinity=True)


def norm_squared(row):
    return sum(int(value) ** 2 for value in row)


@given(
    rows=hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=ANY_FLOAT),
    clip=st.floats(1e-3, 1e3),
    fineness=st.floats(1.0, 1e6),
)
@settings(deadline=None, max_examples=150)
def test_no_row_whatever_it_holds_is_over_the_bound(rows, clip, fineness):
    lattice = Lattice(clip, clip / fineness)
    integers = lattice.quantise(rows)
    assert integers.dtype == np.int64
    bound = Fraction(lattice.clip) ** 2 / Fraction(lattice.step) ** 2
    for row, whole in zip(rows, integers, strict=True):
        assert norm_squared(whole) <= bound
        if not np.isfinite(row).all():
            assert not whole.any()


@given(
    rows=hnp.arrays(np.float32, (3, 7), elements=st.floats(-100, 100, width=32)),
    clip=st.floats(0.5, 50),
    step=st.sampled_from([0.5, 0.1, 2.0**-10]),
)
@settings(deadline=None, max_examples=80)
def test_values_are_the_clipped_ones_rounded_toward_zero(rows, clip, step):
    for row, whole in zip(rows, Lattice(clip, step).quantise(rows), strict=True):
        norm = math.sqrt(sum(Fraction(float(value)) ** 2 for value in row))
        scale = min(1.0, clip / norm) if norm else 1.0
        for value, steps in zip(row, whole, strict=True):
            real = float(value) * scale / step
            assert abs(steps) <= abs(real) * (1 + 1e-5) + 1e-9
            assert abs(real - steps) < 1 + abs(real) * 1e-5
            assert steps * real >= 0


def test_beyond_float64_is_zero_and_a_tiny_clip_of_a_huge_row_is_right():
    lattice = Lattice(1.0, 2.0**-20)
    rows = np.array([[1e200, 1e200], [3e38, 4e38], [np.nan, 1], [-np.inf, 0], [0.3, 0.4]])
    integers = lattice.quantise(rows)
    assert integers[0].tolist() == [0, 0]
    np.testing.assert_allclose(integers[1], [0.6 * 2**20, 0.8 * 2**20], atol=2)
    assert integers[2:4].tolist() == [[0, 0], [0, 0]]
    np.testing.assert_allclose(integers[4], [0.3 * 2**20, 0.4 * 2**20], atol=1)


def test_many_small_values_do_not_add_up_over_the_bound():
    """Rounding the *sum* would; truncating each value cannot. 10^5 values of 0.9 steps in a clip of 100 steps."""
    row = np.full((1, 100_000), 0.9, dtype=np.float32)
    assert not Lattice(1000.0, 1.0).quantise(row).any()
    halves = Lattice(100.0, 0.25).quantise(row)
    assert norm_squared(halves[0]) <= 160_000


@pytest.mark.parametrize(("clip", "parts", "largest"), [(1 / 3, 5, 4), (1.1, 7, 6), (0.1, 49, 48), (7.0, 5, 5)])
def test_a_row_that_rounding_pushes_over_the_bound_is_made_smaller(clip, parts, largest):
    """The quotient clip / (clip / parts) is a hair below ``parts`` for the first three, and rounds up to it."""
    lattice = Lattice(clip, clip / parts)
    exact = Fraction(clip) / Fraction(clip / parts)
    assert (exact < parts) == (largest < parts)
    assert lattice.bound == math.floor(exact**2)
    rows = np.zeros((2000, 2))
    rows[:, 0] = np.random.default_rng(1).uniform(1, 100, 2000) * clip
    integers = lattice.quantise(rows)
    assert (integers**2).sum(axis=1).max() <= lattice.bound
    assert integers.max() == largest
    assert integers[:, 0].min() >= largest - 1


def test_a_row_has_the_same_integers_in_any_company():
    generator = np.random.default_rng(2)
    rows = generator.normal(size=(300, 777)).astype(np.float32)
    lattice = Lattice(3.0, 2.0**-22)
    together = lattice.quantise(rows)
    order = generator.permutation(300)
    assert (lattice.quantise(rows[order]) == together[order]).all()
    for place in (0, 7, 299):
        assert (lattice.quantise(rows[place : place + 1])[0] == together[place]).all()


def test_long_rows_are_cut_into_tiles_without_a_trace():
    generator = np.random.default_rng(3)
    row = generator.normal(size=(2, 200_001)).astype(np.float32)
    integers = Lattice(10.0, 2.0**-12).quantise(row)
    norm = np.linalg.norm(row.astype(np.float64), axis=1, keepdims=True)
    expected = row.astype(np.float64) * 10.0 / norm * 2**12
    assert (np.abs(integers - expected) < 1 + 1e-6).all()


@pytest.mark.parametrize(
    ("clip", "step"), [(1.0, 0.0), (1.0, 2.0), (0.0, 0.0), (math.inf, 1.0), (1.0, math.nan), (1.0, 2.0**-31)]
)
def test_a_lattice_that_cannot_be(clip, step):
    with pytest.raises(UsageError):
        Lattice(clip, step)


def test_poisson_sample_is_an_exact_comparison(monkeypatch):
    draws = []

    class Given:
        """A keystream whose draws stand at the threshold."""

        @classmethod
        def fresh(cls, _entropy):
            return cls()

        def take(self, size_bytes):
            return np.array(draws, dtype="<u8").tobytes()

    monkeypatch.setattr(pipeline, "Keystream", Given)
    for rate in (0.25, 0.1, 1e-3, 2.0**-60):
        threshold = math.floor(Fraction(rate) * 2**64)
        draws[:] = [0, threshold - 1, threshold, 2**64 - 1]
        assert poisson_sample(4, rate, SeededEntropy(0)).tolist() == [True, True, False, False]


def test_poisson_sample_has_its_rate():
    """200,000 people at rate 0.07: outside six standard deviations with probability 2e-9."""
    taken = poisson_sample(200_000, 0.07, SeededEntropy(4)).sum()
    assert abs(taken - 14_000) < 6 * math.sqrt(200_000 * 0.07 * 0.93)
    assert poisson_sample(10, 1.0, SeededEntropy(4)).all()
    assert poisson_sample(0, 0.5, SeededEntropy(4)).shape == (0,)
    for rate in (0.0, -0.1, 1.1, math.nan):
        with pytest.raises(UsageError):
            poisson_sample(10, rate, SeededEntropy(4))


@pytest.mark.parametrize(("sites", "colluders"), [(3, 0), (3, 1), (10, 4)])
def test_the_shares_of_the_honest_sites_have_the_whole_variance(sites, colluders):
    """40,000 values: sum of squares over variance is chi-square; six standard deviations, false alarm 2e-9 each."""
    noise = NoiseShare(sigmas=(30.0, 900.0), lengths=(40_000, 40_000), sites=sites, colluders=colluders)
    values = np.arange(80_000)
    entropy = SeededEntropy(sites)
    total = sum(noise.add(values, entropy) - values for _ in range(sites - colluders))
    for part, sigma in ((total[:40_000], 30.0), (total[40_000:], 900.0)):
        assert abs((part / sigma).var() - 1) < 6 * math.sqrt(2 / 40_000)
        assert abs(part.mean()) < 6 * sigma / math.sqrt(40_000)


def test_noise_must_fit_the_vector():
    noise = NoiseShare(sigmas=(1.0,), lengths=(3,), sites=2, colluders=0)
    with pytest.raises(UsageError):
        noise.add(np.zeros(4, dtype=np.int64), SeededEntropy(0))


def test_lanes_are_uniform_and_only_for_those_who_take_part():
    """Chi-square of 31 degrees of freedom: above 99.5 with probability 5e-9."""
    taking_part = np.arange(64_000) % 2 == 0
    lanes = random_lanes(taking_part, 32, SeededEntropy(5))
    assert (lanes[~taking_part] == -1).all()
    counts = np.bincount(lanes[taking_part], minlength=32)
    assert counts.sum() == 32_000
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 99.5
