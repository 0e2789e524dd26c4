"""The ledger: what each account has paid, and the rule by which it pays.

A charge is the Rényi divergence of one event at each of an account's orders, in whole units rounded up
(``privacy.accounts``). All accounts of a trio pay or none does, in the transaction that also holds the log's leaf.
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
from stead.node.services.accounts import Accounts, Limits, Trio, target_of, view
from stead.node.store import Store, Transaction, in_batches, plain, tables
from stead.privacy.accounts import Target, allows, amounts, epsilon_spent
from stead.privacy.events import PrivacyEvent

AccountRow = Mapping[str, Any]

_INTEGERS = msgspec.json.Decoder(tuple[int, ...])
_RELEASES_AT_ONCE = 2000
_NOT_THE_LOG = "the ledger's entries are not the charges in the log."


@functools.lru_cache(maxsize=256)
def _price(event: PrivacyEvent, orders: tuple[int, ...]) -> tuple[int, ...]:
    """What an event costs. Remembered, so that a long sum is not worked out again while the accounts are locked."""
    return amounts(event, orders)


class Balance(msgspec.Struct, frozen=True):
    """What an account has come to: divergence at each of its orders in units of 2^-40 nat, and disclosures."""

    spent: tuple[int, ...]
    disclosures: int


class Bill(msgspec.Struct, frozen=True):
    """One release to be paid: ``event`` is ``None`` for a disclosure; ``what`` names it in a refusal ("query")."""

    release: bytes
    event: PrivacyEvent | None
    accounts: Trio
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
        made = self._accounts.ensure(write, _targets(bill))
        rows = write.lock_accounts(bill.accounts.ids)
        charges = self._prices(bill, rows)
        self._accounts.record(write, made)
        columns = tables.accounts
        for account in bill.accounts.ids:
            row = rows[account]
            if bill.event is None:
                change = {"disclosures": row["disclosures"] + 1}
            else:
                change = {"spent": _plus(row["spent"], charges[account])}
            write.connection.execute(columns.update().where(columns.c.id == account).values(change))
            entry = {
                "release": bill.release,
                "account": account,
                "kind": "disclosure" if bill.event is None else "charge",
                "amounts": charges.get(account, ()),
                "at": at,
            }
            write.connection.execute(tables.entries.insert().values(entry))
        return tuple(Charge(account=account, amounts=charges[account]) for account in bill.accounts.ids if charges)

    def check(self, connection: Connection, bill: Bill) -> None:
        """Raise ``BudgetExceeded`` if the bill could not be paid as things stand. Changes nothing."""
        self._prices(bill, self._rows(connection, bill))

    def covers(self, connection: Connection, bill: Bill) -> bool:
        """Whether what the bill's release has paid already, from the same accounts, is the bill's price or more."""
        entries = tables.entries.c
        query = sa.select(entries.account, entries.kind, entries.amounts).where(entries.release == bill.release)
        paid = {row.account: row for row in connection.execute(query)}
        if paid.keys() != set(bill.accounts.ids):
            return False
        if bill.event is None:
            return all(row.kind == "disclosure" for row in paid.values())
        rows = self._rows(connection, bill)
        return all(
            row.kind == "charge" and all(map(operator.ge, row.amounts, _price(bill.event, rows[account]["orders"])))
            for account, row in paid.items()
        )

    def quote(self, bill: Bill, *, owner: bool = False) -> tuple[tuple[AccountView, ...], tuple[AccountView, ...]]:
        """The caller's own accounts before and after the bill would be paid (though it might not be).

        With ``owner`` the population's too: for the owner's eyes, since others spend from it.
        """
        ids = bill.accounts.ids if owner else bill.accounts.own
        with self._store.read() as connection:
            rows = self._rows(connection, bill)
        before = tuple(view(rows[account]) for account in ids)
        after = []
        for account in ids:
            row = dict(rows[account])
            if bill.event is None:
                row["disclosures"] += 1
            else:
                row["spent"] = _plus(row["spent"], _price(bill.event, row["orders"]))
            after.append(view(row))
        return before, tuple(after)

    def own(self, accounts: Trio, limits: Limits) -> tuple[AccountView, ...]:
        """The accounts that a scientist may see, as they are, or as they would be made at the first charge."""
        nothing = Bill(release=b"", event=None, accounts=accounts, limits=limits, what="")
        return self.quote(nothing)[0]

    def alone(self, bill: Bill) -> tuple[float, float]:
        """What the bill's event comes to by itself at the population's target: (epsilon, delta)."""
        with self._store.read() as connection:
            target = target_of(self._rows(connection, bill)[bill.accounts.population])
        if bill.event is None:
            return math.inf, target.delta
        return epsilon_spent(target, _price(bill.event, target.orders)), target.delta

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
                if Balance(row["spent"], row["disclosures"]) != replayed[row["id"]]:
                    raise BadProof(f"account {row['id']!r} is not the sum of its entries.")
            _check_log(connection)

    def _rows(self, connection: Connection, bill: Bill) -> dict[str, AccountRow]:
        """The bill's accounts as they are, or as they would be made; not locked."""
        columns = tables.accounts
        query = sa.select(columns).where(columns.c.id.in_(bill.accounts.ids))
        rows: dict[str, AccountRow] = {row["id"]: plain(row) for row in connection.execute(query).mappings()}
        for account, target in _targets(bill).items():
            rows.setdefault(account, _fresh(account, target))
        return rows

    def _prices(self, bill: Bill, rows: Mapping[str, AccountRow]) -> dict[str, tuple[int, ...]]:
        """What each account pays, having checked that each can; the caller's own accounts are asked first."""
        if bill.event is None:
            return {}
        prices = {}
        for account in (*bill.accounts.own, bill.accounts.population):
            row = rows[account]
            target, spent = target_of(row), row["spent"]
            prices[account] = _price(bill.event, target.orders)
            if not allows(target, spent, prices[account]):
                raise self._refusal(bill, account, row)
        return prices

    def _refusal(self, bill: Bill, account: str, row: AccountRow) -> BudgetExceeded:
        target, spent = target_of(row), row["spent"]
        assert bill.event is not None  # noqa: S101 - a disclosure pays nothing and is never refused here
        price = _price(bill.event, target.orders)
        if account == bill.accounts.population:
            alone = _shown(epsilon_spent(target, price), up=True)
            name = account.removeprefix("population/")
            return BudgetExceeded(
                f'this {bill.what} costs epsilon {alone}; the budget of population "{name}" at {self._node_name} '
                "does not cover it.",
                hint="ask with more noise, or ask the owner",
            )
        left = target.epsilon - epsilon_spent(target, spent)
        cost = epsilon_spent(target, _plus(spent, price)) - epsilon_spent(target, spent)
        kind, _, rest = account.partition("/")
        return BudgetExceeded(
            f'this {bill.what} costs epsilon {_shown(cost, up=True)}; {kind} "{rest.partition("@")[0]}" has epsilon '
            f"{_shown(max(left, 0.0), up=False)} left at {self._node_name}.",
            hint="ask with more noise (a wider `within`, a smaller epsilon), or ask the owner for more",
        )


