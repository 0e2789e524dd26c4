"""Questions in several rounds: priced before, charged round by round, right in the end."""

import numpy as np
import pytest

import stead
from stead.client.answer import Answer
from stead.client.mock import MockRows
from stead.client.rounds import RoundsPending
from stead.core.schema import Bounds, Column
from stead.errors import BudgetExceeded, PurposeMissing, UsageError


def fit(x, y, steps=50):
    """Logistic regression by gradient ascent on the log likelihood: another way than Newton's, in plain NumPy."""
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    scaled = np.column_stack([np.ones(len(x)), scaled])
    theta = np.zeros(scaled.shape[1])
    for _ in range(200 * steps):
        theta += 2.0 * scaled.T @ (y - 1 / (1 + np.exp(-scaled @ theta))) / len(y)
    slopes = theta[1:] / x.std(axis=0)
    return np.concatenate([[theta[0] - slopes @ x.mean(axis=0)], slopes])


@pytest.fixture
def many(make_node, scientist):
    """A node with enough people for a regression."""
    from msgspec.structs import replace

    from stead.client.stead import attach

    node = make_node("Many", rows=20_000, seed=3, least=20_000, most=20_000)
    columns = (*node.schema.columns, Column("wide", "integer", bounds=Bounds(0, 100_000)))
    node.schema = replace(node.schema, columns=columns)
    node.rows["wide"] = np.random.default_rng(4).integers(0, 50_000, 20_000).astype(float)
    return node, attach(node, scientist, url="local://many", project="risk")["heart"]


def test_logistic_regression_on_mock_rows_is_that_of_all_textbooks(heart):
    rows = dict(heart.mock.data)
    age = rows["age"]
    ill = np.random.default_rng(1).random(len(age)) < 1 / (1 + np.exp(-(age - 60) / 12))
    rows["disease"] = ill.astype(object)
    keep = ~np.isnan(rows["pressure"])
    asked = heart.logistic(target="disease", features=["age", "pressure"], rounds=8)
    found = asked.on_mock(MockRows("heart", rows))["logistic"]
    x = np.column_stack([age, rows["pressure"]])[keep]
    expected = fit(x, ill[keep])
    z = np.column_stack([np.ones(len(x)), x])
    mu = 1 / (1 + np.exp(-z @ expected))
    spread = np.sqrt(np.diag(np.linalg.inv((z * (mu * (1 - mu))[:, None]).T @ z)))
    assert np.allclose(found[:3], expected, atol=0.02 * spread)
    assert np.allclose(found[3:], spread, rtol=1e-2)


def test_all_rounds_are_previewed_charged_and_proven(many):
    node, heart = many
    asked = heart.logistic(target="disease", features=["age"], rounds=4)
    preview = asked.preview(epsilon=2.0)
    assert 0.98 * 2 < preview.epsilon <= 2.0
    assert "4, each a release of its own" in repr(preview)
    assert node.heard == []
    answer = asked.answer(epsilon=2.0, why="risk by age")
    assert len(answer.receipts) == len(node.heard) == 4
    assert node.heard[1].why == "risk by age (round 2 of 4)"
    assert heart.budget[0].epsilon_spent == pytest.approx(2.0, rel=0.02)
    keep = np.ones(20_000, dtype=bool)
    truth = fit(node.rows["age"][keep][:, None], node.rows["disease"].astype(float))
    assert np.all(np.abs(answer["logistic"][:2] - truth) <= 2 * answer.errors["logistic"][:2] + 0.05 * np.abs(truth))
    shown = answer.to_dict()
    assert list(shown)[:2] == ["logistic intercept", "logistic intercept ±"]
    assert "age" in repr(answer)
    assert "standard error" in repr(answer)


def test_within_is_the_bar_of_scaled_coefficients(many):
    _, heart = many
    asked = heart.logistic(target="disease", features=["age"], rounds=4)
    tight, wide = asked.preview(within=0.05), asked.preview(within=0.2)
    assert tight.epsilon > wide.epsilon
    assert tight.errors["age"] == pytest.approx(0.05 / 41, rel=0.02)  # half of 18 to 100


