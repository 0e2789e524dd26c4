"""Arithmetic that is written between columns means what Python's arithmetic means, row by row."""

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.client.expressions import ColumnExpression
from stead.client.operators import Condition, Expression
from stead.core.schema import Bounds, Column, Schema
from stead.plans.evaluate import Rows, evaluate, truth

SCHEMA = Schema("p", "row", tuple(Column(name, "real", Bounds(-50, 50)) for name in ("a", "b", "c")), people=(1, 100))
HELD = {
    name: np.where(np.arange(40) % 7 == shift, np.nan, np.random.default_rng(shift).uniform(-50, 50, 40).round(1))
    for shift, name in enumerate(("a", "b", "c"))
}
ROWS = Rows(SCHEMA, dict(HELD), 40)

columns = st.sampled_from(["a", "b", "c"]).map(lambda name: (ColumnExpression(None, SCHEMA.column(name)), HELD[name]))
constants = st.integers(-9, 9).map(lambda number: (number, float(number)))


def applied(two):
    """Both sides of one operation: on expressions, and on arrays."""
    op, left, right = two
    return op(left[0], right[0]), op(left[1], right[1])


def one_sided(pair):
    name, (expression, held) = pair
    if name == "floor":
        return expression.floor(), np.floor(held)
    if name == "min":
        return expression.min_of(3), np.minimum(held, 3)
    if name == "max":
        return expression.max_of(3), np.maximum(held, 3)
    if name == "clip":
        return expression.clip(-5, 7), np.clip(held, -5, 7)
    if name == "square":
        return expression**2, held**2
    return (abs(expression), abs(held)) if name == "abs" else (-expression, -held)


signs = st.sampled_from([operator.add, operator.sub, operator.mul])
values = st.recursive(
    columns,
    lambda inner: st.one_of(
        st.tuples(signs, inner, st.one_of(inner, constants)).map(applied),
        st.tuples(signs, constants, inner).map(applied),
        st.tuples(st.sampled_from(["floor", "min", "max", "clip", "square", "abs", "neg"]), inner).map(one_sided),
    ),
    max_leaves=5,
)
comparisons = st.sampled_from([operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne])


@settings(max_examples=150, deadline=None)
@given(values)
def test_a_value_is_that_of_python(pair):
    expression, expected = pair
    np.testing.assert_array_equal(evaluate(expression.number(), ROWS), expected)


@settings(max_examples=150, deadline=None)
@given(comparisons, values, st.one_of(values, constants))
def test_a_comparison_is_that_of_python_and_false_where_something_is_missing(compare, left, right):
    condition = compare(left[0], right[0])
    assert isinstance(condition, Condition)
    expected = compare(left[1], right[1]) & ~np.isnan(left[1]) & ~np.isnan(right[1])
    np.testing.assert_array_equal(truth(condition.predicate, ROWS), expected)


@pytest.mark.parametrize(("left", "right"), [("a", "b"), ("b", 4), (4, "b")])
def test_a_quotient_is_missing_beside_zero(left, right):
    sides = [ColumnExpression(None, SCHEMA.column(each)) if isinstance(each, str) else each for each in (left, right)]
    held = [HELD[each] if isinstance(each, str) else float(each) for each in (left, right)]
    quotient = sides[0] / sides[1]
    assert isinstance(quotient, Expression)
    np.testing.assert_array_equal(evaluate(quotient.value, ROWS), held[0] / held[1])
    zero = evaluate((ColumnExpression(None, SCHEMA.column("a")) / 0).value, ROWS)
    assert np.isnan(zero).all()
