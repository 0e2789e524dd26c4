"""Local arithmetic that is no fused kernel (``kernels.masked``): products in parts, the width of dealt parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from stead.mpc.shares import RingArray

GROUP = 4
"""How many bits the first level of the carry tree takes at once."""


def narrow(bits: int) -> type[np.unsignedinteger[Any]]:
    """The smallest type that holds ``bits`` bits, 16 at least."""
    return np.uint16 if bits <= 16 else np.uint32 if bits <= 32 else np.uint64


def narrow_words(count: int, bits: int) -> int:
    """How many ring elements hold ``count`` values of that type."""
    return -(-count * np.dtype(narrow(bits)).itemsize // 8)


def product_part(form: RingArray, dealt: RingArray, mask: RingArray) -> RingArray:
    """What a party sends for a product, but for its half of 3 m_x m_y: dealt + mask - form, in place of ``form``."""
    np.subtract(dealt, form, out=form)
    return np.add(form, mask, out=form)


def add_thrice(part: RingArray, at: tuple[slice, ...], product: RingArray) -> None:
    """Add 3 * product where it stands in ``part``, in place."""
    index: Any = (*at, ...)  # a view, also of an array without axes
    part[index] += np.multiply(product, np.uint64(3))
