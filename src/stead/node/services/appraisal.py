"""What a request is, what it costs and what the owner's rules say to it: all before any row is touched.

Nothing here can reach rows: an ``Appraiser`` is made from the books, the public cards and the language of plans.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from stead.core.entropy import Entropy
from stead.core.leaves import Outlet
from stead.core.messages import Preview, Quote
from stead.core.schema import DatasetCard, Schema
from stead.errors import BadSignature, PolicyDenied, TooExpensive, UsageError
from stead.learn.header import Header, admit
from stead.node.services.books import Books
from stead.node.services.joint_site import JointTerms
from stead.node.services.joint_work import joint_cost
from stead.node.services.ledger import Bill
from stead.node.services.payers import Limits, Payers, payers
from stead.node.services.policy import Decision, Facts, Policy
from stead.node.services.releases import Claim
from stead.node.services.session import Allowance, sum_allowance
from stead.plans.analysis import parts
from stead.plans.exact import Exact, Sampler
from stead.plans.joining import joined_card
from stead.plans.joint import Joint, layout
from stead.plans.partition import cells
from stead.plans.price import Price
from stead.plans.query import Query
from stead.plans.query_price import price_query, require_additive
from stead.plans.training import Training
from stead.privacy.events import PrivacyEvent

_PREVIEW = bytes(16)

RunnablePlan = Query | Training
AppraisedPlan = RunnablePlan | Joint


class Pricing(Protocol):
    """``plans.price.price``."""

    def __call__(self, plan: RunnablePlan, schema: Schema, *, sites: int = 1, colluders: int = 0) -> Price:
        """The price of a plan at one site, from public facts."""
        ...


def price_joint(terms: JointTerms, schema: Schema | None) -> Price:
    """The price of a joint computation at one of its parties, with the schema of its rows if it is an owner.

    Raises:
        UsageError: the plan cannot be bounded, or its layout is not the one that this owner's schema gives.
    """
    joint, cost = terms.joint, terms.cost
    sent_bytes, rounds = cost.sent[terms.place], cost.rounds
    # A byte on the wire stands for a few operations: masks, comparisons, sums.
    flops = 8 * cost.total_bytes
    if schema is None:
        return Price(event=None, flops=flops, size_bytes=sent_bytes, rounds=rounds)
    if layout(joint.query, schema, joint.opening) != joint.layout:
        raise UsageError(
            "the plan's layout is not that of this owner's schema.",
            hint="owners must declare the same columns, bounds and rows per person",
        )
    bare = joint.opening == "disclose"
    # The work of a disclosure is that of the same question with any noise.
    noise = (1.0,) * len(parts(joint.query, schema)) if bare else joint.query.sigmas
    asked = msgspec.structs.replace(joint.query, sigmas=noise)
    rows = price_query(asked, schema, sites=len(joint.owners), colluders=joint.colluders)
    return Price(
        event=None if bare else rows.event,
        flops=rows.flops + flops,
        size_bytes=rows.size_bytes + sent_bytes,
        rounds=rounds,
    )


@dataclass(frozen=True)
class Language:
    """What the gate needs to know of plans.

    Attributes:
        decode: canonical bytes to a checked plan; raises what is wrong with it.
        hash: of a plan's bytes.
        price: of a plan.
        release: a query's exact integers to the bytes that are released, with fresh noise.
        check_session: raises unless a header's rounds, vector and model are those of its plan.
        price_joint: of a joint computation at one of its parties, with its schema if it is an owner.
    """

    decode: Callable[[bytes], object]
    hash: Callable[[bytes], bytes]
    price: Pricing
    release: Callable[[Query, Schema, Exact, Entropy], bytes]
    check_session: Callable[[Header, RunnablePlan, Schema], None] = lambda *_: None
    price_joint: Callable[[JointTerms, Schema | None], Price] = price_joint


def language(sampler: Sampler | None = None) -> Language:
    """The language of ``stead.plans``; ``sampler`` draws the noise of answers in place of our own mechanisms."""
    from stead.learn.site import check_question, check_training
    from stead.plans.exact import release
    from stead.plans.plan import decode_plan, plan_hash
    from stead.plans.price import price

    def check_session(header: Header, plan: RunnablePlan, schema: Schema) -> None:
        if isinstance(plan, Query):
            check_question(header, length=sum(part.size for part in parts(plan, schema)))
        else:
            check_training(header, plan)

    return Language(
        decode=decode_plan,
        hash=plan_hash,
        price=price,
        release=functools.partial(release, sampler=sampler),
        check_session=check_session,
    )


@dataclass(frozen=True)
class Appraisal:
    """A claim, understood.

    ``header`` belongs to sessions of sums, ``terms`` to joint computations. A node that helps one has
    no ``card`` and no ``bill``: it enters nothing, so there is nobody whom it could be charged to.
    """

    claim: Claim
    plan: AppraisedPlan
    plan_hash: bytes
    card: DatasetCard | None
    price: Price
    facts: Facts
    decision: Decision
    bill: Bill | None
    header: Header | None
    terms: JointTerms | None = None

    @property
    def own_card(self) -> DatasetCard:
        """The card of the dataset that this is about.

        Raises:
            UsageError: it is about none of this node's.
        """
        if self.card is None:
            raise UsageError("this node takes part without data of its own.")
        return self.card

    @property
    def dataset(self) -> str:
        """The dataset's name; empty for a node that helps."""
        return "" if self.card is None else self.card.name

    @property
    def allowance(self) -> Allowance:
        """What a session of this lets pass.

        Raises:
            UsageError: it is no session.
        """
        if self.terms is not None:
            return self.terms.allowance
        if self.header is None:
            raise UsageError("a session has a header.")
        return sum_allowance(self.header)

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
        if isinstance(plan, Joint):
            return self._joint(claim, plan, scientist=scientist)
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
        if isinstance(plan, Joint):
            found = self._joint(claim, plan, scientist=scientist)
        else:
            cohort = (preview.sites, preview.colluders)
            found = self._appraise(claim, plan, scientist=scientist, cohort=cohort, header=None)
        ledger, bill = self._books.ledger, found.bill
        before, after = ledger.quote(bill) if bill is not None else ((), ())
        return Quote(
            epsilon=found.facts.epsilon,
            delta=ledger.alone(bill)[1] if bill is not None else 0.0,
            accounts=before,
            accounts_after=after,
            decision=found.decision.decision,
            reason=found.decision.reason,
            approvers=found.decision.approvers,
            flops=found.price.flops,
            size_bytes=found.price.size_bytes,
            rounds=found.price.rounds,
        )

    def _joint(self, claim: Claim, joint: Joint, *, scientist: str) -> Appraisal:
        """A joint computation, as this node takes part in it."""
        own = self._books.identity.public
        if joint.receiver != claim.requester:
            raise PolicyDenied("the plan opens its result to somebody else than its requester.")
        terms = JointTerms(joint, joint.place_of(own), joint_cost(joint))
        outlet: Outlet = "disclose" if joint.opening == "disclose" and terms.owner else "join"
        if claim.outlet != outlet or claim.header:
            raise UsageError(f"here this computation goes through the outlet {outlet!r}, without a header.")
        for party in joint.parties:
            if party.key != own and not self._books.people.is_site(party.key):
                raise BadSignature(
                    f"the plan names a party {party.name!r} whose key is not enrolled here.",
                    hint="the owner enrols the peer's key first, having compared fingerprints: stead peers add",
                )
        self._require_distinct(party.key for party in joint.parties)
        policy = self._books.policies.current()
        card = joined_card(joint.query, self._card(joint.dataset), self._card) if terms.owner else None
        price = self._language.price_joint(terms, card.schema if card else None)
        bill = None
        if card is not None:
            bill = Bill(
                release=claim.release,
                event=_event(outlet, price),
                accounts=self._payers(card, policy.rules.budgets.limits, claim, scientist=scientist),
                limits=policy.rules.budgets.limits,
                what="joint computation",
            )
        facts = Facts(
            outlet=outlet,
            dataset=card.name if card else "",
            project=claim.project,
            plan="joint",
            epsilon=self._books.ledger.alone(bill)[0] if bill else 0.0,
            flops=price.flops,
            size_bytes=price.size_bytes,
            rounds=price.rounds,
            sites=len(joint.owners),
            colluders=joint.colluders,
            helping=not terms.owner,
        )
        hashed, decision = self._language.hash(claim.plan), _strictest(policy, facts, joint.query)
        return Appraisal(claim, joint, hashed, card, price, facts, decision, bill, None, terms)

    def _payers(
        self, card: DatasetCard, limits: Limits, claim: Claim, *, scientist: str, plan: RunnablePlan | None = None
    ) -> Payers:
        """The accounts that pay: of a query those of the cells that it can read, of any other plan those of all."""
        touched = cells(plan, card.schema) if isinstance(plan, Query) else None
        now = self._books.log.now()
        return payers(card.schema, limits, project=claim.project, scientist=scientist, at=now, cells=touched or ())

    def _require_distinct(self, keys: Iterable[bytes]) -> None:
        """Raise if two of these keys are enrolled as one site: it takes part once."""
        peers = [self._books.people.site(key) for key in keys if key != self._books.identity.public]
        for name in peers:
            if peers.count(name) > 1:
                raise PolicyDenied(
                    f"two keys of the cohort are enrolled here as one site, {name!r}.",
                    hint="a site takes part once: its owner's colluders are counted in sites",
                )

    def _plan(self, data: bytes) -> AppraisedPlan:
        plan = self._language.decode(data)
        if not isinstance(plan, Query | Training | Joint):
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
        self._require_distinct(key for _, key in header.cohort)
        return header

    def _appraise(
        self, claim: Claim, plan: RunnablePlan, *, scientist: str, cohort: tuple[int, int], header: Header | None
    ) -> Appraisal:
        policy = self._books.policies.current()
        card = self._card(plan.dataset)
        if isinstance(plan, Query):
            card = joined_card(plan, card, self._card)
            if claim.outlet != "answer":
                require_additive(plan)  # whatever the number of sites: a session carries sums with Gaussian noise alone
        sites, colluders = cohort
        price = self._language.price(plan, card.schema, sites=sites, colluders=colluders)
        if header is not None:
            _check_header(header, plan, price)
            self._language.check_session(header, plan, card.schema)
        limits = policy.rules.budgets.limits
        bill = Bill(
            release=claim.release,
            event=_event(claim.outlet, price),
            accounts=self._payers(card, limits, claim, scientist=scientist, plan=plan),
            limits=limits,
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
            decision=_strictest(policy, facts, plan),
            bill=bill,
            header=header,
        )


def _strictest(policy: Policy, facts: Facts, plan: AppraisedPlan) -> Decision:
    """The policy's word; for a question on several datasets the strictest of its words on each of them."""
    names = (join.dataset for join in plan.joins) if isinstance(plan, Query) else ()
    every = [facts, *(msgspec.structs.replace(facts, dataset=name) for name in names)]
    order = ("allow", "ask", "deny")
    return max((policy.decide(each) for each in every), key=lambda decision: order.index(decision.decision))


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
