"""Square roots and their reciprocals, right for numbers of every size."""

from __future__ import annotations

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.coefficients import INVERSE_ROOT, ROOT
from stead.mpc.functions.magnitude import GROUP, Magnitude, magnitude
from stead.mpc.functions.polynomial import polynomial
from stead.mpc.functions.scale import WORKING, product, ring, settle, weighted
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Share

_MANTISSA = 29

# round(2^(30 + (j - 3) / 2)) and round(2^(30 - (j - 3) / 2)): integers, so that all parties have the same ones.
_ROOT_LOW = [379625062, 536870912, 759250125, 1073741824, 1518500250, 2147483648, 3037000500, 4294967296]
_INVERSE_LOW = [3037000500, 2147483648, 1518500250, 1073741824, 759250125, 536870912, 379625062, 268435456]


def sqrt(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """The square root for 0 < x < 2^45; 0 and negative numbers count as 2^-16, whose root is 2^-8, and give 0."""
    found = magnitude(p, x, signed=False, bits=bits)
    # sqrt(x) in units is sqrt(m) · 2^(8 + e/2), and e/2 = 4 i + (j - 3)/2.
    mantissa = _adjusted(p, found, settle(p, polynomial(p, found.centred, ROOT), _MANTISSA).share, _ROOT_LOW)
    # 0 where there was nothing to take a root of: the exponent's first group then holds that only.
    high = weighted(found.high, ring([1 << 4 * i for i in range(GROUP)])) - found.zero
    return Secret(p.truncate(product(p, mantissa, high), _MANTISSA - 8), FRACTION)


def rsqrt(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """1 / sqrt(x) for 2^-16 <= x < 2^45; 0 and negative numbers give 2^8, the largest there is."""
    return rsqrt_of(p, settle(p, x), FRACTION, bits=bits)


def rsqrt_of(p: Protocol, x: Secret, scale: int, *, bits: int = 64) -> Secret:
    """As ``rsqrt``, of x at its own scale, an even number: from one unit of it on.

    Args:
        p: the protocol.
        x: any shape.
        scale: fraction bits of the result: more where it is multiplied by large numbers. At most 57 - x.scale / 2.
        bits: see ``Protocol.negative``.
    """
    found = magnitude(p, Secret(x.share, FRACTION), signed=False, bits=bits)
    # 1 / sqrt(x) is 2^((scale of x - e) / 2) / sqrt(m): below 2^1.5 · 2^28 · 2^29 < 2^59 before it is truncated.
    mantissa = _adjusted(p, found, settle(p, polynomial(p, found.centred, INVERSE_ROOT), _MANTISSA).share, _INVERSE_LOW)
    high = weighted(found.high, ring([1 << 4 * (7 - i) for i in range(GROUP)]))
    return Secret(p.truncate(product(p, mantissa, high), _MANTISSA + 28 - x.scale // 2 - scale), scale)


def _adjusted(p: Protocol, found: Magnitude, mantissa: Share, low: list[int]) -> Share:
    """The mantissa (below 2^29.5) times the factor of the exponent's lower part (below 2^32): below 2^62."""
    return p.truncate(product(p, mantissa, weighted(found.low, ring(low))), WORKING)
