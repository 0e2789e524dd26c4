"""Privacy accounts: whose they are, and how far they may go.

An account belongs to a population (all that is ever known of these people, through whatever dataset), to a project at
a population, or to a scientist at a population. A charge names all three and is paid by all of them, or by none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import msgspec
import sqlalchemy as sa

from stead.core.leaves import AccountSet
from stead.core.messages import AccountView
from stead.errors import UsageError
from stead.node.services.log import Log
from stead.node.store import Store, Transaction, plain, tables
from stead.privacy.accounts import Target, epsilon_spent


class Limits(msgspec.Struct, frozen=True):
    """The three targets under which new accounts are made."""

    population: Target
    project: Target
    scientist: Target


class Trio(msgspec.Struct, frozen=True):
    """The accounts that pay for one scientist's question, by id."""

    population: str
    project: str
    scientist: str

    @property
    def ids(self) -> tuple[str, str, str]:
        """All three, in the order in which they are locked."""
        first, second, third = sorted((self.population, self.project, self.scientist))
        return first, second, third

    @property
    def own(self) -> tuple[str, str]:
        """The ones that the scientist may see: not the population's, which others spend from too."""
        return (self.project, self.scientist)


def trio(population: str, *, project: str, scientist: str) -> Trio:
    """The accounts of a scientist (by name) in a project at a population.

    ``@`` and ``/`` are in no project's and no scientist's name (``people.check_name``), so that ids cannot collide.
    """
    return Trio(
        population=f"population/{population}",
        project=f"project/{project}@{population}",
        scientist=f"scientist/{scientist}@{population}",
    )


@final
class Accounts:
    """The table of accounts. Spending is the ledger's; this sets targets and shows balances."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log

    def set_target(self, account: str, target: Target) -> None:
        """Make the account, or move its epsilon and delta; what was spent stays spent.

        Raises:
            UsageError: other orders than at registration. The decision rule is proven for orders fixed in advance.
        """
        with self._store.write() as write:
            made = self.ensure(write, {account: target})
            row = write.lock_accounts([account])[account]
            if row["orders"] != target.orders:
                raise UsageError(
                    f"account {account!r} decides at Rényi orders {row['orders']}, fixed when it was made."
                )
            if not made:
                change = tables.accounts.update().where(tables.accounts.c.id == account)
                write.connection.execute(change.values(epsilon=target.epsilon, delta=target.delta))
            self.record(write, {account: target})

    def orders(self, account: str) -> tuple[int, ...]:
        """The Rényi orders at which an account decides; empty while there is no such account."""
        query = sa.select(tables.accounts.c.orders).where(tables.accounts.c.id == account)
        with self._store.read() as connection:
            return connection.execute(query).scalar() or ()

    def ensure(self, write: Transaction, targets: dict[str, Target]) -> dict[str, Target]:
        """Make those accounts that are not there yet, in the order of their ids; call it before they are locked.

        Returns:
            The ones that were made. The caller hands them to ``record`` once it holds its locks.
        """
        made = {}
        for account in sorted(targets):
            target = targets[account]
            row = {
                "id": account,
                "epsilon": target.epsilon,
                "delta": target.delta,
                "orders": target.orders,
                "spent": (0,) * len(target.orders),
                "disclosures": 0,
            }
            if write.insert_if_absent(tables.accounts, row):
                made[account] = target
        return made

    def record(self, write: Transaction, targets: dict[str, Target]) -> None:
        """Log that these accounts have these targets from now on."""
        for account, target in targets.items():
            leaf = AccountSet(
                at=self._log.now(),
                account=account,
                epsilon=target.epsilon,
                delta=target.delta,
                orders=target.orders,
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

    def costs(self) -> dict[bytes, float]:
        """What each charged release cost by itself, as epsilon at its population's target; infinite for disclosures."""
        entries, accounts = tables.entries, tables.accounts
        with self._store.read() as connection:
            rows = {row["id"]: plain(row) for row in connection.execute(sa.select(accounts)).mappings()}
            paid = connection.execute(
                sa.select(entries.c.release, entries.c.account, entries.c.kind, entries.c.amounts).where(
                    entries.c.account.startswith("population/")
                )
            )
            return {
                bytes(release): math.inf if kind == "disclosure" else epsilon_spent(target_of(rows[account]), amounts)
                for release, account, kind, amounts in paid
            }


def target_of(row: Mapping[str, Any]) -> Target:
    """The target in an account's row."""
    return Target(epsilon=row["epsilon"], delta=row["delta"], orders=row["orders"])


def view(row: Mapping[str, Any]) -> AccountView:
    """An account's row as its user sees it."""
    return AccountView(
        account=row["id"],
        epsilon_limit=row["epsilon"],
        epsilon_spent=epsilon_spent(target_of(row), row["spent"]),
        delta=row["delta"],
        disclosures=row["disclosures"],
    )
