"""A plan's bytes, hash and words."""

import hashlib

import pytest

from stead.core import codec
from stead.core.schema import Bounds, Column, Schema
from stead.errors import BadMessage, SteadError, TooExpensive, UnsupportedOperation
from stead.plans.builder import ProgramBuilder
from stead.plans.check import Limits
from stead.plans.plan import decode_plan, describe, encode_plan, plan_hash
from stead.plans.program import Program, Step, TensorType
from stead.plans.query import Count, Query

SCHEMA = Schema(population="heart", unit="patient", people=(1, 9), columns=(Column("age", "integer", Bounds(20, 100)),))
QUERY = Query(dataset="heart", steps=(), group_by=(), aggregates=(Count("patients"),), sigmas=(2.0,))


def program():
    b = ProgramBuilder()
    x = b.input("x", "x", TensorType("float32", (2, 3)))
    return b.build({"y": b.add("slice", b.add("exp", x), axis=1, start=0, end=2, step=1)})


def test_plans_travel():
    for plan in (QUERY, program()):
        assert decode_plan(encode_plan(plan)) == plan


def test_the_hash_is_of_the_bytes_under_their_domain():
    data = encode_plan(program())
    assert plan_hash(data) == hashlib.sha256(b"\x00\x0astead.plan" + data).digest()


def test_no_other_bytes_are_this_plan():
    data, plan = encode_plan(program()), program()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            found = decode_plan(bytes(changed))
        except SteadError:
            continue
        assert found != plan
        assert plan_hash(bytes(changed)) != plan_hash(data)


def test_what_is_no_plan_is_refused():
    for data in (b"", b"\xc0", encode_plan(program())[:-1], encode_plan(program()) + b"\0", codec.encode({"a": 1})):
        with pytest.raises(BadMessage):
            decode_plan(data)


def test_a_program_is_checked_on_the_way_in():
    with pytest.raises(UnsupportedOperation, match="'shell'"):
        decode_plan(codec.encode(Program((), b"", (Step("shell", (), {}, ()),), (0,), ("y",))))
    with pytest.raises(TooExpensive):
        decode_plan(encode_plan(program()), Limits(steps=1))


def test_a_program_in_words():
    text = describe(program(), SCHEMA)
    assert text.splitlines()[0].startswith("A program of 2 steps; one example takes 6 operations on numbers")
    assert "  takes  %0 x: float32[2, 3], x" in text
    assert "  %1 = exp(%0): float32[2, 3]" in text
    assert "  %2 = slice(%1, axis=1, end=2, start=0, step=1): float32[2, 2]" in text
    assert "  gives  y = %2: float32[2, 2]" in text
    assert "  exp: e to the power x" in text


def test_a_question_in_words():
    assert "count the rows" in describe(QUERY, SCHEMA)
