"""What a question costs before it runs: the privacy event, work and traffic. From the plan and public facts alone."""

from __future__ import annotations

import math

import msgspec

from stead.core.schema import Schema
from stead.errors import UsageError
from stead.plans.analysis import Contribution, analyse
from stead.plans.layout import Part
from stead.plans.query import Derive, Distinct, Filter, LogisticScore, Query
from stead.plans.reads import columns_named, values_named, work_of, work_of_value
from stead.privacy.events import (
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    PrivacyEvent,
    SumOfDiscreteGaussians,
    ThresholdedGaussian,
    ThresholdedLaplace,
)

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
    columns = len(columns_read(query)) + (schema.person is not None)
    return Price(
        event=query_event(query, contribution, sites=sites, colluders=colluders),
        flops=rows_most * _work_per_row(query, contribution),
        size_bytes=_CELL_BYTES * (rows_most * columns + contribution.size),
        rounds=1,
    )


def query_event(query: Query, contribution: Contribution, *, sites: int = 1, colluders: int = 0) -> PrivacyEvent:
    """What releasing ``query`` does: for each part, noise on integers that one person moves by l2, or l1 with Laplace.

    At one site the part's whole noise is drawn there. Over several sites each adds a share of variance
    ``sigma^2 / (sites - colluders)``, and as many shares as are counted hide one person.

    Raises:
        UsageError: several sites cannot answer it together.
    """
    if sites > 1:
        require_additive(query)
    events: list[PrivacyEvent] = []
    shares = sites - colluders
    bounds = zip(contribution.parts, contribution.l2, contribution.l1, query.sigmas, strict=True)
    for part, l2, l1, sigma in bounds:
        if sites > 1:
            share = sigma / math.sqrt(shares)
            events.append(SumOfDiscreteGaussians(sigma_share=share, shares=shares, l2=l2, dimension=part.size))
        elif query.noise == "laplace":
            events.append(DiscreteLaplace(scale=sigma, sensitivity=l1))
        else:
            events.append(DiscreteGaussian(sigma=sigma, sensitivity=l2))
    if query.private_keys is not None:
        chosen, most = query.private_keys, contribution.usage.groups
        if query.noise == "laplace":
            events.append(ThresholdedLaplace(chosen.sigma, chosen.threshold, each=1, keys=most))
        else:
            events.append(ThresholdedGaussian(chosen.sigma, chosen.threshold, each=1, keys=most))
    return Composed(events=tuple(events))


def require_additive(query: Query) -> None:
    """Raise unless each site's integers can be added up to an answer over all of them.

    Raises:
        UsageError: naming what cannot be added.
    """
    distinct = next((each for each in query.aggregates if isinstance(each, Distinct)), None)
    if distinct is not None:
        raise UsageError(
            f"aggregate {distinct.name!r} counts different values: sites cannot add theirs, as one value may be at "
            "several.",
            hint="people can be counted over sites; a histogram of a category shows which values occur",
        )
    if query.private_keys is not None:
        raise UsageError(
            f"group_by_private: which values of {query.private_keys.column!r} occur is found at one site.",
            hint="ask the sites one by one, or relabel to public categories",
        )
    if query.noise != "gaussian":
        raise UsageError("noise that several sites add up is Gaussian.", hint='noise="gaussian"')


def _work_per_row(query: Query, contribution: Contribution) -> int:
    work = 1 + 2 * len(query.group_by) + 4 * len(query.joins)
    if contribution.usage.chosen or query.private_keys is not None:
        work += 16
    for step in query.steps:
        if isinstance(step, Filter):
            work += work_of(step.where)
        else:
            work += work_of_value(step.value) if isinstance(step, Derive) else 2
    for aggregate in query.aggregates:
        edges = len(getattr(aggregate, "edges", ()))
        work += 1 + edges.bit_length() + (64 if isinstance(aggregate, LogisticScore) else 0)
    return work + sum(_work_of_part(part) for part in contribution.parts)


def _work_of_part(part: Part) -> int:
    return 4 * part.cells if part.kind in ("moments", "score") else 4


def columns_read(query: Query, *, steps: bool = True) -> set[str]:
    """The columns that groups and aggregates read, and with ``steps`` those that filters and derived columns do."""
    read = set(query.group_by)
    if query.private_keys is not None:
        read.add(query.private_keys.column)
    for aggregate in query.aggregates:
        single = (getattr(aggregate, field, None) for field in ("column", "time", "event", "target"))
        several = (getattr(aggregate, field, ()) for field in ("columns", "features"))
        read |= {name for name in single if name is not None} | {name for names in several for name in names}
    for step in query.steps if steps else ():
        if isinstance(step, Filter):
            read |= columns_named(step.where)
        elif isinstance(step, Derive):
            read |= values_named(step.value)
    return read
