"""Arithmetic on what a computation on shares holds: secret numbers, secret truths, and arrays that all know.

A ``Value`` is a ``Secret`` (numbers), a ``Bits`` of width 1 (truths) or a NumPy array (public). Products keep the sum
of their operands' fraction bits until something needs fewer; sums bring both sides to the larger number of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeGuard, TypeVar, cast

import numpy as np
import numpy.typing as npt

from stead.errors import UnsupportedOperation
from stead.mpc.fixed import FRACTION, Secret, encode
from stead.mpc.forms import MUL, Form
from stead.mpc.kernels.fixed import LARGEST
from stead.mpc.protocol import Protocol
from stead.mpc.shares import WORD, Bits, Planes, RingArray, Share, words

Array: TypeAlias = npt.NDArray[Any]
Value: TypeAlias = Secret | Bits | Array
Move: TypeAlias = Callable[[Array], Array]
V = TypeVar("V", bound=Value)

MOST_SCALE = 36
"""Fraction bits of a product, at most, before an operand is truncated: numbers up to 2^26 fit beside them."""

_ALIGNED = 40


def is_secret(value: object) -> TypeGuard[Secret | Bits]:
    """Whether it is not known to all."""
    return isinstance(value, (Secret, Bits))


def moved(value: V, move: Move) -> V:
    """Elements put elsewhere, repeated or left out; local."""
    if isinstance(value, Secret):
        return cast("V", Secret(value.share.map(move), value.scale))
    if isinstance(value, Bits):
        return cast("V", _moved_bits(value, move))
    return cast("V", np.asanyarray(move(value)))


def reshaped(value: V, shape: Sequence[int]) -> V:
    """The same elements in the same order under another shape; local."""
    if isinstance(value, Bits):
        return cast("V", Bits(tuple(shape), value.width, value.parts))
    return moved(value, lambda array: array.reshape(tuple(shape)))


def stretched(value: V, shape: tuple[int, ...]) -> V:
    """Broadcast as NumPy does; local."""
    if value.shape == shape:
        return value
    return moved(value, lambda array: np.broadcast_to(array, shape))


def joined(values: Sequence[Value], p: Protocol, axis: int) -> Value:
    """Values joined along an axis; local."""
    if all(isinstance(value, Bits) for value in values):
        return _joined_bits([value for value in values if isinstance(value, Bits)], axis)
    if not any(is_secret(value) for value in values):
        return np.concatenate([np.asarray(value) for value in values], axis=axis)
    if any(isinstance(value, Bits) or (isinstance(value, np.ndarray) and value.dtype == np.bool_) for value in values):
        like = next(value for value in values if isinstance(value, Bits))
        return _joined_bits([truths(p, value, like) for value in values], axis)
    secrets = [numbers(p, value) for value in values]
    scale = max(secret.scale for secret in secrets)
    shares = [shifted(secret, scale).share for secret in secrets]
    columns = zip(*(share.parts for share in shares), strict=True)
    return Secret(Share(tuple(np.concatenate(column, axis=axis) for column in columns)), scale)


def _flat_bits(plane: Planes, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    size = math.prod(shape)
    return np.unpackbits(np.ascontiguousarray(plane).view(np.uint8), count=size, bitorder="little").reshape(shape)


def _packed(bits: npt.NDArray[np.uint8]) -> Planes:
    out = np.zeros(words(bits.shape) * (WORD // 8), dtype=np.uint8)
    packed = np.packbits(bits.reshape(-1), bitorder="little")
    out[: len(packed)] = packed
    return out.view(np.uint64)


def _moved_bits(value: Bits, move: Move) -> Bits:
    parts = []
    for part in value.parts:
        rows = [move(_flat_bits(plane, value.shape)) for plane in part]
        shape = rows[0].shape
        parts.append(np.stack([_packed(row) for row in rows]))
    return Bits(shape, value.width, tuple(parts))


def _joined_bits(values: Sequence[Bits], axis: int) -> Bits:
    parts = []
    for column in zip(*(value.parts for value in values), strict=True):
        rows = [_flat_bits(part[0], value.shape) for part, value in zip(column, values, strict=True)]
        whole = np.concatenate(rows, axis=axis)
        parts.append(_packed(whole)[None])
    return Bits(whole.shape, 1, tuple(parts))


def constant(values: npt.ArrayLike, scale: int, what: str = "a constant") -> RingArray:
    """Public numbers as ring elements.

    Raises:
        UnsupportedOperation: one is not finite or too large.
    """
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        largest = int(np.abs(array.astype(np.int64)).max(initial=0))
        if largest >= 1 << (LARGEST - scale):
            _refuse_constant(what, scale)
        return array.astype(np.int64).view(np.uint64) << np.uint64(scale)
    if not bool(np.all(np.abs(array) < 2.0 ** (LARGEST - scale))):
        _refuse_constant(what, scale)
    return encode(array, scale)


def _refuse_constant(what: str, scale: int) -> None:
    raise UnsupportedOperation(
        f"{what} is not finite, or not below 2^{LARGEST - scale} in magnitude: it does not fit beside secret numbers.",
        hint="secret numbers have no infinities; use large finite numbers, such as -10000 for a masked score",
    )


def numbers(p: Protocol, value: Value) -> Secret:
    """As secret numbers: truths as 0 and 1, public numbers with as many fraction bits as they need."""
    if isinstance(value, Secret):
        return value
    if isinstance(value, Bits):
        return Secret(p.arithmetic(value)[0], 0)
    ring, scale = exact(value)
    return Secret(p.public(ring), scale)


def truths(p: Protocol, value: Value, like: Bits | None = None) -> Bits:
    """As secret truths; of numbers: whether they are not 0; of public truths: beside ``like``, which is secret."""
    if isinstance(value, Bits):
        return value
    if isinstance(value, Secret):
        return p.invert(p.zero(value.share))
    if like is None:
        raise ValueError("public truths enter beside secret ones")
    flags = np.asarray(value, dtype=np.bool_)
    blank = np.zeros((1, words(flags.shape)), dtype=np.uint64)
    return flipped(p, Bits(flags.shape, 1, (blank,) * len(like.parts)), flags)


def flipped(p: Protocol, bits: Bits, where: npt.NDArray[np.bool_]) -> Bits:
    """NOT where a public array says so. No rounds."""
    other = p.invert(bits)
    mask = _packed(np.broadcast_to(where, bits.shape).astype(np.uint8))[None]
    parts = tuple((a & ~mask) | (b & mask) for a, b in zip(bits.parts, other.parts, strict=True))
    return Bits(bits.shape, 1, parts)


def exact(values: Array) -> tuple[RingArray, int]:
    """Public numbers as ring elements with few fraction bits: none for whole numbers, more where they are small.

    Numbers below 1 in magnitude get as many more bits as they are smaller, so that products keep their precision.
    """
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        return constant(array, 0), 0
    wide = array.astype(np.float64)
    if not bool(np.isfinite(wide).all()):
        _refuse_constant("a constant", FRACTION)
    top = float(np.abs(wide).max(initial=0.0))
    scaled = wide * 2.0**FRACTION
    if top < 2.0 ** (LARGEST - FRACTION) and bool((scaled == np.rint(scaled)).all()):
        ones = int(np.bitwise_or.reduce(scaled.astype(np.int64), axis=None)) if scaled.size else 0
        spare = min(FRACTION, (ones & -ones).bit_length() - 1) if ones else FRACTION
        return constant(wide, FRACTION - spare), FRACTION - spare
    extra = min(20, max(0, -math.frexp(top)[1])) if top else 0
    return constant(wide, FRACTION + extra), FRACTION + extra


def shifted(x: Secret, scale: int) -> Secret:
    """With more fraction bits; local."""
    return x if scale == x.scale else Secret(x.share.scaled(1 << (scale - x.scale)), scale)


def settled(p: Protocol, x: Secret, scale: int = FRACTION) -> Secret:
    """With at most ``scale`` fraction bits: truncated where there are more."""
    if x.scale <= scale:
        return x
    return Secret(p.truncate(x.share, x.scale - scale), scale)


def fractional(p: Protocol, value: Value) -> Secret:
    """With exactly ``FRACTION`` fraction bits, as functions want it."""
    x = numbers(p, value)
    return shifted(x, FRACTION) if x.scale < FRACTION else settled(p, x)


def aligned(p: Protocol, a: Secret, b: Secret) -> tuple[Secret, Secret]:
    """Both with the larger number of fraction bits of the two."""
    if max(a.scale, b.scale) > _ALIGNED and a.scale != b.scale:
        a, b = settled(p, a, max(FRACTION, min(a.scale, b.scale))), settled(p, b, max(FRACTION, min(a.scale, b.scale)))
    scale = max(a.scale, b.scale)
    return shifted(a, scale), shifted(b, scale)


def add(p: Protocol, a: Value, b: Value) -> Secret:
    """The sum a + b, broadcast; at least one is secret."""
    if not is_secret(a):
        a, b = b, a
    x = numbers(p, a)
    if is_secret(b):
        x, y = aligned(p, x, numbers(p, b))
        return Secret(x.share + y.share, x.scale)
    array = np.asarray(b)
    _, wanted = exact(array)
    x = shifted(x, max(x.scale, min(wanted, FRACTION)))
    return Secret(p.add_public(x.share, constant(array, x.scale)), x.scale)


def negated(p: Protocol, a: Value) -> Secret:
    """-a."""
    x = numbers(p, a)
    return Secret(-x.share, x.scale)


def subtract(p: Protocol, a: Value, b: Value) -> Secret:
    """The difference a - b, broadcast; at least one is secret."""
    if not is_secret(b):
        array = np.asarray(b)
        return add(p, a, np.negative(array.astype(np.int64) if array.dtype == np.bool_ else array))
    if not is_secret(a):
        return add(p, negated(p, b), a)
    x, y = aligned(p, numbers(p, a), numbers(p, b))
    return Secret(x.share - y.share, x.scale)


def ready(p: Protocol, a: Secret, b: Secret) -> tuple[Secret, Secret]:
    """Truncated as far as needed for a product of the two."""
    if a.scale + b.scale > MOST_SCALE and a.scale >= b.scale:
        a = settled(p, a)
    if a.scale + b.scale > MOST_SCALE:
        b = settled(p, b)
    if a.scale + b.scale > MOST_SCALE:
        a = settled(p, a)
    return a, b


def bilinear(p: Protocol, form: Form, a: Value, b: Value) -> Secret:
    """A form of two values, at least one of them secret; no rounds where the other is public."""
    if is_secret(a) and is_secret(b):
        x, y = numbers(p, a), numbers(p, b)
        if x is y or a is b:
            x = y = settled(p, x) if 2 * x.scale > MOST_SCALE else x
        else:
            x, y = ready(p, x, y)
        return Secret(p.product(form, x.share, y.share), x.scale + y.scale)
    threads = p.party.threads
    secret, public = (a, b) if is_secret(a) else (b, a)
    ring, scale = exact(np.asarray(public))
    x = numbers(p, secret)
    if x.scale + scale > MOST_SCALE:
        x = settled(p, x)
    if is_secret(a):
        return Secret(x.share.map(lambda part: form(part, ring, threads=threads)), x.scale + scale)
    return Secret(x.share.map(lambda part: form(ring, part, threads=threads)), x.scale + scale)


def multiply(p: Protocol, a: Value, b: Value) -> Secret:
    """The product a · b, element by element, broadcast; at least one is secret."""
    if isinstance(a, Bits) and is_secret(b):
        return chosen(p, a, numbers(p, b))
    if isinstance(b, Bits) and is_secret(a):
        return chosen(p, b, numbers(p, a))
    if is_secret(a) and is_secret(b):
        return bilinear(p, MUL, a, b)
    x = numbers(p, a if is_secret(a) else b)
    factor = np.asarray(b if is_secret(a) else a)
    if factor.size == 1:
        return _by_number(p, x, factor)
    ring, scale = exact(factor)
    if x.scale + scale > MOST_SCALE:
        x = settled(p, x)
    return Secret(x.share.map(lambda part: part * ring), x.scale + scale)


def _by_number(p: Protocol, x: Secret, factor: Array) -> Secret:
    number = float(factor.reshape(-1)[0])
    shape = np.broadcast_shapes(x.shape, factor.shape)
    out = x if shape == x.shape else Secret(x.share.map(lambda part: np.broadcast_to(part, shape)), x.scale)
    ring, scale = exact(factor.reshape(()))
    mantissa, exponent = math.frexp(number)
    if abs(mantissa) == 0.5 and exponent <= 1 and out.scale + scale <= _ALIGNED:  # a power of two: only the scale moves
        share = out.share if mantissa > 0 else -out.share
        return Secret(share, out.scale + 1 - exponent)
    if out.scale + scale > MOST_SCALE:
        out = settled(p, out)
    return Secret(out.share.scaled(int(ring)), out.scale + scale)


def chosen(p: Protocol, truth: Bits, x: Secret, *, settle: bool = False) -> Secret:
    """Choose x where the truth holds, else 0; with ``settle`` truncated to ``FRACTION`` in the same opening."""
    shape = np.broadcast_shapes(truth.shape, x.shape)
    bits, wide = stretched(truth, shape), stretched(x, shape)
    cut = x.scale - FRACTION if settle and x.scale > FRACTION else 0
    return Secret(p.select(bits, wide.share, cut), x.scale - cut)


def where(p: Protocol, truth: Value, a: Value, b: Value) -> Value:
    """Choose a where the truth holds, else b; numbers or truths, broadcast; at least one of the three is secret."""
    if not isinstance(truth, Bits):
        return _where_public(p, np.asarray(truth, dtype=np.bool_), a, b)
    if _truthful(a) and _truthful(b):
        if not is_secret(a) and not is_secret(b):
            return _between_public_truths(p, truth, np.asarray(a), np.asarray(b))
        first, second = truths(p, a, truth), truths(p, b, truth)
        return exclusive_or(p, second, both(p, truth, exclusive_or(p, first, second)))
    if not is_secret(a) and not is_secret(b):
        difference = np.subtract(np.asarray(a), np.asarray(b))
        if not difference.any():
            return np.broadcast_to(np.asarray(b), np.broadcast_shapes(truth.shape, difference.shape))
        taken = multiply(p, Secret(p.arithmetic(truth)[0], 0), difference)
    else:
        taken = chosen(p, truth, subtract(p, a, b) if _counts(b) else numbers(p, a))
    if not _counts(b):
        return taken
    return add(p, taken, b)


def _counts(value: Value) -> bool:
    """Whether it is not 0 everywhere, as far as all know."""
    return is_secret(value) or bool(np.asarray(value).any())


def _truthful(value: Value) -> bool:
    return isinstance(value, Bits) or (isinstance(value, np.ndarray) and value.dtype == np.bool_)


def _where_public(p: Protocol, truth: npt.NDArray[np.bool_], a: Value, b: Value) -> Value:
    if _truthful(a) and _truthful(b):
        like = a if isinstance(a, Bits) else b if isinstance(b, Bits) else None
        first, second = truths(p, a, like), truths(p, b, like)
        shape = np.broadcast_shapes(truth.shape, first.shape, second.shape)
        mask = _packed(np.broadcast_to(truth, shape).astype(np.uint8))[None]
        one, two = stretched(first, shape), stretched(second, shape)
        pairs = zip(one.parts, two.parts, strict=True)
        return Bits(shape, 1, tuple((x & mask) | (y & ~mask) for x, y in pairs))
    x, y = aligned(p, numbers(p, a), numbers(p, b))
    pairs = zip(x.share.parts, y.share.parts, strict=True)
    return Secret(Share(tuple(np.where(truth, one, two) for one, two in pairs)), x.scale)


def _between_public_truths(p: Protocol, truth: Bits, a: Array, b: Array) -> Bits:
    shape = np.broadcast_shapes(truth.shape, a.shape, b.shape)
    first, second = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
    wide = stretched(truth, shape)
    zero = wide ^ wide
    mask = _packed((first != second).astype(np.uint8))[None]
    kept = Bits(shape, 1, tuple((x & mask) | (z & ~mask) for x, z in zip(wide.parts, zero.parts, strict=True)))
    return flipped(p, kept, second)


def both(p: Protocol, a: Value, b: Value) -> Bits:
    """Whether a and b hold, broadcast; at least one is secret. No rounds where the other is public."""
    if is_secret(a) and is_secret(b):
        return _pairwise(p, a, b, p.conjunction)
    bits, flags = (truths(p, a), b) if is_secret(a) else (truths(p, b), a)
    shape = np.broadcast_shapes(bits.shape, flags.shape)
    wide = stretched(bits, shape)
    mask = _packed(np.broadcast_to(np.asarray(flags, dtype=np.bool_), shape).astype(np.uint8))[None]
    return Bits(shape, 1, tuple(part & mask for part in wide.parts))


def either(p: Protocol, a: Value, b: Value) -> Bits:
    """Whether a or b holds, broadcast; at least one is secret."""
    return p.invert(both(p, _opposite(p, a), _opposite(p, b)))


def _opposite(p: Protocol, a: Value) -> Value:
    return p.invert(truths(p, a)) if is_secret(a) else np.logical_not(np.asarray(a))


def exclusive_or(p: Protocol, a: Value, b: Value) -> Bits:
    """Whether a and b differ, both truths, broadcast; at least one is secret. No rounds."""
    if not isinstance(a, Bits):
        a, b = b, a
    assert isinstance(a, Bits)  # noqa: S101 - one of the two is secret
    if not isinstance(b, Bits):
        flags = np.asarray(b, dtype=np.bool_)
        wide = stretched(a, np.broadcast_shapes(a.shape, flags.shape))
        return flipped(p, wide, flags)
    return _pairwise(p, a, b, lambda x, y: x ^ y)


def _pairwise(p: Protocol, a: Value, b: Value, run: Callable[[Bits, Bits], Bits]) -> Bits:
    x, y = truths(p, a), truths(p, b)
    shape = np.broadcast_shapes(x.shape, y.shape)
    return run(stretched(x, shape), stretched(y, shape))


def less(p: Protocol, a: Value, b: Value, bits: int = 64) -> Bits:
    """Whether a < b, broadcast; at least one is secret."""
    return p.negative(subtract(p, a, b).share, bits)


def equal(p: Protocol, a: Value, b: Value) -> Bits:
    """Whether a = b, broadcast; at least one is secret."""
    if _truthful(a) and _truthful(b):
        return p.invert(exclusive_or(p, a, b))
    return p.zero(subtract(p, a, b).share)
