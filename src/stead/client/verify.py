"""Checking a node from outside, with the node switched off: its exported log, receipts, and heads seen before.

What a public export proves: the log is the one whose head the node signed, nothing was taken out of it since an older
head, and a receipt's entry stands in it. What a full export proves beyond that: what each entry says, that every
charge is the price of the event it names and was within its accounts' limits, that each release was charged once,
before it left, and left as one result, and what each account has spent.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stead.client import render
from stead.core.codec import decode
from stead.core.cosign import cosignatures, other_signatures
from stead.core.export import LeafRow, LogExport, read_export
from stead.core.keys import PublicKey
from stead.core.leaves import (
    AccountSet,
    Charged,
    DatasetAdded,
    Helping,
    Leaf,
    NodeMade,
    Opened,
    ResultStored,
    SessionEnded,
)
from stead.core.merkle import MemoryNodes, MerkleLog, leaf_hash
from stead.core.messages import Receipt
from stead.core.notes import log_origin, open_checkpoint
from stead.core.receipts import verify_receipt
from stead.errors import BadMessage, BadProof, UsageError
from stead.privacy.accounts import Target
from stead.privacy.events import PrivacyEvent
from stead.privacy.reserve import Price, Reserved, epsilon_spent, price

_CAP_ROUNDING = 2.0**-30  # by how much an account's caps are rounded down, far above the error of any arithmetic


@dataclass(frozen=True)
class AccountReport:
    """What one account has spent, computed again from the log's charges."""

    account: str
    epsilon_limit: float
    epsilon_spent: float
    delta: float
    charges: int


