"""Rows to tensors, from public facts; no value makes it fail."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.schema import Bounds, Column, Schema
from stead.errors import UnknownColumn, UsageError
from stead.plans.features import (
    check_encoding,
    classes,
    default_encoding,
    encode_rows,
    feature_names,
    known_targets,
    width,
)
from stead.plans.mock import mock_rows
from stead.plans.training import Encoding, Feature

SCHEMA = Schema(
    population="heart",
    unit="patient",
    people=(10, 1000),
    person="id",
    rows_per_person=3,
    columns=(
        Column("id", "text"),
        Column("age", "integer", Bounds(20, 100)),
        Column("sex", "category", categories=("F", "M")),
        Column("pressure", "real", Bounds(80, 200), missing_rate=0.2),
        Column("smoker", "boolean", missing_rate=0.1),
        Column("note", "text"),
        Column("died", "boolean"),
    ),
)
COLUMNS = {
    "age": np.array([20.0, 60.0, 100.0, 150.0, np.nan]),
    "sex": np.array(["F", "M", "X", None, "M"], dtype=object),
    "pressure": np.array([80.0, np.nan, 140.0, np.inf, -np.inf]),
    "smoker": np.array([True, False, None, True, False], dtype=object),
    "died": np.array([False, True, None, True, False], dtype=object),
}


def test_the_default_follows_the_schema():
    encoding = default_encoding(SCHEMA, "died")
    assert [(feature.column, feature.how) for feature in encoding.features] == [
        ("age", "scaled"), ("sex", "onehot"), ("pressure", "scaled"), ("pressure", "missing"), ("smoker", "flag"),
        ("smoker", "missing"),
    ]  # fmt: skip
    assert (encoding.features[0].low, encoding.features[0].high) == (20, 100)
    assert encoding.task == "classification"
    assert width(encoding, SCHEMA) == 7
    assert classes(encoding, SCHEMA) == 2
    assert feature_names(encoding, SCHEMA)[1:5] == ("sex=F", "sex=M", "pressure", "pressure missing")


def test_rows_by_hand():
    x, y = encode_rows(default_encoding(SCHEMA, "died"), SCHEMA, COLUMNS)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(
        x,
        [  # age, F, M, pressure, missing, smoker, missing
            [-1, 1, 0, -1, 0, 1, 0],
            [0, 0, 1, 0, 1, 0, 0],
            [1, 0, 0, 0, 0, 0, 1],
            [1, 0, 0, 1, 0, 1, 0],
            [0, 0, 1, -1, 0, 0, 0],
        ],
    )
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y, [0, 1, -1, 1, 0])
    np.testing.assert_array_equal(known_targets(y), [True, True, False, True, True])


def test_a_regression_scales_its_target():
    encoding = default_encoding(SCHEMA, "pressure", ["age"])
    x, y = encode_rows(encoding, SCHEMA, COLUMNS)
    assert x.shape == (5, 1)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, [-1, np.nan, 0, 1, -1])
    np.testing.assert_array_equal(known_targets(y), [True, False, True, True, True])
    assert classes(encoding, SCHEMA) == 1


def test_a_category_target_is_its_index():
    _, y = encode_rows(default_encoding(SCHEMA, "sex", ["age"]), SCHEMA, COLUMNS)
    np.testing.assert_array_equal(y, [0, 1, -1, -1, 1])


def test_narrower_bounds_clip():
    encoding = Encoding((Feature("age", "scaled", 50, 70),), "died", "classification")
    x, _ = encode_rows(encoding, SCHEMA, COLUMNS)
    np.testing.assert_array_equal(x[:, 0], [-1, 0, 1, 1, 0])


def test_a_shape_is_given_to_each_example():
    encoding = Encoding(default_encoding(SCHEMA, "died").features[:3], "died", "classification", shape=(2, 1, 2))
    x, _ = encode_rows(encoding, SCHEMA, COLUMNS)
    assert x.shape == (5, 2, 1, 2)


def test_the_mock_twin_encodes():
    x, y = encode_rows(default_encoding(SCHEMA, "died"), SCHEMA, mock_rows(SCHEMA, 200))
    assert x.shape == (200, 7)
    assert np.abs(x).max() <= 1
    assert set(y.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("features", "target", "words"),
    [
        (["note"], "died", "text"),
        (["id"], "died", "text"),
        (["died"], "died", "is the target"),
        ([], "died", "needs a feature"),
        (["age"], "note", "text"),
    ],
)
def test_columns_that_cannot_be_used(features, target, words):
    with pytest.raises(UsageError, match=words):
        default_encoding(SCHEMA, target, features)


def test_an_undeclared_column_is_named():
    with pytest.raises(UnknownColumn, match="agee"):
        default_encoding(SCHEMA, "died", ["agee"])


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        (Encoding((Feature("sex", "scaled"),), "died", "classification"), "cannot be scaled"),
        (Encoding((Feature("age", "onehot"),), "died", "classification"), "cannot be onehot"),
        (Encoding((Feature("age", "scaled", 5, 5),), "died", "classification"), "low < high"),
        (Encoding((Feature("age", "scaled", 0, float("inf")),), "died", "classification"), "finite"),
        (Encoding((Feature("age", "scaled", -1.7e308, 1.7e308),), "died", "classification"), "finite"),
        (Encoding((Feature("age", "scaled"),), "died", "regression"), "no regression"),
        (Encoding((Feature("age", "scaled"),), "pressure", "classification"), "no classification"),
        (Encoding((Feature("age", "scaled"),), "died", "classification", shape=(2,)), "does not hold 1"),
        (Encoding((), "died", "classification"), "needs a feature"),
    ],
)
def test_an_encoding_from_outside_is_checked(encoding, words):
    with pytest.raises(UsageError, match=words):
        check_encoding(encoding, SCHEMA)


@settings(deadline=None, max_examples=60)
@given(
    age=st.lists(st.floats(width=64), min_size=3, max_size=3),
    sex=st.lists(st.one_of(st.none(), st.text(max_size=2), st.sampled_from(["F", "M"])), min_size=3, max_size=3),
    smoker=st.lists(st.sampled_from([True, False, None]), min_size=3, max_size=3),
)
def test_whatever_the_values_x_is_finite_and_bounded(age, sex, smoker):
    columns = {
        "age": np.array(age),
        "pressure": np.array(age[::-1]),
        "sex": np.array(sex, dtype=object),
        "smoker": np.array(smoker, dtype=object),
        "died": np.array(smoker, dtype=object),
    }
    x, y = encode_rows(default_encoding(SCHEMA, "died"), SCHEMA, columns)
    assert np.abs(x).max() <= 1
    assert set(y.tolist()) <= {-1, 0, 1}
