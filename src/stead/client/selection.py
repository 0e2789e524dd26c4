"""``Selection``: which rows of which datasets a question is about, and in which groups; what is asked stands apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stead.client.site import Site
from stead.core.schema import Schema
from stead.plans.analysis import Usage, asked_schema, usage
from stead.plans.joining import joined_schema
from stead.plans.query import Aggregate, Bounding, Join, PrivateKeys, Query, RowStep

KEY_DELTA: Final = 1e-8
"""The probability that a key which one person alone has is shown, unless another is given."""


@dataclass(frozen=True)
class Source:
    """A dataset at a site: what every frame and question refers to."""

    site: Site
    name: str

    @property
    def schema(self) -> Schema:
        """The public schema, as last fetched."""
        return self.site.view(self.name).card.schema

    @property
    def title(self) -> str:
        """``heart · North Hospital``."""
        return f"{self.name} · {self.site.name}"


@dataclass(frozen=True)
class PrivateGroups:
    """Groups by the values that occur in a column; ``delta`` is what all of one person's keys may add to it."""

    column: str
    delta: float = KEY_DELTA


@dataclass(frozen=True)
class Selection:
    """Rows and groups.

    Attributes:
        source: the dataset.
        joins: columns of other datasets.
        steps: the row steps, in order.
        bounding: how much of one person is used.
        keys: the columns to group by.
        private: groups whose values are not public.
    """

    source: Source
    joins: tuple[Join, ...] = ()
    steps: tuple[RowStep, ...] = ()
    bounding: Bounding | None = None
    keys: tuple[str, ...] = ()
    private: PrivateGroups | None = None

    def query(self, aggregates: tuple[Aggregate, ...] = (), sigmas: Sequence[float] = ()) -> Query:
        """The plan that asks for ``aggregates``.

        Args:
            aggregates: what is released.
            sigmas: Gaussian noise for each part, in lattice steps. Private keys get noise of one step and no
                threshold here, which ``client.noise`` replaces.
        """
        return Query(
            dataset=self.source.name,
            steps=self.steps,
            group_by=self.keys,
            aggregates=aggregates,
            sigmas=tuple(float(sigma) for sigma in sigmas),
            joins=self.joins,
            bounding=self.bounding,
            private_keys=PrivateKeys(self.private.column, 1.0, 0) if self.private else None,
        )

    @property
    def rows_schema(self) -> Schema:
        """The schema of the rows that are read: with the joined columns, without derived ones."""
        return rows_schema(self.query(), self.source.site)

    @property
    def schema(self) -> Schema:
        """The schema of the rows as the steps leave them: with joined and derived columns."""
        return asked_schema(self.query(), self.rows_schema)

    @property
    def usage(self) -> Usage:
        """How much of one person is in use."""
        return usage(self.query(), self.rows_schema)


def rows_schema(query: Query, site: Site) -> Schema:
    """The public description of the rows that ``query`` reads at ``site``.

    Raises:
        SteadError: as ``joined_schema``; the site shows no such dataset.
    """
    return joined_schema(query, site.view(query.dataset).card.schema, lambda name: site.view(name).card.schema)


def bounds_text(used: Usage, unit: str) -> str:
    """``at most 6 rows of one patient, in at most 2 groups, at most 6 of them in one group``."""
    rows = "1 row" if used.rows == 1 else f"{used.rows} rows"
    if used.rows == 1:
        return f"at most {rows} of one {unit}"
    groups = "1 group" if used.groups == 1 else f"{used.groups} groups"
    return f"at most {rows} of one {unit}, in at most {groups}, at most {used.rows_per_group} in one group"
