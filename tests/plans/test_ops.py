"""Every operation: NumPy against torch, mapping against a loop, and the declared answers to extreme values."""

import importlib.util
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from stead.adapters.torch import TorchEngine
from stead.errors import BadMessage, UnsupportedOperation
from stead.plans.builder import ProgramBuilder
from stead.plans.check import type_of
from stead.plans.engine import NumpyEngine
from stead.plans.ops import OPERATIONS, operation
from stead.plans.program import TensorType

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(5)
INF, NAN = np.inf, np.nan
EXTREME = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-40, 3e38, -3e38, INF, -INF, NAN], dtype=np.float32)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def ints(*shape, low=-3, high=6):
    return RNG.integers(low, high, size=shape)


def flags(*shape):
    return RNG.random(shape) < 0.5


def window(**more):
    return {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), **more}


FLOAT_UNARY = ["neg", "abs", "sign", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "sin", "cos", "tanh"]
FLOAT_UNARY += ["sigmoid", "erf", "relu"]
COMPARISONS = ["eq", "ne", "lt", "le"]
INTEGER_PAIRS = ["add", "sub", "mul", "maximum", "minimum", *COMPARISONS]
FLOAT_PAIRS = ["div", "pow", *INTEGER_PAIRS]
CASES = [
    ("full", [], {"shape": (2, 3), "value": 1.5, "dtype": "float32"}),
    ("full", [], {"shape": (), "value": True, "dtype": "bool"}),
    ("arange", [], {"start": 7, "end": -2, "step": -3}),
    *[(name, [floats(3, 4)], {}) for name in FLOAT_UNARY],
    ("neg", [ints(5)], {}),
    ("abs", [ints(5)], {}),
    *[(name, [flags(3, 4)], {}) for name in ("logical_not",)],
    *[(name, [floats(3, 4), floats(4)], {}) for name in FLOAT_PAIRS],
    *[(name, [floats(4), floats(2, 3, 1)], {}) for name in ["add", "sub", "mul", "div", "maximum", "lt"]],
    *[(name, [ints(3, 4), ints(3, 1)], {}) for name in INTEGER_PAIRS],
    *[(name, [flags(3, 4), flags(4)], {}) for name in ("logical_and", "logical_or", "eq", "ne")],
    ("where", [flags(4), floats(3, 4), floats(3, 1)], {}),
    ("where", [flags(2, 3, 4), ints(4), ints(3, 1)], {}),
    *[("to", [floats(3)], {"dtype": kind}) for kind in ("int64", "bool", "float64", "float32")],
    *[("to", [ints(3)], {"dtype": kind}) for kind in ("float32", "bool")],
    ("to", [flags(3)], {"dtype": "float32"}),
    ("sum", [floats(2, 3, 4)], {"axes": (0, 2), "keep": False}),
    ("sum", [floats(2, 3, 4)], {"axes": (1,), "keep": True}),
    ("sum", [ints(2, 3)], {"axes": (), "keep": False}),
    ("amax", [floats(2, 3, 4)], {"axes": (0, 2), "keep": True}),
    ("amax", [ints(2, 3)], {"axes": (1,), "keep": False}),
    ("argmax", [floats(2, 5)], {"axis": 1, "keep": False}),
    ("argmax", [ints(4, 5)], {"axis": 0, "keep": True}),
    ("view", [floats(2, 6)], {"shape": (3, 1, 4)}),
    ("permute", [floats(2, 3, 4)], {"axes": (2, 0, 1)}),
    ("expand", [floats(3, 1)], {"shape": (2, 3, 4)}),
    ("slice", [floats(2, 7)], {"axis": 1, "start": 1, "end": 6, "step": 2}),
    ("cat", [floats(2, 3), floats(2, 1), floats(2, 2)], {"axis": 1}),
    ("cat", [ints(3), ints(2)], {"axis": 0}),
    ("pad", [floats(2, 3)], {"before": (0, 2), "after": (1, 0), "value": -1.5}),
    ("pad", [flags(3)], {"before": (1,), "after": (2,), "value": True}),
    ("flip", [floats(2, 3, 2)], {"axes": (0, 1)}),
    ("mm", [floats(3, 4), floats(4, 2)], {}),
    ("bmm", [floats(2, 3, 4), floats(2, 4, 2)], {}),
    ("convolution", [floats(2, 3, 6, 5), floats(4, 3, 3, 2)], window(groups=1, stride=(2, 1), padding=(1, 0))),
    ("convolution", [floats(1, 4, 7, 7), floats(6, 2, 3, 3)], window(groups=2, dilation=(2, 1), padding=(2, 3))),
    ("convolution", [floats(1, 3, 8), floats(3, 1, 3)],
     {"stride": (2,), "padding": (1,), "dilation": (2,), "groups": 3}),
    ("convolution", [floats(1, 2, 4, 4, 4), floats(3, 2, 2, 2, 2)],
     {"stride": (1, 1, 2), "padding": (0, 1, 0), "dilation": (1, 1, 1), "groups": 1}),
    ("convolution_transpose", [floats(2, 4, 3, 3), floats(4, 2, 3, 2)],
     window(groups=1, stride=(2, 3), padding=(1, 0), extra=(1, 2))),
    ("convolution_transpose", [floats(1, 4, 3, 3), floats(4, 3, 2, 2)],
     window(groups=2, dilation=(1, 3), extra=(0, 0))),
    ("convolution_weight_grad", [floats(2, 3, 6, 5), floats(2, 4, 3, 4)],
     window(groups=1, stride=(2, 1), padding=(1, 0), size=(3, 2))),
    ("convolution_weight_grad", [floats(1, 4, 7, 7), floats(1, 6, 5, 5)], window(groups=2, size=(3, 3))),
    ("convolution_weight_grad", [floats(1, 2, 8), floats(1, 4, 3)],
     {"stride": (3,), "padding": (0,), "dilation": (1,), "groups": 2, "size": (2,)}),
    ("avg_pool2d", [floats(2, 3, 6, 5)], {"size": (3, 2), "stride": (2, 1), "padding": (1, 0)}),
    ("max_pool2d_with_indices", [floats(2, 3, 7, 6)], window(size=(3, 2), stride=(2, 2), padding=(1, 1))),
    ("max_pool2d_with_indices", [floats(1, 1, 7, 7)], window(size=(2, 3), dilation=(3, 1))),
    ("gather", [floats(3, 5), ints(3, 4, low=-2, high=8)], {"axis": 1}),
    ("gather", [ints(4, 5), ints(6, 3, low=-2, high=6)], {"axis": 0}),
    ("scatter_add", [floats(3, 5), ints(3, 4, low=-2, high=7), floats(3, 4)], {"axis": 1}),
    ("index_select", [floats(5, 2, 3), ints(4, low=-2, high=7)], {"axis": 0}),
    ("index_select", [floats(2, 5), ints(4, low=-2, high=7)], {"axis": 1}),
    ("index_add", [floats(5, 3), ints(4, low=-2, high=7), floats(4, 3)], {"axis": 0}),
    ("index_add", [floats(2, 5, 2), ints(4, low=-2, high=7), floats(2, 4, 2)], {"axis": 1}),
]  # fmt: skip


