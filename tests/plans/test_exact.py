"""What leaves a node: noise of the stated law on every integer, and of private keys only those that enough people have.

Laws are compared by chi-square at an error rate of 1e-6, with seeds that are fixed.
"""

import math
import pickle

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stead.core import codec
from stead.core.entropy import SeededEntropy, SystemEntropy
from stead.core.schema import Bounds, Column, Schema
from stead.errors import BadMessage, NodeError
from stead.plans.analysis import parts
from stead.plans.decode import decode_answer
from stead.plans.exact import Exact, Keyed, read_released, release
from stead.plans.query import Bounding, Count, Histogram, PrivateKeys, Query, Sum
from stead.plans.sums import run_exact

SCHEMA = Schema(
    "north",
    "patient",
    (
        Column("pid", "text"),
        Column("code", "text"),
        Column("visits", "integer", Bounds(0, 1000)),
        Column("day", "date", Bounds(0, 20_000)),
        Column("sex", "category", categories=("f", "m")),
        Column("dead", "boolean"),
        Column("x", "real", Bounds(0, 1)),
    ),
    people=(1, 100_000),
    person="pid",
    rows_per_person=3,
)
RUNS = 3000
MISS = 1e-6


def ask(*aggregates, keys=None, sigmas=(), **more):
    return Query("heart", (), more.pop("group_by", ()), tuple(aggregates), tuple(sigmas), private_keys=keys, **more)


def by_code(*aggregates, sigma=2.0, threshold=10, sigmas=(), **more):
    bounding = more.pop("bounding", Bounding(groups=1))
    return ask(*aggregates, keys=PrivateKeys("code", sigma, threshold), sigmas=sigmas, bounding=bounding, **more)


def gaussian_law(sigma, reach):
    """Canonne, Kamath, Steinke (2020), definition 1: proportional to exp(-k^2 / (2 sigma^2)) on the integers."""
    weights = {k: math.exp(-k * k / (2 * sigma * sigma)) for k in range(-reach, reach + 1)}
    total = math.fsum(weights.values())
    return {k: weight / total for k, weight in weights.items()}


def laplace_law(scale, reach):
    """Ghosh, Roughgarden, Sundararajan (2009): proportional to exp(-|k| / scale)."""
    ratio = math.exp(-1 / scale)
    return {k: (1 - ratio) / (1 + ratio) * ratio ** abs(k) for k in range(-reach, reach + 1)}


def follows(found, law):
    """Whether a sample has the law, its rare ends put together."""
    expected = {k: p * len(found) for k, p in law.items()}
    inner = [k for k, e in expected.items() if e >= 10]
    low, high = min(inner), max(inner)
    seen = [int((found == k).sum()) for k in range(low, high + 1)]
    wanted = [expected[k] for k in range(low, high + 1)]
    seen += [int((found < low).sum()) + int((found > high).sum())]
    wanted += [max(1e-9, len(found) - sum(wanted))]
    if wanted[-1] < 5:
        seen, wanted = [*seen[:-2], seen[-2] + seen[-1]], [*wanted[:-2], wanted[-2] + wanted[-1]]
    return stats.chisquare(seen, wanted).pvalue > MISS


@pytest.mark.parametrize(("noise", "law"), [("gaussian", gaussian_law), ("laplace", laplace_law)])
def test_each_part_has_the_noise_of_its_sigma(noise, law):
    """A count at 2.5 and a histogram at 6: every integer of each part, and none depends on another."""
    query = ask(Count("n"), Histogram("h", "sex"), sigmas=(2.5, 6.0), noise=noise)
    exact = Exact(np.array([100, 7, -3], dtype=np.int64))
    entropy = SeededEntropy(1)
    draws = np.array([read_released(query, release(query, SCHEMA, exact, entropy)).vector for _ in range(RUNS)])
    for column, (sigma, start) in enumerate([(2.5, 100), (6.0, 7), (6.0, -3)]):
        assert follows(draws[:, column] - start, law(sigma, 200))
        assert not follows(draws[:, column] - start, law(1.2 * sigma, 200))  # so the test can tell
        assert not follows(draws[:, column] - start - 1, law(sigma, 200))
    # Correlations of 3,000 pairs: beyond 5 / sqrt(3000) once in 1.7 million.
    assert np.all(np.abs(np.corrcoef(draws.T) - np.eye(3)) < 5 / math.sqrt(RUNS))


