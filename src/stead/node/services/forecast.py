"""What accounts are heading for: how fast each is spent, when it runs out, how many more questions it would allow.

For the owner. Every number comes from the ledger's own rule and entries; the events come from the log, where each
charge stands with what was priced, so that a card that was replaced since changes nothing.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stead.core import codec
from stead.core.leaves import Charged
from stead.core.messages import AccountView
from stead.errors import UsageError
from stead.node.services.accounts import promise_of, spent_of, view
from stead.node.store import Store, in_batches, plain, tables
from stead.privacy.events import Composed, DiscreteGaussian, PrivacyEvent, Repeated
from stead.privacy.forecast import count_of, most
from stead.privacy.reserve import Price, allows
from stead.privacy.reserve import price as priced

DAY_S = 86_400.0
WINDOW_DAYS = 30
_MOST_DAYS = 36_500
"""A hundred years: an account that lasts longer at its present rate is said not to run out."""

AccountRow = Mapping[str, Any]


class Outlook(msgspec.Struct, frozen=True):
    """One account and where it is heading.

    Attributes:
        account: as it stands.
        window_days: over how long its rate was measured: 30 days, or its age if that is less, and at least one.
        epsilon_per_day: what the window's charges added to the account's epsilon, for each day.
        days_left: whole days that the rule would still allow at the window's rate; ``None`` where nothing was spent in
            the window, or for more than a hundred years.
        runs_out_at: the moment after which it would refuse, seconds since the Unix epoch; ``None`` likewise.
        last_left: how many more questions like the account's last one are allowed; ``None`` where there was none.
        stated_left: how many more of the stated question; ``None`` if none was stated. Both also where there is no end.
    """

    account: AccountView
    window_days: float
    epsilon_per_day: float
    days_left: int | None
    runs_out_at: float | None
    last_left: int | None
    stated_left: int | None


class Stated(msgspec.Struct, frozen=True):
    """A count with Gaussian noise, stated by what it gives by itself, or by its noise; one person moves it by one.

    Attributes:
        epsilon: at the account's delta, by itself.
        sigma: the noise's standard deviation, in people.
    """

    epsilon: float | None = None
    sigma: float | None = None

    def event(self, delta: float) -> PrivacyEvent:
        """The event at an account of this delta.

        Raises:
            UsageError: neither or both are stated, or a number is out of its range.
        """
        if (self.epsilon is None) == (self.sigma is None):
            raise UsageError("a question is stated by its epsilon or by its sigma.")
        if self.epsilon is not None:
            return count_of(self.epsilon, delta)
        try:
            return DiscreteGaussian(self.sigma or 0.0, 1.0)
        except ValueError as error:
            raise UsageError(f"a question needs noise: {error}.") from None


class Step(msgspec.Struct, frozen=True):
    """An account after one of its entries.

    Attributes:
        release: which one.
        epsilon: what the account had come to with it, at the target that it has now.
        delta: of that target.
        event: what was priced; ``None`` for a disclosure, which is counted and adds nothing.
    """

    release: bytes
    epsilon: float
    delta: float
    event: PrivacyEvent | None


@final
class Forecasts:
    """Reads accounts, entries and log; changes nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def outlooks(self, now: float, *, account: str | None = None, stated: Stated | None = None) -> tuple[Outlook, ...]:
        """Every account's outlook, or one's.

        Args:
            now: the node's time, seconds since the Unix epoch.
            account: an id; all by default.
            stated: a question to count with.

        Raises:
            UsageError: there is no such account, or the stated question is none.
        """
        with self._store.read() as connection:
            return tuple(_outlook(connection, row, now, stated) for row in _rows(connection, account))

    def steps(self, account: str) -> Iterator[Step]:
        """The account's entries, oldest first, with what it had come to after each.

        Raises:
            UsageError: there is no such account.
        """
        with self._store.read() as connection:
            [row] = _rows(connection, account)
            spent = _nothing(row)
            for _, paid, release, event in _paid(connection, tables.entries.c.account == account):
                spent = spent + paid if event else spent
                now = view(_having(row, spent))
                yield Step(release, now.epsilon_spent, now.delta, _event(event) if event else None)

    def history(self, account: str) -> PrivacyEvent:
        """All that an account has paid for, as one event: equal ones are repeated, not listed.

        Raises:
            UsageError: there is no such account.
        """
        with self._store.read() as connection:
            _rows(connection, account)
            times = Counter(event for *_, event in _paid(connection, tables.entries.c.account == account) if event)
        return Composed(tuple(Repeated(_event(event), number) for event, number in times.items()))

    def priced(self) -> dict[bytes, tuple[PrivacyEvent, float]]:
        """What was priced for each charged release, and the delta of its population."""
        found: dict[bytes, tuple[PrivacyEvent, float]] = {}
        decoded: dict[bytes, PrivacyEvent] = {}
        with self._store.read() as connection:
            deltas = {row["id"]: row["delta"] for row in _rows(connection, None)}
            mine = tables.entries.c.account.startswith("population/")
            for account, _, release, event in _paid(connection, mine):
                if event:
                    if event not in decoded:
                        decoded[event] = _event(event)
                    found[release] = decoded[event], deltas[account]
        return found


