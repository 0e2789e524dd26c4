"""Rows from an owner's file into the node's stored form, once: typed, ranked within each person, nothing undeclared.

What a cell cannot be read as is an error for the owner, who learns the column and no value. NULL, NaN and the usual
spellings of nothing are missing; numbers outside the bounds and categories that are not declared are kept out of
answers (moved to the bound, or missing) and counted for the owner.

A person's identity is read as one text whatever the file's type, without the spaces around it and without the ``.0``
of a whole number, so that 7, 7.0 and "7" are one person. Only a keyed hash of it is stored.
"""

# ruff: noqa: S608 - the text is fixed words and numbers of columns; constants are parameters

from __future__ import annotations

from pathlib import Path

import duckdb
import msgspec

from stead.core.codec import digest, encode
from stead.core.schema import MAX_TEXT, Column, Schema
from stead.errors import UsageError
from stead.node.services.datafiles import Source, open_source
from stead.node.services.duck import Limits
from stead.node.services.person_keys import KEY_OF_PERSON, PersonKeys

_NOTHING = "('', 'na', 'n/a', 'nan', 'null', 'none')"
_TRUE = "('true', 't', 'yes', 'y', '1', '1.0')"
_FALSE = "('false', 'f', 'no', 'n', '0', '0.0')"
_DAY = (  # a day, and perhaps a time and a zone behind it
    r"'[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([ t][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?( ?(z|utc|[+-][0-9]{2}(:?[0-9]{2})?))?)?'"
)

FORMAT = 3
"""The stored form's number: 2 is clustered by person, with person keys, dates and texts."""


class ColumnCounts(msgspec.Struct, frozen=True):
    """Of one column: cells that are missing, outside the bounds, or hold a category that is not declared."""

    name: str
    missing: int
    out_of_bounds: int
    undeclared: int

    def __repr__(self) -> str:
        return f"ColumnCounts({self.name!r}, <redacted>)"


class LoadReport(msgspec.Struct, frozen=True):
    """Counts for the owner's own terminal. Derived from rows: prints as ``<redacted>`` anywhere else.

    Attributes:
        rows: rows in the file.
        people: different people among them.
        without_person: rows whose person is missing; they are not kept.
        beyond_rank: rows above ``rows_per_person``; they are not kept.
        columns: counts by column, text columns left out.
    """

    rows: int
    people: int
    without_person: int
    beyond_rank: int
    columns: tuple[ColumnCounts, ...]

    def lines(self) -> list[str]:
        """The report in words, for the owner's eyes."""
        found = [f"{self.rows} rows of {self.people} people"]
        if self.without_person:
            found.append(f"{self.without_person} rows name no person and were left out")
        if self.beyond_rank:
            found.append(f"{self.beyond_rank} rows are above rows_per_person and were left out")
        for column in self.columns:
            if column.out_of_bounds:
                found.append(
                    f"{column.name}: {column.out_of_bounds} values are outside the bounds and count as the bound"
                )
            if column.undeclared:
                found.append(f"{column.name}: {column.undeclared} values are no declared category and count as missing")
        return found

    def __repr__(self) -> str:
        return "LoadReport(<redacted>)"


def fill(path: Path, schema: Schema, database: Path, *, table: str, limits: Limits, person_secret: bytes) -> LoadReport:
    """Write the stored form of ``path`` into the new file ``database``.

    Raises:
        UsageError: see ``stead.node.services.tables.load``.
    """
    with open_source(path, database, table=table, limits=limits) as (connection, source):
        _check_columns(source, schema)
        try:
            _stage(connection, source, schema)
        except duckdb.Error:
            raise UsageError("the file's rows cannot be read.", hint="is every line as wide as the header?") from None
        _check_kinds(connection, schema)
        keys = PersonKeys.of(person_secret)
        _store(connection, schema, keys)
        _check_partition(connection, schema)
        report = _report(connection, schema)
        _keep(connection, schema)
        low, high = schema.people
        if not low <= report.people <= high:
            side = "fewer" if report.people < low else "more"
            raise UsageError(
                f"the file holds {side} people than the schema declares ({low} to {high}).",
                hint="declare a range that is true, and public",
            )
        connection.execute("CREATE TABLE about (format INTEGER, schema_digest BLOB, key_check BLOB)")
        connection.execute("INSERT INTO about VALUES (?, ?, ?)", [FORMAT, schema_digest(schema), keys.check])
        connection.execute("CHECKPOINT")
    return report


def schema_digest(schema: Schema) -> bytes:
    """What a stored table was made under."""
    return digest("stead.table.schema", encode(schema))


