"""``Joint``: a question that three steads compute on shares, as data; what is entered, what is opened, and to whom.

Each owner enters the integers of one ``Query`` over its own rows. The parties add them up on shares. What is opened
depends on ``opening``:

=============  =====================================================================================================
``answer``     the added integers, each owner's noise share inside them; a mean is its noisy sum and noisy count
``disclose``   counts, sums and histograms exactly; of a mean the quotient alone, neither its sum nor its count
=============  =====================================================================================================

A mean is opened as q = floor((S + h N) 2^F / N) for its centred sum S, its count N and the largest step h of one row;
N = 0 gives the middle of the range. 2^F makes one unit of q 2^-20 of half the range, or a little more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from stead.core.schema import Schema
from stead.errors import CheaterDetected, UnboundedContribution, UsageError
from stead.plans.analysis import LATTICE_BITS, Part, analyse, group_keys, parts
from stead.plans.query import Mean, Query
from stead.plans.query_price import require_additive
from stead.plans.words import describe_query

PARTIES: Final = 3
MAX_INTEGERS: Final = 1 << 16
"""The most integers that an owner enters."""
MAX_MEANS: Final = 1 << 12
"""The most means of a disclosure: each is divided on shares."""
MAX_ROWS: Final = 1 << 38
"""The most rows of one owner when a mean is divided on shares: three owners' dividends stay below 2^62."""
QUOTIENT_BITS: Final = LATTICE_BITS + 2
"""Bits of a quotient: from 0 to 2 h 2^F <= 2^21."""

Integers = npt.NDArray[np.int64]
PublicKey = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 16)]


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="kept"):
    """Added integers that are opened as they are: ``size`` of them from place ``start`` of what is entered."""

    start: Size
    size: Size


class Divided(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="divided"):
    """Means that are divided on shares; of them the quotients alone are opened.

    Attributes:
        start: place of the centred sums among what is entered; their counts follow.
        size: how many means.
        per_row: h, the largest step of one row.
        shift: F.
    """

    start: Size
    size: Size
    per_row: Annotated[int, msgspec.Meta(ge=1, le=1 << LATTICE_BITS)]
    shift: Annotated[int, msgspec.Meta(ge=0, le=LATTICE_BITS)]


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is entered and what is opened, in public numbers: all that a party without rows needs to know.

    Attributes:
        entered: integers that each owner enters.
        blocks: what is opened, in order.
    """

    entered: Size
    blocks: tuple[Kept | Divided, ...]

    @property
    def opened(self) -> int:
        """How many integers are opened."""
        return sum(block.size for block in self.blocks)

    @property
    def divided(self) -> int:
        """How many of them are quotients."""
        return sum(block.size for block in self.blocks if isinstance(block, Divided))


class JointParty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the parties.

    Attributes:
        name: what the requester calls it; its key says who it is.
        key: the raw Ed25519 identity of its node.
        owner: whether it enters integers of its rows; else it helps to compute and holds nothing of its own.
    """

    name: str
    key: PublicKey
    owner: bool


class Joint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="joint"):
    """A computation of three parties.

    Attributes:
        query: what each owner counts and adds up. Its sigmas are of the whole noise of ``answer``; with ``disclose``
            there are none.
        layout: how long what is entered is, and what of it is opened; each owner works it out again.
        parties: in the order of their places; two of them at least are owners.
        receiver: the raw Ed25519 key to whom the result is opened, and nobody else; the requester's own.
        opening: the way out of the result, with noise or without.
        colluders: owners whose noise shares are not counted on; 0 with ``disclose``.
        protocol: how shares are made and computed on.
    """

    query: Query
    layout: Layout
    parties: tuple[JointParty, ...]
    receiver: PublicKey
    opening: Literal["answer", "disclose"]
    colluders: int
    protocol: Literal["replicated"] = "replicated"

    @property
    def dataset(self) -> str:
        """The name of the owners' datasets."""
        return self.query.dataset

    @property
    def names(self) -> tuple[str, ...]:
        """The parties' names, by place."""
        return tuple(party.name for party in self.parties)

    @property
    def owners(self) -> tuple[int, ...]:
        """The places of the owners."""
        return tuple(place for place, party in enumerate(self.parties) if party.owner)

    def place_of(self, key: bytes) -> int:
        """The place of the party with this identity.

        Raises:
            UsageError: there is none.
        """
        for place, party in enumerate(self.parties):
            if party.key == key:
                return place
        raise UsageError("this node is none of the plan's parties.")