def test_a_quantile_narrows_round_by_round(many):
    node, heart = many
    for column, at in (("age", [0.25, 0.5]), ("pressure", [0.5]), ("wide", [0.1, 0.9])):
        asked = heart[column].quantile(at, rounds=3)
        answer = asked.answer(epsilon=1.5, why="quartiles")
        held = node.rows[column]
        truth = np.quantile(held[~np.isnan(held)], at, method="inverted_cdf")
        assert np.all(np.abs(answer[f"{column}_quantile"] - truth) <= answer.errors[f"{column}_quantile"] + 1e-9)
        assert [c.label for c in answer.columns] == [f"{column}_quantile {100 * q:g} %" for q in at]
    assert np.all(answer.errors["wide_quantile"] < 100_000 / 32)  # better than one round could


def test_a_quantile_without_noise_is_exact_to_its_cell(heart):
    held = np.sort(heart.mock["pressure"][~np.isnan(heart.mock["pressure"])])
    found = heart.pressure.quantile([0.1, 0.5, 0.9], rounds=4).on_mock()
    truth = np.quantile(held, [0.1, 0.5, 0.9], method="inverted_cdf")
    assert np.all(np.abs(found["pressure_quantile"] - truth) <= found.errors["pressure_quantile"])
    assert np.all(found.errors["pressure_quantile"] < 160 / 32**3)


def test_within_of_a_quantile_is_a_rank(many):
    _, heart = many
    asked = heart.pressure.quantile(0.5, rounds=3)
    preview = asked.preview(within=0.01)
    assert preview.errors["rank of pressure_quantile"] == pytest.approx(0.01)
    assert asked.preview(within=0.02).epsilon < preview.epsilon


def test_what_the_budget_does_not_cover_is_refused_before_the_first_round(many):
    node, heart = many
    with pytest.raises(BudgetExceeded, match="20 rounds cost epsilon"):
        heart.logistic(target="disease", features=["age"], rounds=20).answer(epsilon=9.0, why="too much")
    with pytest.raises(PurposeMissing):
        heart.logistic(target="disease", features=["age"]).answer(epsilon=1.0)
    with pytest.raises(UsageError, match="Gaussian"):
        heart.pressure.quantile(0.5, rounds=2).preview(epsilon=1.0, noise="laplace")
    assert node.heard == []


def test_rounds_wait_for_a_person(many):
    node, heart = many
    asked = heart.pressure.quantile(0.5, rounds=2)
    node.decision, node.approvers = "ask", ("Dr Chen",)
    pending = asked.answer(epsilon=1.0, why="median")
    assert isinstance(pending, RoundsPending)
    assert "Round 1 of 2" in repr(pending)
    assert "Dr Chen" in repr(pending)
    again = pending.refresh()
    assert isinstance(again, RoundsPending)
    node.decision = "allow"
    assert isinstance(again.wait(timeout_s=3), Answer)
    assert len(node.answers) == 2


def test_rounds_at_several_sites(three):
    nodes, sites = three
    heart = sites[0]
    held = np.concatenate([node.rows["pressure"] for node in nodes])
    answer = stead.ask(heart.pressure.quantile(0.5, rounds=2), sites, epsilon=3.0, why="median")
    truth = np.nanquantile(held, 0.5, method="inverted_cdf")
    assert abs(answer["pressure_quantile"][0] - truth) <= answer.errors["pressure_quantile"][0]
    assert answer.title == "heart · North, South, East · 2 rounds"
    assert len(answer.receipts) == 12
    found = stead.ask(heart.logistic(target="disease", features=["age"], rounds=3), sites, epsilon=6.0, why="risk")
    age, ill = (np.concatenate([node.rows[name] for node in nodes]).astype(float) for name in ("age", "disease"))
    expected = fit(age[:, None], ill)
    assert np.all(np.abs(found["logistic"][:2] - expected) <= 2 * found.errors["logistic"][:2] + 0.1 * np.abs(expected))


def test_a_node_that_reckons_dearer_is_believed_for_all_rounds(many):
    from msgspec.structs import replace

    node, heart = many
    asked, real = heart.logistic(target="disease", features=["age"], rounds=4), node.Preview
    cheap = asked.preview(within=0.1).epsilon

    def dearer(message, sender):
        quote = real(message, sender)
        return replace(quote, epsilon=1.25 * quote.epsilon)

    node.Preview = dearer
    assert asked.preview(within=0.1).epsilon == pytest.approx(1.25 * cheap)
    assert 0.98 * 2 < asked.preview(epsilon=2.0).epsilon <= 2.0
