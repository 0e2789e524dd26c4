"""The kernels of masked sharing: the references against Python's integers, every native variant against them."""

import numpy as np
import pytest

from stead.mpc.kernels import bits, masked, masked_reference
from stead.mpc.shares import words

ALL = (1 << 64) - 1
SIZES = [1, 63, 64, 65, 511, 512, 513, 1000]
COLUMNS = [1, 7, 8, 9, 16, 21]
VARIANTS = bits.variants()
needs_kernels = pytest.mark.skipif(not VARIANTS, reason="the kernels are not built")


def drawn(*shape, seed=1):
    return np.random.default_rng([seed, *shape]).integers(0, 1 << 64, shape, dtype=np.uint64)


def halves(values, seed):
    """Two parts of each value, by addition."""
    part = np.random.default_rng(seed).integers(0, 1 << 64, values.shape, dtype=np.uint64)
    return part, values - part


def split(planes, seed):
    """Two parts by exclusive or."""
    part = np.random.default_rng(seed).integers(0, 1 << 64, planes.shape, dtype=np.uint64)
    return part, planes ^ part


def narrowed(parts, kind):
    return tuple(part.astype(kind) for part in parts)


def chosen_of(size):
    """m_b, l_b and b of some bits."""
    plane, hidden = drawn(words((size,)), seed=7), drawn(size, seed=8) & np.uint64(1)
    return plane, hidden, bits.unpack(plane, size) ^ hidden


def quotients(size, shift):
    """Numbers x in [-2^62, 2^62), its mask, and floor(x / 2^shift) and what may be one more."""
    x = (drawn(size, seed=9).view(np.int64) >> 1).view(np.uint64)
    x[: min(size, 4)] = np.array([0, -1, 2**62 - 1, -(2**62)], dtype=np.int64).view(np.uint64)[: min(size, 4)]
    return x, drawn(size, seed=10), [int(value) >> shift for value in x.view(np.int64)]


def near(values, floors):
    off = {(int(value) - floor) & ALL for value, floor in zip(values, floors, strict=True)}
    assert off <= {0, 1}


@pytest.mark.parametrize("shift", [1, 8, 16, 17, 33, 62])
@pytest.mark.parametrize("first_kind", [np.uint16, np.uint32, np.uint64])
def test_parts_of_a_truncated_value_add_up_to_its_quotient(shift, first_kind):
    if np.dtype(first_kind).itemsize * 8 < shift:
        pytest.skip("too narrow for the shift")
    x, l, floors = quotients(1000, shift)
    u = drawn(2, 1000, seed=11)
    r, rho = halves(l >> np.uint64(shift), 12), narrowed(halves(l >> np.uint64(63), 13), first_kind)
    parts = [masked.truncate_part(x + l, (r[i], rho[i]), u[i], shift, first=i == 0) for i in range(2)]
    near(sum(parts) - u[0] - u[1], floors)