def check_joint(joint: Joint) -> None:
    """Whether the plan can be one, as far as that needs no schema.

    Raises:
        UsageError: its facts contradict each other.
    """
    names = [party.name for party in joint.parties]
    keys = {party.key for party in joint.parties}
    if len(names) != PARTIES:
        raise UsageError(f"{joint.protocol} sharing has {PARTIES} parties; the plan names {len(names)}.")
    if len(set(names)) != PARTIES or len(keys) != PARTIES:
        raise UsageError("each party of a computation stands there once, with one name and one key.")
    if any(not 0 < len(name) <= 128 or not name.isprintable() for name in names):
        raise UsageError("a party's name is 1 to 128 printable characters.")
    owners = len(joint.owners)
    if owners < 2:
        raise UsageError(
            f"a joint computation has 2 owners at least; the plan names {owners}.",
            hint="one owner alone answers a question: question.answer(...)",
        )
    if joint.opening == "disclose" and (joint.colluders or joint.query.sigmas):
        raise UsageError("a disclosure has no noise, so neither sigmas nor colluders.")
    if not 0 <= joint.colluders < owners:
        raise UsageError(f"colluders must be 0 to {owners - 1} of {owners} owners; got {joint.colluders}.")
    _check_layout(joint)


def _check_layout(joint: Joint) -> None:
    """Whether the blocks stand inside what is entered, and are as many as a computation may have."""
    plan = joint.layout
    if joint.opening == "answer" and plan.blocks != (Kept(0, plan.entered),):
        raise UsageError("a joint answer opens all that is entered, and divides nothing.")
    if plan.divided > MAX_MEANS or not 0 < plan.entered <= MAX_INTEGERS:
        raise UsageError(
            f"a joint computation has at most {MAX_INTEGERS} integers and divides at most {MAX_MEANS} means."
        )
    at = 0
    for block in plan.blocks:
        if block.start != at or not block.size:
            raise UsageError("what is opened is not laid out as what is entered.")
        at += block.size * (2 if isinstance(block, Divided) else 1)
    if at != plan.entered:
        raise UsageError("what is opened is not laid out as what is entered.")


def layout(query: Query, schema: Schema, opening: Literal["answer", "disclose"]) -> Layout:
    """What goes in and what comes out. Every owner must come to the layout that stands in the plan.

    Raises:
        UsageError: the question cannot be asked.
        UnboundedContribution: no bound exists, or a sum could leave the ring.
    """
    require_additive(query)
    found = parts(query, schema)
    odd = next((part for part in found if part.kind not in ("count", "people", "sum", "cells")), None)
    if odd is not None:
        raise UsageError(
            f"aggregate {odd.aggregate!r} is not computed on shares: counts, sums, means and histograms are.",
            hint="stead.ask(question, sites) answers it under masks",
        )
    # A disclosure has the bounds of ``analyse``, which wants a noise: one that nobody adds.
    bare = opening == "disclose"
    entered = analyse(msgspec.structs.replace(query, sigmas=(1.0,) * len(found)) if bare else query, schema).size
    if not bare:
        return Layout(entered, (Kept(0, entered),))
    means = {aggregate.name for aggregate in query.aggregates if isinstance(aggregate, Mean)}
    blocks: list[Kept | Divided] = []
    start = 0
    for part in found:
        if part.aggregate not in means:
            blocks.append(Kept(start, part.size))
        elif part.kind == "sum":
            blocks.append(Divided(start, part.size, part.per_row, _shift(part)))
        start += part.size
    rows_most = schema.people[1] * schema.rows_per_person
    if means and rows_most > MAX_ROWS:
        raise UnboundedContribution(
            f"{rows_most} rows are too many to divide a mean on shares; the limit is {MAX_ROWS}.",
            hint="the owner's people range is too wide",
        )
    return Layout(entered, tuple(blocks))


def _shift(part: Part) -> int:
    return max(0, LATTICE_BITS - part.per_row.bit_length())


def recombine(sent: Sequence[tuple[Integers, Integers]], names: Sequence[str]) -> Integers:
    """The opened integers from what each party holds of them: x = x_0 + x_1 + x_2 mod 2^64; party i sends x_i, x_{i+1}.

    Raises:
        CheaterDetected: two parties sent different numbers for the summand that both hold.
    """
    for place in range(PARTIES):
        after = (place + 1) % PARTIES
        if not np.array_equal(sent[place][1], sent[after][0]):
            raise CheaterDetected(
                f"{names[place]} and {names[after]} sent different shares of the result: one of them lies, or failed.",
                hint="nothing of this result is to be used; ask the owners, then ask again",
            )
    total = np.asarray(sent[0][0].view(np.uint64) + sent[1][0].view(np.uint64) + sent[2][0].view(np.uint64))
    return total.view(np.int64)


