"""``Site``: one node, as this scientist speaks with it: signed requests, checked replies, a log that may only grow."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from stead.client.receipt import Receipt
from stead.client.seen_log import LogState, SeenLog
from stead.client.transport import CHECKPOINT, MESSAGES, WITNESSED, Transport, consistency_proof
from stead.core import messages
from stead.core.clock import Clock, SystemClock
from stead.core.cosign import Cosignature, cosignatures, other_signatures
from stead.core.entropy import Entropy, SystemEntropy
from stead.core.failures import from_failure
from stead.core.keys import Key, PublicKey
from stead.core.notes import log_origin, open_checkpoint
from stead.core.signed import MemoryReplayGuard, nonce_of, seal, unseal
from stead.errors import BadMessage, PartyError, UsageError

Reply = TypeVar("Reply")

ATTEMPTS = 3
PAUSE_S = 0.5
MOST_DRIFT_S = 600


@dataclass(frozen=True)
class Scientist:
    """Who asks, from where: the key, the directory that remembers, and the sources of randomness and time."""

    key: Key
    home: Path
    entropy: Entropy = field(default_factory=SystemEntropy)
    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], None] = time.sleep


class Site:
    """One node and one project there.

    Args:
        transport: the way to the node.
        node_key: its pinned raw public key; nothing that is not signed by it is believed.
        scientist: who asks.
        url: the address, as a label and for later contact.
        project: the project under which everything is asked; empty: the one the owner enrolled the key for.

    Attributes:
        witnesses: raw public keys of steads whose signatures under the node's log are checked; set by ``attach``.
    """

    def __init__(self, transport: Transport, node_key: bytes, scientist: Scientist, *, url: str, project: str) -> None:
        self.transport = transport
        self.node_key = node_key
        self.scientist = scientist
        self.url = url
        self.project = project
        self.name = url
        self._replay = MemoryReplayGuard(scientist.clock)
        self._views: dict[str, messages.DatasetView] = {}
        self.witnesses: tuple[bytes, ...] = ()
        self._log = SeenLog(scientist.home, node_key, lambda old, new: consistency_proof(transport, old, new))

    def send(self, message: messages.Request, *, attempts: int = ATTEMPTS) -> messages.Message:
        """Send a request, retried while the node cannot be reached; the reply may be a ``Failure``.

        A retried request is the same message in a new envelope: a release id makes it the same release.
        """
        for attempt in range(1, attempts + 1):
            try:
                return self._once(message)
            except PartyError:
                if attempt == attempts:
                    raise
                self.scientist.sleep(PAUSE_S * 2 ** (attempt - 1))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def ask(self, message: messages.Request, expected: type[Reply], *, attempts: int = ATTEMPTS) -> Reply:
        """Send a request and return the reply.

        Raises:
            SteadError: the class that the node's ``Failure`` names, with the node's texts.
            BadMessage: the reply is of another kind than expected.
        """
        reply = self.ask_or_wait(message, expected, attempts=attempts)
        if isinstance(reply, messages.Waiting) and expected is not messages.Waiting:
            raise BadMessage(f"{self.name} wants to wait, which does not fit the request.")
        return cast("Reply", reply)

    def ask_or_wait(
        self, message: messages.Request, expected: type[Reply], *, attempts: int = ATTEMPTS
    ) -> Reply | messages.Waiting:
        """As ``ask``, where the owner may want to decide first."""
        reply = self.send(message, attempts=attempts)
        if isinstance(reply, messages.Failure):
            raise from_failure(reply)
        if not isinstance(reply, expected | messages.Waiting):
            raise BadMessage(f"{self.name} answered with {type(reply).__name__}, which does not fit the request.")
        return reply

    def refresh(self) -> dict[str, messages.DatasetView]:
        """Fetch the datasets, accounts and rules as they are now."""
        reply = self.ask(messages.ListDatasets(project=self.project), messages.Datasets)
        self.name, self.project = reply.node, reply.project
        self._views = {view.card.name: view for view in reply.views}
        return self._views

    def refresh_if_reachable(self) -> None:
        """As ``refresh``, after something has succeeded: a node that is gone since takes nothing of it away."""
        with contextlib.suppress(PartyError):
            self.refresh()

    def view(self, dataset: str) -> messages.DatasetView:
        """What was last fetched of a dataset.

        Raises:
            UsageError: the node has shown no such dataset.
        """
        if dataset not in self._views:
            hint = "datasets: " + ", ".join(self._views) if self._views else "the owner shows this project no dataset"
            raise UsageError(f"{self.name} shows no dataset {dataset!r}.", hint=hint)
        return self._views[dataset]

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names that were last fetched."""
        return tuple(self._views)

    def receipt(self, raw: messages.Receipt) -> Receipt:
        """A receipt, once it verifies against the pinned key and its log head against what was seen before.

        Raises:
            BadProof: it does not.
        """
        receipt = Receipt(self.name, self.node_key, raw)
        receipt.verify()
        self._log.observe(raw.checkpoint, live=False)
        return receipt

    def check_log(self) -> LogState:
        """Fetch the log's head and check that it contains every head seen before, and who else has signed it.

        A log that grows fast is ahead of its witnesses: then the newest head that they signed is fetched as well, and
        must be contained in the head of now.

        Raises:
            BadProof: the log shrank or was changed, or a known witness's signature does not verify.
        """
        note = self.transport.get(CHECKPOINT).decode("utf-8", "replace")
        last = self._log.observe(note, live=True)
        origin, key = log_origin(self.node_key), PublicKey(self.node_key)
        head = open_checkpoint(note, origin, key)
        signed, below = self._signed(note), head
        if self.witnesses and len(signed) < len(self.witnesses):
            earlier = self._witnessed()
            more = self._signed(earlier) if earlier else ()
            if len(more) > len(signed):
                self._log.observe(earlier, live=False)
                signed, below = more, open_checkpoint(earlier, origin, key)
        return LogState(
            self.name,
            head.size,
            head.root,
            last.size if last else None,
            signed,
            below.size if signed else 0,
            other_signatures(note, origin, self.witnesses),
        )

    def _signed(self, note: str) -> tuple[Cosignature, ...]:
        """The signatures of known witnesses below a head; one that is of the future counts for nothing."""
        latest = self.scientist.clock.now() + MOST_DRIFT_S
        return tuple(each for each in cosignatures(note, self.witnesses) if each.time_s <= latest)

    def _witnessed(self) -> str:
        """The newest head that a witness has signed; empty when the node has none, or has no such page."""
        try:
            return self.transport.get(WITNESSED).decode("utf-8", "replace")
        except UsageError:
            return ""

    def _once(self, message: messages.Request) -> messages.Message:
        who = self.scientist
        sealed = seal(message, key=who.key, recipient=self.node_key, clock=who.clock, entropy=who.entropy)
        data = self.transport.post(MESSAGES, sealed)
        opened = unseal(
            data,
            recipient=who.key,
            known=lambda sender: sender == self.node_key,
            replay=self._replay,
            clock=who.clock,
            reply_to=nonce_of(sealed),
        )
        return opened.message
