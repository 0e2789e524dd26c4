"""``Encoding``: from rows to the tensors of a training, by public facts alone.

Every value of a row has a place in the result, whatever it is: a number outside its bounds is moved into them, a
category that is not declared counts as missing, and a missing value gives zeros (and a one in its ``missing`` flag).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from stead.core.schema import Column, Schema
from stead.errors import UsageError
from stead.plans.sums import read_column
from stead.plans.training import Encoding, Feature

Floats = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64] | npt.NDArray[np.float32]

_KINDS = {"scaled": ("integer", "real"), "onehot": ("category",), "flag": ("boolean",)}


def default_encoding(schema: Schema, target: str, features: Sequence[str] | None = None) -> Encoding:
    """The encoding that a schema suggests.

    Numbers are scaled from their declared bounds to [-1, 1], booleans become flags, categories one-hot; a column
    with a missing rate above 0 gets a ``missing`` flag beside.

    Args:
        schema: the public description.
        target: a category or boolean column (classification) or a number (regression).
        features: columns to learn from, in this order; all but the person, the target and texts where ``None``.

    Raises:
        UnknownColumn: a column is not declared.
        UsageError: a column is text or the person, or there is no feature left.
    """
    if features is None:
        apart = {target, schema.person}
        features = [column.name for column in schema.columns if column.name not in apart and column.kind != "text"]
    found: list[Feature] = []
    for name in features:
        if name == target:
            raise UsageError(f"column {name!r} is the target; it cannot also be a feature.")
        found += _features(schema, name)
    if not found:
        raise UsageError("a training needs a feature.", hint="features=[…] names columns")
    goal = _usable(schema, target)
    if goal.bounds is None:
        encoding = Encoding(features=tuple(found), target=target, task="classification")
    else:
        encoding = Encoding(
            features=tuple(found),
            target=target,
            task="regression",
            target_low=goal.bounds.low,
            target_high=goal.bounds.high,
        )
    check_encoding(encoding, schema)
    return encoding


def _features(schema: Schema, name: str) -> list[Feature]:
    column = _usable(schema, name)
    if column.bounds is not None:
        found = [Feature(name, "scaled", column.bounds.low, column.bounds.high)]
    else:
        found = [Feature(name, "flag" if column.kind == "boolean" else "onehot")]
    return [*found, Feature(name, "missing")] if column.missing_rate > 0 else found


def _usable(schema: Schema, name: str) -> Column:
    column = schema.column(name)
    if column.kind == "text" or name == schema.person:
        what = "text" if column.kind == "text" else "the person"
        raise UsageError(f"column {name!r} is {what}; it cannot be trained on.")
    return column


def check_encoding(encoding: Encoding, schema: Schema) -> None:
    """Check an encoding from anywhere against a schema.

    Raises:
        UnknownColumn: a column is not declared.
        UsageError: a column's kind does not go with its use, bounds are not two ordinary numbers, or the sizes differ.
    """
    if not encoding.features:
        raise UsageError("an encoding needs a feature.")
    for feature in encoding.features:
        column = _usable(schema, feature.column)
        if feature.how in _KINDS and column.kind not in _KINDS[feature.how]:
            raise UsageError(f"column {feature.column!r} is {column.kind}; it cannot be {feature.how}.")
        if feature.column == encoding.target:
            raise UsageError(f"column {feature.column!r} is the target; it cannot also be a feature.")
        _check_range(feature.column, feature.low, feature.high)
    goal = _usable(schema, encoding.target)
    if (goal.bounds is None) != (encoding.task == "classification"):
        raise UsageError(f"the target {encoding.target!r} is {goal.kind}; that is no {encoding.task}.")
    _check_range(encoding.target, encoding.target_low, encoding.target_high)
    if encoding.shape and math.prod(encoding.shape) != width(encoding, schema):
        raise UsageError(f"x of shape {list(encoding.shape)} does not hold {width(encoding, schema)} numbers.")


def _check_range(name: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high and math.isfinite(high - low)):
        raise UsageError(f"column {name!r} needs two finite numbers, low < high; got {low} and {high}.")


def width(encoding: Encoding, schema: Schema) -> int:
    """How many numbers x has."""
    return sum(_width(feature, schema) for feature in encoding.features)


def _width(feature: Feature, schema: Schema) -> int:
    return len(schema.column(feature.column).categories) if feature.how == "onehot" else 1


def classes(encoding: Encoding, schema: Schema) -> int:
    """How many classes the target has; 1 for a regression."""
    if encoding.task == "regression":
        return 1
    return len(schema.column(encoding.target).categories) or 2


def feature_names(encoding: Encoding, schema: Schema) -> tuple[str, ...]:
    """What each number of x is: ``age``, ``sex=F``, ``creatinine missing``."""
    names: list[str] = []
    for feature in encoding.features:
        if feature.how == "onehot":
            names += [f"{feature.column}={value}" for value in schema.column(feature.column).categories]
        else:
            names.append(f"{feature.column} missing" if feature.how == "missing" else feature.column)
    return tuple(names)


def encode_rows(encoding: Encoding, schema: Schema, columns: Mapping[str, npt.ArrayLike]) -> tuple[Floats, Targets]:
    """Rows as tensors.

    Args:
        encoding: a checked encoding.
        schema: the public description.
        columns: the rows' columns, one array for each name: objects with ``None``, or floats with NaN.

    Returns:
        x, float32 of shape (rows, width), or (rows, *shape) where the encoding gives a shape; and y: int64 of shape
        (rows,), -1 where the target is missing, for a classification, else float32, NaN where it is missing.

    Raises:
        UsageError: a column is not given, or the encoding does not go with the schema.
    """
    check_encoding(encoding, schema)
    read: dict[str, npt.NDArray[np.float64]] = {}
    for name in {encoding.target, *(feature.column for feature in encoding.features)}:
        if name not in columns:
            raise UsageError(f"the table has no column {name!r}.")
        read[name] = read_column(schema.column(name), columns[name])
    parts = [_encode(feature, schema.column(feature.column), read[feature.column]) for feature in encoding.features]
    x = np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")
    goal = read[encoding.target]
    if encoding.task == "classification":
        return _shaped(encoding, x), np.where(np.isnan(goal), -1, np.nan_to_num(goal)).astype(np.int64)
    return _shaped(encoding, x), _scale(goal, encoding.target_low, encoding.target_high).astype(np.float32)


def known_targets(y: Targets) -> npt.NDArray[np.bool_]:
    """Which rows have a target; the others give the zero gradient whatever the loss."""
    known: npt.NDArray[np.bool_] = y >= 0 if y.dtype.kind == "i" else ~np.isnan(y)
    return known


def _shaped(encoding: Encoding, x: Floats) -> Floats:
    return x.reshape(len(x), *encoding.shape) if encoding.shape else x


def _scale(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    return (np.clip(values, low, high) - low) / (high - low) * 2.0 - 1.0


def _encode(feature: Feature, column: Column, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The columns of x that a feature gives, shape (rows, its width)."""
    missing = np.isnan(values)
    if feature.how == "missing":
        return missing.astype(np.float64)[:, None]
    if feature.how == "onehot":
        return np.equal(values[:, None], np.arange(len(column.categories))).astype(np.float64)
    numbers = _scale(values, feature.low, feature.high) if feature.how == "scaled" else values
    return np.where(missing, 0.0, numbers)[:, None]
