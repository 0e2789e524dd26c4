"""One question at one site, at three, and on the pooled rows: the same answer within the noise, of every additive kind.

Three nodes and one that holds all their rows, in this process. The sum of the three is compared with the pooled exact
integers and with the pooled node's answer. All integers together fail once in a million runs by chance, in either
direction: too much noise, or too little.
"""

import importlib
import os
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import stats

from stead.core import codec
from stead.core.leaves import Leaf, Refused
from stead.core.messages import AskAnswer, OpenSession, Released, SessionOpened
from stead.core.schema import Bounds
from stead.errors import UsageError
from stead.node.services.policy import Budget, Budgets
from stead.plans.analysis import analyse, parts
from stead.plans.decode import decode_answer
from stead.plans.exact import read_released
from stead.plans.plan import encode_plan
from stead.plans.query import (
    Bounding,
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
    PrivateKeys,
    Quantile,
    Query,
    Sum,
    Survival,
    TopK,
)
from stead.plans.sums import run_exact
from stead.plans.values import Arithmetic, Cut, Field, Number, Within
from stead.testing import OPEN_RULES, local_network

sys.path.insert(0, str(Path(__file__).parents[2]))
sites = importlib.import_module("sites")

MISS = 1e-6
POOLED = "pooled"
MUCH = Budget(epsilon=1e6)
RICH = msgspec.structs.replace(OPEN_RULES, budgets=Budgets(MUCH, MUCH, MUCH))
STEPS = (
    Derive("decades", Within(Arithmetic("/", Field("age"), Number(10.0)), Bounds(0.0, 10.0))),
    Derive("life", Cut(Field("age"), (0.0, 40.0, 60.0, 100.0), ("young", "middle", "old"))),
    Filter(Compare("marker", "<", 900_000)),
)
EVERY = (
    Count("patients"),
    People("people", "decades"),
    Sum("years", "age"),
    Mean("pressure", "marker"),
    Histogram("ages", "age", (0.0, 30.0, 60.0, 100.0)),
    TopK("frequent", "life", 2),
    Moments("spread", ("decades",), "variance"),
    Moments("slope", ("age", "marker"), "linear"),
    Quantile("median", "marker", (0.25, 0.5), 2),
    Survival("alive", "age", "ill", (0.0, 30.0, 60.0, 100.0), "kaplan-meier"),
    LogisticScore("risk", ("age", "marker"), "ill", (0.0, 0.5, -0.5)),
)


def with_noise(query, schema, multiple):
    """Noise of so many times what one person moves."""
    layout = parts(query, schema)
    unit = analyse(msgspec.structs.replace(query, sigmas=(1.0,) * len(layout)), schema)
    return msgspec.structs.replace(query, sigmas=tuple(multiple * l2 for l2 in unit.l2))


@pytest.fixture(scope="module")
def network():
    with local_network([*sites.NAMES, POOLED], rules=RICH, seed=17) as made:
        for name in sites.NAMES:
            made.add(sites.card(name), sites.rows(name), at=name)
        made.add(sites.card(POOLED, people=(150, 600)), pooled(), at=POOLED)
        yield made


def pooled():
    every = [sites.rows(name) for name in sites.NAMES]
    return {column: [value for rows in every for value in rows[column]] for column in every[0]}


def together(network, query):
    run = sites.session([network[name].site for name in sites.NAMES], query, colluders=1, length=size(query))
    return run.ask()


def size(query):
    return sum(part.size for part in parts(query, sites.card("north").schema))


def alone(network, name, query):
    message = AskAnswer(os.urandom(16), "testing", encode_plan(query), "the same question")
    return read_released(query, network[name].site.ask(message, Released).body).vector


def deviations(query, factor=1.0):
    layout = parts(query, sites.card("north").schema)
    return np.repeat([factor * sigma for sigma in query.sigmas], [part.size for part in layout])


def is_noise(difference, spread):
    """Whether integers are independent normals of these deviations, by the sum of their squares."""
    score, count = float(((difference / spread) ** 2).sum()), len(difference)
    return stats.chi2.ppf(MISS / 2, count) < score < stats.chi2.isf(MISS / 2, count)


