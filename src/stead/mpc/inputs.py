"""How values enter a session and leave it: an owner's arrays, public ones, and what is opened."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from stead.errors import UsageError
from stead.mpc.array import SecretArray, held
from stead.mpc.dispatch import Kind
from stead.mpc.engine import Way
from stead.mpc.fixed import FRACTION, Secret, decode, encode
from stead.mpc.graph import graph_of
from stead.mpc.operands import dtype_of, plain, shareable
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Bits, RingArray
from stead.mpc.values import Array, Value, is_secret, numbers
from stead.plans.program import Program

_WIDTH: Final[Mapping[Kind, int]] = {"bool": 0, "int64": 1, "float64": 2}

Outline: TypeAlias = tuple[tuple[int, ...], Kind]
"""Shape and kind of an array."""


def kind_of(values: npt.ArrayLike) -> Kind:
    """The kind of secret array that holds such values.

    Raises:
        UsageError: they are neither numbers nor truths.
    """
    kinds: dict[str, Kind] = {"f": "float64", "i": "int64", "u": "int64", "b": "bool"}
    return kinds[shareable(values).dtype.kind]


def outline(values: npt.ArrayLike | None, shape: Sequence[int] | None, dtype: npt.DTypeLike | None = None) -> Outline:
    """Shape and kind of an input, as one party states them: all must state the same, or what is opened is wrong.

    Raises:
        UsageError: values are of another shape or kind than is stated, or are no real numbers and no ``dtype`` is.
    """
    try:
        size = None if shape is None else tuple(map(operator.index, shape))
    except TypeError:
        raise UsageError(f"shape= is a tuple of whole numbers; got {shape!r}.", hint="shape=(3,)") from None
    wanted = kind_of(np.zeros((), dtype=dtype_of(np.float64 if dtype is None else dtype)))
    if values is None:
        return size or (), wanted
    given = shareable(values)
    kind = kind_of(given)
    if size is not None and given.shape != size:
        raise UsageError(f"the values have shape {list(given.shape)}, and shape= says {list(size)}.")
    if dtype is None and kind != "float64":
        raise UsageError(
            f"the values are of dtype {given.dtype}: all parties must say as what they enter.",
            hint=f"dtype=float, or dtype={'int' if kind == 'int64' else 'bool'}, in the same line at each",
        )
    if _WIDTH[kind] > _WIDTH[wanted]:
        raise UsageError(f"the values are of dtype {given.dtype}, and dtype= says {wanted}.", hint="values.astype(...)")
    return given.shape, wanted


def entered(values: npt.ArrayLike, kind: Kind) -> RingArray:
    """An owner's values as ring elements."""
    array = np.asarray(values)
    if kind == "float64":
        return encode(array)
    return array.astype(np.int64).view(np.uint64)


def enter(p: Protocol, ring: RingArray | None, shape: tuple[int, ...], kind: Kind, owner: int) -> Value:
    """An owner's input as a value; ``ring`` is read at the owner only."""
    share = p.share(ring, shape, owner)
    if kind == "bool":
        return p.invert(p.zero(share))
    return Secret(share, FRACTION if kind == "float64" else 0)


def enter_all(p: Protocol, rings: Sequence[RingArray] | None, like: Sequence[Outline], owner: int) -> list[Value]:
    """An owner's inputs in one round; ``rings`` is read at the owner only."""
    flat = None if rings is None else np.concatenate([ring.reshape(-1) for ring in rings])
    whole = p.share(flat, (sum(math.prod(shape) for shape, _ in like),), owner)
    values, start = list[Value](), 0
    for shape, kind in like:
        share = whole[start : start + math.prod(shape)].reshape(shape)
        start += math.prod(shape)
        values.append(
            p.invert(p.zero(share)) if kind == "bool" else Secret(share, FRACTION if kind == "float64" else 0)
        )
    return values


def opened(p: Protocol, value: Value, kind: Kind, to: Sequence[int] | None) -> Array | None:
    """A value for those places; ``None`` at the others."""
    if not is_secret(value):
        return np.asarray(value)
    x = numbers(p, value)
    found = p.reveal(x.share, to)
    if found is None:
        return None
    ring = found.reshape(x.shape)
    if kind == "float64":
        return decode(ring, x.scale)
    whole = (ring.view(np.int64) >> np.int64(x.scale)) if x.scale else ring.view(np.int64)
    return whole.astype(np.bool_) if kind == "bool" else np.array(whole)


def kind_of_value(value: Value, dtype: str) -> Kind:
    """The kind of array for an output of a Program."""
    if isinstance(value, Bits):
        return "bool"
    return "int64" if dtype in {"int64", "bool"} else "float64"


def value_of(given: SecretArray | npt.ArrayLike) -> Value:
    """What a party holds of an array, or the public array."""
    if isinstance(given, SecretArray):
        return cast("Value", held(given))
    return plain(given, "an input is a SecretArray or an array of numbers or truths")


def check_program(program: object) -> None:
    """Refuse what is no Program.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(program, Program):
        raise UsageError(
            f"a Program runs on shares; got {type(program).__name__}.",
            hint="stead.adapters.torch.trace(model, example) makes one; trace_gradient one for training",
        )


def as_secret(p: Protocol, value: Value) -> Value:
    """A result that happens to be public, entered as such: what follows need not tell it apart."""
    if is_secret(value):
        return value
    array = np.asarray(value)
    return numbers(p, array.astype(np.int64) if array.dtype == np.bool_ else array)


def output_types(program: Program, way: Way | None) -> list[str]:
    """The dtypes of the outputs that are wanted."""
    graph = graph_of(program, None if way is None else way.outputs)
    return [graph.types[value].dtype for value in graph.outputs]


def place_of(names: Sequence[str], name: str) -> int:
    """The place of a party.

    Raises:
        UsageError: it is none of them.
    """
    if name not in names:
        raise UsageError(f"{name!r} is none of the parties {', '.join(names)}.", hint="name one of them")
    return list(names).index(name)