def program_of(op, kinds, attributes, order=None):
    """One step; ``order`` says in which order the program takes the step's inputs."""
    builder = ProgramBuilder()
    inputs = {at: builder.input(f"i{at}", "x", kinds[at]) for at in order or range(len(kinds))}
    made = builder.add_all(op, [inputs[at] for at in range(len(kinds))], attributes)
    return builder.build({f"o{at}": value for at, value in enumerate(made)})


def run_one(op, *arrays, **attributes):
    arrays = [np.asarray(array) for array in arrays]
    program = program_of(op, [type_of(array) for array in arrays], attributes)
    return NumpyEngine().run(program, arrays), TorchEngine().run(program, arrays)


def derive(row, kinds, attributes):
    row.check_attributes(attributes)
    return row.types(kinds, attributes)


def same(found, wanted, tolerance=2e-6):
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    if found.dtype.kind == "f":
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)
    else:
        np.testing.assert_array_equal(found, wanted)


def test_every_operation_has_a_case():
    assert {op for op, _, _ in CASES} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("op", "arrays", "attributes"), CASES, ids=[f"{at}-{op}" for at, (op, _, _) in enumerate(CASES)]
)
def test_numpy_and_torch_agree(op, arrays, attributes):
    program = program_of(op, [type_of(array) for array in arrays], attributes)
    found, wanted = NumpyEngine().run(program, arrays), TorchEngine().run(program, arrays)
    for a, b in zip(found, wanted, strict=True):
        same(a, b)


