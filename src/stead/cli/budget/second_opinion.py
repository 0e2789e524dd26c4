"""The second opinion beside the ledger's numbers: what events come to by their loss distributions, for reports only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from stead.cli.style import say

if TYPE_CHECKING:
    from stead.privacy.events import PrivacyEvent

Command = TypeVar("Command", bound=Callable[..., Any])

_GRID_NATS: Final = 1e-4
_POINTS: Final = 1e5
_DEAR: Final = 1e3
"""An epsilon beyond which nobody needs a second opinion, and a distribution would fill the memory."""

INSTALL: Final = 'pip install "stead[google-dp]"'
MEANING: Final = "by PLD: the tightest known statement, for reports; it never decides"


def pld_option(command: Command) -> Command:
    """Add ``--pld`` to a command, passed to it as ``pld``."""
    text = f"Also the epsilon by privacy loss distributions, for reports; takes time, and the extra: {INSTALL}"
    return click.option("--pld", is_flag=True, help=text)(command)


class SecondOpinion:
    """Epsilons by loss distributions, each event asked once; ``None`` where there is no answer, and ``missing`` why."""

    def __init__(self) -> None:
        self.missing = ""
        self._known: dict[tuple[PrivacyEvent, float], float | None] = {}

    def of(self, event: PrivacyEvent, delta: float, *, ledger: float) -> float | None:
        """The epsilon of an event at delta, never above the ledger's own.

        Both are bounds on the same loss. An exponential choice is distributed like any pure mechanism, and may come to
        less by Rényi divergence; and a distribution is rounded up on its grid.

        Args:
            event: all that is reported on.
            delta: in (0, 1).
            ledger: what the ledger says it comes to, nats.
        """
        from stead.errors import MissingExtra, UnsupportedOperation

        if self.missing == INSTALL or ledger > _DEAR:
            return None
        if (event, delta) not in self._known:
            from stead.adapters.google_dp import pld_epsilon

            try:
                found: float | None = pld_epsilon(event, delta, grid_nats=max(_GRID_NATS, ledger / _POINTS))
            except MissingExtra:
                self.missing, found = INSTALL, None
            except UnsupportedOperation:
                found = None
            self._known[event, delta] = found
        known = self._known[event, delta]
        return None if known is None else min(known, ledger)

    def cell(self, epsilon: float | None) -> str:
        """As a table shows it."""
        return self.missing or "-" if epsilon is None else f"{epsilon:.3f}"

    def explain(self) -> None:
        """Say, once, beside a table, what the column means or needs."""
        say(f"epsilon by PLD needs an extra: {self.missing}" if self.missing else MEANING)
