"""What can be asked about a column: counts, sums, means, spreads, quantiles, histograms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from stead.client.aggregation import Aggregation, Table
from stead.client.operators import Comparable, as_border, require_one_table
from stead.client.rounds import Rounds, quantile_rounds
from stead.client.values import plain_number, several, whole_number
from stead.core.dates import iso
from stead.core.schema import Column
from stead.errors import UsageError
from stead.plans.query import (
    Aggregate,
    Count,
    Distinct,
    Histogram,
    Mean,
    Moment,
    Moments,
    People,
    Quantile,
    Sum,
    TopK,
)

NUMBERS: Final = ("integer", "real", "boolean")
ORDERED: Final = ("integer", "real", "date")


class Measures(Comparable, ABC):
    """The aggregates of a column."""

    @property
    @abstractmethod
    def table(self) -> Table:
        """The frame that it is a column of."""

    @property
    @abstractmethod
    def column(self) -> Column:
        """Its declaration."""

    def count(self) -> Aggregation:
        """How many rows hold a value here."""
        return self._asked(Count(f"{self.column.name}_count", self.column.name))

    def people(self) -> Aggregation:
        """How many people have a row that holds a value here."""
        return self._asked(People(f"{self.column.name}_people", self.column.name))

    def n_unique(self) -> Aggregation:
        """How many different values there are; at one site only, since sites may hold the same ones."""
        return self._asked(Distinct(f"{self.column.name}_n_unique", self.column.name))

    def sum(self) -> Aggregation:
        """The sum of the values; NULL counts as nothing."""
        return self._asked(Sum(f"{self.column.name}_sum", _named(self.column, NUMBERS, "sum")))

    def mean(self) -> Aggregation:
        """The mean of the values that are there; of a date its day."""
        return self._asked(Mean(f"{self.column.name}_mean", _named(self.column, (*NUMBERS, "date"), "mean")))

    def var(self) -> Aggregation:
        """The variance of the sample."""
        return self._moments("variance", "var")

    def std(self) -> Aggregation:
        """The standard deviation of the sample."""
        return self._moments("deviation", "std")

    def cov(self, other: Measures) -> Aggregation:
        """The covariance of the sample, over the rows that hold both."""
        return self._moments("covariance", "cov", other)

    def corr(self, other: Measures) -> Aggregation:
        """The correlation (Pearson), over the rows that hold both."""
        return self._moments("correlation", "corr", other)

    def median(self, *, depth: int = 3) -> Aggregation:
        """The median; ``depth`` as in ``quantile``."""
        return self._quantile("median", (0.5,), depth)

    def quantile(self, at: float | Sequence[float], *, depth: int = 3, rounds: int = 1) -> Aggregation | Rounds:
        """The quantiles ``at``, one or several of 0 to 1.

        Args:
            at: 0.5 is the median.
            depth: 16^depth cells over the column's range after clipping, which are counted as a tree.
            rounds: with more than 1, histograms instead whose edges narrow round by round; each round is a question
                of its own, and all are charged.
        """
        given = several(at, "quantiles", "for example [0.25, 0.5, 0.75]") if not _single(at) else (at,)
        places = tuple(plain_number(each, "a quantile") for each in given)
        if whole_number(rounds, "rounds") == 1:
            return self._quantile("quantile", places, depth)
        return quantile_rounds(self.table, _named(self.column, ORDERED, "quantile"), places, rounds)

    def min(self, *, depth: int = 3) -> Aggregation:
        """The least value that noise lets be told: the quantile 0. What only a few people hold is not seen."""
        return self._quantile("min", (0.0,), depth)

    def max(self, *, depth: int = 3) -> Aggregation:
        """The largest value that noise lets be told: the quantile 1. What only a few people hold is not seen."""
        return self._quantile("max", (1.0,), depth)

    def histogram(self, edges: Sequence[object] = ()) -> Aggregation:
        """Counts by cell.

        Args:
            edges: ascending cell borders in the column's unit; cells are left-closed, the last one closed on both
                sides. Left out for a category or boolean column, whose cells are its values.
        """
        column = self.column
        if column.kind == "text":
            raise UsageError(
                f"column {column.name!r} is text, which has no public list of values.",
                hint=f"map it to categories first: heart.{column.name}.relabel({{…}})",
            )
        borders = several(edges, "a histogram's edges", f"for example {column.name}.histogram([20, 40, 60])")
        if column.kind == "category" and borders:
            raise UsageError(f"column {column.name!r} holds categories: its histogram takes no edges.")
        if column.kind in ORDERED and len(borders) < 2:
            raise UsageError(
                f"a histogram of the numeric column {column.name!r} needs at least two edges.",
                hint=_edges_hint(column),
            )
        return self._asked(
            Histogram(f"{column.name}_histogram", column.name, tuple(as_border(edge, "an edge") for edge in borders))
        )

    def top_k(self, k: int = 5) -> Aggregation:
        """The ``k`` most frequent values of a category or boolean column, with their counts."""
        name = _named(self.column, ("category", "boolean"), "public list of values")
        return self._asked(TopK(f"{name}_top", name, whole_number(k, "k")))

    def _asked(self, aggregate: Aggregate) -> Aggregation:
        return Aggregation(self.table, aggregate)

    def _moments(self, show: Moment, what: str, other: Measures | None = None) -> Aggregation:
        name = _named(self.column, NUMBERS, {"var": "variance", "std": "deviation"}.get(what, what))
        if other is None:
            return self._asked(Moments(f"{name}_{what}", (name,), show))
        if not isinstance(other, Measures):
            raise UsageError(f"{what} is of two columns; got {type(other).__name__}.", hint=f"{name}.{what}(heart.age)")
        require_one_table(self, other)
        pair = (name, _named(other.column, NUMBERS, what))
        return self._asked(Moments(f"{'_'.join(pair)}_{what}", pair, show))

    def _quantile(self, what: str, at: tuple[float, ...], depth: int) -> Aggregation:
        name = _named(self.column, ORDERED, what)
        return self._asked(Quantile(f"{name}_{what}", name, at, whole_number(depth, "depth")))


def _named(column: Column, kinds: tuple[str, ...], what: str) -> str:
    """The column's name, if it is of one of these kinds."""
    if column.kind not in kinds:
        raise UsageError(
            f"column {column.name!r} is {column.kind}: it has no {what}.",
            hint=f"{column.name}.histogram() counts its values" if column.kind == "category" else "",
        )
    return column.name


def _single(at: object) -> bool:
    return isinstance(at, int | float) or getattr(at, "shape", None) == ()


def _edges_hint(column: Column) -> str:
    bounds = column.bounds
    if bounds is None:
        return ""
    ends = (bounds.low, bounds.middle, bounds.high)
    texts = [f'"{iso(end)}"' if column.kind == "date" else f"{end:g}" for end in ends]
    return f"for example {column.name}.histogram([{', '.join(texts)}])"
