"""The local arithmetic of masked sharing: what each party computes between two messages, over flat arrays.

Every function is elementwise and knows nothing of channels or keystreams, so each can be replaced by a fused kernel.

Symbols: m = the masked value, known to both online parties; l = this party's part of its mask; u = this party's part of
the result's mask; ``first`` is true at the one party that adds what both know. Packed bits are as in ``mpc.shares``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stead.mpc.kernels.bits import unpack
from stead.mpc.protocol import HEADROOM_BITS
from stead.mpc.shares import WORD, Planes, RingArray

GROUP = 4
"""How many bits the first level of the carry tree takes at once."""

Narrow: TypeAlias = npt.NDArray[Any]
"""Dealt parts of which only the low bits are read: uint16, uint32 or uint64."""

_ALL = np.uint64((1 << WORD) - 1)
_TOP = np.uint64(WORD - 1)
_OFFSET = np.uint64(1 << HEADROOM_BITS)


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


def add_thrice(part: RingArray, product: RingArray) -> None:
    """Add 3 * product, in place."""
    part += product * np.uint64(3)


def quotient_terms(m: RingArray, bits: int) -> tuple[RingArray, RingArray]:
    """A = floor((m + 2^62) / 2^bits) - 2^(62 - bits), and a mask of ones where m + 2^62 < 2^63."""
    raised = m + _OFFSET
    low = (raised >> _TOP) - np.uint64(1)
    raised >>= np.uint64(bits)
    raised -= np.uint64(1 << (HEADROOM_BITS - bits))
    return raised, low


def _wrapped(low: RingArray, dealt: Narrow, bits: int) -> RingArray:
    """B * dealt with B = 2^(64 - bits) where ``low``, else 0."""
    return (dealt.astype(np.uint64) << np.uint64(WORD - bits)) & low


def truncate_part(
    m: RingArray, quotient: RingArray, wrap: Narrow, u: RingArray, bits: int, *, first: bool
) -> RingArray:
    """A - R + B rho + u in parts.

    Args:
        m: masked values.
        quotient: parts of R = floor(l / 2^bits).
        wrap: parts of rho, the top bit of l.
        u: part of the result's mask.
        bits: how far to shift.
        first: whether to add A.
    """
    known, low = quotient_terms(m, bits)
    part = _wrapped(low, wrap, bits)
    part += u
    part -= quotient
    if first:
        part += known
    return part


def select_part(  # noqa: PLR0913 - the operands of one fused pass
    chosen: Planes, m: RingArray, mine: RingArray, bit: RingArray, bit_mask: RingArray, u: RingArray, *, first: bool
) -> RingArray:
    """The parts of b x + u, b = m_b xor l_b.

    Args:
        chosen: m_b, one packed plane.
        m: masked x.
        mine: part of x's mask.
        bit: parts of l_b as 0 or 1 in the ring.
        bit_mask: parts of l_b l_x.
        u: part of the result's mask.
        first: whether to add m_b m_x.
    """
    flip = np.negative(unpack(chosen, m.size))
    part = m * bit
    part -= bit_mask
    _negate(part, flip)
    rest = m - mine if first else np.negative(mine)
    rest &= flip
    part += rest
    part += u
    return part


def select_truncate_part(
    chosen: Planes, m: RingArray, dealt: Sequence[Narrow], u: RingArray, bits: int, *, first: bool
) -> RingArray:
    """The parts of b (A - R + B rho) + u, b = m_b xor l_b.

    Args:
        chosen: m_b, one packed plane.
        m: masked x.
        dealt: parts of R, rho, l_b, l_b R, l_b rho.
        u: part of the result's mask.
        bits: how far to shift.
        first: whether to add m_b A.
    """
    quotient, wrap, bit, bit_quotient, bit_wrap = dealt
    known, low = quotient_terms(m, bits)
    flip = np.negative(unpack(chosen, m.size))
    part = known * bit
    part -= bit_quotient
    part += _wrapped(low, bit_wrap, bits)
    _negate(part, flip)
    rest = _wrapped(low, wrap, bits)
    rest -= quotient
    if first:
        rest += known
    rest &= flip
    part += rest
    part += u
    return part


def inject_part(chosen: Planes, bit: RingArray, u: RingArray, *, first: bool) -> RingArray:
    """The parts of b + u: m_b + (1 - 2 m_b) l_b + u, from parts of l_b as 0 or 1."""
    known = unpack(chosen, bit.size)
    part = bit.copy()
    _negate(part, np.negative(known))
    part += u
    if first:
        part += known
    return part


def _negate(part: RingArray, flip: RingArray) -> None:
    """-part where ``flip`` is all ones, in place."""
    part ^= flip
    part -= flip


def masked_and(x: tuple[Planes, Planes], y: tuple[Planes, Planes], dealt: Planes, *, first: bool) -> Planes:
    """A part of x AND y of masked bits: m_x l_y ^ l_x m_y ^ dealt, and ^ m_x m_y at the first."""
    (mx, lx), (my, ly) = x, y
    part = lx & my
    part ^= dealt
    part ^= mx & (my ^ ly if first else ly)
    return part


def subset_products(bits: Planes) -> Planes:
    """The products of two or more of the bits of each group.

    Args:
        bits: packed, shape (groups, d, words).

    Returns:
        Shape (2^d - 1 - d, groups, words): for every subset of two bits or more in the order of its number.
    """
    groups, size, count = bits.shape
    out = np.empty(((1 << size) - 1 - size, groups, count), dtype=np.uint64)
    of: list[Planes] = [bits[:, 0]] * (1 << size)
    row = 0
    for subset in range(1, 1 << size):
        lowest = subset & -subset
        rest = subset ^ lowest
        if rest == 0:
            of[subset] = bits[:, lowest.bit_length() - 1]
        else:
            of[subset] = np.bitwise_and(of[lowest], of[rest], out=out[row])
            row += 1
    return out


def fold_groups(
    n: Planes, r: Planes, products: Planes, *, first: bool, borrow: bool = True, equal: bool = True
) -> tuple[list[Planes], list[Planes]]:
    """The first level of the tree: borrow and equality of the low 1 .. d bits of each group of d bits.

    With n = NOT m public and r a shared bit, position k generates a borrow of m - r if n_k r_k and passes one on if
    n_k ^ r_k. Both are polynomials in r with public coefficients, so parts of all products of the r of a group suffice.
    For each set S of positions above k, V[S] and Q[S] are parts of r_S times the borrow out of, and the equality of,
    the positions up to k::

        Q'[S] = Q[S + k] ^ n_k Q[S]          V'[S] = V[S + k] ^ n_k (r[S + k] ^ V[S])

    Args:
        n: public, shape (groups, d, words).
        r: parts of the bits, the same shape.
        products: parts of their products, as ``subset_products``.
        first: whether to add what both know.
        borrow: whether the borrows are wanted.
        equal: whether the equalities are wanted.

    Returns:
        For k = 0 .. d - 1 the part of the borrow out of position k, and of "all positions up to k pass"; each of shape
        (groups, words).
    """
    size = n.shape[1]
    singles, rows = iter(r[:, k] for k in range(size)), iter(products)
    none: Any = _ALL if first else np.uint64(0)
    r_of = [none] + [next(singles) if s & (s - 1) == 0 else next(rows) for s in range(1, 1 << size)]
    q_of = list(r_of)
    v_of: list[Planes] = []
    borrows, equals = [], []
    for k in range(size):
        nk = n[:, k]
        if equal:
            q_of = [odd ^ (nk & even) for even, odd in zip(q_of[0::2], q_of[1::2], strict=True)]
            equals.append(q_of[0])
        if borrow:
            v_of = (
                [odd ^ (nk & (one ^ even)) for even, odd, one in zip(v_of[0::2], v_of[1::2], r_of[1::2], strict=True)]
                if v_of
                else [nk & one for one in r_of[1::2]]
            )
            borrows.append(v_of[0])
        r_of = r_of[0::2]
    return borrows, equals