@pytest.mark.parametrize("size", SIZES)
def test_parts_of_a_selected_value_add_up_to_it_or_to_zero(size):
    plane, hidden, bit = chosen_of(size)
    x, l, u = drawn(size, seed=2), drawn(2, size, seed=3), drawn(2, size, seed=4)
    total = l[0] + l[1]
    dealt = list(zip(halves(hidden, 5), halves(hidden * total, 6), strict=True))
    parts = [masked.select_part(plane, (x + total, l[i]), dealt[i], u[i], first=i == 0) for i in range(2)]
    got = parts[0] + parts[1] - u[0] - u[1]
    assert [int(v) for v in got] == [int(b) * int(v) for b, v in zip(bit, x, strict=True)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shift", [1, 16, 30, 62])
def test_parts_of_a_selected_quotient_add_up(size, shift):
    plane, hidden, bit = chosen_of(size)
    x, l, floors = quotients(size, shift)
    u, kind = drawn(2, size, seed=14), np.uint16 if shift <= 16 else np.uint32 if shift <= 32 else np.uint64
    r, rho = l >> np.uint64(shift), l >> np.uint64(63)
    wide = [halves(value, seed) for seed, value in enumerate((r, hidden, hidden * r))]
    thin = [narrowed(halves(value, 20 + seed), kind) for seed, value in enumerate((rho, hidden * rho))]
    parts = []
    for i in range(2):
        dealt = (wide[0][i], thin[0][i], wide[1][i], wide[2][i], thin[1][i])
        parts.append(masked.select_truncate_part(plane, x + l, dealt, u[i], shift, first=i == 0))
    got = parts[0] + parts[1] - u[0] - u[1]
    one = bit == 1
    near(got[one], [floor for floor, taken in zip(floors, one, strict=True) if taken])
    assert not got[~one].any()


@pytest.mark.parametrize("size", SIZES)
def test_parts_of_an_injected_bit_add_up(size):
    plane, hidden, bit = chosen_of(size)
    u, dealt = drawn(2, size, seed=15), halves(hidden, 16)
    parts = [masked.inject_part(plane, dealt[i], u[i], first=i == 0) for i in range(2)]
    np.testing.assert_array_equal(parts[0] + parts[1] - u[0] - u[1], bit)


def test_parts_of_a_conjunction_add_up():
    x, y = drawn(5, 9, seed=17), drawn(5, 9, seed=18)
    lx, ly = drawn(2, 5, 9, seed=19), drawn(2, 5, 9, seed=20)
    mx, my = x ^ lx[0] ^ lx[1], y ^ ly[0] ^ ly[1]
    stream = drawn(5, 9, seed=21)
    dealt = stream, masked.mask_product((lx[0], lx[1]), (ly[0], ly[1]), stream.copy())
    parts = [masked.masked_and((mx, lx[i]), (my, ly[i]), dealt[i], first=i == 0) for i in range(2)]
    np.testing.assert_array_equal(parts[0] ^ parts[1], x & y)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_products_of_every_subset(depth):
    planes = drawn(3 * depth, 5, seed=22)
    out = masked.subset_products(planes, depth).reshape(-1, 3, 5)
    subsets = [s for s in range(1 << depth) if s.bit_count() > 1]
    assert len(out) == len(subsets) == masked_reference.products_of(depth)
    for row, subset in zip(out, subsets, strict=True):
        for group in range(3):
            chosen = [planes[group * depth + k] for k in range(depth) if subset >> k & 1]
            np.testing.assert_array_equal(row[group], np.bitwise_and.reduce(chosen))


def folded(depth, m, r):
    """Borrow of m - r out of, and equality of m and r in, the low 1 .. depth bits, of each group: by subtraction."""
    pairs = []
    for k in range(1, depth + 1):
        low = [(int(a) & (1 << k) - 1, int(b) & (1 << k) - 1) for a, b in zip(m, r, strict=True)]
        pairs.append(([a < b for a, b in low], [a == b for a, b in low]))
    return pairs


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("every", [True, False])
def test_borrow_and_equality_of_groups_are_those_of_subtraction(depth, every):
    groups, size = 3, 300
    m, r = drawn(groups, size, seed=23), drawn(groups, size, seed=24)
    r[:, :40] = m[:, :40]
    n_planes = np.concatenate([bits.to_planes(~row, depth) for row in m])
    r_planes = np.concatenate([bits.to_planes(row, depth) for row in r])
    r_parts, p_parts = split(r_planes, 25), split(masked.subset_products(r_planes, depth), 26)
    rows = groups * (depth if every else 1)
    borrow, equal = (np.zeros((2, rows, words((size,))), np.uint64) for _ in range(2))
    for i in range(2):
        operands = (n_planes, r_parts[i], p_parts[i])
        masked.fold_groups(operands, depth, (borrow[i], equal[i]), first=i == 0, every=every)
    for group in range(groups):
        expected = folded(depth, m[group], r[group])
        for k in range(depth) if every else [depth - 1]:
            row = group * depth + k if every else group
            for parts, wanted in zip((borrow, equal), expected[k], strict=True):
                assert bits.unpack(parts[0, row] ^ parts[1, row], size).astype(bool).tolist() == wanted


@needs_kernels
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_native_parts_of_values_are_those_of_the_reference(variant, first, threads):
    how, native = (threads, variant), masked._native
    for size in [*SIZES, 300_001]:
        plane, m, l, u, bit, rest = drawn(words((size,))), *(drawn(size, seed=s) for s in range(30, 35))
        out = np.empty(size, np.uint64)
        native.select_part(plane, (m, l), (bit, rest), u, out, first, how)
        np.testing.assert_array_equal(out, masked_reference.select_part(plane, (m, l), (bit, rest), u, first=first))
        native.inject_part(plane, bit, u, out, first, how)
        np.testing.assert_array_equal(out, masked_reference.inject_part(plane, bit, u, first=first))
        for kind in (np.uint16, np.uint32, np.uint64):
            wraps = drawn(2, size, seed=35).astype(kind)
            for shift in (1, 16, 62):
                native.truncate_part(m, (rest, wraps[0]), u, out, (shift, first), how)
                expected = masked_reference.truncate_part(m, (rest, wraps[0]), u, shift, first=first)
                np.testing.assert_array_equal(out, expected)
                dealt = (rest, wraps[0], bit, l, wraps[1])
                native.select_truncate_part(plane, m, dealt, (u, out), (shift, first), how)
                expected = masked_reference.select_truncate_part(plane, m, dealt, u, shift, first=first)
                np.testing.assert_array_equal(out, expected)


@needs_kernels
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("first", [True, False])
def test_native_planes_are_those_of_the_reference(variant, first):
    native, how = masked._native, (1, variant)
    for columns in COLUMNS:
        mx, lx, my, ly, dealt = drawn(5, 6, columns, seed=40)
        wide = drawn(12, columns + 2, seed=41)
        apart = wide[::2, 1 : columns + 1]  # rows that lie apart
        out = np.empty((6, columns), np.uint64)
        native.masked_and((mx, apart), (my, ly), dealt, out, first, how)
        expected = masked_reference.masked_and((mx, apart), (my, ly), dealt, first=first)
        np.testing.assert_array_equal(out, expected)
        native.masked_and((mx, lx), (my, ly), dealt, apart, first, how)
        expected = masked_reference.masked_and((mx, lx), (my, ly), dealt, first=first)
        np.testing.assert_array_equal(apart, expected)
        for depth in (1, 2, 3, 4):
            planes, onto = drawn(3 * depth, columns), drawn(3 * masked_reference.products_of(depth), columns)
            for combine in (False, True):
                got = onto.copy()
                native.subset_products(planes, depth, got, combine, how)
                expected = masked_reference.subset_products(planes, depth, onto.copy() if combine else None)
                np.testing.assert_array_equal(got, expected)


@needs_kernels
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_native_groups_are_those_of_the_reference(variant, first, depth):
    for columns in [*COLUMNS, 9001]:
        operands = (drawn(3 * depth, columns, seed=50), drawn(3 * depth, columns, seed=51))
        operands += (drawn(3 * masked_reference.products_of(depth), columns, seed=52),)
        for every in (True, False):
            rows = 3 * (depth if every else 1)
            for wanted in ((True, True), (True, False), (False, True)):
                got, expected = (
                    tuple(np.zeros((rows, columns), np.uint64) if is_wanted else None for is_wanted in wanted)
                    for _ in range(2)
                )
                masked._native.fold_groups(operands, depth, *got, (first, not every), (3, variant))
                masked_reference.fold_groups(operands, depth, expected, first=first, every=every)
                for mine, theirs in zip(got, expected, strict=True):
                    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shift", [0, 1, 16, 33])
def test_what_is_dealt_and_the_keystream_add_up_to_the_secrets(monkeypatch, compiled, size, shift):
    if not compiled:
        monkeypatch.setattr(masked, "_native", None)
    b, l, columns = drawn(2, words((size,)), seed=60), drawn(2, size, seed=61), 5 if shift else 2
    kinds = [np.uint64] * columns
    if 0 < shift <= 32:
        kinds[1] = kinds[4] = np.uint16 if shift <= 16 else np.uint32
    stream = [drawn(size, seed=62 + at).astype(kind) for at, kind in enumerate(kinds)]
    parts = [column.copy() for column in stream]
    masked.deal_select((b[0], b[1]), (l[0], l[1]), parts, shift)
    bit = [int(v) for v in bits.unpack(b[0] ^ b[1], size)]
    mask = [(int(v) + int(w)) & ALL for v, w in zip(*l, strict=True)]
    if shift:
        r, rho = [v >> shift for v in mask], [v >> 63 for v in mask]
        secrets = [
            r,
            rho,
            bit,
            [c * v for c, v in zip(bit, r, strict=True)],
            [c & v for c, v in zip(bit, rho, strict=True)],
        ]
    else:
        secrets = [bit, [c * v for c, v in zip(bit, mask, strict=True)]]
    for secret, part, drawn_part in zip(secrets, parts, stream, strict=True):
        assert part.dtype == drawn_part.dtype
        modulus = 1 << 8 * part.dtype.itemsize
        assert [int(v) for v in part + drawn_part] == [v % modulus for v in secret]
    if shift:
        pair = stream[0].copy(), stream[1].copy()
        masked.deal_truncate((l[0], l[1]), pair, shift)
        np.testing.assert_array_equal(pair[0], parts[0])
        np.testing.assert_array_equal(pair[1], parts[1])


@needs_kernels
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("threads", [1, 3])
def test_native_dealing_is_that_of_the_reference(variant, threads):
    native, how = masked._native, (threads, variant)
    for size in [*SIZES, 300_001]:
        b, l = tuple(drawn(2, words((size,)), seed=70)), tuple(drawn(2, size, seed=71))
        for kind in (np.uint16, np.uint32, np.uint64):
            kinds = (np.uint64, kind, np.uint64, np.uint64, kind)
            stream = [drawn(size, seed=72 + at).astype(each) for at, each in enumerate(kinds)]
            got, expected = (tuple(column.copy() for column in stream) for _ in range(2))
            native.deal_select_truncate(b, l, got, 15, how)
            masked_reference.deal_select(b, l, expected, 15)
            for mine, theirs in zip(got, expected, strict=True):
                np.testing.assert_array_equal(mine, theirs)
            native.deal_truncate(l, got[:2], 15, how)
            masked_reference.deal_truncate(l, expected[:2], 15)
            np.testing.assert_array_equal(got[1], expected[1])
            np.testing.assert_array_equal(got[0], expected[0])
        got, expected = (tuple(column.copy() for column in stream[2:4]) for _ in range(2))
        native.deal_select(b, l, got, how)
        masked_reference.deal_select(b, l, expected, 0)
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])
    for columns in COLUMNS:
        x1, x2, y1, y2, onto = drawn(5, 4, columns, seed=80)
        expected = masked_reference.mask_product((x1, x2), (y1, y2), onto.copy())
        native.mask_product((x1, x2), (y1, y2), onto, how)
        np.testing.assert_array_equal(onto, expected)


