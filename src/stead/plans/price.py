"""What a plan costs before it runs, whichever kind of plan it is. From the plan and public facts alone."""

from __future__ import annotations

from stead.core.schema import Schema
from stead.errors import UsageError
from stead.plans.query import Query
from stead.plans.query_price import Price, price_query
from stead.plans.training import Training


def price(plan: Query | Training, schema: Schema, *, sites: int = 1, colluders: int = 0) -> Price:
    """The price of ``plan`` at one site, as far as public facts tell it.

    Args:
        plan: a question or a training.
        schema: the public description of the site's table; sizes come from its ``people`` range.
        sites: how many sites take part; each adds a share of the noise.
        colluders: how many shares are not counted.

    Raises:
        UsageError: the plan cannot be bounded, or the sites and colluders make no sense.
    """
    if not 0 <= colluders < sites:
        raise UsageError(f"{sites} sites cannot hold {colluders} colluders; at least one share must count.")
    if isinstance(plan, Training):
        from stead.plans.training_price import training_price

        return training_price(plan, schema, sites=sites, colluders=colluders)
    return price_query(plan, schema, sites=sites, colluders=colluders)


__all__ = ["Price", "price"]
