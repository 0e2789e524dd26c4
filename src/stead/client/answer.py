"""``Answer``: released values with their error bars and receipts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from stead.adapters.pandas import data_frame
from stead.adapters.plots import Picture, picture
from stead.adapters.polars import polars_frame
from stead.client import render, tables
from stead.client.pictures import panels
from stead.client.receipt import Receipt
from stead.client.tables import AnswerColumn, Block, Key
from stead.core.dates import iso
from stead.core.schema import Schema
from stead.errors import UsageError
from stead.plans.analysis import asked_schema, group_keys
from stead.plans.query import Query
from stead.plans.values import Constant

CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Answer:
    """What was released.

    Attributes:
        title: the dataset and its site, or the sites.
        query: the plan that was answered.
        schema: the public schema that it was asked under, of the joined rows.
        values: aggregate name to natural units, shape (groups, cells), one axis for each kind of key.
        errors: half-widths of the same shapes; at 95 % all true values lie within them, jointly.
        receipts: one for each site; none for mock rows.
        mock: made from mock rows, without noise.
        size_bytes: frames exchanged with several sites; 0 for one site.
        disclosed: exact, without differential privacy; ``errors`` are of rounding alone.
        keys: the private keys that are shown; ``None`` without private keys.
        people: the noisy number of people of each of them.
        people_error: the half-width of these numbers.
        vector: the released integers, before they were read.
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
    keys: tuple[Constant, ...] | None = None
    people: np.ndarray | None = None
    people_error: float = 0.0
    vector: np.ndarray | None = None

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
        """The released numbers as columns with one row for each group; several numbers have a column each."""
        return (*self._people(), *tables.columns(self))

    @property
    def key_names(self) -> tuple[str, ...]:
        """The columns that make the groups, a private one first."""
        private = self.query.private_keys
        return self.query.group_by if private is None else (private.column, *self.query.group_by)

    @property
    def groups(self) -> tuple[tuple[Key, ...], ...]:
        """The values of each group's keys, in the order of the rows; one empty tuple without groups."""
        public = group_keys(self.query, self.schema)
        private = self.query.private_keys
        if private is None:
            return tuple(product(*public))
        is_date = asked_schema(self.query, self.schema).column(private.column).kind == "date"
        shown = self.keys or ()
        return tuple(product([iso(float(key)) if is_date else key for key in shown], *public))

    def __getitem__(self, name: str) -> np.ndarray:
        if name == "people" and self.people is not None:
            return self.people
        if name not in self.values:
            raise UsageError(f"the answer has no {name!r}.", hint="it has " + ", ".join(self.values))
        return self.values[name]

    def to_dict(self) -> dict[str, list[Any]]:
        """Plain lists by column: the group keys, then each number and its error (``patients``, ``patients ±``)."""
        found: dict[str, list[Any]] = {
            name: [group[i] for group in self.groups] for i, name in enumerate(self.key_names)
        }
        for column in self.columns:
            found[column.label] = column.values.tolist()
            if column.errors is not None:
                found[f"{column.label} ±"] = column.errors.tolist()
        return found

    def to_numpy(self) -> np.ndarray:
        """The numbers alone, shape (groups, columns)."""
        numbers = [column.values for column in self.columns if column.errors is not None]
        return np.stack(numbers, axis=1) if numbers else np.zeros((len(self.groups), 0))

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` of ``to_dict``.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return data_frame(self.to_dict())

    def to_polars(self) -> Any:
        """A ``polars.DataFrame`` of ``to_dict``.

        Raises:
            MissingExtra: Polars is not installed.
        """
        return polars_frame(self.to_dict())

    def plot(self) -> Picture:
        """A panel for each aggregate, with error bars: a matplotlib figure if there is one, else an SVG.

        Counts, means and histograms are bars, survival curves steps with a band, regressions points on a line.
        """
        return picture(self._caption(), panels(self, self._people()))

    def __repr__(self) -> str:
        return "\n".join([self._caption(), *(_text(block) for block in self._blocks())])

    def _repr_html_(self) -> str:
        found = [
            render.table_html(block.header, block.rows, caption=block.title if number else self._captioned(block))
            for number, block in enumerate(self._blocks())
        ]
        return "".join(found)

    def _captioned(self, block: Block) -> str:
        return f"{self._caption()} · {block.title}" if block.title else self._caption()

    def _blocks(self) -> tuple[Block, ...]:
        return tables.blocks(self, self._people())

    def _people(self) -> tuple[AnswerColumn, ...]:
        """The number of people of each private key, on each of its rows."""
        if self.people is None:
            return ()
        each = len(self.groups) // max(1, len(self.people))
        values = np.repeat(np.asarray(self.people, dtype=np.float64), each)
        return (AnswerColumn("people", "people", values, np.full(len(values), self.people_error)),)

    def _caption(self) -> str:
        if self.mock:
            return f"Mock answer · {self.title} · made-up rows, no noise"
        proof = f"{len(self.receipts)} receipt{'s' if len(self.receipts) != 1 else ''} verified"
        if self.disclosed:
            return f"Disclosed · {self.title} · NOT PRIVATE: no noise, ± of rounding alone · {proof}"
        return f"Answer · {self.title} · ± at 95 %, jointly · {proof}"


def _text(block: Block) -> str:
    table = render.table(block.header, block.rows)
    return f"{block.title}\n{table}" if block.title else table
