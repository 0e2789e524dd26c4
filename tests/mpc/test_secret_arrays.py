"""Secret arrays against NumPy, and what they refuse: every way to a value but ``reveal``."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from on_shares import near, session

from stead.errors import UnsupportedOperation, UsageError
from stead.mpc.array import SecretArray

NUMBERS = st.integers(-(1 << 20), 1 << 20).map(lambda whole: whole / (1 << 13))
SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, max_side=4)


@pytest.fixture(scope="module")
def clear():
    with session("cleartext") as made:
        yield made


@pytest.fixture(scope="module")
def masked():
    with session("masked") as made:
        yield made


def pair(draw):
    shape = draw(SHAPES)
    one = draw(arrays.arrays(np.float64, shape, elements=NUMBERS))
    two = draw(arrays.arrays(np.float64, shape, elements=NUMBERS))
    return one, two


BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "maximum": np.maximum, "minimum": np.minimum,
    "less": np.less, "less_equal": np.less_equal, "greater": np.greater, "equal": np.equal, "not_equal": np.not_equal,
    "where": lambda a, b: np.where(a < b, a, b), "concatenate": lambda a, b: np.concatenate([a, b], axis=-1),
    "stack": lambda a, b: np.stack([a, b]), "hstack": lambda a, b: np.hstack([a, b]),
    "vstack": lambda a, b: np.vstack([a, b]), "logical": lambda a, b: (a < b) & ~(b > 0) | (a == b),
    "xor": lambda a, b: (a < b) ^ (a > 0), "public": lambda a, b: 2 * a - b / 4 + np.ones(a.shape[-1]),
    "outer": np.outer, "matmul": lambda a, b: np.matmul(a, np.swapaxes(b, -1, -2)) if a.ndim > 1 else a @ b,
}  # fmt: skip
UNARY = {
    "sum": np.sum, "sum of an axis": lambda a: a.sum(axis=0), "mean": np.mean, "var": np.var, "max": np.max,
    "argmin": np.argmin,
    "argsort": lambda a: np.argsort(a, **({"kind": "stable"} if isinstance(a, np.ndarray) else {})),
    "min of an axis": lambda a: a.min(axis=-1, keepdims=True), "argmax": lambda a: np.argmax(a, axis=-1),
    "sort": lambda a: np.sort(a, axis=0),
    "median": np.median, "quantile": lambda a: np.quantile(a, [0.1, 0.75], axis=0),
    "abs": abs, "negative": lambda a: -a, "sign": np.sign,
    "square": lambda a: a**2, "clip": lambda a: np.clip(a, -5, 7),
    "cumsum": np.cumsum, "any": lambda a: np.any(a > 100, axis=0), "all": lambda a: np.all(a > -100),
    "reshape": lambda a: a.reshape(-1), "transpose": lambda a: a.T,
    "index": lambda a: a[0], "step": lambda a: a[..., ::2],
    "mask": lambda a: a[np.arange(len(a)) % 2 == 0], "new axis": lambda a: a[:, None], "flip": np.flip,
    "roll": lambda a: np.roll(a, 1, axis=0),
    "tile": lambda a: np.tile(a, 2), "repeat": lambda a: np.repeat(a, 2, axis=0),
    "diff": lambda a: np.diff(np.concatenate([a, a], axis=-1)), "moveaxis": lambda a: np.moveaxis(a, 0, -1),
    "to int64": lambda a: a.astype(np.int64), "to bool": lambda a: a.astype(bool), "ravel": np.ravel,
    "squeeze": lambda a: np.squeeze(np.expand_dims(a, 0), 0), "broadcast": lambda a: np.broadcast_to(a, (2, *a.shape)),
    "truths as numbers": lambda a: (a > 0).sum(axis=0), "count": lambda a: (a > 0) * 2 + 1,
}  # fmt: skip


@settings(deadline=None, max_examples=12, derandomize=True)
@given(st.data())
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_arrays(clear, name, data):
    a, b = pair(data.draw)
    wanted = BINARY[name](a, b)
    found = BINARY[name](clear.share(a), clear.share(b))
    assert isinstance(found, SecretArray)
    assert (found.shape, found.ndim, found.size) == (wanted.shape, wanted.ndim, wanted.size)
    near(found.reveal(), wanted, 2e-2)


@settings(deadline=None, max_examples=12, derandomize=True)
@given(st.data())
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_array(clear, name, data):
    a = data.draw(arrays.arrays(np.float64, SHAPES, elements=NUMBERS))
    wanted = np.asarray(UNARY[name](a))
    found = UNARY[name](clear.share(a))
    assert isinstance(found, SecretArray)
    assert found.shape == wanted.shape
    assert found.dtype.kind == wanted.dtype.kind
    near(found.reveal(), wanted, 2e-2)


REALS = {"exp": np.exp, "log": lambda a: np.log(np.abs(a) + 1), "sqrt": lambda a: np.sqrt(np.abs(a)), "tanh": np.tanh,
         "reciprocal": lambda a: 1 / (np.abs(a) + 1), "division": lambda a: a / (a * a + 1), "log1p": lambda a:
         np.log1p(a * a), "expm1": np.expm1, "std": np.std, "sin": np.sin, "cos": np.cos,
         "power": lambda a: (np.abs(a) + 1) ** -0.5}  # fmt: skip


@pytest.mark.parametrize("kind", ["clear", "masked"])
@pytest.mark.parametrize("name", REALS)
def test_real_functions(request, kind, name):
    a = np.random.default_rng(3).normal(size=(3, 4))
    near(REALS[name](request.getfixturevalue(kind).share(a)).reveal(), REALS[name](a), 2e-3)


@pytest.mark.parametrize("name", ["add", "multiply", "less", "where", "matmul", "concatenate"])
def test_masked_arrays(masked, name):
    chance = np.random.default_rng(4)
    a, b = chance.normal(size=(2, 3, 4))
    near(BINARY[name](masked.share(a, owner="p1"), masked.share(b, owner="p2")).reveal(), BINARY[name](a, b))


@pytest.mark.parametrize("name", ["sort", "argmax", "quantile", "var", "to int64", "any"])
def test_masked_folds(masked, name):
    a = np.random.default_rng(5).normal(size=(5, 3)) * 3
    near(UNARY[name](masked.share(a)).reveal(), np.asarray(UNARY[name](a)))


def test_whole_numbers_stay_whole(clear):
    a, b = np.array([3, -4, 1 << 40]), np.array([2, 5, -7])
    x, y = clear.share(a), clear.share(b)
    for found, wanted in ((x + y, a + b), (x * y, a * b), (x - 1, a - 1), (abs(x), abs(a)), (x**2, a**2)):
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found.reveal(), wanted)


@pytest.mark.parametrize("use", [lambda a: a + 1, lambda a: a > 0, lambda a: a / np.ones(4), lambda a: a.sum(axis=0)])
def test_nothing_stays_nothing(clear, use):
    wanted = use(np.ones((0, 4)))
    found = use(clear.share(np.ones((0, 4))))
    assert found.shape == wanted.shape == found.reveal().shape


ALSO = {
    "percentile": lambda a: np.percentile(a, [10, 90], axis=1), "ptp": lambda a: np.ptp(a, axis=0),
    "count_nonzero": lambda a: np.count_nonzero(a > 0, axis=0), "trace": lambda a: np.trace(a, 1),
    "diagonal": lambda a: np.diagonal(a, -1), "std": lambda a: a.std(axis=1, ddof=1, keepdims=True),
    "take": lambda a: a.take([0, 2], axis=1), "repeat": lambda a: a.repeat(2, axis=1), "flatten": lambda a: a.flatten(),
    "one list": lambda a: np.concatenate([a, a[0]], axis=None), "last axis": lambda a: np.stack([a, a], axis=-1),
    "argsort": lambda a: a.argsort(axis=1), "copy": lambda a: a.copy(), "like": lambda a: a + np.full_like(a, 2),
    "swapaxes": lambda a: a.swapaxes(0, 1), "sort": lambda a: np.sort(a, axis=None, kind="stable"),
    "ratios": lambda a: (a + 9) / (a[0] + 9), "ratios of a row": lambda a: (a[0] + 9) / (a + 9),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["clear", "masked"])
@pytest.mark.parametrize("name", ALSO)
def test_more_functions(request, kind, name):
    a = np.random.default_rng(6).normal(size=(3, 4))
    near(ALSO[name](request.getfixturevalue(kind).share(a)).reveal(), np.asarray(ALSO[name](a)))


def test_a_secret_index_takes_rows(clear):
    table = np.arange(12.0).reshape(4, 3)
    near(clear.share(table)[clear.share(np.array([2, 0, 3]))].reveal(), table[[2, 0, 3]])


@pytest.mark.parametrize(
    "take",
    [
        float, int, bool, complex, list, np.asarray, np.array, iter, lambda x: x.tolist(), lambda x: x.item(),
        lambda x: [1, 2][x], lambda x: 1 in x, lambda x: f"{x:.3f}", lambda x: np.save("nowhere", x),
    ],
)  # fmt: skip
def test_no_value_leaves_by_itself(clear, take):
    x = clear.share(1.5)
    with pytest.raises((UsageError, TypeError, UnsupportedOperation)):
        take(x)


def test_the_error_names_reveal(clear):
    with pytest.raises(UsageError, match=r"reveal\(to="):
        bool(clear.share([1.0, 2.0]) > 1)


@pytest.mark.parametrize("copying", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_array_and_a_session_cannot_be_copied(clear, copying):
    for secret in (clear.share([4242.5]), clear):
        with pytest.raises(UsageError, match="cannot be pickled or copied"):
            copying(secret)


@pytest.mark.parametrize("show", [repr, str, lambda x: x._repr_html_(), lambda x: f"{[x]}"])
def test_an_array_prints_redacted(clear, masked, show):
    for where in (clear, masked):
        text = show(where.share(np.full((2, 3), 4242.5)))
        assert "redacted" in text
        assert "4242" not in text


def test_unknown_functions_are_refused_by_name(clear):
    x = clear.share([1.0, 2.0])
    for call, name in ((np.linalg.inv, "inv"), (np.arctan, "arctan"), (np.unique, "unique"), (np.fft.fft, "fft")):
        with pytest.raises(UnsupportedOperation, match=name):
            call(x)
    with pytest.raises(UnsupportedOperation, match=r"add.accumulate"):
        np.add.accumulate(x)
    with pytest.raises(UnsupportedOperation, match="out"):
        np.add(x, 1, out=np.zeros(2))
    with pytest.raises(UnsupportedOperation, match="complex"):
        x.astype(complex)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x.reshape(7), lambda x: x[5],
        lambda x: x[0, 0], lambda x: x.sum(axis=3), lambda x: np.quantile(x, 2.0),
        lambda x: x @ np.ones(5), lambda x: x[x > 0], lambda x: np.transpose(x, (1, 0)),
    ],
)  # fmt: skip
def test_misuse_says_what_is_wrong(clear, use):
    with pytest.raises(UsageError):
        use(clear.share([1.0, 2.0, 3.0]))
