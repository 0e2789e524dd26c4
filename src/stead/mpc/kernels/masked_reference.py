"""NumPy references of the kernels of masked sharing: what runs without a compiler, and the oracle of the native ones.

Symbols: m = a masked value, m = x + l, known to both online parties; l = this party's part of its mask; u = this
party's part of the result's mask; ``first`` is true at the one party that adds what both know. Arrays of values are
flat and contiguous; packed bits are as in ``mpc.shares``, a row for each bit. Nothing that is passed in is changed, but
for ``onto`` and ``into``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stead.mpc.kernels.bits_reference import unpack
from stead.mpc.shares import WORD, Planes, RingArray

Narrow: TypeAlias = npt.NDArray[Any]
"""Dealt parts of which only the low bits are read: uint16, uint32 or uint64."""

Pair: TypeAlias = tuple[RingArray, RingArray]

_HEADROOM_BITS = 62
_ALL = np.uint64((1 << WORD) - 1)
_TOP = np.uint64(WORD - 1)
_OFFSET = np.uint64(1 << _HEADROOM_BITS)


def quotient_terms(m: RingArray, bits: int) -> Pair:
    """What truncation reads of m: A = floor((m + 2^62) / 2^bits) - 2^(62 - bits), and ones where m + 2^62 < 2^63."""
    raised = m + _OFFSET
    low = (raised >> _TOP) - np.uint64(1)
    raised >>= np.uint64(bits)
    raised -= np.uint64(1 << (_HEADROOM_BITS - bits))
    return raised, low


def _wrapped(low: RingArray, dealt: Narrow, bits: int) -> RingArray:
    """B * dealt with B = 2^(64 - bits) where ``low``, else 0."""
    return (dealt.astype(np.uint64) << np.uint64(WORD - bits)) & low


def _negate(part: RingArray, flip: RingArray) -> None:
    """-part where ``flip`` is all ones, in place."""
    part ^= flip
    part -= flip


def truncate_part(m: RingArray, dealt: tuple[RingArray, Narrow], u: RingArray, bits: int, *, first: bool) -> RingArray:
    """A - R + B rho + u in parts.

    Args:
        m: masked values.
        dealt: parts of R = floor(l / 2^bits), and of rho, the top bit of l.
        u: part of the result's mask.
        bits: how far to shift, 1 .. 62.
        first: whether to add A.
    """
    quotient, wrap = dealt
    known, low = quotient_terms(m, bits)
    part = _wrapped(low, wrap, bits)
    part += u
    part -= quotient
    if first:
        part += known
    return part


def select_part(chosen: Planes, x: Pair, dealt: Pair, u: RingArray, *, first: bool) -> RingArray:
    """The bit times the value, b x + u in parts, b = m_b xor l_b.

    Args:
        chosen: m_b, one packed plane.
        x: masked x, and the part of its mask.
        dealt: parts of l_b as 0 or 1 in the ring, and of l_b l_x.
        u: part of the result's mask.
        first: whether to add m_b m_x.
    """
    (m, mask), (bit, bit_mask) = x, dealt
    flip = np.negative(unpack(chosen, m.size))
    part = m * bit
    part -= bit_mask
    _negate(part, flip)
    rest = m - mask if first else np.negative(mask)
    rest &= flip
    part += rest
    part += u
    return part


def select_truncate_part(
    chosen: Planes, m: RingArray, dealt: Sequence[Narrow], u: RingArray, bits: int, *, first: bool
) -> RingArray:
    """The bit times the quotient, b (A - R + B rho) + u in parts, b = m_b xor l_b.

    Args:
        chosen: m_b, one packed plane.
        m: masked x.
        dealt: parts of R, rho, l_b, l_b R, l_b rho.
        u: part of the result's mask.
        bits: how far to shift, 1 .. 62.
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
    """The bit as a number, b + u in parts: m_b + (1 - 2 m_b) l_b + u, from parts of l_b as 0 or 1."""
    known = unpack(chosen, bit.size)
    part = bit.copy()
    _negate(part, np.negative(known))
    part += u
    if first:
        part += known
    return part


def masked_and(x: Pair, y: Pair, dealt: Planes, *, first: bool) -> Planes:
    """Part of x AND y of masked bits by exclusive or: m_x l_y ^ l_x m_y ^ dealt, and ^ m_x m_y at the first."""
    (mx, lx), (my, ly) = x, y
    part: Planes = lx & my
    part ^= dealt
    part ^= mx & (my ^ ly if first else ly)
    return part


def products_of(depth: int) -> int:
    """How many subsets of ``depth`` bits have two or more."""
    return (1 << depth) - 1 - depth


