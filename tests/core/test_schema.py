"""What an owner may declare."""

import pytest

from stead.core.schema import Bounds, Column, Schema
from stead.errors import UnknownColumn, UsageError

AGE = Column(name="age", kind="integer", bounds=Bounds(low=0, high=120))
SEX = Column(name="sex", kind="category", categories=("f", "m"))


@pytest.mark.parametrize(
    ("low", "high"), [(1, 1), (2, 1), (float("-inf"), 1), (0, float("inf")), (float("nan"), 1), (0, float("nan"))]
)
def test_bounds_are_two_finite_numbers_in_order(low, high):
    with pytest.raises(UsageError):
        Bounds(low=low, high=high)


def test_bounds_have_a_width_and_a_middle():
    assert Bounds(low=10, high=30).width == 20
    assert Bounds(low=10, high=30).middle == 20


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "", "kind": "boolean"},
        {"name": "a" * 129, "kind": "boolean"},
        {"name": "a\nb", "kind": "boolean"},
        {"name": "a", "kind": "integer"},
        {"name": "a", "kind": "real"},
        {"name": "a", "kind": "boolean", "bounds": Bounds(low=0, high=1)},
        {"name": "a", "kind": "date"},
        {"name": "a", "kind": "date", "bounds": Bounds(low=0, high=1.5)},
        {"name": "a", "kind": "date", "bounds": Bounds(low=0, high=2932897)},
        {"name": "a", "kind": "date", "bounds": Bounds(low=-719163, high=0)},
        {"name": "a", "kind": "date", "bounds": Bounds(low=0, high=9), "categories": ("x",)},
        {"name": "a", "kind": "category"},
        {"name": "a", "kind": "category", "categories": ("x", "x")},
        {"name": "a", "kind": "text", "categories": ("x",)},
        {"name": "a", "kind": "boolean", "missing_rate": 1.1},
        {"name": "a", "kind": "boolean", "missing_rate": -0.1},
        {"name": "a", "kind": "boolean", "missing_rate": float("nan")},
    ],
)
def test_a_column_that_cannot_be_is_refused(fields):
    with pytest.raises(UsageError):
        Column(**fields)


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": ()},
        {"columns": (AGE, AGE)},
        {"person": "nobody"},
        {"rows_per_person": 2},
        {"person": "age", "rows_per_person": 0},
        {"person": "age", "rows_per_person": (1 << 20) + 1},
        {"people": (0, 1)},
        {"people": (2, 1)},
        {"people": (1, (1 << 40) + 1)},
        {"population": ""},
        {"unit": ""},
    ],
)
def test_a_schema_that_cannot_be_is_refused(changes):
    fields = {"population": "p", "unit": "person", "columns": (AGE, SEX), "people": (1, 10)} | changes
    with pytest.raises(UsageError):
        Schema(**fields)


def test_an_unknown_column_gets_the_nearest_name_as_a_hint():
    schema = Schema(population="p", unit="person", columns=(AGE, SEX), people=(1, 10))
    assert schema.column("age") is AGE
    with pytest.raises(UnknownColumn) as near:
        schema.column("agee")
    assert near.value.hint == 'did you mean "age"?'
    with pytest.raises(UnknownColumn) as far:
        schema.column("zzz")
    assert far.value.hint == "columns: age, sex"


def test_a_date_column_may_span_all_days_that_can_be_written():
    assert Column("seen", "date", Bounds(-719162, 2932896)).bounds.width == 3652058
