"""Every error that stead raises, in one tree.

::

    SteadError
    ├── UsageError      your code: UnknownColumn · UnknownAttribute · UnboundedContribution · UnsupportedOperation ·
    │                   NotYet · MissingExtra
    ├── Refused         the owner's rules: PolicyDenied · BudgetExceeded · TooExpensive · PurposeMissing
    ├── Untrusted       proof failed: BadSignature · BadProof · KeyChanged · VersionMismatch · CheaterDetected ·
    │                   BadMessage
    ├── PartyError      others: PartyUnreachable · PartyTimedOut · TooFewParties
    └── NodeError       ours: carries a reference, never a traceback or a private value

Each message says what happened, with the numbers; ``hint`` says what to do about it. No text is derived from
private rows. ``exit_code`` is what the command line ends with.
"""

from __future__ import annotations

import re
from typing import ClassVar


class SteadError(Exception):
    """The root of the tree.

    Args:
        what: what happened, in one sentence, with the numbers.
        hint: what to do about it; may be empty.
        reference: an identifier under which a node's private log holds more; may be empty.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, hint: str = "", reference: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.reference = reference

    @classmethod
    def code(cls) -> str:
        """The error's name on the wire and in ``stead help``: ``BudgetExceeded`` gives ``budget-exceeded``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()

    def __str__(self) -> str:
        lines = [self.what]
        if self.hint:
            lines += ["", f"  hint: {self.hint}"]
        if self.hint or self.reference:
            more = f"  more: stead help {self.code()}"
            lines.append(f"{more} · ref {self.reference}" if self.reference else more)
        return "\n".join(lines)


class UsageError(SteadError):
    """The caller's code asks for something that cannot be."""

    exit_code = 2


class UnknownColumn(UsageError, AttributeError):
    """A column is named that the owner has not declared.

    Columns are attributes of a dataset, so it is an ``AttributeError`` too: ``hasattr(heart, "age")`` works.
    """


class UnknownAttribute(UsageError, AttributeError):
    """A secret array has no such attribute; an ``AttributeError`` too: ``hasattr`` works."""


class UnboundedContribution(UsageError):
    """One person could move the result without limit; names the step that needs a bound."""


class UnsupportedOperation(UsageError):
    """An operation is outside the closed vocabulary; names it."""


class NotYet(UsageError):
    """The thing is planned, and not there in this version."""


class MissingExtra(UsageError):
    """An optional dependency is needed and absent; names the extra that installs it."""


class Refused(SteadError):
    """The owner's rules do not allow it."""

    exit_code = 3


class PolicyDenied(Refused):
    """A rule of the owner's policy denies it; the text carries the rule's reason."""


class BudgetExceeded(Refused):
    """An account cannot pay for it; the text names only accounts of the caller."""


class TooExpensive(Refused):
    """The plan's price in flops, bytes or rounds is above the owner's limits."""


class PurposeMissing(Refused):
    """A spend without ``why``."""


class Untrusted(SteadError):
    """A proof failed; nothing that came with it is used."""

    exit_code = 4


class BadSignature(Untrusted):
    """A signature does not verify, or the message is misdirected, expired or replayed."""


class BadProof(Untrusted):
    """A Merkle proof, checkpoint or receipt does not verify."""


class KeyChanged(Untrusted):
    """A known peer shows another key than the pinned one."""


class VersionMismatch(Untrusted):
    """The other side speaks a version that this one does not."""


class CheaterDetected(Untrusted):
    """A party left the protocol in a way that can be shown."""


class BadMessage(Untrusted):
    """Bytes that are not a message of the protocol: wrong tag, shape, size or encoding."""


class PartyError(SteadError):
    """Another party does not do its part."""


class PartyUnreachable(PartyError):
    """No connection to a party."""


class PartyTimedOut(PartyError):
    """A party did not answer in time."""


class TooFewParties(PartyError):
    """Fewer parties take part than the plan needs."""


class NodeError(SteadError):
    """A fault of the node itself: carries a reference into the node's own log, never a value."""


def _tree(root: type[SteadError]) -> dict[str, type[SteadError]]:
    found = {root.code(): root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


def by_code(code: str) -> type[SteadError]:
    """The class of the tree with this wire name; ``NodeError`` for a name that this version does not know."""
    return _tree(SteadError).get(code, NodeError)
