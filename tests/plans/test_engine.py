"""Both engines: what they take, what they give, and that examples do not see each other."""

import numpy as np
import pytest

from stead.adapters.torch import TorchEngine
from stead.errors import UsageError
from stead.plans.builder import ProgramBuilder
from stead.plans.check import constant_types
from stead.plans.cost import cost
from stead.plans.engine import NumpyEngine, fitting_examples
from stead.plans.program import TensorType

ENGINES = [
    NumpyEngine(),
    TorchEngine(),
    NumpyEngine(chunk=3),
    TorchEngine(chunk=3),
    TorchEngine(memory_bytes=1),
    NumpyEngine(memory_bytes=1),
]


def layer():
    """Give y = relu(w x + c), n = the number of places above 0; c is a constant."""
    b = ProgramBuilder()
    w = b.input("w", "parameter", TensorType("float32", (4, 3)))
    x = b.input("x", "x", TensorType("float32", (3,)))
    c = b.constant(np.array([0.5, -0.5, 1.0, 0.0], dtype=np.float32))
    y = b.add("relu", b.add("add", b.view(b.add("mm", w, b.view(x, (3, 1))), (4,)), c))
    places = b.sum(b.add("lt", b.like(y, 0), y), (0,), keep=False)
    return b.build({"y": y, "n": places, "w": w})


@pytest.mark.parametrize("engine", ENGINES)
def test_one_example_and_many(engine):
    rng = np.random.default_rng(1)
    w, x = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(8, 3)).astype(np.float32)
    wanted = np.maximum(x.astype(np.float64) @ w.T + [0.5, -0.5, 1.0, 0.0], 0)
    y, n, same = engine.run(layer(), [w, x[0]])
    np.testing.assert_allclose(y, wanted[0], rtol=1e-5, atol=1e-6)
    assert n == (wanted[0] > 0).sum()
    assert n.shape == ()
    np.testing.assert_array_equal(same, w)
    y, n, same = engine.run_per_example(layer(), [w], [x])
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(n, (wanted > 0).sum(axis=1))
    assert same.shape == (8, 4, 3)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 3e38])
def test_an_example_does_not_see_the_others(engine, poison):
    rng = np.random.default_rng(2)
    w, x = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(7, 3)).astype(np.float32)
    clean = engine.run_per_example(layer(), [w], [x])
    x[4] = poison
    dirty = engine.run_per_example(layer(), [w], [x])
    others = [0, 1, 2, 3, 5, 6]
    for a, b in zip(clean, dirty, strict=True):
        assert a[others].tobytes() == b[others].tobytes()


@pytest.mark.parametrize("engine", ENGINES[:2])
def test_inputs_are_compared_with_their_types(engine):
    w, x = np.zeros((4, 3), dtype=np.float32), np.zeros((5, 3), dtype=np.float32)
    for shared, examples in (
        ([w], []),
        ([w.T], [x]),
        ([w.astype(np.float64)], [x]),
        ([w], [x[:, :2]]),
        ([w], [x[:0]]),
        ([w], [x[0]]),
        ([w], [x, x]),
        ([], [np.stack([w] * 4), x]),
    ):
        with pytest.raises(UsageError):
            engine.run_per_example(layer(), shared, examples)
    with pytest.raises(UsageError, match="'x' is float32"):
        engine.run(layer(), [w, x])
    with pytest.raises(UsageError, match="differ"):
        engine.run_per_example(layer(), [w, x[0]], [])


@pytest.mark.parametrize("engine", ENGINES[:2])
def test_inputs_stay_as_they_are(engine):
    b = ProgramBuilder()
    x, at = b.input("x", "x", TensorType("float32", (3,))), b.input("at", "x", TensorType("int64", (2,)))
    source = b.full((2,), 1.0, "float32")
    program = b.build({"y": b.add("index_add", x, at, source, axis=0)})
    values, places = np.zeros(3, dtype=np.float32), np.array([1, 1])
    values.flags.writeable = False
    np.testing.assert_array_equal(engine.run(program, [values, places])[0], [0, 2, 0])
    np.testing.assert_array_equal(values, 0)


def test_results_on_fortran_and_strided_inputs():
    w = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(4, 3))
    x = np.arange(12, dtype=np.float32)[::4]
    a, b = (engine.run(layer(), [w, x])[0] for engine in ENGINES[:2])
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, [20.5, 55.5, 93.0, 128.0])


def test_memory_bounds_the_examples_at_once():
    peak = cost(layer(), constant_types(layer())).peak_bytes
    assert fitting_examples(layer(), 10 * peak + 1) == 10
    assert fitting_examples(layer(), 1) == 1
