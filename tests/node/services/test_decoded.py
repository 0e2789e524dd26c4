"""From the engine to the answer in its units: what pandas, NumPy, SciPy, scikit-learn and scikit-survival say.

Without noise, so that nothing is between the two but the lattice that the layout states. One row loses less than a step
of each value and less than 2^20 steps squared of each product, which bounds what an answer can be off; the
tolerances below are these bounds. Rows with missing values, a group with one row and one with none are among them.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sksurv.compare import compare_survival
from sksurv.nonparametric import kaplan_meier_estimator, nelson_aalen_estimator

from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.node.services.tables import Limits, Table, load
from stead.plans.analysis import parts
from stead.plans.decode import decode_answer, top_order
from stead.plans.query import (
    Compare,
    Count,
    Derive,
    Distinct,
    Filter,
    Histogram,
    LogisticScore,
    Mean,
    Moments,
    People,
    Quantile,
    Query,
    Sum,
    Survival,
    TopK,
)
from stead.plans.values import Arithmetic, Cut, Field

ONE = Limits(threads=1, memory_mb=256)
SEXES = ("f", "m", "x", "nobody")
SCHEMA = Schema(
    "north",
    "patient",
    (
        Column("pid", "text"),
        Column("age", "integer", Bounds(18, 99)),
        Column("bp", "real", Bounds(50, 250)),
        Column("tiny", "real", Bounds(0.1, 0.3)),
        Column("large", "real", Bounds(-1e15, 1e15)),
        Column("time", "integer", Bounds(0, 60)),
        Column("sex", "category", categories=SEXES),
        Column("dead", "boolean"),
        Column("ill", "boolean"),
    ),
    people=(1, 10_000),
    person="pid",
    rows_per_person=2,
)
SIZE = 3000


@pytest.fixture(scope="module")
def frame():
    chance = np.random.default_rng(20)
    age = chance.integers(18, 100, SIZE).astype(float)
    bp = np.clip(90 + 0.7 * age + chance.normal(0, 18, SIZE), 50, 250)
    tiny = chance.uniform(0.1, 0.3, SIZE)
    risk = 1 / (1 + np.exp(-(0.06 * (age - 60) + 0.02 * (bp - 130))))
    frame = pd.DataFrame(
        {
            "pid": [f"p{number // 2}" for number in range(SIZE)],
            "age": age,
            "bp": bp,
            "tiny": tiny,
            "large": 3e14 * (tiny - 0.2) * 10 + chance.normal(0, 1e14, SIZE),
            "time": np.minimum(60, chance.exponential(30 - 0.2 * (age - 60), SIZE).round()),
            "sex": chance.choice(["f", "m"], SIZE),
            "dead": chance.random(SIZE) < 0.6,
            "ill": chance.random(SIZE) < risk,
        }
    )
    frame.loc[0, "sex"] = "x"
    for name in ("age", "bp", "tiny", "large", "sex"):
        gone = chance.random(SIZE) < 0.05
        gone[0] = False
        frame[name] = frame[name].astype(object).where(~gone, None)
    return frame


@pytest.fixture(scope="module")
def table(frame, tmp_path_factory):
    directory = tmp_path_factory.mktemp("decoded")
    typed = frame.astype(dict.fromkeys(("age", "bp", "tiny", "large"), float))
    typed.to_parquet(directory / "rows.parquet")
    load(directory / "rows.parquet", DatasetCard("rows", SCHEMA), directory, limits=ONE, person_secret=bytes(32))
    with Table(directory, DatasetCard("rows", SCHEMA), limits=ONE) as opened:
        yield opened


def answer(table, *aggregates, steps=(), group_by=()):
    query = Query("rows", tuple(steps), tuple(group_by), tuple(aggregates), ())
    return decode_answer(query, SCHEMA, table.run(query).vector)


def layout(*aggregates, steps=()):
    return parts(Query("rows", tuple(steps), (), tuple(aggregates), ()), SCHEMA)


def known(frame, *names):
    return frame.dropna(subset=list(names)).astype({name: float for name in names if name != "sex"})


def product_step(*names):
    """One row's loss in a product of two centred columns, and of their means: four units of 2^20 steps squared."""
    variables = layout(Moments("m", names, "variance" if len(names) == 1 else "covariance"))[0].variables
    return 4 * 2**20 * variables[0].step * variables[-1].step


