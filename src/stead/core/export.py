"""A node's log as a file: what an auditor is handed, and what can be checked with the node switched off.

The file is JSON lines (UTF-8). The first line is ``LogHead``, each further line one ``LeafRow`` in order; bytes are
base64. A *public* export holds hashes only, and proves order and completeness. The owner's *full* export holds each
leaf's salt and body as well, so that every decision can be read and every charge computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Final, Literal, TypeVar

import msgspec

from stead.errors import BadProof

MAX_LINE_BYTES: Final = 2 * 1024 * 1024
"""The longest line that is read; a leaf of the largest size fits."""


class LogHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="format", tag="stead-log-1"):
    """Whose log it is, and the signed head that the leaves must add up to.

    Attributes:
        name: what the node calls itself; unproven.
        node_key: its raw public key.
        checkpoint: the signed note over all leaves of the file.
        full: whether salts and bodies are there.
    """

    name: str
    node_key: bytes
    checkpoint: str
    full: bool


class LeafRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One leaf: its place and hash, and in a full export its 32-byte salt and canonical body."""

    index: int
    hash: bytes
    salt: bytes = b""
    body: bytes = b""


class LogExport(msgspec.Struct, frozen=True):
    """A whole export in memory."""

    head: LogHead
    leaves: tuple[LeafRow, ...]

    @property
    def kind(self) -> Literal["full", "public"]:
        """Which of the two exports it is."""
        return "full" if self.head.full else "public"


Row = TypeVar("Row", LogHead, LeafRow)


def export_lines(head: LogHead, leaves: Iterable[LeafRow]) -> Iterator[bytes]:
    """The file, line by line, each ended by a newline. A head that is not full drops salts and bodies."""
    yield msgspec.json.encode(head) + b"\n"
    for row in leaves:
        kept = row if head.full else LeafRow(index=row.index, hash=row.hash)
        yield msgspec.json.encode(kept) + b"\n"


def read_export(file: IO[bytes]) -> LogExport:
    """Read an export; only its form is checked here.

    Raises:
        BadProof: it is none, or a line is out of place.
    """
    head = _line(file, LogHead, 1)
    if head is None:
        raise BadProof("the file is empty; a log's export begins with its head.")
    leaves: list[LeafRow] = []
    while (row := _line(file, LeafRow, len(leaves) + 2)) is not None:
        if row.index != len(leaves):
            raise BadProof(f"line {len(leaves) + 2} holds leaf {row.index}; leaf {len(leaves)} comes next.")
        if head.full != bool(row.salt and row.body):
            raise BadProof(f"leaf {row.index} is not what a {'full' if head.full else 'public'} export holds.")
        leaves.append(row)
    return LogExport(head, tuple(leaves))


def _line(file: IO[bytes], kind: type[Row], number: int) -> Row | None:
    line = file.readline(MAX_LINE_BYTES + 1)
    if not line:
        return None
    if not line.endswith(b"\n"):
        raise BadProof(f"line {number} is cut short, or longer than {MAX_LINE_BYTES} bytes.")
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise BadProof(f"line {number} is no {kind.__name__} of a log's export.") from None
