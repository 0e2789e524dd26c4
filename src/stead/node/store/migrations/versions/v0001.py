"""The first schema: people, datasets, policies, ledger, releases, sessions, log and nonces."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from stead.node.store.guards import append_only, fixed, no_delete

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and their guards."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    _people_and_data(number)
    _ledger(number)
    _log()
    dialect = op.get_bind().dialect.name
    facts = ("id", "requester", "project", "dataset", "outlet", "plan_hash", "plan", "header", "why", "made_at")
    statements = [
        *(
            sql
            for table in ("entries", "leaves", "log_nodes", "policies", "node")
            for sql in append_only(dialect, table)
        ),
        *no_delete(dialect, "accounts"),
        *no_delete(dialect, "releases"),
        *no_delete(dialect, "sessions"),
        *fixed(dialect, "releases", columns=facts, name="releases_facts_fixed"),
        *fixed(dialect, "releases", columns=("result", "result_leaf"), name="releases_result_fixed", once_set="result"),
        *fixed(dialect, "accounts", columns=("id", "orders"), name="accounts_orders_fixed"),
    ]
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """There is nothing before the first schema."""
    raise RuntimeError("a store is not downgraded; open it with the version that made it")


def _people_and_data(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "node",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("testing", sa.Boolean, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
    )
    op.create_table(
        "people",
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("enrolled_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double),
        sa.PrimaryKeyConstraint("key", "project"),
    )
    op.create_table(
        "datasets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("population", sa.Text, nullable=False),
        sa.Column("card", sa.LargeBinary, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("added_at", sa.Double, nullable=False),
    )
    op.create_table(
        "policies",
        sa.Column("id", number, primary_key=True, autoincrement=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("set_at", sa.Double, nullable=False),
    )


def _ledger(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("epsilon", sa.Double, nullable=False),
        sa.Column("delta", sa.Double, nullable=False),
        sa.Column("orders", sa.Text, nullable=False),
        sa.Column("spent", sa.Text, nullable=False),
        sa.Column("disclosures", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "releases",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("requester", sa.LargeBinary, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("outlet", sa.Text, nullable=False),
        sa.Column("plan_hash", sa.LargeBinary, nullable=False),
        sa.Column("plan", sa.LargeBinary, nullable=False),
        sa.Column("header", sa.LargeBinary, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("made_at", sa.Double, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("request", sa.Text, unique=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("approvers", sa.Text, nullable=False),
        sa.Column("result", sa.LargeBinary),
        sa.Column("charged_leaf", sa.BigInteger),
        sa.Column("result_leaf", sa.BigInteger),
    )
    op.create_index("releases_state", "releases", ["state"])
    op.create_table(
        "entries",
        sa.Column("id", number, primary_key=True, autoincrement=True),
        sa.Column("release", sa.LargeBinary, sa.ForeignKey("releases.id"), nullable=False),
        sa.Column("account", sa.Text, sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("amounts", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_index("entries_account", "entries", ["account"])
    op.create_index("entries_release", "entries", ["release"])
    op.create_table(
        "sessions",
        sa.Column("release", sa.LargeBinary, sa.ForeignKey("releases.id"), primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("rounds", sa.BigInteger, nullable=False),
        sa.Column("opened_at", sa.Double, nullable=False),
        sa.Column("ended_leaf", sa.BigInteger),
    )


def _log() -> None:
    op.create_table(
        "leaves",
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "log_nodes",
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("level", "position"),
    )
    log_head = op.create_table(
        "log_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(log_head, [{"id": 1, "size": 0}])
    op.create_table(
        "nonces",
        sa.Column("sender", sa.LargeBinary, nullable=False),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("sender", "nonce"),
    )
    op.create_index("nonces_expires", "nonces", ["expires"])
