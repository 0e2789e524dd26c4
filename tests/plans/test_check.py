"""What the checker lets through, and what it refuses, by name of the step."""

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save as save_tensors

from stead.errors import BadMessage, TooExpensive, UnsupportedOperation
from stead.plans.builder import ProgramBuilder
from stead.plans.check import Limits, check_program, constant_types, load_constants, save_constants
from stead.plans.program import Input, Program, Step, TensorType

F3 = TensorType("float32", (3,))
replace = msgspec.structs.replace


def small(constant=True):
    b = ProgramBuilder()
    w, x = b.input("w", "parameter", F3), b.input("x", "x", F3)
    y = b.add("mul", w, x)
    if constant:
        y = b.add("add", y, b.constant(np.array([1.0, 2.0, 3.0], dtype=np.float32)))
    return b.build({"y": b.add("sum", y, axes=(0,), keep=False)})


def changed(at, **changes):
    program = small()
    steps = list(program.steps)
    steps[at] = replace(steps[at], **changes)
    return replace(program, steps=tuple(steps))


def test_a_program_passes_and_is_priced():
    found = check_program(small())
    assert found.flops == 3 + 3 + 3
    assert constant_types(small()) == (F3,)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (changed(0, inputs=(0, 4)), r"step 0 \(mul\): reads a value"),
        (changed(0, inputs=(0, -1)), r"step 0 \(mul\): reads a value"),
        (changed(1, inputs=(3, 4)), r"step 1 \(add\): reads a value"),
        (changed(0, inputs=(0,)), r"step 0 \(mul\): takes 2 inputs; got 1"),
        (changed(0, attributes={"axes": (0,)}), r"step 0 \(mul\): attributes must be none; got axes"),
        (changed(2, attributes={"axes": (0,)}), r"step 2 \(sum\): attributes"),
        (changed(2, attributes={"axes": (1,), "keep": False}), r"step 2 \(sum\): axis 1"),
        (changed(2, attributes={"axes": "0", "keep": False}), r"step 2 \(sum\): attribute axes"),
        (changed(0, outputs=(TensorType("float32", (4,)),)), r"step 0 \(mul\): declares float32\[4\]; .* float32\[3\]"),
        (changed(0, outputs=(TensorType("int64", (3,)),)), r"step 0 \(mul\): declares int64"),
        (changed(0, outputs=()), r"step 0 \(mul\): declares nothing"),
        (changed(0, outputs=(F3, F3)), r"step 0 \(mul\): declares"),
        (replace(small(), outputs=(6,)), "output of the program"),
        (replace(small(), outputs=(-1,)), "output of the program"),
        (replace(small(), outputs=(), output_names=()), "one or more outputs"),
        (replace(small(), output_names=("a", "b")), "a name for each"),
        (replace(small(), output_names=("a b",)), "output names"),
        (replace(small(), output_names=("\x1b[31m",)), "output names"),
        (replace(small(), inputs=small().inputs[:1] * 2), "input names"),
        (replace(small(), inputs=()), "reads a value"),
        (replace(small(), constants=b""), "reads a value|declares"),
        (replace(small(), constants=small().constants + b"\0"), "safetensors"),
        (replace(small(), constants=small().constants[:-1]), "safetensors"),
        (replace(small(), constants=b"\x80\x04K\x01."), "safetensors"),
        (replace(small(), constants=save_tensors({"c1": np.zeros(3, np.float32)})), "named c0"),
        (replace(small(), constants=save_tensors({"c0": np.zeros(3, np.float16)})), "float16"),
        (replace(small(), constants=save_tensors({"c0": np.zeros(0, np.float32)})), "1 or more"),
        (replace(small(), constants=save_tensors({"c0": np.zeros(3, np.float32)}, {"note": "hello"})), "canonical"),
        (replace(small(), constants=save_tensors({"c0": np.zeros(4, np.float32)})), "broadcast"),
    ],
)
def test_what_is_not_what_it_says_is_refused(program, words):
    with pytest.raises(BadMessage, match=words):
        check_program(program)


@pytest.mark.parametrize("op", ["exec", "aten.add", "", "Add", "x" * 1000])
def test_an_unknown_operation_is_refused_by_name(op):
    with pytest.raises(UnsupportedOperation) as caught:
        check_program(changed(0, op=op))
    assert repr(op[:80]) in caught.value.what
    assert len(caught.value.what) < 200


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(steps=2), "3 steps; the limit is 2"),
        (Limits(values=1), "2 inputs"),
        (Limits(elements=2), "3 elements"),
        (Limits(constants_bytes=10), "bytes of constants"),
        (Limits(flops=8), "9 flops; the limit is 8"),
        (Limits(peak_bytes=40), "bytes of memory"),
    ],
)
def test_limits(limits, words):
    with pytest.raises(TooExpensive, match=words):
        check_program(small(), limits)


def test_too_many_axes_and_empty_axes_are_refused():
    for shape in ((1,) * 9, (0,), (2, -3)):
        kind = TensorType("float32", shape)
        program = Program((Input("x", "x", kind),), b"", (), (0,), ("y",))
        with pytest.raises(BadMessage, match="axes of 1 or more"):
            check_program(program)


def test_a_dtype_outside_the_table_is_refused():
    program = Program((Input("x", "x", TensorType("float16", (2,))),), b"", (), (0,), ("y",))
    with pytest.raises(BadMessage):
        check_program(program)


def test_a_program_may_have_no_steps_and_give_an_input_twice():
    program = Program((Input("x", "x", F3),), b"", (), (0, 0), ("y", "z"))
    assert check_program(program).flops == 0


def test_constants_are_the_same_bytes_each_time():
    arrays = [np.arange(3), np.ones((2, 2), dtype=np.float32), np.array(2.5), np.array([True])]
    data = save_constants(arrays)
    assert data == save_constants([array.copy() for array in arrays])
    program = Program((), data, (Step("neg", (0,), {}, (TensorType("int64", (3,)),)),), (4,), ("y",))
    check_program(program)
    assert [array.shape for array in load_constants(program)] == [(3,), (2, 2), (), (1,)]