@pytest.mark.parametrize("group_by", [(), ("sex",), ("sex", "life")])
@pytest.mark.parametrize("aggregate", EVERY, ids=lambda each: each.name)
def test_one_site_three_sites_and_the_pooled_rows_agree(network, aggregate, group_by):
    query = Query("heart", STEPS, group_by, (aggregate,), ())
    query = with_noise(query, sites.card("north").schema, 20.0)
    exact = run_exact(query, sites.card(POOLED).schema, pooled()).vector
    each = [run_exact(query, sites.card(name).schema, sites.rows(name)).vector for name in sites.NAMES]
    assert np.array_equal(sum(each), exact)
    joint = together(network, query)
    at_one = alone(network, POOLED, query)
    # Three shares of sigma^2 / 2 each (one of them is not counted on): 3/2 of the variance.
    joint_spread, spread = deviations(query, np.sqrt(1.5)), deviations(query)
    assert is_noise(joint - exact, joint_spread)
    assert is_noise(at_one - exact, spread)
    assert is_noise(joint - at_one, np.hypot(joint_spread, spread))


def test_many_integers_have_the_noise_that_is_stated(network):
    """1,000 cells and more in one question: the noise's variance is right within a fifth, in parts of every kind."""
    edges = tuple(np.linspace(0, 1_000_000, 401).tolist())
    query = Query("heart", STEPS, ("sex",), (Histogram("h", "marker", edges), *EVERY), ())
    query = with_noise(query, sites.card("north").schema, 50.0)
    exact = run_exact(query, sites.card(POOLED).schema, pooled()).vector
    scores = (together(network, query) - exact) / deviations(query, np.sqrt(1.5))
    assert len(scores) > 1000
    assert abs(scores.var() - 1.0) < 5 * np.sqrt(2 / len(scores))
    assert stats.kstest(scores, "norm").pvalue > MISS


def test_decoded_answers_agree(network):
    """The answers in their units, each within six standard deviations of its noise beside 300 people.

    The count's is 3 sqrt(1.5) = 3.7. The mean's sum has 3 sqrt(1.5) 50 = 184 years, a 300th of which is 0.6. A rank of
    the tree has at most 30 counts of 3 sqrt(1.5 * 2) = 5.2: 28 of 300 people, a tenth of ages that lie 75 years apart.
    """
    query = Query("heart", (), (), (Count("n"), Mean("age", "age"), Quantile("q", "age", (0.5,))), ())
    query = with_noise(query, sites.card("north").schema, 3.0)
    schema = sites.card(POOLED).schema
    truth = decode_answer(query, schema, run_exact(query, schema, pooled()).vector)
    assert truth["n"] == 300
    for vector in (together(network, query), alone(network, POOLED, query)):
        found = decode_answer(query, schema, vector)
        assert abs(found["n"] - 300) <= 22
        assert found["age"] == pytest.approx(truth["age"], abs=4)
        assert found["q"] == pytest.approx(truth["q"], abs=42)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (Query("heart", (), (), (Distinct("ages", "age"),), (1.0,)), "sites cannot add theirs"),
        (
            Query(
                "heart",
                (),
                (),
                (Count("n"),),
                (1.0,),
                bounding=Bounding(groups=1),
                private_keys=PrivateKeys("note", 1.0, 9),
            ),
            "is found at one site",
        ),
        (Query("heart", (), (), (Count("n"),), (9.0,), noise="laplace"), "Gaussian"),
    ],
)
def test_what_sites_cannot_add_is_refused_before_anything_is_charged(network, query, message):
    run = sites.session([network[name].site for name in sites.NAMES], query, colluders=1, length=1)
    node, site = network.nodes["north"], network["north"].site
    opening = OpenSession(run.header.release, "testing", encode_plan(query), run.header.to_bytes(), "join", "a test")
    before = len(list(node.books.log.leaves()))
    with pytest.raises(UsageError, match=message):
        site.ask(opening, SessionOpened)
    [(last, _, _)] = list(node.books.log.leaves())[before:]
    assert isinstance(codec.decode(last, Leaf), Refused)
