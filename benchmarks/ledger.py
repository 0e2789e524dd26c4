"""The ledger and the log at a million entries: one charge, replay, verify, in SQLite and in PostgreSQL.

The store is written by the benchmark itself (``_long_ledger.py``): with ``entries`` entries and about as many leaves.
Rows ``charge`` (``Ledger.charge`` in a write with its release and its leaf), ``admission`` (the whole decision on a
request, pricing included) and ``append`` (a leaf alone) end when the commit and the signed ``checkpoint.txt`` are on
disk; their baseline is the commit of one plain INSERT into the same database (SQLite: ``synchronous=FULL``; PostgreSQL
as Debian's package runs it). ``limit_s`` is what was promised at a million entries: 10 ms a charge, 60 s a replay.
Rows ``replay`` and ``verify`` have their ``entries_per_second``, and ``memory_mb``, by which the process grew.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import sqlalchemy as sa
from _long_ledger import World, lengthen, open_world
from _postgres import server
from report import Row, Timing, arguments, compared, emit, progress, skipped, timed, timing_row

from stead.core import codec, leaves
from stead.node.services import releases

CHARGE_LIMIT_S = 0.010
REPLAY_LIMIT_S = 60.0
BALLAST = 200
"""The bytes of the baseline's row: about what an entry has."""


def charge(world: World, asker: int) -> Callable[[], None]:
    """One charge as ``Admission`` makes it, its price worked out before."""
    books, claim = world.books, world.claim(asker)
    appraisal = world.appraiser.appraise(claim)
    bill = appraisal.bill
    if bill is None or bill.event is None:
        raise ValueError("the benchmark's question has a price")
    event = codec.encode(bill.event)

    def run() -> None:
        with books.store.write() as write:
            now = books.log.now()
            releases.take(write, claim, dataset="heart", plan_hash=appraisal.plan_hash, at=now)
            leaf = leaves.Charged(
                at=now,
                release=claim.release,
                requester=claim.requester,
                project=claim.project,
                dataset="heart",
                plan_hash=appraisal.plan_hash,
                outlet="answer",
                why=claim.why,
                event=event,
                charges=books.ledger.charge(write, bill, at=now),
                approvers=(),
            )
            releases.change(write, claim.release, state="charged", charged_leaf=books.log.append(write, leaf))

    return run


def append(world: World) -> None:
    """One leaf, alone."""
    log = world.books.log
    with world.books.store.write() as write:
        log.append(write, leaves.PersonRevoked(at=log.now(), key=bytes(32)))


def short_rows(world: World, system: str, runs: int) -> list[Row]:
    """What one writer, and one reader, waits for."""
    engine, log = world.books.store.engine, world.books.log
    plain = sa.Table("plain", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.Text))
    plain.create(engine)

    def insert() -> None:
        with world.books.store.write() as write:
            write.connection.execute(plain.insert().values(body="x" * BALLAST))

    def row(work: str, run: Callable[[], object], **figures: object) -> Row:
        return timing_row(work, "stead", system, timed(run, runs=runs, warm_ups=10), leaves=log.size(), **figures)

    baseline = timing_row("insert", "plain SQL", system, timed(insert, runs=runs, warm_ups=10))
    # As many scientists ask by turns as have accounts; what a charge needs is made before its time is taken.
    charges = [charge(world, asker) for asker in range(runs + 10)]
    askers = itertools.count()

    def next_charge() -> None:
        charges.pop()()

    old = log.size() // 3
    return [
        baseline,
        compared(row("charge", next_charge, limit_s=CHARGE_LIMIT_S), baseline),
        compared(row("admission", lambda: world.admission.admit(world.claim(next(askers)))), baseline),
        compared(row("append", lambda: append(world)), baseline),
        compared(row("consistency", lambda: log.consistency(old)), baseline),
        compared(row("receipt", lambda: log.receipt(old)), baseline),
    ]


def long_rows(world: World, system: str, entries: int) -> list[Row]:
    """What an owner waits for when the books are gone through."""
    books = world.books

    def row(work: str, run: Callable[[], object], **figures: object) -> Row:
        progress(f"{system}: {work}")
        before = memory_mb(reset=True)
        timing: Timing = timed(run, runs=1, warm_ups=0)
        shown = {"entries_per_second": entries / timing.median, "memory_mb": round(memory_mb() - before, 1)}
        return timing_row(work, "stead", system, timing, entries=entries, **shown, **figures)

    return [
        row("replay", books.ledger.replay, limit_s=REPLAY_LIMIT_S),
        row("verify ledger", books.ledger.verify),
        row("verify log", books.log.verify),
    ]


def memory_mb(*, reset: bool = False) -> float:
    """The most that this process has held since the last reset, in 10^6 bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e6


def rows_of(system: str, url: str, directory: Path, *, entries: int, runs: int) -> list[Row]:
    """All rows of one database."""
    progress(f"{system}: {entries:,} entries are written")
    world = open_world(url, directory)
    try:
        lengthen(world, entries)
        progress(f"{system}: charges")
        return [*short_rows(world, system, runs), *long_rows(world, system, entries)]
    finally:
        world.books.store.close()


def main() -> None:
    """Measure and report."""
    chosen = arguments(__doc__.splitlines()[0])
    entries, runs = (30_000, 50) if chosen.quick else (1_000_000, 300)
    rows: list[Row] = []
    for system in ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory() as place:
            directory = Path(place)
            opened = nullcontext(str(directory / "stead.db")) if system == "sqlite" else server()
            try:
                with opened as url:
                    rows += rows_of(system, url, directory, entries=entries, runs=runs)
            except (FileNotFoundError, ImportError) as error:
                rows.append(skipped("charge", system, str(error)))
    emit("ledger", rows, as_json=chosen.json)


if __name__ == "__main__":
    main()
