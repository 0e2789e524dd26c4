"""The ledger: what each account has paid, and the rule by which it pays.

A charge is the Rényi divergence of one event at each of an account's orders, in whole units rounded up
(``privacy.accounts``), and its slack (``privacy.reserve``). All accounts that a bill names pay or none does, in the
transaction that also holds the log's leaf.
Entries are never changed; ``replay`` adds them up again. Callers hand over an event that was priced from a plan: nobody
states an epsilon.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from typing import Any, final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stead.core import codec
from stead.core.leaves import Charge, Charged, Leaf
from stead.core.messages import AccountView
from stead.errors import BadProof, BudgetExceeded
from stead.node.services.accounts import Accounts, fresh, promise_of, spent_of, view
from stead.node.services.payers import Limits, Payers, kind_of
from stead.node.services.refusals import beyond
from stead.node.store import Store, Transaction, plain, tables
from stead.privacy.events import PrivacyEvent
from stead.privacy.reserve import Price, Reserved, allows, epsilon_spent, price

AccountRow = Mapping[str, Any]


@functools.lru_cache(maxsize=256)
def _price(event: PrivacyEvent, orders: tuple[int, ...]) -> Price:
    """What an event costs. Remembered, so that a long sum is not worked out again while the accounts are locked."""
    return price(event, orders)


class Balance(msgspec.Struct, frozen=True):
    """What an account has come to: divergence at each of its orders in units of 2^-40 nat, disclosures, and slack."""

    spent: tuple[int, ...]
    disclosures: int
    slack: int = 0


class Bill(msgspec.Struct, frozen=True):
    """One release to be paid: ``event`` is ``None`` for a disclosure; ``what`` names it in a refusal ("query")."""

    release: bytes
    event: PrivacyEvent | None
    accounts: Payers
    limits: Limits
    what: str


@final
class Ledger:
    """The node's ledger.

    Args:
        store: where it is kept.
        accounts: makes accounts that are charged for the first time.
        node_name: for the texts of refusals.
    """

    def __init__(self, store: Store, accounts: Accounts, *, node_name: str) -> None:
        self._store = store
        self._accounts = accounts
        self._node_name = node_name

    def charge(self, write: Transaction, bill: Bill, *, at: float) -> tuple[Charge, ...]:
        """Take the price from all of the bill's accounts; the caller commits, and logs what is returned.

        A disclosure takes nothing, and is counted in each account for ever.

        Raises:
            BudgetExceeded: an account cannot pay. The text gives numbers of the caller's own accounts only.
        """
        payers = bill.accounts
        self._accounts.fix_partition(write, payers.population, payers.partition)
        made = self._accounts.ensure(write, {account: bill.limits.of(account) for account in payers.ids})
        rows = write.lock_accounts(payers.ids)
        prices = self._prices(bill, rows)
        self._accounts.record(write, made)
        columns = tables.accounts
        for account in payers.ids:
            row = rows[account]
            change: dict[str, Any] = {"disclosures": row["disclosures"] + 1}
            paid = Price((), 0)
            if prices:
                paid = prices[account]
                spent = spent_of(row) + paid
                change = {"spent": spent.amounts, "slack": spent.slack}
            write.connection.execute(columns.update().where(columns.c.id == account).values(change))
            entry = {
                "release": bill.release,
                "account": account,
                "kind": "charge" if prices else "disclosure",
                "amounts": paid.amounts,
                "slack": paid.slack,
                "at": at,
            }
            write.connection.execute(tables.entries.insert().values(entry))
        return tuple(_charge(account, prices[account]) for account in payers.ids if prices)

    def check(self, connection: Connection, bill: Bill) -> None:
        """Raise ``BudgetExceeded`` if the bill could not be paid as things stand. Changes nothing."""
        self._prices(bill, self._rows(connection, bill))

    def covers(self, connection: Connection, bill: Bill) -> bool:
        """Whether what the bill's release has paid already, from the same accounts, is the bill's price or more.

        A period's account is the one of the day on which it paid.
        """
        entries = tables.entries.c
        columns = (entries.account, entries.kind, entries.amounts, entries.slack)
        query = sa.select(*columns).where(entries.release == bill.release)
        paid = {row.account: row for row in connection.execute(query) if kind_of(row.account) != "period"}
        if paid.keys() != {account for account in bill.accounts.ids if kind_of(account) != "period"}:
            return False
        if bill.event is None:
            return all(row.kind == "disclosure" for row in paid.values())
        rows = self._rows(connection, bill)
        for account, row in paid.items():
            cost = _price(bill.event, rows[account]["orders"])
            enough = row.slack >= cost.slack and all(map(operator.ge, row.amounts, cost.amounts))
            if row.kind != "charge" or not enough:
                return False
        return True

    def quote(self, bill: Bill, *, owner: bool = False) -> tuple[tuple[AccountView, ...], tuple[AccountView, ...]]:
        """The caller's own accounts before and after the bill would be paid (though it might not be).

        Of an account that is kept by a partition: the cell that has the least left. With ``owner`` also those that
        others spend from too: for the owner's eyes.
        """
        wholes = tuple(sorted(bill.accounts.wholes)) if owner else bill.accounts.own
        with self._store.read() as connection:
            rows = self._rows(connection, bill)
        before, after = [], []
        for whole in wholes:
            pairs = [(view(rows[account]), view(_after(rows[account], bill))) for account in bill.accounts.of(whole)]
            worst = min(pairs, key=lambda pair: pair[1].epsilon_limit - pair[1].epsilon_spent)
            before.append(worst[0])
            after.append(worst[1])
        return tuple(before), tuple(after)

    def own(self, accounts: Payers, limits: Limits) -> tuple[AccountView, ...]:
        """The accounts that a scientist may see, as they are, or as they would be made at the first charge."""
        nothing = Bill(release=b"", event=None, accounts=accounts, limits=limits, what="")
        return self.quote(nothing)[0]

    def alone(self, bill: Bill) -> tuple[float, float]:
        """What the bill's event comes to by itself at the population's target: (epsilon, delta).

        Of a population whose accounts are kept by a partition: in the cell where it is the most.
        """
        whole = next(whole for whole in bill.accounts.wholes if kind_of(whole) == "population")
        with self._store.read() as connection:
            rows = self._rows(connection, bill)
        promises = [promise_of(rows[account]) for account in bill.accounts.of(whole)]
        return max((_epsilon(bill.event, promise), promise.target.delta) for promise in promises)

    def replay(self) -> dict[str, Balance]:
        """Every account's balance, added up again from its entries."""
        with self._store.read() as connection:
            return _replay(connection)

    def verify(self) -> None:
        """Return if accounts, entries and log say the same.

        Raises:
            BadProof: an account differs from the sum of its entries, or an entry from the leaf that charged it.
        """
        with self._store.read() as connection:
            replayed = _replay(connection)
            for row in connection.execute(sa.select(tables.accounts)).mappings():
                if Balance(row["spent"], row["disclosures"], row["slack"]) != replayed[row["id"]]:
                    raise BadProof(f"account {row['id']!r} is not the sum of its entries.")
            if _logged(connection) != _entered(connection):
                raise BadProof("the ledger's entries are not the charges in the log.")

    def _rows(self, connection: Connection, bill: Bill) -> dict[str, AccountRow]:
        """The bill's accounts as they are, or as they would be made; not locked."""
        columns = tables.accounts
        query = sa.select(columns).where(columns.c.id.in_(bill.accounts.ids))
        rows: dict[str, AccountRow] = {row["id"]: plain(row) for row in connection.execute(query).mappings()}
        for account in bill.accounts.ids:
            rows.setdefault(account, fresh(account, bill.limits.of(account)))
        return rows

    def _prices(self, bill: Bill, rows: Mapping[str, AccountRow]) -> dict[str, Price]:
        """What each account pays, having checked that each can; the caller's own accounts are asked first."""
        if bill.event is None:
            return {}
        prices: dict[str, Price] = {}
        for whole in bill.accounts.wholes:
            poor = []
            for account in bill.accounts.of(whole):
                promise, spent = promise_of(rows[account]), spent_of(rows[account])
                prices[account] = _price(bill.event, promise.target.orders)
                if not allows(promise, spent, prices[account]):
                    poor.append(account)
            if poor:
                worst = min(poor, key=lambda account: _left(rows[account]))
                raise self._refusal(bill, worst, rows[worst], prices[worst])
        return prices

    def _refusal(self, bill: Bill, account: str, row: AccountRow, cost: Price) -> BudgetExceeded:
        where = f"at {self._node_name}"
        return beyond(account, promise_of(row), spent_of(row), cost, what=bill.what, where=where)


