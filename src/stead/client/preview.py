"""``Preview``: what an answer would look like and cost, before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stead.client import render
from stead.client.render import bar
from stead.core.messages import AccountView, Quote


@dataclass(frozen=True, eq=False)
class Preview:
    """Error bars, price and decision for one question. It was made without looking at a row, and spent nothing.

    Attributes:
        title: the dataset, or the sites.
        errors: half-widths at 95 %, all cells jointly, by aggregate; a mean is taken over the least public size.
        quotes: each site's quote, by name.
        sigmas: the noise that gives these error bars, in lattice steps of each part.
        notes: what else must be known before it is asked, as names and texts.
        noise: the kind of noise.
    """

    title: str
    errors: Mapping[str, np.ndarray]
    quotes: Mapping[str, Quote]
    sigmas: tuple[float, ...]
    notes: tuple[tuple[str, str], ...] = ()
    noise: str = "gaussian"

    @property
    def epsilon(self) -> float:
        """What this question alone costs at one site; the largest over the sites."""
        return max(quote.epsilon for quote in self.quotes.values())

    @property
    def decision(self) -> str:
        """``allow``, ``ask`` (a person decides) or ``deny``; the strictest of the sites."""
        order = ("allow", "ask", "deny")
        return max((quote.decision for quote in self.quotes.values()), key=order.index)

    @property
    def approvers(self) -> tuple[str, ...]:
        """Who must approve, over all sites."""
        return tuple(dict.fromkeys(name for quote in self.quotes.values() for name in quote.approvers))

    def __repr__(self) -> str:
        return render.facts(f"Preview · {self.title} · nothing is spent", self._pairs())

    def _repr_html_(self) -> str:
        return render.facts_html(f"Preview · {self.title} · nothing is spent", self._pairs())

    def _pairs(self) -> list[tuple[str, str]]:
        errors = " · ".join(f"{name} ± {_widest(bars)}" for name, bars in self.errors.items())
        pairs = [("Error", f"{errors} (95 %, all cells jointly)" if errors else "")]
        if len(self.quotes) == 1:
            (quote,) = self.quotes.values()
            pairs += [("Cost", price_text(quote)), ("Budget", change_text(quote)), ("Decision", decision_text(quote))]
        else:
            for site, quote in self.quotes.items():
                whole = (price_text(quote), change_text(quote), decision_text(quote))
                pairs.append((site, " · ".join(filter(None, whole))))
        return [*pairs, *self.notes]


def price_text(quote: Quote) -> str:
    """``ε 0.40 at δ 1e-06``, or the words for a result without differential privacy."""
    if not np.isfinite(quote.epsilon):
        return "no differential privacy (a disclosure: never added into ε, shown beside it ever after)"
    return f"ε {render.number(quote.epsilon, 3)} at δ {quote.delta:g}"


def decision_text(quote: Quote) -> str:
    """The policy's decision with its reason and the people who must approve."""
    words = {"allow": "automatic", "ask": "a person decides", "deny": "refused"}[quote.decision]
    who = f" ({', '.join(quote.approvers)})" if quote.approvers else ""
    return f"{words}{who}: {quote.reason}" if quote.reason else words + who


def tightest_account(accounts: tuple[AccountView, ...]) -> AccountView | None:
    """The account with the least epsilon left."""
    return min(accounts, key=lambda a: a.epsilon_limit - a.epsilon_spent, default=None)


def account_text(account: str) -> str:
    """An account's name for people: ``project/risk@heart`` is ``project "risk"``."""
    kind, separator, rest = account.partition("/")
    return f'{kind} "{rest.partition("@")[0]}"' if separator else account


def budget_text(account: AccountView) -> str:
    """``ε 3.10 of 8.00 left for project "risk"  ▇▇▇░░░``."""
    left = max(account.epsilon_limit - account.epsilon_spent, 0.0)
    share = left / account.epsilon_limit if account.epsilon_limit else 0.0
    marked = f" · {account.disclosures} disclosed without privacy" if account.disclosures else ""
    return f"ε {left:.2f} of {account.epsilon_limit:.2f} left for {account_text(account.account)}  {bar(share)}{marked}"


def change_text(quote: Quote) -> str:
    """What the tightest account has left, before and after: ``ε 3.10 → 2.70 of 8.00 for project "risk"``."""
    after = tightest_account(quote.accounts_after)
    if after is None:
        return ""
    before = next((account for account in quote.accounts if account.account == after.account), after)
    left = [max(account.epsilon_limit - account.epsilon_spent, 0.0) for account in (before, after)]
    return f"ε {left[0]:.2f} → {left[1]:.2f} of {after.epsilon_limit:.2f} for {account_text(after.account)}"


def _widest(bars: np.ndarray) -> str:
    finite = np.asarray(bars, dtype=float)
    return render.number(float(finite.max()), 3) if finite.size else "0"
