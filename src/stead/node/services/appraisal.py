"""What a request is, what it costs and what the owner's rules say to it: all before any row is touched.

Nothing here can reach rows: an ``Appraiser`` is made from the books, the public cards and the language of plans.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stead.core.leaves import Outlet
from stead.core.messages import Preview, Quote
from stead.core.schema import DatasetCard, Schema
from stead.errors import PolicyDenied, TooExpensive, UsageError
from stead.learn.header import Header, admit
from stead.node.services.accounts import trio
from stead.node.services.books import Books
from stead.node.services.ledger import Bill
from stead.node.services.policy import Decision, Facts
from stead.node.services.releases import Claim
from stead.plans.price import Price
from stead.plans.query import Query
from stead.plans.training import Training
from stead.privacy.events import PrivacyEvent

_PREVIEW = bytes(16)

RunnablePlan = Query | Training


class Pricing(Protocol):
    """``plans.price.price``."""

    def __call__(self, plan: RunnablePlan, schema: Schema, *, sites: int = 1, colluders: int = 0) -> Price:
        """The price of a plan at one site, from public facts."""
        ...


@dataclass(frozen=True)
class Language:
    """What the gate needs to know of plans.

    Attributes:
        decode: canonical bytes to a checked plan; raises what is wrong with it.
        hash: of a plan's bytes.
        price: of a plan.
        sizes: how many integers each part of a query's answer holds, in the order of its sigmas.
        check_session: raises unless a header's rounds, vector and model are those of its plan.
    """

    decode: Callable[[bytes], object]
    hash: Callable[[bytes], bytes]
    price: Pricing
    sizes: Callable[[Query, Schema], tuple[int, ...]]
    check_session: Callable[[Header, RunnablePlan, Schema], None] = lambda *_: None


def language() -> Language:
    """The language of ``stead.plans``."""
    from stead.learn.site import check_question, check_training
    from stead.plans.analysis import parts
    from stead.plans.plan import decode_plan, plan_hash
    from stead.plans.price import price

    def sizes(query: Query, schema: Schema) -> tuple[int, ...]:
        return tuple(part.size for part in parts(query, schema))

    def check_session(header: Header, plan: RunnablePlan, schema: Schema) -> None:
        if isinstance(plan, Query):
            check_question(header, length=sum(sizes(plan, schema)))
        else:
            check_training(header, plan)

    return Language(
        decode=decode_plan,
        hash=plan_hash,
        price=price,
        sizes=sizes,
        check_session=check_session,
    )


@dataclass(frozen=True)
class Appraisal:
    """A claim, understood. ``header`` belongs to sessions."""

    claim: Claim
    plan: RunnablePlan
    plan_hash: bytes
    card: DatasetCard
    price: Price
    facts: Facts
    decision: Decision
    bill: Bill
    header: Header | None

    def require_not_denied(self) -> None:
        """Raise when the policy's word is ``deny``."""
        if self.decision.decision == "deny":
            kind = TooExpensive if self.decision.expensive else PolicyDenied
            raise kind(f"{self.decision.reason}.", hint="stead: the dataset's rules say what is possible")


