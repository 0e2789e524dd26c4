"""Scores against an independent oracle."""

import numpy as np
import pytest

from stead.client.scoring import area_under_curve, score_name


@pytest.mark.parametrize("seed", range(5))
def test_the_area_under_the_curve_is_scikit_learns(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, 200)
    scores = np.round(labels + generator.normal(0, 1, 200), 1)
    assert area_under_curve(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores))


def test_by_hand():
    assert area_under_curve(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])) == 0.75
    assert area_under_curve(np.array([1.0, 1.0]), np.array([0, 1])) == 0.5
    assert np.isnan(area_under_curve(np.array([1.0, 2.0]), np.array([1, 1])))


def test_names():
    assert [score_name("classification", 2), score_name("classification", 3), score_name("regression", 1)] == [
        "AUC",
        "accuracy",
        "R²",
    ]
