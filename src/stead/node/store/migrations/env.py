"""Alembic's entry: it runs inside the one transaction that ``store.engine`` has opened, under its lock."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
context.run_migrations()
