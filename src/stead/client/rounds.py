"""Questions in several rounds: each is asked where the last one pointed, is a release of its own, and is charged.

``logistic`` takes a Newton step in each round; ``quantile(rounds=…)`` counts in cells that narrow around the quantiles.
All rounds have the same noise, so that their price is known before the first is asked: a preview shows all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec
import numpy as np

from stead.client import render
from stead.client.aggregation import Table
from stead.client.answer import Answer
from stead.client.mock import MockRows
from stead.client.narrowing import Narrowing
from stead.client.newton import Newton
from stead.client.noise import NoiseKind, Setting, Wish, alone, calibrated, wish
from stead.client.preview import Preview, account_text
from stead.client.question import Question, noise_notes, require_purpose
from stead.client.receipt import Receipt
from stead.client.values import plain_number, whole_number
from stead.core import messages
from stead.errors import BudgetExceeded, UsageError
from stead.plans.query import Aggregate, Query
from stead.plans.scope import scope_of

MOST_ROUNDS = 64
State = tuple[float, ...]


class Method(Protocol):
    """What is asked in each round, and what is made of the releases.

    Cost: one release for each round.
    Security: sees what is released, as anybody may.
    """

    @property
    def start(self) -> State:
        """What the first round asks with."""
        ...

    def aggregate(self, state: State) -> Aggregate:
        """What a round asks."""
        ...

    def advance(self, state: State, setting: Setting, query: Query, vector: np.ndarray) -> State:
        """What the next round asks with, from a round's released integers."""
        ...

    def noisy(self, query: Query, setting: Setting, wished: Wish) -> Query:
        """The first round's question with the noise of all."""
        ...

    def expected(self, query: Query, setting: Setting) -> dict[str, np.ndarray]:
        """A preview's error bars."""
        ...

    def result(self, setting: Setting, query: Query, vector: np.ndarray) -> tuple[Query, np.ndarray, np.ndarray]:
        """The question as its answer is read, the values and their error bars, from the last round."""
        ...


class Waiting(Protocol):
    """A round that waits for a person: a ``Pending`` or a ``JointPending``.

    Cost: a request each time it is refreshed.
    Security: as the question's own.
    """

    def refresh(self) -> Any:
        """The answer, or this."""
        ...

    def wait(self, timeout_s: float = ..., *, pause_s: float = ...) -> Answer:
        """The answer."""
        ...


class Askable(Protocol):
    """One round's question, to one site or to several: a ``Question`` or a ``JointQuestion``.

    Cost: ``quoted`` a request to each site; ``ask`` a release at each.
    Security: as the question's own.
    """

    @property
    def title(self) -> str:
        """The dataset and its sites."""
        ...

    def setting(self) -> Setting:
        """The public facts that its noise is chosen by."""
        ...

    def quoted(self, query: Query) -> dict[str, messages.Quote]:
        """What it costs at each site."""
        ...

    def ask(self, query: Query, why: str) -> Any:
        """The answer, or what waits for it."""
        ...


@dataclass(frozen=True)
class Progress:
    """The rounds so far: how many, what the next asks with, the last answer and all receipts."""

    done: int
    state: State
    last: Answer | None = None
    receipts: tuple[Receipt, ...] = ()
    size_bytes: int = 0


