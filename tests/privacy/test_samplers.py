"""Three implementations of one meaning: kernel, NumPy and exact arithmetic give the same integers."""

import math
from fractions import Fraction

import numpy as np
import pytest

from stead.core.entropy import Keystream, SeededEntropy, SystemEntropy
from stead.errors import UsageError
from stead.privacy import samplers
from stead.privacy.fixed_point import floor_exp_minus
from stead.privacy.samplers import Sampler, discrete_gaussian, discrete_laplace, native_built

WIDTHS = [0.25, 0.3, 1.0, math.pi, 31.99, 32.0, 33.3, 1000.0, 2.0**20, 1e9 / 7, 2.0**40]
SAMPLERS = [Sampler.gaussian(width) for width in WIDTHS] + [Sampler.laplace(width) for width in WIDTHS]
BLOCKED = [sampler for sampler in SAMPLERS if sampler.low_bits]
NAMES = [f"{sampler.family}-{width}" for sampler, width in zip(SAMPLERS, WIDTHS * 2, strict=True)]

needs_kernel = pytest.mark.skipif(not native_built(), reason="built without a compiler")
FILLS = [samplers._numpy_fill, pytest.param(samplers._native_fill, marks=needs_kernel)]


class Bits:
    """An entropy source that repeats one byte, to place further bits just below or above a threshold."""

    seeded = True

    def __init__(self, byte):
        self.byte, self.taken = byte, 0

    def take(self, size_bytes):
        self.taken += size_bytes
        return bytes([self.byte]) * size_bytes


class Spent:
    """Nothing to give: whoever asks for further bits fails."""

    seeded = True

    def take(self, size_bytes):
        raise AssertionError("further bits were asked for")


def filled(fill, sampler, candidates, entropy):
    """What a fill makes of hand-written candidates."""
    keystream = np.array(candidates, "<u8").tobytes()
    out = np.zeros(len(candidates), np.int64)
    return out[: fill(sampler, keystream, out, entropy)].tolist()


@needs_kernel
@pytest.mark.parametrize("sampler", SAMPLERS, ids=NAMES)
@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 30000])
def test_the_kernel_and_numpy_draw_the_same_integers(sampler, size):
    native = sampler.draw(size, SeededEntropy(size))
    reference = sampler.draw(size, SeededEntropy(size), native=False)
    assert native.dtype == reference.dtype == np.int64
    assert len(native) == size
    assert np.array_equal(native, reference)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=NAMES)
def test_exact_arithmetic_draws_the_same_integers(sampler):
    key = SeededEntropy(7).take(32)
    words = np.frombuffer(Keystream(key).take(8 * sampler.words * 1500), "<u8").reshape(-1, sampler.words)
    settled = [sampler.settle(candidate, Spent()) for candidate in words.tolist()]
    kept = [value for value in settled if value is not None]
    drawn = sampler.draw(len(kept), SeededEntropy(7))
    assert drawn.tolist() == kept
    assert len(kept) >= 0.95 * len(settled)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=NAMES)
