"""A mock twin: rows made from the schema alone, to try questions and trainings on for free.

No real row is looked at. Types, categories, bounds, missing rates and rows per person are those of the schema;
everything else (shapes of distributions, relations between columns) is made up and teaches nothing about people.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from stead.core.codec import digest, encode
from stead.core.schema import Bounds, Column, Schema
from stead.errors import UsageError

MAX_ROWS = 10_000_000

_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "iris", "juniper", "karst", "lagoon")


def mock_rows(schema: Schema, rows: int, seed: int | None = None) -> dict[str, npt.NDArray[Any]]:
    """A made-up table of ``rows`` rows.

    The same schema and seed give the same rows everywhere. This is no release path: nothing private goes in, so
    NumPy's generator serves.

    Args:
        schema: the public description.
        rows: how many rows.
        seed: which of the twins; ``None`` takes the seed from the schema's digest.

    Returns:
        Column name to values in the schema's order: float64 with NaN for numbers and for dates (whole days since
        1970-01-01), objects with ``None`` for booleans, categories and texts (a dozen words that repeat). Each person
        has 1 to ``rows_per_person`` rows, one after another.

    Raises:
        UsageError: ``rows`` is negative or above 10,000,000.
    """
    if not 0 <= rows <= MAX_ROWS:
        raise UsageError(f"mock rows are 0 to {MAX_ROWS}; got {rows}.")
    basis = int.from_bytes(digest("stead.mock", encode(schema))[:16], "big") if seed is None else seed
    people = _people(schema, rows, np.random.default_rng([*_words(basis), 0]))
    table: dict[str, npt.NDArray[Any]] = {}
    for index, column in enumerate(schema.columns):
        if column.name == schema.person:
            table[column.name] = _identities(column, people)
        else:
            table[column.name] = _values(column, rows, np.random.default_rng([*_words(basis), index + 1]))
    return table


def _words(seed: int) -> list[int]:
    return [abs(seed) & 0xFFFFFFFFFFFFFFFF, abs(seed) >> 64, int(seed < 0)]


def _people(schema: Schema, rows: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """The person of each row: 0, 0, 1, 2, 2, ..."""
    if schema.rows_per_person == 1:
        return np.arange(rows)
    sizes = generator.integers(1, schema.rows_per_person, size=max(1, rows), endpoint=True)
    return np.repeat(np.arange(len(sizes)), sizes)[:rows]


def _identities(column: Column, people: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """A made-up identity for each row's person, of the person column's kind."""
    if column.bounds is not None:
        low, count = math.ceil(column.bounds.low), int(column.bounds.width) + 1
        return (low + people % count).astype(np.float64)
    if column.categories:
        return np.array(column.categories, dtype=object)[people % len(column.categories)]
    return np.array([f"mock-{person}" for person in people.tolist()], dtype=object)


def _values(column: Column, rows: int, generator: np.random.Generator) -> npt.NDArray[Any]:
    missing = generator.random(rows) < column.missing_rate
    if column.bounds is not None:
        numbers = _numbers(column, column.bounds, generator.beta(2.0, 2.0, size=rows))
        numbers[missing] = math.nan
        return numbers
    if column.kind == "boolean":
        held: npt.NDArray[Any] = (generator.random(rows) < 0.5).astype(object)
    elif column.kind == "category":
        held = np.array(column.categories, dtype=object)[generator.integers(len(column.categories), size=rows)]
    else:
        held = np.array(_WORDS, dtype=object)[generator.integers(len(_WORDS), size=rows)]
    held[missing] = None
    return held


def _numbers(column: Column, bounds: Bounds, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Shares of 1 to numbers inside the bounds; whole ones for dates, and integers if there are any inside."""
    numbers = np.clip(bounds.low + shares * bounds.width, bounds.low, bounds.high)
    low, high = math.ceil(bounds.low), math.floor(bounds.high)
    whole = column.kind in ("integer", "date") and low <= high
    return np.clip(np.rint(numbers), low, high) if whole else numbers
