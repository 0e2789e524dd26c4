"""Sorting networks: the same comparisons whatever the numbers are, batched layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stead.mpc.fixed import Secret
from stead.mpc.functions.scale import moved_bits
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Share, stack

Places = npt.NDArray[np.int64]


def layers(count: int) -> Iterator[tuple[Places, Places]]:
    """Batcher's odd-even merge for any number of entries: pairs to be put in order, the lower place first.

    t (t + 1) / 2 layers for t = ceil(log2(count)).

    References: Knuth, The Art of Computer Programming, volume 3, section 5.2.2, algorithm M.
    """
    top = 1 << max(0, (count - 1).bit_length() - 1)
    block = top
    while block and count > 1:
        distance, step, remainder = block, top, 0
        while True:
            places = np.arange(count - distance)
            first = places[(places & block) == remainder]
            if first.size:
                yield first, first + distance
            if step == block:
                break
            distance, step, remainder = step - block, step // 2, block
        block //= 2


def sort(p: Protocol, x: Secret, axis: int = -1, *, descending: bool = False, bits: int = 64) -> Secret:
    """In order along an axis; exact.

    Cost:
        For n numbers t (t + 1) / 2 layers of a comparison and a choice, t = ceil(log2(n)).
    """
    rows = _signed(x, descending).map(lambda part: np.moveaxis(part, axis, 0)[:, None])
    ordered = _ordered(p, rows, 0, bits).map(lambda part: np.moveaxis(part[:, 0], 0, axis))
    return Secret(-ordered if descending else ordered, x.scale)


def sort_with_places(
    p: Protocol, x: Secret, axis: int = -1, *, descending: bool = False, bits: int = 64
) -> tuple[Secret, Secret]:
    """In order along an axis, and where each stood (at scale 0): of equal ones the first comes first.

    The numbers are compared as x · 2^b + place with 2^b >= n, so |x| < 2^(61 - b) units.
    """
    rows = _signed(x, descending).map(lambda part: np.moveaxis(part, axis, 0))
    count = rows.shape[0]
    labels = np.arange(count, dtype=np.uint64).reshape(-1, *(1,) * (len(rows.shape) - 1))
    places = p.public(np.ascontiguousarray(np.broadcast_to(labels, rows.shape)))
    extra = max(1, (count - 1).bit_length())
    both = _ordered(p, stack([rows, places], axis=1), extra, min(64, bits + extra))
    ordered = both.map(lambda part: np.moveaxis(part[:, 0], 0, axis))
    where = both.map(lambda part: np.moveaxis(part[:, 1], 0, axis))
    return Secret(-ordered if descending else ordered, x.scale), Secret(where, 0)


def argsort(p: Protocol, x: Secret, axis: int = -1, *, descending: bool = False, bits: int = 64) -> Secret:
    """The places in order, stable; see ``sort_with_places``."""
    return sort_with_places(p, x, axis, descending=descending, bits=bits)[1]


def top_k(p: Protocol, x: Secret, count: int, axis: int = -1, *, bits: int = 64) -> tuple[Secret, Secret]:
    """The largest ``count`` along an axis in falling order, and their places: of equal ones the first comes first."""
    ordered, places = sort_with_places(p, x, axis, descending=True, bits=bits)
    keep = np.arange(count)
    return (
        Secret(ordered.share.map(lambda part: np.take(part, keep, axis=axis)), ordered.scale),
        Secret(places.share.map(lambda part: np.take(part, keep, axis=axis)), 0),
    )


def _signed(x: Secret, descending: bool) -> Share:  # noqa: FBT001 - one of two directions
    return -x.share if descending else x.share


def _ordered(p: Protocol, arrays: Share, extra: int, bits: int) -> Share:
    """Entries along the first axis; of the second the first array is the key, the next (if ``extra``) breaks ties."""
    carried = arrays.shape[1]
    for low, high in layers(arrays.shape[0]):
        first, second = arrays[low], arrays[high]
        difference = second - first
        key = difference[:, 0] if carried == 1 else difference[:, 0].scaled(1 << extra) + difference[:, 1]
        wrong, shape = p.negative(key, bits), difference.shape
        moves = p.select(moved_bits(wrong, lambda a, s=shape: np.broadcast_to(a[:, None], s)), difference)  # type: ignore[misc]
        arrays = Share(tuple(_moved(a, low, high, m) for a, m in zip(arrays.parts, moves.parts, strict=True)))
    return arrays


def _moved(
    part: npt.NDArray[np.uint64], low: Places, high: Places, moves: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    out = part.copy()
    out[low] += moves
    out[high] -= moves
    return out
