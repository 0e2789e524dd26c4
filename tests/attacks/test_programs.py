"""Programs and Trainings from somebody who means harm.

Refused before anything is run or allocated, always by a SteadError, and never by something that depends on a row.
"""

import builtins
import io
import pickle
import tracemalloc

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.adapters.torch import TorchEngine
from stead.core import codec
from stead.errors import BadMessage, SteadError, TooExpensive, UnsupportedOperation
from stead.plans.builder import ProgramBuilder
from stead.plans.check import Limits, save_constants
from stead.plans.engine import NumpyEngine
from stead.plans.plan import decode_plan, encode_plan
from stead.plans.program import Input, Program, Step, TensorType

F = "float32"
replace = msgspec.structs.replace


def vector(*shape, dtype=F):
    return TensorType(dtype, shape)


def victim():
    """The gradient of a cross entropy of a layer of two classes, with a look-up and a pooling thrown in."""
    b = ProgramBuilder()
    w = b.input("w", "parameter", vector(2, 4))
    table = b.input("table", "parameter", vector(5, 4))
    x, y = b.input("x", "x", vector(4)), b.input("y", "y", vector(dtype="int64"))
    scale = b.constant(np.array([1.0, 0.5, 2.0, 1.5], dtype=np.float32))
    near = b.view(b.add("index_select", table, b.view(y, (1,)), axis=0), (4,))
    image = b.view(b.add("add", b.add("mul", x, scale), near), (1, 1, 2, 2))
    pooled, places = b.add_all(
        "max_pool2d_with_indices",
        (image,),
        {"size": (2, 2), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)},
    )
    kernel = b.view(b.add("slice", w, axis=0, start=0, end=1, step=1), (1, 1, 2, 2))
    sizes = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    mixed = b.add("convolution", pooled, kernel, **sizes)
    scores = b.view(b.add("mm", w, b.view(mixed, (4, 1))), (2,))
    shifted = b.add("sub", scores, b.add("amax", scores, axes=(0,), keep=True))
    logs = b.add("sub", shifted, b.add("log", b.sum(b.add("exp", shifted), (0,), keep=True)))
    loss = b.add("neg", b.add("gather", logs, b.view(y, (1,)), axis=0))
    top = b.view(b.add("slice", places, axis=2, start=0, end=1, step=1), (3,))
    values = b.add("slice", b.view(pooled, (9,)), axis=0, start=0, end=3, step=1)
    spread = b.add("scatter_add", b.full((4,), 0, F), top, values, axis=0)
    gradient = b.add("convolution_weight_grad", pooled, mixed, **sizes, size=(2, 2))
    return b.build({"loss": b.view(loss, ()), "spread": spread, "gradient": gradient})


def refuse(program, error, words):
    """Refused with the words, and cheaply: no array of the program's sizes is made."""
    data = codec.encode(program)
    tracemalloc.start()
    try:
        with pytest.raises(error, match=words):
            decode_plan(data)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(data) + (4 << 20)
    finally:
        tracemalloc.stop()


def one_step(op, kinds, attributes, *outputs):
    inputs = tuple(Input(f"i{at}", "x", kind) for at, kind in enumerate(kinds))
    step = Step(op, tuple(range(len(kinds))), attributes, outputs)
    return Program(inputs, b"", (step,), (len(kinds),), ("y",))


@pytest.mark.parametrize(
    "op", ["os.system", "eval", "aten.set_.source_Storage", "__import__", "call_function", "full\0"]
)
def test_an_operation_outside_the_table(op):
    refuse(one_step(op, [vector(2)], {}, vector(2)), UnsupportedOperation, "not in the table")


def test_a_lying_shape():
    refuse(one_step("exp", [vector(2)], {}, vector(1 << 20)), BadMessage, "declares")
    refuse(one_step("mm", [vector(2, 3), vector(3, 2)], {}, vector(2, 3)), BadMessage, "declares")
    refuse(
        one_step("index_select", [vector(5, 2), vector(3, dtype="int64")], {"axis": 0}, vector(5, 2)),
        BadMessage,
        "declares",
    )