def subset_products(bits: Planes, depth: int, onto: Planes | None = None) -> Planes:
    """The products of two or more of the bits of each group of ``depth`` rows.

    Args:
        bits: packed, shape (groups * depth, words).
        depth: 1 .. 4.
        onto: added to by exclusive or, in place, if given.

    Returns:
        Shape ((2^depth - 1 - depth) * groups, words): row ``subset * groups + group``, for every subset of two bits or
        more in the order of its number.
    """
    groups, count = len(bits) // depth, bits.shape[1]
    by_group = bits.reshape(groups, depth, count)
    out = np.empty((products_of(depth), groups, count), dtype=np.uint64)
    of: list[Planes] = [by_group[:, 0]] * (1 << depth)
    row = 0
    for subset in range(1, 1 << depth):
        lowest = subset & -subset
        rest = subset ^ lowest
        if rest == 0:
            of[subset] = by_group[:, lowest.bit_length() - 1]
        else:
            of[subset] = np.bitwise_and(of[lowest], of[rest], out=out[row])
            row += 1
    flat = out.reshape(products_of(depth) * groups, count)
    return flat if onto is None else np.bitwise_xor(onto, flat, out=onto)


def fold_groups(
    operands: tuple[Planes, Planes, Planes],
    depth: int,
    into: tuple[Planes | None, Planes | None],
    *,
    first: bool,
    every: bool,
) -> None:
    """The first level of the tree: borrow out of, and equality of, the low positions of each group of ``depth``.

    With n = NOT m public and r a shared bit, position k generates a borrow of m - r if n_k r_k and passes one on if
    n_k ^ r_k. Both are polynomials in r with public coefficients, so parts of all products of the r of a group suffice.
    For every set S of positions above k, V[S] and Q[S] are parts of r_S times the borrow out of, and the equality of,
    the positions up to k::

        Q'[S] = Q[S + k] ^ n_k Q[S]          V'[S] = V[S + k] ^ n_k (r[S + k] ^ V[S])

    Args:
        operands: n, public, shape (groups * depth, words); parts of r, the same shape; parts of their products, as
            ``subset_products`` orders them.
        depth: 1 .. 4.
        into: where the borrows and the equalities go, each if it is wanted. Row ``group * depth + k`` is that of the
            positions up to k; or without ``every`` row ``group`` that of the whole group.
        first: whether to add what both know.
        every: see ``into``.
    """
    borrow, equal = into
    groups, count = len(operands[0]) // depth, operands[0].shape[1]
    n, r = (rows.reshape(groups, depth, count) for rows in operands[:2])
    products = operands[2].reshape(products_of(depth), groups, count)
    singles, more = iter(r[:, k] for k in range(depth)), iter(products)
    none: Any = _ALL if first else np.uint64(0)
    r_of = [none] + [next(singles) if s & (s - 1) == 0 else next(more) for s in range(1, 1 << depth)]
    q_of, v_of = list(r_of), list[Any]()
    for k in range(depth):
        nk = n[:, k]
        wanted = every or k == depth - 1
        target = slice(k, None, depth) if every else slice(None)
        if equal is not None:
            q_of = [odd ^ (nk & even) for even, odd in zip(q_of[0::2], q_of[1::2], strict=True)]
            if wanted:
                equal[target] = q_of[0]
        if borrow is not None:
            v_of = (
                [odd ^ (nk & (one ^ even)) for even, odd, one in zip(v_of[0::2], v_of[1::2], r_of[1::2], strict=True)]
                if v_of
                else [nk & one for one in r_of[1::2]]
            )
            if wanted:
                borrow[target] = v_of[0]
        r_of = r_of[0::2]


def mask_product(x: Pair, y: Pair, onto: Planes) -> Planes:
    """The dealer's (x1 ^ x2) (y1 ^ y2), added to ``onto`` by exclusive or, in place."""
    return np.bitwise_xor(onto, (x[0] ^ x[1]) & (y[0] ^ y[1]), out=onto)


def deal_truncate(masks: Pair, parts: tuple[RingArray, Narrow], bits: int) -> None:
    """What the dealer deals for ``truncate_part``, minus the parts that are there, in their place.

    Args:
        masks: both parts of l.
        parts: of R = floor(l / 2^bits), and of rho, the top bit of l.
        bits: how far to shift, 1 .. 62.
    """
    whole = masks[0] + masks[1]
    _deal(whole >> np.uint64(bits), parts[0])
    _deal(whole >> _TOP, parts[1])


def deal_select(bit: Pair, masks: Pair, parts: Sequence[Narrow], bits: int) -> None:
    """What the dealer deals for ``select_truncate_part``, or without bits ``select_part``, as ``deal_truncate`` does.

    Args:
        bit: both parts of l_b, one packed plane each.
        masks: both parts of l.
        parts: of R, rho, l_b, l_b R and l_b rho; without bits of l_b and l_b l.
        bits: how far to shift; 0 .. 62.
    """
    whole = masks[0] + masks[1]
    hidden = unpack(bit[0] ^ bit[1], whole.size)
    secrets: tuple[RingArray, ...] = (hidden, hidden * whole)
    if bits:
        quotient, wrap = whole >> np.uint64(bits), whole >> _TOP
        secrets = (quotient, wrap, hidden, hidden * quotient, hidden * wrap)
    for secret, part in zip(secrets, parts, strict=True):
        _deal(secret, part)


def _deal(secret: RingArray, part: Narrow) -> None:
    np.subtract(secret.astype(part.dtype), part, out=part)
