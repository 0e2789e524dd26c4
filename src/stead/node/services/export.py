"""The log as a file for outsiders (hashes only) or for the owner's own auditor (everything)."""

from __future__ import annotations

from stead.core.export import LeafRow, LogHead, export_lines
from stead.core.keys import PublicKey
from stead.core.notes import open_checkpoint
from stead.node.services.books import Books


def export_log(books: Books, *, full: bool = False) -> bytes:
    """The log up to a head signed now (``core.export``).

    Args:
        books: the node's records.
        full: with salts and bodies, so that every decision can be read: for whom the owner chooses.
    """
    log = books.log
    note = log.checkpoint()
    size = open_checkpoint(note, log.origin, PublicKey(log.node_key)).size
    head = LogHead(name=books.identity.name, node_key=log.node_key, checkpoint=note, full=full)
    rows = (
        LeafRow(index=index, hash=hashed, salt=salt, body=body)
        for index, (body, salt, hashed) in enumerate(log.leaves(0, size))
    )
    return b"".join(export_lines(head, rows))