@dataclass(frozen=True, eq=False)
class Rounds:
    """A question in several rounds; preview it, try it on mock rows, then ask it.

    Attributes:
        frame: the rows.
        method: what is asked in each round.
        rounds: how many.
        through: how a round's question is asked: of its own site, or as ``stead.ask`` does, of several.
    """

    frame: Table
    method: Method
    rounds: int
    through: Callable[[Question], Askable] = field(default=lambda question: question)

    def question(self, state: State) -> Question:
        """One round's question."""
        question = Question(self.frame.selection, (self.method.aggregate(state),))
        question.parts()
        return question

    def asked(self, state: State) -> Askable:
        """One round's question, to the sites that it goes to."""
        return self.through(self.question(state))

    def explain(self) -> str:
        """The first round in words, and how many there are."""
        words = self.question(self.method.start).explain()
        return f"{words}\nAsked in {self.rounds} rounds, each of them a release of its own."

    def preview(
        self, *, within: float | None = None, epsilon: float | None = None, noise: NoiseKind = "auto"
    ) -> Preview:
        """The price of all rounds and the error at their end. Looks at no row, spends nothing.

        Args:
            within: the wished half-width at 95 %: of a logistic regression's coefficients, in log odds for half of a
                feature's range; of a quantile's rank, as a fraction of the public size.
            epsilon: the wished price of all rounds together instead.
            noise: of several rounds Gaussian noise is the cheaper one, and always taken.
        """
        return self._preview(self._noisy(wish(within, epsilon, None, noise)))

    def answer(
        self, *, why: str = "", within: float | None = None, epsilon: float | None = None, noise: NoiseKind = "auto"
    ) -> Answer | RoundsPending:
        """Ask all rounds: an ``Answer``, or a ``RoundsPending`` while an owner decides about one of them.

        Raises:
            PurposeMissing: ``why`` is empty.
            BudgetExceeded: the budget does not cover all rounds; none is asked.
            Refused: the owner's rules do not allow a round.
        """
        require_purpose(why)
        query = self._noisy(wish(within, epsilon, None, noise))
        self._require_budget(query)
        return self.go_on(Progress(0, self.method.start), query, why)

    def go_on(self, progress: Progress, noisy: Query, why: str) -> Answer | RoundsPending:
        """Ask the rounds that are left."""
        while progress.done < self.rounds:
            query = self._round(progress.state, noisy)
            found = self.asked(progress.state).ask(query, f"{why} (round {progress.done + 1} of {self.rounds})")
            if not isinstance(found, Answer):
                return RoundsPending(self, progress, noisy, why, found)
            progress = self.after(progress, found)
        return self._finish(progress)

    def after(self, progress: Progress, found: Answer) -> Progress:
        """The progress with one more round's answer."""
        vector = _vector(found)
        state = self.method.advance(progress.state, self._setting(), found.query, vector)
        return Progress(
            progress.done + 1,
            state,
            found,
            progress.receipts + found.receipts,
            progress.size_bytes + found.size_bytes,
        )

    def on_mock(self, rows: MockRows | None = None) -> Answer:
        """All rounds on mock rows, without noise and for free; see ``Question.on_mock``."""
        progress = Progress(0, self.method.start)
        while progress.done < self.rounds:
            progress = self.after(progress, self.question(progress.state).on_mock(rows))
        return self._finish(progress)

    def _finish(self, progress: Progress) -> Answer:
        last = progress.last
        if last is None:
            raise UsageError("no round has been asked.")
        shown, values, errors = self.method.result(self._setting(), last.query, _vector(last))
        (name,) = (aggregate.name for aggregate in shown.aggregates)
        return Answer(
            title=f"{last.title} · {self.rounds} rounds",
            query=shown,
            schema=last.schema,
            values={name: values},
            errors={name: errors},
            receipts=progress.receipts,
            mock=last.mock,
            size_bytes=progress.size_bytes,
            vector=last.vector,
        )

    def _round(self, state: State, noisy: Query) -> Query:
        return msgspec.structs.replace(noisy, aggregates=(self.method.aggregate(state),))

    def _setting(self) -> Setting:
        setting = self.asked(self.method.start).setting()
        return replace(setting, rounds=self.rounds)

    def _noisy(self, wished: Wish) -> Query:
        if wished.noise == "laplace":
            raise UsageError("the noise of several rounds is Gaussian.", hint='noise="auto"')
        bare = self.frame.selection.query((self.method.aggregate(self.method.start),))
        setting, price = self._setting(), wished.epsilon
        if price is None:
            return self.method.noisy(bare, setting, replace(wished, noise="gaussian"))
        asked = self.asked(self.method.start)
        return calibrated(
            lambda aimed: self.method.noisy(bare, setting, Wish(epsilon=aimed, noise="gaussian")),
            lambda query: _total(query, setting, asked.quoted(query)),
            price,
        )

    def _preview(self, query: Query) -> Preview:
        asked, setting = self.asked(self.method.start), self._setting()
        quoted = asked.quoted(query)
        total = _total(query, setting, quoted)
        quotes = {site: _all_rounds(quote, self.rounds, total) for site, quote in quoted.items()}
        one = render.number(alone(query, replace(setting, rounds=1)), 3)
        notes = (
            ("Rounds", f"{self.rounds}, each a release of its own: ε {one} for one, the cost is of all"),
            *noise_notes(query, self.frame.selection),
        )
        return Preview(asked.title, self.method.expected(query, setting), quotes, query.sigmas, notes)

    def _require_budget(self, query: Query) -> None:
        """Refuse before the first round what would be refused after some of them."""
        for site, quote in self._preview(query).quotes.items():
            for before, after in zip(quote.accounts, quote.accounts_after, strict=True):
                if after.epsilon_spent > after.epsilon_limit:
                    left = max(before.epsilon_limit - before.epsilon_spent, 0.0)
                    raise BudgetExceeded(
                        f"{self.rounds} rounds cost epsilon {after.epsilon_spent - before.epsilon_spent:.2f} at most; "
                        f"{account_text(after.account)} has epsilon {left:.2f} left at {site}.",
                        hint=f"epsilon={0.9 * left:.2g}, fewer rounds, or a wider `within`"
                        if left > 0.0
                        else "nothing is left; ask the owner for more",
                    )

    def __repr__(self) -> str:
        return f"{self.explain()}\nNext  .preview(within=0.05)  .on_mock()  .answer(within=0.05, why=…)"