@pytest.mark.parametrize(
    "program",
    [
        one_step("full", [], {"shape": (1 << 28,), "value": 0.0, "dtype": F}, vector(1 << 28)),
        one_step("expand", [vector(1)], {"shape": (1 << 14, 1 << 14)}, vector(1 << 14, 1 << 14)),
        one_step("arange", [], {"start": 0, "end": 1 << 40, "step": 1}, vector(1 << 40, dtype="int64")),
        one_step("mm", [vector(1 << 15, 1), vector(1, 1 << 15)], {}, vector(1 << 15, 1 << 15)),
        one_step("pad", [vector(1)], {"before": (1 << 30,), "after": (0,), "value": 0.0}, vector((1 << 30) + 1)),
        one_step("full", [], {"shape": (1 << 40,) * 8, "value": 0.0, "dtype": F}, vector(*(1 << 40,) * 8)),
        Program((Input("x", "x", vector(1 << 28)),), b"", (), (0,), ("y",)),
    ],
)
def test_a_gigabyte_in_a_few_bytes(program):
    assert len(codec.encode(program)) < 1000
    refuse(program, TooExpensive, "elements in one value")


def test_a_gigabyte_of_work_space_behind_a_small_result():
    """A huge padding with a huge stride: nine numbers come out, a padded image of terabytes would be made."""
    far = 1 << 22
    attributes = {"stride": (far, far), "padding": (far, far), "dilation": (1, 1), "groups": 1}
    program = one_step("convolution", [vector(1, 1, 2, 2), vector(1, 1, 1, 1)], attributes, vector(1, 1, 3, 3))
    refuse(program, TooExpensive, "bytes of memory")


def test_a_flop_bomb():
    """4096 products of 1024 x 1024 matrices in a few kilobytes."""
    square = vector(1024, 1024)
    steps = tuple(Step("mm", (at, at), {}, (square,)) for at in range(4096))
    program = Program((Input("x", "x", square),), b"", steps, (4096,), ("y",))
    refuse(program, TooExpensive, "flops")


def test_many_values_kept_alive():
    big = vector(1 << 24)
    steps = tuple(Step("exp", (0,), {}, (big,)) for _ in range(64))
    outputs = tuple(range(1, 65))
    program = Program((Input("x", "x", big),), b"", steps, outputs, tuple(f"y{at}" for at in outputs))
    refuse(program, TooExpensive, "bytes of memory")


class Bomb:
    def __reduce__(self):
        return exec, ("import builtins; builtins.stead_was_here = True",)


def numpy_file():
    held = io.BytesIO()
    np.save(held, np.array([Bomb()], dtype=object), allow_pickle=True)
    return held.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Bomb()),
        pickle.dumps({"c0": np.zeros(4)}),
        numpy_file(),
        b"\xff" * 7 + b"\x7f",
        (1 << 30).to_bytes(8, "little") + b"{}",
        (1 << 63).to_bytes(8, "little") + b"{}",
        save_constants([np.zeros(4, dtype=np.float32)])[:-1],
        save_constants([np.zeros(4, dtype=np.float32)]).replace(b"c0", b"d0"),
        save_constants([np.zeros(4, dtype=np.float32)]).replace(b"F32", b"I32"),
    ],
)
def test_constants_that_are_no_safetensors(data):
    refuse(replace(victim(), constants=data), BadMessage, "constants|tensor")
    assert not hasattr(builtins, "stead_was_here")


def test_other_bytes_for_the_same_plan():
    """Each plan has one encoding: field order, integer widths and key order cannot be varied to get a second hash."""
    data = encode_plan(victim())
    fields = msgspec.msgpack.decode(data)
    shuffled = msgspec.msgpack.encode(dict(reversed(fields.items())))
    wide = data.replace(b"\xa4view", b"\xd9\x04view")
    for other in (shuffled, wide, data + b"\xc0"):
        assert other != data
        with pytest.raises(BadMessage):
            decode_plan(other)