def _check_columns(source: Source, schema: Schema) -> None:
    for column in schema.columns:
        if source.names.count(column.name) != 1:
            raise UsageError(
                f"the file has no column {column.name!r}, which the schema declares.",
                hint="names must agree letter by letter",
            )
    if schema.person is not None and schema.column(schema.person).kind not in ("integer", "category", "text"):
        raise UsageError(f"the person column {schema.person!r} must be an integer, category or text column.")


def _stored(schema: Schema) -> list[tuple[int, Column]]:
    """The columns that are kept, with their number: all but the one that tells people apart."""
    return [(i, c) for i, c in enumerate(schema.columns) if c.name != schema.person]


def _stage(connection: duckdb.DuckDBPyConnection, source: Source, schema: Schema) -> None:
    """Read the file in its order into a temporary table: ``rI`` as it is, ``vI`` converted."""
    names = ", ".join(f"s{index}" for index in range(len(source.names)))
    raw = ["row_number() OVER () - 1 AS position"]
    if schema.person is not None:
        raw.append(f"{_identity(source, schema.person)} AS person")
    raw += [f"{_raw(source, column)} AS r{index}" for index, column in _stored(schema)]
    typed = [f"{_typed(column, index)} AS v{index}" for index, column in _stored(schema)]
    connection.execute(
        f"CREATE TEMP TABLE staged AS SELECT {', '.join(['*', *typed])} FROM "
        f"(SELECT {', '.join(raw)} FROM {source.relation} AS source_rows({names}))",
        source.parameters,
    )


def _identity(source: Source, name: str) -> str:
    """A person's identity as text: the same for a number whatever its type, without the spaces around it."""
    text = f"regexp_replace(trim({_text(source, name)}), '^(-?[0-9]+)[.]0+$', '\\1')"
    return f"NULLIF(regexp_replace({text}, '^-0$', '0'), '')"


def _text(source: Source, name: str) -> str:
    """A cell as text; whole floats as integers are written, NaN as NULL."""
    index = source.names.index(name)
    cell = f"s{index}"
    if source.types[index] not in ("FLOAT", "DOUBLE"):
        return f"CAST({cell} AS VARCHAR)"
    whole = f"{cell} = trunc({cell}) AND abs({cell}) < 1e38"
    return (
        f"CASE WHEN isnan({cell}) THEN NULL WHEN {whole} THEN CAST(CAST({cell} AS HUGEINT) AS VARCHAR) "
        f"ELSE CAST({cell} AS VARCHAR) END"
    )


def _raw(source: Source, column: Column) -> str:
    """A cell as text, or as the float that it is; the usual spellings of nothing are NULL."""
    index = source.names.index(column.name)
    if column.kind == "category":
        return f"CAST(s{index} AS VARCHAR)"
    if column.kind == "text":
        return f"NULLIF(left(trim({_text(source, column.name)}), {MAX_TEXT}), '')"
    if column.kind in ("integer", "real") and source.types[index] in ("FLOAT", "DOUBLE"):
        return f"CASE WHEN isnan(s{index}) THEN NULL ELSE CAST(s{index} AS DOUBLE) END"
    cell = f"s{index}"
    if source.types[index] == "TIMESTAMP WITH TIME ZONE":
        cell = f"make_timestamp(epoch_us({cell}))"  # as UTC, whatever zone this machine is in
    text = f"lower(trim(CAST({cell} AS VARCHAR)))"
    return f"CASE WHEN {text} IN {_NOTHING} THEN NULL ELSE {text} END"


def _typed(column: Column, index: int) -> str:
    if column.kind in ("category", "text"):
        return f"r{index}"
    if column.kind == "boolean":
        return f"CASE WHEN r{index} IN {_TRUE} THEN TRUE WHEN r{index} IN {_FALSE} THEN FALSE END"
    if column.kind == "date":
        days = f"TRY_CAST(left(r{index}, 10) AS DATE) - DATE '1970-01-01'"
        return f"CASE WHEN regexp_full_match(r{index}, {_DAY}) THEN CAST({days} AS DOUBLE) END"
    number = f"TRY_CAST(r{index} AS DOUBLE)"
    if column.kind == "real":
        return number
    return f"CASE WHEN isinf({number}) OR {number} = trunc({number}) THEN {number} END"


