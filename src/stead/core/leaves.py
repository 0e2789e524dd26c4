"""What the node's log says: one frozen struct for each kind of decision, a closed tagged union.

A leaf is recorded salted (``core.merkle.leaf_hash``), so that an exported log proves order and completeness without
showing others' questions; whoever is given a leaf's body and salt (in a ``Receipt``) can check that it stands there.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Outlet = Literal["answer", "join", "disclose"]


class _Leaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="leaf"):
    """Shared configuration; ``at`` is the node's clock in seconds since the Unix epoch."""

    at: float


class NodeMade(_Leaf, frozen=True, tag="node-made"):
    """The first leaf. ``testing`` nodes may use seeded entropy and say so here."""

    name: str
    key: bytes
    testing: bool


class PersonEnrolled(_Leaf, frozen=True, tag="person-enrolled"):
    """The owner trusts this key from now on, as a scientist of ``project`` or as a peer site (no project)."""

    name: str
    key: bytes
    role: Literal["scientist", "site"]
    project: str


class PersonRevoked(_Leaf, frozen=True, tag="person-revoked"):
    """The key is trusted no longer."""

    key: bytes


class DatasetAdded(_Leaf, frozen=True, tag="dataset-added", omit_defaults=True):
    """A dataset is offered under this card (its canonical SHA-256).

    ``partition`` is the column whose values have accounts of their own, and those values; empty without one.
    """

    dataset: str
    population: str
    card_hash: bytes
    partition: tuple[str, ...] = ()


class PolicySet(_Leaf, frozen=True, tag="policy-set"):
    """The owner's rules are these from now on (SHA-256 of their canonical bytes)."""

    policy_hash: bytes


class AccountSet(_Leaf, frozen=True, tag="account-set", omit_defaults=True):
    """An account has this target from now on: epsilon at delta, decided at these Rényi orders.

    ``reserve`` is the part of delta that is kept for events with slack; ``None``: no part.
    """

    account: str
    epsilon: float
    delta: float
    orders: tuple[int, ...]
    reserve: float | None = None


class Charge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one account pays: Rényi divergence at each of its orders, in units of 2^-40 nat, rounded up.

    ``slack`` is the probability beside it, in units of 2^-62, rounded up.
    """

    account: str
    amounts: tuple[int, ...]
    slack: int = 0


class Asked(_Leaf, frozen=True, tag="asked"):
    """The policy wants a person's word before this release."""

    release: bytes
    requester: bytes
    plan_hash: bytes
    outlet: Outlet
    why: str
    reason: str


class Decided(_Leaf, frozen=True, tag="decided"):
    """A person approved or denied an asked release."""

    release: bytes
    approver: str
    decision: Literal["approve", "deny"]
    reason: str


class Refused(_Leaf, frozen=True, tag="refused"):
    """A release was refused, with the public reason."""

    release: bytes
    requester: bytes
    plan_hash: bytes
    outlet: Outlet
    error: str
    reason: str


class Charged(_Leaf, frozen=True, tag="charged"):
    """A release or session begins; its price is paid from here on, whatever happens.

    ``event`` is the canonical encoding of the ``privacy`` event that was priced; empty with outlet ``disclose``, where
    nothing is added into epsilon and ``approvers`` names who allowed it.
    """

    release: bytes
    requester: bytes
    project: str
    dataset: str
    plan_hash: bytes
    outlet: Outlet
    why: str
    event: bytes
    charges: tuple[Charge, ...]
    approvers: tuple[str, ...]


class ResultStored(_Leaf, frozen=True, tag="result-stored"):
    """The result of a release exists and may leave: SHA-256 of its bytes."""

    release: bytes
    result_hash: bytes


class Helping(_Leaf, frozen=True, tag="helping"):
    """The node begins to help a joint computation of others: it enters nothing of its own, so nothing is charged."""

    release: bytes
    requester: bytes
    project: str
    plan_hash: bytes
    why: str
    approvers: tuple[str, ...]


class Opened(_Leaf, frozen=True, tag="opened"):
    """This node's shares of a joint result may leave, for the key ``receiver`` and nobody else.

    ``opening`` is ``answer`` (noise is inside) or ``disclose`` (it is not); ``shares_hash`` is the digest of the frame.
    """

    release: bytes
    receiver: bytes
    opening: Literal["answer", "disclose"]
    shares_hash: bytes


class SessionEnded(_Leaf, frozen=True, tag="session-ended"):
    """A session is over: ``done``, or ``aborted`` with a public reason, after so many rounds sent."""

    release: bytes
    outcome: Literal["done", "aborted"]
    rounds: int
    reason: str


class WitnessAdded(_Leaf, frozen=True, tag="witness-added"):
    """The heads of this log go to the node with this key from now on, to be cosigned."""

    key: bytes
    url: str


class WitnessRemoved(_Leaf, frozen=True, tag="witness-removed"):
    """The heads of this log go to that node no longer."""

    key: bytes


class CosigningBegun(_Leaf, frozen=True, tag="cosigning-begun"):
    """This node signs the heads of the log of the node with this key, a peer of that name.

    Each head that it signs is no leaf: two nodes that are each other's witnesses would never come to rest.
    """

    name: str
    key: bytes


class CosigningEnded(_Leaf, frozen=True, tag="cosigning-ended"):
    """This node signs heads of that log no longer."""

    key: bytes


Leaf = (
    NodeMade
    | PersonEnrolled
    | PersonRevoked
    | DatasetAdded
    | PolicySet
    | AccountSet
    | Asked
    | Decided
    | Refused
    | Charged
    | ResultStored
    | Helping
    | Opened
    | SessionEnded
    | WitnessAdded
    | WitnessRemoved
    | CosigningBegun
    | CosigningEnded
)