def _rows(connection: Connection, account: str | None) -> list[AccountRow]:
    query = sa.select(tables.accounts).order_by(tables.accounts.c.id)
    if account is not None:
        query = query.where(tables.accounts.c.id == account)
    rows: list[AccountRow] = [plain(row) for row in connection.execute(query).mappings()]
    if account is not None and not rows:
        raise UsageError(f"there is no account {account[:80]!r}.", hint="stead budget show lists them")
    return rows


def _outlook(connection: Connection, row: AccountRow, now: float, stated: Stated | None) -> Outlook:
    entries, account = tables.entries.c, row["id"]
    mine = sa.and_(entries.account == account, entries.kind == "charge")
    first = connection.execute(sa.select(sa.func.min(entries.at)).where(mine)).scalar()
    days = min(float(WINDOW_DAYS), max(1.0, (now - first) / DAY_S)) if first is not None else float(WINDOW_DAYS)
    lately = sa.select(entries.id, *_PRICE).where(mine, entries.at >= now - days * DAY_S)
    recent = sum((_price_in(entry) for entry in in_batches(connection, lately, entries.id)), _nothing(row))
    last = connection.execute(sa.select(*_PRICE).where(mine).order_by(entries.id.desc()).limit(1)).first()
    shown, before = view(row), view(_having(row, _without(_spent(row), recent)))
    left = None
    if any(recent.amounts) or recent.slack:
        left = most(lambda number: _fits(row, _over(recent, number, days)), limit=_MOST_DAYS)
    return Outlook(
        account=shown,
        window_days=days,
        epsilon_per_day=(shown.epsilon_spent - before.epsilon_spent) / days,
        days_left=left,
        runs_out_at=None if left is None else now + left * DAY_S,
        last_left=None if last is None else _more(row, _price_in(last)),
        stated_left=None if stated is None else _more(row, _price(stated.event(row["delta"]), row)),
    )


def _more(row: AccountRow, price: Price) -> int | None:
    """How many more charges of this price the account allows."""
    return most(lambda number: _fits(row, Price(tuple(number * each for each in price.amounts), number * price.slack)))


def _over(recent: Price, days: int, window_days: float) -> Price:
    """What so many days cost at the window's rate; in whole numbers, rounded up."""
    window = round(window_days * DAY_S)

    def share(amount: int) -> int:
        return -(-amount * days * round(DAY_S) // window)

    return Price(tuple(map(share, recent.amounts)), share(recent.slack))


def _without(spent: Price, recent: Price) -> Price:
    return Price(tuple(map(operator.sub, spent.amounts, recent.amounts)), spent.slack - recent.slack)


def _paid(connection: Connection, which: sa.ColumnElement[bool]) -> Iterator[tuple[str, Price, bytes, bytes]]:
    """(account, price, release, event's bytes) of the entries, oldest first; a disclosure has no event and no price."""
    entries, releases, leaves = tables.entries.c, tables.releases.c, tables.leaves.c
    query = sa.select(entries.id, entries.account, entries.release, leaves.body, *_PRICE).where(
        which, releases.id == entries.release, leaves.position == releases.charged_leaf
    )
    for entry in in_batches(connection, query, entries.id):
        leaf: Charged = codec.decode(bytes(entry.body), Charged)
        yield entry.account, _price_in(entry), bytes(entry.release), leaf.event


# What an account's row and an entry hold, as a price: the ledger's own reading of them.

_PRICE = (tables.entries.c.amounts, tables.entries.c.slack)


def _price_in(entry: Any) -> Price:
    return Price(entry.amounts, entry.slack)


def _price(event: PrivacyEvent, row: AccountRow) -> Price:
    return priced(event, row["orders"])


def _nothing(row: AccountRow) -> Price:
    return Price((0,) * len(row["orders"]), 0)


def _spent(row: AccountRow) -> Price:
    return spent_of(row)


def _having(row: AccountRow, spent: Price) -> AccountRow:
    return {**row, "spent": spent.amounts, "slack": spent.slack}


def _fits(row: AccountRow, charge: Price) -> bool:
    return allows(promise_of(row), spent_of(row), charge)


def _event(data: bytes) -> PrivacyEvent:
    event: PrivacyEvent = codec.decode(data, PrivacyEvent)
    return event
