"""Packing bits: every native variant against Python's own integers, at sizes around every block."""

import random

import numpy as np
import pytest

from stead.mpc.kernels import bits, bits_reference
from stead.mpc.shares import words

SIZES = [0, 1, 2, 63, 64, 65, 511, 512, 513, 2047, 2048, 2049, 4096 + 77]
WIDTHS = [0, 1, 7, 8, 9, 32, 33, 63, 64]
VARIANTS = [None, *bits.variants()]


def native(variant, name, *args, threads=1):
    getattr(bits._native, name)(*args, threads, variant)


def packed(variant, values, width, threads=1):
    if variant is None:
        return bits_reference.to_planes(values, width)
    planes = np.full((width, words(values.shape)), 0xA5, dtype=np.uint64)
    native(variant, "to_planes", values, planes, threads=threads)
    return planes


def unpacked(variant, planes, size, threads=1):
    if variant is None:
        return bits_reference.from_planes(planes, (size,))
    values = np.full(size, 0xA5, dtype=np.uint64)
    native(variant, "from_planes", planes, values, threads=threads)
    return values


def some(size, seed=5):
    return np.random.default_rng(seed).integers(0, 1 << 64, size, dtype=np.uint64)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", SIZES)
def test_bit_j_of_value_64w_plus_t_is_bit_t_of_word_j_w(variant, size):
    values = some(size)
    planes = packed(variant, values, 64)
    whole = [int(value) for value in values]
    for j in (0, 1, 31, 40, 63):
        plane = sum((value >> j & 1) << t for t, value in enumerate(whole))
        assert [int(word) for word in planes[j]] == [plane >> 64 * w & (1 << 64) - 1 for w in range(words((size,)))]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("width", WIDTHS)
def test_values_come_back_without_the_bits_above_the_width(variant, width):
    for size in SIZES:
        values = some(size)
        planes = packed(variant, values, width)
        assert planes.shape == (width, words((size,)))
        np.testing.assert_array_equal(planes, packed(None, values, width))
        kept = [int(value) & ((1 << width) - 1) for value in values]
        assert [int(value) for value in unpacked(variant, planes, size)] == kept


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", SIZES)
def test_one_plane_as_zeros_and_ones(variant, size):
    plane = some(words((size,)), seed=6)
    if variant is None:
        values = bits_reference.unpack(plane, size)
    else:
        values = np.full(size, 0xA5, dtype=np.uint64)
        native(variant, "unpack", plane, values)
    assert values.dtype == np.uint64
    assert [int(value) for value in values] == [int(plane[i // 64]) >> (i % 64) & 1 for i in range(size)]


@pytest.mark.parametrize("variant", bits.variants())
def test_threads_change_nothing(variant):
    values = some((1 << 19) + 77)
    planes = packed(variant, values, 33)
    np.testing.assert_array_equal(packed(variant, values, 33, threads=3), planes)
    back = unpacked(variant, planes, len(values), threads=3)
    np.testing.assert_array_equal(back, values & np.uint64((1 << 33) - 1))


@pytest.mark.parametrize("variant", bits.variants())
def test_planes_that_lie_apart_are_read_and_written_in_place(variant):
    values = some(700)
    wide = np.zeros((128, words((700,)) + 3), dtype=np.uint64)
    target = wide[1::2, 1:-2]
    native(variant, "to_planes", values, target)
    np.testing.assert_array_equal(target, packed(None, values, 64))
    assert not wide[::2].any()
    assert not wide[:, 0].any()
    assert not wide[:, -2:].any()
    np.testing.assert_array_equal(unpacked(variant, target, 700), values)


@pytest.mark.parametrize("compiled", [True, False])
def test_the_kernels_as_protocols_call_them(monkeypatch, compiled):
    if not compiled:
        monkeypatch.setattr(bits, "_native", None)
        assert bits.variants() == ()
        assert not bits.native_built()
    values = some(5 * 7 * 11).reshape(5, 7, 11)[:, ::2]
    planes = bits.to_planes(values, 20, threads=2)
    assert planes.shape == (20, 4)
    np.testing.assert_array_equal(bits.from_planes(planes, values.shape, threads=2), values & np.uint64((1 << 20) - 1))
    np.testing.assert_array_equal(bits.from_planes(planes[::3], values.shape) & np.uint64(1), values & np.uint64(1))
    np.testing.assert_array_equal(bits.pack(values), planes[0])
    more = some(values.size, seed=8).reshape(values.shape)
    np.testing.assert_array_equal(bits.to_planes(values, 33, plus=more), bits_reference.to_planes(values + more, 33))
    turned = bits_reference.to_planes(values, 33) ^ np.uint64((1 << 64) - 1)
    np.testing.assert_array_equal(bits.to_planes(values, 33, invert=True), turned)
    np.testing.assert_array_equal(bits.unpack(planes[3], values.size).reshape(values.shape), values >> np.uint64(3) & 1)


@pytest.mark.skipif(not bits.native_built(), reason="the kernels are not built")
def test_what_does_not_fit_is_refused_before_anything_is_read():
    values, plane = np.zeros(65, np.uint64), np.zeros(1, np.uint64)
    with pytest.raises(ValueError, match="do not fit"):
        bits._native.to_planes(values, np.zeros((64, 1), np.uint64))
    with pytest.raises(ValueError, match="do not fit"):
        bits._native.to_planes(values, np.zeros((65, 2), np.uint64))
    with pytest.raises(ValueError, match="do not fit"):
        bits._native.from_planes(np.zeros((2, 3), np.uint64), values)
    with pytest.raises(ValueError, match="not neighbours"):
        bits._native.from_planes(np.zeros((2, 4), np.uint64)[:, ::2], values)
    with pytest.raises(ValueError, match="too short"):
        bits._native.unpack(plane, values)
    with pytest.raises(ValueError, match="no such variant"):
        bits._native.unpack(np.zeros(2, np.uint64), values, variant="mmx")
    with pytest.raises(TypeError):
        bits._native.unpack(np.zeros(2, np.int64), values)


def test_the_portable_variant_is_always_there():
    if not bits.native_built():
        pytest.skip("the kernels are not built")
    assert bits.variants()[-1] == "portable"
    assert bits._native.variant() == bits.variants()[0]


def test_a_random_matrix_is_transposed_whole():
    drawn = random.Random(9)
    rows = [drawn.getrandbits(64) for _ in range(64)]
    columns = [sum((rows[t] >> j & 1) << t for t in range(64)) for j in range(64)]
    for variant in VARIANTS:
        assert [int(word) for word in packed(variant, np.array(rows, np.uint64), 64)[:, 0]] == columns
