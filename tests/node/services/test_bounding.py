"""Which rows of a person count: the kernel, NumPy and a loop over rows agree."""

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.errors import NodeError, UsageError
from stead.node.services.bounding import Wanted, bounded, bounded_sums, native_built, streamed_sums

WAYS = [
    pytest.param(True, marks=pytest.mark.skipif(not native_built(), reason="built without a compiler"), id="native"),
    pytest.param(False, id="numpy"),
]


def by_hand(person, group, most_groups, most_rows):
    """Row after row, with a dictionary for each person."""
    kept, taken = [], {}
    for who, where in zip(person, group, strict=True):
        groups = taken.setdefault(who, {})
        if where == -1 or (where not in groups and len(groups) == most_groups):
            kept.append(False)
            continue
        groups[where] = groups.get(where, 0) + 1
        kept.append(groups[where] <= most_rows)
    return kept


def run(person, group, most_groups, most_rows, native):
    found = bounded(
        np.array(person, dtype=np.int64), np.array(group, dtype=np.int64), most_groups, most_rows, native=native
    )
    assert found.dtype == np.bool_
    return found.tolist()


@st.composite
def clusters(draw, most_group=5):
    """Rows of persons in any order of their numbers, one person's together."""
    numbers = draw(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=6))
    sizes = draw(st.lists(st.integers(1, 60), min_size=len(numbers), max_size=len(numbers)))
    person = [number for number, size in zip(numbers, sizes, strict=True) for _ in range(size)]
    wide = st.sampled_from((-1, 0, 2**63 - 1, 2**40))
    groups = st.one_of(st.integers(-1, most_group), wide) if most_group < 20 else st.integers(-1, most_group)
    return person, draw(st.lists(groups, min_size=len(person), max_size=len(person)))


@pytest.mark.parametrize("native", WAYS)
@given(rows=st.one_of(clusters(), clusters(most_group=80)), most_groups=st.integers(1, 40), most_rows=st.integers(1, 4))
def test_first_rows_of_first_groups(native, rows, most_groups, most_rows):
    assert run(*rows, most_groups, most_rows, native) == by_hand(*rows, most_groups, most_rows)


@pytest.mark.parametrize("native", WAYS)
def test_hand_worked_rows(native):
    person = [7, 7, 7, 7, 7, 7, 3, 3, 9]
    group = [4, -1, 2, 4, 8, 4, 8, 8, -1]
    #        4 first, no group, 2 second, 4 again, a third group, 4 for the third time; 8 twice; no group
    assert run(person, group, 2, 2, native) == [True, False, True, True, False, False, True, True, False]
    assert run(person, group, 1, 1, native) == [True, False, False, False, False, False, True, False, False]
    assert run(person, group, 2**70, 2**70, native) == [where >= 0 for where in group]
    assert run([], [], 1, 1, native) == []


@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize("groups", [1, 15, 16, 17, 31, 32, 33, 1000, 2**19])
@pytest.mark.parametrize("spread", [1, 2**20, 2**44])
def test_one_person_of_many_rows_and_groups(native, groups, spread):
    """Each group twice, the second half in another order; groups that differ in high bits only, too."""
    if groups == 2**19 and spread == 2**44:
        spread = 2**43  # the largest group stays below 2^63
    numbers = np.arange(groups, dtype=np.int64) * spread
    group = np.concatenate([numbers, numbers[::-1]])
    person = np.zeros(2 * groups, dtype=np.int64)
    most = groups // 2 + 1
    first = np.arange(groups) < most
    found = bounded(person, group, most, 2, native=native)
    assert np.array_equal(found, np.concatenate([first, first[::-1]]))
    found = bounded(person, group, groups, 1, native=native)
    assert np.array_equal(found, np.arange(2 * groups) < groups)


@pytest.mark.parametrize("native", WAYS)
@given(rows=clusters(), most_groups=st.integers(1, 3), most_rows=st.integers(1, 3), data=st.data())
def test_a_person_more_changes_nobody_else(native, rows, most_groups, most_rows, data):
    person, group = rows
    whole = run(person, group, most_groups, most_rows, native)
    if not person:
        return
    gone = data.draw(st.sampled_from(person))
    others = [who != gone for who in person]
    left = [(who, where) for who, where, stays in zip(person, group, others, strict=True) if stays]
    alone = run([who for who, _ in left], [where for _, where in left], most_groups, most_rows, native)
    assert alone == [kept for kept, stays in zip(whole, others, strict=True) if stays]
    assert sum(kept for kept, stays in zip(whole, others, strict=True) if not stays) <= most_groups * most_rows


@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize("person", [[1, 2, 1], [2, 1, 2], [5, 5, 4, 3, 4], [0, 1, 2, 3, 0]])
def test_rows_that_do_not_stand_together(native, person):
    with pytest.raises(NodeError, match="do not stand together"):
        run(person, [0] * len(person), 1, 1, native)


@pytest.mark.parametrize("native", WAYS)
def test_what_is_asked_for_must_make_sense(native):
    for most_groups, most_rows in ((0, 1), (1, 0), (-1, 1)):
        with pytest.raises(UsageError, match="at least 1 group and 1 row"):
            run([1], [1], most_groups, most_rows, native)
    with pytest.raises(NodeError, match="one person and one group"):
        run([1, 2], [1], 1, 1, native)


