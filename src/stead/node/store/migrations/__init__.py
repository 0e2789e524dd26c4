"""How a store of an older version becomes one of this version; read by Alembic, only when it is needed."""
