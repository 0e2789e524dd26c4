"""Where a node keeps what it must not forget: SQLite or PostgreSQL, append-only where it matters."""

from stead.node.store.engine import Lock, Store, Transaction, in_batches, open_store, plain

__all__ = ["Lock", "Store", "Transaction", "in_batches", "open_store", "plain"]
