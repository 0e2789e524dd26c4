"""From a sum to its bits: signs, equality with zero, all bits, by bit-sliced parallel-prefix circuits.

Symbols: x = a + xi mod 2^64 with a = x_2 known to both openers and xi = x_0 + x_1 known to the dealer. Bit j propagates
p_j = a_j xor xi_j and generates g_j = a_j xi_j. A node over positions lo and hi has P = P_hi P_lo and
G = G_hi xor P_hi G_lo. On the first level both are linear in xi_hi, xi_lo and xi_hi xi_lo with coefficients that the
openers know: the dealer deals those bits, and the openers open the nodes, masked. Later levels are conjunctions.
Planes are arrays (rows, words): a level is a few operations on whole arrays, whatever the number of values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stead.mpc.kernels import bits as kernels
from stead.mpc.kernels import masked
from stead.mpc.protocols.replicated.seat import DEALER, FIRST, Seat
from stead.mpc.shares import Bits, Planes, Share, words

Pair = tuple[Planes, Planes]


def conjunction(seat: Seat, *operands: tuple[Pair, Pair, Pair | None]) -> list[Pair]:
    """For each (x, y, add) the bits x AND y, xor ``add`` if there is any; replicated.

    Cost:
        One round; one bit from each party for each bit.
    """
    parts = []
    for x, y, add in operands:
        mask = seat.zero(x[0].shape, xor=True)
        if add is not None:
            mask ^= add[0]
        # x_i (y_i + y_{i+1}) + x_{i+1} y_i + mask: what the first online party of masked sharing computes, too
        parts.append(masked.masked_and(x, y, mask, first=True))
    return seat.reshare(*parts)


@dataclass(frozen=True)
class Level:
    """The first level, as the openers compute it: which positions are joined and what is opened.

    Attributes:
        pairs: positions 2i and 2i + 1 are joined for i < pairs.
        leaves: the g of this many positions are opened as well: 0, 2, 4, ... or, with ``last``, the last one only.
        last: see ``leaves``.
    """

    pairs: int
    leaves: int = 0
    last: bool = False

    @property
    def rows(self) -> int:
        """How many planes are opened: G of each pair, P of each but the lowest, and g of leaves."""
        return self.pairs + max(self.pairs - 1, 0) + self.leaves


def carry_level(positions: int) -> Level:
    """For the carry out of this many positions only: an odd one out passes on."""
    return Level(positions // 2, positions % 2, last=True)


def prefix_level(positions: int) -> Level:
    """For the carries out of every position (Sklansky)."""
    return Level(positions // 2, (positions + 1) // 2)


def prefix_levels(positions: int) -> list[tuple[list[int], list[int], int]]:
    """Levels 2, 3, ... of Sklansky's network: positions that join, with which, and how many of them need no P."""
    levels, step = [], 1
    while 1 << step < positions:
        high = [at for at in range(positions) if at >> step & 1]
        low = [(at >> step << step) - 1 for at in high]
        levels.append((high, low, sum(at >> step == 1 for at in high)))
        step += 1
    return levels


def negative(seat: Seat, x: Share, width: int) -> Bits:
    """The bit of weight 2^(width-1).

    Cost:
        From the dealer 1.5 width bits, from the openers about width each, then width bits from each party for each
        value; 2 + ceil(log2((width - 1) / 2)) rounds.
    """
    positions = width - 1
    level = carry_level(positions)
    propagate, opened = _first(seat, x, width, level, invert=False)
    top = _rows(propagate, slice(positions, width))
    if not positions:
        return Bits(x.shape, 1, top)
    pairs = level.pairs
    generate, passing = _rows(opened, slice(0, pairs)), _rows(opened, slice(pairs, level.rows - level.leaves))
    if level.leaves:
        generate = _join(generate, _rows(opened, slice(level.rows - 1, level.rows)))
        if pairs:
            passing = _join(passing, _rows(propagate, slice(positions - 1, positions)))
    carry = _carry(seat, generate, passing)
    return Bits(x.shape, 1, (top[0] ^ carry[0], top[1] ^ carry[1]))


def _carry(seat: Seat, generate: Pair, passing: Pair) -> Pair:
    """G of all nodes together; ``passing`` holds P of nodes 1, 2, ..."""
    while (count := len(generate[0])) > 1:
        half, odd = count // 2, count % 2
        low_g, high_g = (_rows(generate, slice(at, 2 * half, 2)) for at in (0, 1))
        high_p, low_p = _rows(passing, slice(0, 2 * half, 2)), _rows(passing, slice(1, 2 * half - 1, 2))
        above = (_rows(high_p, slice(1, None)), low_p, None)
        joined = conjunction(seat, (high_p, low_g, high_g), above)
        rest_g, rest_p = _rows(generate, slice(count - odd, None)), _rows(passing, slice(count - 1 - odd, None))
        generate, passing = joined
        if odd:
            generate, passing = _join(generate, rest_g), _join(passing, rest_p)
    return generate


