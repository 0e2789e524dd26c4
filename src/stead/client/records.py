"""What was asked, kept on this machine before it is sent, so that a crash or a restart loses nothing.

A release is charged once under its id. The record holds that id, so asking again after a crash fetches the stored
answer instead of paying twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from stead.client.files import write_file
from stead.core.codec import decode, encode
from stead.errors import BadMessage, UsageError

Status = Literal["sent", "waiting", "answered", "refused"]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question to one node.

    Attributes:
        release: 16 random bytes that make a retry the same release.
        plan: the encoded plan.
        why: its purpose.
        project: under which it was asked.
        asked_at: seconds since the Unix epoch.
        status: ``sent`` (no reply has come yet), ``waiting`` for a person, ``answered`` or ``refused``.
        request: the node's name for it while it waits.
        approvers: who must approve.
        reason: the rule's or the refusal's words.
    """

    release: bytes
    plan: bytes
    why: str
    project: str
    asked_at: float
    status: Status = "sent"
    request: str = ""
    approvers: tuple[str, ...] = ()
    reason: str = ""

    @property
    def name(self) -> str:
        """How a notebook names it: ``r-7f3a22``."""
        return f"r-{self.release.hex()[:6]}"


class Records:
    """One node's records in the scientist's directory."""

    def __init__(self, home: Path, node_key: bytes) -> None:
        self._directory = home / "requests" / node_key.hex()

    def save(self, record: Record) -> None:
        """Write a record, or its newer state."""
        write_file(self._directory / f"{record.release.hex()}.request", encode(record))

    def find(self, name: str) -> Record:
        """The record by its own name, the node's name for it, or the beginning of its release id.

        Raises:
            UsageError: none or several.
        """
        prefix = name.removeprefix("r-")
        matching = [r for r in self if r.request == name or (prefix and r.release.hex().startswith(prefix))]
        if len(matching) != 1:
            raise UsageError(
                f"{len(matching)} requests on this machine are named {name!r}.",
                hint="requests: " + (", ".join(record.name for record in self) or "none"),
            )
        return matching[0]

    def __iter__(self) -> Iterator[Record]:
        found = [_read(path) for path in self._directory.glob("*.request")]
        return iter(sorted(found, key=lambda record: (record.asked_at, record.release)))


def _read(path: Path) -> Record:
    try:
        return decode(path.read_bytes(), Record)
    except BadMessage:
        raise BadMessage(f"{path} is not a request record.", hint="remove the file if you do not need it") from None
