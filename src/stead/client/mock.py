"""``MockRows``: made-up rows that look like the real ones, from the schema alone. Looking at them costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stead.adapters.pandas import data_frame
from stead.client import render
from stead.core.dates import iso
from stead.core.schema import Schema
from stead.errors import UsageError
from stead.plans.mock import mock_rows


@dataclass(frozen=True, eq=False)
class MockRows:
    """A small table of mock rows, column by column.

    Attributes:
        name: the dataset whose twin this is.
        data: column name to values; all of the same length. A missing value is ``None`` or NaN.
        dates: the columns that hold days since 1970-01-01, shown as dates.
    """

    name: str
    data: Mapping[str, np.ndarray]
    dates: frozenset[str] = frozenset()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' names, in the schema's order."""
        return tuple(self.data)

    def head(self, rows: int = 5) -> MockRows:
        """The first ``rows`` rows."""
        return MockRows(self.name, {name: values[:rows] for name, values in self.data.items()}, self.dates)

    def to_dict(self) -> dict[str, list[Any]]:
        """Plain lists by column."""
        return {name: values.tolist() for name, values in self.data.items()}

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return data_frame(self.data)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.data:
            raise UsageError(f"the mock rows have no column {name!r}.", hint="columns: " + ", ".join(self.columns))
        return self.data[name]

    def __len__(self) -> int:
        return len(next(iter(self.data.values()), ()))

    def __repr__(self) -> str:
        shown = self.head(8)
        title = f"{len(self):,} mock rows of {self.name} (made from the schema; no real row is in them)"
        return f"{title}\n{render.table(self.columns, shown.cells())}"

    def _repr_html_(self) -> str:
        caption = f"{len(self):,} mock rows of {self.name}, made from the schema; no real row is in them"
        return render.table_html(self.columns, self.head(10).cells(), caption=caption)

    def cells(self) -> list[list[str]]:
        """The rows as texts."""
        return [
            [_cell(values[row], is_date=name in self.dates) for name, values in self.data.items()]
            for row in range(len(self))
        ]


def _cell(value: object, *, is_date: bool) -> str:
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return "–"
    if isinstance(value, float | np.floating):
        return iso(float(value)) if is_date else f"{float(value):.4g}"
    return str(value)


def mock_of(name: str, schema: Schema, rows: int, *, seed: int | None = None) -> MockRows:
    """The mock twin of a dataset: made from its schema alone, the same for everybody."""
    data = {column: np.asarray(values) for column, values in mock_rows(schema, rows, seed).items()}
    return MockRows(name, data, frozenset(column.name for column in schema.columns if column.kind == "date"))