KEYED = Exact(
    vector=np.array([3, 30, 12, 120, 900, 9000], dtype=np.int64),
    keys=("CANARY-rare", "I21", "I50"),
    people=np.array([1, 11, 900], dtype=np.int64),
)


@pytest.mark.parametrize(("noise", "law"), [("gaussian", gaussian_law), ("laplace", laplace_law)])
def test_the_law_of_private_keys(noise, law):
    """A key of 11 people at threshold 10: how often it shows, the numbers that it shows with, and its integers."""
    query = by_code(Count("n"), Sum("s", "visits"), sigmas=(3.0, 50.0), noise=noise)
    entropy = SeededEntropy(2)
    shown, people, integers = 0, [], []
    for _ in range(RUNS):
        found = read_released(query, release(query, SCHEMA, KEYED, entropy))
        if "I21" in found.keys:
            place = found.keys.index("I21")
            shown += 1
            people.append(int(found.people[place]))
            integers.append(found.vector.reshape(-1, 2)[place])
    chance = law(2.0, 200)
    above = math.fsum(p for k, p in chance.items() if 11 + k >= 10)
    assert stats.binomtest(shown, RUNS, above).pvalue > MISS
    assert min(people) == 10
    assert follows(np.array(people) - 11, {k: p / above for k, p in chance.items() if 11 + k >= 10})
    assert follows(np.array(integers)[:, 0] - 12, law(3.0, 200))
    assert follows(np.array(integers)[:, 1] - 120, law(50.0, 2000))
    # What it shows tells nothing of the noise behind it.
    assert abs(np.corrcoef(people, np.array(integers)[:, 0])[0, 1]) < 5 / math.sqrt(shown)


def test_a_key_below_the_threshold_never_leaves():
    """One person, threshold 60 at sigma 2: beyond 29 sigmas."""
    query = by_code(Count("n"), Sum("s", "visits"), threshold=60, sigmas=(3.0, 50.0))
    entropy = SeededEntropy(3)
    for _ in range(300):
        body = release(query, SCHEMA, KEYED, entropy)
        assert b"CANARY" not in body
        found = read_released(query, body)
        assert found.keys == ("I50",)
        assert found.vector.shape == (2,)
        assert found.people[0] >= 60
        assert abs(int(found.vector[0]) - 900) < 60


def test_no_key_at_all_is_an_answer():
    for exact in (KEYED, Exact(np.zeros(0, dtype=np.int64), (), np.zeros(0, dtype=np.int64))):
        query = by_code(Count("n"), Sum("s", "visits"), threshold=10_000, sigmas=(1.0, 1.0))
        found = read_released(query, release(query, SCHEMA, exact, SystemEntropy()))
        assert found.keys == ()
        assert found.vector.size == found.people.size == 0
        assert decode_answer(query, SCHEMA, found.vector, keys=0)["n"].shape == (0,)


def test_keys_alone_can_be_asked():
    query = by_code(threshold=10)
    found = read_released(query, release(query, SCHEMA, Exact(np.zeros(0, np.int64), *_keys()), SystemEntropy()))
    assert set(found.keys) >= {"I50"}
    assert found.vector.size == 0


def _keys():
    return KEYED.keys, KEYED.people


ROWS = {
    "pid": ["a", "b", "c", "d", "e", "f"],
    "code": ["I50", "I21", "I50", None, "E11", "I21"],
    "visits": [3, 1, 4, 1, 5, 9],
    "day": [1, 2, 3, 4, 5, 6],
    "sex": ["f", "m", "f", "m", None, "f"],
    "dead": [True, False, None, True, False, True],
    "x": [0.5] * 6,
}


