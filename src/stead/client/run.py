"""``TrainingRun``: a training at several sites, while it waits, while it runs, and what came of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stead.adapters.plots import Curve, curves
from stead.client import render
from stead.client.frameworks import Framework, copy_parameters
from stead.client.preview import price_text
from stead.client.progress import RoundRecord, shown
from stead.client.receipt import Receipt
from stead.client.scoring import Scorer
from stead.client.sessions import RunChannel
from stead.client.site import Site
from stead.core.messages import Quote
from stead.errors import NotYet, PartyTimedOut
from stead.learn.fleet import Fleet, RoundDone
from stead.learn.header import Header
from stead.learn.strategy import ModelState, Strategy


@dataclass(frozen=True, eq=False)
class RunParts:
    """What a training run is made of.

    Attributes:
        title: the dataset and the sites.
        model: the scientist's model; never changed.
        framework: the adapter that speaks its language.
        sites: the nodes, in the cohort's order.
        quotes: each site's price and decision, by name; none on mock rows.
        header: the session's header.
        channel: the session.
        strategy: what a round's sum does.
        scorer: how a model is scored.
        epsilon_after: what the first rounds come to, by their number; infinite without differential privacy.
        on_round: the scientist's own callback.
        silent: show no progress.
        mock: it runs on mock rows, in this process.
    """

    title: str
    model: Any
    framework: Framework
    sites: tuple[Site, ...]
    quotes: Mapping[str, Quote]
    header: Header
    channel: RunChannel
    strategy: Strategy
    scorer: Scorer
    epsilon_after: Callable[[int], float]
    on_round: Callable[[RoundRecord], bool | None]
    silent: bool
    mock: bool = False


class TrainingRun:
    """A federated training. ``fit`` makes it, starts it, and returns it finished, or waiting for an owner.

    Args:
        parts: what it is made of.
    """

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts
        self._state = ModelState.start(parts.framework.parameters(parts.model))
        self._records: list[RoundRecord] = []
        self._status = "waiting"

    @property
    def status(self) -> str:
        """``waiting`` for an owner, ``running``, ``done``, ``stopped`` by the scientist, or ``failed``."""
        return self._status

    @property
    def rounds(self) -> tuple[RoundRecord, ...]:
        """What was noted after each round."""
        return tuple(self._records)

    @property
    def model(self) -> Any:
        """A copy of the scientist's model with the trained weights.

        Raises:
            NotYet: no round has been done.
        """
        if not self._records:
            raise NotYet(f"this training has no model yet: it is {self._status}.", hint=".wait() goes on")
        trained = copy.deepcopy(self._parts.model)
        self._parts.framework.load(trained, self._parameters())
        return trained

    @property
    def epsilon(self) -> dict[str, float]:
        """What each site has charged for the whole training; infinite for a disclosure, 0 where nothing has begun.

        On mock rows nothing ever is: 0.
        """
        charged, quotes = self._parts.channel.opened, self._parts.quotes
        return {name: quotes[name].epsilon if name in charged else 0.0 for name in self._parts.channel.peers}

    @property
    def size_bytes(self) -> int:
        """Frames to and from all sites so far."""
        return self._parts.channel.size_bytes

    @property
    def seconds(self) -> float:
        """Time in rounds so far."""
        return sum(record.seconds for record in self._records)

    @property
    def score(self) -> float:
        """The last score; NaN before the first round."""
        return self._records[-1].score if self._records else math.nan

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """Each site's proof that it logged the beginning and the end."""
        return self._parts.channel.receipts

    def refresh(self) -> TrainingRun:
        """Ask the owners again, and train if all take part now.

        Raises:
            Refused: an owner denied it; then no site goes on.
        """
        if self._status == "waiting" and not self._parts.channel.prepare():
            self._train()
        return self

    def wait(self, timeout_s: float = 86_400.0, *, pause_s: float = 2.0) -> TrainingRun:
        """Wait for the owners, then train.

        Raises:
            PartyTimedOut: not all have decided in that time; the request stays open.
            Refused: an owner denied it.
        """
        if self._status == "waiting":
            if not self._parts.channel.wait(timeout_s, pause_s=pause_s):
                waiting = ", ".join(self._parts.channel.waiting)
                raise PartyTimedOut(f"{waiting} has not decided within {timeout_s:g} s.", hint=".wait() again")
            self._train()
        return self

    def plot(self) -> Any:
        """Score and epsilon by round: a matplotlib figure if there is one, else an SVG."""
        rounds = np.array([record.number for record in self._records], dtype=float)
        scores = np.array([record.score for record in self._records])
        panels = [Curve(self._parts.scorer.label, rounds, scores, "round")]
        spent = np.array([record.epsilon for record in self._records])
        if np.isfinite(spent).all():
            panels.append(Curve("ε of real rounds" if self._parts.mock else "ε so far", rounds, spent, "round"))
        return curves(self._parts.title, panels)

    def _train(self) -> None:
        parts = self._parts
        self._status = "running"
        clock = parts.sites[0].scientist.clock
        score = parts.scorer.label
        try:
            with shown(f"fit {parts.title}", parts.header.rounds, score, silent=parts.silent) as show:
                fleet = Fleet(parts.channel, clock=clock)
                fleet.train(parts.header, parts.strategy, self._state, on_round=lambda done: self._note(done, show))
            for doubt in parts.channel.doubts:
                raise doubt
        except BaseException:
            self._status = "failed"
            raise
        self._status = "done" if len(self._records) == parts.header.rounds else "stopped"
        for site in () if parts.mock else parts.sites:
            site.refresh_if_reachable()

    def _note(self, done: RoundDone, show: Callable[[RoundRecord], None]) -> bool | None:
        self._state = done.state
        earlier = sum(record.size_bytes for record in self._records)
        record = RoundRecord(
            number=done.number,
            size_bytes=done.bytes_up + done.bytes_down - earlier,
            epsilon=self._parts.epsilon_after(done.number),
            seconds=done.seconds,
            score=self._parts.scorer(self._parameters()),
        )
        self._records.append(record)
        show(record)
        return self._parts.on_round(record)

    def _parameters(self) -> list[np.ndarray]:
        return copy_parameters(self._state.weights, self._parts.framework.parameters(self._parts.model))

    def __repr__(self) -> str:
        return render.facts(self._headline(), self._pairs())

    def _repr_html_(self) -> str:
        return render.facts_html(self._headline(), self._pairs())

    def _headline(self) -> str:
        free = " · nothing was sent, nothing is spent" if self._parts.mock else ""
        return f"TrainingRun · {self._parts.title}{free} · {self._status}"

    def _price(self) -> str:
        """What the sites charge for it; on mock rows, what it comes to on real ones."""
        parts = self._parts
        if parts.mock:
            whole = parts.epsilon_after(parts.header.rounds)
            return f"ε {render.number(whole, 3)} at each site" if math.isfinite(whole) else "no differential privacy"
        prices = {name: price_text(quote) for name, quote in parts.quotes.items()}
        if len(set(prices.values())) == 1:
            return next(iter(prices.values())) + (" at each site" if len(prices) > 1 else "")
        return " · ".join(f"{name} {price}" for name, price in prices.items())

    def _pairs(self) -> list[tuple[str, str]]:
        parts = self._parts
        done = f"{len(self._records)} of {parts.header.rounds}"
        waiting = "; ".join(
            f"{name} ({', '.join(reply.approvers) or 'the owner'}): {reply.reason}"
            for name, reply in parts.channel.waiting.items()
        )
        following = {"waiting": ".wait() or .refresh()", "done": ".model  .plot()  .receipts"}
        if parts.mock:
            following["done"] = ".model  .plot()  then fit(…) without on_mock"
        return [
            ("Waiting", waiting if self._status == "waiting" else ""),
            ("Rounds", f"{done} · {render.size(self.size_bytes)} · {self.seconds:.1f} s"),
            (parts.scorer.label, f"{self.score:.3f}" if self._records else ""),
            ("On real rows" if parts.mock else "Privacy", self._price()),
            ("Next", following.get(self._status, ".rounds")),
        ]
