"""Pooling over the windows of images (N, C, H, W)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stead.errors import UsageError
from stead.mpc.fixed import FRACTION, Secret
from stead.mpc.functions.maximum import amax, champion
from stead.mpc.functions.scale import settle
from stead.mpc.protocol import Protocol

Pair = tuple[int, int]
Places = npt.NDArray[np.int64]

_WEIGHT = 24
"""Fraction bits of 1 / count."""


@dataclass(frozen=True)
class Pool:
    """Windows of a pooling, rows and columns.

    Attributes:
        kernel: the size of a window.
        stride: steps from one to the next.
        padding: places on either side that hold nothing.
        dilation: steps from one place of a window to the next.
        ceil: also windows that begin inside of the image or its left padding and end outside.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil: bool = False

    def places(self, axis: int, size: int) -> tuple[Places, npt.NDArray[np.bool_]]:
        """Which place of an axis each window (column) takes for each of its own (row), and whether there is one.

        Where there is none, another place of the same window stands: the largest of the window stays what it is.

        Raises:
            UsageError: a window lies outside of the image altogether.
        """
        kernel, stride, pad, gap = self.kernel[axis], self.stride[axis], self.padding[axis], self.dilation[axis]
        span = size + 2 * pad - gap * (kernel - 1) - 1
        count = span // stride + 1
        if self.ceil and count * stride < size + pad and span % stride:
            count += 1
        taken = np.arange(max(count, 0)) * stride - pad + gap * np.arange(kernel)[:, None]
        there = (taken >= 0) & (taken < size)
        if count < 1 or not there.any(axis=0).all():
            raise UsageError(f"{self} does not fit into {size} rows or columns: a window would hold nothing.")
        return np.where(there, taken, np.take_along_axis(taken, there.argmax(axis=0)[None], axis=0)), there


def max_pool2d(p: Protocol, x: Secret, pool: Pool, *, bits: int = 64) -> Secret:
    """The largest of each window; exact, at x's scale: to be used before truncation, and before ``relu``.

    max and relu commute, so relu(max_pool(x)) is max_pool(relu(x)) for fewer comparisons. A window's largest is the
    largest of its rows' largest, so rows go first: (kh - 1) W / sw + (kw - 1) for each result in place of kh kw - 1.
    """
    rows, columns = pool.places(0, x.shape[2])[0], pool.places(1, x.shape[3])[0]
    used = np.unique(columns)
    columns = np.searchsorted(used, columns)
    tall = amax(p, Secret(x.share.map(lambda part: part[:, :, rows[:, :, None], used]), x.scale), 2, bits=bits)
    return amax(p, Secret(tall.share.map(lambda part: part[:, :, :, columns]), x.scale), 3, bits=bits)


def max_pool2d_with_places(p: Protocol, x: Secret, pool: Pool, *, bits: int = 64) -> tuple[Secret, Secret]:
    """The largest of each window, and where it stands in the flat (H, W) image, at scale 0: of equals the first."""
    height, width = x.shape[2:]
    taken, _ = _taken(pool, height, width)
    flat = x.share.reshape((*x.shape[:2], height * width))
    entrants = flat.map(lambda part: np.moveaxis(part[:, :, taken], 2, 0))
    labels = np.broadcast_to(taken[:, None, None], entrants.shape).astype(np.uint64)
    best, places = champion(p, entrants, [p.public(labels)], bits=bits)
    return Secret(best, x.scale), Secret(places, 0)


def max_pool2d_gradient(p: Protocol, gradient: Secret, places: Secret, pool: Pool, size: Pair) -> Secret:
    """The gradient of images (N, C, *size) from that of their pooled ones and the places of those; exact.

    Cost:
        ``zero`` and a choice for each place of each window.
    """
    taken, there = _taken(pool, *size)
    marks = np.where(there, taken, -1)[:, None, None].astype(np.int64).view(np.uint64)
    apart = p.add_public(places.share.map(lambda part: np.broadcast_to(part, (len(taken), *part.shape))), -marks)
    spread = p.select(p.zero(apart), gradient.share.map(lambda part: np.broadcast_to(part, apart.shape)))
    kept = np.where(there, taken, 0).reshape(-1)

    def gathered(part: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        lead = part.shape[1:3]
        out = np.zeros((*lead, size[0] * size[1]), dtype=np.uint64)
        np.add.at(out.reshape(-1, out.shape[-1]).T, kept, np.moveaxis(part, 0, 2).reshape(-1, len(kept)).T)
        return out.reshape(*lead, *size)

    return Secret(spread.map(gathered), gradient.scale)


def avg_pool2d(p: Protocol, x: Secret, pool: Pool, *, count_padding: bool = True) -> Secret:
    """The mean of each window, below 2^17; padding counts as 0, or does not count.

    Cost:
        No rounds where all windows have the same number of places, a power of two; else a truncation or two.
    """
    taken, there = _taken(pool, x.shape[2], x.shape[3])
    flat = x.share.reshape((*x.shape[:2], -1))
    mask = there.astype(np.uint64)
    total = flat.map(lambda part: (part[:, :, taken] * mask).sum(axis=2, dtype=np.uint64))
    counts = _inside(pool, x.shape[2], x.shape[3]) if count_padding else there.sum(axis=0)
    first = int(counts.flat[0])
    if (counts == first).all() and first & (first - 1) == 0:
        return Secret(total, x.scale + first.bit_length() - 1)
    # A sum below 2^21 with 16 bits, times 2^24 / count: below 2^61.
    weights = (((2 << _WEIGHT) // counts + 1) // 2).astype(np.uint64)
    settled = settle(p, Secret(total, x.scale)).share
    return settle(p, Secret(settled.map(lambda part: part * weights), FRACTION + _WEIGHT))


def _taken(pool: Pool, height: int, width: int) -> tuple[Places, npt.NDArray[np.bool_]]:
    """Flat places (kh · kw, rows, columns), and whether each is in the image."""
    rows, in_rows = pool.places(0, height)
    columns, in_columns = pool.places(1, width)
    taken = rows[:, None, :, None] * width + columns[None, :, None, :]
    there = in_rows[:, None, :, None] & in_columns[None, :, None, :]
    shape = (-1, rows.shape[1], columns.shape[1])
    return taken.reshape(shape), there.reshape(shape)


def _inside(pool: Pool, height: int, width: int) -> Places:
    """How many places of each window lie in the image or its padding (with ``ceil`` some lie beyond)."""
    counts = []
    for axis, size in enumerate((height, width)):
        kernel, stride, pad = pool.kernel[axis], pool.stride[axis], pool.padding[axis]
        starts = np.arange(pool.places(axis, size)[0].shape[1]) * stride - pad
        counts.append(np.minimum(starts + kernel, size + pad) - starts)
    return np.asarray(np.outer(*counts))
