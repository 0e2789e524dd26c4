"""Private questions beside plain ones: the time of each kind over 10 M rows, and the error at equal epsilon.

Time. ``duckdb`` is the baseline: a plain table of native types, two threads, the question written as an analyst would.
``stead`` is ``Table.run`` in a node, on the same rows with two threads: the exact integers that noise is added to.
``variant`` says what bounds one person: ``ranks`` are stored beside the rows, ``groups`` are the first groups of each
person and the first rows in each, chosen while the question runs. Their baseline does not bound anybody;
``groups by windows`` is what DuckDB takes to do so with window functions, and no baseline. Both systems are measured
by turns; ``limit`` is what was promised for ``ratio`` at 10 M rows (a question takes about a millisecond whatever the
rows), and ``within`` whether it is kept. ``gate`` is the whole way of one question through an in-process node: price,
charge, log, run, noise, store, and the client's reading; its baseline is ``Table.run`` alone, and ``overhead_ms`` what
the rest takes. ``peak_mb`` is by how much one more run lets the process grow.

Error. Five populations of 10,000 people with one row each, epsilon 1.0 of the whole answer when one person is added
or taken away. ``error`` is the mean absolute error against the exact answer (over all cells), ``error_se`` its
standard error; for ``stead`` the baseline is the best peer's row, ``ratio`` is of errors, ``ratio_se`` its standard
error, ``ratio_worst`` the largest over one population, and ``within`` says whether the ratio is at most 1 within three
standard errors. See ``_question_errors.py`` for who asks how.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from _question_errors import error_rows
from _question_list import BOUNDED, RANKED, SCHEMA, WINDOWED, Asked, schema_of
from report import Row, Timing, arguments, compared, emit, progress, row, timing_row

from stead import testing
from stead.client.dataset import RemoteDataset
from stead.core.schema import DatasetCard
from stead.node.services.tables import Table

LIMITS = {"ranks": 3.0, "groups": 10.0}
THREADS = 2
DATASET = "patients"
HOSPITAL = "hospital"
WARDS = np.array(SCHEMA.column("ward").categories)
GATE_SIGMAS = (400.0, 400.0 * 2**20, 400.0)
"""Of one count, one sum and its count: large, so that a budget lasts for all runs."""


def people_rows(count: int) -> pa.Table:
    """Rows of made-up patients: one to four each, in no order."""
    draw = np.random.default_rng(4)
    people = draw.integers(1, SCHEMA.rows_per_person, count, endpoint=True)
    person = draw.permutation(np.repeat(np.arange(count), people)[:count])
    return pa.table(
        {
            "pid": person,
            "age": draw.integers(0, 110, count),
            "pressure": np.clip(draw.normal(130, 20, count), 60, 220),
            "ward": WARDS[draw.integers(0, len(WARDS), count)],
            "sick": draw.random(count) < 0.2,
            "followed": draw.uniform(0, 4000, count),
        }
    )


def by_turns(one: Callable[[], object], other: Callable[[], object], runs: int) -> tuple[Timing, Timing]:
    """Both works ``runs`` times, one after the other in each turn; before that each once, unmeasured."""
    works = (one, other)
    seconds: tuple[list[float], list[float]] = ([], [])
    processor: tuple[list[float], list[float]] = ([], [])
    for turn in range(runs + 1):
        for place, work in enumerate(works):
            cpu, start = time.process_time(), time.perf_counter()
            work()
            if turn:
                seconds[place].append(time.perf_counter() - start)
                processor[place].append(time.process_time() - cpu)
    found = [Timing(tuple(each), statistics.median(used)) for each, used in zip(seconds, processor, strict=True)]
    return found[0], found[1]


def peak_mb(work: Callable[[], object]) -> float:
    """By how much one run lets the process grow, at most, in 10^6 bytes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _resident_kb("VmRSS")
    work()
    return max(0.0, round((_resident_kb("VmHWM") - before) * 1024 / 1e6, 1))


