"""Every verb builds the plan that is meant, and what cannot be is told where it is written."""

import datetime as dt

import pytest

import stead
from stead.core.schema import Bounds
from stead.errors import UnboundedContribution, UnknownColumn, UsageError
from stead.plans.query import (
    Bounding,
    Clip,
    Count,
    Derive,
    Distinct,
    Filter,
    Histogram,
    Join,
    Mean,
    Moments,
    People,
    Quantile,
    Select,
    Survival,
    TopK,
)
from stead.plans.values import (
    And,
    Arithmetic,
    Case,
    Compare,
    CompareValues,
    Cut,
    DatePart,
    Field,
    Label,
    Number,
    Or,
    Relabel,
    Truth,
    Unary,
    Within,
)

AGE, WEIGHT, HEIGHT = Field("age"), Field("weight"), Field("height")

VALUES = {
    "bmi": (
        lambda h: (h.weight / h.height**2).clip(10, 60),
        Within(Arithmetic("/", WEIGHT, Arithmetic("*", HEIGHT, HEIGHT)), Bounds(10, 60)),
    ),
    "a condition": (lambda h: h.age > 65, Truth(Compare("age", ">", 65))),
    "two columns": (lambda h: h.weight > h.age, Truth(CompareValues(WEIGHT, ">", AGE))),
    "an expression": (lambda h: h.age + 1 < 40, Truth(CompareValues(Arithmetic("+", AGE, Number(1)), "<", Number(40)))),
    "constants before": (lambda h: 2 * h.age - 1, Arithmetic("-", Arithmetic("*", Number(2), AGE), Number(1))),
    "a quotient of": (lambda h: 100 / h.age, Arithmetic("/", Number(100), AGE)),
    "difference from": (lambda h: 100 - h.age, Arithmetic("-", Number(100), AGE)),
    "minus": (lambda h: -h.age, Unary("negate", AGE)),
    "abs": (lambda h: abs(h.age - 50), Unary("absolute", Arithmetic("-", AGE, Number(50)))),
    "floor": (lambda h: (h.weight / 10).floor(), Unary("floor", Arithmetic("/", WEIGHT, Number(10)))),
    "root": (lambda h: h.weight.sqrt(), Unary("root", WEIGHT)),
    "smaller": (lambda h: h.age.min_of(h.weight), Arithmetic("min", AGE, WEIGHT)),
    "larger": (lambda h: h.age.max_of(40), Arithmetic("max", AGE, Number(40))),
    "cells": (
        lambda h: h.age.cut([0, 40, 65, 120]),
        Cut(AGE, (0.0, 40.0, 65.0, 120.0), ("[0, 40)", "[40, 65)", "[65, 120]")),
    ),
    "named cells": (
        lambda h: h.age.cut([0, 65, 120], labels=["young", "old"]),
        Cut(AGE, (0.0, 65.0, 120.0), ("young", "old")),
    ),
    "cells of days": (
        lambda h: h.admitted.cut(["2020-01-01", dt.date(2021, 1, 1)]),
        Cut(Field("admitted"), (18262.0, 18628.0), ("[2020-01-01, 2021-01-01]",)),
    ),
    "year": (lambda h: h.admitted.year(), DatePart("year", "admitted")),
    "weekday": (lambda h: h.admitted.weekday(), DatePart("weekday", "admitted")),
    "days": (lambda h: h.left - h.admitted, Arithmetic("-", Field("left"), Field("admitted"))),
    "since": (lambda h: h.left - dt.date(2020, 1, 1), Arithmetic("-", Field("left"), Number(18262.0))),
    "relabel": (
        lambda h: h.diagnosis.relabel({"I21": "infarct"}, prefix=True, otherwise="other"),
        Relabel("diagnosis", "prefix", (("I21", "infarct"),), "other"),
    ),
    "case": (
        lambda h: stead.when(h.age > 65).then("old").when(h.ill).then("ill").otherwise("well"),
        Case(
            ((Compare("age", ">", 65), Label("old")), (Compare("ill", "==", value=True), Label("ill"))), Label("well")
        ),
    ),
    "case without else": (lambda h: stead.when(h.age > 65).then(h.weight), Case(((Compare("age", ">", 65), WEIGHT),))),
    "truths": (
        lambda h: stead.when(h.age > 65).then(True).otherwise(False),
        Case(((Compare("age", ">", 65), Truth(And(()))),), Truth(Or(()))),
    ),
    "an even power of what may be negative": (
        lambda h: (h.age - 50) ** 2,
        Arithmetic("*", *[Unary("absolute", Arithmetic("-", AGE, Number(50)))] * 2),
    ),
    "a constant": (lambda _: 1, Number(1.0)),
}


