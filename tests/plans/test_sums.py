"""The meaning of a question in NumPy, answers in natural units, and error bars that hold as often as they say."""

import math

import msgspec
import numpy as np
import pytest

from stead.core.entropy import SeededEntropy
from stead.core.schema import Bounds, Column, Schema
from stead.errors import UnknownColumn, UsageError
from stead.plans.analysis import parts
from stead.plans.bars import Noise, _reach, error_bars, sigmas_for
from stead.plans.decode import decode_answer
from stead.plans.query import Compare, Count, Filter, Histogram, Mean, Not, Query, Sum
from stead.plans.sums import run_reference
from stead.privacy.samplers import discrete_gaussian

SCHEMA = Schema(
    "north",
    "patient",
    (
        Column("age", "integer", Bounds(0, 120)),
        Column("bp", "real", Bounds(50, 250)),
        Column("sex", "category", categories=("f", "m")),
        Column("dead", "boolean"),
    ),
    people=(2000, 4000),
)
TRIALS = 4000
# Below this share of 4000 trials with a true coverage of 0.95 lies one run in 30,000 (four standard deviations).
LEAST_COVERAGE = 0.95 - 4 * math.sqrt(0.95 * 0.05 / TRIALS)


def ask(*aggregates, steps=(), group_by=(), sigmas=()):
    return Query("heart", tuple(steps), tuple(group_by), tuple(aggregates), tuple(sigmas))


def test_missing_is_false_for_every_comparison():
    columns = {"age": [10, None, math.nan, 50]}
    counts = {
        op: run_reference(ask(Count("n"), steps=[Filter(Compare("age", op, 10))]), SCHEMA, columns)[0]
        for op in ("==", "!=", "<", "<=", ">", ">=")
    }
    assert counts == {"==": 1, "!=": 1, "<": 0, "<=": 1, ">": 1, ">=": 2}
    assert run_reference(ask(Count("n"), steps=[Filter(Not(Compare("age", ">", 10)))]), SCHEMA, columns) == [3]


def test_histogram_cells_are_left_closed_and_the_last_is_closed():
    columns = {"age": [0, 9.999, 10, 20, 20.001, None]}
    assert run_reference(ask(Histogram("h", "age", (0, 10, 20))), SCHEMA, columns).tolist() == [2, 2]


def test_quantised_toward_zero_from_the_middle():
    step = 2.0**-13
    columns = {"bp": [150 + 1.9 * step, 150 - 1.9 * step, 150 + 3.5 * step]}
    assert run_reference(ask(Mean("m", "bp")), SCHEMA, columns).tolist() == [1 - 1 + 3, 3]


def test_an_empty_table_gives_zeros():
    columns = {"age": [], "sex": [], "bp": []}
    query = ask(Count("n"), Mean("m", "bp"), Histogram("h", "sex"), group_by=["sex"])
    assert run_reference(query, SCHEMA, columns).tolist() == [0] * 10


def test_answer_in_natural_units_shaped_by_groups():
    query = ask(Count("n"), Mean("m", "bp"), Histogram("h", "age", (0, 40, 80, 120)), group_by=["sex", "dead"])
    columns = {"age": [30, 50, 70, 90], "bp": [100, 200, 150, 60], "sex": ["f", "f", "f", "m"], "dead": [0, 0, 1, 1]}
    answer = decode_answer(query, SCHEMA, run_reference(query, SCHEMA, columns))
    assert answer["n"].tolist() == [[2, 1], [0, 1]]
    assert answer["m"].tolist() == [[150.0, 150.0], [150.0, 60.0]]  # a mean of nothing is the middle
    assert answer["h"].shape == (2, 2, 3)
    assert answer["h"][0, 0].tolist() == [1, 1, 0]


def test_means_stay_inside_the_range_whatever_the_noise_says():
    query = ask(Mean("m", "bp"), Mean("d", "dead"))
    for vector in ([2**40, 3, -9, 0], [-(2**40), 1, 5, 1], [2**40, -5, 5, -2]):
        answer = decode_answer(query, SCHEMA, vector)
        assert 50 <= answer["m"] <= 250
        assert 0 <= answer["d"] <= 1


