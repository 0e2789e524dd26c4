"""The questions of ``questions.py``: each as an analyst writes it for a plain table, and as a plan."""

# ruff: noqa: S608 - fixed words

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from stead.core.schema import Bounds, Column, Schema
from stead.plans.query import (
    Aggregate,
    Bounding,
    Compare,
    Count,
    Derive,
    Filter,
    Histogram,
    Mean,
    Moments,
    People,
    Quantile,
    Query,
    RowStep,
    Sum,
    Survival,
)
from stead.plans.values import Arithmetic, Cut, Field, Within

SCHEMA = Schema(
    "patients",
    "patient",
    (
        Column("pid", "integer", Bounds(0, 1e8)),
        Column("age", "integer", Bounds(0, 120)),
        Column("pressure", "real", Bounds(60, 220)),
        Column("ward", "category", categories=tuple("ABCDEFGH")),
        Column("sick", "boolean"),
        Column("followed", "real", Bounds(0, 4000)),
    ),
    people=(1, 1),
    person="pid",
    rows_per_person=4,
)
AGES = (0.0, 20.0, 40.0, 60.0, 80.0, 120.0)
YEARS = tuple(365.0 * year for year in range(11))
AGE_GROUPS = "CASE WHEN age < 20 THEN 0 WHEN age < 40 THEN 1 WHEN age < 60 THEN 2 WHEN age < 80 THEN 3 ELSE 4 END"


@dataclass(frozen=True)
class Asked:
    """One question, both ways."""

    work: str
    sql: str
    query: Query


def schema_of(people: int) -> Schema:
    """The schema of a table with at most so many people."""
    return msgspec.structs.replace(SCHEMA, people=(1, people))


def ask(
    *aggregates: Aggregate, steps: tuple[RowStep, ...] = (), by: tuple[str, ...] = (), bounding: Bounding | None = None
) -> Query:
    """A plan without noise."""
    return Query("patients", steps, by, aggregates, (), bounding=bounding)


_WARD = ("ward",)
_QUOTIENT = Derive("part", Within(Arithmetic("/", Field("pressure"), Field("age")), Bounds(0, 250)))
_AGE_GROUP = Derive("group", Cut(Field("age"), AGES, ("child", "young", "middle", "older", "old")))
_MEAN = (Count("rows"), Mean("pressure", "pressure"))
_BY_WARD = "FROM patients GROUP BY ward"
_AVERAGE = f"SELECT ward, count(*), avg(pressure) {_BY_WARD}"
_VARIANCE = f"SELECT ward, var_samp(pressure) {_BY_WARD}"
_SURVIVAL = (
    "SELECT least(floor(followed / 365), 9) AS year, sick AND followed <= 3650 AS event, count(*) "
    "FROM patients GROUP BY year, event"
)

RANKED = (
    Asked(
        "count over a filter",
        "SELECT count(*) FROM patients WHERE age > 40",
        ask(Count("rows"), steps=(Filter(Compare("age", ">", 40)),)),
    ),
    Asked("mean by ward", _AVERAGE, ask(*_MEAN, by=_WARD)),
    Asked(
        "sums by ward over a filter",
        "SELECT ward, sum(pressure), sum(age) FROM patients WHERE sick GROUP BY ward",
        ask(
            Sum("pressure", "pressure"), Sum("age", "age"), steps=(Filter(Compare("sick", "==", value=True)),), by=_WARD
        ),
    ),
    Asked("variance by ward", _VARIANCE, ask(Moments("variance", ("pressure",), "variance"), by=_WARD)),
    Asked(
        "histogram",
        f"SELECT {AGE_GROUPS} AS cell, count(*) FROM patients GROUP BY cell",
        ask(Histogram("ages", "age", AGES)),
    ),
    Asked(
        "correlation",
        "SELECT corr(age, pressure) FROM patients",
        ask(Moments("both", ("age", "pressure"), "correlation")),
    ),
    Asked(
        "regression",
        "SELECT regr_slope(pressure, age), regr_intercept(pressure, age), regr_r2(pressure, age) FROM patients",
        ask(Moments("line", ("age", "pressure"), "linear")),
    ),
    Asked("median", "SELECT quantile_disc(pressure, 0.5) FROM patients", ask(Quantile("median", "pressure", (0.5,)))),
    Asked("people", "SELECT count(DISTINCT pid) FROM patients", ask(People("people"))),
    Asked(
        "mean of a quotient by ward",
        "SELECT ward, avg(pressure / age) FROM patients WHERE age > 0 GROUP BY ward",
        ask(Mean("part", "part"), steps=(_QUOTIENT,), by=_WARD),
    ),
    Asked("survival counts", _SURVIVAL, ask(Survival("curve", "followed", "sick", YEARS, "kaplan-meier"))),
    Asked(
        "mean by age group",
        f"SELECT {AGE_GROUPS} AS cell, count(*), avg(pressure) FROM patients GROUP BY cell",
        ask(*_MEAN, steps=(_AGE_GROUP,), by=("group",)),
    ),
    Asked("mean by ward, 2 rows a person", _AVERAGE, ask(*_MEAN, by=_WARD, bounding=Bounding(rows=2))),
)

_ONE = Bounding(groups=1)
_TWO = Bounding(groups=2, rows_per_group=1)

BOUNDED = (
    Asked("count by ward", f"SELECT ward, count(*) {_BY_WARD}", ask(Count("rows"), by=_WARD, bounding=_ONE)),
    Asked("mean by ward", _AVERAGE, ask(*_MEAN, by=_WARD, bounding=_TWO)),
    Asked("variance by ward", _VARIANCE, ask(Moments("variance", ("pressure",), "variance"), by=_WARD, bounding=_TWO)),
    Asked(
        "histogram by ward",
        f"SELECT ward, {AGE_GROUPS} AS cell, count(*) FROM patients GROUP BY ward, cell",
        ask(Histogram("ages", "age", AGES), by=_WARD, bounding=_TWO),
    ),
    Asked(
        "median by ward",
        f"SELECT ward, quantile_disc(pressure, 0.5) {_BY_WARD}",
        ask(Quantile("median", "pressure", (0.5,)), by=_WARD, bounding=_TWO),
    ),
    Asked(
        "people by ward",
        f"SELECT ward, count(DISTINCT pid) {_BY_WARD}",
        ask(People("people"), by=_WARD, bounding=_TWO),
    ),
)

_PLACED = (
    "SELECT *, row_number() OVER (PARTITION BY pid, ward ORDER BY rowid) AS place, "
    "dense_rank() OVER (PARTITION BY pid ORDER BY ward) AS met FROM patients"
)
WINDOWED = {
    "count by ward": f"SELECT ward, count(*) FROM ({_PLACED}) WHERE met <= 1 GROUP BY ward",
    "mean by ward": f"SELECT ward, count(*), avg(pressure) FROM ({_PLACED}) WHERE met <= 2 AND place <= 1 GROUP BY 1",
}
"""The bounded questions by window functions, with the groups of a person in any order."""