@given(st.permutations(range(6)), st.sampled_from(["code", "visits", "day", "sex", "dead"]))
def test_the_bytes_depend_on_no_order_of_rows(order, column):
    """With the same noise, rows in another order give the same bytes: keys stand in their own order."""
    query = ask(
        Count("n"),
        Histogram("h", "sex"),
        keys=PrivateKeys(column, 1.0, 0),
        sigmas=(1.0, 2.0),
        bounding=Bounding(groups=1),
    )
    mixed = {name: [values[place] for place in order] for name, values in ROWS.items()}
    bodies = [release(query, SCHEMA, run_exact(query, SCHEMA, rows), SeededEntropy(5)) for rows in (ROWS, mixed)]
    assert bodies[0] == bodies[1]


def test_keys_of_each_kind_are_shown_as_what_they_are():
    expected = {
        "code": ("E11", "I21", "I50"),
        "visits": (1, 3, 4, 5, 9),
        "day": (1, 2, 3, 4, 5, 6),
        "sex": ("f", "m"),
        "dead": (False, True),
    }
    for column, keys in expected.items():
        query = ask(Count("n"), keys=PrivateKeys(column, 0.3, 0), sigmas=(0.3,), bounding=Bounding(groups=1))
        exact = run_exact(query, SCHEMA, ROWS)
        assert exact.keys == keys
        found = read_released(query, release(query, SCHEMA, exact, SystemEntropy()))
        assert set(map(type, found.keys)) <= set(map(type, keys))
        assert [key for key in keys if key in found.keys] == list(found.keys)


def test_integers_of_another_shape_are_a_fault_of_ours():
    plain, keyed = ask(Count("n"), sigmas=(1.0,)), by_code(Count("n"), sigmas=(1.0,))
    for query, exact in (
        (plain, Exact(np.zeros(2, dtype=np.int64))),
        (plain, Exact(np.zeros(1))),
        (plain, Exact(np.zeros(1, dtype=np.int64), ("a",), np.ones(1, dtype=np.int64))),
        (keyed, Exact(np.zeros(1, dtype=np.int64))),
        (keyed, Exact(np.zeros(3, dtype=np.int64), ("a", "b"), np.ones(2, dtype=np.int64))),
    ):
        with pytest.raises(NodeError, match="another shape"):
            release(query, SCHEMA, exact, SystemEntropy())


@pytest.mark.parametrize(
    ("keyed", "message"),
    [
        (Keyed(("a",), bytes(16), bytes(8)), "one number of people for each key"),
        (Keyed(("a", "a"), bytes(16), bytes(16)), "one number of people for each key"),
        (Keyed((True, 1), bytes(16), bytes(16)), "one number of people for each key"),
        (Keyed(("a", "b"), bytes(16), bytes(8)), "the same numbers for each key"),
        (Keyed((), b"", bytes(8)), "the same numbers for each key"),
        (Keyed(("a",), bytes(7), bytes(8)), "64-bit integers"),
        (Keyed(("a",), bytes(8), bytes(9)), "64-bit integers"),
    ],
)
def test_a_release_by_keys_that_is_none(keyed, message):
    with pytest.raises(BadMessage, match=message):
        read_released(by_code(Count("n")), codec.encode(keyed))


@pytest.mark.parametrize(
    "body", [b"", b"\xc0", codec.encode(bytes(7)), codec.encode([1]), codec.encode(Keyed((), b"", b""))]
)
def test_a_release_that_is_none(body):
    with pytest.raises(BadMessage):
        read_released(ask(Count("n")), body)


def test_a_plain_release_is_none_by_keys():
    with pytest.raises(BadMessage):
        read_released(by_code(Count("n")), codec.encode(bytes(8)))


def test_exact_integers_say_nothing_and_do_not_travel():
    assert repr(KEYED) == str(KEYED) == "Exact(<redacted>)"
    with pytest.raises(TypeError):
        pickle.dumps(KEYED)
    assert "CANARY" not in repr(msgspec.structs.replace(KEYED))


def test_what_is_released_has_the_length_of_the_layout():
    query = ask(Count("n"), Histogram("h", "x", (0.0, 0.5, 1.0)), group_by=("sex",), sigmas=(1.0, 1.0))
    size = sum(part.size for part in parts(query, SCHEMA))
    assert read_released(
        query, release(query, SCHEMA, run_exact(query, SCHEMA, ROWS), SystemEntropy())
    ).vector.shape == (size,)
