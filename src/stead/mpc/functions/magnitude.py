"""``Magnitude``: a secret number as sign · 2^exponent · mantissa, found once from its bits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from stead.mpc.fixed import Secret
from stead.mpc.functions.scale import WORKING, plus, product, ring, settle, weighted
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Bits, Share, concatenate, join_bits

TOP = 60
"""The mantissa is computed as |x| · 2^(TOP - exponent), in [2^60, 2^61]."""

GROUP = 8
SHIFT = 3
"""The exponent + 3 is split as 8 i + j, so that 2^(60 - exponent) = 2^(8 (7 - i)) · 2^(7 - j)."""


@dataclass(frozen=True, repr=False, eq=False)
class Magnitude:
    """|x| = mantissa · 2^exponent units (of 2^-FRACTION), the mantissa in [1, 2].

    The exponent is ``8 i + j - 3``: entry i of ``high`` and entry j of ``low`` are 1, the others 0, at scale 0.

    Attributes:
        centred: 2 · mantissa - 3, in [-1, 1], with ``WORKING`` bits.
        high: shape (8, *shape).
        low: shape (8, *shape).
        negative: one bit, x < 0.
        zero: 1 where x was not what a magnitude can be taken of, and one unit was taken in its place.
    """

    centred: Share
    high: Share
    low: Share
    negative: Bits
    zero: Share

    def factor(self, p: Protocol, high: list[int], low: list[int]) -> Share:
        """high[i] · low[j]: a public function of the exponent that is such a product. One round."""
        return product(p, weighted(self.high, ring(high)), weighted(self.low, ring(low)))

    def __repr__(self) -> str:
        return "Magnitude(<redacted>)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a share cannot be pickled")


def magnitude(p: Protocol, x: Secret, *, signed: bool, bits: int = 64) -> Magnitude:
    """Sign, exponent and mantissa of x with ``FRACTION`` bits, |x| < 2^45.

    Args:
        p: the protocol.
        x: any shape.
        signed: of |x|, for x other than 0; else of x where x > 0. Where x is 0 (or negative, if not signed) one unit,
            2^-16, is taken in its place.
        bits: x lies in [-2^(bits-1), 2^(bits-1)) in units.

    Cost:
        The bits of one number, 6 rounds for the highest (7 if not signed), then 4 rounds and a truncation.
    """
    share = settle(p, x).share
    width = min(bits, TOP + 2)
    planes = p.decompose(share, width)
    sign, unit, rest = planes.plane(width - 1), planes.plane(0), planes.slice(1, width - 1)
    if signed:
        # Of a negative x the bits of -x - 1: the highest is that of |x|, or the one below where |x| is a power of two
        # (the mantissa is then 2, not 1). The lowest bit of the chain but one tells 1 from 0, the lowest 0 from -1, -2.
        chain = join_bits([sign, unit, rest ^ sign])
    else:
        chain = p.conjunction(planes.slice(0, width - 1), join_bits([p.invert(sign)] * (width - 1)))
    none_above = prefix(p, p.invert(chain))
    highest = _highest(p, none_above.slice(1, width) if signed else none_above)
    groups = -(-(width - 1 + SHIFT) // GROUP)
    wanted = [*_folded(highest, groups, by_group=True), *_folded(highest, groups, by_group=False), none_above.plane(0)]
    numbers = p.arithmetic(join_bits(wanted))
    below, zero = p.select(sign, share), numbers[groups + GROUP]
    absolute = share - below.scaled(2 if signed else 1) + zero
    nothing = p.public(np.zeros((GROUP - groups, *share.shape), dtype=np.uint64))
    found = Magnitude(absolute, concatenate([numbers[:groups], nothing]), numbers[groups : groups + GROUP], sign, zero)
    raised = found.factor(p, [1 << 8 * (7 - i) for i in range(GROUP)], [1 << (7 - j) for j in range(GROUP)])
    mantissa = p.truncate(product(p, absolute, raised), TOP - 1 - WORKING)
    return replace(found, centred=plus(p, mantissa, -3 << WORKING))


def prefix(p: Protocol, bits: Bits) -> Bits:
    """AND of each bit and all higher ones. ceil(log2(width)) rounds of at most half of the bits each."""
    width, block = bits.width, 1
    while block < width:
        lower = [j for j in range(width) if not j & block and (j | (block - 1)) + 1 < width]
        upper = [(j | (block - 1)) + 1 for j in lower]
        # ``j | (block-1)`` is the top of j's block; the next block's lowest bit already holds that whole block.
        both = p.conjunction(bits.plane(*lower), bits.plane(*upper))
        where = {j: at for at, j in enumerate(lower)}
        source = join_bits([bits, both])
        bits = source.plane(*(width + where[j] if j in where else j for j in range(width)))
        block *= 2
    return bits


def _highest(p: Protocol, none_above: Bits) -> Bits:
    """Which bit is the highest: none above it, but itself. It is bit 0 where none is set from bit 1 on."""
    width = none_above.width
    changed = none_above.slice(2, width) ^ none_above.slice(1, width - 1)
    return join_bits([none_above.plane(1), changed, p.invert(none_above.plane(width - 1))])


def _folded(highest: Bits, groups: int, *, by_group: bool) -> list[Bits]:
    """Where the highest bit is, as its i or its j, one bit for each. One is set, so exclusive or is or: no rounds."""
    found = []
    for k in range(groups if by_group else GROUP):
        planes = [e for e in range(highest.width) if divmod(e + SHIFT, GROUP)[not by_group] == k]
        parts = tuple(np.bitwise_xor.reduce(part[planes], axis=0, keepdims=True) for part in highest.parts)
        found.append(Bits(highest.shape, 1, parts))
    return found
