"""A question reads as what it does: every column, constant and bound is in its words."""

import pytest

from stead.core.schema import Bounds, Column, Schema
from stead.errors import UnknownColumn
from stead.plans.query import (
    And,
    Clip,
    Compare,
    Count,
    Filter,
    Histogram,
    IsIn,
    IsNull,
    Mean,
    Not,
    Or,
    Query,
    Select,
    Sum,
)
from stead.plans.words import describe_predicate, describe_query

SCHEMA = Schema(
    "north",
    "patient",
    (
        Column("pid", "text"),
        Column("age", "integer", Bounds(0, 120)),
        Column("bp", "real", Bounds(50, 250)),
        Column("sex", "category", categories=("f", "m")),
        Column("dead", "boolean"),
    ),
    people=(1000, 2000),
    person="pid",
    rows_per_person=2,
)


def test_a_whole_question():
    query = Query(
        "heart",
        (Filter(Compare("age", ">", 40)), Clip("bp", Bounds(60, 200.5)), Select(("bp", "sex"))),
        ("sex",),
        (Count("n"), Mean("pressure", "bp")),
        (10.0, 2.0**22, 10.0),
    )
    assert describe_query(query, SCHEMA).splitlines() == [
        'A question to "heart" about each patient of "north".',
        "  1. keep the rows where age is above 40;",
        "  2. move bp into 60 to 200.5;",
        "  3. go on with bp and sex only;",
        "  4. make one group for each of sex (2 values);",
        '  5. "n": count the rows in each group;',
        '  6. "pressure": the mean of bp, as a sum and a count in each group.',
        "Released: 6 numbers, each with noise. One patient has at most 2 rows in use and can move:",
        '  - the counts of "n" by at most 2; the noise has standard deviation 10.',
        (
            '  - the sum of "pressure" by at most 140.5 (1150976 steps of 0.00012207); '
            "the noise has standard deviation 512."
        ),
        '  - the counts of "pressure" by at most 2; the noise has standard deviation 10.',
    ]


@pytest.mark.parametrize(
    ("predicate", "words"),
    [
        (Compare("age", "<=", 40), "age is at most 40"),
        (Compare("bp", "!=", 0.1), "bp is not 0.1"),
        (Compare("age", ">=", 123456789), "age is at least 123456789"),
        (Compare("dead", "==", True), "dead is true"),
        (IsIn("sex", ("f", "m")), 'sex is one of "f" and "m"'),
        (Not(IsNull("bp")), "not (bp is missing)"),
        (
            And((Compare("age", "<", 1), Or((IsNull("bp"), Compare("sex", "==", "f"))))),
            'age is below 1 and (bp is missing or sex is "f")',
        ),
        (And(()), "always"),
        (Or(()), "never"),
    ],
)
def test_conditions(predicate, words):
    assert describe_predicate(predicate) == words


def test_every_value_of_a_long_list_is_shown():
    values = tuple(float(i) for i in range(200))
    words = describe_predicate(IsIn("age", values))
    assert all(f" {i}," in words for i in range(1, 198))


def test_other_aggregates():
    query = Query(
        "h",
        (),
        (),
        (Sum("s", "age"), Count("k", "bp"), Histogram("b", "bp", (50, 99.5, 250)), Histogram("c", "sex")),
        (),
    )
    text = describe_query(query, SCHEMA)
    assert '"s": add up age;' in text
    assert '"k": count the rows that hold a value of bp;' in text
    assert '"b": count bp in 2 cells with the edges 50, 99.5 and 250;' in text
    assert '"c": count the rows by sex.' in text
    assert "by at most 240 (240 steps of 1)." in text


def test_text_from_a_plan_moves_no_terminal():
    query = Query("d\x1b[2J\u202e\n", (), (), (Count("n"),), ())
    text = describe_query(query, SCHEMA)
    assert "\\u001b[2J\\u202e\\u000a" in text
    assert "\x1b" not in text


def test_what_cannot_be_asked_cannot_be_described():
    with pytest.raises(UnknownColumn):
        describe_query(Query("d", (), (), (Sum("s", "weight"),), ()), SCHEMA)
