"""Triggers by which the database itself refuses to rewrite what has been recorded.

They stop mistakes and careless tools, not the owner of the database file, who can drop them; what the owner cannot
undo is the signed log that others hold checkpoints of.
"""

from __future__ import annotations

_POSTGRES_REFUSE = """
CREATE OR REPLACE FUNCTION stead_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = TG_TABLE_NAME || ' is append-only';
END $$
"""


def append_only(dialect: str, table: str) -> tuple[str, ...]:
    """Statements after which rows of ``table`` can be added, and neither changed nor deleted."""
    return (*_never(dialect, table, "UPDATE"), *no_delete(dialect, table))


def no_delete(dialect: str, table: str) -> tuple[str, ...]:
    """Statements after which rows of ``table`` cannot be deleted."""
    return _never(dialect, table, "DELETE")


def fixed(dialect: str, table: str, *, columns: tuple[str, ...], name: str, once_set: str = "") -> tuple[str, ...]:
    """Statements after which ``columns`` of a row cannot be updated (with ``once_set``: once that column is set)."""
    when = f"OLD.{once_set} IS NOT NULL" if once_set else ""
    return _never(dialect, table, f"UPDATE OF {', '.join(columns)}", name=name, when=when)


def never_smaller(dialect: str, table: str, *, column: str, name: str) -> tuple[str, ...]:
    """Statements after which no row's ``column`` can be set to less than it is."""
    return _never(dialect, table, f"UPDATE OF {column}", name=name, when=f"NEW.{column} < OLD.{column}")


def _never(dialect: str, table: str, event: str, *, name: str = "", when: str = "") -> tuple[str, ...]:
    name = name or f"{table}_no_{event.lower()}"
    condition = f"WHEN ({when}) " if when else ""
    if dialect == "sqlite":
        body = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        return (f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW {condition}{body}",)
    row = f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW {condition}EXECUTE FUNCTION stead_refuse()"
    if event != "DELETE":
        return (_POSTGRES_REFUSE, row)
    truncate = f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION stead_refuse()"
    return (_POSTGRES_REFUSE, row, truncate)


def guards(dialect: str) -> tuple[str, ...]:
    """All of the current schema's guards."""
    facts = ("id", "requester", "project", "dataset", "outlet", "plan_hash", "plan", "header", "why", "made_at")
    return (
        *(
            sql
            for table in ("entries", "leaves", "log_nodes", "policies", "node", "populations")
            for sql in append_only(dialect, table)
        ),
        *no_delete(dialect, "accounts"),
        *no_delete(dialect, "releases"),
        *no_delete(dialect, "sessions"),
        *fixed(dialect, "releases", columns=facts, name="releases_facts_fixed"),
        *fixed(dialect, "releases", columns=("result", "result_leaf"), name="releases_result_fixed", once_set="result"),
        *fixed(dialect, "accounts", columns=("id", "orders"), name="accounts_orders_fixed"),
        *no_delete(dialect, "witnessed"),
        *never_smaller(dialect, "witnessed", column="size", name="witnessed_size_grows"),
    )
