"""Golden bytes of plans: what was written before the language grew is still the same plan, and so are the new structs.

``first.hex`` was written by the code of before derived columns, joins, bounding and private keys.
"""

from pathlib import Path

import msgspec
import pytest

from stead.core import codec
from stead.core.schema import Bounds, Column, Schema
from stead.errors import BadMessage, SteadError
from stead.plans import query as words
from stead.plans import values
from stead.plans.analysis import parts
from stead.plans.plan import decode_plan, encode_plan
from stead.plans.query import (
    And,
    Bounding,
    Clip,
    Compare,
    CompareValues,
    Count,
    Derive,
    Distinct,
    Filter,
    Histogram,
    IsIn,
    IsNull,
    Join,
    LogisticScore,
    Mean,
    Moments,
    Not,
    Or,
    People,
    PrivateKeys,
    Quantile,
    Query,
    Select,
    Sum,
    Survival,
    TopK,
)
from stead.plans.values import (
    Arithmetic,
    Case,
    Cut,
    DatePart,
    Field,
    Label,
    Number,
    Relabel,
    Truth,
    Unary,
    Within,
)

VECTORS = Path(__file__).parents[1] / "vectors" / "plans"
FIRST = Query(
    "heart",
    (
        Filter(
            And(
                (
                    Compare("age", ">=", 40),
                    Not(IsNull("bp")),
                    Or((IsIn("sex", ("f", "m")), Compare("dead", "==", True))),
                )
            )
        ),
        Clip("bp", Bounds(60.0, 200.0)),
        Select(("age", "bp", "sex")),
    ),
    ("sex",),
    (
        Count("patients"),
        Count("known", "bp"),
        Sum("years", "age"),
        Mean("pressure", "bp"),
        Histogram("ages", "age", (0.0, 40.0, 120.0)),
    ),
    (2.0, 2.0, 900.0, 900.0, 2.0, 2.5),
)
GROWN = Query(
    "heart",
    (
        Derive("bmi", Within(Arithmetic("/", Field("weight"), Field("height")), Bounds(5.0, 90.0))),
        Derive("heavy", Truth(CompareValues(Field("bmi"), ">", Number(30.0)))),
        Derive("low", Unary("floor", Arithmetic("min", Field("bmi"), Number(25.0)))),
        Derive("class", Cut(Field("bmi"), (0.0, 25.0, 90.0), ("thin", "thick"))),
        Derive("illness", Relabel("code", "prefix", (("I2", "heart"),), "other")),
        Derive("side", Case(((IsNull("code"), Label("none")),), Label("some"))),
        Derive("month", DatePart("month", "seen")),
    ),
    ("class",),
    (
        People("people"),
        Distinct("codes", "code"),
        Moments("slope", ("bmi", "marker"), "linear"),
        Quantile("median", "bmi", (0.5,), 2),
        TopK("illnesses", "illness", 2),
        Survival("alive", "low", "heavy", (0.0, 20.0, 25.0), "kaplan-meier"),
        LogisticScore("risk", ("bmi",), "heavy", (0.0, 0.5)),
    ),
    (1.0, 2.0, 3.0, 1.0, 4.0, 5.0, 6.0, 7.0),
    joins=(Join("lab", ("marker",), "left"),),
    bounding=Bounding(groups=2, rows_per_group=3),
    noise="laplace",
    private_keys=PrivateKeys("code", 4.0, 40),
)
PLANS = {"first": FIRST, "grown": GROWN}


@pytest.mark.parametrize("name", PLANS)
def test_a_golden_plan_is_this_value(name):
    golden = bytes.fromhex((VECTORS / f"{name}.hex").read_text())
    assert decode_plan(golden) == PLANS[name]
    assert encode_plan(PLANS[name]) == golden


def test_every_struct_of_the_language_stands_in_a_golden_plan():
    def kinds(part):
        if isinstance(part, msgspec.Struct):
            return {type(part)}.union(*(kinds(getattr(part, name)) for name in part.__struct_fields__))
        return set().union(*map(kinds, part)) if isinstance(part, tuple) else set()

    every = {
        kind
        for module in (words, values)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct
    }
    assert kinds(FIRST) | kinds(GROWN) == every


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_with_one_byte_changed_is_another_plan_or_none(name):
    golden = bytes.fromhex((VECTORS / f"{name}.hex").read_text())
    for at in range(len(golden)):
        changed = bytearray(golden)
        changed[at] ^= 1
        try:
            assert decode_plan(bytes(changed)) != PLANS[name]
        except SteadError:
            continue


