"""The seam below the client: how bytes get to one node and back. HTTPS is one way; ``stead.testing`` has another."""

from __future__ import annotations

from typing import Protocol

from stead.errors import BadMessage
from stead.net.certificates import Identity, read_identity

MESSAGES = "/v1/messages"
IDENTITY = "/v1/identity"
CHECKPOINT = "/v1/log/checkpoint"
WITNESSED = "/v1/log/witnessed"
CONSISTENCY = "/v1/log/consistency"
EXPORT = "/v1/log/export"


class Transport(Protocol):
    """One node's address.

    Cost: each call is one round trip.

    Security: none is needed. Messages are signed and bound to their recipient, and the log's heads are signed notes;
    a transport that lies is found out. It sees what is sent unless it encrypts.
    """

    def post(self, path: str, body: bytes) -> bytes:
        """Send ``body`` and return the reply's. Raises ``PartyUnreachable`` or ``PartyTimedOut``."""
        ...

    def get(self, path: str) -> bytes:
        """Fetch a page. Raises ``PartyUnreachable`` or ``PartyTimedOut``."""
        ...


def fetch_identity(transport: Transport) -> Identity:
    """Ask a node who it is; the answer becomes worth something when the key is pinned and replies verify.

    Raises:
        BadMessage: the page is no identity.
        VersionMismatch: the node speaks another version.
    """
    return read_identity(transport.get(IDENTITY))


def consistency_proof(transport: Transport, old: int, new: int) -> tuple[bytes, ...]:
    """Fetch the hashes that prove that a log of ``new`` entries begins with its first ``old``.

    Raises:
        BadMessage: the page is no list of hashes.
    """
    lines = transport.get(f"{CONSISTENCY}?old={old}&new={new}").decode("ascii", "replace").split()
    try:
        return tuple(bytes.fromhex(line) for line in lines)
    except ValueError:
        raise BadMessage(f"{CONSISTENCY} does not hold hashes in hexadecimal digits, one to a line.") from None
