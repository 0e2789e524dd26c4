"""What a scientist, or a row, may try against questions; each try fails in a way that tells nothing."""

import importlib.util
import math
import re
import traceback
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stead.core.codec import decode, encode
from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.errors import BadMessage, SteadError, UnboundedContribution, UnknownColumn, UsageError
from stead.node.services.table_sql import Sources, Statement, row_steps, statements
from stead.node.services.tables import Limits, Table, load
from stead.plans.analysis import analyse, parts
from stead.plans.query import (
    And,
    Clip,
    Compare,
    Count,
    Derive,
    Distinct,
    Filter,
    Histogram,
    IsNull,
    Mean,
    Not,
    Query,
    Select,
    Sum,
)
from stead.plans.sums import run_reference
from stead.plans.values import Field, Relabel

spec = importlib.util.spec_from_file_location("questions", Path(__file__).parents[1] / "questions.py")
questions = importlib.util.module_from_spec(spec)
spec.loader.exec_module(questions)

ONE = Limits(threads=1, memory_mb=256)
QUICK = (Phase.generate, Phase.shrink)
CANARY = "CANARY-7731"

SCHEMA = Schema(
    "north",
    "patient",
    (
        Column("pid", "text"),
        Column("age", "integer", Bounds(0, 120)),
        Column("bp", "real", Bounds(50, 250)),
        Column("sex", "category", categories=("f", "m")),
        Column("dead", "boolean"),
        Column("letter", "text"),
    ),
    people=(1, 1000),
    person="pid",
    rows_per_person=2,
)


def ask(*aggregates, steps=(), group_by=(), sigmas=None):
    return Query("heart", tuple(steps), tuple(group_by), tuple(aggregates), sigmas or ())


def opened(schema, rows, directory):
    directory.mkdir(exist_ok=True)
    questions.write_arrow(schema, rows, directory / "rows.arrow")
    load(directory / "rows.arrow", DatasetCard("any", schema), directory, limits=ONE, person_secret=bytes(32))
    return Table(directory, DatasetCard("any", schema), limits=ONE)


def moved(query, schema, difference):
    """How far each part moved, against what one person is said to be able to do."""
    layout = parts(query, schema)
    bound = analyse(msgspec.structs.replace(query, sigmas=(1.0,) * len(layout)), schema)
    start = 0
    for part, l1, l2, linf in zip(bound.parts, bound.l1, bound.l2, bound.linf, strict=True):
        block = [int(x) for x in difference[start : start + part.size]]
        start += part.size
        yield (
            part,
            (sum(map(abs, block)), l1),
            (sum(x * x for x in block), Fraction(l2) ** 2),
            (max(map(abs, block)), linf),
        )


@settings(max_examples=80, phases=QUICK)
@given(st.data())
def test_one_person_moves_no_part_further_than_the_bound(data):
    schema = data.draw(questions.schemas())
    rows = data.draw(questions.tables(schema))
    size = len(next(iter(rows.values())))
    people = sorted({who for who in rows[schema.person] if who}) if schema.person else range(size)
    person = data.draw(st.sampled_from(people))
    for query in data.draw(st.lists(questions.queries(schema), min_size=3, max_size=3)):
        here = run_reference(query, schema, questions.as_columns(rows))
        there = run_reference(query, schema, questions.as_columns(questions.without(schema, rows, person)))
        for _, *norms in moved(query, schema, here - there):
            assert all(found <= bound for found, bound in norms)


@settings(max_examples=12, phases=QUICK)
@given(st.data())
def test_one_person_moves_no_part_further_in_the_engine(tmp_path_factory, data):
    schema = data.draw(questions.schemas(person=True))
    rows = data.draw(questions.tables(schema, least=4))
    rows[schema.person][1] = "p1"  # two people at least, so that one can be taken away
    directory = tmp_path_factory.mktemp("neighbours")
    asked = data.draw(st.lists(questions.queries(schema), min_size=3, max_size=3))
    with (
        opened(schema, rows, directory / "here") as here,
        opened(schema, questions.without(schema, rows, "p1"), directory / "there") as there,
    ):
        for query in asked:
            for _, *norms in moved(query, schema, here.run(query).vector - there.run(query).vector):
                assert all(found <= bound for found, bound in norms)


