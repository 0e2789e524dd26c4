"""``Answer``: released values with their error bars and receipts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from stead.adapters.pandas import data_frame
from stead.adapters.plots import Bars, bars
from stead.client import render
from stead.client.receipt import Receipt
from stead.core.schema import Schema
from stead.errors import UsageError
from stead.plans.analysis import group_keys, key_values
from stead.plans.query import Histogram, Query

CONFIDENCE = 0.95


@dataclass(frozen=True)
class AnswerColumn:
    """One column of the answer's table: a number and its error for each group."""

    label: str
    aggregate: str
    values: np.ndarray
    errors: np.ndarray


@dataclass(frozen=True, eq=False)
class Answer:
    """What was released.

    Attributes:
        title: the dataset and its site, or the sites.
        query: the plan that was answered.
        schema: the public schema that it was asked under.
        values: aggregate name to natural units, shape (groups, cells).
        errors: half-widths of the same shapes; at 95 % all true values lie within them, jointly.
        receipts: one for each site; none for mock rows.
        mock: made from mock rows, without noise.
        size_bytes: frames exchanged with several sites; 0 for one site.
        disclosed: exact, without differential privacy; ``errors`` are of rounding alone.
    """

    title: str
    query: Query
    schema: Schema
    values: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    receipts: tuple[Receipt, ...] = ()
    mock: bool = False
    size_bytes: int = 0
    disclosed: bool = False

    @property
    def receipt(self) -> Receipt:
        """The receipt of an answer from one site.

        Raises:
            UsageError: there is none (mock rows), or there are several (``receipts``).
        """
        if len(self.receipts) != 1:
            raise UsageError(f"this answer has {len(self.receipts)} receipts; see `.receipts`.")
        return self.receipts[0]

    @property
    def columns(self) -> tuple[AnswerColumn, ...]:
        """The released numbers as columns with one row for each group; a histogram has a column for each cell."""
        found: list[AnswerColumn] = []
        for aggregate in self.query.aggregates:
            values = self._grid(self.values[aggregate.name])
            errors = self._grid(self.errors[aggregate.name])
            labels = [aggregate.name]
            if isinstance(aggregate, Histogram):
                labels = [f"{aggregate.name} {cell}" for cell in cell_labels(aggregate, self.schema)]
            for index, label in enumerate(labels):
                found.append(AnswerColumn(label, aggregate.name, values[:, index], errors[:, index]))
        return tuple(found)

    @property
    def groups(self) -> tuple[tuple[str | bool, ...], ...]:
        """The public values of each group's keys, in the order of the rows; one empty tuple without ``group_by``."""
        return tuple(product(*group_keys(self.query, self.schema)))

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.values:
            raise UsageError(f"the answer has no {name!r}.", hint="it has " + ", ".join(self.values))
        return self.values[name]

    def to_dict(self) -> dict[str, list[Any]]:
        """Plain lists by column: the group keys, then each number and its error (``patients``, ``patients ±``)."""
        keys = {name: [group[i] for group in self.groups] for i, name in enumerate(self.query.group_by)}
        for column in self.columns:
            keys[column.label] = column.values.tolist()
            keys[f"{column.label} ±"] = column.errors.tolist()
        return keys

    def to_numpy(self) -> np.ndarray:
        """The values alone, shape (groups, columns)."""
        return np.stack([column.values for column in self.columns], axis=1)

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` of ``to_dict``.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return data_frame(self.to_dict())

    def plot(self) -> Any:
        """Bars with error bars, one panel for each aggregate: a matplotlib figure if there is one, else an SVG."""
        groups = [" · ".join(str(key) for key in group) for group in self.groups]
        panels = []
        for aggregate in self.query.aggregates:
            columns = [column for column in self.columns if column.aggregate == aggregate.name]
            labels = [
                " ".join(filter(None, (group, column.label.removeprefix(aggregate.name).strip())))
                for group in groups
                for column in columns
            ]
            values = np.array([column.values[row] for row in range(len(groups)) for column in columns])
            errors = np.array([column.errors[row] for row in range(len(groups)) for column in columns])
            panels.append(Bars(aggregate.name, tuple(labels), values, errors, self._unit(aggregate.column)))
        return bars(self._caption(), panels)

    def __repr__(self) -> str:
        header, rows = self._table()
        return f"{self._caption()}\n{render.table(header, rows)}"

    def _repr_html_(self) -> str:
        header, rows = self._table()
        return render.table_html(header, rows, caption=self._caption())

    def _caption(self) -> str:
        if self.mock:
            return f"Mock answer · {self.title} · made-up rows, no noise"
        proof = f"{len(self.receipts)} receipt{'s' if len(self.receipts) != 1 else ''} verified"
        if self.disclosed:
            return f"Disclosed · {self.title} · NOT PRIVATE: no noise, ± of rounding alone · {proof}"
        return f"Answer · {self.title} · ± at 95 %, jointly · {proof}"

    def _table(self) -> tuple[list[str], list[list[str]]]:
        columns = self.columns
        if len(self.groups) == 1 and len(columns) > 1:
            pairs = [[c.label, render.with_error(c.values[0], c.errors[0])] for c in columns]
            return ["", "value"], pairs
        header = [*self.query.group_by, *(column.label for column in columns)]
        rows = [
            [*map(str, group), *(render.with_error(c.values[row], c.errors[row]) for c in columns)]
            for row, group in enumerate(self.groups)
        ]
        return header, rows

    def _grid(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values, dtype=np.float64).reshape(len(self.groups), -1)

    def _unit(self, column: str | None) -> str:
        return self.schema.column(column).unit if column else ""


def cell_labels(histogram: Histogram, schema: Schema) -> tuple[str, ...]:
    """What each cell of a histogram holds: ``[18, 40)`` or a category."""
    if not histogram.edges:
        return tuple(str(value) for value in key_values(schema.column(histogram.column)))
    last = len(histogram.edges) - 2
    pairs = zip(histogram.edges, histogram.edges[1:], strict=False)
    return tuple(f"[{low:g}, {high:g}{']' if i == last else ')'}" for i, (low, high) in enumerate(pairs))
