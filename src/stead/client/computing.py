"""``compute``: one question about the rows of several owners, computed on shares by three steads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from stead.client import render
from stead.client.affordable import saying_what_fits
from stead.client.answer import Answer
from stead.client.dataset import RemoteDataset
from stead.client.expressions import Aggregation
from stead.client.joint import joined_schema_of, one_schema, refuse_denied
from stead.client.preview import Preview
from stead.client.question import RELEASE_BYTES, WITHIN, Question, require_purpose
from stead.client.relay import TIMEOUT_S, Relay, carry_over
from stead.client.sessions import SessionTerms, SitesChannel
from stead.client.site import Site
from stead.client.stead import Stead
from stead.core import messages
from stead.core.leaves import Outlet
from stead.core.schema import Schema
from stead.errors import PartyTimedOut, SteadError, TooFewParties, UsageError
from stead.plans.bars import error_bars, sigmas_for
from stead.plans.decode import decode_answer
from stead.plans.joint import (
    PARTIES,
    SECURITY,
    Integers,
    Joint,
    JointParty,
    check_joint,
    decode_disclosed,
    describe_joint,
    layout,
    recombine,
    rounding,
)
from stead.plans.joint_frames import session_digest
from stead.plans.plan import encode_plan, plan_hash

_FAREWELL_S: Final = 10.0


@dataclass(frozen=True, eq=False)
class Computation:
    """A question, its owners and who helps; nothing is sent before ``preview`` or ``start``.

    Attributes:
        question: written against one of the owners' datasets.
        owners: the datasets; two, or three.
        helper: the third party where there are two owners; it holds shares and enters nothing.
        disclose: open the exact result, without differential privacy.
        colluders: owners whose noise shares are not counted on; not looked at with ``disclose``.
    """

    question: Question
    owners: tuple[RemoteDataset, ...]
    helper: Stead | None = None
    disclose: bool = False
    colluders: int = 1

    def __post_init__(self) -> None:
        count = len(self.owners) + (self.helper is not None)
        if len(self.owners) < 2 or count != PARTIES:
            raise TooFewParties(
                f"a computation on shares has {PARTIES} parties; these are {len(self.owners)} owners and "
                f"{count - len(self.owners)} helpers.",
                hint="two owners and a helper (helper=stead.connect(...)), or three owners; more: stead.ask(...)",
            )
        one_schema(self.owners)
        names = [site.name for site in self.sites]
        if len(set(names)) != len(names):
            raise UsageError(f"a party stands there twice: {', '.join(names)}.")
        if self.question.source.name != self.owners[0].name:
            raise UsageError(
                f"the question is about {self.question.source.name!r}, the datasets are {self.owners[0].name!r}."
            )

    @property
    def schema(self) -> Schema:
        """The schema of the rows that are read, which all owners share."""
        return joined_schema_of(self.question.plan(), self.owners)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The parties, in the order of their places."""
        owners = tuple(dataset.source.site for dataset in self.owners)
        return owners if self.helper is None else (*owners, self.helper.site)

    @property
    def title(self) -> str:
        """``heart · North, South · helped by East``."""
        names = ", ".join(dataset.source.site.name for dataset in self.owners)
        return f"{self.owners[0].name} · {names}" + (f" · helped by {self.helper.name}" if self.helper else "")

    def plan(self, within: float = WITHIN) -> Joint:
        """The plan that travels.

        Raises:
            UsageError: the question cannot be asked, or no noise is small enough.
        """
        bare, schema, sites = self.question.plan(), self.schema, self.sites
        opening: Literal["answer", "disclose"] = "disclose" if self.disclose else "answer"
        query = bare
        if not self.disclose:
            noise = {"sites": len(self.owners), "colluders": self.colluders, "people": self._people}
            query = self.question.plan(sigmas_for(bare, schema, within, **noise))
        joint = Joint(
            query=query,
            layout=layout(query, schema, opening),
            parties=tuple(
                JointParty(site.name, site.node_key, place < len(self.owners)) for place, site in enumerate(sites)
            ),
            receiver=sites[0].scientist.key.public.raw,
            opening=opening,
            colluders=0 if self.disclose else self.colluders,
        )
        check_joint(joint)
        return joint

    def explain(self, *, within: float = WITHIN) -> str:
        """The plan in words, as an owner reads it."""
        return describe_joint(self.plan(within), self.schema)

    def preview(self, *, within: float = WITHIN) -> Preview:
        """Error bars, each party's price and decision, and whom one has to trust. Spends nothing."""
        joint = self.plan(within)
        found = self._quotes(encode_plan(joint))
        size_bytes = sum(quote.size_bytes for name, quote in found.items() if name in self._helpers)
        rounds = max(quote.rounds for quote in found.values())
        notes = [("Trust", SECURITY), ("Work", f"{rounds:,} rounds, {render.size(size_bytes)} sent by who helps")]
        if not self._helpers:
            notes[1] = ("Work", f"{rounds:,} rounds")
        if self.disclose:
            notes.append(("NOT PRIVATE", "the exact result is opened, without noise; each owner logs a disclosure"))
        return Preview(self.title, self.bars(joint), found, joint.query.sigmas, tuple(notes))

    def bars(self, joint: Joint, answer: Integers | None = None) -> dict[str, np.ndarray]:
        """Half-widths of the noise over all owners together; of rounding alone for a disclosure."""
        if self.disclose:
            return rounding(joint, self.schema)
        return error_bars(
            joint.query,
            self.schema,
            sites=len(self.owners),
            colluders=self.colluders,
            people=self._people,
            answer=answer,
        )

    def start(self, *, why: str, within: float = WITHIN, timeout_s: float = TIMEOUT_S) -> Answer | ComputePending:
        """Ask all parties, then compute: one ``Answer``, or a ``ComputePending`` while an owner decides.

        Raises:
            PurposeMissing: ``why`` is empty.
            Refused: a party's rules or budget do not allow it; then nothing is computed.
            PartyError: a party is gone or silent; names it.
            Untrusted: a party has left the protocol; names it.
        """
        require_purpose(why)
        joint = self.plan(within)
        encoded = encode_plan(joint)
        found = self._quotes(encoded)
        refuse_denied(found)
        outlet: Literal["join", "disclose"] = "disclose" if self.disclose else "join"
        terms = SessionTerms(self.sites[0].scientist.entropy.take(RELEASE_BYTES), encoded, outlet, why)
        asking = {name for name, quote in found.items() if quote.decision == "ask"}
        channel = SitesChannel(self.sites, terms, b"", ask_first=asking, helpers=self._helpers)
        rounds = max(quote.rounds for quote in found.values())
        pending = ComputePending(self, joint, terms, channel, rounds, timeout_s)
        with saying_what_fits(lambda wider: self.preview(within=wider), None if self.disclose else within):
            return pending.refresh()

    @property
    def _helpers(self) -> frozenset[str]:
        return frozenset() if self.helper is None else frozenset([self.helper.site.name])

    @property
    def _people(self) -> int:
        return sum(dataset.schema.people[0] for dataset in self.owners)

    def _quotes(self, plan: bytes) -> dict[str, messages.Quote]:
        """Every party's quote; nothing is spent."""
        found = {}
        for site in self.sites:
            outlet: Outlet = "disclose" if self.disclose and site.name not in self._helpers else "join"
            message = messages.Preview(
                project=site.project, plan=plan, outlet=outlet, sites=len(self.owners), colluders=self.colluders
            )
            found[site.name] = site.ask(message, messages.Quote)
        return found


