"""``TableRunner``: the one module that touches private rows, when the gate says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from stead.core.schema import DatasetCard
from stead.errors import UsageError
from stead.learn.gradients import Examples
from stead.learn.pipeline import NoiseShare
from stead.learn.secure_sum import Seat
from stead.learn.site import QuerySite, TrainingSite
from stead.node.services.appraisal import Appraisal
from stead.node.services.books import Books
from stead.node.services.joint_site import JointSeat, JointSite, JointTerms
from stead.node.services.registry import Registry
from stead.node.services.session import Participant
from stead.node.services.tables import Table
from stead.plans.analysis import parts
from stead.plans.engine import Engine
from stead.plans.exact import Exact
from stead.plans.features import encode_rows
from stead.plans.joining import joined_card
from stead.plans.joint_frames import session_digest
from stead.plans.query import Query
from stead.plans.training import Training


@final
class TableRunner:
    """Runs plans on the tables of a registry (``gate.Runner``).

    Args:
        books: for the node's key and randomness.
        registry: the way to the rows.
        engine: makes the engine of a training; called when the first one starts.
    """

    def __init__(self, books: Books, registry: Registry, *, engine: Callable[[], Engine]) -> None:
        self._books = books
        self._registry = registry
        self._engine = engine

    def run(self, query: Query, card: DatasetCard) -> Exact:
        """The exact integers of a query, without noise.

        Raises:
            UsageError: the dataset has another card by now.
        """
        return self._run(query, card)

    def participate(self, appraisal: Appraisal) -> Participant:
        """This site's side of a session.

        Raises:
            UsageError: the appraisal is not one of a session.
        """
        if appraisal.terms is not None:
            return self._party(appraisal, appraisal.terms)
        if appraisal.header is None:
            raise UsageError("a session has a header.")
        seat = Seat(header=appraisal.header, key=self._books.identity.key, entropy=self._books.entropy)
        plan, card = appraisal.plan, appraisal.own_card
        if isinstance(plan, Query):
            sizes = tuple(part.size for part in parts(plan, card.schema))
            exact = self._run(plan, card).vector
            return QuerySite(seat, exact, sigmas=plan.sigmas, lengths=sizes)
        if not isinstance(plan, Training):
            raise UsageError("a session with a header is of a question or a training.")
        return TrainingSite(
            seat,
            plan,
            engine=self._engine(),
            examples=self._examples(plan, card),
            rows_at_most=card.schema.people[1] * card.schema.rows_per_person,
        )

    def _party(self, appraisal: Appraisal, terms: JointTerms) -> JointSite:
        """This node as a party of a joint computation; an owner's integers get its share of the noise first."""
        identity, entropy = self._books.identity.key, self._books.entropy
        session = session_digest(appraisal.claim.release, appraisal.plan_hash)
        seat = JointSeat(terms, session, identity, entropy)
        if not terms.owner:
            return JointSite(seat, None)
        joint, card = terms.joint, appraisal.own_card
        exact = self._run(joint.query, card).vector
        if joint.opening == "disclose":
            return JointSite(seat, exact)
        noise = NoiseShare(
            sigmas=joint.query.sigmas,
            lengths=tuple(part.size for part in parts(joint.query, card.schema)),
            sites=len(joint.owners),
            colluders=joint.colluders,
        )
        return JointSite(seat, noise.add(exact, entropy))

    def _run(self, query: Query, card: DatasetCard) -> Exact:
        """The exact integers of rows that stand under the very card that the plan was priced by."""
        if not query.joins:
            return self._table(card).run(query)
        own = self._registry.card(query.dataset)
        if joined_card(query, own, self._registry.card) != card:
            raise UsageError(f"a dataset of the join {query.dataset!r} was replaced after this was priced.")
        with self._registry.joined(query.dataset, [join.dataset for join in query.joins]) as tables:
            return tables.run(query)

    def _table(self, card: DatasetCard) -> Table:
        """The rows, if they stand under the very card that the plan was priced by."""
        table = self._registry.table(card.name)
        if table.card != card:
            raise UsageError(f"dataset {card.name!r} was replaced after this was priced.")
        return table

    def _examples(self, training: Training, card: DatasetCard) -> Examples:
        encoding = training.encoding
        names = dict.fromkeys([*(feature.column for feature in encoding.features), encoding.target])
        rows = self._table(card).columns(list(names))
        x, y = encode_rows(encoding, card.schema, rows.columns)
        return Examples(x=x, y=y, person=rows.person)
