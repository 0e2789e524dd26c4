"""Questions that choose groups of each person: the kernel over DuckDB's rows and the NumPy definition agree."""

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stead.core.schema import Bounds, Column, DatasetCard, Schema
from stead.node.services import table_groups
from stead.node.services.bounding import native_built
from stead.node.services.tables import Limits, Table, load
from stead.plans.query import (
    Bounding,
    Clip,
    Compare,
    Count,
    Derive,
    Filter,
    Histogram,
    Mean,
    Moments,
    People,
    Quantile,
    Query,
    Sum,
    Survival,
    TopK,
)
from stead.plans.sums import run_reference
from stead.plans.values import Cut, Field

SCHEMA = Schema(
    "north",
    "patient",
    (
        Column("pid", "integer", Bounds(0, 99)),
        Column("age", "integer", Bounds(0, 120)),
        Column("bp", "real", Bounds(50, 250)),
        Column("ward", "category", categories=("a", "b", "c")),
        Column("dead", "boolean"),
    ),
    people=(1, 100),
    person="pid",
    rows_per_person=6,
)
AGGREGATES = (
    Count("rows"),
    Count("aged", "age"),
    People("people"),
    People("measured", "bp"),  # not by the kernel: the other way must agree too
    Sum("years", "age"),
    Mean("pressure", "bp"),
    Histogram("ages", "age", (0.0, 20.0, 40.0, 120.0)),
    Histogram("wards", "ward"),
    TopK("most", "ward", 2),
    Moments("spread", ("bp",), "variance"),
    Moments("fit", ("age", "bp"), "linear"),
    Quantile("median", "bp", (0.5,), depth=2),
    Quantile("median_age", "age", (0.5,)),
    Survival("curve", "age", "dead", (0.0, 30.0, 60.0, 90.0), "kaplan-meier"),
)
STEPS = (
    Filter(Compare("age", ">", 30)),
    Clip("bp", Bounds(80, 180)),
    Derive("third", Cut(Field("bp"), (50.0, 100.0, 150.0, 250.0), ("low", "middle", "high"))),
)

WAYS = [
    pytest.param(True, marks=pytest.mark.skipif(not native_built(), reason="built without a compiler"), id="native"),
    pytest.param(False, id="numpy"),
]

rows = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.none() | st.integers(-10, 130),
        st.none() | st.floats(40, 260) | st.just(float("nan")),
        st.none() | st.sampled_from(("a", "b", "c", "x")),
        st.none() | st.booleans(),
    ),
    min_size=1,
    max_size=40,
)
bounds = st.builds(
    Bounding,
    rows=st.none() | st.integers(1, 6),
    groups=st.integers(1, 3),
    rows_per_group=st.none() | st.integers(1, 3),
)


@pytest.mark.parametrize("native", WAYS)
@settings(max_examples=25, phases=(Phase.generate, Phase.shrink))
@given(
    held=rows,
    bounding=bounds,
    steps=st.sets(st.sampled_from(range(len(STEPS)))),
    keys=st.sampled_from(((), ("ward",), ("ward", "dead"))),
    chosen=st.lists(st.sampled_from(AGGREGATES), min_size=1, max_size=5, unique_by=lambda each: each.name),
)
def test_the_kernel_says_what_numpy_says(tmp_path_factory, native, held, bounding, steps, keys, chosen):
    columns = dict(zip(("pid", "age", "bp", "ward", "dead"), zip(*held, strict=True), strict=True))
    directory = tmp_path_factory.mktemp("groups")
    types = dict(zip(columns, (pa.int64(), pa.int64(), pa.float64(), pa.string(), pa.bool_()), strict=True))
    table = pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})
    pyarrow.feather.write_feather(table, directory / "rows.arrow", compression="uncompressed")
    card, limits = DatasetCard("heart", SCHEMA), Limits(threads=1, memory_mb=256)
    load(directory / "rows.arrow", card, directory, limits=limits, person_secret=bytes(32))
    query = Query("heart", tuple(STEPS[step] for step in sorted(steps)), keys, tuple(chosen), (), bounding=bounding)
    as_numpy = {
        name: np.array(values, dtype=object if name in ("ward", "dead") else np.float64)
        for name, values in columns.items()
    }
    with Table(directory, card, limits=limits) as opened, pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_groups, "native_built", lambda: native)
        assert opened.run(query).vector.tolist() == run_reference(query, SCHEMA, as_numpy).tolist()
