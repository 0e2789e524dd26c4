"""What users hand to secret arrays, checked where they hand it over: before any party has begun, so nothing is lost.

A wrong operand ends in a ``UsageError`` that says what came, what can be, and what to write instead.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from stead.errors import UnsupportedOperation, UsageError
from stead.mpc.values import Array

LARGEST_WHOLE: Final = 1 << 63
"""A whole number lies below this in magnitude."""

_INSTEAD: Final[Mapping[str, str]] = {
    "allclose": "numpy.all(abs(a - b) < 0.001)",
    "argwhere": "how many there are would show: numpy.where(mask, a, 0) keeps the shape",
    "array_equal": "numpy.all(a == b)",
    "atleast_1d": "a.reshape(-1)",
    "bincount": "numpy.sum(a[:, None] == numpy.arange(n), axis=0)",
    "bitwise_and": "& joins truths: (a > 0) & (b > 0)",
    "bitwise_or": "| joins truths: (a > 0) | (b > 0)",
    "bitwise_xor": "^ joins truths: (a > 0) ^ (b > 0)",
    "cbrt": "a ** (1 / 3), for numbers above 0",
    "ceil": "open the result and round that",
    "corrcoef": "numpy.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std())",
    "cov": "numpy.mean((a - a.mean()) * (b - b.mean()))",
    "divmod": "(a / b).astype(int) is the whole quotient, toward zero",
    "einsum": "numpy.matmul, or a product with new axes and numpy.sum",
    "exp2": "numpy.exp(a * numpy.log(2))",
    "flatnonzero": "how many there are would show: numpy.where(mask, a, 0) keeps the shape",
    "fliplr": "a[:, ::-1]",
    "flipud": "a[::-1]",
    "floor": "a.astype(int) drops the fraction, toward zero; or open the result and round that",
    "floor_divide": "(a / b).astype(int) is the whole quotient, toward zero",
    "histogram": "numpy.sum((a >= low) & (a < high)) for each bin",
    "invert": "~ inverts truths: ~(a > 0); -a is the negative",
    "isclose": "abs(a - b) < 0.001",
    "isfinite": "a secret number is always finite",
    "isnan": "a secret number is never NaN: mark what is missing in an array of its own",
    "log10": "numpy.log(a) / numpy.log(10)",
    "log2": "numpy.log(a) / numpy.log(2)",
    "nan_to_num": "a secret number is always finite",
    "nanmean": "mark what is missing in an array of its own: numpy.sum(a * there) / numpy.sum(there)",
    "nansum": "mark what is missing in an array of its own: numpy.sum(a * there)",
    "nonzero": "how many there are would show: numpy.where(mask, a, 0) keeps the shape",
    "norm": "numpy.sqrt(numpy.sum(a * a))",
    "remainder": "a - b * (a / b).astype(int), toward zero",
    "rint": "open the result and round that",
    "round": "open the result and round that",
    "tan": "numpy.sin(a) / numpy.cos(a)",
    "trunc": "a.astype(int)",
    "unique": "how many there are would show: numpy.sort(a) keeps the shape",
}
"""For what there is no counterpart of: what does the work."""


def refused(name: str, there: Sequence[str]) -> UnsupportedOperation:
    """The error for a NumPy function without a counterpart; ``there`` are those that have one."""
    instead = _INSTEAD.get(name)
    hint = f"instead: {instead}" if instead else f"there are: {', '.join(sorted(set(there)))}"
    return UnsupportedOperation(f"numpy.{name} has no counterpart on secret arrays.", hint=hint)


def public(value: npt.ArrayLike) -> Array:
    """What all know, beside a secret array.

    Raises:
        UsageError: it is no array of finite numbers or truths.
    """
    array = plain(value, "a SecretArray goes with numbers, truths and arrays of them")
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        raise UsageError(
            f"{int(np.sum(~np.isfinite(array)))} of {array.size} public numbers are NaN or infinite; "
            "no secret number beside them can be.",
            hint="give large finite numbers, such as -10000 for a masked score",
        )
    return array


def plain(value: npt.ArrayLike, wanted: str) -> Array:
    """As an array of numbers or truths.

    Raises:
        UsageError: it is none, or a whole number of it is 2^63 or larger.
    """
    try:
        array = np.asarray(value)
    except UsageError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0].rstrip(".")
        raise UsageError(f"{wanted}; {type(value).__name__} is none: {first}.") from None
    whole = array.dtype == object and all(isinstance(one, int) for one in array.flat)
    if whole or (array.dtype.kind == "u" and array.size and int(array.max()) >= LARGEST_WHOLE):
        raise UsageError(
            "a whole number is not below 2^63: it does not fit.", hint="scale it, or share it as float64 below 2^46"
        )
    if array.dtype.kind not in "fiub":
        said = f"{type(value).__name__} of dtype {array.dtype}" if np.ndim(array) else type(value).__name__
        raise UsageError(
            f"{wanted}; got {said}.",
            hint="numpy.asarray(values, dtype=float) says what in it is no number; categories enter as their numbers",
        )
    return array


def shareable(values: npt.ArrayLike) -> Array:
    """What an owner enters.

    Raises:
        UsageError: it is no array of numbers or truths, or shared already.
    """
    if hasattr(values, "_held"):
        raise UsageError("a SecretArray is shared already.", hint="compute on with it")
    return plain(values, "numbers, truths and arrays of them can be shared")


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes that ``axis=`` names, ascending; all where it is ``None``.

    Raises:
        UsageError: one is no whole number, not there, or named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    given = list(axis) if isinstance(axis, (tuple, list)) else [axis]
    found = [axis_of(one, ndim) for one in given]
    if len(set(found)) != len(found):
        raise UsageError(f"axis={axis} names an axis twice.")
    return tuple(sorted(found))


def axis_of(axis: Any, ndim: int) -> int:
    """The one axis that ``axis=`` names.

    Raises:
        UsageError: it is no whole number, or not there.
    """
    try:
        at = operator.index(axis)
    except TypeError:
        if isinstance(axis, (tuple, list)):
            raise UsageError(f"axis={axis}: this function takes one axis.", hint="reshape the array first") from None
        raise UsageError(f"axis is a whole number; got {axis!r}.") from None
    if not -ndim <= at < ndim:
        raise UsageError(f"axis {at} of an array with {ndim} axes.")
    return at % ndim


def called(function: Callable[..., Any], name: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Call a counterpart; options that say what NumPy does anyway are left out.

    Raises:
        UnsupportedOperation: NumPy's function has an argument that the counterpart has not.
    """
    takes = inspect.signature(function).parameters
    given = {key: value for key, value in options.items() if key in takes or not _said_anyway(key, value)}
    if unknown := [key for key in given if key not in takes and "options" not in takes]:
        there = ", ".join(f"{key}=" for key in list(takes)[1:]) or "none"
        raise UnsupportedOperation(
            f"numpy.{name} with {unknown[0]}= has no counterpart on secret arrays.", hint=f"there is: {there}"
        )
    try:
        inspect.signature(function).bind(*arguments, **given)
    except TypeError as error:
        raise UnsupportedOperation(f"numpy.{name} on secret arrays: {error}.") from None
    return function(*arguments, **given)


def _said_anyway(key: str, value: Any) -> bool:
    return value is None or value is getattr(np, "_NoValue", None) or key in ("kind", "stable", "copy")


def dtype_of(dtype: Any) -> np.dtype[Any]:
    """A dtype.

    Raises:
        UsageError: it is none.
    """
    try:
        return cast("np.dtype[Any]", np.dtype(dtype))
    except TypeError:
        raise UsageError(f"{dtype!r} is no dtype: float, int or bool.") from None
