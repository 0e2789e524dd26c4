"""Privacy accounts: how far they may go, and how far they have gone. Whose they are: ``payers``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import sqlalchemy as sa

from stead.core.leaves import AccountSet
from stead.core.messages import AccountView
from stead.errors import PolicyDenied, UsageError
from stead.node.services.log import Log
from stead.node.store import Store, Transaction, plain, tables
from stead.privacy.accounts import Target
from stead.privacy.reserve import SLACK_UNIT, Price, Reserved, epsilon_spent


@final
class Accounts:
    """The table of accounts. Spending is the ledger's; this sets targets and shows balances."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log

    def set_target(self, account: str, target: Target, *, reserve: float | None = None) -> None:
        """Make the account, or move its epsilon and delta; what was spent stays spent.

        Args:
            account: its id.
            target: epsilon and delta, and the orders that it has or is made with.
            reserve: the part of delta for events with slack; the account's own (none in a new one) by default.

        Raises:
            UsageError: other orders than at registration. The decision rule is proven for orders fixed in advance.
                Or a reserve that is no part of delta.
        """
        with self._store.write() as write:
            made = self.ensure(write, {account: Reserved(target, reserve or 0.0)})
            row = write.lock_accounts([account])[account]
            promise = Reserved(target, row["reserve"] if reserve is None else reserve)
            if row["orders"] != target.orders:
                raise UsageError(
                    f"account {account!r} decides at Rényi orders {row['orders']}, fixed when it was made."
                )
            if not made:
                change = tables.accounts.update().where(tables.accounts.c.id == account)
                moved = {"epsilon": target.epsilon, "delta": target.delta, "reserve": promise.reserve}
                write.connection.execute(change.values(moved))
            self.record(write, {account: promise})

    def orders(self, account: str) -> tuple[int, ...]:
        """The Rényi orders at which an account decides; empty while there is no such account."""
        query = sa.select(tables.accounts.c.orders).where(tables.accounts.c.id == account)
        with self._store.read() as connection:
            return connection.execute(query).scalar() or ()

    def fix_partition(self, write: Transaction, population: str, partition: tuple[str, ...]) -> None:
        """Keep a population's accounts by this partition for good, if they are not kept yet; before they are locked.

        Raises:
            PolicyDenied: they are kept by another: under this one the same people would have a second budget.
        """
        kept = tables.populations
        if write.insert_if_absent(kept, {"name": population, "partition": partition}):
            return
        query = sa.select(kept.c.partition).where(kept.c.name == population)
        if write.connection.execute(query).scalar_one() != partition:
            raise PolicyDenied(
                f"the budget of population {population!r} is kept by another partition than this card's.",
                hint="the owner adds the dataset again, under the partition that it was first charged under",
            )

    def kept_by(self, population: str) -> tuple[str, ...] | None:
        """The column and values by which a population's accounts are kept; ``None`` while nothing was charged."""
        kept = tables.populations.c
        with self._store.read() as connection:
            found = connection.execute(sa.select(kept.partition).where(kept.name == population)).first()
        return None if found is None else tuple(found[0])

    def ensure(self, write: Transaction, promises: Mapping[str, Reserved]) -> dict[str, Reserved]:
        """Make those accounts that are not there yet, in the order of their ids; call it before they are locked.

        Returns:
            The ones that were made. The caller hands them to ``record`` once it holds its locks.
        """
        columns = tables.accounts.c
        there = set(write.connection.execute(sa.select(columns.id).where(columns.id.in_(list(promises)))).scalars())
        return {
            account: promises[account]
            for account in sorted(promises.keys() - there)
            if write.insert_if_absent(tables.accounts, fresh(account, promises[account]))
        }

    def record(self, write: Transaction, promises: Mapping[str, Reserved]) -> None:
        """Log that these accounts have these targets from now on."""
        for account, promise in promises.items():
            leaf = AccountSet(
                at=self._log.now(),
                account=account,
                epsilon=promise.target.epsilon,
                delta=promise.target.delta,
                orders=promise.target.orders,
                reserve=promise.reserve or None,
            )
            self._log.append(write, leaf)

    def views(self, ids: Sequence[str]) -> tuple[AccountView, ...]:
        """The named accounts that exist, as their users may see them, in the order asked."""
        query = sa.select(tables.accounts).where(tables.accounts.c.id.in_(list(ids)))
        with self._store.read() as connection:
            rows = {row["id"]: plain(row) for row in connection.execute(query).mappings()}
        return tuple(view(rows[account]) for account in ids if account in rows)

    def all(self) -> tuple[AccountView, ...]:
        """Every account, for the owner."""
        with self._store.read() as connection:
            query = sa.select(tables.accounts).order_by(tables.accounts.c.id)
            return tuple(view(plain(row)) for row in connection.execute(query).mappings())

    def reserves(self) -> dict[str, tuple[float, float]]:
        """Of every account, for the owner: how much of its reserve is used, and its reserve."""
        columns = tables.accounts.c
        with self._store.read() as connection:
            rows = connection.execute(sa.select(columns.id, columns.slack, columns.reserve))
            return {row.id: (row.slack * SLACK_UNIT, row.reserve) for row in rows}

    def costs(self) -> dict[bytes, float]:
        """What each charged release cost by itself, as epsilon at its population's target; infinite for disclosures.

        Of a population whose accounts are kept by a partition: at the target of the cell where it is the most.
        """
        entries, accounts = tables.entries, tables.accounts
        found: dict[bytes, float] = {}
        with self._store.read() as connection:
            rows = {row["id"]: plain(row) for row in connection.execute(sa.select(accounts)).mappings()}
            columns = (entries.c.release, entries.c.account, entries.c.kind, entries.c.amounts, entries.c.slack)
            paid = connection.execute(sa.select(*columns).where(entries.c.account.startswith("population/")))
            for release, account, kind, amounts, slack in paid:
                cost = math.inf
                if kind != "disclosure":
                    cost = epsilon_spent(promise_of(rows[account]), Price(amounts, slack))
                found[bytes(release)] = max(cost, found.get(bytes(release), 0.0))
        return found


def promise_of(row: Mapping[str, Any]) -> Reserved:
    """The promise in an account's row."""
    return Reserved(Target(epsilon=row["epsilon"], delta=row["delta"], orders=row["orders"]), row["reserve"])


def spent_of(row: Mapping[str, Any]) -> Price:
    """What an account's row says it has paid."""
    return Price(row["spent"], row["slack"])


def fresh(account: str, promise: Reserved) -> dict[str, Any]:
    """The row of an account that nobody has charged yet."""
    return {
        "id": account,
        "epsilon": promise.target.epsilon,
        "delta": promise.target.delta,
        "orders": promise.target.orders,
        "spent": (0,) * len(promise.target.orders),
        "disclosures": 0,
        "reserve": promise.reserve,
        "slack": 0,
    }


def view(row: Mapping[str, Any]) -> AccountView:
    """An account's row as its user sees it."""
    return AccountView(
        account=row["id"],
        epsilon_limit=row["epsilon"],
        epsilon_spent=epsilon_spent(promise_of(row), spent_of(row)),
        delta=row["delta"],
        disclosures=row["disclosures"],
    )