def nested(make, levels, start):
    for _ in range(levels):
        start = make(start)
    return start


SCHEMA = Schema("p", "person", (Column("y", "real", Bounds(0, 1)), Column("t", "text")), (1, 9))
SMALL = CompareValues(Field("y"), "<", Number(1.0))
DEEP = {
    "negations": lambda n: Derive("z", nested(lambda v: Unary("negate", v), n, Field("y"))),
    "conditions": lambda n: Derive("z", Truth(nested(Not, n, IsNull("y")))),
    "truths": lambda n: Filter(nested(lambda p: CompareValues(Truth(p), "<", Number(2.0)), n, SMALL)),
    "cases": lambda n: Derive(
        "z", nested(lambda v: Case(((CompareValues(v, "<", Field("y")), Field("y")),)), n, Field("y"))
    ),
    "quotients": lambda n: Filter(
        CompareValues(nested(lambda v: Arithmetic("/", v, Field("y")), n, Field("y")), "<", Field("y"))
    ),
    "alternatives": lambda n: Filter(nested(lambda p: Or((p,)), n, SMALL)),
}


@pytest.mark.parametrize("levels", [40, 300])
@pytest.mark.parametrize("kind", DEEP)
def test_deep_nesting_is_refused_and_ends_in_no_recursion_error(kind, levels):
    """In one's own program, on its way out, and on its way in from bytes that are written around all checks."""
    query = Query("d", (DEEP[kind](levels),), (), (Count("n"),), (1.0,))
    with pytest.raises(SteadError, match="nested deeper than 32"):
        parts(query, SCHEMA)
    if levels > 64:
        with pytest.raises(SteadError, match="cannot be encoded"):
            encode_plan(query)
        with pytest.raises(BadMessage):
            codec.decode(raw(query), Query)


def raw(part):
    """The bytes of a struct, however deep, without the encoder's own recursion."""
    pieces, waiting = [], [part]
    while waiting:
        each = waiting.pop()
        if isinstance(each, msgspec.Struct):
            fields = [each.__struct_config__.tag, *(getattr(each, name) for name in each.__struct_fields__)]
            names = ["type", *each.__struct_fields__]
            pieces.append(bytes([0x80 + len(names)]))
            waiting += [x for pair in zip(reversed(fields), reversed(names), strict=True) for x in pair]
        elif isinstance(each, tuple):
            pieces.append(bytes([0x90 + len(each)]))
            waiting += reversed(each)
        else:
            pieces.append(msgspec.msgpack.encode(each))
    return b"".join(pieces)


WIDE = {
    "labels": Derive("z", Relabel("t", "equal", tuple((f"k{i}", f"l{i}") for i in range(50_000)))),
    "cells": Derive("z", Cut(Field("y"), tuple(i / 5e4 for i in range(50_000)), tuple(f"l{i}" for i in range(49_999)))),
    "branches": Derive("z", Case(tuple((IsNull("y"), Label(f"l{i}")) for i in range(50_000)))),
    "comparisons": Filter(And(tuple(SMALL for _ in range(50_000)))),
    "texts": Filter(IsIn("t", tuple(f"k{i}" for i in range(50_000)))),
    "operations": Derive("z", nested(lambda v: Arithmetic("min", v, v), 14, Field("y"))),
}


@pytest.mark.parametrize("kind", WIDE)
def test_wide_questions_are_refused(kind):
    with pytest.raises(SteadError, match=r"the limit is 4096|2 to 1025 edges"):
        parts(Query("d", (WIDE[kind],), (), (Count("n"),), (1.0,)), SCHEMA)


def test_operations_that_wait_for_each_other_are_refused_beyond_the_limit():
    steps = [Derive("z0", Field("y"))]
    steps += [Derive(f"z{i}", nested(lambda v: Unary("negate", v), 8, Field(f"z{i - 1}"))) for i in range(1, 20)]
    parts(Query("d", tuple(steps[:14]), (), (Count("n"),), (1.0,)), SCHEMA)
    with pytest.raises(SteadError, match="operations wait for each other; the limit is 128"):
        parts(Query("d", tuple(steps), (), (Count("n"),), (1.0,)), SCHEMA)