@needs_kernels
def test_what_does_not_fit_is_refused():
    native, how = masked._native, (1, "")
    n, plane = np.zeros(65, np.uint64), np.zeros(1, np.uint64)
    with pytest.raises(ValueError, match="plane is too short"):
        native.select_part(plane, (n, n), (n, n), n, n.copy(), True, how)
    with pytest.raises(ValueError, match="sizes differ"):
        native.inject_part(plane, n, n[:64], n.copy(), True, how)
    with pytest.raises(ValueError, match="1 to 62 bits"):
        native.truncate_part(n, (n, n), n, n.copy(), (63, True), how)
    with pytest.raises(ValueError, match="uint16, uint32 or uint64"):
        native.truncate_part(n, (n, n.astype(np.uint8)), n, n.copy(), (8, True), how)
    with pytest.raises(ValueError, match="shapes"):
        native.masked_and((plane[None], plane[None]), (plane[None], n[None]), plane[None], plane[None], True, how)
    with pytest.raises(ValueError, match="1 to 4 bits"):
        native.subset_products(np.zeros((5, 1), np.uint64), 5, np.zeros((26, 1), np.uint64), False, how)
    with pytest.raises(ValueError, match="shapes do not fit"):
        native.fold_groups((plane[None], plane[None], plane[None]), 2, plane[None], None, (True, True), how)
    with pytest.raises(ValueError, match="sizes differ"):
        native.deal_select((n, n), (n, n), (n.copy(), n[:3].copy()), how)
    with pytest.raises(ValueError, match="plane is too short"):
        native.deal_select_truncate((plane, n), (n, n), (n.copy(),) * 5, 8, how)
    with pytest.raises(ValueError, match="differ in width"):
        native.deal_select_truncate(
            (n, n), (n, n), (n.copy(), n.astype(np.uint16), n.copy(), n.copy(), n.copy()), 8, how
        )
    with pytest.raises(ValueError, match="shapes differ"):
        native.mask_product((plane[None], plane[None]), (plane[None], n[None]), plane[None], how)
    with pytest.raises(TypeError):  # a converted copy would be written to, and lost
        native.deal_truncate((n, n), (n.astype(np.uint32), n.copy()), 8, how)
    with pytest.raises(TypeError):
        native.inject_part(np.zeros(2, np.uint64), n, n, np.zeros(65, np.int64), True, how)
    with pytest.raises(TypeError):
        native.select_part(np.zeros(2, np.uint64), (n.astype(np.int32), n), (n, n), n, n.copy(), True, how)


def test_without_a_compiler_numpy_runs(monkeypatch):
    monkeypatch.setattr(masked, "_native", None)
    test_parts_of_a_selected_value_add_up_to_it_or_to_zero(65)
    test_parts_of_a_selected_quotient_add_up(65, 16)
    test_parts_of_an_injected_bit_add_up(65)
    test_parts_of_a_conjunction_add_up()
    test_parts_of_a_truncated_value_add_up_to_its_quotient(16, np.uint16)
    test_products_of_every_subset(4)
    test_borrow_and_equality_of_groups_are_those_of_subtraction(4, every=True)