@dataclass(frozen=True, eq=False)
class ComputePending:
    """A computation that waits for a person at one or more of its parties.

    Attributes:
        asked: what was asked, of whom.
        joint: the plan.
        terms: what each party was asked.
        channel: the session.
        rounds: of the computation.
        timeout_s: for one step of one party.
    """

    asked: Computation
    joint: Joint
    terms: SessionTerms
    channel: SitesChannel = field(repr=False)
    rounds: int
    timeout_s: float

    @property
    def waiting(self) -> tuple[str, ...]:
        """The parties that have not decided."""
        return tuple(self.channel.waiting)

    def refresh(self) -> Answer | ComputePending:
        """Ask again: the answer if all take part now, else this.

        Raises:
            Refused: a party denied it; then nothing is computed.
        """
        return self._finish() if not self.channel.prepare() else self

    def wait(self, timeout_s: float = 86_400.0, *, pause_s: float = 2.0) -> Answer:
        """Wait for the decisions.

        Raises:
            PartyTimedOut: not all have decided in that time; the question stays open.
            Refused: a party denied it.
        """
        if not self.channel.wait(timeout_s, pause_s=pause_s):
            raise PartyTimedOut(
                f"{', '.join(self.waiting)} has not decided within {timeout_s:g} s.", hint=".wait() again"
            )
        return self._finish()

    def _finish(self) -> Answer:
        asked, joint = self.asked, self.joint
        sites = {site.name: site for site in asked.sites}
        session = session_digest(self.terms.release, plan_hash(self.terms.plan))
        carry = carry_over(sites, self.terms.release)
        relay = Relay(joint, session, carry, rounds=self.rounds, timeout_s=self.timeout_s)
        hellos = self.channel.hellos
        try:
            sent = relay.run([hellos[site.name] for site in asked.sites])
            opened = recombine(sent, joint.names)
        except BaseException as error:
            reason = f"{type(error).code()}: {error.what}" if isinstance(error, SteadError) else "its relay stopped"
            self._farewell(reason)
            raise
        self._farewell("")
        for doubt in self.channel.doubts:
            raise doubt
        for dataset in asked.owners:
            dataset.source.site.refresh_if_reachable()
        decode = decode_disclosed(joint, asked.schema, opened) if asked.disclose else None
        return Answer(
            title=asked.title,
            query=joint.query,
            schema=asked.schema,
            values=decode_answer(joint.query, asked.schema, opened) if decode is None else decode,
            errors=asked.bars(joint, opened),
            receipts=self.channel.receipts,
            size_bytes=self.channel.size_bytes + relay.size_bytes,
            disclosed=asked.disclose,
        )

    def _farewell(self, reason: str) -> None:
        """Tell the parties how it ended; one that is silent is not waited for."""
        telling = threading.Thread(target=self.channel.close, args=(reason,), daemon=True, name="stead-farewell")
        telling.start()
        telling.join(_FAREWELL_S)

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


