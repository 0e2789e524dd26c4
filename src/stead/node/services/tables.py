"""The node's table engine: a dataset as one DuckDB file, and the exact integers of a question over it.

``load`` turns an owner's file into the node's own file once: declared columns only, typed, with each row's rank among
its person's rows; ``Table`` answers questions from it. DuckDB runs locked: no extensions, no file but this one and its
spill directory, no change of configuration, and no SQL but what ``stead.node.services.table_sql`` makes.

Stored form: table ``rows`` with ``person_index`` (0, 1, … in order of first appearance; the identity itself is not
kept), ``person_rank`` (0, 1, … in the source's order), ``person_key`` (HUGEINT, the same for one person in all datasets
of a node, see ``stead.node.services.person_keys``; NULL without a person column) and ``cI`` for the schema's column I:
DOUBLE for numbers and for dates (days since 1970-01-01), BOOLEAN, the INTEGER index of a category, or VARCHAR for text.
Rows are ordered by ``person_index`` and ``person_rank``: one person's rows are neighbours. Table ``about`` has one row:
the form's number, the digest of the schema, and the name of the secret behind the keys.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from stead.core.codec import digest, encode
from stead.core.schema import Column, DatasetCard, Schema
from stead.errors import NodeError, UsageError
from stead.node.services.duck import Limits, open_locked
from stead.node.services.table_load import FORMAT, LoadReport, fill, schema_digest
from stead.node.services.table_run import run
from stead.node.services.table_sql import Sources
from stead.plans.exact import Exact
from stead.plans.query import Query


class TrainingRows(msgspec.Struct, frozen=True):
    """Rows for a training, in stored order. Private: prints as ``<redacted>``.

    Attributes:
        columns: name to values: float64 with NaN for numbers (inside the declared bounds), objects with ``None`` for
            booleans and categories.
        person: for each row the index of its person, int64; at most ``rows_per_person`` rows have the same.
    """

    columns: dict[str, npt.NDArray[Any]]
    person: npt.NDArray[np.int64]

    def __repr__(self) -> str:
        return "TrainingRows(<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("private rows cannot be pickled")


def load(
    source: str | Path,
    card: DatasetCard,
    directory: Path,
    *,
    person_secret: bytes,
    limits: Limits | None = None,
    table: str = "",
) -> LoadReport:
    """Turn an owner's file into the node's own file of the dataset, replacing an earlier one whole.

    Args:
        source: a CSV, Parquet, Arrow IPC or DuckDB file.
        card: the dataset's card; its schema decides what is kept.
        directory: where the node keeps datasets.
        person_secret: the node's 32 secret bytes that identities are hashed under; not stored with the rows.
        limits: what DuckDB may use.
        table: which table of a DuckDB file; needed when it holds several.

    Returns:
        Counts for the owner's own terminal. They are derived from rows: not for any log or reply.

    Raises:
        UsageError: a declared column is missing, holds values of another kind, or the number of people is outside
            the declared range. The text names columns and no value.
    """
    limits = limits or Limits()
    directory.mkdir(parents=True, exist_ok=True)
    final = table_path(directory, card.name)
    partial = final.with_suffix(".partial")
    _remove(partial)
    try:
        report = fill(Path(source), card.schema, partial, table=table, limits=limits, person_secret=person_secret)
        partial.replace(final)
    finally:
        _remove(partial)
    return report


def table_path(directory: Path, dataset: str) -> Path:
    """The file of a dataset: named by a digest, so that no dataset's name can be a path."""
    return directory / f"{digest('stead.table', encode(dataset)).hex()[:32]}.duckdb"