def test_a_word_on_a_threshold_is_settled_by_further_bits(sampler, fill):
    values, firsts, counts = np.unique(sampler.thresholds, return_index=True, return_counts=True)
    # Far out several blocks share 64 bits of their thresholds: those are for the next test.
    alone = firsts[(counts == 1) & (values < 2**64 - 1)].tolist()
    for block in sorted({alone[0], alone[len(alone) // 2], alone[-1]}):
        # Sign and place are zero, so that the third word cannot reject.
        candidate = [int(sampler.thresholds[block])] + [0] * (sampler.words - 1)
        below, above = Bits(0x00), Bits(0xFF)
        assert filled(fill, sampler, [candidate], below) == [block << sampler.low_bits]
        assert filled(fill, sampler, [candidate], above) == [block + 1 << sampler.low_bits]
        assert below.taken == above.taken == 8


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=NAMES)
def test_the_tail_has_no_end(sampler, fill):
    last = [2**64 - 1] + [0] * (sampler.words - 1)

    class Far(Bits):
        def take(self, size_bytes):
            super().take(size_bytes)
            return bytes(size_bytes) if self.taken > 8 else b"\xff" * size_bytes

    (near,) = filled(fill, sampler, [last], Bits(0x00))
    (far,) = filled(fill, sampler, [last], Far(0xFF))
    assert near >= (len(sampler.thresholds) - 1) << sampler.low_bits
    assert far > near


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("sampler", BLOCKED, ids=lambda s: f"{s.family}-{s.low_bits}")
def test_acceptance_is_exact_to_the_last_bit(sampler, fill):
    block, place = 3, (1 << sampler.low_bits) - 1
    first = int(sampler.thresholds[block]) - 1
    second = place << 63 - sampler.low_bits
    threshold = floor_exp_minus(sampler.exponent(block, place), 64)
    value = (block << sampler.low_bits) + place
    assert filled(fill, sampler, [[first, second, threshold - 1]], Spent()) == [value]
    assert filled(fill, sampler, [[first, second, threshold + 1]], Spent()) == []
    assert filled(fill, sampler, [[first, second, threshold]], Bits(0x00)) == [value]
    assert filled(fill, sampler, [[first, second, threshold]], Bits(0xFF)) == []
    negative = second | 1 << 63
    assert filled(fill, sampler, [[first, negative, threshold - 1]], Spent()) == [-value]


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("sampler", BLOCKED, ids=lambda s: f"{s.family}-{s.low_bits}")
def test_far_blocks_and_the_second_zero(sampler, fill):
    # The last word that names a block by itself: gamma may be above one there.
    far = next(word for word in range(2**64 - 1, 0, -1) if word not in set(sampler.thresholds.tolist()))
    place = (1 << sampler.low_bits) - 1
    candidates = [
        [far, place << 63 - sampler.low_bits, 2**62],
        [far, place << 63 - sampler.low_bits, 2**64 - 1],
        [0, 0, 2**64 - 1],
        [0, 1 << 63, 0],
    ]
    expected = [sampler.settle(candidate, Spent()) for candidate in candidates]
    assert expected[2:] == [0, None]
    assert filled(fill, sampler, candidates, Spent()) == [value for value in expected if value is not None]


@pytest.mark.parametrize("fill", FILLS)
def test_a_full_vector_asks_for_nothing_more(fill):
    sampler = Sampler.gaussian(5.0)
    keystream = np.array([[1, 0], [int(sampler.thresholds[2]), 0]], "<u8").tobytes()
    out = np.zeros(1, np.int64)
    assert fill(sampler, keystream, out, Spent()) == 1


@pytest.mark.parametrize("draw", [discrete_gaussian, discrete_laplace])
def test_a_longer_vector_begins_with_the_shorter_one(draw):
    assert np.array_equal(draw(20000, 40.0, SeededEntropy(3))[:5000], draw(5000, 40.0, SeededEntropy(3)))


@pytest.mark.parametrize("draw", [discrete_gaussian, discrete_laplace])
def test_without_the_kernel_the_same_integers_are_drawn(draw, monkeypatch):
    expected = draw(5000, 40.0, SeededEntropy(3))
    monkeypatch.setattr(samplers, "_native", None)
    assert not native_built()
    assert np.array_equal(draw(5000, 40.0, SeededEntropy(3)), expected)


def test_each_vector_has_a_key_of_its_own():
    entropy = SystemEntropy()
    assert not np.array_equal(discrete_gaussian(100, 50.0, entropy), discrete_gaussian(100, 50.0, entropy))


def test_the_whole_vector_costs_one_key():
    class Counting(Bits):
        pass

    counting = Counting(1)
    discrete_gaussian(10000, 3.0, counting)
    assert counting.taken == 32


@pytest.mark.parametrize("draw", [discrete_gaussian, discrete_laplace])
@pytest.mark.parametrize("width", [0.0, 0.24, -1.0, math.nan, math.inf, 2.0**40 * 1.0001])
def test_noise_out_of_range_is_refused(draw, width):
    with pytest.raises(UsageError, match="steps of the lattice"):
        draw(10, width, SystemEntropy())


def test_a_negative_length_is_refused():
    with pytest.raises(UsageError, match="length"):
        discrete_gaussian(-1, 3.0, SystemEntropy())


def test_the_parameter_is_the_float_itself():
    assert Sampler.gaussian(0.3).rate == 1 / (2 * Fraction(0.3) ** 2) != 1 / (2 * Fraction(3, 10) ** 2)


@needs_kernel
def test_the_kernel_refuses_what_is_not_a_table():
    good = Sampler.gaussian(40.0)
    out, keystream = np.zeros(4, np.int64), bytes(96)
    native = samplers._native.fill_discrete
    bad_guide = good.guide.copy()
    bad_guide[-1] = len(good.thresholds)
    for table in ((good.thresholds[:-1], good.guide), (good.thresholds, good.guide[1:]), (good.thresholds, bad_guide)):
        with pytest.raises(ValueError, match="not a"):
            native(2, keystream, 0, out, table, (good.low_bits, float(good.rate)))
    for mode, low_bits in ((7, 2), (2, -1), (2, 64)):
        with pytest.raises(ValueError, match=r"unknown mode|not a"):
            native(mode, keystream, 0, out, (good.thresholds, good.guide), (low_bits, 0.1))
