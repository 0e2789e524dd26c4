"""Sorting secret numbers: a network of comparisons whose order depends on the length alone."""

from __future__ import annotations

import numpy as np

from stead.mpc.fixed import Secret
from stead.mpc.protocol import Protocol
from stead.mpc.shares import Share
from stead.mpc.values import Value, numbers

Layer = tuple[tuple[int, int], ...]


def network(count: int) -> list[Layer]:
    """Batcher's odd-even merge sort: layers of pairs (i, j), i < j, that share no place.

    References: Batcher 1968, Sorting networks and their applications (AFIPS); Knuth 1998, volume 3, algorithm 5.2.2M.
    """
    layers: list[Layer] = []
    top = 1 << max(0, (count - 1).bit_length() - 1)
    step = top
    while step:
        size, kept, distance = top, 0, step
        while True:
            layers.append(tuple((i, i + distance) for i in range(count - distance) if i & step == kept))
            if size == step:
                break
            distance, size, kept = size - step, size >> 1, step
        step >>= 1
    return [layer for layer in layers if layer]


def in_order(p: Protocol, value: Value, axis: int, bits: int = 64) -> Secret:
    """The numbers along an axis, the smallest first.

    Cost:
        log2(n) (log2(n) + 1) / 2 times the rounds of a comparison and a choice, up to n / 2 of them each.
    """
    x = numbers(p, value)
    share = x.share.map(lambda part: np.moveaxis(part, axis, 0))
    for layer in network(share.shape[0]):
        first, second = ([pair[side] for pair in layer] for side in (0, 1))
        low, high = share[first], share[second]
        change = p.select(p.negative((high - low), bits), high - low)
        share = _replaced(share, first, second, low + change, high - change)
    return Secret(share.map(lambda part: np.moveaxis(part, 0, axis)), x.scale)


def _replaced(share: Share, first: list[int], second: list[int], low: Share, high: Share) -> Share:
    parts = []
    for whole, one, two in zip(share.parts, low.parts, high.parts, strict=True):
        out = np.array(whole)
        out[first], out[second] = one, two
        parts.append(out)
    return Share(tuple(parts))
