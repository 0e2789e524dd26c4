"""Each function's stated error, on its whole domain, whichever way truncations round."""

from pathlib import Path

import numpy as np
import pytest
from clear import clear, on_grid, opened, secret
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import ROWS, UNIT, either_sign, table, tried

from stead.mpc import functions

PAGE = Path(__file__).parents[3] / "docs/theory/functions-on-shares.md"
CHANCES = [0.0, 0.5, 1.0]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_error_is_within_its_bound_and_the_bound_is_not_twice_too_large(row):
    attained = 0.0
    for seed, chance in enumerate(CHANCES):
        found, expected = tried(row, clear(seed, chance), seed)
        share = np.abs(opened(found) - expected) / row.bound(expected)
        assert share.max() <= 1, (chance, share.max())
        attained = max(attained, share.max())
    assert attained >= 0.5, attained


@pytest.mark.parametrize("row", [row for row in ROWS if row.relative], ids=lambda row: row.name)
def test_the_part_that_grows_with_the_result_is_needed(row):
    attained = 0.0
    for seed, chance in enumerate(CHANCES):
        found, expected = tried(row, clear(seed, chance), seed)
        large = np.abs(expected) * row.relative > row.units * UNIT
        assert large.any() or row.name == "rsqrt"
        share = np.abs(opened(found) - expected)[large] / row.bound(expected[large])
        attained = max(attained, share.max(initial=0))
    assert attained >= 0.5 or row.name == "rsqrt", attained


def test_the_page_has_the_table():
    assert "\n".join(table()) in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.shape == (64,) and row.name != "divide"], ids=lambda r: r.name
)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_number_of_the_domain(row, data):
    values = row.samples(np.random.default_rng(0))
    low, high = int(values.min() / UNIT), int(values.max() / UNIT)
    units = data.draw(st.lists(st.integers(low, high).filter(bool), min_size=1, max_size=8))
    numbers = np.array(units, dtype=np.float64) * UNIT  # beyond 2^53 units a float is the nearest that there is
    numbers = numbers[np.abs(numbers) <= values.max()]
    if row.name in {"sqrt", "rsqrt", "log"}:
        numbers = np.abs(numbers)
    found = opened(row.run(clear(data.draw(st.integers(0, 99)), 0.5), secret(numbers)))
    expected = row.oracle(numbers)
    assert (np.abs(found - expected) <= row.bound(expected)).all()


@pytest.mark.parametrize("scale", [0, 8, 20, 32])
@pytest.mark.parametrize("name", ["reciprocal", "exp", "log", "sigmoid", "gelu", "softmax", "sin", "rsqrt", "relu"])
def test_numbers_of_any_scale(name, scale):
    values = np.array([[1.0, 2.0, 3.0], [5.0, 7.0, 4.0]])
    function = getattr(functions, name)
    found = opened(function(clear(3), secret(values, scale)))
    np.testing.assert_allclose(found, opened(function(clear(), secret(values))), rtol=4e-5, atol=4 * UNIT)


def test_what_lies_outside_of_the_domains():
    for chance in CHANCES:
        p = clear(5, chance)
        np.testing.assert_allclose(
            opened(functions.reciprocal(p, secret([0.0, UNIT, -UNIT]))), [2**16, 2**16, -(2**16)], rtol=4e-7, atol=UNIT
        )
        none = secret([0.0, -UNIT, -1.0, -(2.0**44)])
        assert (opened(functions.sqrt(p, none)) <= UNIT).all()
        np.testing.assert_allclose(opened(functions.rsqrt(p, none)), 256, atol=2 * UNIT)
        np.testing.assert_allclose(opened(functions.log(p, none)), np.log(UNIT), atol=1.1 * UNIT)
        np.testing.assert_allclose(opened(functions.log1p(p, secret([-1.0, -5.0]))), np.log(UNIT), atol=1.1 * UNIT)
        high = opened(functions.exp(p, secret([20.8, 21.0, 2.0**45])))
        assert (np.abs(high / 2**30 - 0.99925) < 3e-5).all()
        assert (opened(functions.exp(p, secret([-11.1, -20.0, -(2.0**45)]))) <= UNIT).all()
        far = secret([2.0**45, -(2.0**45)])
        assert (opened(functions.sigmoid(p, far)) == [1, 0]).all()
        assert (opened(functions.tanh(p, far)) == [1, -1]).all()
        assert (opened(functions.gelu(p, far)) == [2.0**45, 0]).all()


def test_quotients_that_are_too_large_stay_at_two_to_the_thirty():
    x, y = np.array([2.0**43, -(2.0**40), 2.0**43, 5.0, -5.0, 0.0]), np.array([UNIT, 1.0, -64.0, 0.0, 0.0, 0.0])
    for chance in CHANCES:
        found = opened(functions.divide(clear(7, chance), secret(x), secret(y)))
        np.testing.assert_allclose(found, [2**30, -(2**30), -(2**30), 5 * 2**16, -5 * 2**16, 0], rtol=5e-7, atol=UNIT)


