"""The kernels of masked sharing: what a party computes between two messages, in one pass where they are compiled.

Symbols, formulas and the NumPy functions that run without a compiler are in ``masked_reference``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from stead.mpc.kernels import masked_reference as reference
from stead.mpc.kernels.masked_reference import Narrow, Pair
from stead.mpc.shares import Planes, RingArray

try:
    _native: Any = import_module("stead._bits")
except ImportError:
    _native = None

__all__ = [
    "Narrow",
    "Pair",
    "deal_select",
    "deal_truncate",
    "fold_groups",
    "inject_part",
    "mask_product",
    "masked_and",
    "select_part",
    "select_truncate_part",
    "subset_products",
    "truncate_part",
]

_HOW = (1, "")


def truncate_part(
    m: RingArray, dealt: tuple[RingArray, Narrow], u: RingArray, bits: int, *, first: bool, threads: int = 1
) -> RingArray:
    """See ``masked_reference.truncate_part``."""
    if _native is None:
        return reference.truncate_part(m, dealt, u, bits, first=first)
    out = np.empty(m.size, dtype=np.uint64)
    _native.truncate_part(m, dealt, u, out, (bits, first), (threads, ""))
    return out


def select_part(chosen: Planes, x: Pair, dealt: Pair, u: RingArray, *, first: bool, threads: int = 1) -> RingArray:
    """See ``masked_reference.select_part``."""
    if _native is None:
        return reference.select_part(chosen, x, dealt, u, first=first)
    out = np.empty(u.size, dtype=np.uint64)
    _native.select_part(chosen, x, dealt, u, out, first, (threads, ""))
    return out


def select_truncate_part(
    chosen: Planes, m: RingArray, dealt: Sequence[Narrow], u: RingArray, bits: int, *, first: bool
) -> RingArray:
    """See ``masked_reference.select_truncate_part``."""
    if _native is None:
        return reference.select_truncate_part(chosen, m, dealt, u, bits, first=first)
    out = np.empty(m.size, dtype=np.uint64)
    _native.select_truncate_part(chosen, m, tuple(dealt), (u, out), (bits, first), _HOW)
    return out


def inject_part(chosen: Planes, bit: RingArray, u: RingArray, *, first: bool, threads: int = 1) -> RingArray:
    """See ``masked_reference.inject_part``."""
    if _native is None:
        return reference.inject_part(chosen, bit, u, first=first)
    out = np.empty(bit.size, dtype=np.uint64)
    _native.inject_part(chosen, bit, u, out, first, (threads, ""))
    return out


def masked_and(x: Pair, y: Pair, dealt: Planes, *, first: bool, threads: int = 1) -> Planes:
    """See ``masked_reference.masked_and``."""
    if _native is None:
        return reference.masked_and(x, y, dealt, first=first)
    out = np.empty(dealt.shape, dtype=np.uint64)
    _native.masked_and(x, y, dealt, out, first, (threads, ""))
    return out


def subset_products(bits: Planes, depth: int, onto: Planes | None = None, *, threads: int = 1) -> Planes:
    """See ``masked_reference.subset_products``."""
    if _native is None:
        return reference.subset_products(bits, depth, onto)
    if onto is None:
        rows = len(bits) // depth * reference.products_of(depth)
        out = np.empty((rows, bits.shape[1]), dtype=np.uint64)
    else:
        out = onto
    _native.subset_products(bits, depth, out, onto is not None, (threads, ""))
    return out


def fold_groups(
    operands: tuple[Planes, Planes, Planes],
    depth: int,
    into: tuple[Planes | None, Planes | None],
    *,
    first: bool,
    every: bool,
    threads: int = 1,
) -> None:
    """See ``masked_reference.fold_groups``."""
    if _native is None:
        reference.fold_groups(operands, depth, into, first=first, every=every)
        return
    _native.fold_groups(operands, depth, *into, (first, not every), (threads, ""))


def mask_product(x: Pair, y: Pair, onto: Planes, *, threads: int = 1) -> Planes:
    """See ``masked_reference.mask_product``."""
    if _native is None:
        return reference.mask_product(x, y, onto)
    _native.mask_product(x, y, onto, (threads, ""))
    return onto


def deal_truncate(masks: Pair, parts: tuple[RingArray, Narrow], bits: int, *, threads: int = 1) -> None:
    """See ``masked_reference.deal_truncate``."""
    if _native is None:
        reference.deal_truncate(masks, parts, bits)
        return
    _native.deal_truncate(masks, parts, bits, (threads, ""))


def deal_select(bit: Pair, masks: Pair, parts: Sequence[Narrow], bits: int, *, threads: int = 1) -> None:
    """See ``masked_reference.deal_select``."""
    if _native is None:
        reference.deal_select(bit, masks, parts, bits)
    elif bits:
        _native.deal_select_truncate(bit, masks, tuple(parts), bits, (threads, ""))
    else:
        _native.deal_select(bit, masks, tuple(parts), (threads, ""))
