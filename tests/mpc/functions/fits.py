"""Where ``src/stead/mpc/functions/coefficients.py`` comes from: Chebyshev interpolation, printed with 12 decimals.

python tests/mpc/functions/fits.py > src/stead/mpc/functions/coefficients.py
"""

import sys

import numpy as np
from numpy.polynomial import chebyshev
from scipy import special


def fitted(function, degree):
    """Monomial coefficients on [-1, 1]; interpolation at Chebyshev points is near the best there is."""
    return tuple(float(round(c, 12)) for c in chebyshev.cheb2poly(chebyshev.chebinterpolate(function, degree)))


def gelu(x):
    return x * special.ndtr(x)


def silu(x):
    return x * special.expit(x)


def mantissa(function):
    """Of m in [1, 2], by u = 2 m - 3."""
    return lambda u: function((u + 3) / 2)


WHOLE = {
    "RECIPROCAL": ("1 / m", fitted(mantissa(lambda m: 1 / m), 8)),
    "ROOT": ("sqrt(m)", fitted(mantissa(np.sqrt), 7)),
    "INVERSE_ROOT": ("1 / sqrt(m)", fitted(mantissa(lambda m: m**-0.5), 8)),
    "LOGARITHM": ("log(m)", fitted(mantissa(np.log), 8)),
    "POWER_OF_TWO": ("2^((1 + u) / 2)", fitted(lambda u: np.exp2((1 + u) / 2), 5)),
    "QUARTER_SINE": (
        "sin(pi/2 · sqrt(v)) / sqrt(v), v = (1 + u) / 2",
        fitted(lambda u: np.pi / 2 * np.sinc(np.sqrt(np.maximum((1 + u) / 2, 0)) / 2), 4),
    ),
}

BROKEN = {
    "SIGMOID": ("1 / (1 + exp(-x))", special.expit, 10.8, 2, 8),
    "TANH": ("tanh(x)", np.tanh, 5.4, 2, 8),
    "ERF": ("erf(x)", special.erf, 3.2, 2, 7),
    "GELU": ("x · Phi(x)", gelu, 4.6, 2, 8),
    "SILU": ("x / (1 + exp(-x))", silu, 13.0, 3, 8),
}


def pieces(function, bound, count, degree):
    """The slope and the coefficients of each piece, from low to high."""
    slope = round(2**14 * 2 * count / bound)
    half = 2**14 / slope
    fits = [fitted(lambda u, k=k: function(half * (u + 2 * k + 1)), degree) for k in range(-count, count)]
    return slope, tuple(fits)


def parabola():
    """e^(-v/8) on [0, 1] as c0 + c1 v + c2 v^2; c2 has 16 bits, and the others make up for its rounding."""
    free = chebyshev.cheb2poly(chebyshev.chebinterpolate(lambda t: np.exp(-(1 + t) / 16), 2))
    last = round(4 * free[2] * 2**16) / 2**16  # v = (1 + t) / 2
    c0, c1 = chebyshev.chebinterpolate(lambda t: np.exp(-(1 + t) / 16) - last * ((1 + t) / 2) ** 2, 1)
    return float(round(c0 - c1, 12)), float(round(2 * c1, 12)), last


DECAYS = tuple(float(round(np.exp(-(2.0**i)), 12)) for i in range(-3, 4))


def written():
    lines = [
        '"""Coefficients by ``tests/mpc/functions/fits.py``: literals, so that all parties have the same ones."""',
        "",
        "from __future__ import annotations",
        "",
    ]
    for name, (meaning, found) in WHOLE.items():
        lines += [f"{name} = (", *(f"    {c!r}," for c in found), ")", f'"""{meaning}"""', ""]
    for name, meaning, found in (
        ("DECAYS", "e^-b for b = 1/8, 1/4, ... 8", DECAYS),
        ("DECAY_CURVE", "e^(-v/8) for v in [0, 1]", parabola()),
    ):
        lines += [f"{name} = (", *(f"    {c!r}," for c in found), ")", f'"""{meaning}"""', ""]
    for name, (meaning, *how) in BROKEN.items():
        slope, found = pieces(*how)
        lines += [f"{name}_SLOPE = {slope}", f"{name} = ("]
        lines += ["    (\n" + "".join(f"        {c!r},\n" for c in piece) + "    )," for piece in found]
        lines += [")", f'"""{meaning}"""', ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(written())