ENGINES = [NumpyEngine(), TorchEngine()]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([np.nan, 0, 0, 0], 0),
        ([np.inf, -np.inf, 0, 0], 1),
        ([3e38, 3e38, 3e38, 3e38], 1),
        ([1e-45, -1e-45, 0, 0], 0),
        ([1, 2, 3, 4], -1),
        ([1, 2, 3, 4], 5),
        ([1, 2, 3, 4], 2**62),
        ([1, 2, 3, 4], -(2**63)),
    ],
)
def test_one_chosen_person_breaks_nothing_and_nobody_else(engine, x, y):
    """Whatever stands in one row, no error is raised, and every other row's result is the same to the last bit."""
    rng = np.random.default_rng(4)
    shared = [rng.normal(size=(2, 4)).astype(np.float32), rng.normal(size=(5, 4)).astype(np.float32)]
    xs, ys = rng.normal(size=(6, 4)).astype(np.float32), rng.integers(0, 2, size=6)
    clean = engine.run_per_example(victim(), shared, [xs, ys])
    xs[2], ys[2] = x, y
    dirty = engine.run_per_example(victim(), shared, [xs, ys])
    others = [0, 1, 3, 4, 5]
    for a, b in zip(clean, dirty, strict=True):
        assert np.isfinite(a).all()
        assert a[others].tobytes() == b[others].tobytes()


def test_a_bad_label_shows_in_the_loss_and_in_nothing_else():
    shared = [np.ones((2, 4), dtype=np.float32), np.ones((5, 4), dtype=np.float32)]
    for engine in ENGINES:
        loss, _, _ = engine.run_per_example(victim(), shared, [np.ones((2, 4), np.float32), np.array([7, 1])])
        assert np.isnan(loss[0])
        assert np.isfinite(loss[1])


LIMITS = Limits(elements=1 << 12, flops=1 << 20, peak_bytes=1 << 20)
LEAVES = st.one_of(
    st.integers(-5, 70), st.sampled_from([2**31, 2**53, 2**63 - 1, -(2**63)]), st.floats(allow_nan=False),
    st.sampled_from(["add", "view", "gather", "sum", "float32", "int64", "bool", "float64", "axes", "shape", "", "x"]),
    st.booleans(), st.none(), st.binary(max_size=9), st.lists(st.integers(-2, 9), max_size=4), st.just({}),
)  # fmt: skip


def paths(value, here=()):
    found = [here] if here else []
    if isinstance(value, dict):
        for name, part in value.items():
            found += paths(part, (*here, name))
    elif isinstance(value, list):
        for at, part in enumerate(value):
            found += paths(part, (*here, at))
    return found


PLAIN = encode_plan(victim())
PATHS = paths(msgspec.msgpack.decode(PLAIN))


def run_if_good(data):
    """A mutated plan is refused by a SteadError, or runs on ordinary and on awkward values as declared."""
    try:
        program = decode_plan(data, LIMITS)
    except SteadError:
        return False
    assert isinstance(program, Program)
    for fill in (0.0, np.nan, -1e38):
        inputs = [np.full(item.type.shape, 0).astype(item.type.dtype) for item in program.inputs]
        inputs = [
            np.full_like(array, fill) if array.dtype.kind == "f" else array - 3 * (array.dtype == np.int64)
            for array in inputs
        ]
        for engine in ENGINES:
            found = engine.run(program, inputs)
            assert len(found) == len(program.outputs)
    return True


@settings(deadline=None, max_examples=250)
@given(path=st.sampled_from(PATHS), leaf=LEAVES, again=st.sampled_from(PATHS), second=st.one_of(st.none(), LEAVES))
def test_a_changed_field_is_refused_or_harmless(path, leaf, again, second):
    fields = msgspec.msgpack.decode(PLAIN)
    for where, new in ((path, leaf), (again, second)):
        target = fields
        try:
            for part in where[:-1]:
                target = target[part]
            if new is not None or where is path:
                target[where[-1]] = new
        except (TypeError, KeyError, IndexError):
            continue
    run_if_good(msgspec.msgpack.encode(fields))


@settings(deadline=None, max_examples=250)
@given(at=st.integers(0, len(PLAIN) - 1), byte=st.integers(0, 255), cut=st.integers(0, 3))
def test_a_changed_byte_is_refused_or_harmless(at, byte, cut):
    changed = bytearray(PLAIN)
    changed[at] = byte
    run_if_good(bytes(changed[: len(changed) - cut]))


def test_the_unchanged_plan_runs():
    assert run_if_good(PLAIN)
