"""Which accounts pay for a question: by id, and under which promises they are made.

An account belongs to a population (all that is ever known of these people, through whatever dataset), to a project at a
population, to a scientist at a population, or to everybody at a population for one window of days. Where the owner
has declared a public partition of the people, each of these accounts exists once for each of its values, and a question
pays in the cells that it can read.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import final

import msgspec

from stead.core.schema import Schema
from stead.privacy.reserve import Reserved

_DAY_S = 86_400.0
_SHARED = ("population", "period")


class Period(msgspec.Struct, frozen=True):
    """What everybody together may spend in each window of ``days`` days, counted from 1970-01-01."""

    promise: Reserved
    days: int

    def start(self, at: float) -> dt.date:
        """The first day of the window that holds ``at``, seconds since the Unix epoch."""
        window = math.floor(at / (self.days * _DAY_S))
        return dt.date(1970, 1, 1) + dt.timedelta(days=window * self.days)


class Limits(msgspec.Struct, frozen=True):
    """The promises under which new accounts are made; without ``period`` there are no such accounts."""

    population: Reserved
    project: Reserved
    scientist: Reserved
    period: Period | None = None

    def of(self, account: str) -> Reserved:
        """The promise of a new account, by the kind that its id begins with."""
        match kind_of(account):
            case "population":
                return self.population
            case "project":
                return self.project
            case "scientist":
                return self.scientist
            case _:
                assert self.period is not None  # noqa: S101 - `payers` names such accounts only with a period
                return self.period.promise


@final
class Payers(msgspec.Struct, frozen=True):
    """The accounts that pay for one scientist's question.

    Attributes:
        population: of the people.
        wholes: the accounts by id, as they are where the people are not partitioned: the scientist's own first.
        partition: the column that the people are partitioned by and its values; empty without one.
        cells: those of the values that the question can read.
    """

    population: str
    wholes: tuple[str, ...]
    partition: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """All of them, in the order in which they are locked."""
        return tuple(sorted(account for whole in self.wholes for account in self.of(whole)))

    @property
    def own(self) -> tuple[str, ...]:
        """The wholes that the scientist may see: not those which others spend from too."""
        return tuple(whole for whole in self.wholes if kind_of(whole) not in _SHARED)

    def of(self, whole: str) -> tuple[str, ...]:
        """The accounts that stand for one of the wholes."""
        if not self.partition:
            return (whole,)
        return cell_accounts(whole, self.partition, self.cells)


def cell_accounts(whole: str, partition: tuple[str, ...], cells: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The accounts that an account is kept as under a partition; of all its cells when none are named."""
    column, *values = partition
    return tuple(f"{whole}#{column}={value}" for value in cells or values)


def payers(
    schema: Schema,
    limits: Limits,
    *,
    project: str,
    scientist: str,
    at: float,
    cells: tuple[str, ...] = (),
) -> Payers:
    """The accounts of a scientist (by name) in a project at a schema's population.

    ``@`` and ``/`` are in no project's and no scientist's name (``people.check_name``), so that no two kinds of
    accounts collide. Should two populations' names make them collide, they share: that charges more, never less.

    Args:
        schema: whose people they are, and how they are partitioned.
        limits: whether there are periods, and how long they are.
        project: the project's name.
        scientist: the scientist's name.
        at: now, seconds since the Unix epoch.
        cells: the partition's values that the question can read; all of them by default.
    """
    population = schema.population
    wholes = [f"project/{project}@{population}", f"scientist/{scientist}@{population}", f"population/{population}"]
    if limits.period is not None:
        wholes.append(f"period/{limits.period.start(at).isoformat()}@{population}")
    values = schema.partition_values
    partition = (schema.partition, *values) if schema.partition is not None else ()
    return Payers(population, tuple(wholes), partition, (cells or values) if partition else ())


def kind_of(account: str) -> str:
    """``population``, ``project``, ``scientist`` or ``period``."""
    return account.partition("/")[0]


def population_of(account: str) -> str:
    """The population that an account is about, with the account's cell if it is one."""
    kind, _, rest = account.partition("/")
    return rest if kind == "population" else rest.partition("@")[2]