@dataclass(frozen=True, eq=False)
class RoundsPending:
    """Rounds of which one waits for a person.

    Attributes:
        asked: all of them.
        progress: what has been answered.
        noisy: the question with its noise.
        why: its purpose.
        pending: the round that waits.
    """

    asked: Rounds
    progress: Progress
    noisy: Query
    why: str
    pending: Waiting

    def refresh(self) -> Answer | RoundsPending:
        """Ask again; with the round's answer, the next rounds are asked.

        Raises:
            Refused: it was denied; the rounds before it stay charged.
        """
        return self._with(self.pending.refresh())

    def wait(self, timeout_s: float = 86_400.0) -> Answer:
        """Wait for the decisions about all rounds, each for so long.

        Raises:
            PartyTimedOut: nobody has decided in that time; the request stays open.
            Refused: a round was denied.
        """
        found: Answer | RoundsPending = self
        while isinstance(found, RoundsPending):
            found = found._with(found.pending.wait(timeout_s))  # noqa: SLF001 - its own class
        return found

    def _with(self, found: Answer | Waiting) -> Answer | RoundsPending:
        if not isinstance(found, Answer):
            return replace(self, pending=found)
        return self.asked.go_on(self.asked.after(self.progress, found), self.noisy, self.why)

    def __repr__(self) -> str:
        return f"Round {self.progress.done + 1} of {self.asked.rounds}\n{self.pending!r}"


def logistic_rounds(frame: Table, target: str, features: Sequence[str], rounds: int) -> Rounds:
    """Newton's method for a logistic regression; see ``RemoteFrame.logistic``.

    Raises:
        UsageError: there are groups, or the columns are of another kind.
    """
    return _checked(Rounds(frame, Newton(tuple(features), target), whole_number(rounds, "rounds=")))


def quantile_rounds(frame: Table, column: str, at: tuple[float, ...], rounds: int) -> Rounds:
    """Quantiles by cells that narrow; see ``ColumnExpression.quantile``.

    Raises:
        UsageError: there are groups, or a quantile is not between 0 and 1.
    """
    if not at or not all(0.0 <= plain_number(each, "a quantile") <= 1.0 for each in at):
        raise UsageError("quantiles are asked for between 0 and 1.", hint="quantile([0.25, 0.5, 0.75], rounds=3)")
    scope = scope_of(frame.selection.query(), frame.selection.rows_schema)
    declared = scope.column(column, "quantile")
    bounds = scope.range_of(declared, "quantile")
    method = Narrowing(column, at, bounds.low, bounds.high, whole=declared.kind != "real")
    return _checked(Rounds(frame, method, whole_number(rounds, "rounds=")))


def _checked(asked: Rounds) -> Rounds:
    if not 1 <= asked.rounds <= MOST_ROUNDS:
        raise UsageError(f"rounds= is 1 to {MOST_ROUNDS}; got {asked.rounds}.")
    selection = asked.frame.selection
    if selection.keys or selection.private is not None:
        raise UsageError(
            "a question in rounds goes where its last answer pointed, which is another place for each group.",
            hint="filter to one group and ask for it by itself",
        )
    _ = asked.question(asked.method.start)
    return asked


def _all_rounds(quote: messages.Quote, rounds: int, total: float) -> messages.Quote:
    """A quote of one round as one of all.

    What an account has spent is the least of several sums that grow evenly, so that each further round adds no more
    than the first one does; to an account that is new it adds what all rounds are alone.
    """
    after = []
    for before, then in zip(quote.accounts, quote.accounts_after, strict=True):
        added = rounds * (then.epsilon_spent - before.epsilon_spent)
        added = min(added, total) if before.epsilon_spent == 0.0 else added
        after.append(msgspec.structs.replace(then, epsilon_spent=before.epsilon_spent + added))
    return msgspec.structs.replace(quote, epsilon=total, accounts_after=tuple(after), rounds=rounds * quote.rounds)


def _total(query: Query, setting: Setting, quoted: dict[str, messages.Quote]) -> float:
    """The price of all rounds: as reckoned here, and more where the sites quote more for one than is reckoned here."""
    one = max(quote.epsilon for quote in quoted.values())
    return alone(query, setting) * max(1.0, one / alone(query, replace(setting, rounds=1)))


def _vector(answer: Answer) -> np.ndarray:
    if answer.vector is None:
        raise UsageError("the answer has no released integers.")
    return answer.vector
