"""The largest and the smallest of secret numbers, and where they stand: a tournament, batched level by level."""

from __future__ import annotations

import math

import numpy as np

from stead.mpc.fixed import Secret
from stead.mpc.functions.scale import moved_bits
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Bits, Share, concatenate, stack
from stead.mpc.values import aligned, flipped

Axes = int | tuple[int, ...] | None


def maximum(p: Protocol, x: Secret, y: Secret, *, bits: int = 64) -> Secret:
    """The larger of two, broadcast; exact."""
    x, y = aligned(p, x, y)
    difference = y.share - x.share
    wide = x.share.map(lambda part: np.broadcast_to(part, difference.shape))
    return Secret(wide + p.select(p.negative(-difference, bits), difference), x.scale)


def minimum(p: Protocol, x: Secret, y: Secret, *, bits: int = 64) -> Secret:
    """The smaller of two, broadcast; exact."""
    x, y = aligned(p, x, y)
    difference = y.share - x.share
    wide = x.share.map(lambda part: np.broadcast_to(part, difference.shape))
    return Secret(wide + p.select(p.negative(difference, bits), difference), x.scale)


def amax(
    p: Protocol, x: Secret, axis: Axes = None, *, keepdims: bool = False, group: int = 2, bits: int = 64
) -> Secret:
    """The largest along axes; exact.

    Args:
        p: the protocol.
        x: any shape, not empty along the axes.
        axis: one, several, or all.
        keepdims: leave the axes in with length 1.
        group: how many meet in one level, each pair of them compared: fewer rounds for more comparisons.
        bits: see ``Protocol.negative``; differences have to fit.

    Cost:
        ceil(log_group(n)) levels of a comparison, ceil(log2(group - 1)) rounds and a choice.
    """
    entrants, rest = _front(x, axis)
    best = champion(p, entrants, [], group=group, bits=bits)[0]
    return Secret(best.reshape(_kept(x.shape, axis) if keepdims else rest), x.scale)


def amin(
    p: Protocol, x: Secret, axis: Axes = None, *, keepdims: bool = False, group: int = 2, bits: int = 64
) -> Secret:
    """The smallest along axes; see ``amax``."""
    found = amax(p, Secret(-x.share, x.scale), axis, keepdims=keepdims, group=group, bits=bits)
    return Secret(-found.share, found.scale)


def argmax(p: Protocol, x: Secret, axis: int | None = None, *, group: int = 2, bits: int = 64) -> Secret:
    """Where the largest stands along an axis (in the flat array: none named), at scale 0; the first of equals."""
    entrants, rest = _front(x, axis)
    labels = np.arange(entrants.shape[0], dtype=np.uint64).reshape(-1, *(1,) * (len(entrants.shape) - 1))
    places = p.public(np.ascontiguousarray(np.broadcast_to(labels, entrants.shape)))
    return Secret(champion(p, entrants, [places], group=group, bits=bits)[1].reshape(rest), 0)


def argmin(p: Protocol, x: Secret, axis: int | None = None, *, group: int = 2, bits: int = 64) -> Secret:
    """Where the smallest stands; see ``argmax``."""
    return argmax(p, Secret(-x.share, x.scale), axis, group=group, bits=bits)


def champion(p: Protocol, x: Share, carried: list[Share], *, group: int = 2, bits: int = 64) -> list[Share]:
    """The largest along the first axis, the first of equals; then what it carries of each array of x's shape."""
    arrays = stack([x, *carried], axis=1)
    while arrays.shape[0] > 1:
        arrays = _duels(p, arrays, bits) if group == 2 else _melees(p, arrays, group, bits)
    return [arrays[0, k] for k in range(1 + len(carried))]