@pytest.mark.parametrize(("build", "value"), VALUES.values(), ids=VALUES)
def test_a_derived_column_is_the_value_that_is_written(visits, build, value):
    frame = visits.with_columns(new=build(visits))
    assert frame.selection.steps == (Derive("new", value),)
    assert frame["new"].declared.name == "new"


AGGREGATES = {
    "rows": (lambda h: h.count(), Count("count")),
    "people": (lambda h: h.people(), People("people")),
    "values": (lambda h: h.weight.count(), Count("weight_count", "weight")),
    "people with": (lambda h: h.weight.people(), People("weight_people", "weight")),
    "distinct": (lambda h: h.diagnosis.n_unique(), Distinct("diagnosis_n_unique", "diagnosis")),
    "day": (lambda h: h.admitted.mean(), Mean("admitted_mean", "admitted")),
    "variance": (lambda h: h.age.var(), Moments("age_var", ("age",), "variance")),
    "deviation": (lambda h: h.age.std(), Moments("age_std", ("age",), "deviation")),
    "covariance": (lambda h: h.age.cov(h.weight), Moments("age_weight_cov", ("age", "weight"), "covariance")),
    "correlation": (lambda h: h.age.corr(h.weight), Moments("age_weight_corr", ("age", "weight"), "correlation")),
    "median": (lambda h: h.age.median(), Quantile("age_median", "age", (0.5,), 3)),
    "quantile": (lambda h: h.age.quantile(0.9, depth=2), Quantile("age_quantile", "age", (0.9,), 2)),
    "quantiles": (lambda h: h.age.quantile([0.1, 0.9]), Quantile("age_quantile", "age", (0.1, 0.9), 3)),
    "least": (lambda h: h.age.min(), Quantile("age_min", "age", (0.0,), 3)),
    "largest": (lambda h: h.age.max(), Quantile("age_max", "age", (1.0,), 3)),
    "most frequent": (lambda h: h.sex.top_k(1), TopK("sex_top", "sex", 1)),
    "cells of days": (
        lambda h: h.admitted.histogram(["2020-01-01", "2021-01-01"]),
        Histogram("admitted_histogram", "admitted", (18262.0, 18628.0)),
    ),
    "regression": (
        lambda h: h.linear(target="weight", features=["age", h.height]),
        Moments("linear", ("age", "height", "weight"), "linear"),
    ),
    "survival": (
        lambda h: h.kaplan_meier(time=h.age, event="ill", edges=[18, 50, 100]),
        Survival("kaplan_meier", "age", "ill", (18.0, 50.0, 100.0), "kaplan-meier"),
    ),
    "hazard": (
        lambda h: h.nelson_aalen(time="age", event="ill", edges=[18, 100]),
        Survival("nelson_aalen", "age", "ill", (18.0, 100.0), "nelson-aalen"),
    ),
    "test": (
        lambda h: h.group_by("sex").log_rank(time="age", event="ill", edges=[18, 100]),
        Survival("log_rank", "age", "ill", (18.0, 100.0), "log-rank"),
    ),
}


@pytest.mark.parametrize(("ask", "aggregate"), AGGREGATES.values(), ids=AGGREGATES)
def test_an_aggregate_is_the_one_that_is_asked(visits, ask, aggregate):
    assert ask(visits).question().aggregates == (aggregate,)


