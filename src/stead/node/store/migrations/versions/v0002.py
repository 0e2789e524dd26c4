"""Reserves and slack of accounts, and the partition by which a population's accounts are kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from stead.node.store.guards import append_only

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CHARGED = (
    "INSERT INTO populations (name, partition) SELECT substr(id, 12), '[]' FROM accounts WHERE id LIKE 'population/%'"
)


def upgrade() -> None:
    """Accounts made so far have no reserve, and populations that were charged are kept whole."""
    op.add_column("accounts", sa.Column("reserve", sa.Double, nullable=False, server_default="0"))
    op.add_column("accounts", sa.Column("slack", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("entries", sa.Column("slack", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "populations",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, nullable=False),
    )
    connection = op.get_bind()
    connection.execute(sa.text(_CHARGED))
    for statement in append_only(connection.dialect.name, "populations"):
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    """A store is not taken back: its accounts may have spent from their reserves."""
    raise RuntimeError("a store is not downgraded; open it with the version that made it")