def _duels(p: Protocol, arrays: Share, bits: int) -> Share:
    pairs = arrays.shape[0] // 2
    first, second = arrays[0 : 2 * pairs : 2], arrays[1 : 2 * pairs : 2]
    difference = second - first
    won = p.negative(-difference[:, 0], bits)
    shape = difference.shape
    winners = first + p.select(moved_bits(won, lambda a: np.broadcast_to(a[:, None], shape)), difference)
    return concatenate([winners, arrays[2 * pairs :]]) if arrays.shape[0] % 2 else winners


def _melees(p: Protocol, arrays: Share, group: int, bits: int) -> Share:
    """Groups of near equal size; where one is smaller its last entrant stands twice, and the first of equals wins."""
    count = arrays.shape[0]
    sides = np.array_split(np.arange(count), -(-count // group))
    size = max(len(side) for side in sides)
    table = np.stack([np.pad(side, (0, size - len(side)), mode="edge") for side in sides], axis=1)
    entrants = arrays[table]
    firsts, seconds = np.triu_indices(size, 1)
    # Bit k: the later of pair k is larger. Entrant j wins if it beats all before and none after beats it.
    later = p.negative(entrants[firsts, :, 0] - entrants[seconds, :, 0], bits)
    number = {pair: k for k, pair in enumerate(zip(firsts.tolist(), seconds.tolist(), strict=True))}
    # Row r of entrant j: its r-th duel, with i = r before it and with i = r + 1 from itself on.
    rivals = [[i + (i >= j) for j in range(1, size)] for i in range(size - 1)]
    duels = np.array([[number[min(i, j), max(i, j)] for j, i in enumerate(row, 1)] for row in rivals])
    after = np.array([[i > j for j, i in enumerate(row, 1)] for row in rivals])
    terms = moved_bits(later, lambda a: a[duels])
    terms = flipped(p, terms, after.reshape(size - 1, size - 1, *(1,) * (len(terms.shape) - 2)))
    won = every(p, terms)
    differences = entrants[1:] - entrants[:1]
    shape = differences.shape
    moves = p.select(moved_bits(won, lambda a: np.broadcast_to(a[:, :, None], shape)), differences)
    return entrants[0] + moves.map(lambda part: part.sum(axis=0, dtype=np.uint64))


def every(p: Protocol, truths: Bits) -> Bits:
    """AND along the first axis. ceil(log2(n)) rounds."""
    while truths.shape[0] > 1:
        half = truths.shape[0] // 2
        both = p.conjunction(_rows(truths, 0, half), _rows(truths, half, 2 * half))
        truths = _beside(both, _rows(truths, 2 * half, truths.shape[0]))
    return moved_bits(truths, lambda a: a[0])


def _rows(truths: Bits, start: int, stop: int) -> Bits:
    return moved_bits(truths, lambda a: a[start:stop])


def _beside(a: Bits, b: Bits) -> Bits:
    """One after the other along the first axis."""
    if not b.shape[0]:
        return a
    top, bottom, ends = a.shape[0], b.shape[0], [(0, 0)] * (len(a.shape) - 1)
    above = moved_bits(a, lambda x: np.pad(x, [(0, bottom), *ends]))
    return above ^ moved_bits(b, lambda x: np.pad(x, [(top, 0), *ends]))


def _axes(shape: tuple[int, ...], axis: Axes) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(len(shape)))
    return tuple(a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,)))


def _kept(shape: tuple[int, ...], axis: Axes) -> tuple[int, ...]:
    axes = _axes(shape, axis)
    return tuple(1 if at in axes else size for at, size in enumerate(shape))


def _front(x: Secret, axis: Axes) -> tuple[Share, tuple[int, ...]]:
    """The axes as one in front, and the shape of what is left."""
    axes = _axes(x.shape, axis)
    rest = tuple(size for at, size in enumerate(x.shape) if at not in axes)
    count = math.prod(x.shape[a] for a in axes)
    if not count:
        raise ValueError(f"there is no largest of no numbers: shape {list(x.shape)} along {list(axes)}")
    return x.share.map(lambda part: np.moveaxis(part, axes, range(len(axes))).reshape(count, *rest)), rest
