"""Functions of secret numbers: straight-line code over a protocol's verbs, with stated errors.

``docs/theory/functions-on-shares.md`` has their domains, errors and rounds.
"""

from stead.mpc.functions.activation import erf, gelu, relu, relu_with_derivative, sigmoid, silu, tanh
from stead.mpc.functions.comparison import absolute, clip, equal, indicator, less, less_equal, not_equal, sign
from stead.mpc.functions.division import divide, reciprocal
from stead.mpc.functions.exponential import exp, expm1
from stead.mpc.functions.logarithm import log, log1p
from stead.mpc.functions.lookup import embedding, gather, one_hot
from stead.mpc.functions.maximum import amax, amin, argmax, argmin, maximum, minimum
from stead.mpc.functions.normalise import batch_norm, fold_into, folded, layer_norm, standardised
from stead.mpc.functions.pooling import (
    Pool,
    avg_pool2d,
    max_pool2d,
    max_pool2d_gradient,
    max_pool2d_with_places,
)
from stead.mpc.functions.power import power
from stead.mpc.functions.root import rsqrt, sqrt
from stead.mpc.functions.softmax import log_softmax, softmax
from stead.mpc.functions.sorting import argsort, sort, sort_with_places, top_k
from stead.mpc.functions.statistics import mean, median, quantile, standard_deviation, variance
from stead.mpc.functions.trigonometry import cos, sin

__all__ = [
    "Pool",
    "absolute",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "argsort",
    "avg_pool2d",
    "batch_norm",
    "clip",
    "cos",
    "divide",
    "embedding",
    "equal",
    "erf",
    "exp",
    "expm1",
    "fold_into",
    "folded",
    "gather",
    "gelu",
    "indicator",
    "layer_norm",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log_softmax",
    "max_pool2d",
    "max_pool2d_gradient",
    "max_pool2d_with_places",
    "maximum",
    "mean",
    "median",
    "minimum",
    "not_equal",
    "one_hot",
    "power",
    "quantile",
    "reciprocal",
    "relu",
    "relu_with_derivative",
    "rsqrt",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "softmax",
    "sort",
    "sort_with_places",
    "sqrt",
    "standard_deviation",
    "standardised",
    "tanh",
    "top_k",
    "variance",
]
