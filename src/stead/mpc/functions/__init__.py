"""Functions of secret numbers: straight-line code over a protocol's verbs, with stated errors.

``docs/theory/functions-on-shares.md`` has their domains, errors and rounds.
"""

from stead.mpc.functions.activation import erf, gelu, relu, relu_with_derivative, sigmoid, silu, tanh
from stead.mpc.functions.comparison import absolute, clip, equal, indicator, less, less_equal, not_equal, sign
from stead.mpc.functions.division import divide, reciprocal
from stead.mpc.functions.exponential import exp, expm1
from stead.mpc.functions.logarithm import log, log1p
from stead.mpc.functions.maximum import amax, amin, argmax, argmin, maximum, minimum
from stead.mpc.functions.root import rsqrt, sqrt
from stead.mpc.functions.softmax import log_softmax, softmax

__all__ = [
    "absolute",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "clip",
    "divide",
    "equal",
    "erf",
    "exp",
    "expm1",
    "gelu",
    "indicator",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log_softmax",
    "maximum",
    "minimum",
    "not_equal",
    "reciprocal",
    "relu",
    "relu_with_derivative",
    "rsqrt",
    "sigmoid",
    "sign",
    "silu",
    "softmax",
    "sqrt",
    "tanh",
]
