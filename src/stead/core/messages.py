"""What travels between a client and a node: a closed tagged union of frozen structs.

Each message is one canonical msgpack map (``core.codec``), carried inside ``core.signed.Signed``. Plans travel as
their own canonical bytes, so that a hash of a plan is a hash of bytes. Adding a message is adding a class here and a
golden file in ``tests/vectors``; changing one is a new tag.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from stead.core.schema import DatasetCard

PROTOCOL = 1


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Shared configuration of the union's members."""


class ListDatasets(_Message, frozen=True, tag="list-datasets"):
    """Which datasets may I know of? An empty ``project`` is the caller's only one. Answered by ``Datasets``."""

    project: str


class AccountView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One account as its user may see it: target (epsilon, delta) and what the charges so far come to."""

    account: str
    epsilon_limit: float
    epsilon_spent: float
    delta: float
    disclosures: int


class DatasetView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dataset's public card, the caller's accounts there and the owner's rules in words."""

    card: DatasetCard
    accounts: tuple[AccountView, ...]
    rules: tuple[str, ...]


class Datasets(_Message, frozen=True, tag="datasets"):
    """The answer to ``ListDatasets``, for the project that was asked for (or the caller's only one)."""

    node: str
    project: str
    views: tuple[DatasetView, ...]


class Preview(_Message, frozen=True, tag="preview"):
    """What would this plan cost, and who must approve it? Looks at no row, spends nothing. Answered by ``Quote``.

    ``outlet`` is the way the result would leave; ``sites`` the number of sites of a session (1: this node alone), and
    ``colluders`` how many of their noise shares are not counted.
    """

    project: str
    plan: bytes
    outlet: Literal["answer", "join", "disclose"]
    sites: int = 1
    colluders: int = 0


class Quote(_Message, frozen=True, tag="quote"):
    """The answer to ``Preview``: the price, the accounts before and after, and the policy's decision with reasons.

    ``epsilon`` is what this plan alone comes to at ``delta``; infinite for ``disclose``.
    """

    epsilon: float
    delta: float
    accounts: tuple[AccountView, ...]
    accounts_after: tuple[AccountView, ...]
    decision: Literal["allow", "ask", "deny"]
    reason: str
    approvers: tuple[str, ...]
    flops: int
    size_bytes: int
    rounds: int


class AskAnswer(_Message, frozen=True, tag="ask-answer"):
    """Release this ``Query``'s answer. ``release`` (16 random bytes, the caller's) makes a retry the same release."""

    release: bytes
    project: str
    plan: bytes
    why: str


class Waiting(_Message, frozen=True, tag="waiting"):
    """The owner is asked. Send the same request again to learn more; nothing is charged yet."""

    request: str
    approvers: tuple[str, ...]
    reason: str


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Proof that the node's log records a decision: the leaf as it stands in the log, and its way to a signed head.

    ``leaf`` is the canonical leaf body, ``salt`` its 32 random bytes, ``proof`` RFC 9162 inclusion hashes for
    ``index`` in the tree of ``checkpoint`` (a C2SP signed note). ``node_key`` is the node's raw Ed25519 public key.
    """

    leaf: bytes
    salt: bytes
    index: int
    proof: tuple[bytes, ...]
    checkpoint: str
    node_key: bytes


class Released(_Message, frozen=True, tag="released"):
    """An answer: ``body`` is the released bytes (canonical msgpack of ``plans`` result), with its receipt."""

    release: bytes
    body: bytes
    receipt: Receipt


class OpenSession(_Message, frozen=True, tag="open-session"):
    """Take part in a joint computation. ``header`` is the canonical header of ``learn``, identical for all sites.

    Answered by ``SessionOpened`` (or ``Waiting``); the charge is made and logged before the answer.
    """

    release: bytes
    project: str
    plan: bytes
    header: bytes
    outlet: Literal["join", "disclose"]
    why: str


class SessionOpened(_Message, frozen=True, tag="session-opened"):
    """The site takes part; ``frame`` is its first frame (its signed key for this header)."""

    release: bytes
    frame: bytes
    receipt: Receipt


class SessionFrame(_Message, frozen=True, tag="session-frame"):
    """The next frame of an open session, in the order its plan fixes; answered by a ``SessionFrame``."""

    release: bytes
    frame: bytes


class CloseSession(_Message, frozen=True, tag="close-session"):
    """No further frame will come. Answered by ``SessionClosed``; idempotent."""

    release: bytes
    reason: str = ""


class SessionClosed(_Message, frozen=True, tag="session-closed"):
    """The session has ended at this site; the receipt proves the leaf that says how."""

    release: bytes
    receipt: Receipt


class Failure(_Message, frozen=True, tag="failure"):
    """An error of ``stead.errors`` by its wire name, with texts that hold nothing private."""

    error: str
    what: str
    hint: str
    reference: str


Request = ListDatasets | Preview | AskAnswer | OpenSession | SessionFrame | CloseSession
Reply = Datasets | Quote | Waiting | Released | SessionOpened | SessionFrame | SessionClosed | Failure
Message = (
    ListDatasets
    | Datasets
    | Preview
    | Quote
    | AskAnswer
    | Waiting
    | Released
    | OpenSession
    | SessionOpened
    | SessionFrame
    | CloseSession
    | SessionClosed
    | Failure
)
