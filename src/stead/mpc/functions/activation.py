"""Activations: ``relu`` and its kin by one comparison, smooth ones by pieces."""

from __future__ import annotations

from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions import coefficients
from stead.mpc.functions.polynomial import Pieces, in_pieces
from stead.mpc.functions.scale import settle
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Bits

SIGMOID = Pieces(coefficients.SIGMOID_SLOPE, coefficients.SIGMOID)
TANH = Pieces(coefficients.TANH_SLOPE, coefficients.TANH)
ERF = Pieces(coefficients.ERF_SLOPE, coefficients.ERF)
GELU = Pieces(coefficients.GELU_SLOPE, coefficients.GELU)
SILU = Pieces(coefficients.SILU_SLOPE, coefficients.SILU)


def relu_with_derivative(p: Protocol, x: Secret, *, bits: int = 64) -> tuple[Secret, Bits]:
    """max(x, 0), truncated to ``FRACTION`` bits in the same round; and whether x >= 0."""
    kept = p.invert(p.negative(x.share, bits))
    cut = max(0, x.scale - FRACTION)
    return Secret(p.select(kept, x.share, cut), x.scale - cut), kept


def relu(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """max(x, 0); one comparison and one choice, which truncates."""
    return relu_with_derivative(p, x, bits=bits)[0]


def sigmoid(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """1 / (1 + e^-x) for every x: 0 below -10.8, 1 from 10.8 on."""
    found = in_pieces(p, settle(p, x).share, SIGMOID, bits)
    return Secret(found.value + found.above.scaled(1 << FRACTION), FRACTION)


def tanh(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """The hyperbolic tangent of every x: -1 below -5.4, 1 from 5.4 on."""
    found = in_pieces(p, settle(p, x).share, TANH, bits)
    return Secret(found.value + (found.above - found.below).scaled(1 << FRACTION), FRACTION)


def erf(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """The error function of every x: -1 below -3.2, 1 from 3.2 on."""
    found = in_pieces(p, settle(p, x).share, ERF, bits)
    return Secret(found.value + (found.above - found.below).scaled(1 << FRACTION), FRACTION)


def gelu(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """The Gaussian error linear unit x · Phi(x) for every x: 0 below -4.6, x from 4.6 on."""
    return _linear_above(p, x, GELU, bits)


def silu(p: Protocol, x: Secret, *, bits: int = 64) -> Secret:
    """The sigmoid linear unit x / (1 + e^-x) for every x: 0 below -13, x from 13 on."""
    return _linear_above(p, x, SILU, bits)


def _linear_above(p: Protocol, x: Secret, pieces: Pieces, bits: int) -> Secret:
    x = settle(p, x)
    found = in_pieces(p, x.share, pieces, bits)
    return Secret(found.value + p.select(found.beyond, x.share), FRACTION)