def _check_kinds(connection: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    """A value that is there and cannot be read as its column's kind is the owner's to mend."""
    typed = [(index, column) for index, column in _stored(schema) if column.kind not in ("category", "text")]
    wrong = [f"COALESCE(bool_or(r{index} IS NOT NULL AND v{index} IS NULL), FALSE)" for index, _ in typed]
    if not wrong:
        return
    found = connection.execute(f"SELECT {', '.join(wrong)} FROM staged").fetchone() or ()
    for (_, column), is_wrong in zip(typed, found, strict=True):
        if is_wrong:
            raise UsageError(f"column {column.name!r} holds values that are not of kind {column.kind}.")


def _store(connection: duckdb.DuckDBPyConnection, schema: Schema, keys: PersonKeys) -> None:
    """The stored table, one person's rows after another's, each with its rank in the source's order."""
    columns, joins = [], []
    for index, column in _stored(schema):
        if column.kind != "category":
            columns.append(f"v{index} AS c{index}")
            continue
        connection.execute(f"CREATE TEMP TABLE k{index} (value VARCHAR, code INTEGER)")
        connection.execute(
            f"INSERT INTO k{index} SELECT unnest(CAST(? AS VARCHAR[])), unnest(CAST(? AS INTEGER[]))",
            [list(column.categories), list(range(len(column.categories)))],
        )
        columns.append(f"k{index}.code AS c{index}")
        joins.append(f"LEFT JOIN k{index} ON k{index}.value = v{index}")
    person = "position AS person_index, CAST(0 AS BIGINT) AS person_rank, CAST(NULL AS HUGEINT) AS person_key"
    if schema.person is not None:
        connection.execute(
            "CREATE TEMP TABLE persons AS SELECT person, "
            f"row_number() OVER (ORDER BY min(position)) - 1 AS person_index, {KEY_OF_PERSON} AS person_key "
            "FROM staged WHERE person IS NOT NULL GROUP BY person",
            keys.parameters,
        )
        joins.append("JOIN persons ON persons.person = staged.person")
        rank = "row_number() OVER (PARTITION BY person_index ORDER BY position) - 1"
        person = f"person_index, {rank} AS person_rank, person_key"
    connection.execute(
        f"CREATE TEMP TABLE ranked AS SELECT {', '.join([person, *columns])} FROM staged {' '.join(joins)}"
    )


def _keep(connection: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    """Of the ranked rows those that questions may use, with values as they read them: inside the bounds, or NULL."""
    chosen, parameters = ["person_index", "person_rank", "person_key"], list[float]()
    for index, column in _stored(schema):
        cell = f"c{index}"
        if column.bounds is None:
            chosen.append(cell)
            continue
        chosen.append(
            f"CASE WHEN {cell} IS NULL OR isnan({cell}) THEN NULL "
            f"WHEN {cell} < CAST(? AS DOUBLE) THEN CAST(? AS DOUBLE) "
            f"WHEN {cell} > CAST(? AS DOUBLE) THEN CAST(? AS DOUBLE) ELSE {cell} END AS {cell}"
        )
        parameters += [column.bounds.low, column.bounds.low, column.bounds.high, column.bounds.high]
    connection.execute(
        f"CREATE TABLE rows AS SELECT {', '.join(chosen)} FROM ranked "
        "WHERE person_rank < CAST(? AS BIGINT) ORDER BY person_index, person_rank",
        [*parameters, schema.rows_per_person],
    )


def _check_partition(connection: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    """Nobody may be in two cells: each would pay for a part of what is learnt of that person."""
    if schema.partition is None or schema.person is None:
        return  # without a person column each row is somebody else
    index = schema.columns.index(schema.column(schema.partition))
    text = f"SELECT 1 FROM ranked GROUP BY person_index HAVING count(DISTINCT c{index}) > 1 LIMIT 1"
    if connection.execute(text).fetchone() is not None:
        raise UsageError(
            f"somebody has more than one value of {schema.partition!r}, by which the people are partitioned.",
            hint="a partition is a column that stays the same for each person; leave it out of the schema otherwise",
        )


def _report(connection: duckdb.DuckDBPyConnection, schema: Schema) -> LoadReport:
    def one(text: str, parameters: list[float] | None = None) -> list[int]:
        row = connection.execute(text, parameters or []).fetchone() or ()
        return [int(value or 0) for value in row]

    staged = one("SELECT count(*) FROM staged")[0]
    stored, people, beyond = one(
        "SELECT count(*), count(DISTINCT person_index), count_if(person_rank >= ?) FROM ranked",
        [schema.rows_per_person],
    )
    columns = []
    for index, column in _stored(schema):
        if column.kind == "text":
            continue
        missing = one(f"SELECT count_if(c{index} IS NULL) FROM ranked")[0]
        outside = undeclared = 0
        if column.bounds is not None:
            text = f"SELECT count_if(c{index} < ? OR c{index} > ?) FROM ranked"
            outside = one(text, [column.bounds.low, column.bounds.high])[0]
        elif column.kind == "category":
            there = f"v{index} <> '' AND v{index} NOT IN (SELECT value FROM k{index})"
            undeclared = one(f"SELECT count_if({there}) FROM staged")[0]
        columns.append(ColumnCounts(column.name, missing, outside, undeclared))
    return LoadReport(staged, people, staged - stored, beyond, tuple(columns))
