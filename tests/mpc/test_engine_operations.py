"""Every operation of the table on shares against the NumPy engine; what is not supported is refused by name."""

from itertools import combinations

import numpy as np
import pytest
from on_shares import module, near, run, session

from stead.errors import UnsupportedOperation
from stead.mpc.engine import Way
from stead.plans.check import type_of
from stead.plans.engine import NumpyEngine
from stead.plans.ops import OPERATIONS

table = module("tests/plans/test_ops.py")

# What an operation is defined on where there are no infinities and no NaN.
DOMAINS = {
    "log": [lambda x: np.abs(x) + 0.5],
    "log1p": [np.abs],
    "sqrt": [lambda x: np.abs(x) + 0.1],
    "rsqrt": [lambda x: np.abs(x) + 0.1],
    "div": [lambda x: x, lambda x: np.where(x < 0, -1, 1) * (np.abs(x) + 0.5)],
    "pow": [lambda x: np.abs(x) + 0.5, lambda x: x],
}
REFUSED = {}
"""Operations with the text of their refusal; there are none, but for convolutions over three axes."""
MADE_OF_NOTHING = {"full", "arange"}


def inside(op, arrays):
    if op not in DOMAINS:
        return arrays
    return [np.asarray(f(x), dtype=x.dtype) for f, x in zip(DOMAINS[op], arrays, strict=True)]


CASES = [(op, inside(op, arrays), attributes) for op, arrays, attributes in table.CASES]
SPATIAL = [case for case in CASES if case[0] == "convolution" and case[1][1].ndim == 5]
REFUSED_CASES = [case for case in CASES if case[0] in REFUSED] + SPATIAL
SUPPORTED = [case for case in CASES if case[0] not in {*REFUSED, *MADE_OF_NOTHING} and case[1][-1].ndim < 5]
# The other protocols differ in their verbs, which have tests of their own; one case of each operation shows the wiring.
FIRST = list({case[0]: case for case in reversed(SUPPORTED)}.values())[::-1]


def names(cases):
    return [f"{at}-{op}" for at, (op, _, _) in enumerate(cases)]


@pytest.fixture(scope="module", params=["masked", "replicated"])
def protocol(request):
    with session(request.param) as made:
        yield made


@pytest.fixture
def clear():
    with session("cleartext") as made:
        yield made


def program(op, arrays, attributes, order=None):
    return table.program_of(op, [type_of(array) for array in arrays], attributes, order)


def test_every_operation_is_supported_or_refused():
    assert {op for op, _, _ in SUPPORTED} | set(REFUSED) | MADE_OF_NOTHING == set(OPERATIONS)


@pytest.mark.parametrize(("op", "arrays", "attributes"), SUPPORTED, ids=names(SUPPORTED))
def test_secret_inputs_give_what_numpy_gives(clear, op, arrays, attributes):
    made = program(op, arrays, attributes)
    for found, wanted in zip(run(clear, made, arrays), NumpyEngine().run(made, arrays), strict=True):
        near(found, wanted)


@pytest.mark.parametrize(("op", "arrays", "attributes"), FIRST, ids=names(FIRST))
def test_every_protocol_gives_the_same(protocol, op, arrays, attributes):
    made = program(op, arrays, attributes)
    for found, wanted in zip(run(protocol, made, arrays), NumpyEngine().run(made, arrays), strict=True):
        near(found, wanted, 2e-3)


@pytest.mark.parametrize(("op", "arrays", "attributes"), SUPPORTED, ids=names(SUPPORTED))
def test_some_inputs_may_be_public(clear, op, arrays, attributes):
    made, places = program(op, arrays, attributes), range(len(arrays))
    wanted = NumpyEngine().run(made, arrays)
    for secret in (set(chosen) for size in places[1:] for chosen in combinations(places, size)):
        if op == "pow" and secret == {0}:
            continue  # exponents that differ: refused, see below
        for found, expected in zip(run(clear, made, arrays, secret), wanted, strict=True):
            near(found, expected)


@pytest.mark.parametrize(("op", "arrays", "attributes"), SUPPORTED, ids=names(SUPPORTED))
def test_examples_are_mapped_whichever_inputs_differ(clear, op, arrays, attributes):
    places = range(len(arrays))
    for differing in (set(chosen) for size in places for chosen in combinations(places, size + 1)):
        fixed = [at for at in places if at not in differing]
        order = [*fixed, *sorted(differing)]
        made = program(op, arrays, attributes, order)
        shared, own = [arrays[at] for at in fixed], [arrays[at] for at in sorted(differing)]
        examples = [np.stack([np.roll(array.reshape(-1), k).reshape(array.shape) for k in range(3)]) for array in own]
        wanted = NumpyEngine().run_per_example(made, shared, examples)
        way = Way(examples=len(examples))
        for found, expected in zip(run(clear, made, [*shared, *examples], way=way), wanted, strict=True):
            near(found, expected)


