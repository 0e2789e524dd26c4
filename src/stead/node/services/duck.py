"""DuckDB, locked: no extensions, no network, no file but the named ones, no way back."""

from __future__ import annotations

from pathlib import Path

import duckdb
import msgspec

from stead.errors import NodeError, UsageError

_LOCKED = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    "SET enable_external_access = false",
    # It pushes each comparison of a filter down by itself, in time that outgrows their number (500 take one second,
    # 1500 take twenty), and makes no question of ours faster.
    "SET disabled_optimizers = 'filter_pushdown'",
)


class Limits(msgspec.Struct, frozen=True):
    """What DuckDB may use: threads, and memory before it spills to a directory beside the file."""

    threads: int = 2
    memory_mb: int = 1024


def open_locked(
    database: Path | None,
    limits: Limits,
    *,
    read_only: bool,
    reads: tuple[Path, ...] = (),
    attach: Path | None = None,
    joined: tuple[Path, ...] = (),
) -> duckdb.DuckDBPyConnection:
    """A connection to ``database`` that can touch nothing else but its spill directory and the files ``reads``.

    Each connection is an engine of its own (DuckDB would share one engine, and its settings, among all connections of
    a process to one path, and go on reading a file that has been replaced).

    Args:
        database: the database file; ``None`` for none.
        limits: threads and memory.
        read_only: open it for reading.
        reads: files that statements may read.
        attach: a DuckDB file to open for reading under the name ``source_file``.
        joined: more of the node's own files, to be read as ``joined1``, ``joined2``, …

    Raises:
        UsageError: ``attach`` is not a DuckDB file that this version reads.
        NodeError: the node's own file cannot be opened.
    """
    connection = duckdb.connect(":memory:", config={"threads": limits.threads, "memory_limit": f"{limits.memory_mb}MB"})
    try:
        spill = "" if database is None else f"{database}.spill"
        connection.execute(f"SET temp_directory = {literal(spill)}")
        if database is not None:
            mode = "READ_ONLY" if read_only else "READ_WRITE"
            connection.execute(f"ATTACH {literal(str(database))} AS stored ({mode})")
            connection.execute("USE stored")
        for number, other in enumerate(joined, start=1):
            connection.execute(f"ATTACH {literal(str(other))} AS joined{number} (READ_ONLY)")
    except duckdb.Error:
        connection.close()
        raise NodeError("a dataset's file cannot be opened.") from None
    if attach is not None:
        try:
            connection.execute(f"ATTACH {literal(str(attach))} AS source_file (READ_ONLY)")
        except duckdb.Error:
            connection.close()
            raise UsageError("the file is no DuckDB database that can be read here.") from None
    if reads:
        connection.execute(f"SET allowed_paths = [{', '.join(literal(str(file)) for file in reads)}]")
    for setting in (*_LOCKED, "SET lock_configuration = true"):
        connection.execute(setting)
    return connection


def literal(text: str) -> str:
    """``text`` as a SQL string, for the few statements that take no parameters; an owner's path, never a plan's."""
    if "\0" in text:
        raise UsageError("a path cannot hold a NUL character.")
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