def test_the_bound_is_reached():
    """One person with two rows at the end of the range moves a sum by exactly the bound: it is not slack."""
    rows = {"pid": ["a", "a", "a"], "age": [120, 120, 120], "bp": [250, 250, 250], "sex": ["f"] * 3, "dead": [True] * 3}
    query = ask(Count("n"), Sum("s", "bp"), Mean("m", "bp"), Histogram("h", "sex"), sigmas=(1.0,) * 5)
    bound = analyse(query, SCHEMA)
    vector = run_reference(query, SCHEMA, rows)
    assert vector.tolist()[:4] == list(bound.linf[:4])
    assert vector.tolist()[4:] == [bound.linf[4], 0]


def test_more_rows_than_declared_do_nothing(tmp_path):
    row = {"pid": "a", "age": 100, "bp": 200.0, "sex": "f", "dead": True, "letter": ""}
    query = ask(Count("n"), Sum("s", "age"))
    few, many = ({name: [value] * times for name, value in row.items()} for times in (2, 500))
    for rows in (few, many):
        with opened(SCHEMA, rows, tmp_path / str(len(rows["pid"]))) as table:
            assert table.run(query).vector.tolist() == [2, 200]


POISON = (math.nan, math.inf, -math.inf, None, 1.7e308, -1.7e308, 5e-324, -0.0, 2.0**63, -(2.0**63), 2.0**1000)
ASKED = [
    ask(Count("n")),
    ask(Count("n", "bp"), Sum("s", "bp"), Mean("m", "bp")),
    ask(Sum("s", "age"), Mean("m", "age"), group_by=["sex", "dead"]),
    ask(Histogram("h", "bp", (50, 100, 250)), Histogram("a", "age", (-1e300, 0, 1e300)), Histogram("d", "dead")),
    ask(Mean("m", "dead"), steps=[Filter(Not(Compare("bp", ">", 1e300)))]),
    ask(Mean("m", "bp"), steps=[Clip("bp", Bounds(60, 1e9)), Filter(And((Not(IsNull("age")),)))]),
]


@pytest.mark.parametrize("query", ASKED)
def test_no_row_makes_a_question_fail(tmp_path, query):
    """The same question over clean and poisoned rows: it answers, with the same length, inside the bounds."""
    numbers = [*POISON, 100.0]
    whole = [x if x is None or not math.isfinite(x) else float(math.floor(x)) for x in numbers]
    size = len(numbers)
    poisoned = {
        "pid": [str(i) for i in range(size)],
        "age": whole,
        "bp": numbers,
        "sex": ["f", "'; --", "a\0b", "", None, "\ud7ff"] * 2,
        "dead": [None, True, False] * 4,
        "letter": [None] * size,
    }
    clean = poisoned | {"age": [50.0] * size, "bp": [100.0] * size, "sex": ["f"] * size, "dead": [True] * size}
    lengths = set()
    for name, rows in (("poisoned", poisoned), ("clean", clean)):
        with opened(SCHEMA, rows, tmp_path / name) as table:
            vector = table.run(query).vector
        assert vector.tolist() == run_reference(query, SCHEMA, questions.as_columns(rows)).tolist()
        lengths.add(len(vector))
        layout = parts(query, SCHEMA)
        widest = max(part.per_row for part in layout) * size
        assert np.abs(vector).max() <= widest
    assert len(lengths) == 1