LINEAR = {"mm", "bmm", "sum", "add", "view", "permute", "neg", "flip", "slice", "expand", "convolution_weight_grad"}
NUMBERS = [case for case in SUPPORTED if case[0] in {*LINEAR, "mul", "relu"}]


@pytest.mark.parametrize(("op", "arrays", "attributes"), NUMBERS, ids=names(NUMBERS))
def test_sums_over_examples(clear, op, arrays, attributes):
    """The same as mapping and summing, wherever the sum has been moved."""
    made = program(op, arrays, attributes)
    examples = [np.stack([np.roll(array.reshape(-1), k).reshape(array.shape) for k in range(3)]) for array in arrays]
    (each,) = NumpyEngine().run_per_example(made, [], examples)
    (found,) = run(clear, made, examples, way=Way(examples=len(examples), summed=(0,)))
    near(found, each.sum(axis=0))


@pytest.mark.parametrize(("op", "arrays", "attributes"), REFUSED_CASES, ids=names(REFUSED_CASES))
def test_what_is_not_supported_is_refused_before_anything_is_sent(protocol, op, arrays, attributes):
    given = [protocol.share(array) for array in arrays]
    before = protocol.profile.rounds
    with pytest.raises(UnsupportedOperation, match=REFUSED.get(op, "1 or 2")):
        protocol.run(program(op, arrays, attributes), given)
    assert protocol.profile.rounds == before
    near(protocol.share([1.5]).reveal(), [1.5])  # the session goes on


@pytest.mark.parametrize(
    ("op", "arrays", "secret", "text"),
    [
        ("div", [table.floats(3), np.zeros(3, dtype=np.float32)], {0}, "public 0"),
        ("pow", [np.ones(2, dtype=np.float32), np.array([1.0, 2.0], dtype=np.float32)], {0}, "exponents that differ"),
        ("pow", [np.ones(2, dtype=np.float32), np.full(2, 70, dtype=np.float32)], {0}, "power 70"),
        ("pow", [-np.ones(2, dtype=np.float32), np.ones(2, dtype=np.float32)], {1}, "not above 0"),
        ("add", [table.floats(2), np.array([np.inf, 0.0], dtype=np.float32)], {0}, "not finite"),
        ("mul", [table.floats(2), np.array([np.nan, 0.0], dtype=np.float32)], {0}, "not finite"),
    ],
)
def test_public_numbers_that_do_not_fit_are_refused(clear, op, arrays, secret, text):
    with pytest.raises(UnsupportedOperation, match=text):
        run(clear, program(op, arrays, {}), arrays, secret)


def test_too_large_an_index_is_refused(clear):
    arrays = [np.zeros((1 << 13, 2), dtype=np.float32), np.zeros(1 << 12, dtype=np.int64)]
    with pytest.raises(UnsupportedOperation, match="secret indices into an axis of 8,192"):
        run(clear, program("index_select", arrays, {"axis": 0}), arrays)


@pytest.mark.parametrize("op", ["eq", "ne", "lt", "le"])
@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_comparisons_with_infinities_are_known(clear, op, number):
    arrays = [table.floats(3), np.full(3, number, dtype=np.float32)]
    made = program(op, arrays, {})
    for secret in ({0}, {1}):
        given = arrays if secret == {0} else arrays[::-1]
        (found,) = run(clear, made, given, secret)
        np.testing.assert_array_equal(found, NumpyEngine().run(made, given)[0])


@pytest.mark.parametrize(("exponent", "tolerance"), [(2, 1e-3), (3, 2e-3), (0, 0), (-1, 1e-3), (-2, 5e-3), (0.5, 1e-3),
                                                     (-0.5, 1e-3), (7, 2e-2), (1.7, 2e-3)])  # fmt: skip
def test_public_powers(clear, exponent, tolerance):
    arrays = [np.array([0.75, 1.5, 1.25], dtype=np.float32), np.full((), exponent, dtype=np.float32)]
    (found,) = run(clear, program("pow", arrays, {}), arrays, {0})
    near(found, arrays[0] ** exponent, tolerance)