def test_quotients_broadcast():
    x, y = on_grid(np.arange(1.0, 7.0).reshape(2, 3)), on_grid(np.array([[2.0], [-4.0]]))
    found = opened(functions.divide(clear(1), secret(x), secret(y)))
    assert np.abs(found - x / y).max() <= 1.1 * UNIT


@pytest.mark.parametrize("exponent", [-3, -2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 7, 16])
def test_powers(exponent):
    rng = np.random.default_rng(1)
    x = on_grid(rng.uniform(0.5, 30, 3000))
    if exponent > 0 and float(exponent).is_integer():
        x = np.concatenate([x, -x])
    x = x[np.abs(x) ** float(exponent) < 2**28]
    found = opened(functions.power(clear(2), secret(x), exponent))
    steps = max(2, abs(exponent)) * 2 ** max(0, -exponent)  # below 0: what x^n loses, over its square
    assert (np.abs(found - x**exponent) <= 1.5 * (steps + 1) * UNIT * np.maximum(1, np.abs(x) ** exponent)).all()


def test_powers_that_are_too_large_saturate():
    found = opened(functions.power(clear(3), secret([1e5, -1e5, 2.0**44]), 3))
    np.testing.assert_allclose(found, [2**29, -(2**29), 2**29], rtol=1e-3)
    with pytest.raises(ValueError, match="64"):
        functions.power(clear(), secret([1.0]), 65)


def test_every_unit_of_either_sign_has_its_magnitude():
    from stead.mpc.functions.magnitude import GROUP, SHIFT, magnitude

    units = np.rint(either_sign(np.random.default_rng(0)) / UNIT)
    found = magnitude(clear(), secret(units * UNIT), signed=True)
    high, low = (np.argmax(part.parts[0], axis=0) for part in (found.high, found.low))
    exponent = GROUP * high + low - SHIFT
    mantissa = (found.centred.parts[0].view(np.int64) / 2.0**30 + 3) / 2
    assert ((mantissa >= 1) & (mantissa <= 2)).all()
    np.testing.assert_allclose(mantissa * 2.0**exponent, np.abs(units), rtol=2.0**-28)
    for part in (found.high, found.low):
        assert (part.parts[0].sum(axis=0) == 1).all()


@pytest.mark.parametrize("bits", [18, 21, 24, 33, 48])
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.name not in {"divide", "softmax ", "sin", "cos"}], ids=lambda r: r.name
)
def test_narrow_numbers(row, bits):
    """``bits`` says that x lies in [-2^(bits-1), 2^(bits-1)) units: its ends are right too."""
    most = 2.0 ** (bits - 1) * UNIT
    values = row.samples(np.random.default_rng(0)).reshape(-1)
    values = np.concatenate([[most - UNIT, -most, most / 2], values])
    values = values[(values >= -most) & (values < most)]
    if row.name in {"sqrt", "rsqrt", "log"}:
        values = values[values > 0]
    if row.name == "exp":
        values = values[values < 20.7937]
    if "softmax" in row.name:
        values = values[: len(values) // 10 * 10].reshape(-1, 10)
    found = getattr(functions, row.name)(clear(1), secret(values), bits=bits)
    expected = row.oracle(values)
    assert (np.abs(opened(found) - expected) <= row.bound(expected)).all()


@pytest.mark.parametrize(
    "name", ["exp", "log", "sigmoid", "gelu", "reciprocal", "rsqrt", "sin", "relu", "sign", "absolute"]
)
@pytest.mark.parametrize("shape", [(0,), (), (2, 0, 3), (1, 1)])
def test_shapes_without_or_with_one_number(name, shape):
    found = getattr(functions, name)(clear(1), secret(np.ones(shape)))
    assert found.shape == shape


@pytest.mark.parametrize("exponent", [-2, 2, 3])
def test_powers_of_narrow_numbers(exponent):
    x = on_grid(np.array([1.9999, -1.9999, 0.5, 1.0, -1.5]))
    found = opened(functions.power(clear(2), secret(x), exponent, bits=18))
    assert np.abs(found - x ** float(exponent)).max() <= 40 * UNIT


def test_clipping_narrow_numbers():
    x = on_grid(np.array([-2.0, 1.9999, 0.3]))
    np.testing.assert_array_equal(opened(functions.clip(clear(), secret(x), -100, 100, bits=18)), x)
    np.testing.assert_array_equal(opened(functions.clip(clear(), secret(x), 100, 100, bits=18)), [100] * 3)