class Appraiser:
    """Appraises claims and previews.

    Args:
        books: the node's records.
        language: of plans.
        card: the public card of a dataset by name; raises ``UsageError`` for a name that is not there.
    """

    def __init__(self, books: Books, language: Language, *, card: Callable[[str], DatasetCard]) -> None:
        self._books = books
        self._language = language
        self._card = card

    def hash(self, plan: bytes) -> bytes:
        """The hash under which a plan stands in the log."""
        return self._language.hash(plan)

    def appraise(self, claim: Claim) -> Appraisal:
        """Everything about a claim that its decision depends on.

        Raises:
            PolicyDenied: the requester is not enrolled in the project.
            UsageError: the plan cannot be run, bounded or priced, or not through this outlet.
            Untrusted: the plan or header is not what it says, or names a site that is not enrolled.
        """
        scientist = self._books.people.scientist(claim.requester, claim.project)
        plan = self._plan(claim.plan)
        hashed = self._language.hash(claim.plan)
        header = None
        if claim.outlet == "answer":
            if not isinstance(plan, Query):
                raise UsageError("one site answers queries; a training is joined.")
        else:
            header = self._header(claim, hashed)
        sites, colluders = (1, 0) if header is None else (len(header.cohort), header.colluders)
        return self._appraise(claim, plan, scientist=scientist, cohort=(sites, colluders), header=header)

    def quote(self, caller: bytes, preview: Preview) -> Quote:
        """What a plan would cost, and the word of the policy. Spends nothing, logs nothing.

        Raises:
            PolicyDenied: the caller is not enrolled in the project.
            UsageError: the plan cannot be run, bounded or priced.
        """
        scientist = self._books.people.scientist(caller, preview.project)
        plan = self._plan(preview.plan)
        claim = Claim(_PREVIEW, caller, preview.project, preview.outlet, preview.plan, "preview")
        found = self._appraise(claim, plan, scientist=scientist, cohort=(preview.sites, preview.colluders), header=None)
        before, after = self._books.ledger.quote(found.bill)
        return Quote(
            epsilon=found.facts.epsilon,
            delta=self._books.ledger.alone(found.bill)[1],
            accounts=before,
            accounts_after=after,
            decision=found.decision.decision,
            reason=found.decision.reason,
            approvers=found.decision.approvers,
            flops=found.price.flops,
            size_bytes=found.price.size_bytes,
            rounds=found.price.rounds,
        )

    def _plan(self, data: bytes) -> RunnablePlan:
        plan = self._language.decode(data)
        if not isinstance(plan, Query | Training):
            raise UsageError(f"a node runs queries and trainings, not a {type(plan).__name__} alone.")
        return plan

    def _header(self, claim: Claim, plan_hash: bytes) -> Header:
        own, people = self._books.identity.public, self._books.people
        header = admit(
            claim.header,
            own_key=own,
            release=claim.release,
            plan_hash=plan_hash,
            outlet=claim.outlet,
            enrolled=people.is_site,
        )
        peers = [people.site(key) for _, key in header.cohort if key != own]
        for name in peers:
            if peers.count(name) > 1:
                raise PolicyDenied(
                    f"two keys of the cohort are enrolled here as one site, {name!r}.",
                    hint="a site takes part once: its owner's colluders are counted in sites",
                )
        return header

    def _appraise(
        self, claim: Claim, plan: RunnablePlan, *, scientist: str, cohort: tuple[int, int], header: Header | None
    ) -> Appraisal:
        policy = self._books.policies.current()
        card = self._card(plan.dataset)
        sites, colluders = cohort
        price = self._language.price(plan, card.schema, sites=sites, colluders=colluders)
        if header is not None:
            _check_header(header, plan, price)
            self._language.check_session(header, plan, card.schema)
        population = card.schema.population
        bill = Bill(
            release=claim.release,
            event=_event(claim.outlet, price),
            accounts=trio(population, project=claim.project, scientist=scientist),
            limits=policy.rules.budgets.limits,
            what="query" if isinstance(plan, Query) else "training",
        )
        facts = Facts(
            outlet=claim.outlet,
            dataset=card.name,
            project=claim.project,
            plan="query" if isinstance(plan, Query) else "training",
            epsilon=self._books.ledger.alone(bill)[0],
            flops=price.flops,
            size_bytes=price.size_bytes,
            rounds=price.rounds,
            sites=sites,
            colluders=colluders,
        )
        return Appraisal(
            claim=claim,
            plan=plan,
            plan_hash=self._language.hash(claim.plan),
            card=card,
            price=price,
            facts=facts,
            decision=policy.decide(facts),
            bill=bill,
            header=header,
        )


def _event(outlet: Outlet, price: Price) -> PrivacyEvent | None:
    """What is charged: nothing for a disclosure, which is counted; anything else must have a price."""
    if outlet == "disclose":
        return None
    if price.event is None:
        raise UsageError(
            "this plan states no noise, so it has no price.", hint="give it noise, or ask for it through disclose"
        )
    return price.event


def _check_header(header: Header, plan: RunnablePlan, price: Price) -> None:
    """Raise unless the session is the one that the plan was priced for."""
    if header.rounds > price.rounds:
        raise UsageError(f"the session has {header.rounds} rounds; its plan was priced for {price.rounds}.")
    if isinstance(plan, Training):
        if plan.ring_bits != header.ring_bits:
            raise UsageError(f"the plan counts in {plan.ring_bits} bits, the session in {header.ring_bits}.")
        stated = plan.privacy
        if stated is not None and (stated.sites, stated.colluders) != (len(header.cohort), header.colluders):
            raise UsageError(
                f"the plan's noise is for {stated.sites} sites with {stated.colluders} colluders; the session has "
                f"{len(header.cohort)} with {header.colluders}."
            )