def test_a_frame_keeps_its_steps_in_order(visits, clinic):
    lab = clinic[1]["lab"]
    frame = visits.join(lab, columns=["ldl", "age"], how="left").with_columns(old=visits.age > 65)
    frame = frame.filter(frame.old, frame["lab.age"] < 90, frame.admitted >= "2020-01-01").clip("weight", 40, 120)
    frame = frame.select("old", "weight", "sex").limit(groups=1).limit(rows=3).group_by("sex")
    plan = frame.agg(n=frame.count()).plan()
    assert plan.joins == (Join("lab", ("ldl", "age"), "left"),)
    assert plan.steps == (
        Derive("old", Truth(Compare("age", ">", 65))),
        Filter(Compare("old", "==", value=True)),
        Filter(Compare("lab.age", "<", 90)),
        Filter(Compare("admitted", ">=", 18262.0)),
        Clip("weight", Bounds(40, 120)),
        Select(("old", "weight", "sex")),
    )
    assert plan.bounding == Bounding(rows=3, groups=1)
    assert plan.group_by == ("sex",)
    text = frame.explain()
    for line in ("join lab (left): ldl, age", "old = (age > 65)", "limit rows 3, groups 1", "group by sex"):
        assert line in text


def test_joined_rows_are_those_of_one_person_together(visits, clinic):
    frame = visits.join(clinic[1]["lab"], columns=["ldl"])
    assert frame.agg(n=frame.count()).schema.rows_per_person == 6
    assert frame.ldl.declared.unit == "mmol/l"


