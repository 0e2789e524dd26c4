"""The bounds that the tradeoff benchmark prices its noise by: one person moves each release by no more than it says."""

import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def private():
    """The benchmark's own module, which stands beside its scripts."""
    places = [str(BENCHMARKS / "secure"), str(BENCHMARKS)]
    sys.path[:0] = places
    try:
        yield importlib.import_module("private")
    finally:
        for place in places:
            sys.path.remove(place)


def table(seed, people=40, columns=30):
    """Rows of very different sizes, some of them no numbers at all."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((people, columns)) * 10.0 ** random.integers(-6, 9, (people, 1))
    rows[0], rows[1, 3], rows[2, 5], rows[3] = 36.0, np.nan, -np.inf, 1e300
    return rows


def norm(integers):
    return math.isqrt(sum(int(value) ** 2 for value in integers.reshape(-1))) + 1


def test_a_row_of_both_tables_moves_the_product_by_the_product_of_the_clips(private):
    x, y = table(1), table(2)
    steps = private.sensitivity_of(private.CROSS) * 2 ** (2 * private.ROW_FRACTION)
    moved = [
        norm(private.cross_integers(x, y) - private.cross_integers(np.delete(x, at, 0), np.delete(y, at, 0)))
        for at in range(len(x))
    ]
    assert max(moved) <= steps + 1
    assert max(moved) > 0.99 * steps, "the bound is met by somebody"


def test_the_product_in_floats_is_the_one_of_integers(private):
    x, y = table(3), table(4)
    left, right = (private.ROWS.quantise(rows).astype(object) for rows in (x, y))
    np.testing.assert_array_equal(private.cross_integers(x, y).astype(object), left.T @ right)
    assert private.SIDE * private.ROWS.bound < 2**53, "so no sum of a thousand people is rounded"


def test_any_two_images_differ_by_no_more_than_the_box(private):
    worst = np.full(private.CLASSES, 1e30)
    worst[:3] = np.inf, np.nan, 4.0
    apart = norm(private.logit_integers(worst) - private.logit_integers(-worst))
    assert apart <= private.sensitivity_of("resnet18") * 2**private.LOGIT_FRACTION + 1


def test_a_client_moves_the_sum_by_its_clip(private):
    vector = np.random.default_rng(5).standard_normal(private.LENGTH, dtype=np.float32) * 3
    steps = private.sensitivity_of("sum of 10 x 1M") * 2**private.UPDATE_FRACTION
    assert 0.99 * steps < norm(private.update_integers(vector)) <= steps + 1