def decode_disclosed(joint: Joint, schema: Schema, vector: Integers) -> dict[str, npt.NDArray[Any]]:
    """Disclosed integers in natural units: aggregate name to array, one axis for each ``group_by`` column.

    Raises:
        UsageError: the vector has another length than the plan opens.
    """
    opened = joint.layout
    if vector.shape != (opened.opened,):
        raise UsageError(f"the result has shape {vector.shape}, the plan opens {opened.opened} numbers.")
    axes = tuple(len(keys) for keys in group_keys(joint.query, schema))
    first = {part.aggregate: part for part in reversed(parts(joint.query, schema))}
    blocks = np.split(vector, np.cumsum([block.size for block in opened.blocks])[:-1])
    values: dict[str, npt.NDArray[Any]] = {}
    for aggregate, block in zip(joint.query.aggregates, blocks, strict=True):
        part = first[aggregate.name]
        if isinstance(aggregate, Mean):
            steps = (block + 0.5) / (1 << _shift(part)) - part.per_row
            values[aggregate.name] = np.clip(steps * part.step + part.offset, part.low, part.high).reshape(axes)
        elif part.kind == "sum":
            values[aggregate.name] = (block * part.step).reshape(axes)
        else:
            values[aggregate.name] = block.reshape(axes + ((part.cells,) if part.kind == "cells" else ()))
    return values


def rounding(joint: Joint, schema: Schema) -> dict[str, npt.NDArray[np.float64]]:
    """How far disclosed numbers may be from the exact ones, by rounding alone; shaped as ``decode_disclosed``."""
    axes = tuple(len(keys) for keys in group_keys(joint.query, schema))
    first = {part.aggregate: part for part in reversed(parts(joint.query, schema))}
    rows = schema.people[1] * schema.rows_per_person * len(joint.owners)
    found = {}
    for aggregate in joint.query.aggregates:
        part, width = first[aggregate.name], 0.0
        if isinstance(aggregate, Mean):
            width = part.step * (0.5 / (1 << _shift(part)) + (0.0 if part.exact else 1.0))
        elif part.kind == "sum" and not part.exact:
            width = part.step * rows
        found[aggregate.name] = np.full(axes + ((part.cells,) if part.kind == "cells" else ()), width)
    return found


SECURITY: Final = (
    "Replicated shares (three parties, honest majority): each input is hidden from any one of the parties as long as "
    "all three follow the protocol. Two of the three together could see what an owner entered."
)
"""What must be believed of the protocol, in the words of plans and previews."""


def describe_joint(joint: Joint, schema: Schema | None) -> str:
    """The plan in sentences, for an owner who is to take part (with its schema) or to help (with none).

    Raises:
        UsageError: the question cannot be asked.
    """
    owners = [_plain(party.name) for party in joint.parties if party.owner]
    helpers = [_plain(party.name) for party in joint.parties if not party.owner]
    lines = [
        f"A joint computation of {', '.join(_plain(name) for name in joint.names)}.",
        f"Rows of: {', '.join(owners)}. No row leaves; each enters its own numbers as shares.",
    ]
    if helpers:
        lines.append(f"Helping, with no data of its own: {', '.join(helpers)}.")
    lines.append(SECURITY)
    lines.append(f"Opened to the key {joint.receiver.hex()} and to nobody else.")
    if joint.opening == "answer":
        inside = (
            "what each owner enters holds its share of the noise already: two parties who look together see noisy "
            "numbers of an owner, with the noise of one share"
        )
        lines.append(f"With differential privacy, for up to {joint.colluders} colluding owners; {inside}.")
    else:
        lines += [
            "NOT PRIVATE: the result is opened exactly, without noise. It counts as a disclosure for ever.",
            "Of each mean only the quotient is opened, neither its sum nor its count.",
            f"An owner who learns the result can work out what the other {len(owners) - 1} entered together, roughly.",
        ]
    if schema is None:
        lines.append("This node enters nothing: it holds shares, which look random to it.")
        return "\n".join(lines)
    words = describe_query(joint.query, schema)
    if joint.opening == "disclose":
        words = words.replace(", as a sum and a count", ", as a quotient of all owners' sums and counts")
        words = words.replace("Released:", "Entered, to be added up with the other owners':")
        words = words.replace(", each with noise.", ".")
    return "\n".join([*lines, words])


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() and c != '"' else "?" for c in text[:128])