def _left(row: AccountRow) -> float:
    promise = promise_of(row)
    return promise.target.epsilon - epsilon_spent(promise, spent_of(row))


def _epsilon(event: PrivacyEvent | None, promise: Reserved) -> float:
    return math.inf if event is None else epsilon_spent(promise, _price(event, promise.target.orders))


def _after(row: AccountRow, bill: Bill) -> AccountRow:
    """An account's row as it would be once the bill is paid."""
    if bill.event is None:
        return {**row, "disclosures": row["disclosures"] + 1}
    spent = spent_of(row) + _price(bill.event, row["orders"])
    return {**row, "spent": spent.amounts, "slack": spent.slack}


def _charge(account: str, paid: Price) -> Charge:
    return Charge(account=account, amounts=paid.amounts, slack=paid.slack)


def _replay(connection: Connection) -> dict[str, Balance]:
    accounts, entries = tables.accounts, tables.entries
    balances = {
        row.id: Balance((0,) * len(row.orders), 0)
        for row in connection.execute(sa.select(accounts.c.id, accounts.c.orders))
    }
    for entry in connection.execute(sa.select(entries).order_by(entries.c.id)).mappings():
        balance = balances[entry["account"]]
        if entry["kind"] == "disclosure":
            balance = Balance(balance.spent, balance.disclosures + 1, balance.slack)
        else:
            spent = Price(balance.spent, balance.slack) + Price(entry["amounts"], entry["slack"])
            balance = Balance(spent.amounts, balance.disclosures, spent.slack)
        balances[entry["account"]] = balance
    return balances


def _entered(connection: Connection) -> dict[bytes, list[Charge]]:
    """What the entries say each release was charged, by release."""
    entries = tables.entries
    found: dict[bytes, list[Charge]] = {}
    for entry in connection.execute(sa.select(entries).order_by(entries.c.id)).mappings():
        charges = found.setdefault(bytes(entry["release"]), [])
        if entry["kind"] == "charge":
            charges.append(_charge(entry["account"], Price(entry["amounts"], entry["slack"])))
    return found


def _logged(connection: Connection) -> dict[bytes, list[Charge]]:
    """What the log says each release was charged, by release."""
    leaves = tables.leaves
    found: dict[bytes, list[Charge]] = {}
    for (body,) in connection.execute(sa.select(leaves.c.body).order_by(leaves.c.position)):
        leaf: Leaf = codec.decode(bytes(body), Leaf)
        if isinstance(leaf, Charged):
            found.setdefault(leaf.release, []).extend(leaf.charges)
    return found