@pytest.mark.parametrize(
    ("query", "error", "named"),
    [
        (ask(Sum("s", "bq")), UnknownColumn, "'bq'"),
        (ask(Count("n"), steps=[Filter(Compare("weight", ">", 1))]), UnknownColumn, "'weight'"),
        (ask(Count("n"), group_by=["weight"]), UnknownColumn, "'weight'"),
        (ask(Count("n"), steps=[Select(("rowid",))]), UnknownColumn, "'rowid'"),
        (ask(Histogram("h", "letter")), UsageError, "'letter' is text"),
        (ask(Mean("m", "letter")), UsageError, "'letter' is text"),
        (ask(Count("n"), group_by=["letter"]), UsageError, "'letter' is text"),
        (ask(Count("n"), steps=[Filter(Compare("letter", "<", "x"))]), UsageError, "step 1 (filter)"),
        (ask(Count("n"), steps=[Filter(Compare("letter", "==", "x" * 257))]), UsageError, "1 to 256 characters"),
        (ask(Count("n"), steps=[Filter(Compare("pid", "==", "x"))]), UsageError, "tells people apart"),
        (ask(Count("n", "pid")), UsageError, "tells people apart"),
        (ask(Distinct("n", "pid")), UsageError, "tells people apart"),
        (ask(Count("n"), steps=[Derive("who", Relabel("pid", "prefix", (("a", "a"),)))]), UsageError, "tells people"),
        (ask(Count("n"), steps=[Derive("who", Field("pid"))]), UsageError, "tells people apart"),
        (ask(Count("n"), steps=[Filter(IsNull("pid"))]), UsageError, "tells people apart"),
        (ask(Count("n"), group_by=["pid"]), UsageError, "tells people apart"),
        (ask(Count("n"), group_by=["age"]), UsageError, "group_by"),
        (ask(Sum("s", "bp"), steps=[Clip("bp", Bounds(300, 400))]), UnboundedContribution, "step 1 (clip)"),
        (ask(Sum("s", "sex")), UsageError, "aggregate 's'"),
        (ask(Sum("s", "bp"), steps=[Select(("age",))]), UsageError, "left out"),
    ],
)
def test_refused_before_any_row_is_read(query, error, named):
    with pytest.raises(error, match=re.escape(named)):
        parts(query, SCHEMA)


def test_an_unbounded_sum_cannot_even_be_declared():
    with pytest.raises(UsageError, match="needs bounds"):
        Column("bp", "real")
    for bounds in ((-math.inf, 0.0), (0.0, math.nan), (0.0, math.inf)):
        with pytest.raises(UsageError, match="finite"):
            Bounds(*bounds)


def test_a_schema_from_elsewhere_without_bounds_is_refused():
    """Whoever builds a column around its checks meets the analysis."""
    column = Column("bp", "real", Bounds(0, 1))
    msgspec.structs.force_setattr(column, "bounds", None)
    with pytest.raises(UnboundedContribution, match="aggregate 's'"):
        parts(ask(Sum("s", "bp")), Schema("p", "person", (column,), (1, 2)))


def test_sums_that_could_leave_64_bits_are_refused():
    schema = Schema(
        "p", "person", (Column("x", "real", Bounds(0, 1)), Column("who", "text")), (1, 1 << 40), "who", 1 << 10
    )
    with pytest.raises(UnboundedContribution, match="could reach"):
        analyse(ask(Sum("s", "x"), sigmas=(1.0,)), schema)


def test_ranges_beyond_float_arithmetic_are_refused():
    for bounds in ((-1.7e308, 1.7e308), (0.0, 5e-324)):
        schema = Schema("p", "person", (Column("x", "real", Bounds(*bounds)),), (1, 10))
        with pytest.raises(UnboundedContribution, match="range of column 'x'"):
            parts(ask(Mean("m", "x")), schema)


WORDS = set(
    """
    with as select replace from where and or not is null in true false coalesce cast try_cast double bigint case when
    then else end isnan count sum trunc group by group_index cell placed stored main rows person_rank nothing
    varchar boolean integer date distinct person_index over partition order row_number join left on person_key place
    joined_rank abs floor sqrt starts_with least greatest year quarter month day isodow dayofyear
    """.split()  # noqa: SIM905 - a list of seventy lines
)
NAMED = re.compile(r"([ctvr]|rank|joined)\d+")


TEXTS_OF_PLANS = {*questions.TEXTS, *questions.CATEGORIES, "I", "", "f"}
"""Texts that questions compare with: of the owner's texts, they alone are ever parameters."""


def written(query, schema):
    """All texts and parameters that the engine is given for a question, but for those that read rows in order."""
    sources = Sources(schema, {})
    steps = row_steps(query, sources)
    text = f"WITH {', '.join(steps.tables)} SELECT * FROM {steps.last}"
    return [Statement(text, tuple(steps.parameters), ()), *statements(query, sources, countable(query, schema))]


def countable(query, schema):
    return tuple(part for part in parts(query, schema) if part.kind != "score")


