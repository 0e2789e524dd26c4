"""An owner's files: CSV, Parquet, Arrow IPC and DuckDB files as sources of rows, and cards written in TOML.

Files are read once, when the owner adds data. Errors name columns of the owner's schema and never a value: a table
without a header would otherwise show its first row as column names.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import duckdb
import msgspec

from stead.core.dates import day
from stead.core.schema import DatasetCard
from stead.errors import UsageError
from stead.node.services.duck import Limits, identifier, open_locked
from stead.node.toml import read_toml

Format = Literal["csv", "parquet", "arrow", "duckdb"]
_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".gz": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".duckdb": "duckdb",
    ".ddb": "duckdb",
    ".db": "duckdb",
}
_GLOB = frozenset("*?[]{}")
_KINDS = {"BOOLEAN": "boolean", "FLOAT": "real", "DOUBLE": "real", "DECIMAL": "real"}


class Source(msgspec.Struct, frozen=True):
    """A file that an open connection can read: what stands after FROM, with its parameters, and its columns."""

    relation: str
    parameters: tuple[str, ...]
    names: tuple[str, ...]
    types: tuple[str, ...]


def file_format(path: Path) -> Format:
    """The format of a file, by its first bytes, or else by its name.

    Raises:
        UsageError: there is no such file, or it is none of the formats.
    """
    if not path.is_file():
        raise UsageError(
            f"there is no file {path.name!r}.", hint="give the path of a CSV, Parquet, Arrow or DuckDB file"
        )
    with path.open("rb") as file:
        start = file.read(12)
    if start[:4] == b"PAR1":
        return "parquet"
    if start[:6] == b"ARROW1":
        return "arrow"
    if start[8:12] == b"DUCK":
        return "duckdb"
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None or found in ("parquet", "duckdb"):
        raise UsageError(
            f"{path.name!r} is not a file of a known format.",
            hint="CSV (.csv, .tsv), Parquet, Arrow IPC (.arrow, .arrows, .feather) and DuckDB files are read",
        )
    if found == "csv" and not start:
        raise UsageError(f"{path.name!r} is empty.", hint="the first line of a CSV file names its columns")
    return found


@contextlib.contextmanager
def open_source(
    path: Path, database: Path | None, *, table: str = "", limits: Limits | None = None, text: bool = True
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Source]]:
    """A locked connection to ``database`` that can read ``path`` and nothing else, and how to read it.

    Args:
        path: the owner's file.
        database: the DuckDB file to write; ``None`` for none.
        table: the table of a DuckDB file, needed when it holds several.
        limits: what DuckDB may use.
        text: take the columns of a CSV file as text, so that no guess about types is made from its rows.

    Raises:
        UsageError: the file cannot be read as what it is.
        MissingExtra: an Arrow file, and pyarrow is not installed.
    """
    if _GLOB & set(str(path)):
        raise UsageError("the path holds one of * ? [ ] { }, which stand for many files; rename it.")
    kind = file_format(path)
    path = path.resolve()
    connection = open_locked(
        database,
        limits or Limits(),
        read_only=False,
        reads=(path,) if kind in ("csv", "parquet") else (),
        attach=path if kind == "duckdb" else None,
    )
    try:
        yield connection, _source(connection, path, kind, table=table, text=text)
    finally:
        connection.close()


def load_card(path: Path) -> DatasetCard:
    """A dataset's card and schema from a TOML file.

    Raises:
        UsageError: not TOML, an unknown or missing key, or a schema that cannot be; the text says where.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"there is no card {path.name!r}.", hint="stead data draft FILE > card.toml") from None
    except OSError as error:
        raise UsageError(f"the card {path.name!r} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"the card {path.name!r} is not UTF-8 text.") from None
    what = f"the card {path.name!r}"
    return read_toml(text, DatasetCard, what, prepare=lambda values: _days(values, what))


def _days(values: dict[str, Any], what: str) -> None:
    """Put numbers of days where a card has dates: the bounds of its date columns, as TOML dates or as texts.

    A plain number is refused there: it would be far more often a year than a number of days.
    """
    schema = values.get("schema")
    columns = schema.get("columns") if isinstance(schema, dict) else None
    for column in columns if isinstance(columns, list) else []:
        if not isinstance(column, dict) or column.get("kind") != "date":
            continue
        bounds: Any = column.get("bounds")
        for end in ("low", "high"):
            if not isinstance(bounds, dict) or end not in bounds:
                continue
            bounds[end] = _written_day(bounds[end], f"{what}, column {column.get('name')!r}, {end}")


def _written_day(held: object, place: str) -> float:
    is_date = isinstance(held, dt.date) and not isinstance(held, dt.datetime)
    if not is_date and not isinstance(held, str):
        raise UsageError(f"{place}: a date column is bounded by dates.", hint='low = "1950-01-01"')
    try:
        return day(str(held))
    except UsageError as error:
        raise UsageError(f"{place}: {error.what}", hint=error.hint) from None


def schema_draft(path: Path, *, table: str = "") -> str:
    """A draft card in TOML, from the file's column names and types alone.

    Bounds, categories and the number of people are left for the owner: what a row holds must not become public, so
    nothing is filled in from rows. The draft does not load until they are written.
    """
    with open_source(path, None, table=table, text=False) as (_, source):
        lines = [
            f"name = {json.dumps(path.name.split('.')[0])}",
            'purpose = ""',
            'contact = ""',
            'licence = ""',
            'description = ""',
            "",
            "[schema]",
            'population = ""       # whose data it is: budgets belong to these people',
            'unit = "person"       # what one protected unit is called',
            "people = []           # the least and the most people the table may hold, as you declare it",
            '# person = ""         # the column that tells people apart, if a person can have several rows',
            "# rows_per_person = 1",
        ]
        for name, type_ in zip(source.names, source.types, strict=True):
            lines += ["", *_draft_column(name, type_)]
    return "\n".join(lines) + "\n"


def _draft_column(name: str, type_: str) -> list[str]:
    base = type_.split("(", maxsplit=1)[0]
    kind = _KINDS.get(base, "integer" if base.endswith(("INT", "INTEGER")) else "text")
    if base == "DATE" or base.startswith("TIMESTAMP"):
        kind = "date"
    lines = ["[[schema.columns]]", f"name = {json.dumps(name, ensure_ascii=False)}", f'kind = "{kind}"']
    if kind in ("integer", "real"):
        lines.append("# bounds = { low = , high = }   # the range that you declare, whatever the rows hold")
    if kind == "date":
        lines.append("# bounds = { low = , high = }   # the days that you declare, as 1950-01-01")
    if kind == "text":
        lines.append('# for answers: kind = "category" and categories = ["…", "…"]')
    return lines


def _source(connection: duckdb.DuckDBPyConnection, path: Path, kind: Format, *, table: str, text: bool) -> Source:
    try:
        if kind == "arrow":
            from stead.adapters.arrow import open_ipc

            connection.register("arrow_rows", open_ipc(path))
            return _described(connection, "arrow_rows", ())
        if kind == "duckdb":
            return _described(connection, _attached_table(connection, table), ())
        if kind == "parquet":
            return _described(connection, "read_parquet(?)", (str(path),))
        options = "header = true, strict_mode = true, quote = '\"', escape = '\"'" + (
            ", all_varchar = true" if text else ""
        )
        return _described(connection, f"read_csv(?, {options})", (str(path),))
    except duckdb.Error:
        raise UsageError(f"{path.name!r} cannot be read as {kind}.", hint="is the file whole, with a header?") from None


def _described(connection: duckdb.DuckDBPyConnection, relation: str, parameters: tuple[str, ...]) -> Source:
    columns = connection.execute(f"DESCRIBE SELECT * FROM {relation}", parameters).fetchall()  # noqa: S608 - see callers
    return Source(relation, parameters, tuple(row[0] for row in columns), tuple(row[1] for row in columns))


def _attached_table(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    """The one base table of the attached file, or the one of that name. Views are not run."""
    rows = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'source_file' AND NOT internal"
    ).fetchall()
    found = [row for row in rows if not table or row[1] == table]
    if len(found) != 1:
        raise UsageError(
            f"the DuckDB file holds {len(rows)} tables" + (f", none called {table!r}." if table else "; name one."),
            hint="table=" + ", ".join(sorted(repr(row[1]) for row in rows)[:12]),
        )
    return f"source_file.{identifier(found[0][0])}.{identifier(found[0][1])}"
