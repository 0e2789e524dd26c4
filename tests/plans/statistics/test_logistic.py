"""Logistic regression from sums: scikit-learn's maximum from exact sums, bounded steps from noise."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.plans.statistics.logistic import converged, newton_step, score_terms, sigmoid
from stead.plans.statistics.matrices import unpack


def patients(count=800, seed=41):
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(count), rng.normal(size=(count, 3)) * [1.0, 0.2, 5.0]])
    y = (rng.random(count) < 1 / (1 + np.exp(-x @ [-1.0, 0.8, 2.0, 0.1]))).astype(float)
    return x, y


def iterate(x, y, sums=lambda array: array, rounds=50, **options):
    theta = np.zeros(x.shape[1])
    for _ in range(rounds):
        gradient, information = (sums(terms.sum(axis=0)) for terms in score_terms(x, y, theta))
        step = newton_step(gradient, information, theta, **options)
        if converged(theta, step, part=1e-9):
            return step
        theta = step.theta
    return step


def test_exact_sums_reach_scikit_learns_maximum():
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = patients()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = linear_model.LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=100)
        model.fit(x[:, 1:], y)
    found = iterate(x, y)
    np.testing.assert_allclose(found.theta, [model.intercept_[0], *model.coef_[0]], atol=1e-6)
    mu = model.predict_proba(x[:, 1:])[:, 1]
    expected = np.sqrt(np.diag(np.linalg.inv((x.T * (mu * (1 - mu))) @ x)))
    np.testing.assert_allclose(found.standard_errors, expected, rtol=1e-5)
    assert not found.raised


def test_a_table_of_four_has_the_odds_ratio_in_closed_form():
    # 2 x 2 table: the coefficient is the log odds ratio, its variance the sum of the reciprocal counts (Woolf 1955).
    a, b, c, d = 30, 20, 10, 40
    x = np.column_stack([np.ones(100), np.repeat([1, 1, 0, 0], [a, b, c, d])])
    y = np.repeat([1, 0, 1, 0], [a, b, c, d])
    found = iterate(x, y)
    np.testing.assert_allclose(found.theta, [np.log(c / d), np.log(a * d / (b * c))], atol=1e-9)
    assert found.standard_errors[1] == pytest.approx(np.sqrt(1 / a + 1 / b + 1 / c + 1 / d), abs=1e-7)


def test_terms_are_the_derivatives_of_the_log_likelihood():
    x, y = patients(40)
    theta = np.array([0.3, -0.5, 1.0, 0.02])

    def likelihood(at):
        return np.sum(y * (x @ at) - np.log1p(np.exp(x @ at)))

    gradient, information = (terms.sum(axis=0) for terms in score_terms(x, y, theta))
    steps = 1e-5 * np.eye(4)
    slope = [(likelihood(theta + h) - likelihood(theta - h)) / 2e-5 for h in steps]
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-5)
    curve = [(score_terms(x, y, theta - h).gradient - score_terms(x, y, theta + h).gradient).sum(axis=0) for h in steps]
    np.testing.assert_allclose(unpack(information, 4), np.array(curve) / 2e-5, rtol=1e-5, atol=1e-4)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3),
    st.booleans(),
    st.lists(st.floats(-1e308, 1e308), min_size=3, max_size=3),
)
def test_a_rows_terms_stay_inside_their_bounds(row, outcome, theta):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradient, information = score_terms([row], [float(outcome)], theta)
    size = np.abs(row)
    assert np.all(np.abs(gradient) <= size)
    assert np.all(np.abs(unpack(information, 3)) <= np.outer(size, size) / 4 * (1 + 1e-12))


def test_the_sigmoid_is_total_and_accurate_in_both_tails():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = sigmoid([-np.inf, -700.0, -40.0, 0.0, 40.0, np.inf, np.nan])
    expected = [0.0, np.exp(-700), np.exp(-40) / (1 + np.exp(-40)), 0.5, 1.0, 1.0, 0.5]
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-320)


def test_a_separated_outcome_moves_by_bounded_steps():
    x = np.column_stack([np.ones(20), np.linspace(-1, 1, 20)])
    y = (x[:, 1] > 0).astype(float)
    theta, moves = np.zeros(2), []
    for _ in range(40):
        step = newton_step(*(terms.sum(axis=0) for terms in score_terms(x, y, theta)), theta, floor=0.1)
        moves.append(np.max(np.abs(step.theta - theta)))
        theta = step.theta
    assert max(moves) <= 4
    assert step.raised
    assert theta[1] > 5


def test_noise_moves_the_maximum_by_as_much_as_its_size():
    x, y = patients(20000)
    rng = np.random.default_rng(42)
    exact = iterate(x, y)
    noisy = iterate(x, y, sums=lambda total: total + rng.normal(0, 5, total.shape), rounds=12, floor=20.0)
    # Noise of 5 in the gradient, times the inverse information; six standard deviations, four coefficients.
    information = unpack(score_terms(x, y, exact.theta).information.sum(axis=0), 4)
    spread = 5 * np.sqrt(np.sum(np.linalg.inv(information) ** 2, axis=1))
    assert np.all(np.abs(noisy.theta - exact.theta) < 6 * spread)


@given(
    st.lists(st.floats(-1e60, 1e60), min_size=3, max_size=3),
    st.lists(st.floats(-1e60, 1e60), min_size=6, max_size=6),
    st.sampled_from([0.0, 1e-6, 1.0]),
)
def test_total_whatever_the_sums(gradient, information, floor):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step = newton_step(gradient, information, [1.0, 2.0, 3.0], floor=floor)
    assert np.all(np.isfinite(step.theta))
    assert np.all(np.abs(step.theta - [1.0, 2.0, 3.0]) <= 4 * (1 + 1e-12))
    assert np.all(np.isfinite(step.standard_errors))


def test_leading_axes_are_independent():
    rng = np.random.default_rng(43)
    gradient, information = rng.normal(size=(5, 2, 3)), rng.normal(3, 1, size=(5, 2, 6))
    theta = rng.normal(size=(2, 3))
    together = newton_step(gradient, information, theta, floor=0.5)
    for i in range(5):
        for j in range(2):
            alone = newton_step(gradient[i, j], information[i, j], theta[j], floor=0.5)
            for whole, part in zip(together, alone, strict=True):
                np.testing.assert_allclose(whole[i, j], part, rtol=1e-9)