def decompose(seat: Seat, x: Share, width: int) -> Bits:
    """The low ``width`` bits. Cost: as ``negative``, with about three times as many conjunctions."""
    positions = width - 1
    level = prefix_level(positions)
    propagate, opened = _first(seat, x, width, level, invert=False)
    if not positions:
        return Bits(x.shape, 1, propagate)
    pairs, found = level.pairs, []
    for own, p in zip(opened, propagate, strict=True):
        g, joined = np.empty((positions, p.shape[1]), dtype=np.uint64), p[:positions].copy()
        g[1::2], g[0::2] = own[:pairs], own[level.rows - level.leaves :]
        joined[3::2] = own[pairs : level.rows - level.leaves]
        found.append((g, joined))
    for high, low, final in prefix_levels(positions):
        (g_0, p_0), (g_1, p_1) = found
        upper, lower = high[final:], low[final:]
        carries, passes = conjunction(
            seat,
            ((p_0[high], p_1[high]), (g_0[low], g_1[low]), None),
            ((p_0[upper], p_1[upper]), (p_0[lower], p_1[lower]), None),
        )
        for (g, p), new_g, new_p in zip(found, carries, passes, strict=True):
            g[high] ^= new_g
            p[upper] = new_p
    sums = (np.concatenate([p[:1], p[1:] ^ g]) for (g, _), p in zip(found, propagate, strict=True))
    return Bits(x.shape, width, tuple(sums))


def zero(seat: Seat, x: Share, width: int = 64) -> Bits:
    """Whether x == 0 mod 2^width: a and -xi agree in every bit.

    Cost:
        12 bytes from the dealer and 4 from each opener, then 31 bits from each party for each value; 7 rounds.
    """
    level = Level(width // 2)
    _, opened = _first(seat, x, width, level, invert=True)
    # All pairs count, the lowest too, whose P stands where G of the lowest would.
    while (count := len(opened[0])) > 1:
        lower, upper = _rows(opened, slice(0, count // 2)), _rows(opened, slice(count // 2, None))
        opened = conjunction(seat, (lower, upper, None))[0]
    return Bits(x.shape, 1, opened)


def _first(seat: Seat, x: Share, width: int, level: Level, *, invert: bool) -> tuple[Pair, Pair]:
    """The sharing of p (``width`` planes) and, after the openers' round, the nodes of the first level.

    With ``invert`` the nodes are conjunctions of not (a xor (-xi)) over pairs instead: one plane for each pair.
    """
    shape, pairs = x.shape, level.pairs
    rows = pairs if invert else level.rows
    span = words(shape)
    if seat.place == DEALER:
        total = (x.parts[0] + x.parts[1]).reshape(-1)
        xi = kernels.to_planes(np.negative(total) if invert else total, width)
        products = xi[1 : 2 * pairs : 2] & xi[0 : 2 * pairs : 2]
        own = seat.planes(1, width, shape)
        sent = xi ^ own, products ^ seat.planes(1, pairs, shape)
        seat.deal(*sent)
        opened = (seat.planes(0, rows, shape), seat.planes(1, rows, shape))
        return (sent[0], own), opened
    first = seat.place == FIRST
    a = kernels.to_planes(np.ascontiguousarray(x.parts[1 if first else 0]).reshape(-1), width)
    if first:
        xi, products = seat.planes(1, width, shape), seat.planes(1, pairs, shape)
    else:
        xi, products = seat.dealt((width, span), (pairs, span))
    propagate = (xi, a) if first else (a, xi)
    kept = seat.planes(1 if first else 0, rows, shape)
    if not rows:
        return propagate, (kept, kept)
    half = kept.copy()
    _add_nodes(half, (~a if invert else a), xi, products, _Part(level, first=first, agree=invert))
    third = half ^ seat.swap(half)
    return propagate, ((kept, third) if first else (third, kept))


@dataclass(frozen=True)
class _Part:
    """Whose part of which nodes: ``first`` adds what both openers know; ``agree``: P of every pair and nothing else."""

    level: Level
    first: bool
    agree: bool


def _add_nodes(out: Planes, a: Planes, xi: Planes, products: Planes, part: _Part) -> None:
    """Xor this opener's part of the first level's nodes into ``out``."""
    pairs = part.level.pairs
    high_a, low_a = a[1 : 2 * pairs : 2], a[0 : 2 * pairs : 2]
    high_xi, low_xi = xi[1 : 2 * pairs : 2], xi[0 : 2 * pairs : 2]
    if part.agree:
        _add_p(out, (high_a, low_a), (high_xi, low_xi), products, first=part.first)
        return
    # G = a_hi (xi_hi xor a_lo xi_lo) xor a_lo (xi_hi xi_lo)
    node = low_a & low_xi
    node ^= high_xi
    node &= high_a
    node ^= low_a & products
    out[:pairs] ^= node
    if pairs > 1:
        nodes = out[pairs : 2 * pairs - 1]
        _add_p(nodes, (high_a[1:], low_a[1:]), (high_xi[1:], low_xi[1:]), products[1:], first=part.first)
    if part.level.leaves:
        positions = 2 * pairs + (1 if part.level.last else part.level.leaves - pairs)
        leaves = slice(positions - 1, positions) if part.level.last else slice(0, positions, 2)
        out[part.level.rows - part.level.leaves :] ^= a[leaves] & xi[leaves]


def _add_p(out: Planes, a: Pair, xi: Pair, products: Planes, *, first: bool) -> None:
    """P = a_hi a_lo xor a_hi xi_lo xor a_lo xi_hi xor xi_hi xi_lo; what both openers know is added by the first."""
    out ^= a[0] & (xi[1] ^ a[1]) if first else a[0] & xi[1]
    out ^= a[1] & xi[0]
    out ^= products


def _rows(pair: Pair, at: slice) -> Pair:
    return pair[0][at], pair[1][at]


def _join(above: Pair, below: Pair) -> Pair:
    return np.concatenate([above[0], below[0]]), np.concatenate([above[1], below[1]])
