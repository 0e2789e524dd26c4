"""What a Training costs before it runs."""

from __future__ import annotations

import math

from stead.core.schema import Schema
from stead.errors import UsageError
from stead.plans.check import constant_types
from stead.plans.cost import cost
from stead.plans.query_price import Price
from stead.plans.training import Privacy, Training
from stead.plans.training_check import check_training_fits, sigma_steps
from stead.privacy.events import PrivacyEvent, Repeated, Sampled, SumOfDiscreteGaussians

_WEIGHT_BYTES = 4


def training_event(privacy: Privacy, *, rate: float, dimension: int) -> PrivacyEvent:
    """What a private training does to one person: in each step a sampled sum with the honest sites' noise shares.

    Args:
        privacy: the priced part.
        rate: the sampling rate.
        dimension: the number of the model's weights.

    References: Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning with
        Secure Aggregation" (2021).
    """
    shares = privacy.sites - privacy.colluders
    step = SumOfDiscreteGaussians(
        sigma_share=sigma_steps(privacy) / math.sqrt(shares),
        shares=shares,
        l2=float(math.ceil(privacy.clip / privacy.lattice)),
        dimension=dimension,
    )
    return Repeated(event=Sampled(rate=rate, event=step), times=privacy.steps)


def training_price(training: Training, schema: Schema, *, sites: int = 1, colluders: int = 0) -> Price:
    """The price of a training at one site.

    Args:
        training: the plan; ``privacy.sites`` and ``privacy.colluders`` are its own, and count.
        schema: the public description of the site's table; the number of rows is the most that it allows.
        sites: 1, or what the plan names.
        colluders: 0, or what the plan names.

    Returns:
        The event (``None`` for a training with local steps, which is a disclosure), flops and bytes of all rounds.

    Raises:
        SteadError: the training does not pass ``plans.training_check``.
        UsageError: sites and colluders are neither left out nor the plan's.
    """
    privacy = training.privacy
    if (sites, colluders) != (1, 0) and privacy and (sites, colluders) != (privacy.sites, privacy.colluders):
        raise UsageError(
            f"the training is for {privacy.sites} sites and {privacy.colluders} colluders, not {sites} and {colluders}."
        )
    program = check_training_fits(training, schema)
    dimension = sum(item.type.elements for item in program.of_role("parameter"))
    rows = schema.people[1] * schema.rows_per_person
    passes = training.local.epochs if training.local is not None else 1
    sent = dimension * (training.ring_bits // 8 + _WEIGHT_BYTES)
    event = None
    if privacy is not None:
        event = training_event(privacy, rate=training.sampler.rate, dimension=dimension)
    return Price(
        event=event,
        flops=training.rounds * passes * rows * cost(program, constant_types(program)).flops,
        size_bytes=training.rounds * sent,
        rounds=training.rounds,
    )
