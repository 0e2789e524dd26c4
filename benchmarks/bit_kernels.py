"""How fast the bit and fixed-point kernels are: one thread, each variant, beside their NumPy references.

Rows carry ``values`` (or ``words`` of a keystream) and ``gigabytes_per_second``: bytes read and written once each. The
baseline of a ratio is the NumPy function that runs without a compiler; of a keystream it is OpenSSL. The rows of masked
sharing are one party's part in a million comparisons and selections.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from report import Row, arguments, compared, emit, progress, timed, timing_row

from stead.mpc.kernels import bits, bits_reference, fixed, keystream, masked, masked_reference
from stead.mpc.shares import words

SHIFT = 16
DEPTH = 4
GROUPS = 16

Work = tuple[str, int, Callable[[], object], Callable[[str], object]]


def drawn(*shape: int) -> Any:
    """Random words."""
    return np.random.default_rng(1).integers(0, 1 << 64, shape, dtype=np.uint64)


def conversions(size: int) -> list[Work]:
    """Bits and numbers: name, bytes, NumPy's way, and the native one by variant."""
    values, planes, out = drawn(size), drawn(64, words((size,))), np.empty(size, dtype=np.uint64)
    reals, native = np.random.default_rng(2).normal(0, 100, size), bits._native  # noqa: SLF001 - asks for a variant
    turned = np.empty_like(planes)
    numbers = np.empty(size)
    return [
        (
            "to planes",
            16 * size,
            lambda: bits_reference.to_planes(values),
            lambda variant: native.to_planes(values, turned, 1, variant),
        ),
        (
            "from planes",
            16 * size,
            lambda: bits_reference.from_planes(planes, (size,)),
            lambda variant: native.from_planes(planes, out, 1, variant),
        ),
        (
            "unpack",
            8 * size,
            lambda: bits_reference.unpack(planes[0], size),
            lambda variant: native.unpack(planes[0], out, 1, variant),
        ),
        (
            "encode float64",
            16 * size,
            lambda: fixed.encode_reference(reals, SHIFT),
            lambda variant: native.encode(reals, SHIFT, out, 1, variant),
        ),
        (
            "decode float64",
            16 * size,
            lambda: fixed.decode_reference(values, SHIFT, np.float64),
            lambda variant: native.decode(values, SHIFT, numbers, 1, variant),
        ),
    ]


def sharing(size: int) -> list[Work]:
    """Masked sharing's passes over values and planes."""
    native, columns = masked._native, words((size,))  # noqa: SLF001 - asks for a variant
    plane, other = drawn(2, columns)
    m, quotient, bit, product, u = drawn(5, size)
    wrap, bit_wrap = drawn(2, size).astype(np.uint16)
    dealt, out = (quotient, wrap, bit, product, bit_wrap), np.empty(size, dtype=np.uint64)
    n, r = drawn(2, GROUPS * DEPTH, columns)
    subsets = masked_reference.products_of(DEPTH) * GROUPS
    products = drawn(subsets, columns)
    tops = tuple(np.empty((GROUPS, columns), dtype=np.uint64) for _ in range(2))
    parts = tuple(array.copy() for array in dealt)
    planes = 8 * columns
    return [
        (
            "select and truncate",
            (6 * 8 + 2 * 2) * size,
            lambda: masked_reference.select_truncate_part(plane, m, dealt, u, SHIFT, first=True),
            lambda variant: native.select_truncate_part(plane, m, dealt, (u, out), (SHIFT, True), (1, variant)),
        ),
        (
            "deal select and truncate",
            (8 * 8 + 4 * 2) * size,
            lambda: masked_reference.deal_select((plane, other), (m, u), parts, SHIFT),
            lambda variant: native.deal_select_truncate((plane, other), (m, u), parts, SHIFT, (1, variant)),
        ),
        (
            "first level of the carry tree",
            (2 * GROUPS * DEPTH + subsets + 2 * GROUPS) * planes,
            lambda: masked_reference.fold_groups((n, r, products), DEPTH, tops, first=True, every=False),
            lambda variant: native.fold_groups((n, r, products), DEPTH, *tops, (True, True), (1, variant)),
        ),
        (
            "products of masks",
            (GROUPS * DEPTH + 2 * subsets) * planes,
            lambda: masked_reference.subset_products(r, DEPTH, products),
            lambda variant: native.subset_products(r, DEPTH, products, combine=True, how=(1, variant)),
        ),
    ]


def rows_of(work: Work, size: int, runs: int) -> list[Row]:
    """NumPy and every variant."""
    name, size_bytes, reference, native = work

    def measured(system: str, variant: str, call: Callable[[], object]) -> Row:
        timing = timed(call, runs=runs)
        rate = size_bytes / timing.median / 1e9
        return timing_row(name, system, variant, timing, values=size, gigabytes_per_second=rate)

    baseline = measured("numpy", "", reference)
    rows = [baseline]
    for variant in bits.variants():
        row = measured("stead", variant, partial(native, variant))
        rows.append(compared(row, baseline))
    return rows


def keystreams(size: int, runs: int) -> list[Row]:
    """OpenSSL's AES-256-CTR, and ours where the processor has VAES."""
    key = bytes(range(32))
    rows: list[Row] = []
    for system in ("openssl", "stead"):
        if system == "stead" and not keystream.native_runs():
            continue
        stream = keystream.Keystream(key, native=system == "stead")
        timing = timed(partial(stream.draw, size), runs=runs)
        rate = 8 * size / timing.median / 1e9
        row = timing_row("keystream", system, "aes-256-ctr", timing, words=size, gigabytes_per_second=rate)
        rows.append(compared(row, rows[0]) if rows else row)
    return rows


def main() -> None:
    """Print all rows."""
    options = arguments("bit and fixed-point kernels beside NumPy")
    size, runs = (100_003, 5) if options.quick else (1_000_003, 15)
    rows: list[Row] = []
    for work in [*conversions(size), *sharing(size)]:
        progress(work[0])
        rows += rows_of(work, size, runs)
    rows += keystreams(size, runs)
    emit("bit_kernels", rows, as_json=options.json)


if __name__ == "__main__":
    main()
