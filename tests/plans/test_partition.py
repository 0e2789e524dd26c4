"""Which cells a query can read: never fewer than the rows that its filters let through, whatever they hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stead.core.schema import Bounds, Column, Schema
from stead.errors import UsageError
from stead.plans.partition import cells
from stead.plans.query import And, Clip, Compare, Count, Filter, IsIn, IsNull, Not, Or, Query, Select

VALUES = ("a", "b", "c")
COLUMNS = (
    Column(name="ward", kind="category", categories=VALUES),
    Column(name="smoker", kind="boolean"),
    Column(name="age", kind="integer", bounds=Bounds(0, 120)),
)


def schema(partition="ward"):
    return Schema(population="p", unit="patient", columns=COLUMNS, people=(1, 100), partition=partition)


def asked(*steps, group_by=()):
    return Query(dataset="d", steps=steps, group_by=group_by, aggregates=(Count(name="n"),), sigmas=(1.0,))


def where(*predicates):
    return asked(*(Filter(predicate) for predicate in predicates))


WARD_A, SMOKER = Compare("ward", "==", "a"), Compare("smoker", "==", value=True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (where(), VALUES),
        (where(WARD_A), ("a",)),
        (where(Compare("ward", "!=", "a")), ("b", "c")),
        (where(Not(WARD_A)), VALUES),  # rows without a ward pass it
        (where(Not(WARD_A), Not(IsNull("ward"))), ("b", "c")),
        (where(IsNull("ward")), VALUES),
        (where(IsIn("ward", ("c", "a"))), ("a", "c")),
        (where(Or((WARD_A, SMOKER))), VALUES),
        (where(And((WARD_A, SMOKER))), ("a",)),
        (where(SMOKER, WARD_A), ("a",)),
        (where(Not(Or((Compare("ward", "!=", "b"), IsNull("ward"))))), ("b",)),
        (where(WARD_A, Compare("ward", "==", "b")), VALUES),  # no row at all: charged as any other
        (where(Or(())), VALUES),
        (where(And(())), VALUES),
        (asked(Select(("ward",)), Clip("age", Bounds(0, 10)), Filter(WARD_A)), ("a",)),
        (asked(group_by=("ward",)), VALUES),
        (asked(object(), Filter(WARD_A)), VALUES),  # a step that this rule does not know
        (asked(Filter(WARD_A), object()), VALUES),
    ],
)
def test_cells_of_questions(query, expected):
    assert cells(query, schema()) == expected


def test_a_boolean_column_partitions_too():
    assert cells(where(SMOKER), schema("smoker")) == ("true",)
    assert cells(where(Compare("smoker", "!=", value=True)), schema("smoker")) == ("false",)
    assert cells(where(), schema("smoker")) == ("false", "true")
    assert cells(where(SMOKER), schema(None)) is None


def truth(predicate, row):
    """The meaning of predicates as ``plans.query`` states it, on one row of Python values."""
    match predicate:
        case Compare(column, op, value):
            held = row[column]
            return held is not None and ((held == value) if op == "==" else (held != value))
        case IsIn(column, values):
            return row[column] is not None and row[column] in values
        case IsNull(column):
            return row[column] is None
        case And(parts):
            return all(truth(part, row) for part in parts)
        case Or(parts):
            return any(truth(part, row) for part in parts)
        case Not(part):
            return not truth(part, row)


LEAVES = st.one_of(
    st.builds(Compare, st.just("ward"), st.sampled_from(["==", "!="]), st.sampled_from(VALUES)),
    st.builds(IsIn, st.just("ward"), st.lists(st.sampled_from(VALUES), max_size=3).map(tuple)),
    st.builds(Compare, st.just("smoker"), st.sampled_from(["==", "!="]), st.booleans()),
    st.sampled_from([IsNull("ward"), IsNull("smoker")]),
)
PREDICATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=12,
)


@given(st.lists(PREDICATES, max_size=3))
@settings(max_examples=400, deadline=None)
def test_no_row_is_read_of_a_cell_that_is_not_named(predicates):
    named = cells(where(*predicates), schema())
    for ward in (*VALUES, None):
        read = any(
            all(truth(predicate, {"ward": ward, "smoker": smoker}) for predicate in predicates)
            for smoker in (True, False, None)
        )
        if read:
            assert named == VALUES if ward is None else ward in named


@pytest.mark.parametrize("partition", ["age", "nothing"])
def test_a_partition_is_a_column_of_few_known_values(partition):
    with pytest.raises(UsageError):
        schema(partition)


def test_a_partition_has_at_most_64_values_and_tells_nobody_apart():
    def of(count, person=None):
        column = Column(name="ward", kind="category", categories=tuple(map(str, range(count))))
        return Schema(population="p", unit="u", columns=(column,), people=(1, 9), person=person, partition="ward")

    assert len(of(64).partition_values) == 64
    with pytest.raises(UsageError, match="at most 64"):
        of(65)
    with pytest.raises(UsageError, match="tells nobody apart"):
        of(3, person="ward")
