"""Which messages have been read already: a replay guard that a restart does not make forget."""

from __future__ import annotations

from typing import final

from stead.core.clock import Clock
from stead.errors import BadSignature
from stead.node.store import Store, tables

_PRUNE_EACH_S = 60.0
_KEEP_S = 3600.0  # past their expiry, for a clock that is set back


@final
class StoredReplayGuard:
    """``core.signed.ReplayGuard`` in the node's store.

    Security:
        The claim is one insert under a primary key, so of two claims of a message, in whatever threads and processes
        of this store, one fails.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._prune_at = clock.now() + _PRUNE_EACH_S

    def claim(self, sender: bytes, nonce: bytes, expires: float) -> None:
        """Take note of a message that stays acceptable until ``expires`` (seconds since the Unix epoch).

        Raises:
            BadSignature: it was claimed before.
        """
        now = self._clock.now()
        with self._store.write() as write:
            if now >= self._prune_at:
                self._prune_at = now + _PRUNE_EACH_S
                write.connection.execute(tables.nonces.delete().where(tables.nonces.c.expires < now - _KEEP_S))
            if not write.insert_if_absent(tables.nonces, {"sender": sender, "nonce": nonce, "expires": expires}):
                raise BadSignature("this message has been received before.")
