"""The node's tables, as SQLAlchemy Core describes them.

==========  ====================================================  ==========================================
table       one row is                                            may change
==========  ====================================================  ==========================================
node        this node (one row)                                   never
people      a key that the owner trusts, in one project           revoked, enrolled again
datasets    a dataset and its public card                         replaced by its owner
populations the column that a population's accounts are kept by   append only; fixed by its first charge
policies    the owner's rules, each version                       append only; the last one is in force
accounts    a privacy account: target, and the sum of its entries with each entry
entries     one charge or disclosure of one account               append only
releases    a request for a release, from asked to stored         state; the request's own facts never, a
                                                                  stored result never
sessions    a session of a release                                rounds sent; how it ended
leaves      the log: body, salt and hash of each leaf             append only
log_nodes   the hashes of complete subtrees                       append only
log_head    the log's size (one row); its lock orders all writers with each leaf
nonces      a message already seen, until it expires              pruned when expired
witnesses   a node that this one sends its heads to               how the last try ended; removed by the owner
witnessed   another node's log that this one cosigns, and the     the head, which never becomes smaller; whether
            head that it signed last                              it is still signed
==========  ====================================================  ==========================================

Divergences are kept as lists of integers in units of 2^-40 nat (``privacy.accounts``): a sum may outgrow 64 bits, so
a list is one JSON text and is added up in Python. A slack is one integer in units of 2^-62 (``privacy.reserve``); an
account's sum stays below its reserve and so below 64 bits.
"""

from __future__ import annotations

import json

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

SCHEMA_VERSIONS = ("0001", "0002", "0003")


class Integers(TypeDecorator[tuple[int, ...]]):
    """A tuple of integers of any size, as one JSON text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[int, ...] | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else json.dumps(list(value), separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[int, ...] | None:
        """From the database."""
        return None if value is None else tuple(int(item) for item in json.loads(value))


class Texts(TypeDecorator[tuple[str, ...]]):
    """A tuple of texts, as one JSON text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else json.dumps(list(value), separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:
        """From the database."""
        return None if value is None else tuple(str(item) for item in json.loads(value))


metadata = MetaData()

# SQLite numbers rows by itself for INTEGER primary keys only.
_Number = BigInteger().with_variant(Integer, "sqlite")

node = Table(
    "node",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("testing", Boolean, nullable=False),
    Column("made_at", Double, nullable=False),
)

people = Table(
    "people",
    metadata,
    Column("key", LargeBinary, nullable=False),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("enrolled_at", Double, nullable=False),
    Column("revoked_at", Double),
    PrimaryKeyConstraint("key", "project"),
)

datasets = Table(
    "datasets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("population", Text, nullable=False),
    Column("card", LargeBinary, nullable=False),
    Column("source", Text, nullable=False),
    Column("added_at", Double, nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("set_at", Double, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("epsilon", Double, nullable=False),
    Column("delta", Double, nullable=False),
    Column("orders", Integers, nullable=False),
    Column("spent", Integers, nullable=False),
    Column("disclosures", BigInteger, nullable=False),
    Column("reserve", Double, nullable=False, server_default="0"),
    Column("slack", BigInteger, nullable=False, server_default="0"),
)

populations = Table(
    "populations",
    metadata,
    Column("name", Text, primary_key=True),
    Column("partition", Texts, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("requester", LargeBinary, nullable=False),
    Column("project", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("outlet", Text, nullable=False),
    Column("plan_hash", LargeBinary, nullable=False),
    Column("plan", LargeBinary, nullable=False),
    Column("header", LargeBinary, nullable=False),
    Column("why", Text, nullable=False),
    Column("made_at", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("request", Text, unique=True),
    Column("reason", Text, nullable=False),
    Column("approvers", Texts, nullable=False),
    Column("result", LargeBinary),
    Column("charged_leaf", BigInteger),
    Column("result_leaf", BigInteger),
    Index("releases_state", "state"),
)

entries = Table(
    "entries",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("release", LargeBinary, ForeignKey("releases.id"), nullable=False),
    Column("account", Text, ForeignKey("accounts.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("amounts", Integers, nullable=False),
    Column("at", Double, nullable=False),
    Column("slack", BigInteger, nullable=False, server_default="0"),
    Index("entries_account", "account"),
    Index("entries_release", "release"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("release", LargeBinary, ForeignKey("releases.id"), primary_key=True),
    Column("state", Text, nullable=False),
    Column("rounds", BigInteger, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("ended_leaf", BigInteger),
)

leaves = Table(
    "leaves",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

log_nodes = Table(
    "log_nodes",
    metadata,
    Column("level", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("level", "position"),
)

log_head = Table(
    "log_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
)

nonces = Table(
    "nonces",
    metadata,
    Column("sender", LargeBinary, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("expires", Double, nullable=False),
    PrimaryKeyConstraint("sender", "nonce"),
    Index("nonces_expires", "expires"),
)

witnesses = Table(
    "witnesses",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("url", Text, nullable=False),
    Column("added_at", Double, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("line", Text, nullable=False),
    Column("signed_at", BigInteger, nullable=False),
    Column("tried_at", Double, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("failed", Text, nullable=False),
)

witnessed = Table(
    "witnessed",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("name", Text, nullable=False),
    Column("allowed", Boolean, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("signed_at", BigInteger, nullable=False),
)

# The version that the store is at; the name and column are Alembic's.
alembic_version = Table("alembic_version", metadata, Column("version_num", Text, primary_key=True))