class JoinedTables:
    """A dataset with others of the same population joined on the person, read-only, for one question.

    Args:
        directory: where the node keeps datasets.
        card: of the question's own dataset.
        others: cards of the joined ones, in the order of the query's joins.
        limits: what DuckDB may use.

    Raises:
        UsageError: a dataset has no rows here, or its people were told apart under another secret.
    """

    def __init__(
        self, directory: Path, card: DatasetCard, others: Sequence[DatasetCard], *, limits: Limits | None = None
    ) -> None:
        self._sources = Sources(card.schema, {other.name: other.schema for other in others})
        checks = set()
        for each in (card, *others):
            with Table(directory, each, limits=limits) as table:
                checks.add(table.key_check)
        if len(checks) > 1:
            names = ", ".join(repr(each.name) for each in (card, *others))
            raise UsageError(
                f"the people of {names} were told apart under different secrets, and cannot be joined.",
                hint="add the data again: stead data add",
            )
        paths = tuple(table_path(directory, other.name) for other in others)
        self._connection = open_locked(
            table_path(directory, card.name), limits or Limits(), read_only=True, joined=paths
        )

    def run(self, query: Query) -> Exact:
        """The exact integers of ``query``, without noise, of the joined rows; raises as ``Table.run``."""
        with quiet_cursor(self._connection) as cursor:
            return run(cursor, query, self._sources)

    def close(self) -> None:
        """Give the files back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "JoinedTables(rows=<redacted>)"


class Table:
    """One loaded dataset, read-only.

    Questions are answered exactly: ``run`` equals ``stead.plans.sums.run_exact`` on the same rows. Safe to use
    from several threads; each call has its own cursor.

    Attributes:
        key_check: names the secret behind the person keys; keys of two tables compare only if it is the same.

    Raises:
        UsageError: no such file, or one of another stored form or schema; the owner adds the data again.
        NodeError: the file cannot be opened.
    """

    def __init__(self, directory: Path, card: DatasetCard, *, limits: Limits | None = None) -> None:
        path = table_path(directory, card.name)
        if not path.exists():
            raise UsageError(f"dataset {card.name!r} has no rows in this node.", hint="stead data add")
        self.card = card
        self._connection = open_locked(path, limits or Limits(), read_only=True)
        try:
            self.key_check = self._check_form()
        except BaseException:
            self._connection.close()
            raise

    def _check_form(self) -> bytes:
        """Refuse a file of another form or schema; the name of the secret behind its person keys."""
        with self._cursor() as cursor:
            cursor.execute("SELECT * FROM stored.main.about")
            names = [column[0] for column in cursor.description or ()]
            about = dict(zip(names, cursor.fetchone() or (), strict=False))
        if about.get("format") != FORMAT:
            raise UsageError(
                f"dataset {self.card.name!r} was stored by another version of stead, in a form that is not read here.",
                hint=f"add the data again: stead data add FILE --card CARD replaces {self.card.name!r}",
            )
        if bytes(about["schema_digest"]) != schema_digest(self.schema):
            raise UsageError(
                f"dataset {self.card.name!r} was loaded under another schema.",
                hint="add the data again with this schema",
            )
        return bytes(about["key_check"])

    @property
    def schema(self) -> Schema:
        """The public description of the table."""
        return self.card.schema

    def run(self, query: Query) -> Exact:
        """The exact integers of ``query``, without noise.

        Raises:
            UsageError: the question cannot be asked; never because of a row.
            NodeError: the engine itself failed; the text says nothing about rows.
        """
        with self._cursor() as cursor:
            return run(cursor, query, Sources(self.schema, {}))

    def columns(self, names: Sequence[str]) -> TrainingRows:
        """The named columns of every row in use, for a training.

        Raises:
            UnknownColumn: a column that is not declared.
            UsageError: a text column or the person column.
        """
        chosen = [self._readable(name) for name in names]
        asked = ["person_index", *(f"c{index}" for index, _ in chosen)]
        with self._cursor() as cursor:
            held = cursor.execute(f"SELECT {', '.join(asked)} FROM stored.main.rows").fetchnumpy()  # noqa: S608 - fixed words
        return TrainingRows(
            columns={column.name: _values(column, held[f"c{index}"]) for index, column in chosen},
            person=np.asarray(held["person_index"], dtype=np.int64),
        )

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Table({self.card.name!r}, rows=<redacted>)"

    def _readable(self, name: str) -> tuple[int, Column]:
        column = self.schema.column(name)
        if column.kind == "text" or name == self.schema.person:
            raise UsageError(f"column {name!r} cannot be read: it is text, or tells people apart.")
        return self.schema.columns.index(column), column

    def _cursor(self) -> contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]:
        return quiet_cursor(self._connection)


@contextlib.contextmanager
def quiet_cursor(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor whose errors say nothing: DuckDB's texts can quote values."""
    try:
        with connection.cursor() as cursor:
            yield cursor
    except duckdb.Error as error:
        kind = re.sub(r"[^A-Za-z]", "", type(error).__name__)
        raise NodeError(f"the table engine failed ({kind}).") from None


def _values(column: Column, held: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if column.bounds is not None:
        return np.ma.filled(np.ma.asarray(held, dtype=np.float64), np.nan)
    missing = np.ma.getmaskarray(held) if isinstance(held, np.ma.MaskedArray) else np.zeros(len(held), dtype=np.bool_)
    plain = np.ma.getdata(held)
    values = np.array((False, True) if column.kind == "boolean" else column.categories, dtype=object)
    found: npt.NDArray[Any] = values[np.where(missing, 0, plain).astype(np.int64)]
    found[missing] = None
    return found


def _remove(path: Path) -> None:
    for leftover in (path, path.with_name(path.name + ".wal")):
        leftover.unlink(missing_ok=True)


__all__ = ["JoinedTables", "Limits", "LoadReport", "Table", "TrainingRows", "load", "schema_digest", "table_path"]