def _targets(bill: Bill) -> dict[str, Target]:
    trio, limits = bill.accounts, bill.limits
    return {trio.population: limits.population, trio.project: limits.project, trio.scientist: limits.scientist}


def _fresh(account: str, target: Target) -> AccountRow:
    """The row of an account that nobody has charged yet."""
    return {
        "id": account,
        "epsilon": target.epsilon,
        "delta": target.delta,
        "orders": target.orders,
        "spent": (0,) * len(target.orders),
        "disclosures": 0,
    }


def _plus(spent: tuple[int, ...], price: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(paid + amount for paid, amount in zip(spent, price, strict=True))


def _replay(connection: Connection) -> dict[str, Balance]:
    """Balances by account. Entries pass by in batches, and their lists are read without a detour."""
    accounts, entries = tables.accounts, tables.entries.c
    query = sa.select(accounts.c.id, accounts.c.orders)
    spent = {account: [0] * len(orders) for account, orders in connection.execute(query)}
    disclosures = dict.fromkeys(spent, 0)
    rows = sa.select(entries.id, entries.account, entries.kind, sa.type_coerce(entries.amounts, sa.Text))
    for _, account, kind, listed in in_batches(connection, rows, entries.id):
        if kind == "disclosure":
            disclosures[account] += 1
            continue
        paid = _INTEGERS.decode(listed)
        if len(paid) != len(spent[account]):
            raise BadProof(f"an entry of account {account!r} has {len(paid)} amounts, not {len(spent[account])}.")
        spent[account] = list(map(operator.add, spent[account], paid))
    return {account: Balance(tuple(paid), disclosures[account]) for account, paid in spent.items()}


def _check_log(connection: Connection) -> None:
    """Raise ``BadProof`` unless entries and log say the same about every release.

    Leaves pass by in batches, and each is compared with all entries of its release. A release is charged once, by the
    leaf that its row names; so, where as many releases have entries as there are charges in the log, no entry is left.
    """
    charged, leaves, batch = 0, tables.leaves.c, {}
    rows = in_batches(connection, sa.select(leaves.position, leaves.body), leaves.position)
    for position, body in rows:
        leaf: Leaf = codec.decode(bytes(body), Leaf)
        if isinstance(leaf, Charged):
            charged += 1
            batch[position] = leaf
        if len(batch) == _RELEASES_AT_ONCE:
            _compare(connection, batch)
            batch = {}
    _compare(connection, batch)
    releases = sa.select(tables.entries.c.release).distinct().subquery()
    if charged != connection.execute(sa.select(sa.func.count()).select_from(releases)).scalar_one():
        raise BadProof(_NOT_THE_LOG)


def _compare(connection: Connection, logged: Mapping[int, Charged]) -> None:
    """Raise ``BadProof`` unless these leaves, by place, are what their releases and the entries say."""
    releases, entries = tables.releases.c, tables.entries.c
    ids = [leaf.release for leaf in logged.values()]
    places = connection.execute(sa.select(releases.charged_leaf, releases.id).where(releases.id.in_(ids)))
    entered: dict[bytes, list[Charge]] = {}
    columns = (entries.release, entries.account, entries.kind, sa.type_coerce(entries.amounts, sa.Text))
    query = sa.select(*columns).where(entries.release.in_(ids)).order_by(entries.id)
    for release, account, kind, listed in connection.execute(query):
        charges = entered.setdefault(bytes(release), [])
        if kind == "charge":
            charges.append(Charge(account=account, amounts=_INTEGERS.decode(listed)))
    if {place: bytes(release) for place, release in places} != {place: leaf.release for place, leaf in logged.items()}:
        raise BadProof(_NOT_THE_LOG)
    if entered != {leaf.release: list(leaf.charges) for leaf in logged.values()}:
        raise BadProof(_NOT_THE_LOG)


def _shown(epsilon: float, *, up: bool) -> str:
    """Two decimals, or two significant digits of a small number; a cost is rounded up, what is left is rounded down."""
    if math.isinf(epsilon):
        return "infinite"
    digits = 2 if epsilon >= 0.1 or epsilon <= 0 else 1 - math.floor(math.log10(epsilon))
    scaled = epsilon * 10**digits
    # Amounts are rounded up in units far below what is shown; those must not turn 0.75 into 0.76.
    whole = math.ceil(scaled - 1e-6) if up else math.floor(scaled + 1e-6)
    return f"{whole / 10**digits:.{digits}f}"