def _resident_kb(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def judged(measured: Row, limit: float) -> Row:
    """The row with its limit, and whether it is kept."""
    return measured | {"limit": limit, "within": "yes" if measured["ratio"] <= limit else "no"}


def question_rows(plain: duckdb.DuckDBPyConnection, table: Table, asked: Asked, variant: str, runs: int) -> list[Row]:
    """One question, asked plainly and of the node's table."""
    progress(f"{variant}: {asked.work}")

    def ask_plainly() -> object:
        return plain.execute(asked.sql).fetchall()

    def ask_here() -> object:
        return table.run(asked.query)

    ours, theirs = by_turns(ask_here, ask_plainly, runs)
    baseline = timing_row(asked.work, "duckdb", variant, theirs, peak_mb=peak_mb(ask_plainly))
    measured = timing_row(asked.work, "stead", variant, ours, peak_mb=peak_mb(ask_here))
    return [baseline, judged(compared(measured, baseline), LIMITS[variant])]


def window_row(plain: duckdb.DuckDBPyConnection, baseline: Row) -> Row:
    """The same bounds by window functions, once: for information."""
    progress(f"groups by windows: {baseline['work']}")
    start = time.perf_counter()
    plain.execute(WINDOWED[baseline["work"]]).fetchall()
    timing = Timing((time.perf_counter() - start,))
    return compared(timing_row(baseline["work"], "duckdb", "groups by windows", timing), baseline)


def gate_rows(dataset: RemoteDataset, table: Table, runs: int) -> list[Row]:
    """One question through the whole gate, beside its run alone."""
    progress("gate: mean by ward")
    question = dataset.group_by("ward").agg(rows=dataset.count(), pressure=dataset.pressure.mean())
    plan = question.plan(GATE_SIGMAS)

    def run() -> object:
        return table.run(plan)

    def answer() -> object:
        return question.answer(sigmas=GATE_SIGMAS, why="benchmark")

    whole, alone = by_turns(answer, run, runs)
    baseline = timing_row("mean by ward", "stead", "engine", alone)
    overhead = 1000 * (whole.median - alone.median)
    return [baseline, compared(timing_row("mean by ward", "stead", "gate", whole, overhead_ms=overhead), baseline)]


def speed_rows(count: int, runs: int) -> list[Row]:
    """All timings, over ``count`` rows."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        source = directory / "patients.parquet"
        pyarrow.parquet.write_table(people_rows(count), source)
        with (
            duckdb.connect(str(directory / "plain.duckdb"), config={"threads": THREADS}) as plain,
            testing.local_network([HOSPITAL], directory=directory / "nodes") as network,
        ):
            progress(f"{count:,} rows are loaded")
            plain.execute("CREATE TABLE patients AS SELECT * FROM read_parquet(?)", [str(source)])
            start = time.perf_counter()
            registry = network.nodes[HOSPITAL].registry
            registry.add(source, DatasetCard(DATASET, schema_of(count)))
            rows = [row("load", "stead", "parquet", seconds=time.perf_counter() - start, runs=1, rows=count)]
            table = registry.table(DATASET)
            for asked in RANKED:
                rows += question_rows(plain, table, asked, "ranks", runs)
            for asked in BOUNDED:
                found = question_rows(plain, table, asked, "groups", runs)
                rows += [*found, window_row(plain, found[0])] if asked.work in WINDOWED else found
            return rows + gate_rows(network[HOSPITAL][DATASET], table, runs)


def main() -> None:
    """Measure and report."""
    chosen = arguments(__doc__.splitlines()[0])
    count, runs, repetitions = (1_000_000, 15, 300) if chosen.quick else (10_000_000, 9, 1000)
    rows = speed_rows(count, runs)
    emit("questions", [*rows, *error_rows(repetitions)], as_json=chosen.json)


if __name__ == "__main__":
    main()