@pytest.mark.parametrize(
    ("op", "arrays", "attributes"), CASES, ids=[f"{at}-{op}" for at, (op, _, _) in enumerate(CASES)]
)
def test_mapping_is_a_loop_whichever_inputs_the_examples_differ_in(op, arrays, attributes):
    """Every choice of the inputs that differ; the others' values are made by turning theirs round."""
    places = range(len(arrays))
    choices = [set(chosen) for size in places for chosen in combinations(places, size + 1)]
    for differing in choices:
        fixed = [at for at in places if at not in differing]
        order = [*fixed, *sorted(differing)]
        program = program_of(op, [type_of(array) for array in arrays], attributes, order)
        shared, own = [arrays[at] for at in fixed], [arrays[at] for at in sorted(differing)]
        examples = [np.stack([np.roll(array.reshape(-1), k).reshape(array.shape) for k in range(3)]) for array in own]
        rows = [NumpyEngine().run(program, [*shared, *(array[k] for array in examples)]) for k in range(3)]
        for engine in (NumpyEngine(), NumpyEngine(chunk=2), TorchEngine()):
            found = engine.run_per_example(program, shared, examples)
            for at, array in enumerate(found):
                same(array, np.stack([row[at] for row in rows]), 5e-6)


@pytest.mark.parametrize("op", FLOAT_UNARY)
def test_extreme_values_give_the_same_on_both_engines(op):
    (found,), (wanted,) = run_one(op, EXTREME)
    finite = np.isfinite(wanted) & (np.abs(wanted) < 1e30)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    np.testing.assert_array_equal(found[~finite & ~np.isnan(wanted)] > 0, wanted[~finite & ~np.isnan(wanted)] > 0)
    # Sine and cosine of 3e38 need an exact reduction of the argument, which the two libraries do differently.
    ordinary = finite & (np.abs(EXTREME) < 1e30) if op in ("sin", "cos") else finite
    np.testing.assert_allclose(found[ordinary], wanted[ordinary], rtol=2e-6, atol=1e-38)


@pytest.mark.parametrize("op", FLOAT_PAIRS)
def test_extreme_pairs_give_the_same_on_both_engines(op):
    (found,), (wanted,) = run_one(op, EXTREME[:, None], EXTREME[None, :])
    same(found, wanted)


@pytest.mark.parametrize(
    ("op", "arrays", "attributes", "wanted"),
    [
        ("div", [[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]], {}, [INF, -INF, NAN]),
        ("log", [[0.0, -1.0, INF]], {}, [-INF, NAN, INF]),
        ("log1p", [[-1.0, -2.0]], {}, [-INF, NAN]),
        ("sqrt", [[-1.0, 4.0]], {}, [NAN, 2.0]),
        ("rsqrt", [[0.0, -1.0, 4.0]], {}, [INF, NAN, 0.5]),
        ("exp", [[1000.0, -1000.0]], {}, [INF, 0.0]),
        ("relu", [[NAN, -1.0, 2.0]], {}, [NAN, 0.0, 2.0]),
        ("sigmoid", [[-INF, INF, 0.0, NAN]], {}, [0.0, 1.0, 0.5, NAN]),
        ("sign", [[-3.0, 0.0, NAN]], {}, [-1.0, 0.0, NAN]),
        ("pow", [[-2.0, 0.0], [0.5, 0.0]], {}, [NAN, 1.0]),
        ("maximum", [[NAN, 1.0], [1.0, NAN]], {}, [NAN, NAN]),
        ("sum", [[1.0, NAN]], {"axes": (0,), "keep": False}, NAN),
        ("amax", [[1.0, NAN, 3.0]], {"axes": (0,), "keep": False}, NAN),
    ],
)
def test_declared_floats(op, arrays, attributes, wanted):
    for found in run_one(op, *[np.array(array, dtype=np.float32) for array in arrays], **attributes):
        np.testing.assert_array_equal(found[0], np.float32(wanted))


