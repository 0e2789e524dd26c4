"""What a question costs before it runs: the privacy event, work and traffic. From the plan and public facts alone."""

from __future__ import annotations

import math

import msgspec

from stead.core.schema import Schema
from stead.plans.analysis import Contribution, analyse
from stead.plans.query import And, Compare, Filter, Histogram, IsIn, IsNull, Or, Predicate, Query
from stead.privacy.events import Composed, DiscreteGaussian, PrivacyEvent, SumOfDiscreteGaussians

_CELL_BYTES = 8


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The price of a plan.

    Attributes:
        event: what is done to private rows, for the accountant; ``None`` when the plan states no noise (``disclose``).
        flops: operations, at most.
        size_bytes: bytes read and released, at most.
        rounds: how often something leaves.
    """

    event: PrivacyEvent | None
    flops: int
    size_bytes: int
    rounds: int


def price_query(query: Query, schema: Schema, *, sites: int = 1, colluders: int = 0) -> Price:
    """The price of a question at one site; see ``stead.plans.price.price``."""
    contribution = analyse(query, schema)
    rows_most = schema.people[1] * schema.rows_per_person
    columns = len(_columns_read(query)) + (schema.person is not None)
    return Price(
        event=query_event(query, contribution, sites=sites, colluders=colluders),
        flops=rows_most * _work_per_row(query, contribution),
        size_bytes=_CELL_BYTES * (rows_most * columns + contribution.size),
        rounds=1,
    )


def query_event(query: Query, contribution: Contribution, *, sites: int = 1, colluders: int = 0) -> PrivacyEvent:
    """What releasing ``query`` does: for each part, discrete Gaussian noise on integers that one person moves by l2.

    At one site the part's whole sigma is drawn there. Over several sites each adds a share of variance
    ``sigma^2 / (sites - colluders)``, and as many shares as are counted hide one person.
    """
    events: list[PrivacyEvent] = []
    shares = sites - colluders
    for part, l2, sigma in zip(contribution.parts, contribution.l2, query.sigmas, strict=True):
        if sites == 1:
            events.append(DiscreteGaussian(sigma=sigma, sensitivity=float(l2)))
        else:
            share = sigma / math.sqrt(shares)
            events.append(SumOfDiscreteGaussians(sigma_share=share, shares=shares, l2=float(l2), dimension=part.size))
    return Composed(events=tuple(events))


def _work_per_row(query: Query, contribution: Contribution) -> int:
    work = 1 + 2 * len(query.group_by)
    for step in query.steps:
        work += _nodes(step.where) if isinstance(step, Filter) else 2
    for aggregate in query.aggregates:
        edges = len(aggregate.edges) if isinstance(aggregate, Histogram) else 0
        work += 1 + edges.bit_length()
    return work + 4 * len(contribution.parts)


def _nodes(predicate: Predicate) -> int:
    if isinstance(predicate, And | Or):
        return 1 + sum(_nodes(part) for part in predicate.parts)
    if isinstance(predicate, IsIn):
        return 1 + len(predicate.values)
    return 1 if isinstance(predicate, Compare | IsNull) else 1 + _nodes(predicate.part)


def columns_named(predicate: Predicate) -> set[str]:
    """The columns that a condition reads."""
    if isinstance(predicate, And | Or):
        return set().union(*(columns_named(part) for part in predicate.parts))
    if isinstance(predicate, Compare | IsIn | IsNull):
        return {predicate.column}
    return columns_named(predicate.part)


def _columns_read(query: Query) -> set[str]:
    read = set(query.group_by) | {a.column for a in query.aggregates if a.column is not None}
    for step in query.steps:
        if isinstance(step, Filter):
            read |= columns_named(step.where)
    return read
