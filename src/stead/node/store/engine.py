"""``Store``: the node's database, opened; ``Transaction``: one writer's turn in it.

SQLite (write-ahead log, ``synchronous=FULL``) in one file by default, PostgreSQL by URL through the same code. A write
takes its locks in one order, so that no two writers wait for each other: ``Lock.RELEASE``, ``Lock.ACCOUNTS`` (by id),
``Lock.HEAD``. SQLite has one writer at a time (``BEGIN IMMEDIATE``); PostgreSQL locks rows.
"""

from __future__ import annotations

import enum
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import URL, Connection, Engine, RowMapping, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from stead.errors import NodeError, UsageError, VersionMismatch
from stead.node.store import guards, tables

_SETUP_LOCK = 0x7374656164  # "stead": the advisory lock under which a PostgreSQL store is made or upgraded

BATCH_ROWS = 20_000
"""How many rows of a long table are held at once."""


class Lock(enum.IntEnum):
    """The locks of a write, in the order in which they are taken."""

    RELEASE = 0
    ACCOUNTS = 1
    HEAD = 2


class Transaction:
    """One write transaction: all of it is committed, or nothing.

    Args:
        connection: SQLAlchemy's connection, in its transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._held: Lock | None = None
        self._accounts: frozenset[str] = frozenset()
        self._afterwards: list[Callable[[], None]] = []

    def lock_release(self, release: bytes) -> dict[str, Any] | None:
        """The release's row, locked; ``None`` when there is none yet."""
        self._take(Lock.RELEASE)
        query = sa.select(tables.releases).where(tables.releases.c.id == release).with_for_update()
        row = self.connection.execute(query).mappings().one_or_none()
        return None if row is None else plain(row)

    def lock_accounts(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The accounts' rows by id, locked in the order of their ids. One call names all that the write needs."""
        if self._held is not None and self._held >= Lock.ACCOUNTS:
            raise NodeError("a write locks its accounts once, all together.")
        self._take(Lock.ACCOUNTS)
        columns = tables.accounts
        query = sa.select(columns).where(columns.c.id.in_(sorted(ids))).order_by(columns.c.id).with_for_update()
        return {row["id"]: plain(row) for row in self.connection.execute(query).mappings()}

    def lock_head(self) -> int:
        """The log's size, locked: from here to the commit no other writer appends."""
        self._take(Lock.HEAD)
        query = sa.select(tables.log_head.c.size).where(tables.log_head.c.id == 1).with_for_update()
        return int(self.connection.execute(query).scalar_one())

    def insert_if_absent(self, table: sa.Table, row: dict[str, Any]) -> bool:
        """Add ``row`` unless its key is there already; true when it was added. Waits for a writer of the same key."""
        insert = sqlite_insert if self.connection.dialect.name == "sqlite" else postgres_insert
        statement = insert(table).values(row).on_conflict_do_nothing()
        # SQLAlchemy promises the count of rows for UPDATE and DELETE only, unless it is told to keep it.
        return self.connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run ``action`` once this write is committed, before ``Store.write`` returns to its caller."""
        if action not in self._afterwards:
            self._afterwards.append(action)

    def finish(self) -> None:
        """Run what was to be done after the commit; called by ``Store.write`` only."""
        for action in self._afterwards:
            action()

    def _take(self, lock: Lock) -> None:
        if self._held is not None and lock < self._held:
            raise NodeError(
                f"locks are taken in the order release, accounts, head: {lock.name} after {self._held.name}."
            )
        self._held = lock


def plain(row: RowMapping) -> dict[str, Any]:
    """A row as a plain dictionary by column name."""
    return {str(name): value for name, value in row.items()}


def in_batches(connection: Connection, query: sa.Select[Any], key: sa.ColumnElement[int]) -> Iterator[Any]:
    """The rows of a query in the order of ``key``, read in batches, so that memory stays bounded on both databases.

    Args:
        connection: a snapshot (``Store.read``).
        query: selects ``key`` first; it has no order and no limit of its own.
        key: a column of whole numbers, different in each row and indexed.
    """
    last: int | None = None
    while True:
        batch = query if last is None else query.where(key > last)
        rows = connection.execute(batch.order_by(key).limit(BATCH_ROWS)).all()
        yield from rows
        if len(rows) < BATCH_ROWS:
            return
        last = rows[-1][0]


class Store:
    """A database of the current schema version, open in this process. Make it with ``open_store``.

    A forked process opens its own.
    """

    def __init__(self, engine: Engine, *, busy_timeout_s: float) -> None:
        self.engine = engine
        self._busy_timeout_s = busy_timeout_s
        self._reader = (
            engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="REPEATABLE READ")
        )
        self._writer = engine.execution_options(stead_write=True)

    def __repr__(self) -> str:
        return f"Store({self.engine.dialect.name})"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot to read from: all queries inside see the same committed state."""
        with self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A write transaction: committed when the block ends, rolled back when it raises.

        Raises:
            NodeError: other writers held the database for longer than the busy timeout.
        """
        connection = self._begin()
        try:
            transaction = Transaction(connection)
            yield transaction
            connection.commit()
        except exc.OperationalError as error:
            raise NodeError(f"the node's database gave up a write ({type(error.orig).__name__}).") from None
        finally:
            connection.close()
        transaction.finish()

    def close(self) -> None:
        """Close the pool's connections."""
        self.engine.dispose()

    def _begin(self) -> Connection:
        """A connection inside ``BEGIN IMMEDIATE``; a busy database is asked again until the timeout has passed."""
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            connection = self._writer.connect()
            try:
                connection.begin()
            except exc.OperationalError as error:
                connection.close()
                if not _busy(error) or time.monotonic() >= deadline:
                    raise NodeError(
                        f"the node's database was busy for {self._busy_timeout_s:g} s.", hint="try again later"
                    ) from None
                time.sleep(0.005)
            else:
                return connection


def open_store(url: str | Path, *, busy_timeout_s: float = 30.0, change: bool = True) -> Store:
    """Open the node's database; make it when it is empty, upgrade it when it is of an older version.

    Args:
        url: a path (SQLite file), or a SQLAlchemy URL: ``sqlite:////…``, ``postgresql://…`` (extra ``postgres``).
        busy_timeout_s: how long a writer waits for others, seconds.
        change: make or upgrade it where that is needed; without, it must be of this version.

    Raises:
        UsageError: a database in memory, or of another kind than these two.
        VersionMismatch: the database was made by a newer version; or by an older one, and must not be changed.
        NodeError: it cannot be opened, or stayed busy.
    """
    engine = _engine(_url(url), busy_timeout_s)
    store = Store(engine, busy_timeout_s=busy_timeout_s)
    try:
        if engine.dialect.name == "sqlite":
            _use_write_ahead_log(engine, busy_timeout_s)
        _bring_up_to_date(store, change=change)
    except exc.OperationalError as error:
        engine.dispose()
        raise NodeError(
            f"the node's database cannot be opened ({type(error.orig).__name__}).",
            hint="is the server up, and `store` in stead.toml right? is the disk full?",
        ) from None
    except BaseException:
        engine.dispose()
        raise
    return store


def _url(url: str | Path) -> URL:
    text = str(url)
    parsed = make_url(text) if "://" in text else URL.create("sqlite", database=str(Path(text).absolute()))
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise UsageError(f"a node's store is SQLite or PostgreSQL, not {parsed.get_backend_name()!r}.")
    if parsed.get_backend_name() == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise UsageError("a node's store outlives its process: give a file, not memory.")
        _make_private(Path(str(parsed.database)))
    return parsed


def _make_private(path: Path) -> None:
    """Make the file if it is missing, readable by its owner only; SQLite gives its side files the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _engine(url: URL, busy_timeout_s: float) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": busy_timeout_s})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    options = f"-c lock_timeout={int(busy_timeout_s * 1000)} -c synchronous_commit=on"
    # Stated, whatever the server's default is: a row that was waited for is read again as it is then.
    isolation = {"isolation_level": "READ COMMITTED", "pool_pre_ping": True}
    return sa.create_engine(url, hide_parameters=True, connect_args={"options": options}, **isolation)


def _prepare_sqlite(connection: Any, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, not where the driver guesses
    # Without recursive triggers, INSERT OR REPLACE would delete a row behind the guards' back.
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF", "recursive_triggers=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("stead_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _use_write_ahead_log(engine: Engine, busy_timeout_s: float) -> None:
    """The mode is kept in the file. SQLite does not wait when another process is just changing it, so this does."""
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            raw = engine.raw_connection()
            try:
                mode = raw.cursor().execute("PRAGMA journal_mode=WAL").fetchone()[0]
            finally:
                raw.close()
        except sqlite3.DatabaseError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise NodeError(
                    "the node's database cannot be opened: it is not a database, or locked.",
                    hint="docs/guides/operator.md says what may be restored, and what may not",
                ) from None
            time.sleep(0.01)
        else:
            if mode != "wal":
                raise NodeError(f"the node's database needs write-ahead logging, its file system gives {mode!r}.")
            return


def _bring_up_to_date(store: Store, *, change: bool) -> None:
    with store.read() as connection:
        version = _version(connection)
        if version == tables.SCHEMA_VERSIONS[-1]:
            return
    if not change:
        raise VersionMismatch(f"this store is of schema version {version or 'none'!r}, and must not be changed now.")
    with store.write() as write:
        connection = write.connection
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SETUP_LOCK)))
        version, newest = _version(connection), tables.SCHEMA_VERSIONS[-1]
        if version is None:
            _make(connection)
        elif version not in ("", *tables.SCHEMA_VERSIONS):
            raise VersionMismatch(
                f"this store is of schema version {version[:40]!r}; this stead knows up to {newest!r}.",
                hint="open it with the version that wrote it, or a newer one",
            )
        elif version != newest:
            from stead.node.store.upgrade import upgrade  # Alembic takes long to import and is rarely needed

            upgrade(connection)


def _version(connection: Connection) -> str | None:
    """The store's version; empty before the first migration, ``None`` for an empty database."""
    if not sa.inspect(connection).has_table(tables.alembic_version.name):
        return None
    return str(connection.execute(sa.select(tables.alembic_version.c.version_num)).scalar() or "")


def _make(connection: Connection) -> None:
    """All tables at once; the same that the migrations make one after another (held by a test)."""
    tables.metadata.create_all(connection)
    for statement in guards.guards(connection.dialect.name):
        connection.exec_driver_sql(statement)
    connection.execute(tables.log_head.insert().values(id=1, size=0))
    connection.execute(tables.alembic_version.insert().values(version_num=tables.SCHEMA_VERSIONS[-1]))


def _busy(error: exc.OperationalError) -> bool:
    text = str(error.orig)
    return "locked" in text or "busy" in text or "lock timeout" in text
