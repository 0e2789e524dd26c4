"""Comparison by bits: the carry tree that every party walks, written once for the dealer and the two online parties.

z = m - r with m public to the online parties and r known to the dealer. The borrow into a position is a function of the
bits of m and r below it: position k generates one if NOT m_k AND r_k and passes one on if NOT (m_k XOR r_k). The first
level takes four positions at a time and is local, because the dealer deals the products of the bits of r; the levels
above are masked ANDs, two nodes at a time. A node's "passes" (p) is opened in masked form; its "generates" (g) only
where it is the lower node of a pair, and stays shared where it is the upper one.

``Linear`` bits are an online party's part by exclusive or, never sent as they are; the dealer has no part, and holds
an array of no words in their place, so that the same code runs. ``Pair`` bits are masked: (m, l_i) online, (l_1, l_2)
at the dealer.

References: Harris 2003, "A taxonomy of parallel prefix networks" (Asilomar); the local first level from dealt products
is that of multi-input masked ANDs (Ohata, Nuida 2020, FC; Patra, Schneider, Suresh, Yalame 2021, ABY2.0).
"""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from stead.mpc.protocols.masked.arithmetic import GROUP
from stead.mpc.shares import Bits, Planes, Share, words

Linear: TypeAlias = Planes
Pair: TypeAlias = tuple[Planes, Planes]


@dataclass(frozen=True, repr=False, eq=False)
class Leaves:
    """The bits of x = m - r at one party.

    Attributes:
        shape: of the values.
        n: NOT m, public, shape (bits, words); of no words at the dealer.
        r: the parts of the mask's bits; at the dealer the bits.
    """

    shape: tuple[int, ...]
    n: Planes
    r: Planes


@dataclass(frozen=True)
class Wanted:
    """What a tree reads of its groups.

    Attributes:
        borrow: g.
        equal: p.
        every: up to each position, counted from the start of its group; not only to the last of each group.
    """

    borrow: bool = True
    equal: bool = True
    every: bool = False


class Side(typing.Protocol):
    """What a party does at each step of the tree: deal, or compute and exchange."""

    def leaves(self, x: Share, bits: int) -> Leaves:
        """Parts of the low bits of x's mask. No rounds."""
        ...

    def digits(self, leaves: Leaves, rows: slice) -> Linear:
        """Give m XOR r, x's bits but for the borrow. No rounds."""
        ...

    def groups(self, leaves: Leaves, count: int, wanted: Wanted) -> tuple[Linear, Linear]:
        """Give g and p of the groups of the first ``count`` positions. No rounds."""
        ...

    def both(self, x: Pair, y: Pair) -> Linear:
        """The AND. No rounds."""
        ...

    def open(self, columns: int, *several: Linear) -> list[Pair]:
        """The same bits, ``columns`` words of each, in masked form. One round for all."""
        ...


def _pick(pair: Pair, rows: slice | typing.Any) -> Pair:
    return pair[0][rows], pair[1][rows]


def _joined(pair: Pair, extra: Pair) -> Pair:
    return np.concatenate((pair[0], extra[0])), np.concatenate((pair[1], extra[1]))


def negative(side: Side, x: Share, bits: int) -> Bits:
    """The bit x < 0 of the low ``bits`` of x, in 1 + ceil(log2(ceil((bits - 1) / 4))) rounds."""
    leaves, columns = side.leaves(x, bits), words(x.shape)
    top = side.digits(leaves, slice(bits - 1, bits))
    if bits == 1:
        return Bits(x.shape, 1, side.open(columns, top)[0])
    g, p = side.groups(leaves, bits - 1, Wanted())
    if len(g) == 1:
        return Bits(x.shape, 1, side.open(columns, g ^ top)[0])
    p_open, lows = side.open(columns, p[1:], g[: len(g) - 1 : 2])
    while True:
        pairs, odd = len(g) // 2, len(g) % 2
        above = _pick(p_open, slice(0, 2 * pairs, 2))
        merged = g[1::2] ^ side.both(above, lows)
        if odd:
            merged = np.concatenate((merged, g[-1:]))
        if len(merged) == 1:
            return Bits(x.shape, 1, side.open(columns, merged ^ top)[0])
        passing = side.both(_pick(above, slice(1, None)), _pick(p_open, slice(1, 2 * pairs - 1, 2)))
        left = _pick(p_open, slice(len(p_open[0]) - odd, None))
        p_open, lows = side.open(columns, passing, merged[: len(merged) - 1 : 2])
        p_open, g = _joined(p_open, left), merged


