"""``cost``: what a Program or a computation will cost on shares, before anything is sent."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias, cast

import numpy as np

from stead.errors import UsageError
from stead.mpc.costing import Costing, costs_of
from stead.mpc.engine import Run, Way, plan
from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.inputs import check_program
from stead.mpc.profile import CostReport, StepCost
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Bits
from stead.mpc.values import Value, is_secret, numbers
from stead.plans.program import Input, Program

Computation: TypeAlias = Callable[[Protocol], Any]


def cost(
    work: Program | Computation,
    protocol: str = "masked",
    *,
    public: Collection[str] | Mapping[str, Any] = (),
    owners: Mapping[str, int] | None = None,
    way: Way | None = None,
    reveal: bool = True,
) -> CostReport:
    """Rounds, bytes, multiply-adds and memory, from shapes alone.

    Args:
        work: a checked Program, or a function of one party's side of a protocol.
        protocol: ``masked``, ``replicated`` or ``cleartext``.
        public: names of inputs that all know (with values, where ranges or constants matter); the others are secret.
        owners: the place of the party that enters each input; left out: place 1, or 0 where there is no other.
        way: how the Program is run; an axis of examples has length 1 here. See ``cost_of_run`` for other lengths.
        reveal: whether the outputs are opened in the end.

    Returns:
        Exact rounds and bytes of every step, each input entered by itself (``share_all`` takes one round for several);
        the memory is an estimate.

    Raises:
        UsageError: there is no such protocol or input.
        UnsupportedOperation: a step cannot be computed on shares.
    """
    if not isinstance(work, Program):
        if not (inspect.isroutine(work) or isinstance(work, functools.partial)):
            check_program(work)
        return _of_computation(work, protocol)
    known = {item.name for item in work.inputs}
    if unknown := [name for name in (*public, *(owners or {})) if name not in known]:
        raise UsageError(f"{unknown[0]!r} is no input of the program; they are {', '.join(sorted(known))[:200]}.")
    dry = Costing(costs_of(protocol))
    how, records = way or Way(), list[StepCost]()
    first = len(work.inputs) - how.examples
    inputs = []
    for at, item in enumerate(work.inputs):
        owner = (owners or {}).get(item.name, min(1, len(dry.party.names) - 1))
        lead = (1,) if at >= first else ()
        inputs.append(_entered(dry, item, lead, owner if item.name not in public else None, records))
    ready = plan(work, [is_secret(value) for value in inputs], how)
    run = Run(cast("Protocol", dry), ready, inputs, time.perf_counter)
    outputs = run.outputs()
    records += run.costs
    if reveal:
        for name, value in zip(work.output_names, outputs, strict=False):
            _opened(dry, name, value, records)
    return CostReport(protocol, tuple(records), run.peak)


def _of_computation(work: Computation, protocol: str) -> CostReport:
    dry = Costing(costs_of(protocol))
    work(cast("Protocol", dry))
    return CostReport(protocol, (StepCost("computation", (), dry.total, dry.macs),), 0)


def _entered(dry: Costing, item: Input, lead: tuple[int, ...], owner: int | None, records: list[StepCost]) -> Value:
    shape = (*lead, *item.type.shape)
    if owner is None:
        return np.zeros(shape, dtype=item.type.dtype)
    before = dry.total
    share = dry.share(None, shape, owner)
    value: Value = Secret(share, FRACTION if item.type.dtype.startswith("float") else 0)
    if item.type.dtype == "bool":
        value = dry.negative(share)
    records.append(StepCost(f"share {item.name}", shape, dry.total.since(before), 0))
    return value


def _opened(dry: Costing, name: str, value: Value, records: list[StepCost]) -> None:
    if not is_secret(value):
        return
    before = dry.total
    opened = numbers(cast("Protocol", dry), value) if isinstance(value, Bits) else value
    dry.reveal(opened.share)
    records.append(StepCost(f"reveal {name}", opened.shape, dry.total.since(before), 0))
