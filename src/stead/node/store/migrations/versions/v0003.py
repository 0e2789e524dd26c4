"""Witnesses: the nodes that sign this one's heads, and the logs whose heads this one signs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from stead.node.store.guards import never_smaller, no_delete

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables and their guards."""
    op.create_table(
        "witnesses",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("added_at", sa.Double, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.Column("signed_at", sa.BigInteger, nullable=False),
        sa.Column("tried_at", sa.Double, nullable=False),
        sa.Column("failures", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.Text, nullable=False),
    )
    op.create_table(
        "witnessed",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("allowed", sa.Boolean, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("signed_at", sa.BigInteger, nullable=False),
    )
    dialect = op.get_bind().dialect.name
    for statement in (
        *no_delete(dialect, "witnessed"),
        *never_smaller(dialect, "witnessed", column="size", name="witnessed_size_grows"),
    ):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """A store with a newer log would be read by a version that does not know its leaves."""
    raise RuntimeError("a store is not downgraded; open it with the version that made it")