def zero(side: Side, x: Share, bits: int = 64) -> Bits:
    """The bit x == 0, in 1 + log2(16) rounds."""
    leaves, columns = side.leaves(x, bits), words(x.shape)
    _, p = side.groups(leaves, bits, Wanted(borrow=False))
    return conjunction(side, x.shape, side.open(columns, p)[0])


def conjunction(side: Side, shape: tuple[int, ...], bits: Pair) -> Bits:
    """The AND of all rows."""
    columns = words(shape)
    while len(bits[0]) > 1:
        even = len(bits[0]) // 2 * 2
        (merged,) = side.open(columns, side.both(_pick(bits, slice(1, even, 2)), _pick(bits, slice(0, even, 2))))
        bits = _joined(merged, _pick(bits, slice(even, None)))
    return Bits(shape, 1, bits)


@dataclass(frozen=True)
class Level:
    """One level of the prefix tree of ``decompose`` over positions 0 .. count - 1.

    Attributes:
        high: positions that take in the block below them.
        low: for each of them the last position of that block.
        passing: those of ``high`` that a later level reads.
        lows: positions whose g the next level reads as the lower node.
    """

    high: list[int]
    low: list[int]
    passing: list[int]
    lows: list[int]


def prefix_levels(count: int) -> list[Level]:
    """The levels above the groups, as in Sklansky's adder."""
    levels, size = [], GROUP
    while size < count:
        high = [at for at in range(count) if at // size % 2]
        low = [at // size * size - 1 for at in high]
        above = [at for at in range(count) if at // (2 * size) % 2]
        levels.append(
            Level(
                high,
                low,
                [at for at in high if at >= 2 * size],
                sorted({at // (2 * size) * 2 * size - 1 for at in above}),
            )
        )
        size *= 2
    return levels


def decompose(side: Side, x: Share, bits: int) -> Bits:
    """The low bits of x, in 1 + ceil(log2(bits - 1)) - 1 rounds above four bits.

    References: Sklansky 1960, "Conditional-sum addition logic" (IRE Trans. EC-9).
    """
    leaves, columns = side.leaves(x, bits), words(x.shape)
    if bits == 1:
        return Bits(x.shape, 1, side.open(columns, side.digits(leaves, slice(0, 1)))[0])
    count = bits - 1
    g, p = side.groups(leaves, count, Wanted(every=True))
    levels = prefix_levels(count)
    p_at = {at: row for row, at in enumerate(range(GROUP, count))}
    if levels:
        first = sorted(set(levels[0].low))
        g_at = {at: row for row, at in enumerate(first)}
        p_open, lows = side.open(columns, p[GROUP:], g[first])
    for level in levels:
        upper = _pick(p_open, [p_at[at] for at in level.high])
        g[level.high] ^= side.both(upper, _pick(lows, [g_at[at] for at in level.low]))
        if not level.lows:
            break
        below = dict(zip(level.high, level.low, strict=True))
        passing = side.both(
            _pick(p_open, [p_at[at] for at in level.passing]), _pick(p_open, [p_at[below[at]] for at in level.passing])
        )
        fresh, lows = side.open(columns, passing, g[level.lows])
        g_at = {at: row for row, at in enumerate(level.lows)}
        rows = [p_at[at] for at in level.passing]
        p_open[0][rows], p_open[1][rows] = fresh
    digits = side.digits(leaves, slice(0, bits))
    digits[1:] ^= g
    return Bits(x.shape, bits, side.open(columns, digits)[0])
