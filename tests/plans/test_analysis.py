"""Layouts, lattices and bounds, worked by hand, and what is refused."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.core.schema import Bounds, Column, Schema
from stead.errors import UnknownColumn, UsageError
from stead.plans.analysis import Part, analyse, group_keys, lattice, parts
from stead.plans.query import And, Clip, Compare, Count, Filter, Histogram, IsIn, Mean, Not, Query, Select, Sum

SCHEMA = Schema(
    "north",
    "patient",
    (
        Column("pid", "text"),
        Column("age", "integer", Bounds(0, 120)),
        Column("bp", "real", Bounds(50, 250)),
        Column("sex", "category", categories=("f", "m", "x")),
        Column("dead", "boolean"),
    ),
    people=(1000, 2000),
    person="pid",
    rows_per_person=3,
)


def ask(*aggregates, steps=(), group_by=(), sigmas=()):
    return Query("heart", tuple(steps), tuple(group_by), tuple(aggregates), tuple(sigmas))


def test_layout_of_every_aggregate():
    query = ask(
        Count("n"), Sum("s", "age"), Mean("m", "bp"), Histogram("h", "bp", (50, 100, 250)), group_by=["sex", "dead"]
    )
    assert parts(query, SCHEMA) == (
        Part("n", "count", 1, 1.0, 0.0, 1, 6),
        Part("s", "sum", 1, 1.0, 0.0, 120, 6, "age", 0.0, 120.0, True),
        # half the range is 100, between 2^6 and 2^7: a step of 2^(7 - 20)
        Part("m", "sum", 1, 2.0**-13, 150.0, 100 * 2**13, 6, "bp", 50.0, 250.0, False),
        Part("m", "count", 1, 1.0, 0.0, 1, 6, "bp"),
        Part("h", "cells", 2, 1.0, 0.0, 1, 6, "bp"),
    )
    assert group_keys(query, SCHEMA) == (("f", "m", "x"), (False, True))


def test_one_person_moves_rows_per_person_times_one_row():
    query = ask(Count("n"), Mean("m", "bp"), group_by=["sex"], sigmas=(1, 1, 1))
    bound = analyse(query, SCHEMA)
    assert bound.l2 == bound.linf == (3, 3 * 100 * 2**13, 3)
    assert bound.size == 9


def test_clips_narrow_the_range_and_the_bound():
    steps = [Clip("bp", Bounds(0, 150)), Clip("bp", Bounds(100, 400))]
    (total, _) = parts(ask(Mean("m", "bp"), steps=steps), SCHEMA)
    assert (total.low, total.high, total.offset) == (100.0, 150.0, 125.0)
    assert total.per_row * total.step == 25.0


@pytest.mark.parametrize(
    ("kind", "bounds", "centred", "step", "offset", "per_row"),
    [
        ("boolean", (0, 1), False, 1.0, 0.0, 1),
        ("boolean", (0, 1), True, 0.5, 0.5, 1),
        ("integer", (0, 120), False, 1.0, 0.0, 120),
        ("integer", (0, 121), True, 0.5, 60.5, 121),
        ("integer", (-7, 3), False, 1.0, 0.0, 7),
        ("integer", (0, 2**40), False, 2.0**21, 0.0, 2**19),
        ("real", (0, 1), False, 2.0**-19, 0.0, 2**19),
        ("real", (-0.1, 0.3), False, 2.0**-21, 0.0, math.floor(0.3 * 2**21)),
    ],
)
def test_lattice_by_hand(kind, bounds, centred, step, offset, per_row):
    assert lattice(
        Column("x", kind, Bounds(0, 1) if kind != "boolean" else None), Bounds(*bounds), centred=centred
    ) == (
        step,
        offset,
        per_row,
    )


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300), st.booleans(), st.data())
def test_no_value_in_the_range_goes_beyond_per_row(first, second, centred, data):
    low, high = sorted((first, second))
    if low == high or high - low < 1e-270:
        return
    step, offset, per_row = lattice(Column("x", "real", Bounds(low, high)), Bounds(low, high), centred=centred)
    value = data.draw(st.floats(low, high))
    assert math.frexp(step)[0] == 0.5  # a power of two
    quantised = int((value - offset) / step)
    assert abs(quantised) <= per_row <= 2**20
    # no further from the value than one step (and the rounding of one subtraction)
    exact = (Fraction(value) - Fraction(offset)) / Fraction(step)
    assert abs(exact - quantised) < 1 + Fraction(1, 2**20)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (ask(), "at least one aggregate"),
        (ask(Count("n"), Count("n")), "same name"),
        (ask(Count("sex"), group_by=["sex"]), "name of a group_by column"),
        (ask(Count("")), "printable"),
        (ask(Count("a\x1b[2J")), "printable"),
        (ask(Count("n"), group_by=["sex", "sex"]), "twice"),
        (ask(Count("n"), group_by=["bp"]), "bp"),
        (ask(Histogram("h", "bp", (1, 1))), "ascend"),
        (ask(Histogram("h", "bp", (2, 1))), "ascend"),
        (ask(Histogram("h", "bp", (1, math.nan))), "finite"),
        (ask(Histogram("h", "bp", (1, math.inf))), "finite"),
        (ask(Histogram("h", "bp", (1,))), "edges"),
        (ask(Histogram("h", "bp")), "edges"),
        (ask(Histogram("h", "sex", (0, 1))), "not edges"),
        (ask(Sum("s", "sex")), "category"),
        (ask(Mean("s", "pid")), "tells people apart"),
        (ask(Count("n"), steps=[Clip("sex", Bounds(0, 1))]), r"step 1 \(clip\)"),
        (ask(Count("n"), steps=[Select(("bp",)), Filter(Compare("age", ">", 1))]), r"step 2 \(filter\).*left out"),
        (ask(Count("n"), steps=[Filter(Compare("age", ">", "old"))]), "compare it with a number"),
        (ask(Count("n"), steps=[Filter(Compare("age", ">", True))]), "compare it with a number"),
        (ask(Count("n"), steps=[Filter(Compare("age", ">", math.nan))]), "not finite"),
        (ask(Count("n"), steps=[Filter(Compare("age", ">", 10**400))]), "not finite"),
        (ask(Count("n"), steps=[Filter(Compare("dead", "==", 1))]), "true or false"),
        (ask(Count("n"), steps=[Filter(Compare("dead", "<", True))]), "no order"),
        (ask(Count("n"), steps=[Filter(Compare("sex", "<", "m"))]), "no order"),
        (ask(Count("n"), steps=[Filter(IsIn("sex", ("f", "female")))]), "no category 'female'"),
        (ask(Count("n"), steps=[Filter(And((Not(Compare("sex", "==", 1)),)))]), "compare it with text"),
    ],
)
def test_refused_by_name(query, message):
    with pytest.raises(UsageError, match=message):
        parts(query, SCHEMA)


def test_unknown_column_suggests_the_nearest():
    with pytest.raises(UnknownColumn) as caught:
        parts(ask(Sum("s", "agee")), SCHEMA)
    assert caught.value.hint == 'did you mean "age"?'


@pytest.mark.parametrize("sigmas", [(), (1.0, 1.0), (0.0,), (-1.0,), (0.29,), (math.nan,), (math.inf,), (2.0**41,)])
def test_noise_that_cannot_be_used(sigmas):
    with pytest.raises(UsageError, match="sigma"):
        analyse(ask(Count("n"), sigmas=sigmas), SCHEMA)


@pytest.mark.parametrize("sigma", [0.3, 2.0**40])
def test_noise_at_its_limits(sigma):
    assert analyse(ask(Count("n"), sigmas=(sigma,)), SCHEMA).l2 == (3,)


def test_person_column_of_a_kind_that_tells_nobody_apart():
    schema = Schema("p", "person", (Column("who", "real", Bounds(0, 1)), Column("x", "boolean")), (1, 2), "who")
    with pytest.raises(UsageError, match="person column"):
        parts(ask(Count("n")), schema)