WRONG = {
    "a sum with text": (lambda h, _: h.age + "one", UsageError, "not reckoned with 'one'"),
    "a sum with a category": (lambda h, _: h.age + h.sex, UsageError, "no number to reckon with"),
    "columns of two datasets": (lambda h, s: h.age + s["lab"].ldl, UsageError, "visits.join(lab"),
    "half a power": (lambda h, _: h.age**0.5, UsageError, "whole number"),
    "a large power": (lambda h, _: h.age**9, UsageError, "1 to 8"),
    "a quotient without bounds": (
        lambda h, _: h.with_columns(x=h.weight / (h.age - 50)),
        UnboundedContribution,
        ".clip(low, high)",
    ),
    "a text as column": (lambda h, _: h.with_columns(x="age"), UsageError, "a column is made of columns"),
    "a name that is taken": (lambda h, _: h.with_columns(age=h.weight / 2), UsageError, "a column 'age' already"),
    "no column": (lambda h, _: h.with_columns(), UsageError, "needs a column"),
    "a case without value": (lambda h, _: h.with_columns(x=stead.when(h.ill)), UsageError, "no value yet"),
    "labels and numbers": (
        lambda h, _: h.with_columns(x=stead.when(h.ill).then("a").otherwise(1)),
        UsageError,
        "all numbers or all labels",
    ),
    "an aggregate of a value": (
        lambda h, _: (h.age + 1).mean(),
        UnknownColumn,
        "with_columns(x=(age + 1)), then frame.x.mean",
    ),
    "a value as condition": (lambda h, _: h.filter(h.age + 1), UsageError, "no condition by itself"),
    "cells of too few labels": (
        lambda h, _: h.with_columns(x=h.age.cut([0, 50, 100], ["a"])),
        UsageError,
        "got 1 labels",
    ),
    "a part of a number": (lambda h, _: h.age.year(), UsageError, "only a date has a year"),
    "a number relabelled": (lambda h, _: h.age.relabel({"1": "a"}), UsageError, ".cut([…])"),
    "a list of labels": (lambda h, _: h.diagnosis.relabel(["I21"]), UsageError, "takes a dictionary"),
    "a join with a name": (lambda h, _: h.join("lab", columns=["ldl"]), UsageError, "got str"),
    "a join after steps": (lambda h, s: h.filter(h.ill).join(s["lab"], columns=["ldl"]), UsageError, "comes first"),
    "a join with steps": (
        lambda h, s: h.join(s["lab"].filter(s["lab"].ldl > 1), columns=["ldl"]),
        UsageError,
        "before any step",
    ),
    "a join of people": (lambda h, s: h.join(s["lab"], columns=["who"]), UsageError, "it joins by itself"),
    "a join without people": (lambda h, s: h.join(s["heart"], columns=["age"]), UsageError, "no person column"),
    "an outer join": (lambda h, s: h.join(s["lab"], columns=["ldl"], how="outer"), UsageError, "inner or left"),
    "one column as text": (lambda h, s: h.join(s["lab"], columns="ldl"), UsageError, "is a list"),
    "no limit": (lambda h, _: h.limit(), UsageError, "limit(rows=3)"),
    "a limit of nothing": (lambda h, _: h.limit(rows=0), UsageError, "1 or more"),
    "half a row": (lambda h, _: h.limit(rows=1.5), UsageError, "whole number"),
    "private keys without bound": (
        lambda h, _: h.group_by_private("diagnosis").agg(n=h.count()),
        UnboundedContribution,
        "limit(groups=1)",
    ),
    "private reals": (lambda h, _: h.group_by_private("weight"), UsageError, ".floor()"),
    "two private keys": (
        lambda h, _: h.group_by_private("diagnosis").group_by_private("age"),
        UsageError,
        "one column, once",
    ),
    "a delta of one": (lambda h, _: h.group_by_private("diagnosis", delta=1), UsageError, "delta=1e-8"),
    "the name people": (
        lambda h, _: h.limit(groups=1).group_by_private("diagnosis").agg(people=h.count()),
        UsageError,
        "comes by itself",
    ),
    "groups of texts": (lambda h, _: h.group_by("diagnosis"), UsageError, "group_by_private('diagnosis')"),
    "groups of numbers": (lambda h, _: h.group_by("age"), UsageError, "heart.age.cut"),
    "a mean of texts": (lambda h, _: h.diagnosis.mean(), UsageError, "has no mean"),
    "a sum of days": (lambda h, _: h.admitted.sum(), UsageError, "has no sum"),
    "a correlation with a number": (lambda h, _: h.age.corr(3), UsageError, "of two columns"),
    "quantiles beyond": (lambda h, _: h.age.quantile(1.5).question(), UsageError, "between 0 and 1"),
    "a top of numbers": (lambda h, _: h.age.top_k(3), UsageError, "no public list"),
    "half a top": (lambda h, _: h.sex.top_k(0.5), UsageError, "whole number"),
    "a log-rank alone": (
        lambda h, _: h.log_rank(time="age", event="ill", edges=[18, 100]).question(),
        UsageError,
        "compares groups",
    ),
    "one feature as text": (lambda h, _: h.linear(target="age", features="weight"), UsageError, "features= is a list"),
    "an unknown feature": (lambda h, _: h.linear(target="age", features=["wait"]), UnknownColumn, "weight"),
    "a value as feature": (
        lambda h, _: h.linear(target="age", features=[h.weight / 2]),
        UsageError,
        "gets a name first",
    ),
    "merge": (lambda h, _: h.merge(h), UnknownColumn, ".join(other"),
    "a number as target": (lambda h, _: h.logistic(target="age", features=["weight"]), UsageError, "boolean column"),
    "groups in rounds": (
        lambda h, _: h.group_by("sex").logistic(target="ill", features=["age"]),
        UsageError,
        "filter to one group",
    ),
    "rounds in agg": (
        lambda h, _: h.agg(x=h.logistic(target="ill", features=["age"])),
        UsageError,
        "ask it by itself",
    ),
    "no rounds": (lambda h, _: h.logistic(target="ill", features=["age"], rounds=0), UsageError, "1 to 64"),
}


@pytest.mark.parametrize(("wrong", "error", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_told_where_it_is_written(visits, clinic, wrong, error, words):
    with pytest.raises(error) as caught:
        wrong(visits, clinic[1])
    assert type(caught.value) is error
    assert words in str(caught.value)