def test_an_answer_of_another_length_is_refused():
    with pytest.raises(UsageError, match="the question 2 numbers"):
        decode_answer(ask(Mean("m", "bp")), SCHEMA, [1, 2, 3])
    with pytest.raises(UsageError, match="the question 2 numbers"):
        error_bars(ask(Mean("m", "bp"), sigmas=(1, 1)), SCHEMA, answer=[1])


def test_tables_that_are_none_of_this_schema():
    with pytest.raises(UnknownColumn):
        run_reference(ask(Sum("s", "bp")), SCHEMA, {"age": [1]})
    with pytest.raises(UsageError, match="one length"):
        run_reference(ask(Sum("s", "bp")), SCHEMA, {"age": [1], "bp": [1, 2]})


# --- error bars ------------------------------------------------------------------------------------------------------


def tail(sigma, shares, reach):
    """P(|sum of ``shares`` discrete Gaussians| > reach), by adding up every case."""
    support = range(-40, 41)
    one = {k: math.exp(-k * k / (2 * sigma * sigma)) for k in support}
    norm = math.fsum(one.values())
    law = {0: 1.0}
    for _ in range(shares):
        after = {}
        for value, p in law.items():
            for k, weight in one.items():
                after[value + k] = after.get(value + k, 0.0) + p * weight / norm
        law = after
    return math.fsum(p for value, p in law.items() if abs(value) > reach)


@pytest.mark.parametrize(
    ("sigma_share", "shares"), [(0.3, 1), (0.5, 3), (1.0, 1), (1.9, 2), (2.0, 1), (3.0, 1), (2.5, 3)]
)
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9999])
def test_reach_covers_and_is_hardly_more_than_needed(sigma_share, shares, confidence):
    noise = Noise(sites=shares, colluders=0, people=1, confidence=confidence)
    reach = _reach(sigma_share * math.sqrt(shares), noise, confidence)
    assert tail(sigma_share, shares, reach) <= 1 - confidence
    if sigma_share < 2:
        assert reach == 0 or tail(sigma_share, shares, reach - 1) > 1 - confidence
    else:
        assert reach <= 1 or tail(sigma_share, shares, reach - 2) > 1 - confidence


def noisy(query, truth, *, sites, colluders, seed):
    """TRIALS released vectors: the truth and the shares of all sites."""
    entropy = SeededEntropy(seed)
    columns = []
    start = 0
    for part, sigma in zip(parts(query, SCHEMA), query.sigmas, strict=True):
        for cell in range(part.size):
            total = np.full(TRIALS, truth[start + cell], dtype=np.int64)
            for _ in range(sites):
                total += discrete_gaussian(TRIALS, sigma / math.sqrt(sites - colluders), entropy)
            columns.append(total)
        start += part.size
    return np.stack(columns, axis=1)


