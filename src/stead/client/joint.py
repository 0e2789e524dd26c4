"""One question to several sites: each adds its integers and a share of the noise under masks, one answer comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from msgspec.structs import replace

from stead.client import render
from stead.client.affordable import saying_what_fits
from stead.client.aggregation import Aggregation
from stead.client.answer import Answer
from stead.client.dataset import RemoteDataset
from stead.client.noise import NoiseKind, Setting, Wish, calibrated, choose, wish
from stead.client.preview import Preview
from stead.client.question import RELEASE_BYTES, Question, account_delta, noise_notes, require_purpose
from stead.client.rounds import Rounds, RoundsPending
from stead.client.sessions import SessionTerms, SitesChannel
from stead.client.site import Site
from stead.core import messages
from stead.core.leaves import Outlet
from stead.core.schema import Schema
from stead.errors import PartyTimedOut, PolicyDenied, TooFewParties, UsageError
from stead.learn.fleet import Fleet
from stead.learn.header import Header, model_hash
from stead.learn.masks import IntVector
from stead.plans.analysis import parts
from stead.plans.bars import error_bars
from stead.plans.decode import decode_answer
from stead.plans.joining import joined_schema
from stead.plans.plan import encode_plan, plan_hash
from stead.plans.query import Query
from stead.plans.query_price import require_additive

RING_BITS: Final = 64


def _are_datasets(sites: object) -> None:
    example = 'a list of datasets: [north["heart"], south["heart"]]'
    if not isinstance(sites, Sequence) or isinstance(sites, str):
        raise UsageError(f"the sites are {example}; got {type(sites).__name__}.")
    other = next((site for site in sites if not isinstance(site, RemoteDataset)), None)
    if other is not None:
        raise UsageError(f"the sites are {example}; got {type(other).__name__} in the list.")


def one_schema(sites: Sequence[RemoteDataset]) -> Schema:
    """The schema that all sites share, with the widest of their size ranges.

    Raises:
        UsageError: they differ in what a question or a training depends on; the text names the first difference.
    """
    _are_datasets(sites)
    first = sites[0]
    names = [site.source.site.name for site in sites]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is among the sites twice.", hint="two nodes of one name cannot be told apart")
    for other in sites[1:]:
        if other.name != first.name:
            raise UsageError(
                f"the dataset is called {first.name!r} at {first.source.site.name} and {other.name!r} "
                f"at {other.source.site.name}: one plan needs one name."
            )
        difference = _difference(first.schema, other.schema)
        if difference:
            raise UsageError(
                f"{first.source.site.name} and {other.source.site.name} differ in {difference}.",
                hint="owners must declare the same columns, categories, bounds and rows per person",
            )
    least = min(site.schema.people[0] for site in sites)
    most = max(site.schema.people[1] for site in sites)
    return replace(first.schema, people=(least, most))


def joined_schema_of(query: Query, sites: Sequence[RemoteDataset]) -> Schema:
    """The schema of the rows that a question reads, which all sites share: joined datasets must agree as well.

    Raises:
        UsageError: see ``one_schema``; or a site has no dataset of a joined name.
    """

    def find(name: str) -> Schema:
        return one_schema([RemoteDataset(site.source.site, name) for site in sites])

    return joined_schema(query, one_schema(sites), find)


def quotes(sites: Sequence[Site], plan: bytes, outlet: Outlet, *, colluders: int) -> dict[str, messages.Quote]:
    """Every site's quote for the same plan; nothing is spent.

    Raises:
        PolicyDenied: a site's rules deny it; the reason is the owner's.
    """
    found = {}
    for site in sites:
        message = messages.Preview(
            project=site.project, plan=plan, outlet=outlet, sites=len(sites), colluders=colluders
        )
        found[site.name] = site.ask(message, messages.Quote)
    return found


def refuse_denied(found: dict[str, messages.Quote]) -> None:
    """Raise ``PolicyDenied`` if a site would refuse, before any other site is charged."""
    for name, quote in found.items():
        if quote.decision == "deny":
            raise PolicyDenied(f"{name} does not allow it: {quote.reason}")


@dataclass(frozen=True, eq=False)
class JointQuestion:
    """A question and the sites it goes to.

    Attributes:
        question: written against one of the sites' datasets.
        sites: the datasets; two or more.
        colluders: sites whose noise shares are not counted on; noise stays enough if so many sites (and the
            scientist) work together.
    """

    question: Question
    sites: tuple[RemoteDataset, ...]
    colluders: int = 1

    def __post_init__(self) -> None:
        if len(self.sites) < 2:
            raise TooFewParties(
                f"a joint question needs at least 2 sites; got {len(self.sites)}.",
                hint="one site: question.answer(...)",
            )
        if not 0 <= self.colluders < len(self.sites):
            raise UsageError(f"colluders must be 0 to {len(self.sites) - 1}; got {self.colluders}.")
        one_schema(self.sites)
        if self.question.source.name != self.sites[0].name:
            raise UsageError(
                f"the question is about {self.question.source.name!r}, the sites' datasets are {self.sites[0].name!r}."
            )
        require_additive(self.question.plan())
        parts(self.question.plan(), self.schema)

    @property
    def schema(self) -> Schema:
        """The schema of the rows that are read, which all sites share."""
        return joined_schema_of(self.question.plan(), self.sites)

    @property
    def title(self) -> str:
        """``heart · North, South, East``."""
        return f"{self.sites[0].name} · {', '.join(site.name for site in self._nodes)}"

    def setting(self) -> Setting:
        """The public facts that the noise of all sites together is chosen by."""
        return Setting(
            self.schema,
            sites=len(self.sites),
            colluders=self.colluders,
            people=self._people,
            delta=min(account_delta(site.source) for site in self.sites),
        )

    def plan(self, wished: Wish) -> Query:
        """The plan, with the noise of all sites together; for a wished price the dearest site's quote decides.

        Raises:
            UsageError: no noise is like that.
        """
        bare, setting, price = self.question.plan(), self.setting(), wished.epsilon
        if price is None:
            return choose(bare, setting, wished)
        return calibrated(
            lambda aimed: choose(bare, setting, Wish(epsilon=aimed, noise=wished.noise)),
            lambda query: max(quote.epsilon for quote in self.quoted(query).values()),
            price,
        )

    def preview(
        self,
        *,
        within: float | None = None,
        epsilon: float | None = None,
        sigmas: Sequence[float] | None = None,
        noise: NoiseKind = "auto",
    ) -> Preview:
        """Error bars over all sites, and each site's price and decision. Spends nothing.

        Args:
            within: see ``Question.preview``; of all sites together.
            epsilon: the wished price at the dearest site instead.
            sigmas: the noise of all sites together instead.
            noise: noise that several sites add up is Gaussian.
        """
        plan = self.plan(wish(within, epsilon, sigmas, noise))
        notes = noise_notes(plan, self.question.selection)
        return Preview(self.title, self.bars(plan), self.quoted(plan), plan.sigmas, notes)

    def answer(
        self,
        *,
        why: str,
        within: float | None = None,
        epsilon: float | None = None,
        sigmas: Sequence[float] | None = None,
        noise: NoiseKind = "auto",
    ) -> Answer | JointPending:
        """Ask it: one ``Answer``, or a ``JointPending`` while an owner decides.

        Raises:
            PurposeMissing: ``why`` is empty.
            Refused: a site's rules or budget do not allow it; then no site goes on.
        """
        require_purpose(why)
        wished = wish(within, epsilon, sigmas, noise)
        with saying_what_fits(lambda wider: self.preview(within=wider), wished.relative):
            return self.ask(self.plan(wished), why)

    def ask(self, plan: Query, why: str) -> Answer | JointPending:
        """Send the question with its noise to all sites, after none of them would refuse it."""
        encoded = encode_plan(plan)
        found = self.quoted(plan)
        refuse_denied(found)
        terms = SessionTerms(self._nodes[0].scientist.entropy.take(RELEASE_BYTES), encoded, "join", why)
        header = Header(
            release=terms.release,
            plan_hash=plan_hash(encoded),
            cohort=tuple((site.name, site.node_key) for site in self._nodes),
            length=sum(part.size for part in parts(plan, self.schema)),
            ring_bits=RING_BITS,
            rounds=1,
            colluders=self.colluders,
            model_hash=model_hash(b""),
            outlet="join",
            minimum=len(self.sites),
        )
        asking = {name for name, quote in found.items() if quote.decision == "ask"}
        channel = SitesChannel(self._nodes, terms, header.to_bytes(), ask_first=asking)
        return JointPending(self, plan, header, channel).refresh()

    def bars(self, plan: Query, answer: IntVector | None = None) -> dict[str, np.ndarray]:
        """Half-widths over all sites together."""
        return error_bars(
            plan, self.schema, sites=len(self.sites), colluders=self.colluders, people=self._people, answer=answer
        )

    def quoted(self, plan: Query) -> dict[str, messages.Quote]:
        """What the question with its noise costs at each site. Spends nothing."""
        return quotes(self._nodes, encode_plan(plan), "join", colluders=self.colluders)

    @property
    def _nodes(self) -> tuple[Site, ...]:
        return tuple(dataset.source.site for dataset in self.sites)

    @property
    def _people(self) -> int:
        return sum(site.schema.people[0] for site in self.sites)


@dataclass(frozen=True, eq=False)
class JointPending:
    """A joint question that waits for a person at one or more sites.

    Attributes:
        asked: what was asked, of whom.
        plan: the plan.
        header: the session's header.
        channel: the session.
    """

    asked: JointQuestion
    plan: Query
    header: Header
    channel: SitesChannel = field(repr=False)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The sites that have not decided."""
        return tuple(self.channel.waiting)

    def refresh(self) -> Answer | JointPending:
        """Ask again: the answer if all sites take part now, else this.

        Raises:
            Refused: a site denied it; then no site goes on.
        """
        return self._finish() if not self.channel.prepare() else self

    def wait(self, timeout_s: float = 86_400.0, *, pause_s: float = 2.0) -> Answer:
        """Wait for the decisions.

        Raises:
            PartyTimedOut: not all have decided in that time; the question stays open.
            Refused: a site denied it.
        """
        if not self.channel.wait(timeout_s, pause_s=pause_s):
            raise PartyTimedOut(
                f"{', '.join(self.waiting)} has not decided within {timeout_s:g} s.", hint=".wait() again"
            )
        return self._finish()

    def _finish(self) -> Answer:
        asked, plan = self.asked, self.plan
        clock = asked.sites[0].source.site.scientist.clock
        total = Fleet(self.channel, clock=clock).ask(self.header)
        for doubt in self.channel.doubts:
            raise doubt
        for dataset in asked.sites:
            dataset.source.site.refresh_if_reachable()
        return Answer(
            title=asked.title,
            query=plan,
            schema=asked.schema,
            values=decode_answer(plan, asked.schema, total),
            errors=asked.bars(plan, total),
            receipts=self.channel.receipts,
            size_bytes=self.channel.size_bytes,
            vector=np.asarray(total),
        )

    def __repr__(self) -> str:
        return render.facts(f"Pending · {self.asked.title}", self._pairs())

    def _repr_html_(self) -> str:
        return render.facts_html(f"Pending · {self.asked.title}", self._pairs())

    def _pairs(self) -> list[tuple[str, str]]:
        waiting = [
            (name, f"{', '.join(reply.approvers) or 'the owner'} decides: {reply.reason}")
            for name, reply in self.channel.waiting.items()
        ]
        return [*waiting, ("Next", ".wait() or .refresh()")]


