"""``Costing``: a protocol that computes nothing: each verb takes shapes, adds its cost, and gives shapes.

What runs on shares runs on it too, at no party, so its price is known before anything is sent, and an operation that is
not supported is refused before anybody has waited for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from stead.core.channel import PartyChannel
from stead.core.entropy import SystemEntropy
from stead.errors import UsageError
from stead.mpc.cost import Cost
from stead.mpc.forms import Form
from stead.mpc.local import NAMES
from stead.mpc.party import Party
from stead.mpc.protocol import Costs, Facts
from stead.mpc.protocols.cleartext.costs import CleartextCosts
from stead.mpc.shares import Bits, RingArray, Share, words


class Outline(np.ndarray[Any, np.dtype[Any]]):
    """An array of a shape that holds one number: arithmetic on outlines costs no memory, whatever their size."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Shapes of element-wise arithmetic by broadcasting; the rest as NumPy does it, on one number each."""
        if method == "__call__" and ufunc.signature is None and ufunc.nout == 1:
            return outline(np.broadcast_shapes(*(np.shape(item) for item in inputs)), _dtype(inputs))
        if method == "reduce":
            return _reduced(np.shape(inputs[0]), kwargs)
        return NotImplemented

    def __array_function__(self, function: Any, types: Any, arguments: Any, kwargs: Any) -> Any:
        """As NumPy does it; what comes out is an outline again."""
        found = super().__array_function__(function, types, arguments, kwargs)
        return outline(found.shape, found.dtype) if isinstance(found, np.ndarray) else found


def outline(shape: tuple[int, ...], dtype: Any = np.uint64) -> Outline:
    """An outline of that shape."""
    return np.broadcast_to(np.zeros((), dtype=dtype), shape).view(Outline)


def _dtype(inputs: Sequence[Any]) -> Any:
    return next(item.dtype for item in inputs if isinstance(item, Outline))


def _reduced(shape: tuple[int, ...], options: dict[str, Any]) -> Outline:
    axes, keep = options.get("axis", 0), bool(options.get("keepdims", False))
    gone = range(len(shape)) if axes is None else (axes if isinstance(axes, tuple) else (axes,))
    folded = {axis % len(shape) for axis in gone} if shape else set[int]()
    sizes = enumerate(shape)
    return outline(tuple(1 if at in folded else size for at, size in sizes if keep or at not in folded))


def costs_of(protocol: str) -> Costs:
    """What the verbs of a protocol cost.

    Raises:
        UsageError: there is no such protocol.
    """
    if protocol == "cleartext":
        return CleartextCosts()
    if protocol == "replicated":
        from stead.mpc.protocols.replicated.costs import ReplicatedCosts

        return ReplicatedCosts()
    if protocol == "masked":
        from stead.mpc.protocols.masked.costs import MaskedCosts

        return MaskedCosts()
    raise UsageError(f"{protocol[:40]!r} is no protocol: they are {', '.join(NAMES)}.")


class _NoChannel:
    """Nobody to speak to."""


class Costing:
    """The verbs on shapes alone; see ``Protocol``.

    Attributes:
        total: the cost of all verbs so far.
        macs: ring multiply-adds of all products so far, at the party that makes the most.
        facts: of the protocol that is priced.

    Args:
        costs: of the protocol.
        place: whose part; the shapes are the same at all.
    """

    facts: Facts
    parts: ClassVar[dict[str, int]] = {"cleartext": 1}

    def __init__(self, costs: Costs, *, place: int = 0) -> None:
        self.facts = costs.facts
        self.total = Cost()
        self.macs = 0
        self._costs = costs
        names = NAMES.get(costs.facts.name, ("clear",))
        channel: PartyChannel = _NoChannel()  # type: ignore[assignment] # never spoken to
        self._party = Party(min(place, len(names) - 1), names, channel, SystemEntropy())
        self.count = self.parts.get(costs.facts.name, 2)

    @property
    def party(self) -> Party:
        """See ``Protocol.party``."""
        return self._party

    def outline_of(self, shape: tuple[int, ...]) -> Share:
        """A share of that shape."""
        return Share((outline(tuple(shape)),) * self.count)

    def bits_of(self, shape: tuple[int, ...], width: int = 1) -> Bits:
        """Bits of values of that shape."""
        return Bits(tuple(shape), width, (outline((width, words(shape))),) * self.count)

    def _spend(self, cost: Cost) -> None:
        self.total = self.total + cost

    def share(self, values: RingArray | None, shape: tuple[int, ...], owner: int) -> Share:
        """See ``Protocol.share``."""
        self._spend(self._costs.share(tuple(shape), owner))
        return self.outline_of(shape)

    def public(self, values: RingArray) -> Share:
        """See ``Protocol.public``."""
        return self.outline_of(values.shape)

    def reveal(self, x: Share, to: Sequence[int] | None = None) -> RingArray | None:
        """See ``Protocol.reveal``."""
        self._spend(self._costs.reveal(x.shape, to))
        return outline(x.shape)

    def add_public(self, x: Share, values: RingArray) -> Share:
        """See ``Protocol.add_public``."""
        return self.outline_of(np.broadcast_shapes(x.shape, values.shape))

    def product(self, form: Form, x: Share, y: Share) -> Share:
        """See ``Protocol.product``."""
        result = form.result(x.shape, y.shape)
        self._spend(self._costs.product(form, x.shape, y.shape))
        self.macs += form.macs(x.shape, y.shape, result)
        return self.outline_of(result)

    def truncate(self, x: Share, bits: int) -> Share:
        """See ``Protocol.truncate``."""
        self._spend(self._costs.truncate(x.shape, bits))
        return self.outline_of(x.shape)

    def negative(self, x: Share, bits: int = 64) -> Bits:
        """See ``Protocol.negative``."""
        self._spend(self._costs.negative(x.shape, bits))
        return self.bits_of(x.shape, 1)

    def zero(self, x: Share) -> Bits:
        """See ``Protocol.zero``."""
        self._spend(self._costs.zero(x.shape))
        return self.bits_of(x.shape, 1)

    def select(self, b: Bits, x: Share, truncate: int = 0) -> Share:
        """See ``Protocol.select``."""
        if b.shape != x.shape or b.width != 1:
            raise ValueError(f"{b.width} bits of shape {list(b.shape)} cannot choose from shape {list(x.shape)}")
        self._spend(self._costs.select(x.shape, truncate))
        return self.outline_of(x.shape)

    def decompose(self, x: Share, bits: int = 64) -> Bits:
        """See ``Protocol.decompose``."""
        self._spend(self._costs.decompose(x.shape, bits))
        return self.bits_of(x.shape, bits)

    def conjunction(self, a: Bits, b: Bits) -> Bits:
        """See ``Protocol.conjunction``."""
        self._spend(self._costs.conjunction(a.shape, a.width))
        return self.bits_of(a.shape, a.width)

    def invert(self, a: Bits) -> Bits:
        """See ``Protocol.invert``."""
        return self.bits_of(a.shape, a.width)

    def arithmetic(self, a: Bits) -> Share:
        """See ``Protocol.arithmetic``."""
        self._spend(self._costs.arithmetic(a.shape, a.width))
        return self.outline_of((a.width, *a.shape))