def table(size, bp):
    return {"age": [40] * size, "bp": [bp] * size, "sex": ["f", "m"] * (size // 2), "dead": [True] * size}


ONE_OF_EACH = ask(
    Count("n"), Sum("s", "age"), Mean("m", "bp"), Histogram("h", "sex"), Mean("d", "dead"), group_by=["sex"]
)


@pytest.mark.parametrize(("sites", "colluders", "bp"), [(1, 0, 249.9), (1, 0, 150.0), (3, 1, 51.0)])
def test_wished_and_answered_bars_cover_jointly(sites, colluders, bp):
    """All cells of all aggregates inside their bars in 95 % of releases, for the wished and the answered bars.

    Wished: with exactly the public number of rows, means at the end of their range (the worst case) or in the middle.
    """
    rows = table(2000, bp)
    query = msgspec.structs.replace(
        ONE_OF_EACH, sigmas=sigmas_for(ONE_OF_EACH, SCHEMA, 0.08, sites=sites, colluders=colluders, people=2000)
    )
    exact = run_reference(query, SCHEMA, rows)
    truth = {"n": 1000, "s": 40_000, "m": bp, "h": [[1000, 0], [0, 1000]], "d": 1.0}
    wished = error_bars(query, SCHEMA, sites=sites, colluders=colluders, people=2000)
    scale = {"n": 2000, "s": 120 * 2000, "m": 200, "h": 2000, "d": 1}
    for name, bars in wished.items():
        assert bars.max() <= 0.08 * scale[name] * (1 + 1e-9)
        assert bars.min() > 0.07 * scale[name]
    inside = {"wished": 0, "answered": 0}
    for vector in noisy(query, exact, sites=sites, colluders=colluders, seed=sites):
        answer = decode_answer(query, SCHEMA, vector)
        bars = error_bars(query, SCHEMA, sites=sites, colluders=colluders, people=2000, answer=vector)
        for name, found in (("wished", wished), ("answered", bars)):
            inside[name] += all(np.all(np.abs(answer[a] - truth[a]) <= found[a]) for a in truth)
    assert inside["wished"] / TRIALS >= LEAST_COVERAGE
    assert inside["answered"] / TRIALS >= LEAST_COVERAGE


@pytest.mark.parametrize("cells", ["one", "many"])
def test_bars_of_counts_are_not_slack(cells):
    """Counts of independent cells: coverage is 95 %, and not more than 96.4 % (four standard deviations above)."""
    query = ask(Histogram("h", "sex") if cells == "many" else Count("n"))
    query = msgspec.structs.replace(query, sigmas=(60.0,))
    size = sum(part.size for part in parts(query, SCHEMA))
    bars = error_bars(query, SCHEMA)["h" if cells == "many" else "n"]
    vectors = noisy(query, [0] * size, sites=1, colluders=0, seed=5)
    coverage = np.all(np.abs(vectors) <= bars, axis=1).mean()
    assert LEAST_COVERAGE <= coverage <= 0.95 + 4 * math.sqrt(0.95 * 0.05 / TRIALS)


def test_a_mean_near_the_middle_has_a_narrower_bar_than_its_preview():
    query = ask(Mean("m", "bp"), sigmas=sigmas_for(ask(Mean("m", "bp")), SCHEMA, 0.05))
    vector = run_reference(query, SCHEMA, {"bp": [150.0] * 2000})
    assert error_bars(query, SCHEMA, answer=vector)["m"] < 0.75 * error_bars(query, SCHEMA)["m"]


def test_a_mean_over_almost_nobody_admits_that_it_knows_nothing():
    query = ask(Mean("m", "bp"), sigmas=(1e6, 10.0))
    assert error_bars(query, SCHEMA, answer=[10**6, 0])["m"] == 200.0
    assert error_bars(query, SCHEMA, answer=[10**6, -7])["m"] == 200.0


def test_shares_of_colluders_widen_the_bars():
    query = ask(Count("n"), sigmas=(100.0,))
    alone = error_bars(query, SCHEMA)["n"]
    assert error_bars(query, SCHEMA, sites=3, colluders=0)["n"] == alone
    assert error_bars(query, SCHEMA, sites=3, colluders=1)["n"] == pytest.approx(alone * math.sqrt(1.5), abs=1)


def test_quantising_is_inside_the_bar_of_a_sum():
    """Every row loses almost a whole step, and the noise is nothing beside it."""
    schema = Schema("p", "row", (Column("x", "real", Bounds(0, 1)),), (1, 4000))
    step = 2.0**-19
    query = ask(Sum("s", "x"), sigmas=(1.0,))
    rows = {"x": [0.25 + 0.999 * step] * 4000}
    error = abs(decode_answer(query, schema, run_reference(query, schema, rows))["s"] - math.fsum(rows["x"]))
    assert 0.99 * 4000 * step < error <= error_bars(query, schema)["s"]


def test_within_that_cannot_be_reached_names_the_least():
    with pytest.raises(UsageError, match=r"'m': within=0\.0001 cannot") as caught:
        sigmas_for(ask(Mean("m", "bp")), SCHEMA, 0.0001)
    least = float(caught.value.hint.split("=")[1].split()[0])
    sigmas_for(ask(Mean("m", "bp")), SCHEMA, least)
    with pytest.raises(UsageError):
        sigmas_for(ask(Mean("m", "bp")), SCHEMA, least * 0.9)


def test_narrower_wishes_mean_less_noise():
    chosen = [sigmas_for(ONE_OF_EACH, SCHEMA, within) for within in (0.02, 0.05, 0.2)]
    assert all(a < b < c for a, b, c in zip(*chosen, strict=True))


@pytest.mark.parametrize(
    "bad", [{"within": 0.0}, {"within": math.nan}, {"sites": 2, "colluders": 2}, {"confidence": 1.0}]
)
def test_wishes_that_make_no_sense(bad):
    with pytest.raises(UsageError):
        sigmas_for(ask(Count("n")), SCHEMA, **({"within": 0.05} | bad))