@dataclass(frozen=True)
class Witnessed:
    """That a witness signed the head over the log's first ``size`` entries, at ``time_s`` (seconds since the epoch)."""

    key: bytes
    size: int
    time_s: int

    def in_words(self) -> str:
        """One line for a report."""
        when = dt.datetime.fromtimestamp(self.time_s, tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"{PublicKey(self.key).fingerprint()} signed the first {self.size:,} entries, {when}"


@dataclass(frozen=True)
class LogReport:
    """What was proven about a log.

    Attributes:
        name: what the node calls itself.
        node_key: the key that its head is signed by.
        size: entries.
        root: the recomputed root hash.
        receipts: how many receipts were found in it.
        older: the sizes of older heads that it was shown to contain.
        leaves: what its entries say; empty for a public export.
        accounts: what was spent; empty for a public export.
        disclosures: releases without differential privacy; ``None`` for a public export.
        testing: the node says of itself that it is for testing; ``None`` for a public export.
        witnessed: what each named witness has signed of it: its key, entries under the head, and when.
        unknown: signature lines of others than the node and the named witnesses, which are not checked.
    """

    name: str
    node_key: bytes
    size: int
    root: bytes
    receipts: int
    older: tuple[int, ...]
    leaves: tuple[Leaf, ...] = field(default=(), repr=False)
    accounts: tuple[AccountReport, ...] = ()
    disclosures: int | None = None
    testing: bool | None = None
    witnessed: tuple[Witnessed, ...] = ()
    unknown: int = 0

    def __repr__(self) -> str:
        return render.facts(f"Log of {self.name} · verified", self._pairs())

    def _repr_html_(self) -> str:
        return render.facts_html(f"Log of {self.name} · verified", self._pairs())

    def _pairs(self) -> list[tuple[str, str]]:
        sizes = ", ".join(f"{size:,}" for size in self.older)
        spent = [
            (each.account, f"ε {each.epsilon_spent:.2f} of {each.epsilon_limit:.2f} at δ {each.delta:g}")
            for each in self.accounts
        ]
        return [
            ("Key", PublicKey(self.node_key).fingerprint()),
            ("Entries", f"{self.size:,}, root {self.root.hex()[:16]}"),
            ("Receipts", f"{self.receipts} found in the log" if self.receipts else ""),
            ("History", f"contains the heads of {sizes} entries" if sizes else ""),
            *self._witnesses(),
            *spent,
            ("Disclosures", "" if self.disclosures is None else f"{self.disclosures} without differential privacy"),
            ("Testing", "this node says that it is for testing" if self.testing else ""),
        ]

    def _witnesses(self) -> list[tuple[str, str]]:
        if not self.witnessed:
            other = f"{self.unknown} other signatures (not checked: name their keys)"
            return [("Witnesses", other if self.unknown else "no witness has signed it")]
        return [("Witness", each.in_words()) for each in self.witnessed]


def verify_log_export(
    source: bytes | str | Path,
    node_key: bytes,
    *,
    receipts: Iterable[Receipt] = (),
    older: Iterable[str] = (),
    witnesses: Sequence[bytes] = (),
) -> LogReport:
    """Check an exported log against the node's key.

    Args:
        source: the export, as bytes or as a file.
        node_key: the raw public key that the node is known by; never taken from the export.
        receipts: must all stand in the log.
        older: signed heads seen earlier; the log must contain each.
        witnesses: raw public keys of steads; each must have signed the export's head or one of the older heads.

    Returns:
        What was proven.

    Raises:
        BadProof: anything does not hold; nothing of the export is to be believed then.
    """
    export = _read(source)
    if export.head.node_key != node_key:
        raise BadProof("the export is of another node than the one whose key was given.")
    origin, key = log_origin(node_key), PublicKey(node_key)
    head = open_checkpoint(export.head.checkpoint, origin, key)
    log = MerkleLog(MemoryNodes())
    for row in export.leaves:
        log.append(row.hash)
    if (log.size, log.root()) != (head.size, head.root):
        raise BadProof(f"the {log.size} entries do not add up to the signed head of {head.size} entries.")
    kept = tuple(older)
    sizes = tuple(_contains(log, note, origin, key) for note in kept)
    found = [_stands_in(export.leaves, receipt, node_key, origin) for receipt in receipts]
    heads = [(head.size, export.head.checkpoint), *zip(sizes, kept, strict=True)]
    report = LogReport(
        name=export.head.name,
        node_key=node_key,
        size=head.size,
        root=head.root,
        receipts=len(found),
        older=sizes,
        witnessed=tuple(_witnessed(heads, witness) for witness in dict.fromkeys(witnesses)),
        unknown=other_signatures(export.head.checkpoint, origin, witnesses),
    )
    return _with_contents(report, export) if export.head.full else report


def verify_receipt_file(path: str | Path, node_key: bytes) -> Leaf:
    """Check a saved receipt alone, without the log: that the node signed a head that contains its entry.

    Raises:
        BadProof: it does not hold.
    """
    return verify_receipt(read_receipt(path), node_key, log_origin(node_key))


def read_receipt(path: str | Path) -> Receipt:
    """A saved receipt; not checked yet.

    Raises:
        UsageError: there is no such file.
        BadProof: it is no receipt.
    """
    if not Path(path).is_file():
        raise UsageError(f"there is no file {path}.")
    try:
        return decode(Path(path).read_bytes(), Receipt)
    except BadMessage:
        raise BadProof(f"{path} is no receipt of stead.") from None


def _read(source: bytes | str | Path) -> LogExport:
    if isinstance(source, bytes):
        return read_export(io.BytesIO(source))
    path = Path(source)
    if not path.is_file():
        raise UsageError(f"there is no file {path}.")
    with path.open("rb") as file:
        return read_export(file)


def _contains(log: MerkleLog, note: str, origin: str, key: PublicKey) -> int:
    """The size of an older head, once the log's beginning has its root."""
    head = open_checkpoint(note, origin, key)
    if head.size > log.size:
        raise BadProof(f"the node had signed a log of {head.size} entries; this one has {log.size}.")
    if log.root(head.size) != head.root:
        raise BadProof(f"the log's first {head.size} entries are not those that the node had signed.")
    return head.size


def _witnessed(heads: Sequence[tuple[int, str]], witness: bytes) -> Witnessed:
    """The largest of the heads that this witness has signed, and when it last did."""
    signed = [(size, one.time_s) for size, note in heads for one in cosignatures(note, [witness])]
    if not signed:
        raise BadProof(
            f"witness {PublicKey(witness).fingerprint()} has signed none of the {len(heads)} heads that were given.",
            hint="a head that it has signed is at https://NODE/v1/log/witnessed; give it with --seen",
        )
    return Witnessed(witness, *max(signed))


def _stands_in(leaves: Sequence[LeafRow], receipt: Receipt, node_key: bytes, origin: str) -> Leaf:
    leaf = verify_receipt(receipt, node_key, origin)
    hashed = leaf_hash(receipt.salt, receipt.leaf)
    if receipt.index >= len(leaves) or leaves[receipt.index].hash != hashed:
        raise BadProof(f"the receipt's entry {receipt.index} does not stand in the exported log.")
    return leaf


def _with_contents(report: LogReport, export: LogExport) -> LogReport:
    leaves = tuple(_open(row) for row in export.leaves)
    first = leaves[0] if leaves else None
    if not isinstance(first, NodeMade) or first.key != report.node_key:
        raise BadProof("the log does not begin with the entry of this node.")
    check_releases(leaves)
    return replace(
        report,
        leaves=leaves,
        accounts=recompute_accounts(leaves),
        disclosures=sum(1 for leaf in leaves if isinstance(leaf, Charged) and leaf.outlet == "disclose"),
        testing=first.testing,
    )


def _open(row: LeafRow) -> Leaf:
    if leaf_hash(row.salt, row.body) != row.hash:
        raise BadProof(f"entry {row.index} does not have the hash that stands in the log.")
    try:
        leaf: Leaf = decode(row.body, Leaf)
    except BadMessage:
        raise BadProof(f"entry {row.index} is none that this version can read.") from None
    return leaf


def check_releases(leaves: Iterable[Leaf]) -> None:
    """Check that every release was charged once, to the people it is about, before it left, and left as one result.

    Raises:
        BadProof: one was not.
    """
    people: dict[str, frozenset[str]] = {}
    charged: set[bytes] = set()
    left: set[bytes] = set()
    opened: set[bytes] = set()
    for leaf in leaves:
        if isinstance(leaf, DatasetAdded):
            people[leaf.dataset] = _accounts_of(leaf)
        if isinstance(leaf, Charged | Helping):
            if leaf.release in charged:
                raise BadProof(f"the release {leaf.release.hex()[:8]} was charged twice.")
            charged.add(leaf.release)
            if isinstance(leaf, Charged):
                _require_population(leaf, people.get(leaf.dataset))
        if isinstance(leaf, ResultStored | SessionEnded | Opened) and leaf.release not in charged:
            raise BadProof(f"the release {leaf.release.hex()[:8]} left before it was charged.")
        if isinstance(leaf, Opened):
            if leaf.release in opened or leaf.release in left:
                raise BadProof(f"the release {leaf.release.hex()[:8]} was opened twice, or after its end.")
            opened.add(leaf.release)
        if isinstance(leaf, ResultStored | SessionEnded):
            if leaf.release in left:
                raise BadProof(f"the release {leaf.release.hex()[:8]} left twice.")
            left.add(leaf.release)


def _accounts_of(leaf: DatasetAdded) -> frozenset[str]:
    """The accounts of a dataset's people: one, or one for each value of the column that they are partitioned by."""
    whole = f"population/{leaf.population}"
    if not leaf.partition:
        return frozenset((whole,))
    column, *values = leaf.partition
    return frozenset(f"{whole}#{column}={value}" for value in values)


def _require_population(leaf: Charged, accounts: frozenset[str] | None) -> None:
    """Raise unless a release about these people was charged to their account, or to some of their cells' accounts."""
    if (
        leaf.outlet == "disclose"
        or accounts is None
        or not accounts.isdisjoint(charge.account for charge in leaf.charges)
    ):
        return
    names = " or ".join(repr(account) for account in sorted(accounts)[:3])
    raise BadProof(f"the release {leaf.release.hex()[:8]} was not charged to {names}, whom it is about.")


def recompute_accounts(leaves: Iterable[Leaf]) -> tuple[AccountReport, ...]:
    """What every account has spent, by its charges; each charge is computed again from the event that was priced.

    Raises:
        BadProof: a charge names no known account, is not the price of its event, or is beyond an account's limit.
    """
    promises: dict[str, Reserved] = {}
    spent: dict[str, Price] = {}
    count: dict[str, int] = {}
    for leaf in leaves:
        if isinstance(leaf, AccountSet):
            promise = Reserved(Target(leaf.epsilon, leaf.delta, leaf.orders), leaf.reserve or 0.0)
            if leaf.account in promises and promises[leaf.account].target.orders != promise.target.orders:
                raise BadProof(f"the orders of account {leaf.account!r} were changed after it was made.")
            promises[leaf.account] = promise
            spent.setdefault(leaf.account, Price((0,) * len(leaf.orders), 0))
            count.setdefault(leaf.account, 0)
        if isinstance(leaf, Charged):
            for account, paid in _charges(leaf, promises):
                spent[account] += paid
                promise = promises[account]
                if epsilon_spent(promise, spent[account]) > promise.target.epsilon + _CAP_ROUNDING:
                    raise BadProof(f"account {account!r} was charged beyond the limit that it had then.")
                count[account] += 1
    return tuple(
        AccountReport(
            name, promise.target.epsilon, epsilon_spent(promise, spent[name]), promise.target.delta, count[name]
        )
        for name, promise in sorted(promises.items())
    )


def _charges(leaf: Charged, promises: dict[str, Reserved]) -> Iterable[tuple[str, Price]]:
    """The charges of one release, each checked against the price of its event."""
    if leaf.outlet == "disclose":
        if leaf.charges or leaf.event:
            raise BadProof(f"the disclosure {leaf.release.hex()[:8]} carries a charge, which would hide what it is.")
        return
    if not leaf.charges:
        raise BadProof(f"the release {leaf.release.hex()[:8]} was charged to no account.")
    try:
        event: PrivacyEvent = decode(leaf.event, PrivacyEvent)
    except BadMessage:
        raise BadProof(f"the release {leaf.release.hex()[:8]} names no event that this version can price.") from None
    for charge in leaf.charges:
        promise = promises.get(charge.account)
        if promise is None:
            raise BadProof(f"the release {leaf.release.hex()[:8]} was charged to an account that was never made.")
        cost = price(event, promise.target.orders)
        short = len(cost.amounts) != len(charge.amounts) or any(map(_too_little, charge.amounts, cost.amounts))
        if short or _too_little(charge.slack, cost.slack):
            raise BadProof(f"the release {leaf.release.hex()[:8]} was charged less than its event costs.")
        yield charge.account, Price(charge.amounts, charge.slack)


def _too_little(paid: int, price: int) -> bool:
    """Whether a charge is below its price by more than another machine's mathematics library can explain."""
    return paid < price - max(price >> 30, 8)
