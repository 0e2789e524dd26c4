"""``Plan``: what travels to the data. Its bytes, its hash, its check, and its print-out for the reviewing owner."""

from __future__ import annotations

from typing import Final, TypeAlias

from stead.core import codec
from stead.core.schema import Schema
from stead.errors import UsageError
from stead.plans.check import DEFAULT_LIMITS, Limits, check_program
from stead.plans.joint import Joint, check_joint, describe_joint
from stead.plans.program import Program
from stead.plans.query import Query
from stead.plans.training import Training
from stead.plans.training_check import check_training

Plan: TypeAlias = Query | Program | Training | Joint

_DOMAIN: Final = "stead.plan"


def encode_plan(plan: Plan) -> bytes:
    """The canonical bytes of a plan; a hash of them is a hash of the plan."""
    return codec.encode(plan)


def decode_plan(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Plan:
    """The plan in bytes from anywhere, checked as far as it can be without a schema.

    Args:
        data: canonical bytes.
        limits: how large a Program may be.

    Raises:
        BadMessage: not the canonical bytes of a plan, or a Program that is not what it says.
        UnsupportedOperation: a Program's step is not in the table.
        UsageError: a Training's number is out of range, or a Joint's facts contradict each other.
        TooExpensive: a Program is above a limit.
    """
    plan: Plan = codec.decode(data, Plan)
    if isinstance(plan, Program):
        check_program(plan, limits)
    elif isinstance(plan, Training):
        check_training(plan, limits)
    elif isinstance(plan, Joint):
        check_joint(plan)
    return plan


def plan_hash(data: bytes) -> bytes:
    """SHA-256 of a plan's canonical bytes, 32 bytes."""
    return codec.digest(_DOMAIN, data)


def describe(plan: Plan, schema: Schema | None) -> str:
    """A plan in words and steps, for the owner who is to approve it. From the plan and public facts alone.

    Args:
        plan: any plan.
        schema: of the owner's dataset; ``None`` for a node that helps a joint computation without data of its own.

    Raises:
        SteadError: the plan does not go with the schema.
    """
    from stead.plans.training_words import describe_program, describe_training
    from stead.plans.words import describe_query

    if isinstance(plan, Joint):
        return describe_joint(plan, schema)
    if schema is None:
        raise UsageError("a plan about rows is described with the schema of the rows.")
    if isinstance(plan, Query):
        return describe_query(plan, schema)
    return describe_program(plan) if isinstance(plan, Program) else describe_training(plan, schema)
