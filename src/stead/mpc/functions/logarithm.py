"""Natural logarithms, right for numbers of every size."""

from __future__ import annotations

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.coefficients import LOGARITHM
from stead.mpc.functions.magnitude import GROUP, SHIFT, magnitude
from stead.mpc.functions.polynomial import combined, powers
from stead.mpc.functions.scale import WORKING, beside, plus, ring, settle, weighted
from stead.mpc.protocol import Protocol

_BITS = 25
"""Of coefficients. |log x| < 32, so that 32 · 2^(30 + 25) = 2^60."""

_LOG_TWO = 24973259072661437
"""round(log(2) · 2^55)."""


def log(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """The natural logarithm for 2^-16 <= x < 2^45; 0 and negative numbers count as 2^-16: -11.09."""
    return log_of(p, settle(p, x), bits=bits)


def log_of(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """As ``log``, of x at its own scale: from one unit of it on."""
    found = magnitude(p, Secret(x.share, FRACTION), signed=False, bits=bits)
    mantissa = combined(p, powers(p, found.centred, len(LOGARITHM) - 1), LOGARITHM, _BITS)
    high = weighted(found.high, ring([GROUP * i * _LOG_TWO for i in range(GROUP)]))
    low = weighted(found.low, ring([j * _LOG_TWO for j in range(GROUP)]))
    whole = plus(p, mantissa + high + low, -(SHIFT + x.scale) * _LOG_TWO)
    return Secret(p.truncate(whole, WORKING + _BITS - FRACTION), FRACTION)


def log1p(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """The natural logarithm of 1 + x; from -1 on downwards -11.09."""
    x = settle(p, x)
    return log(p, Secret(plus(p, x.share, 1 << FRACTION), FRACTION), bits=beside(bits, 1 << FRACTION))
