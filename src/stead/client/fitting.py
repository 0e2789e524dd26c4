"""``fit``: train a model where the data is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Unpack

from msgspec.structs import replace

from stead.client.dataset import RemoteDataset
from stead.client.frameworks import framework_of
from stead.client.joint import one_schema, quotes, refuse_denied
from stead.client.question import RELEASE_BYTES, require_purpose
from stead.client.rehearsal import rehearse
from stead.client.run import RunParts, TrainingRun
from stead.client.scoring import Scorer, score_name
from stead.client.sessions import HeaderFor, RunChannel, SessionTerms, SitesChannel
from stead.client.training_plan import (
    Cohort,
    Draft,
    FitOptions,
    PrivacyTarget,
    check_options,
    draft,
    open_training,
    optimiser_of,
    private_training,
    score_rows,
)
from stead.client.values import whole_number
from stead.core.messages import Quote
from stead.core.schema import Schema
from stead.errors import TooFewParties, UsageError
from stead.learn.header import Header, model_hash
from stead.learn.site import vector_length
from stead.learn.strategy import FedAvg, FedSGD, ModelState, Strategy
from stead.plans.engine import NumpyEngine
from stead.plans.features import classes, known_targets
from stead.plans.plan import encode_plan, plan_hash
from stead.plans.training import Training
from stead.plans.training_price import training_event
from stead.privacy.accounts import Target, amounts, epsilon_spent
from stead.privacy.reserve import usual


def fit(
    model: Any,
    sites: Sequence[RemoteDataset],
    *,
    target: str,
    privacy: PrivacyTarget | None,
    why: str,
    rounds: int = 20,
    **options: Unpack[FitOptions],
) -> TrainingRun:
    """Train ``model`` at ``sites``; rows stay where they are.

    With ``privacy`` each round is one noisy sum of clipped gradients (FedSGD), charged at every site before it starts.
    Without it, sites take local steps and disclose their weighted mean (FedAvg): named approvers, marked for ever.
    Either way the sites' contributions are masked: nobody sees one site's update, unless there is one site only.

    With ``on_mock=True`` the same plan runs here on the sites' mock rows: nothing is sent, nothing is spent.

    Args:
        model: a model that an installed adapter takes, for example an ``nn.Module``. It is not changed.
        sites: the datasets; one name and one schema (sizes may differ).
        target: the column to predict.
        privacy: ``stead.epsilon(4, delta=1e-6)``, or ``None``.
        why: what the model is for; recorded in every owner's log.
        rounds: how many sums, at most.
        **options: see ``FitOptions``.

    Returns:
        A finished ``TrainingRun``, or one that waits for an owner (``run.wait()``).

    Raises:
        PurposeMissing: ``why`` is empty.
        Refused: a site's rules or budget do not allow it; then no site goes on.
        UnsupportedOperation: the model does what cannot be sent as data; names it.
    """
    require_purpose(why)
    if not isinstance(privacy, PrivacyTarget | None):
        raise UsageError(
            f"privacy= is a budget or None; got {type(privacy).__name__}.",
            hint="privacy=stead.epsilon(4, delta=1e-6); None trains without differential privacy, by disclosure",
        )
    check_options(options, private=privacy is not None)
    rounds = whole_number(rounds, "rounds=")
    if not sites:
        raise TooFewParties("a training needs a site.", hint='sites=[north["heart"], south["heart"]]')
    framework, schema = framework_of(model), one_schema(sites)
    plan = draft(framework, model, schema, dataset=sites[0].name, target=target, options=options)
    training = _training(plan, sites, privacy, rounds=rounds, options=options)
    strategy = _strategy(training, sites, options)
    nodes = tuple(dataset.source.site for dataset in sites)
    outlet: Literal["join", "disclose"] = "join" if training.privacy else "disclose"
    terms = SessionTerms(nodes[0].scientist.entropy.take(RELEASE_BYTES), encode_plan(training), outlet, why)
    first = model_hash(strategy.plan_round(ModelState.start(framework.parameters(model))))
    mock = options.get("on_mock", False)
    begin = rehearse if mock else _begin
    header, channel, found = begin(sites, terms, partial(_header, training, terms, first))
    run = TrainingRun(
        RunParts(
            title=f"{sites[0].name} · {', '.join(header.names)}{' · on mock rows' if mock else ''}",
            model=model,
            framework=framework,
            sites=nodes,
            quotes=found,
            header=header,
            channel=channel,
            strategy=strategy,
            scorer=_scorer(plan, schema, options),
            epsilon_after=_epsilon_after(training, plan.length, privacy),
            on_round=options.get("on_round", lambda _: None),
            silent=options.get("silent", False),
            mock=mock,
        )
    )
    return run.refresh()


def _header(training: Training, terms: SessionTerms, first: bytes, cohort: tuple[tuple[str, bytes], ...]) -> Header:
    """The header of a training's session; ``first`` is the hash of the first round's payload."""
    return Header(
        release=terms.release,
        plan_hash=plan_hash(terms.plan),
        cohort=cohort,
        length=vector_length(training),
        ring_bits=training.ring_bits,
        rounds=training.rounds,
        colluders=training.privacy.colluders if training.privacy else 0,
        model_hash=first,
        outlet=terms.outlet,
        minimum=len(cohort),
    )


def _begin(
    sites: Sequence[RemoteDataset], terms: SessionTerms, header_for: HeaderFor
) -> tuple[Header, RunChannel, Mapping[str, Quote]]:
    """The session at the sites: nothing is charged yet, but all have said their price, and none would refuse."""
    nodes = tuple(dataset.source.site for dataset in sites)
    header = header_for(tuple((site.name, site.node_key) for site in nodes))
    found = quotes(nodes, terms.plan, terms.outlet, colluders=header.colluders)
    refuse_denied(found)
    asking = {name for name, quote in found.items() if quote.decision == "ask"}
    return header, SitesChannel(nodes, terms, header.to_bytes(), ask_first=asking), found


def _training(
    plan: Draft, sites: Sequence[RemoteDataset], privacy: PrivacyTarget | None, *, rounds: int, options: FitOptions
) -> Training:
    if rounds < 1:
        raise UsageError(f"a training has at least one round; got {rounds}.")
    if privacy is None:
        return open_training(plan, rounds=rounds, options=options)
    colluders = options.get("colluders", 1 if len(sites) > 1 else 0)
    if not 0 <= colluders < len(sites):
        raise UsageError(f"colluders must be 0 to {len(sites) - 1} of {len(sites)} sites; got {colluders}.")
    people_most = max(site.schema.people[1] for site in sites)
    return private_training(plan, Cohort(len(sites), colluders, people_most), privacy, rounds=rounds, options=options)


def _strategy(training: Training, sites: Sequence[RemoteDataset], options: FitOptions) -> Strategy:
    if training.privacy is None:
        return FedAvg(training.lattice)
    people = [site.schema.people for site in sites]
    return FedSGD.of(training, people, optimiser_of(options, learning_rate=0.15))


def _scorer(plan: Draft, schema: Schema, options: FitOptions) -> Scorer:
    x, y, mock = score_rows(plan.encoding, schema, options.get("score"))
    known = known_targets(y)
    shape = next(item.type.shape for item in plan.forward.inputs if item.role == "x")
    name = score_name(plan.encoding.task, classes(plan.encoding, schema))
    return Scorer(plan.forward, NumpyEngine(), x[known].reshape(-1, *shape), y[known], name, mock)


def _epsilon_after(training: Training, length: int, target: PrivacyTarget | None) -> Callable[[int], float]:
    """What the first rounds come to at the target's delta, at any site."""
    privacy = training.privacy
    if privacy is None or target is None:
        return lambda _: math.inf
    account = usual(Target(target.epsilon, target.delta)).divergences
    event = training_event(replace(privacy, steps=1), rate=training.sampler.rate, dimension=length)
    once = amounts(event, account.orders)
    return lambda rounds: epsilon_spent(account, [rounds * amount for amount in once])