# --- sums of what is kept ---------------------------------------------------------------------------------------------


@st.composite
def rising(draw):
    """Rows of rising persons: (person, group, value, cell) each, and how many groups and cells there are."""
    groups, cells = draw(st.sampled_from((1, 3, 300))), draw(st.integers(1, 4))
    sizes = draw(st.lists(st.integers(1, 8), max_size=6))
    person = sorted(draw(st.lists(st.integers(-5, 2**31 - 1), unique=True, min_size=len(sizes), max_size=len(sizes))))
    count = sum(sizes)
    columns = [
        draw(st.lists(of, min_size=count, max_size=count))
        for of in (st.integers(0, groups - 1), st.integers(-(2**31), 2**31 - 1), st.integers(0, cells - 1))
    ]
    who = [number for number, size in zip(person, sizes, strict=True) for _ in range(size)]
    return list(zip(who, *columns, strict=True)), groups, cells


def stream_of(rows, kind):
    """The rows as an engine hands them over; the connection must live as long as the stream."""
    connection = duckdb.connect(":memory:", config={"threads": 1})
    names = {"person": "INTEGER", "place": kind, "value": "INTEGER", "cell": "INTEGER"}
    connection.execute(f"CREATE TABLE rows ({', '.join(f'{name} {of}' for name, of in names.items())})")
    if rows:
        connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", rows)
    return connection, connection.sql("SELECT * FROM rows").__arrow_c_stream__()


def added_up(rows, bounds, wanted, native):
    kind = "UTINYINT" if wanted.groups <= 256 else "INTEGER"
    if native:
        connection, stream = stream_of(rows, kind)
        with connection:
            return [total.tolist() for total in streamed_sums(stream, bounds, wanted)]
    columns = [np.array([row[place] for row in rows], dtype=np.int32) for place in range(4)]
    return [total.tolist() for total in bounded_sums(*columns[:2], columns[2:], bounds, wanted)]


@pytest.mark.parametrize("native", WAYS)
@given(rising(), st.tuples(st.integers(1, 4), st.integers(1, 3)))
def test_sums_of_the_kept_rows(native, drawn, bounds):
    rows, groups, cells = drawn
    kept = by_hand([row[0] for row in rows], [row[1] for row in rows], *bounds)
    left = [row for row, stays in zip(rows, kept, strict=True) if stays]
    per_group = [[row for row in left if row[1] == group] for group in range(groups)]
    assert added_up(rows, bounds, Wanted(groups, 1, (cells,)), native) == [
        [[len(own)] for own in per_group],
        [[len({row[0] for row in own})] for own in per_group],
        [[sum(row[2] for row in own)] for own in per_group],
        [[sum(row[3] == cell for row in own) for cell in range(cells)] for own in per_group],
    ]


@pytest.mark.parametrize("native", WAYS)
def test_a_person_goes_on_in_the_next_batch(native):
    """DuckDB hands over at most 2048 rows at a time by default, and a million at once on this way."""
    rows = [(7, place % 2, 1, 0) for place in range(5000)]
    assert added_up(rows, (1, 3000), Wanted(2, 1, (1,)), native)[2] == [[2500], [0]]
    assert added_up(rows, (2, 1600), Wanted(2, 1, (1,)), native)[2] == [[1600], [1600]]


@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize(
    "rows",
    [
        [(2, 0, 0, 0), (1, 0, 0, 0)],  # persons fall
        [(1, 3, 0, 0)],  # no such group
        [(1, 0, 0, 2)],  # no such cell
        [(1, 0, 0, -1)],
    ],
)
def test_rows_that_are_no_rows_are_refused(native, rows):
    with pytest.raises(NodeError, match="do not stand together"):
        added_up(rows, (1, 1), Wanted(3, 1, (2,)), native)


@pytest.mark.parametrize("native", WAYS)
def test_sums_need_bounds(native):
    for bounds in ((0, 1), (1, 0)):
        with pytest.raises(UsageError, match="at least 1 group and 1 row"):
            added_up([(1, 0, 0, 0)], bounds, Wanted(1, 1, (1,)), native)


@pytest.mark.skipif(not native_built(), reason="built without a compiler")
@pytest.mark.parametrize(
    ("selected", "refusal"),
    [
        ("1::BIGINT, 0::UTINYINT", "do not stand together"),
        ("1::INTEGER, 0::UTINYINT, 1.5::DOUBLE", "do not stand together"),
        ("1::INTEGER, 0::UTINYINT, 1::INTEGER", "do not stand together"),  # a column that nobody wants
        ("1::INTEGER", "do not stand together"),
        ("NULL::INTEGER, 0::INTEGER", "do not stand together"),
        ("1::INTEGER, CAST(CASE WHEN range = 2999999 THEN 'x0' ELSE '0' END AS INTEGER)", "engine failed"),
    ],
)
def test_a_stream_of_other_columns_is_refused(selected, refusal):
    with duckdb.connect(":memory:") as connection:
        stream = connection.sql(f"SELECT {selected} FROM range(3000000)").__arrow_c_stream__()
        with pytest.raises(NodeError, match=refusal) as found:
            streamed_sums(stream, (1, 1), Wanted(1, 0, ()))
        assert "x0" not in str(found.value)
