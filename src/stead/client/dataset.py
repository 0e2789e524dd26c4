"""``RemoteDataset``: a table that stays at its owner's, as a notebook sees it."""

from __future__ import annotations

import html

from stead.client import render
from stead.client.expressions import ColumnExpression, column_text
from stead.client.frame import RemoteFrame, Verbs, column_or_verb
from stead.client.mock import MockRows, mock_of
from stead.client.preview import budget_text, tightest_account
from stead.client.question import mock_size
from stead.client.selection import Selection, Source
from stead.client.site import Site
from stead.core.messages import AccountView
from stead.core.schema import DatasetCard, Schema
from stead.plans.privacy_words import Explanation, explain

SHOWN_RULES = 3
USUAL_DELTA = 1e-6
"""What an answer's privacy is explained at where the reader has no account yet."""


class RemoteDataset(Verbs):
    """A dataset of one node: its public card, columns as attributes, and the verbs of a data frame.

    ``heart.age`` and ``heart["age"]`` are columns; ``[...]`` also reaches a column that is called like a method.

    Args:
        site: the node.
        name: the dataset's name there.
    """

    def __init__(self, site: Site, name: str) -> None:
        site.view(name)
        self.source = Source(site, name)

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.source.name

    @property
    def card(self) -> DatasetCard:
        """The public card, as last fetched."""
        return self.source.site.view(self.name).card

    @property
    def schema(self) -> Schema:
        """The public schema."""
        return self.card.schema

    @property
    def budget(self) -> tuple[AccountView, ...]:
        """The accounts that questions are charged to, fetched now."""
        return self.source.site.refresh()[self.name].accounts

    def privacy(self) -> Explanation:
        """What epsilon, delta and the unit mean here, what is left, and what is not protected; prints as text."""
        views = self.budget
        return explain(self.card, views, delta=views[0].delta if views else USUAL_DELTA)

    @property
    def rules(self) -> tuple[str, ...]:
        """The owner's rules in words."""
        return self.source.site.view(self.name).rules

    @property
    def mock(self) -> MockRows:
        """Made-up rows with the same columns, types and bounds: explore for free."""
        return mock_of(self.name, self.schema, mock_size(self.schema))

    @property
    def frame(self) -> RemoteFrame:
        """All rows."""
        return RemoteFrame(Selection(self.source))

    def __getattr__(self, name: str) -> ColumnExpression:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.frame[column_or_verb(self.schema, name, dir(type(self)))]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(c.name for c in self.schema.columns if c.name.isidentifier())})

    def __repr__(self) -> str:
        return render.facts(_title(self), _pairs(self))

    def _repr_html_(self) -> str:
        header = ("column", "kind", "description")
        rows = [(c.name, column_text(c), c.description) for c in self.schema.columns]
        pairs = [(name, value) for name, value in _pairs(self) if name != "Columns"]
        about = f"<p>{html.escape(self.card.description)}</p>" if self.card.description else ""
        return render.facts_html(_title(self), pairs, after=about + render.table_html(header, rows, caption="Columns"))


def _title(dataset: RemoteDataset) -> str:
    least, most = dataset.schema.people
    size = f"{least:,}–{most:,}" if least < most else f"{least:,}"
    return f"{dataset.source.title} · {size} people · unit: {dataset.schema.unit}"


def _pairs(dataset: RemoteDataset) -> list[tuple[str, str]]:
    card, view = dataset.card, dataset.source.site.view(dataset.name)
    columns = [f"{c.name} {column_text(c)}" for c in card.schema.columns]
    more = f" · … {len(columns) - 12} more" if len(columns) > 12 else ""
    tightest = tightest_account(view.accounts)
    first = next((c.name for c in card.schema.columns if c.bounds and c.name != card.schema.person), None)
    me = dataset.name if dataset.name.isidentifier() else "data"
    about = (card.purpose, card.contact and f"contact {card.contact}", card.licence)
    hidden = len(view.rules) - SHOWN_RULES
    return [
        ("Purpose", " · ".join(filter(None, about))),
        ("Columns", " · ".join(columns[:12]) + more),
        ("Budget", budget_text(tightest) if tightest else "no account for this project"),
        ("Rules", "; ".join(view.rules[:SHOWN_RULES])),
        ("", f"… {hidden} more: .rules" if hidden > 0 else ""),
        ("Next", f"{me}.mock.head()   {me}{f'.{first}.mean()' if first else '.count()'}.preview()"),
    ]