@pytest.mark.parametrize("name", ["age", "bp", "tiny", "large"])
def test_sums_means_and_spreads_by_group(table, frame, name):
    made = [Count("n", name), Sum("s", name), Mean("m", name), Moments("v", (name,), "variance")]
    made.append(Moments("d", (name,), "deviation"))
    found = answer(table, *made, group_by=["sex"])
    total, mean = (layout(kind("x", name))[0].step for kind in (Sum, Mean))
    by_sex = known(frame, name).groupby("sex")[name]
    for place, sex in enumerate(SEXES[:3]):
        held = by_sex.get_group(sex)
        assert found["n"][place] == held.count()
        assert abs(found["s"][place] - held.sum()) <= held.count() * total + 1e-9 * abs(held.sum())
        assert abs(found["m"][place] - held.mean()) <= mean * (1 + 1e-6)
    for place, sex in enumerate(SEXES[:2]):
        held = by_sex.get_group(sex)
        assert abs(found["v"][place] - held.var()) <= product_step(name) * 1.01
        assert abs(found["d"][place] - held.std()) <= product_step(name) * 1.01 / held.std()
    bounds = SCHEMA.column(name).bounds
    assert found["n"][3] == found["s"][3] == 0
    assert found["m"][3] == pytest.approx((bounds.low + bounds.high) / 2, abs=mean)
    assert found["v"][2] == found["v"][3] == 0  # of one row, and of none


def test_people_and_different_values(table, frame):
    found = answer(table, People("p"), People("q", "bp"), Distinct("d", "age"), group_by=["sex"])
    for place, sex in enumerate(SEXES[:3]):
        held = frame[frame["sex"] == sex]
        assert found["p"][place] == held["pid"].nunique()
        assert found["q"][place] == held.dropna(subset=["bp"])["pid"].nunique()
        assert found["d"][place] == held["age"].nunique()


@pytest.mark.parametrize("pair", [("age", "bp"), ("tiny", "large"), ("age", "tiny")])
def test_covariance_and_correlation(table, frame, pair):
    found = answer(table, Moments("c", pair, "covariance"), Moments("r", pair, "correlation"))
    held = known(frame, *pair)
    assert abs(found["c"] - held[pair[0]].cov(held[pair[1]])) <= product_step(*pair) * 1.01
    expected = held[pair[0]].corr(held[pair[1]])
    assert expected == pytest.approx(np.corrcoef(held[pair[0]], held[pair[1]])[0, 1])
    scale = held[pair[0]].std() * held[pair[1]].std()
    own = sum(product_step(name) / held[name].var() for name in pair)
    assert abs(found["r"] - expected) <= (product_step(*pair) / scale + own) * 1.01


def test_linear_regression_is_least_squares(table, frame):
    """Coefficients, standard errors, R2 and rows, against NumPy's lstsq and the textbook's covariance."""
    names = ("age", "tiny", "bp")
    found = answer(table, Moments("f", names, "linear"))["f"]
    held = known(frame, *names)
    x = np.column_stack([np.ones(len(held)), held["age"], held["tiny"]])
    y = held["bp"].to_numpy()
    beta, (rss,), _, _ = np.linalg.lstsq(x, y, rcond=None)
    errors = np.sqrt(np.diag(np.linalg.inv(x.T @ x)) * rss / (len(y) - 3))
    # A product's loss moves a slope by about its share of the variance: 1e-5 of it, far below the standard error.
    assert np.all(np.abs(found[:3] - beta) < 1e-3 * errors)
    np.testing.assert_allclose(found[3:6], errors, rtol=1e-3)
    assert found[6] == pytest.approx(1 - rss / ((y - y.mean()) ** 2).sum(), abs=1e-4)
    assert found[7] == len(held)


QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.9, 1.0)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["age", "bp", "tiny", "large"])
def test_quantiles_lie_in_the_cell_of_numpys(table, frame, name, depth):
    found = answer(table, Quantile("q", name, QUANTILES, depth))["q"]
    [part] = layout(Quantile("q", name, QUANTILES, depth))
    expected = np.quantile(known(frame, name)[name].to_numpy(), QUANTILES, method="inverted_cdf")
    cell = np.clip(np.floor((expected - part.offset) / part.step), 0, part.leaves - 1)
    low = np.maximum(part.offset + cell * part.step, part.low)
    assert np.all(found >= low - 1e-9 * abs(low))
    assert np.all(found <= np.minimum(low + part.step, part.high) + 1e-9 * abs(low))
    if part.exact:
        assert found.tolist() == expected.tolist()


def test_histograms_and_the_most_frequent(table, frame):
    edges = (50.0, 100.0, 130.0, 250.0)
    life = Derive("life", Cut(Field("age"), (18.0, 40.0, 65.0, 99.0), ("young", "middle", "old")))
    found = answer(table, Histogram("h", "bp", edges), TopK("t", "life", 2), Histogram("s", "sex"), steps=[life])
    assert found["h"].tolist() == np.histogram(known(frame, "bp")["bp"], edges)[0].tolist()
    assert found["s"].tolist() == frame["sex"].value_counts().reindex(SEXES, fill_value=0).tolist()
    cut = pd.cut(known(frame, "age")["age"], [18, 40, 65, 99.5], right=False, labels=["young", "middle", "old"])
    assert found["t"].tolist() == cut.value_counts(sort=False).tolist()
    frequent = [("young", "middle", "old")[place] for place in top_order(TopK("t", "life", 2), found["t"])]
    assert frequent == cut.value_counts().index[:2].tolist()