def test_casts_to_integers_are_total():
    values = np.array([NAN, INF, -INF, 1e30, -1e30, -2.9, 2.9], dtype=np.float32)
    for (found,) in run_one("to", values, dtype="int64"):
        assert found[0] == 0
        assert found[1] == found[3] == 2**63 - 1024
        assert found[2] == found[4] == -(2**63)
        assert list(found[5:]) == [-2, 2]
    for (found,) in run_one("to", np.array([NAN, 0.0, -0.0, 2.0], dtype=np.float32), dtype="bool"):
        assert list(found) == [True, False, False, True]


def test_integers_wrap():
    largest = np.array([2**63 - 1])
    for (found,) in run_one("add", largest, np.array([1])):
        assert found[0] == -(2**63)
    for (found,) in run_one("mul", largest, np.array([2])):
        assert found[0] == -2


def test_a_nan_is_the_largest_for_argmax_and_for_pooling():
    for (found,) in run_one("argmax", np.array([1.0, NAN, 3.0], dtype=np.float32), axis=0, keep=False):
        assert found == 1
    image = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    image[0, 0, 1, 0] = NAN
    for values, places in run_one("max_pool2d_with_indices", image, **window(size=(2, 2), stride=(2, 2))):
        assert np.isnan(values[0, 0, 0, 0])
        assert places[0, 0, 0, 0] == 4
        assert values[0, 0, 1, 1] == 15


def test_indices_outside_read_nothing_and_write_nothing():
    table = np.arange(6, dtype=np.float32).reshape(3, 2)
    index = np.array([-1, 0, 3, 2, 2**62])
    for (found,) in run_one("index_select", table, index, axis=0):
        np.testing.assert_array_equal(found, [[NAN, NAN], [0, 1], [NAN, NAN], [4, 5], [NAN, NAN]])
    for (found,) in run_one("gather", np.array([7, 8]), np.array([1, 2, -1]), axis=0):
        np.testing.assert_array_equal(found, [8, 0, 0])
    for (found,) in run_one("index_add", table, index, np.full((5, 2), 10.0, dtype=np.float32), axis=0):
        np.testing.assert_array_equal(found, [[10, 11], [2, 3], [14, 15]])
    places, source = np.array([[5, 0], [-4, 1]]), np.array([[NAN, 1.0], [INF, 2.0]], dtype=np.float32)
    for (found,) in run_one("scatter_add", np.zeros((2, 2), dtype=np.float32), places, source, axis=1):
        np.testing.assert_array_equal(found, [[1, 0], [0, 2]])