def computation(
    question: Question | Aggregation,
    owners: Sequence[RemoteDataset],
    *,
    helper: Stead | None = None,
    disclose: bool = False,
    colluders: int = 1,
) -> Computation:
    """A question to be computed on shares; ``.preview()`` it, ``.explain()`` it, ``.start(why=...)`` it.

    Raises:
        TooFewParties: not three parties.
        UsageError: no question, or owners whose datasets differ.
    """
    whole = question.question() if isinstance(question, Aggregation) else question
    if not isinstance(whole, Question):
        raise UsageError(
            f"a question is built from a dataset's columns; got {type(whole).__name__}.",
            hint="for example stead.compute(heart.age.mean(), owners, helper=east, ...)",
        )
    if helper is not None and not isinstance(helper, Stead):
        raise UsageError(f"the helper is a stead, as stead.connect(...) returns it; got {type(helper).__name__}.")
    return Computation(whole, tuple(owners), helper, disclose, colluders)


def compute(  # noqa: PLR0913 - a question, who takes part, and how its result leaves
    question: Question | Aggregation,
    owners: Sequence[RemoteDataset],
    *,
    why: str,
    helper: Stead | None = None,
    within: float = WITHIN,
    disclose: bool = False,
    colluders: int = 1,
) -> Answer | ComputePending:
    """One question about the rows of two or three owners, computed on shares; no party sees another's numbers.

    Args:
        question: written against the dataset of any of the owners.
        owners: the datasets; they must have one name and one schema (sizes may differ).
        why: what the answer is for; recorded in every party's log.
        helper: with two owners, the stead that is the third party; it enters nothing.
        within: half-width at 95 %, as in ``stead.ask``; not looked at with ``disclose``.
        disclose: open the exact result instead, without differential privacy, where all owners' policies allow that.
            Of a mean only the quotient is opened.
        colluders: owners whose noise shares are not counted on.

    Raises:
        PurposeMissing: ``why`` is empty.
        TooFewParties: not three parties.
        Refused: a party's rules or budget do not allow it; then nothing is computed.
    """
    found = computation(question, owners, helper=helper, disclose=disclose, colluders=colluders)
    return found.start(why=why, within=within)