EDGES = tuple(float(edge) for edge in range(61))
"""One bin for each day; a row of day t leaves in the bin that begins with t. Day 60 falls into the last."""


def right_edges(frame):
    return np.minimum(frame["time"].astype(float) + 1, 60.0)


def test_kaplan_meier_and_nelson_aalen(table, frame):
    made = [Survival(show, "time", "dead", EDGES, show) for show in ("kaplan-meier", "nelson-aalen")]
    found = answer(table, *made, group_by=["sex"])
    for place, sex in enumerate(SEXES[:2]):
        held = frame[frame["sex"] == sex]
        for show, estimator in (
            ("kaplan-meier", kaplan_meier_estimator),
            ("nelson-aalen", nelson_aalen_estimator),
        ):
            times, expected = estimator(held["dead"].to_numpy(bool), right_edges(held).to_numpy())
            at_edges = expected[np.searchsorted(times, EDGES[1:], side="right") - 1]
            np.testing.assert_allclose(found[show][place], at_edges, rtol=1e-9)


def test_log_rank(table, frame):
    steps = [Filter(Compare("sex", "!=", "x")), Filter(Compare("sex", "!=", "nobody"))]
    older = Derive("older", Cut(Field("age"), (18.0, 60.0, 99.0), ("no", "yes")))
    found = answer(table, Survival("l", "time", "dead", EDGES, "log-rank"), steps=[older, *steps], group_by=["older"])
    held = frame[frame["sex"].isin(["f", "m"])].dropna(subset=["age"])
    group = (held["age"].astype(float) >= 60).to_numpy()
    dead, times = held["dead"].to_numpy(bool), right_edges(held).to_numpy()
    expected = compare_survival(np.array([*zip(dead, times, strict=True)], dtype=[("e", bool), ("t", float)]), group)
    np.testing.assert_allclose(found["l"][:, 2], expected[0], rtol=1e-6)
    np.testing.assert_allclose(found["l"][:, 3], expected[1], rtol=1e-5)
    assert found["l"][:, 0].tolist() == [dead[~group].sum(), dead[group].sum()]
    samples = (stats.CensoredData(uncensored=times[mask & dead], right=times[mask & ~dead]) for mask in (~group, group))
    np.testing.assert_allclose(found["l"][0, 2], stats.logrank(*samples).statistic ** 2, rtol=1e-6)


def test_logistic_regression_in_eight_steps(table, frame):
    """Newton's steps from nothing end at scikit-learn's maximum, in features that are scaled by their ranges."""
    names = ("age", "bp")
    theta = (0.0, 0.0, 0.0)
    for _ in range(8):
        theta = tuple(answer(table, LogisticScore("r", names, "ill", theta))["r"][:3].tolist())
    held = known(frame, *names)
    scaled = np.column_stack(
        [(held[n] - SCHEMA.column(n).bounds.middle) / (SCHEMA.column(n).bounds.width / 2) for n in names]
    )
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(scaled, held["ill"].to_numpy(bool))
    # Truncation moves each gradient term by less than 2^-20 of a row, some 1e-6 of what a coefficient is made of.
    np.testing.assert_allclose(theta, [fit.intercept_[0], *fit.coef_[0]], atol=1e-4)


def test_derived_columns_on_the_whole_path(table, frame):
    ratio = Derive("ratio", Arithmetic("/", Field("bp"), Field("age")))
    found = answer(table, Mean("m", "ratio"), Moments("v", ("ratio",), "variance"), steps=[ratio])
    held = known(frame, "bp", "age")
    expected = held["bp"] / held["age"]
    [part, _] = layout(Mean("m", "ratio"), steps=[ratio])
    assert abs(found["m"] - expected.mean()) <= part.step * (1 + 1e-6)
    [moments, _] = layout(Moments("v", ("ratio",), "variance"), steps=[ratio])
    assert abs(found["v"] - expected.var()) <= 4.04 * 2**20 * moments.variables[0].step ** 2


def test_tolerances_are_small_beside_what_is_compared():
    """A product's loss is a hundred-thousandth of the squared range, or less."""
    for name in ("age", "bp", "tiny", "large"):
        assert product_step(name) <= 1e-5 * SCHEMA.column(name).bounds.width ** 2
