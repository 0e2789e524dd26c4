"""Polynomials with public coefficients of secret numbers in [-1, 1], and such polynomials in pieces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.scale import WORKING, beside, moved_bits, plus, product, ring, weighted
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Bits, Share, concatenate, stack
from stead.mpc.values import flipped

Coefficients = tuple[float, ...]
"""Of 1, u, u^2, ...; literals, so that every party rounds the same numbers."""

_LARGEST = 61


def powers(p: Protocol, u: Share, degree: int) -> Share:
    """u, u^2, ... u^degree along a new first axis; u has ``WORKING`` bits and lies in [-1, 1] but for some units.

    Every factor is at most 1 + degree · 2^-30 in magnitude, so that products stay below 2^61.

    Cost:
        2 ceil(log2(degree)) rounds; degree - 1 products and truncations.
    """
    have = u.reshape((1, *u.shape))
    while have.shape[0] < degree:
        top = have.shape[0]
        more = product(p, have[: min(top, degree - top)], have[top - 1 :])
        have = concatenate([have, p.truncate(more, WORKING)])
    return have


def room(coefficients: Coefficients) -> int:
    """Fraction bits that the coefficients can have so that the polynomial on [-1, 1] stays below 2^61 at its scale."""
    total = sum(abs(c) for c in coefficients)
    return min(WORKING, _LARGEST - WORKING - math.ceil(math.log2(total * 1.001)))


def combined(p: Protocol, of: Share, coefficients: Coefficients, bits: int) -> Share:
    """The polynomial from its powers, with ``WORKING + bits`` fraction bits. No rounds."""
    integers = [round(c * (1 << bits)) for c in coefficients]
    return plus(p, weighted(of[: len(integers) - 1], ring(integers[1:])), integers[0] << WORKING)


def polynomial(p: Protocol, u: Share, coefficients: Coefficients) -> Secret:
    """A polynomial of u (see ``powers``); its scale is what fits."""
    bits = room(coefficients)
    return Secret(combined(p, powers(p, u, len(coefficients) - 1), coefficients, bits), WORKING + bits)


@dataclass(frozen=True)
class Pieces:
    """A function in pieces of one width around 0.

    Attributes:
        slope: 2^14 / half the width of a piece, so that u = x · slope / 2^14 - centre runs through [-1, 1] in each.
        coefficients: of u in each piece, from low to high.
    """

    slope: int
    coefficients: tuple[Coefficients, ...]

    @property
    def edges(self) -> tuple[int, ...]:
        """Where pieces begin, and where the last one ends, in units: less than one unit late, 2^-30 · slope in u."""
        half = len(self.coefficients) // 2
        return tuple(-((-2 * k << WORKING) // self.slope) for k in range(-half, half + 1))


@dataclass(frozen=True, repr=False)
class Pieced:
    """What ``in_pieces`` finds.

    Attributes:
        value: the function in its pieces, 0 outside; ``FRACTION`` bits.
        below: 1 where x lies below all pieces, at scale 0.
        above: 1 where x lies above all pieces, at scale 0.
        beyond: one bit, x lies above all pieces.
    """

    value: Share
    below: Share
    above: Share
    beyond: Bits

    def __repr__(self) -> str:
        return "Pieced(<redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a share cannot be pickled")


def in_pieces(p: Protocol, x: Share, pieces: Pieces, bits: int) -> Pieced:
    """A function of x with ``FRACTION`` bits.

    u is meant in x's piece only. Outside of all pieces it may be any ring element, and so may its powers and what the
    polynomials give; there every choosing bit is 0, and a choice by 0 is 0.

    Cost:
        A comparison, 1 round, ``powers``, 1 round; a comparison for each edge and a choice for each piece.
    """
    edges, count, rank = pieces.edges, len(pieces.coefficients), len(x.shape)
    lowered = p.add_public(stack([x] * len(edges)), ring([-e for e in edges]).reshape(-1, *(1,) * rank))
    under = p.negative(lowered, beside(bits, edges[-1]))
    ends = [(0, 0)] * rank
    regions = moved_bits(under, lambda a: np.pad(a, [(0, 1), *ends])) ^ moved_bits(
        under, lambda a: np.pad(a, [(1, 0), *ends])
    )
    regions = flipped(p, regions, (np.arange(count + 2) == count + 1).reshape(-1, *(1,) * rank))
    numbers = p.arithmetic(regions)[0]
    centres = ring([(2 * k + 1) << WORKING for k in range(-(count // 2), count // 2)])
    u = x.scaled(pieces.slope) - weighted(numbers[1:-1], centres)
    of = powers(p, u, max(len(c) for c in pieces.coefficients) - 1)
    fraction = min(room(c) for c in pieces.coefficients)
    values = stack([combined(p, of, c, fraction) for c in pieces.coefficients])
    chosen = p.select(moved_bits(regions, lambda a: a[1:-1]), values, WORKING + fraction - FRACTION)
    value = chosen.map(lambda part: part.sum(axis=0, dtype=np.uint64))
    return Pieced(value, numbers[0], numbers[-1], moved_bits(regions, lambda a: a[-1]))