@settings(max_examples=60, phases=QUICK)
@given(st.data())
def test_no_name_or_constant_reaches_the_sql_text(data):
    """The text has no quote, no semicolon, no comment, and no word outside this list, whatever names are."""
    schema = data.draw(questions.schemas())
    query = data.draw(questions.queries(schema))
    for statement in written(query, schema):
        text = statement.text.replace("DATE '1970-01-01'", "DATE")  # the one constant that is written out
        assert not re.search(r"""['"`;\\#$]|--|/\*""", text)
        found = re.findall(r"[^\W\d]\w*", text.lower())
        assert not [word for word in found if word not in WORDS and not NAMED.fullmatch(word)]
        assert text.count("?") == len(statement.parameters)
        assert all(type(value) in (int, float) or value in TEXTS_OF_PLANS for value in statement.parameters)


DEEP = Compare("age", ">", 1)
for _ in range(40):
    DEEP = Not(DEEP)
HUGE = And(tuple(Compare("age", ">", 1) for _ in range(5000)))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (ask(Count("n"), steps=[Filter(DEEP)]), "nested deeper"),
        (ask(Count("n"), steps=[Filter(HUGE)]), "limit is 4096"),
        (ask(Count("n"), steps=[Select(("age",))] * 100), "at most 64 steps"),
        (ask(*(Count(f"n{i}") for i in range(100))), "64 aggregates"),
        (ask(Histogram("h", "age", tuple(range(5000)))), "edges"),
    ],
)
def test_questions_that_are_bombs(query, message):
    with pytest.raises(UsageError, match=message):
        parts(query, SCHEMA)


def test_too_many_cells():
    columns = tuple(Column(f"c{i}", "category", categories=tuple(map(str, range(100)))) for i in range(4))
    schema = Schema("p", "person", columns, (1, 10))
    with pytest.raises(UsageError, match="100000000 numbers"):
        parts(ask(Count("n"), group_by=["c0", "c1", "c2", "c3"]), schema)


def test_a_question_that_is_code_is_no_message():
    """There is no field in which a text to be run could travel."""
    honest = encode(ask(Count("n"), sigmas=(1.0,)))
    for extra in ({"sql": "SELECT 1"}, {"type": "code"}):
        forged = encode(
            {"type": "query", "dataset": "d", "steps": (), "group_by": (), "aggregates": (), "sigmas": ()} | extra
        )
        with pytest.raises(BadMessage):
            decode(forged, Query)
    assert decode(honest, Query) == ask(Count("n"), sigmas=(1.0,))


def shown(error):
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


@pytest.mark.parametrize(
    "content",
    [
        f"pid,age,bp,sex,dead,letter\na,{CANARY},1,f,1,x\n",
        f"pid,age,bp,sex,dead,letter\na,1,{CANARY},f,1,x\n",
        f"pid,age,bp,sex,dead,letter\na,1,1,f,{CANARY},x\n",
        f'pid,age,bp,sex,dead,letter\na,1,1,f,1,"{CANARY}\nb,2,2,m,0,y\n',
        f"pid,age,bp,sex,dead,letter\na,1\n{CANARY},1,1,f,1,x,{CANARY},{CANARY}\n",
        f"{CANARY},1,1,f,1,x\n{CANARY}2,1,1,f,1,x\n",
    ],
)
def test_canaries_in_rows_appear_in_no_load_error(tmp_path, content):
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(SteadError) as caught:
        load(
            tmp_path / "rows.csv", DatasetCard("heart", SCHEMA), tmp_path / "store", limits=ONE, person_secret=bytes(32)
        )
    assert CANARY not in shown(caught.value)


def test_canaries_in_mock_columns_appear_in_no_error():
    with pytest.raises(UsageError) as caught:
        run_reference(ask(Sum("s", "bp")), SCHEMA, {"pid": ["a"], "bp": [CANARY]})
    assert CANARY not in shown(caught.value)


def test_canaries_appear_in_no_repr_of_a_table(tmp_path):
    rows = {"pid": [CANARY], "age": [1], "bp": [100], "sex": [CANARY], "dead": [True], "letter": ["KEPT-7731"]}
    with opened(SCHEMA, rows, tmp_path) as table:
        said = repr(table) + repr(table.columns(["sex"]))
        assert CANARY not in said
        assert "KEPT" not in said
        stored = b"".join(path.read_bytes() for path in tmp_path.glob("*.duckdb"))
        assert CANARY.encode() not in stored
        assert b"KEPT-7731" in stored