def ask(  # noqa: PLR0913 - each is a wish of its own
    question: Question | Aggregation | Rounds,
    sites: Sequence[RemoteDataset],
    *,
    why: str,
    within: float | None = None,
    epsilon: float | None = None,
    sigmas: Sequence[float] | None = None,
    noise: NoiseKind = "auto",
    colluders: int = 1,
) -> Answer | JointPending | RoundsPending:
    """One question to all sites: integer sums and noise shares under masks, one answer.

    Args:
        question: written against the dataset of any of the sites.
        sites: the datasets; they must have one name and one schema (sizes may differ), and so must joined ones.
        why: what the answer is for; recorded in every owner's log.
        within: half-width at 95 %, all cells jointly, as a fraction of the declared range (means) or of the public
            size of all sites together (counts); 0.05 where nothing else is given.
        epsilon: the wished price at the dearest site instead.
        sigmas: the noise of all sites together instead.
        noise: noise that several sites add up is Gaussian.
        colluders: sites whose noise shares are not counted on.

    Raises:
        PurposeMissing: ``why`` is empty.
        TooFewParties: fewer than two sites.
        UsageError: what is asked is no sum over the sites.
        Refused: a site's rules or budget do not allow it; then no site goes on.
    """
    if isinstance(question, Rounds):
        _are_datasets(sites)
        everywhere = rounds_at(question, sites, colluders=colluders)
        return everywhere.answer(why=why, within=within, epsilon=epsilon, noise=noise)
    whole = question.question() if isinstance(question, Aggregation) else question
    if not isinstance(whole, Question):
        raise UsageError(
            f"a question is built from a dataset's columns; got {type(whole).__name__}.",
            hint="for example stead.ask(heart.age.mean(), sites, ...)",
        )
    asked = JointQuestion(whole, tuple(sites), colluders)
    return asked.answer(why=why, within=within, epsilon=epsilon, sigmas=sigmas, noise=noise)


def rounds_at(question: Rounds, sites: Sequence[RemoteDataset], *, colluders: int = 1) -> Rounds:
    """A question in rounds as one to several sites: to preview it before ``ask``.

    Raises:
        TooFewParties: fewer than two sites.
        UsageError: the sites do not agree on what is asked.
    """
    found = dataclasses.replace(question, through=lambda asked: JointQuestion(asked, tuple(sites), colluders))
    _ = found.asked(question.method.start)
    return found


def _difference(first: Schema, other: Schema) -> str:
    mine, theirs = ({column.name: column for column in schema.columns} for schema in (first, other))
    for name in (*mine, *theirs):
        if name not in mine or name not in theirs:
            return f"column {name!r}, which only one of them has"
        if replace(mine[name], description="", missing_rate=0.0) != replace(
            theirs[name], description="", missing_rate=0.0
        ):
            return f"column {name!r}"
    if [c.name for c in first.columns] != [c.name for c in other.columns]:
        return "the order of the columns"
    for what in ("unit", "person", "rows_per_person"):
        if getattr(first, what) != getattr(other, what):
            return what.replace("_", " ")
    return ""
