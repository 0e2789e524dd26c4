"""Types, the builder, and inputs turned into constants."""

import numpy as np
import pytest

from stead.core import codec
from stead.errors import BadMessage, UnsupportedOperation, UsageError
from stead.plans.builder import ProgramBuilder, bind
from stead.plans.check import check_program, load_constants
from stead.plans.engine import NumpyEngine
from stead.plans.program import Program, TensorType

VECTOR = TensorType("float32", (3,))


def names(program):
    return [step.op for step in program.steps]


def test_sizes_are_exact_whatever_the_shape():
    huge = TensorType("float64", (2**40,) * 8)
    assert huge.elements == 2**320
    assert huge.size_bytes == 2**323
    assert TensorType("bool", ()).size_bytes == 1
    assert str(TensorType("int64", (2, 3))) == "int64[2, 3]"


def test_the_same_step_is_added_once_and_what_is_not_needed_is_left_out():
    b = ProgramBuilder()
    x = b.input("x", "x", VECTOR)
    b.input("unused.buffer", "buffer", VECTOR)
    b.input("unused.parameter", "parameter", VECTOR)
    first, second = b.add("exp", x), b.add("exp", x)
    b.add("log", x)
    b.constant(np.arange(3, dtype=np.float32))
    program = b.build({"y": b.add("add", first, second)})
    assert names(program) == ["exp", "add"]
    assert program.steps[1].inputs == (2, 2)
    assert [item.name for item in program.inputs] == ["x", "unused.parameter"]
    assert program.constants == b""


def test_orders_and_views_fold():
    b = ProgramBuilder()
    x = b.input("x", "x", TensorType("float32", (2, 3, 4)))
    turned = b.add("permute", b.add("permute", x, axes=(2, 0, 1)), axes=(1, 2, 0))
    assert turned == x
    twice = b.add("permute", b.add("permute", x, axes=(2, 0, 1)), axes=(2, 1, 0))
    assert b.view(b.view(x, (6, 4)), (2, 3, 4)) == x
    program = b.build({"y": twice, "z": b.view(b.view(x, (6, 4)), (24,))})
    assert names(program) == ["permute", "view"]
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    (y, _) = NumpyEngine().run(program, [values])
    np.testing.assert_array_equal(y, values.transpose(2, 0, 1).transpose(2, 1, 0))


def test_a_builder_adds_only_what_the_table_holds():
    b = ProgramBuilder()
    x = b.input("x", "x", VECTOR)
    with pytest.raises(UnsupportedOperation, match="fft"):
        b.add("fft", x)
    with pytest.raises(BadMessage, match="float"):
        b.add("exp", b.cast(x, "int64"))
    with pytest.raises(UsageError, match="output"):
        b.build({})


def test_constants_keep_their_order_values_and_types():
    b = ProgramBuilder()
    held = [np.arange(6, dtype=np.int64).reshape(2, 3), np.array([[True, False, True]])]
    values = [b.constant(array) for array in held]
    program = b.build({"y": b.add("where", values[1], values[0], b.like(values[0], 0))})
    check_program(program)
    for found, wanted in zip(load_constants(program), held, strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(NumpyEngine().run(program, [])[0], [[0, 0, 2], [3, 0, 5]])


def test_one_number_everywhere_is_no_constant():
    b = ProgramBuilder()
    program = b.build({"y": b.add("neg", b.constant(np.full(4, 2.5, dtype=np.float32)))})
    assert names(program) == ["full", "neg"]


def test_bound_inputs_become_constants():
    b = ProgramBuilder()
    w, m, x = (b.input(name, role, VECTOR) for name, role in (("w", "parameter"), ("m", "buffer"), ("x", "x")))
    held = b.constant(np.array([1.0, 2.0, 4.0], dtype=np.float32))
    free = b.build({"y": b.add("add", b.add("mul", w, m), b.add("sub", x, held)), "m": m})
    rows = [np.array(row, dtype=np.float32) for row in ([1, 2, 3], [10, 20, 30], [5, 5, 5])]
    bound = bind(free, {"m": rows[1]})
    check_program(bound)
    assert [item.name for item in bound.inputs] == ["w", "x"]
    for found, wanted in zip(NumpyEngine().run(bound, [rows[0], rows[2]]), NumpyEngine().run(free, rows), strict=True):
        np.testing.assert_array_equal(found, wanted)
    with pytest.raises(UsageError, match="nothing"):
        bind(free, {"nothing": rows[0]})
    with pytest.raises(UsageError, match="'m'"):
        bind(free, {"m": rows[0][:2]})


def test_a_program_survives_its_encoding():
    b = ProgramBuilder()
    x = b.input("x", "x", VECTOR)
    program = b.build({"y": b.add("sum", b.add("mul", x, b.like(x, float("-inf"))), axes=(0,), keep=False)})
    assert codec.decode(codec.encode(program), Program) == program
