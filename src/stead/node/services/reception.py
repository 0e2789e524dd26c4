"""Who comes in by post: sealed messages opened, each kind handed to the service that answers it, replies sealed."""

from __future__ import annotations

from typing import final

from stead.core import messages
from stead.core.clock import Clock
from stead.core.failures import to_failure
from stead.core.signed import ReplayGuard, open_envelope, seal, unseal
from stead.errors import BadMessage, SteadError
from stead.node.services.appraisal import Appraiser
from stead.node.services.books import Books
from stead.node.services.faults import fault
from stead.node.services.gate import ReleaseGate
from stead.node.services.payers import payers
from stead.node.services.registry import Registry
from stead.node.services.session import Sessions


@final
class Reception:
    """Answers sealed requests with sealed replies. Safe to call from several threads.

    Args:
        books: the node's records.
        gate: the way out for what is derived from rows.
        appraiser: answers previews.
        sessions: answers frames.
        registry: the public cards.
        replay: where nonces are claimed.
        clock: the node's time.
    """

    def __init__(  # noqa: PLR0913 (one service each)
        self,
        books: Books,
        *,
        gate: ReleaseGate,
        appraiser: Appraiser,
        sessions: Sessions,
        registry: Registry,
        replay: ReplayGuard,
        clock: Clock,
    ) -> None:
        self._books, self._gate, self._appraiser = books, gate, appraiser
        self._sessions, self._registry, self._replay, self._clock = sessions, registry, replay, clock

    def receive(self, data: bytes) -> bytes:
        """The sealed reply to a sealed request: an answer, or the ``Failure`` that says why there is none.

        Raises:
            BadMessage: the bytes have not the form of a sealed message, so nobody can be answered.
            VersionMismatch: they are of another version.
        """
        envelope = open_envelope(data)
        return seal(
            self._reply(data),
            key=self._books.identity.key,
            recipient=envelope.sender,
            clock=self._clock,
            entropy=self._books.entropy,
            reply_to=envelope.nonce,
        )

    def _reply(self, data: bytes) -> messages.Message:
        failed = ""
        try:
            opened = unseal(
                data,
                recipient=self._books.identity.key,
                known=self._books.people.known,
                replay=self._replay,
                clock=self._clock,
            )
            return self._answer(opened.sender, opened.message)
        except SteadError as error:
            return to_failure(error)
        except Exception as error:  # noqa: BLE001 - its text may hold anything, so only its class is kept
            failed = type(error).__name__
        return to_failure(fault(self._books.entropy, "message", failed))

    def _answer(self, caller: bytes, message: messages.Message) -> messages.Message:
        match message:
            case messages.ListDatasets():
                return self._datasets(caller, message)
            case messages.Preview():
                return self._appraiser.quote(caller, message)
            case messages.AskAnswer():
                return self._gate.answer(caller, message)
            case messages.OpenSession(outlet="join"):
                return self._gate.join(caller, message)
            case messages.OpenSession():
                return self._gate.disclose(caller, message)
            case messages.SessionFrame():
                return self._sessions.frame(caller, message)
            case messages.CloseSession():
                return self._sessions.close(caller, message)
            case _:
                raise BadMessage("this message is a reply; a node takes requests.")

    def _datasets(self, caller: bytes, message: messages.ListDatasets) -> messages.Datasets:
        project = message.project or self._books.people.only_project(caller)
        scientist = self._books.people.scientist(caller, project)
        policy = self._books.policies.current()
        rules = policy.rules_in_words()
        views = []
        for card in self._registry.cards():
            limits = policy.rules.budgets.limits
            accounts = payers(card.schema, limits, project=project, scientist=scientist, at=self._clock.now())
            balances = self._books.ledger.own(accounts, limits)
            views.append(messages.DatasetView(card=card, accounts=balances, rules=rules))
        return messages.Datasets(node=self._books.identity.name, project=project, views=tuple(views))
