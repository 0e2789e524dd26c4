"""``Query``: questions to one table, as data. A closed algebra of row steps, then one aggregation.

The order of a query is fixed: joins on the person, then row steps in the order they were written, then ``group_by``,
then aggregates. There is no user function and no text that a database would parse.

Every step is total: a row that is read gives each column either a value inside what the owner declared or *missing*.
A number outside the declared bounds, infinities included, is moved to the nearer bound; NULL, NaN and a category that
is not declared are missing. Nothing that a row can hold makes a step fail. What derived columns are made of is in
``stead.plans.values``.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from stead.core.schema import Bounds
from stead.plans.values import (
    And,
    Compare,
    CompareValues,
    Comparison,
    Constant,
    IsIn,
    IsNull,
    Not,
    Or,
    Predicate,
    Value,
)


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="filter"):
    """Keep the rows for which ``where`` is true."""

    where: Predicate


class Select(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="select"):
    """Later steps may name these columns only."""

    columns: tuple[str, ...]


class Clip(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="clip"):
    """Move the values of a numeric column into ``bounds``, for the steps after this one; missing stays missing."""

    column: str
    bounds: Bounds


class Derive(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="derive"):
    """A new column ``name`` for the steps after this one; its kind, bounds and categories follow from ``value``."""

    name: str
    value: Value


RowStep = Filter | Select | Clip | Derive


class Join(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="join"):
    """Columns of another dataset of the same population, at the same node, joined on the person.

    Each row meets the person's first ``rows_per_person`` rows there: a person with L rows here and R there has L x R.
    ``inner`` keeps the rows whose person has a row there; ``left`` keeps all, with missing values. A column whose name
    is taken already is called ``dataset.column``.
    """

    dataset: str
    columns: tuple[str, ...]
    how: Literal["inner", "left"] = "inner"


class Bounding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="bounding"):
    """How much of one person is used: what is beyond is left out, by the stored order of the person's rows.

    Attributes:
        rows: at most so many rows (the first ones, before any step); the owner's ``rows_per_person`` is never exceeded.
        groups: rows of at most so many groups (those met first, after all steps).
        rows_per_group: at most so many rows in each group (the first ones, after all steps).
    """

    rows: int | None = None
    groups: int | None = None
    rows_per_group: int | None = None


class PrivateKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="private_keys"):
    """Groups by the values of ``column`` that occur, which are private: a key is shown if enough people have it.

    The number of people of each key that occurs gets noise (``sigma``, of the query's kind) and the key is shown with
    that number where it reaches ``threshold``. ``Bounding.groups`` bounds how many keys one person can have.

    References: Korolova et al. (2009); Wilson et al. (2020).
    """

    column: str
    sigma: float
    threshold: int


class Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="count"):
    """How many rows are left, or with ``column`` how many of them hold a value there."""

    name: str
    column: str | None = None


class Sum(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sum"):
    """The sum of a numeric or boolean column, each value rounded toward zero onto the lattice; missing adds nothing."""

    name: str
    column: str


class Mean(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="mean"):
    """The mean of a numeric or boolean column, released as (centred sum, count) and divided by the client.

    The sum is of distances to the middle of the range, which halves what one person can add; the client divides,
    adds the middle back and stays inside the range. A mean of nothing is the middle.
    """

    name: str
    column: str


class Histogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="histogram"):
    """Counts by cell of a numeric column (``edges``) or of a category or boolean column (its values, no ``edges``).

    ``edges`` ascend; a cell holds its left edge, the last cell both. A value outside the edges is in no cell.
    """

    name: str
    column: str
    edges: tuple[float, ...] = ()


class People(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="people"):
    """How many people have a row left, or with ``column`` one that holds a value there."""

    name: str
    column: str | None = None


class Distinct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="distinct"):
    """How many different values the rows hold in ``column``; missing is none. Not a sum: sites cannot add theirs."""

    name: str
    column: str


Moment = Literal["variance", "deviation", "covariance", "correlation", "linear"]


class Moments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="moments"):
    """Sums of values and of their products over the rows where all ``columns`` hold one; ``show`` says what of them.

    ``variance`` and ``deviation`` are of one column, ``covariance`` and ``correlation`` of two; ``linear`` regresses
    the last column on the others with an intercept (ordinary least squares). All of them are by sample: divided by
    the count less one, or less the coefficients.
    """

    name: str
    columns: tuple[str, ...]
    show: Moment


class Quantile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="quantile"):
    """The quantiles ``at`` (each in [0, 1]) of a number, by counts in a tree of cells over its range after clipping.

    ``depth`` levels of 16-fold cells: the finest is 1/16^depth of the range, or one whole number. 0 and 1 are the
    least and the largest value that noise lets be told.

    References: Hay et al., "Boosting the Accuracy of Differentially Private Histograms Through Consistency" (2010).
    """

    name: str
    column: str
    at: tuple[float, ...]
    depth: int = 3


class TopK(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="top_k"):
    """The ``k`` most frequent values of a category or boolean column, with their counts: all are counted with noise."""

    name: str
    column: str
    k: int


Curve = Literal["kaplan-meier", "nelson-aalen", "log-rank"]


class Survival(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="survival"):
    """Events and censorings by time on public ``edges``, from which a survival curve or a test follows.

    ``time`` is a number, ``event`` a boolean: whether time ended with the event, or with the last that is known.
    A time below the first edge counts in the first cell, one above the last as censored in the last. ``log-rank``
    compares the groups.

    References: Kaplan, Meier (1958); Aalen (1978); Mantel (1966).
    """

    name: str
    time: str
    event: str
    edges: tuple[float, ...]
    show: Curve


class LogisticScore(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="logistic_score"):
    """Gradient and information of a logistic regression at the public coefficients ``theta``: one Newton step.

    ``features`` are scaled to [-1, 1] by their range after clipping; ``theta`` has the intercept first. Rows where a
    feature or the target is missing are left out.

    References: McCullagh, Nelder, "Generalized Linear Models" (1989), section 4.4.
    """

    name: str
    features: tuple[str, ...]
    target: str
    theta: tuple[float, ...]


Aggregate = Count | Sum | Mean | Histogram | People | Distinct | Moments | Quantile | TopK | Survival | LogisticScore


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="query"):
    """One question to one dataset.

    ``group_by`` names category or boolean columns; the groups are the product of their declared values, public and
    complete, whether a row falls into them or not; a row with a missing key is in none. ``aggregates`` must have
    distinct names.
    ``sigmas`` are the standard deviations of the noise, one for each released part in the order of
    ``parts(query, schema)``, in steps of that part's lattice: what is done, never what it costs. The gate computes
    the event and the charge from the plan. With ``noise="laplace"`` they are the scales of discrete Laplace noise.
    ``bounding`` says how much of one person is used; ``private_keys`` adds one more key column, whose values are not
    public.
    """

    dataset: str
    steps: tuple[RowStep, ...]
    group_by: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]
    sigmas: tuple[float, ...]
    joins: tuple[Join, ...] = ()
    bounding: Bounding | None = None
    noise: Literal["gaussian", "laplace"] = "gaussian"
    private_keys: PrivateKeys | None = None


__all__ = [
    "Aggregate",
    "And",
    "Bounding",
    "Clip",
    "Compare",
    "CompareValues",
    "Comparison",
    "Constant",
    "Count",
    "Curve",
    "Derive",
    "Distinct",
    "Filter",
    "Histogram",
    "IsIn",
    "IsNull",
    "Join",
    "LogisticScore",
    "Mean",
    "Moment",
    "Moments",
    "Not",
    "Or",
    "People",
    "Predicate",
    "PrivateKeys",
    "Quantile",
    "Query",
    "RowStep",
    "Select",
    "Sum",
    "Survival",
    "TopK",
    "Value",
]