@pytest.mark.parametrize(
    ("op", "kinds", "attributes", "words"),
    [
        ("add", [("float32", (2,)), ("int64", (2,))], {}, "one type"),
        ("add", [("float32", (2,)), ("float32", (3,))], {}, "broadcast"),
        ("add", [("bool", (2,)), ("bool", (2,))], {}, "numbers"),
        ("exp", [("int64", (2,))], {}, "float"),
        ("mm", [("float32", (2, 3)), ("float32", (2, 3))], {}, "multiply"),
        ("bmm", [("float32", (2, 3, 4)), ("float32", (3, 4, 2))], {}, "multiply"),
        ("sum", [("float32", (2, 3))], {"axes": (1, 0), "keep": False}, "ascending"),
        ("sum", [("float32", (2, 3))], {"axes": (2,), "keep": False}, "axis 2"),
        ("sum", [("float32", (2, 3))], {"axes": (-1,), "keep": False}, "axis -1"),
        ("sum", [("float32", (2, 3))], {"axes": (0,), "keep": 1}, "kind bool"),
        ("sum", [("float32", (2, 3))], {"axes": (True,), "keep": False}, "kind ints"),
        ("view", [("float32", (2, 3))], {"shape": (-1,)}, "elements"),
        ("view", [("float32", (2, 3))], {"shape": (-2, -3)}, "elements"),
        ("permute", [("float32", (2, 3))], {"axes": (0, 0)}, "order"),
        ("expand", [("float32", (2, 3))], {"shape": (2, 1)}, "expand"),
        ("slice", [("float32", (4,))], {"axis": 0, "start": 2, "end": 2, "step": 1}, "slice"),
        ("slice", [("float32", (4,))], {"axis": 0, "start": 0, "end": 5, "step": 1}, "slice"),
        ("cat", [("float32", (2, 3)), ("float32", (3, 3))], {"axis": 1}, "join"),
        ("pad", [("float32", (2,))], {"before": (-1,), "after": (0,), "value": 0.0}, "0 or more"),
        ("pad", [("float32", (2,))], {"before": (1,), "after": (0,), "value": 0}, "kind float"),
        ("full", [], {"shape": (2,), "value": 1, "dtype": "float32"}, "kind float"),
        ("full", [], {"shape": (2,), "value": NAN, "dtype": "float32"}, "kind number"),
        ("full", [], {"shape": (2,), "value": 1.0, "dtype": "complex64"}, "kind dtype"),
        ("arange", [], {"start": 0, "end": 4, "step": 0}, "step 0"),
        ("arange", [], {"start": 0, "end": 1 << 60, "step": 1}, "kind int"),
        ("gather", [("float32", (2, 3)), ("float32", (2, 3))], {"axis": 0}, "int64"),
        ("gather", [("float32", (2, 3)), ("int64", (2, 4))], {"axis": 0}, "larger"),
        ("index_select", [("float32", (2, 3)), ("int64", (2, 2))], {"axis": 0}, "one axis"),
        ("scatter_add", [("float32", (2, 3)), ("int64", (2, 3)), ("float32", (2, 2))], {"axis": 0}, "source"),
        ("convolution", [("float32", (1, 3, 4, 4)), ("float32", (4, 2, 3, 3))], window(groups=1), "fit"),
        ("convolution", [("float32", (1, 3, 4, 4)), ("float32", (4, 3, 5, 5))], window(groups=1), "fit"),
        ("convolution", [("float32", (1, 3, 4, 4)), ("float32", (4, 3, 3, 3))], window(groups=2), "groups"),
        ("convolution", [("float32", (1, 3, 4, 4)), ("float32", (4, 3, 3, 3))], window(groups=1, stride=(0, 1)), "1 o"),
        ("convolution", [("float32", (1, 3, 4, 4)), ("float32", (4, 3, 3, 3))], window(groups=1, stride=(1,)), "each"),
        ("convolution_transpose", [("float32", (1, 3, 4, 4)), ("float32", (3, 3, 3, 3))],
         window(groups=1, extra=(1, 1)), "extra"),
        ("max_pool2d_with_indices", [("float32", (1, 3, 4, 4))], window(size=(2, 2), padding=(2, 2)), "half"),
        ("avg_pool2d", [("float32", (1, 3, 4, 4))], window(size=(2, 2)), "attributes"),
        ("mm", [("float32", (2, 3)), ("float32", (3, 3))], {"alpha": 1}, "attributes"),
    ],
)  # fmt: skip
def test_types_that_do_not_fit_are_refused(op, kinds, attributes, words):
    with pytest.raises(BadMessage, match=words):
        derive(operation(op), [TensorType(dtype, shape) for dtype, shape in kinds], attributes)


def test_the_table_is_closed():
    with pytest.raises(UnsupportedOperation, match="'system'"):
        operation("system")
    with pytest.raises(TypeError):
        OPERATIONS["system"] = OPERATIONS["add"]


def test_each_operation_says_what_it_means():
    for name, row in OPERATIONS.items():
        assert row.name == name
        assert row.meaning
        assert row.totality


def test_the_page_is_the_table():
    path = ROOT / "docs/reference/make_operations.py"
    spec = importlib.util.spec_from_file_location("make_operations", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text() == script.page(), "run docs/reference/make_operations.py"
